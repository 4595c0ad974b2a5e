package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cmd/internal/dev"
)

// asProgram makes the test binary run as the program itself: what `aisle dev` starts are its own executable.
const asProgram = "AISLE_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(Run(ctx, os.Args[1:], Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.Getenv, Version: "test"}))
}

// shell runs command lines in processes of their own.
type shell struct {
	t   *testing.T
	dir string
}

func newShell(t *testing.T) *shell { return &shell{t: t, dir: t.TempDir()} }

func (s *shell) start(args ...string) *exec.Cmd {
	s.t.Helper()
	binary, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(binary, args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"HOME=" + s.dir, asProgram + "=1", "PATH=" + os.Getenv("PATH")}
	return cmd
}

// try runs a command line and returns its output and whether it succeeded.
func (s *shell) try(args ...string) (string, bool) {
	s.t.Helper()
	cmd := s.start(args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	return s.t.Name() + ": " + strings.Join(args, " ") + "\n" + out.String(), cmd.Run() == nil
}

// run runs a command line that must succeed and returns its standard output.
func (s *shell) run(args ...string) string {
	s.t.Helper()
	cmd := s.start(args...)
	var out, errors bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errors
	if err := cmd.Run(); err != nil {
		s.t.Fatalf("aisle %s: %v\n%s%s", strings.Join(args, " "), err, out.String(), errors.String())
	}
	return out.String()
}

// fail runs a command line that must fail with a message.
func (s *shell) fail(message string, args ...string) {
	s.t.Helper()
	cmd := s.start(args...)
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), message) {
		s.t.Errorf("aisle %s: %v\n%s\nwant %q", strings.Join(args, " "), err, out, message)
	}
}

func (s *shell) cluster() dev.Cluster {
	s.t.Helper()
	path := filepath.Join(s.dir, "d", "cluster.json")
	text, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		s.t.Errorf("cluster.json: %v, %v", info.Mode(), err)
	}
	var c dev.Cluster
	if err := json.Unmarshal(text, &c); err != nil {
		s.t.Fatal(err)
	}
	return c
}

// await waits until a condition holds.
func (s *shell) await(what string, ok func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatal("waited in vain: " + what)
		}
	}
}

func alive(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(text), ") Z ")
}

// freePort returns a port after which n more are free.
func freePort(t *testing.T, n int) string {
	t.Helper()
	for range 100 {
		port := 20000 + rand.IntN(10000)
		if !slices.ContainsFunc(slices.Collect(portsFrom(port, n)), taken) {
			return fmt.Sprint(port)
		}
	}
	t.Fatal("no free ports")
	return ""
}

func portsFrom(port, n int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(port + i) {
				return
			}
		}
	}
}

func taken(port int) bool {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return true
	}
	l.Close()
	return false
}

// TestDevDetached walks through the life of a cluster in the background.
func TestDevDetached(t *testing.T) {
	s := newShell(t)
	s.run("dev", "--dir", "d", "--nodes", "2", "--mountpaths", "1", "--port", freePort(t, 12), "--detach")
	t.Cleanup(func() { s.try("dev", "stop", "--dir", "d") })
	c := s.cluster()
	if len(c.Endpoints) != 2 || len(c.PIDs) != 2 || len(c.Nodes) != 2 || c.Nodes[0].ID == "" || len(c.Nodes[1].Mountpaths) != 1 {
		t.Fatalf("cluster.json: %+v", c)
	}
	s.fail("in use by a running", "dev", "--dir", "d")
	s.run("create", "ais://photos")
	s.run("put", "/proc/self/exe", "ais://photos/program")
	before := s.run("object", "show", "ais://photos/program")

	// A node killed from outside is noticed, and comes back with its data.
	if err := syscall.Kill(c.PIDs[1], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.await("cluster.json has one pid", func() bool { return len(s.cluster().PIDs) == 1 })
	s.run("dev", "start", "--dir", "d", "--node", "1")
	if again := s.cluster(); again.Nodes[1].PID == c.Nodes[1].PID || again.Nodes[1].PID == 0 || again.Nodes[1].Endpoint != c.Nodes[1].Endpoint {
		t.Errorf("after the restart: %+v", again.Nodes[1])
	}
	s.run("dev", "add", "--dir", "d")
	if c = s.cluster(); len(c.PIDs) != 3 || len(c.Nodes) != 3 {
		t.Errorf("after add: %+v", c)
	}
	s.run("dev", "stop", "--dir", "d", "--node", "2")
	if c = s.cluster(); len(c.PIDs) != 2 || c.Nodes[2].PID != 0 {
		t.Errorf("after stop of one: %+v", c)
	}
	// Everything stops, nothing is left, and everything comes back.
	s.run("dev", "stop", "--dir", "d")
	for _, pid := range c.PIDs {
		if alive(pid) {
			t.Errorf("process %d still runs", pid)
		}
	}
	s.fail("dev start", "dev", "add", "--dir", "d")
	s.run("dev", "start", "--dir", "d")
	if again := s.cluster(); len(again.PIDs) != 3 || again.Endpoints[0] != c.Endpoints[0] {
		t.Errorf("after start: %+v", again)
	}
	for _, endpoint := range s.cluster().Endpoints {
		after := s.run("object", "show", "ais://photos/program", "--endpoint", endpoint)
		if trim(after) != trim(before) {
			t.Errorf("the object changed:\n%s\n%s", before, after)
		}
	}
}

// trim leaves out of an object's properties when it was read, and where it lies: it may have moved to the node that was added.
func trim(properties string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(properties, "\n"), func(line string) bool {
		return strings.HasPrefix(line, "atime") || strings.HasPrefix(line, "location")
	}), "\n")
}

// TestDevInForeground shows that nodes end with their supervisor, told or killed.
func TestDevInForeground(t *testing.T) {
	s := newShell(t)
	port := freePort(t, 12)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		cmd := s.start("dev", "--dir", "d", "--nodes", "1", "--mountpaths", "1", "--port", port, "--role-split")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		text := make([]byte, 64<<10)
		if _, err := io.ReadAtLeast(out, text, 20); err != nil || !strings.Contains(string(text), "serves") {
			t.Fatalf("%s, %v", text, err)
		}
		c := s.cluster()
		if len(c.PIDs) != 2 || len(c.Endpoints) != 1 || c.Nodes[0].Role != "target" || c.Nodes[1].Role != "proxy" {
			t.Errorf("cluster.json: %+v", c)
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, out)
		if err := cmd.Wait(); err == nil && sig == syscall.SIGKILL {
			t.Error("a killed process succeeded")
		}
		s.await("all nodes end", func() bool { return !slices.ContainsFunc(c.PIDs, alive) })
		if sig == syscall.SIGINT && len(s.cluster().PIDs) != 0 {
			t.Errorf("cluster.json after the end: %+v", s.cluster())
		}
	}
}

func TestDevRefusesATakenPort(t *testing.T) {
	s := newShell(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
	s.fail("port "+port+" of node 0 is taken", "dev", "--dir", "d", "--port", port)
	s.fail("port "+port+" of node 0 is taken", "dev", "--dir", "d", "--port", port, "--detach")
	s.fail("--nodes and --mountpaths", "dev", "--dir", "d", "--nodes", "0")
	s.fail("there is no dev cluster", "dev", "status", "--dir", "nothing")
}

// TestNodeRefuses shows what `aisle node` says when it cannot start.
func TestNodeRefuses(t *testing.T) {
	s := newShell(t)
	node := func(more ...string) []string {
		return append([]string{"node", "--dir", "state", "--mountpath", "disk", "--listen", "127.0.0.1:0", "--intra-listen", "127.0.0.1:0",
			"--gossip-listen", "127.0.0.1:" + freePort(t, 1)}, more...)
	}
	s.fail("needs its secret", node("--join", "127.0.0.1:1")...)
	if err := os.WriteFile(filepath.Join(s.dir, "short"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.fail("secret", node("--cluster-secret-file", "short")...)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s.fail("the port is taken", node("--listen", l.Addr().String())...)
	s.fail("this node has the mountpath", "node", "--dir", "state", "--mountpath", "other")
	if err := os.MkdirAll(filepath.Join(s.dir, "full", "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.fail("is not empty (it holds data)", "node", "--dir", "state2", "--mountpath", "full")
	if err := os.MkdirAll(filepath.Join(s.dir, "foreign"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "foreign", "format.json"), []byte(`{"node":"n0"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s.fail("belongs to another node", "node", "--dir", "state2", "--mountpath", "foreign")
}
