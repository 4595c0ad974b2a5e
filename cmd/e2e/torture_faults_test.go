//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/aisle-store/aisle/cmd/internal/testcluster"
)

const (
	tortureNodes  = 5
	tortureSpares = 4 // nodes that may come later
	relayAddress  = "10.77.0.2"
	smallDisk     = 800 << 20
)

// faults breaks things, by a seed, and repairs them. It is used by the test's goroutine only.
type faults struct {
	*torture
	random     *rand.Rand
	kinds      []faultKind
	active     []*fault
	counts     map[string]int
	maintained []*testcluster.Node // are to be given back
	lost       int                 // nodes
	gone       map[int]bool        // nodes that never come back
	relays     int                 // that were started
	disk       map[int]string      // by node: what is wrong with its disks, as the file says it
	full       map[int]string      // by node: directory of its small disk
}

// faultKind is something that can go wrong with a node.
type faultKind struct {
	name   string
	weight int
	long   time.Duration                          // longest that it lasts
	begin  func(n *testcluster.Node) (end func()) // nil when it is not possible now
}

// fault is one that lasts.
type fault struct {
	name string
	node int
	ends time.Time
	end  func()
}

func newFaults(x *torture) *faults {
	f := &faults{torture: x, random: rand.New(rand.NewPCG(x.seed, 1<<32)), counts: make(map[string]int), disk: make(map[int]string), gone: make(map[int]bool), full: make(map[int]string)}
	x.net.run("ip addr add %s/24 dev bridge0", relayAddress)
	f.kinds = []faultKind{
		{"kill", 12, 25 * time.Second, f.kill},
		{"kill the leader", 6, 10 * time.Second, f.killLeader},
		{"stop", 4, 5 * time.Second, f.stop},
		{"pause", 8, 60 * time.Second, f.pause},
		{"cut", 8, 30 * time.Second, f.cut("in out")},
		{"deaf", 6, 30 * time.Second, f.cut("in")},
		{"mute", 6, 30 * time.Second, f.cut("out")},
		{"cut from one", 6, 30 * time.Second, f.cutPair},
		{"loss", 6, 30 * time.Second, f.loss},
		{"delay", 6, 30 * time.Second, f.delay},
		{"clock", 4, 30 * time.Second, f.clock},
		{"slow disk", 6, 20 * time.Second, f.slowDisk},
		{"disk errors", 4, 10 * time.Second, f.diskErrors},
		{"full disk", 4, 15 * time.Second, f.fullDisk},
		{"kill all", 3, 3 * time.Second, f.killAll},
		{"kill most", 3, 8 * time.Second, f.killMost},
		{"new node", 2, time.Second, f.grow},
		{"lose a node for ever", 2, time.Second, f.replace},
		{"maintenance", 3, 15 * time.Second, f.maintain},
		{"decommission", 2, 10 * time.Second, f.decommission},
	}
	if only := os.Getenv("AISLE_FAULTS"); only != "" {
		f.kinds = slices.DeleteFunc(f.kinds, func(k faultKind) bool { return !slices.Contains(strings.Split(only, ","), k.name) })
	}
	return f
}

// String says how often what was done.
func (f *faults) String() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(f.counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, f.counts[name]))
	}
	return "faults: " + strings.Join(parts, ", ")
}

// breakThings lets faults come and go for a time: one at once in a short run, else up to two.
func (x *torture) breakThings(long time.Duration) {
	f := x.faults
	limit, calm, most := 3*time.Second, 1500*time.Millisecond, 1
	if !x.short {
		limit, calm, most = time.Hour, 6*time.Second, 2
	}
	deadline := time.Now().Add(long)
	time.Sleep(2 * time.Second)
	for time.Now().Before(deadline) {
		f.expire(time.Now())
		f.endMaintenance()
		if len(f.active) < most && f.random.IntN(4*len(f.active)+1) == 0 {
			f.start(limit)
		}
		time.Sleep(calm/4 + time.Duration(f.random.Int64N(int64(calm))))
	}
}

// start begins a random fault at a random node that has none.
func (f *faults) start(limit time.Duration) {
	total := 0
	for _, k := range f.kinds {
		total += k.weight
	}
	n := f.random.IntN(total)
	var kind faultKind
	for _, kind = range f.kinds {
		if n -= kind.weight; n < 0 {
			break
		}
	}
	var free []*testcluster.Node
	for _, n := range f.cluster.Nodes {
		if !f.busy(n.Index) && n.Running() {
			free = append(free, n)
		}
	}
	victim := pick(f.random, free)
	long := min(limit, time.Second+time.Duration(f.random.Int64N(int64(kind.long))))
	f.say("%s: node %d, for %.1f s", kind.name, victim.Index, long.Seconds())
	end := kind.begin(victim)
	if end == nil {
		f.say("%s: not now", kind.name)
		return
	}
	f.counts[kind.name]++
	f.active = append(f.active, &fault{kind.name, victim.Index, time.Now().Add(long), end})
}

func (f *faults) busy(node int) bool {
	return slices.ContainsFunc(f.active, func(a *fault) bool { return a.node == node })
}

// expire ends the faults that have lasted long enough.
func (f *faults) expire(now time.Time) {
	f.active = slices.DeleteFunc(f.active, func(a *fault) bool {
		if now.Before(a.ends) {
			return false
		}
		f.say("%s: node %d: over", a.name, a.node)
		a.end()
		return true
	})
}

// heal ends all faults and waits until every node serves.
func (x *torture) heal() {
	x.t.Helper()
	x.faults.expire(time.Now().Add(24 * time.Hour))
	for _, n := range x.faults.there() {
		x.faults.launch(n)
	}
	for _, n := range x.faults.there() {
		n.WaitReady(90 * time.Second)
	}
	x.say("all nodes serve")
	x.faults.becomeWhole()
	time.Sleep(2 * time.Second)
}

func (f *faults) launch(n *testcluster.Node) {
	if !n.Running() {
		n.Launch()
	}
}

func (f *faults) kill(n *testcluster.Node) func() {
	f.say("kill node %d", n.Index)
	n.Kill()
	return func() { f.launch(n) }
}

func (f *faults) killLeader(*testcluster.Node) func() {
	for _, n := range f.there() {
		url, err := primary(f.t.Context(), f.cluster, n)
		for _, leads := range f.there() {
			if err == nil && leads.Endpoint == url && leads.Running() && !f.busy(leads.Index) {
				return f.kill(leads)
			}
		}
	}
	return nil // nobody says who leads, or that one has a fault
}

func (f *faults) stop(n *testcluster.Node) func() {
	n.Stop()
	return func() { f.launch(n) }
}

func (f *faults) pause(n *testcluster.Node) func() {
	n.Pause()
	return n.Resume
}

func (f *faults) killAll(*testcluster.Node) func() {
	f.cluster.KillAll()
	return func() {
		nodes := f.there()
		for _, i := range f.random.Perm(len(nodes)) {
			f.launch(nodes[i])
		}
	}
}

// killMost takes the majority away.
func (f *faults) killMost(*testcluster.Node) func() {
	var killed []*testcluster.Node
	nodes := f.there()
	for _, i := range f.random.Perm(len(nodes))[:len(nodes)/2+1] {
		n := nodes[i]
		n.Kill()
		killed = append(killed, n)
	}
	return func() {
		for _, n := range killed {
			f.launch(n)
		}
	}
}

// others are the addresses of all other nodes, and of the relay.
func (f *faults) others(node int) string {
	all := []string{relayAddress}
	for i := range f.net.nodes {
		if i != node {
			all = append(all, f.net.address(i))
		}
	}
	return "{ " + strings.Join(all, ", ") + " }"
}

// filter drops packets of a node until the returned function is called.
func (f *faults) filter(node int, directions, peers, condition string) func() {
	f.net.rule(node, "add table ip torture")
	for _, d := range strings.Fields(directions) {
		hook, field := "input", "saddr"
		if d == "out" {
			hook, field = "output", "daddr"
		}
		f.net.rule(node, fmt.Sprintf("add chain ip torture %s { type filter hook %s priority 0 ; }", d, hook))
		f.net.rule(node, fmt.Sprintf("add rule ip torture %s ip %s %s %s drop", d, field, peers, condition))
	}
	return func() { f.net.rule(node, "delete table ip torture") }
}

func (f *faults) cut(directions string) func(*testcluster.Node) func() {
	return func(n *testcluster.Node) func() { return f.filter(n.Index, directions, f.others(n.Index), "") }
}

// cutPair lets two nodes lose each other, while both reach all others.
func (f *faults) cutPair(n *testcluster.Node) func() {
	other := (n.Index + 1 + f.random.IntN(len(f.cluster.Nodes)-1)) % len(f.cluster.Nodes)
	f.say("cut from node %d", other)
	return f.filter(n.Index, pick(f.random, []string{"in out", "in", "out"}), f.net.address(other), "")
}

func (f *faults) loss(n *testcluster.Node) func() {
	percent := 5 + f.random.IntN(40)
	f.say("loss of %d %%", percent)
	return f.filter(n.Index, "in out", f.others(n.Index), fmt.Sprintf("numgen random mod 100 < %d", percent))
}

// delay sends what goes between a node and all others through relays that hold it.
func (f *faults) delay(n *testcluster.Node) func() {
	long := time.Duration(5+f.random.IntN(250)) * time.Millisecond
	f.say("delay of %s each way", long)
	var undo []func()
	nodes := slices.Clone(f.cluster.Nodes)
	table := fmt.Sprintf("delay%d", n.Index)
	divert := func(at int, to *testcluster.Node, port int) {
		host, intra, _ := strings.Cut(to.Intra, ":")
		f.net.rule(at, fmt.Sprintf("add rule ip %s out ip daddr %s tcp dport %s dnat to %s:%d", table, host, intra, relayAddress, port))
		f.net.rule(at, fmt.Sprintf("add rule ip %s old ip daddr %s tcp dport %s reject with tcp reset", table, host, intra))
	}
	ports := make(map[int]int)
	for _, to := range nodes {
		f.relays++
		ports[to.Index] = 30000 + f.relays%20000
		r, err := newRelay(fmt.Sprintf("%s:%d", relayAddress, ports[to.Index]), to.Intra, long)
		if err != nil {
			f.t.Fatal(err)
		}
		undo = append(undo, r.close)
	}
	for _, at := range nodes {
		f.net.rule(at.Index, "add table ip "+table)
		f.net.rule(at.Index, "add chain ip "+table+" out { type nat hook output priority -100 ; }")
		f.net.rule(at.Index, "add chain ip "+table+" old { type filter hook output priority 1 ; }")
		for _, to := range nodes {
			if at != to && (at == n || to == n) {
				divert(at.Index, to, ports[to.Index])
			}
		}
	}
	return func() {
		for _, at := range nodes {
			f.net.rule(at.Index, "delete table ip "+table)
		}
		for _, u := range undo {
			u()
		}
	}
}

// clock sets the wall clock of a node, by as much as signatures may be off.
func (f *faults) clock(n *testcluster.Node) func() {
	ahead := time.Duration(f.random.Int64N(int64(28*time.Minute))) - 14*time.Minute
	f.say("its clock is %s ahead", ahead)
	f.clocks.set(ahead, n.Index)
	return func() { f.clocks.set(0, n.Index) }
}

// faultsFile is what nodes with an odd number read, in place of the real state of their disks.
func (x *torture) faultsFile() string { return filepath.Join(x.cluster.Dir, "disk-faults") }

func (f *faults) setDisk(node int, lines string) func() {
	f.disk[node] = lines
	f.writeDisks()
	return func() {
		delete(f.disk, node)
		f.writeDisks()
	}
}

func (f *faults) writeDisks() {
	text := strings.Join(slices.Sorted(maps.Values(f.disk)), "")
	fresh := f.faultsFile() + ".new"
	if err := os.WriteFile(fresh, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(fresh, f.faultsFile()); err != nil {
		f.t.Fatal(err)
	}
}

func faulty(node int) bool { return node%2 == 1 }

func (f *faults) slowDisk(n *testcluster.Node) func() {
	if !faulty(n.Index) {
		return nil
	}
	long := time.Duration(20+f.random.IntN(600)) * time.Millisecond
	what := pick(f.random, []string{"sync", "write", "read"})
	path := pick(f.random, n.Mountpaths)
	f.say("each %s takes %s at %s", what, long, path)
	return f.setDisk(n.Index, fmt.Sprintf("%s %s %s\n", path, what, long))
}

// diskErrors lets a disk fail, and starts the node again afterwards.
func (f *faults) diskErrors(n *testcluster.Node) func() {
	if !faulty(n.Index) {
		return nil
	}
	what := pick(f.random, []string{"sync", "write", "read"})
	path := pick(f.random, n.Mountpaths)
	f.say("each %s fails at %s", what, path)
	repair := f.setDisk(n.Index, fmt.Sprintf("%s %s error\n", path, what))
	return func() {
		repair()
		n.Kill()
		f.launch(n)
	}
}

// fullDisk fills the small disk of the node that has one.
func (f *faults) fullDisk(*testcluster.Node) func() {
	const small = 2
	dir := f.full[small]
	if f.gone[small] || f.busy(small) {
		return nil
	}
	filler := filepath.Join(dir, "filler")
	file, err := os.Create(filler)
	if err != nil {
		f.t.Fatal(err)
	}
	defer file.Close()
	size := int64(0)
	for _, piece := range []int64{16 << 20, 1 << 20, 64 << 10, 4 << 10} {
		for err = nil; err == nil; size += piece {
			err = syscall.Fallocate(int(file.Fd()), 0, size, piece)
		}
		size -= piece
		if f.random.IntN(8) == 0 {
			break // leave some room
		}
	}
	f.say("full disk: %d MiB were left: %v", size>>20, err)
	return func() {
		if err := os.Remove(filler); err != nil {
			f.t.Fatal(err)
		}
	}
}

// smallDisk puts the mountpaths of a node onto a small file system.
func (f *faults) smallDisk(n *testcluster.Node) {
	f.t.Helper()
	dir := filepath.Join(f.cluster.Dir, fmt.Sprintf("small%d", n.Index))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		f.t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d", int64(smallDisk)), "tmpfs", dir).CombinedOutput(); err != nil {
		f.t.Fatalf("mount: %v\n%s", err, out)
	}
	f.t.Cleanup(func() {
		f.cluster.KillAll()
		_ = exec.Command("umount", "-l", dir).Run()
	})
	f.full[n.Index] = dir
	for i := range n.Mountpaths {
		n.Mountpaths[i] = filepath.Join(dir, fmt.Sprint("disk", i))
	}
}

// replace destroys a node with its disks when nothing misses a copy, and lets a new one join. The lost one stays in the map.
func (f *faults) replace(n *testcluster.Node) func() {
	if len(f.cluster.Nodes) == f.net.nodes || len(f.active) > 0 || f.lost >= 2 {
		return nil
	}
	for _, other := range f.cluster.Nodes {
		if !f.gone[other.Index] {
			if short, err := shortSlots(f.t.Context(), f.cluster, other); err != nil || short > 0 {
				f.say("node %d: %d slots miss a copy: %v", other.Index, short, err)
				return nil
			}
		}
	}
	n.Kill()
	entries, err := filepath.Glob(filepath.Join(n.Dir, "*"))
	if err != nil {
		f.t.Fatal(err)
	}
	for _, path := range append(entries, n.Mountpaths...) {
		if filepath.Base(path) == "cluster.secret" { // the others start with it
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			f.t.Fatal(err)
		}
	}
	f.lost++
	f.gone[n.Index] = true
	return f.grow(n)
}

// maintain lets others take over from a node, and then gives it back.
func (f *faults) maintain(n *testcluster.Node) func() {
	if f.short || f.gone[n.Index] || f.admin(n, "start-maintenance", loggedID(n)) != nil {
		return nil
	}
	return func() { f.maintained = append(f.maintained, n) }
}

// endMaintenance gives back the nodes in maintenance; what is refused is tried again.
func (f *faults) endMaintenance() {
	f.maintained = slices.DeleteFunc(f.maintained, func(n *testcluster.Node) bool { return f.admin(nil, "stop-maintenance", loggedID(n)) == nil })
}

// decommission lets a node go for ever, in order, when there are enough others.
func (f *faults) decommission(n *testcluster.Node) func() {
	if f.short || f.gone[n.Index] || len(f.there()) <= tortureNodes {
		return nil
	}
	f.gone[n.Index] = true
	f.meet(f.there())
	return func() { _ = f.admin(nil, "decommission", "--yes", loggedID(n)) } // tried again in the end
}

// becomeWhole lets the cluster forget the nodes that are gone, once others have all that they had, and waits until the map
// has nobody but those that are there, and no slot misses a copy.
func (f *faults) becomeWhole() {
	f.t.Helper()
	next := time.Now()
	err := testcluster.Poll(3*time.Minute, func(ctx context.Context) error {
		members := 0
		for _, n := range f.there() {
			short, err := shortSlots(ctx, f.cluster, n)
			if err == nil {
				members, err = gauge(ctx, f.cluster, n, "aisle_cluster_nodes")
			}
			if err != nil || short > 0 {
				return fmt.Errorf("node %d: %d slots miss a copy: %w", n.Index, short, err)
			}
		}
		if len(f.maintained) == 0 && members == len(f.there()) {
			return nil
		}
		if time.Now().After(next) {
			f.endMaintenance()
			for i := range f.gone {
				_ = f.admin(nil, "decommission", "--yes", loggedID(f.cluster.Nodes[i])) // what counts is who is in the map
			}
			next = time.Now().Add(5 * time.Second)
		}
		return fmt.Errorf("the map has %d nodes, and there are %d; in maintenance %d", members, len(f.there()), len(f.maintained))
	})
	if err != nil {
		f.problem("the cluster does not become whole: %v", err)
	}
}

// admin runs a command on nodes through one that has no fault, other than the given one.
func (f *faults) admin(but *testcluster.Node, command ...string) error {
	var through []*testcluster.Node
	for _, n := range f.there() {
		if n != but && !f.busy(n.Index) && n.Running() {
			through = append(through, n)
		}
	}
	if len(through) == 0 {
		return errors.New("no node to ask")
	}
	ctx, cancel := context.WithTimeout(f.t.Context(), 20*time.Second)
	defer cancel()
	args := append([]string{"cluster", "add-remove-nodes"}, command...)
	cmd := exec.CommandContext(ctx, testcluster.Binary(f.t), append(args, "--endpoint", pick(f.random, through).Endpoint)...)
	cmd.Env = []string{"HOME=" + f.cluster.Dir, "AISLE_ACCESS_KEY=" + testcluster.AccessKey, "AISLE_SECRET_KEY=" + testcluster.SecretKey}
	out, err := cmd.CombinedOutput()
	f.say("%v: %v %s", command, err, bytes.TrimSpace(out))
	return err
}

// loggedID finds the id that a node has given itself.
func loggedID(n *testcluster.Node) string {
	text, _ := os.ReadFile(n.Log) // a node without a log has no id
	_, rest, _ := strings.Cut(string(text), " node=")
	id, _, _ := strings.Cut(rest, " ")
	return id
}

// there are the nodes that were not lost for ever.
func (f *faults) there() []*testcluster.Node {
	return slices.DeleteFunc(slices.Clone(f.cluster.Nodes), func(n *testcluster.Node) bool { return f.gone[n.Index] })
}

// grow lets one more node join.
func (f *faults) grow(*testcluster.Node) func() {
	if len(f.cluster.Nodes) == f.net.nodes {
		return nil
	}
	n := f.cluster.AddNode()
	f.say("node %d joins", n.Index)
	n.Launch()
	f.meet(f.there())
	return func() {}
}
