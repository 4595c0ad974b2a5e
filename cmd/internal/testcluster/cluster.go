// Package testcluster starts real clusters of bin/aisle processes on this machine for tests, breaks them on purpose, and
// ends every process it started, also when the test panics or is killed.
package testcluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The root key of every cluster started here.
const (
	AccessKey = "AISLETESTROOTKEY0001"
	SecretKey = "aisle-test-secret-key-0123456789abcdefgh"
)

// Options say what cluster to start.
type Options struct {
	Nodes      int                     // 3 when zero
	Mountpaths int                     // of each node; 2 when zero
	TLS        bool                    // https on the public ports
	Host       func(node int) string   // the address of a node; 127.0.0.1 when nil
	Wrap       func(node int) []string // what to put before the command, as "ip netns exec NAME"
	Args       []string                // further arguments of every node
	Env        []string                // further environment of every node
	NodeEnv    func(node int) []string // and of one
	Binary     string                  // the program; that of Binary when empty
}

// Cluster is a set of processes that form one cluster.
type Cluster struct {
	Dir    string // everything the cluster and its tests write
	CAFile string // certificate to trust, with Options.TLS
	Nodes  []*Node

	t       testing.TB
	options Options
	http    *http.Client
	spawner *spawner
}

// Node is one node's process.
type Node struct {
	Index      int
	ID         string // known of clusters made by `aisle dev`
	Dir        string // state directory
	Mountpaths []string
	Endpoint   string // URL for clients
	Intra      string // HOST:PORT for nodes
	Gossip     string
	Log        string // file with the process's output

	cluster *Cluster
	process *process
}

// Start starts a cluster by `aisle node`, one process for each node, and returns when every node serves.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	c := New(t, o)
	c.StartAll()
	return c
}

// New prepares a cluster without starting a process.
func New(t testing.TB, o Options) *Cluster {
	t.Helper()
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	if o.Mountpaths == 0 {
		o.Mountpaths = 2
	}
	if o.Host == nil {
		o.Host = func(int) string { return "127.0.0.1" }
	}
	c := &Cluster{Dir: scratch(t), t: t, options: o, spawner: newSpawner()}
	c.http = &http.Client{Timeout: 3 * time.Second}
	t.Cleanup(c.close)
	if o.TLS {
		c.makeCertificate()
	}
	for range o.Nodes {
		c.AddNode()
	}
	return c
}

// AddNode prepares one more node and returns it; Start it to let it join.
func (c *Cluster) AddNode() *Node {
	c.t.Helper()
	i := len(c.Nodes)
	n := &Node{Index: i, Dir: filepath.Join(c.Dir, fmt.Sprintf("node%d", i)), cluster: c}
	n.Log = n.Dir + ".log"
	for m := range c.options.Mountpaths {
		n.Mountpaths = append(n.Mountpaths, filepath.Join(c.Dir, fmt.Sprintf("node%d-disk%d", i, m)))
	}
	n.Readdress()
	c.Nodes = append(c.Nodes, n)
	return n
}

// Readdress gives a node that does not run other ports.
func (n *Node) Readdress() {
	n.cluster.t.Helper()
	host := n.cluster.options.Host(n.Index)
	ports := FreePorts(n.cluster.t, 3)
	scheme := "http"
	if n.cluster.options.TLS {
		scheme = "https"
	}
	n.Endpoint = fmt.Sprintf("%s://%s:%d", scheme, host, ports[0])
	n.Intra = fmt.Sprintf("%s:%d", host, ports[1])
	n.Gossip = fmt.Sprintf("%s:%d", host, ports[2])
}

// StartAll starts every node that does not run and waits until all serve.
func (c *Cluster) StartAll() {
	c.t.Helper()
	for _, n := range c.Nodes {
		if n.Running() {
			continue
		}
		n.Launch()
		if n.Index == 0 && !exists(c.secretFile()) { // the first node of a new cluster makes what the others need
			n.WaitReady(30 * time.Second)
		}
	}
	for _, n := range c.Nodes {
		n.WaitReady(90 * time.Second)
	}
}

// secretFile is the cluster secret, made by the first node.
func (c *Cluster) secretFile() string { return filepath.Join(c.Nodes[0].Dir, "cluster.secret") }

// Command returns the command line that runs the node.
func (n *Node) Command() []string {
	c := n.cluster
	_, listen, _ := strings.Cut(n.Endpoint, "://")
	var args []string
	if c.options.Wrap != nil {
		args = append(args, c.options.Wrap(n.Index)...)
	}
	binary := c.options.Binary
	if binary == "" {
		binary = Binary(c.t)
	}
	args = append(args, binary, "node", "--dir", n.Dir, "--listen", listen, "--intra-listen", n.Intra,
		"--gossip-listen", n.Gossip, "--public-url", n.Endpoint)
	for _, m := range n.Mountpaths {
		args = append(args, "--mountpath", m)
	}
	var join []string
	for _, other := range c.Nodes {
		if other != n {
			join = append(join, other.Intra)
		}
	}
	if n.Index > 0 || exists(c.secretFile()) {
		args = append(args, "--join", strings.Join(join, ","), "--cluster-secret-file", c.secretFile())
	}
	if c.options.TLS {
		args = append(args, "--tls-cert", filepath.Join(c.Dir, "tls.crt"), "--tls-key", filepath.Join(c.Dir, "tls.key"))
	}
	return append(args, c.options.Args...)
}

// Launch starts the node's process and does not wait for it to serve.
func (n *Node) Launch() {
	n.cluster.t.Helper()
	p, err := n.cluster.spawner.start(n.Command(), n.env(), n.Log)
	if err != nil {
		n.cluster.t.Fatalf("start node %d: %v", n.Index, err)
	}
	n.process = p
}

// Start starts the node's process and waits until it serves.
func (n *Node) Start() {
	n.cluster.t.Helper()
	n.Launch()
	n.WaitReady(90 * time.Second)
}

// Running reports whether the node's process exists.
func (n *Node) Running() bool { return n.process != nil && !n.process.exited() }

// PID returns the id of the node's process.
func (n *Node) PID() int { return n.process.pid() }

// Kill ends the process by SIGKILL and waits for its end.
func (n *Node) Kill() {
	n.signal(syscall.SIGKILL)
	_ = n.process.wait(10 * time.Second) // ended by a signal, as it was asked to
}

// Stop ends the process gracefully and fails the test when that takes longer than 30 s or is not clean.
func (n *Node) Stop() {
	n.cluster.t.Helper()
	n.signal(syscall.SIGTERM)
	if err := n.process.wait(30 * time.Second); err != nil {
		n.cluster.t.Errorf("node %d did not stop well: %v", n.Index, err)
	}
}

// Pause stops the process by SIGSTOP; Resume lets it go on.
func (n *Node) Pause() { n.signal(syscall.SIGSTOP) }

// Resume lets a paused process go on.
func (n *Node) Resume() { n.signal(syscall.SIGCONT) }

func (n *Node) signal(s syscall.Signal) {
	if n.Running() {
		_ = n.process.signal(s)
	}
}

// WaitExit waits for the process to end by itself and returns how.
func (n *Node) WaitExit(limit time.Duration) error { return n.process.wait(limit) }

// WaitReady waits until the node says that it serves.
func (n *Node) WaitReady(limit time.Duration) {
	n.cluster.t.Helper()
	err := Poll(limit, func(ctx context.Context) error {
		if n.process != nil && n.process.exited() {
			return fmt.Errorf("the process ended: %w", n.process.wait(0))
		}
		return n.Ready(ctx)
	})
	if err != nil {
		n.cluster.t.Fatalf("node %d does not serve after %s: %v\n%s", n.Index, limit, err, n.LogTail(30))
	}
}

// Ready asks the node once whether it serves.
func (n *Node) Ready(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.Endpoint+"/-/ready", nil)
	if err != nil {
		return err
	}
	res, err := n.cluster.http.Do(req)
	if err != nil {
		return err
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("/-/ready: %s", res.Status)
	}
	return nil
}

// LogTail returns the last lines of the node's output.
func (n *Node) LogTail(lines int) string {
	text, err := os.ReadFile(n.Log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Endpoints returns the URLs of all nodes.
func (c *Cluster) Endpoints() []string {
	var all []string
	for _, n := range c.Nodes {
		all = append(all, n.Endpoint)
	}
	return all
}

// KillAll ends every process at the same moment by SIGKILL.
func (c *Cluster) KillAll() {
	for _, n := range c.Nodes {
		n.signal(syscall.SIGKILL)
	}
	for _, n := range c.Nodes {
		if n.process != nil {
			_ = n.process.wait(10 * time.Second)
		}
	}
}

// TLSConfig returns a client configuration that trusts the cluster's certificate; nil without TLS.
func (c *Cluster) TLSConfig() *tls.Config {
	if c.CAFile == "" {
		return nil
	}
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		c.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: pool}
}

func (c *Cluster) transport() *http.Transport { return &http.Transport{TLSClientConfig: c.TLSConfig()} }

// env is the whole environment of a node: nothing of the developer's reaches it.
func (c *Cluster) env() []string {
	return append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + c.Dir,
		"AISLE_ACCESS_KEY=" + AccessKey, "AISLE_SECRET_KEY=" + SecretKey,
	}, c.options.Env...)
}

func (n *Node) env() []string {
	all := n.cluster.env()
	if of := n.cluster.options.NodeEnv; of != nil {
		all = append(all, of(n.Index)...)
	}
	return all
}

func (c *Cluster) close() {
	if c.t.Failed() {
		for _, n := range c.Nodes {
			c.t.Logf("last lines of node %d:\n%s", n.Index, n.LogTail(25))
		}
	}
	c.spawner.close()
	removeUnlessFailed(c.t, c.Dir)
}
