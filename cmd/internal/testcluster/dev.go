package testcluster

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Dev is a cluster made by `aisle dev --detach`, driven as a user's script would drive it.
type Dev struct {
	Dir string // what --dir names

	t       testing.TB
	release func() // lets the guardian go and waits for it
}

// State is the content of DIR/cluster.json.
type State struct {
	Endpoints []string  `json:"endpoints"`
	PIDs      []int     `json:"pids"`
	AccessKey string    `json:"access_key"`
	SecretKey string    `json:"secret_key"`
	Nodes     []DevNode `json:"nodes"`
}

// DevNode is one node of State.
type DevNode struct {
	Index      int      `json:"index"`
	ID         string   `json:"id"`
	Endpoint   string   `json:"endpoint"`
	PID        int      `json:"pid"`
	Dir        string   `json:"dir"`
	Mountpaths []string `json:"mountpaths"`
}

// StartDev starts a cluster by `aisle dev --detach` and further arguments.
func StartDev(t testing.TB, args ...string) *Dev {
	t.Helper()
	d := &Dev{Dir: filepath.Join(scratch(t), "dev"), t: t}
	d.guard()
	t.Cleanup(d.close)
	port := FreePorts(t, 1)[0]
	d.Run(append([]string{"--port", strconv.Itoa(port), "--detach"}, args...)...)
	return d
}

// guard starts a shell that ends the cluster when this process ends in whatever way: detached nodes are nobody's children,
// but the pipe that the shell reads closes with us.
func (d *Dev) guard() {
	guardian := exec.Command("sh", "-c", `read -r _; exec "$0" dev kill --dir "$1"`, Binary(d.t), d.Dir)
	guardian.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	guardian.Env = d.env()
	stdin, err := guardian.StdinPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	if err := guardian.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.release = func() {
		stdin.Close()
		_ = guardian.Wait() // by now there is nothing left to kill, which it reports
	}
}

// Run runs `aisle dev ARGS --dir DIR` and returns what it printed; a failure ends the test.
func (d *Dev) Run(args ...string) string {
	d.t.Helper()
	out, err := d.Try(args...)
	if err != nil {
		d.t.Fatalf("aisle dev %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// Try is Run for commands that may fail.
func (d *Dev) Try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, Binary(d.t), append(append([]string{"dev"}, args...), "--dir", d.Dir)...)
	cmd.Env = d.env()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Node names a node on the command line of `aisle dev start`, stop and kill.
func (d *Dev) Node(index int) []string { return []string{"--node", strconv.Itoa(index)} }

// State reads DIR/cluster.json.
func (d *Dev) State() State {
	d.t.Helper()
	path := filepath.Join(d.Dir, "cluster.json")
	text, err := os.ReadFile(path)
	if err != nil {
		d.t.Fatal(err)
	}
	var s State
	if err := json.Unmarshal(text, &s); err != nil {
		d.t.Fatalf("%s: %v", path, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		d.t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		d.t.Errorf("%s holds keys and has mode %o, want 600", path, info.Mode().Perm())
	}
	return s
}

// Alive reports whether a process exists and is no zombie.
func Alive(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(text), ") ")
	return !strings.HasPrefix(after, "Z")
}

// env keeps profiles that `aisle dev` writes out of the developer's home.
func (d *Dev) env() []string {
	home := filepath.Dir(d.Dir)
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "XDG_CONFIG_HOME=" + filepath.Join(home, "config")}
}

func (d *Dev) close() {
	if d.t.Failed() {
		logs, _ := filepath.Glob(filepath.Join(d.Dir, "*.log"))
		more, _ := filepath.Glob(filepath.Join(d.Dir, "*", "*.log"))
		for _, log := range append(logs, more...) {
			d.t.Logf("last lines of %s:\n%s", log, (&Node{Log: log}).LogTail(25))
		}
	}
	if exists(filepath.Join(d.Dir, "cluster.json")) {
		if out, err := d.Try("kill"); err != nil {
			d.t.Errorf("aisle dev kill: %v\n%s", err, out)
		}
	}
	d.release()
	removeUnlessFailed(d.t, filepath.Dir(d.Dir))
}
