//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cmd/internal/testcluster"
)

const insideNamespaces = "AISLE_E2E_NAMESPACES" // set in the copy of this program that runs in namespaces of its own

// inNamespaces runs the calling test again in a process with a network, mounts and process ids of its own, so that cutting
// networks touches nothing else and everything ends with it. It returns true in that process, which does the work.
func inNamespaces(t *testing.T) bool {
	t.Helper()
	return isolated(t, 10*time.Minute, false)
}

// isolated is inNamespaces for a test of any length; what a watched one prints is seen while it runs.
func isolated(t *testing.T, timeout time.Duration, watched bool) bool {
	t.Helper()
	if os.Getenv(insideNamespaces) != "" {
		return true
	}
	args := []string{"--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"}
	if os.Geteuid() != 0 {
		args = append(args, "--user", "--map-root-user")
	}
	args = append(args, os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v", "-test.timeout", fmt.Sprint(timeout))
	cmd := exec.CommandContext(t.Context(), "unshare", args...)
	cmd.Env = append(os.Environ(), insideNamespaces+"=1")
	if watched {
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			t.Error(err)
		}
		return false
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v (needs root, or user namespaces, with iproute2 and nftables)\n%s", err, out)
	} else {
		t.Logf("%s", out)
	}
	return false
}

// network is a bridge with one network namespace behind it for each node. The test itself sits on the bridge and reaches
// every node, whatever is cut between them.
type network struct {
	t     *testing.T
	nodes int
}

func newNetwork(t *testing.T, nodes int) *network {
	t.Helper()
	w := &network{t, nodes}
	w.run("mount -t tmpfs tmpfs /run") // where ip keeps names of namespaces
	w.run("ip link set lo up")
	w.run("ip link add bridge0 type bridge")
	w.run("ip addr add 10.77.0.1/24 dev bridge0")
	w.run("ip link set bridge0 up")
	for i := range nodes {
		w.run("ip netns add node%d", i)
		w.run("ip link add veth%d type veth peer name eth0 netns node%[1]d", i)
		w.run("ip link set veth%d master bridge0 up", i)
		w.run("ip -n node%d link set lo up", i)
		w.run("ip -n node%d addr add %s/24 dev eth0", i, w.address(i))
		w.run("ip -n node%d link set eth0 up", i)
	}
	return w
}

func (w *network) address(node int) string { return fmt.Sprintf("10.77.0.%d", 10+node) }

// options let every node run in its namespace.
func (w *network) options() testcluster.Options {
	return testcluster.Options{
		Nodes: w.nodes, Host: w.address,
		Wrap: func(i int) []string { return []string{"ip", "netns", "exec", fmt.Sprintf("node%d", i)} },
	}
}

// cut drops all packets from the other nodes to one, and, unless deaf says that it only stops hearing, from it to them.
func (w *network) cut(node int, deaf bool) {
	w.t.Helper()
	var others []string
	for i := range w.nodes {
		if i != node {
			others = append(others, w.address(i))
		}
	}
	set := "{ " + strings.Join(others, ", ") + " }"
	w.rule(node, "add table ip cut")
	w.rule(node, "add chain ip cut in { type filter hook input priority 0 ; }")
	w.rule(node, "add rule ip cut in ip saddr "+set+" drop")
	if !deaf {
		w.rule(node, "add chain ip cut out { type filter hook output priority 0 ; }")
		w.rule(node, "add rule ip cut out ip daddr "+set+" drop")
	}
}

func (w *network) heal(node int) { w.rule(node, "delete table ip cut") }

func (w *network) rule(node int, rule string) {
	w.t.Helper()
	out, err := exec.Command("ip", "netns", "exec", fmt.Sprintf("node%d", node), "nft", rule).CombinedOutput()
	if err != nil {
		w.t.Fatalf("nft %s: %v\n%s", rule, err, out)
	}
}

func (w *network) run(format string, args ...any) {
	w.t.Helper()
	line := strings.Fields(fmt.Sprintf(format, args...))
	if out, err := exec.Command(line[0], line[1:]...).CombinedOutput(); err != nil {
		w.t.Fatalf("%s: %v\n%s", strings.Join(line, " "), err, out)
	}
}

// TestFaultCut cuts the leader off from the others for 45 s, while clients reach all nodes, and heals it. What it answers
// then, from the first moment on, must be true.
func TestFaultCut(t *testing.T) {
	t.Parallel()
	if !inNamespaces(t) {
		return
	}
	w := newNetwork(t, 3)
	cutUnderLoad(t, w, "fault-cut", 45*time.Second, leader, false)
}

// TestFaultDeaf lets a node send but not hear for 30 s: others take it for alive for longer than it is.
func TestFaultDeaf(t *testing.T) {
	t.Parallel()
	if !inNamespaces(t) {
		return
	}
	w := newNetwork(t, 3)
	cutUnderLoad(t, w, "fault-deaf", 30*time.Second, follower, true)
}

func cutUnderLoad(t *testing.T, w *network, name string, long time.Duration, pick func(*testing.T, *testcluster.Cluster) int, deaf bool) {
	t.Helper()
	o := w.options()
	o.Env = oneCopy()
	c := testcluster.Start(t, o)
	h := startHistory(t, c, name)
	time.Sleep(calm)
	victim := pick(t, c)
	h.faultBegins()
	w.cut(victim, deaf)
	time.Sleep(long)
	w.heal(victim)
	h.faultEnds()
	time.Sleep(calm)
	h.finish()
}
