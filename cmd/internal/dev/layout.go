package dev

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/aisle-store/aisle/cluster"
)

// Options describe a cluster to run.
type Options struct {
	Dir        string
	Nodes      int
	Mountpaths int // of each target
	Port       int // of the first node; others count up
	RoleSplit  bool
	Binary     string // the program that runs nodes
	Env        []string
	AccessKey  string // of a new cluster; generated when empty
	SecretKey  string
}

// The files of a directory besides those of the nodes.
const (
	layoutFile  = "dev.json"     // what the directory holds, for the next start
	clusterFile = "cluster.json" // what scripts read; see Cluster
	lockFile    = "dev.lock"
	socketFile  = "dev.sock"
	logFile     = "dev.log" // of a detached supervisor
)

// layout is what a directory holds. It stays the same over restarts.
type layout struct {
	Version    int      `json:"version"`
	Mountpaths int      `json:"mountpaths"`
	Port       int      `json:"port"`
	AccessKey  string   `json:"access_key"`
	SecretKey  string   `json:"secret_key"`
	Formed     bool     `json:"formed"` // the first node has made the cluster
	Members    []member `json:"members"`

	dir string
}

// member is one node of the cluster.
type member struct {
	Index      int      `json:"index"`
	Role       string   `json:"role"`
	Dir        string   `json:"dir"` // the node's state directory
	Mountpaths []string `json:"mountpaths"`
	Public     int      `json:"public"` // ports
	Intra      int      `json:"intra"`
	Gossip     int      `json:"gossip"`
}

const (
	host          = "127.0.0.1"
	bothRoles     = "proxy,target"
	portsPerNode  = 3
	layoutVersion = 1
)

func (m *member) endpoint() string { return fmt.Sprintf("http://%s:%d", host, m.Public) }
func (m *member) intra() string    { return net.JoinHostPort(host, strconv.Itoa(m.Intra)) }
func (m *member) log() string      { return filepath.Join(filepath.Dir(m.Dir), "node.log") }
func (m *member) proxy() bool      { return strings.Contains(m.Role, "proxy") }

// openLayout reads what a directory holds, or plans a new cluster in it.
func openLayout(o Options) (*layout, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	if l, err := readLayout(dir); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return l, err
	}
	l := &layout{Version: layoutVersion, Mountpaths: o.Mountpaths, Port: o.Port, AccessKey: o.AccessKey, SecretKey: o.SecretKey, dir: dir}
	if l.AccessKey == "" {
		l.AccessKey, l.SecretKey = newKeys()
	}
	switch {
	case o.Nodes < 1 || o.Nodes > 64 || o.Mountpaths < 1 || o.Mountpaths > 64:
		return nil, errors.New("--nodes and --mountpaths are between 1 and 64")
	case o.Port < 1 || o.Port+2*o.Nodes*portsPerNode > 65535:
		return nil, fmt.Errorf("--port %d leaves no room for %d nodes", o.Port, o.Nodes)
	}
	role := bothRoles
	if o.RoleSplit {
		role = "target"
	}
	for range o.Nodes {
		l.add(role)
	}
	if o.RoleSplit {
		for range o.Nodes {
			l.add("proxy")
		}
	}
	if err := l.checkPorts(); err != nil {
		return nil, err
	}
	return l, l.save()
}

// readLayout reads what a directory holds.
func readLayout(dir string) (*layout, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(dir, layoutFile))
	if err != nil {
		return nil, err
	}
	l := &layout{}
	if err := json.Unmarshal(text, l); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, layoutFile), err)
	}
	if l.Version != layoutVersion {
		return nil, fmt.Errorf("%s has form %d, and this version of aisle knows %d; use another --dir", layoutFile, l.Version, layoutVersion)
	}
	if len(l.Members) == 0 {
		return nil, fmt.Errorf("%s holds no nodes", filepath.Join(dir, layoutFile))
	}
	l.dir = dir
	return l, nil
}

// add plans one more node and returns its index.
func (l *layout) add(role string) int {
	i := len(l.Members)
	home := filepath.Join(l.dir, fmt.Sprintf("node%d", i))
	m := member{Index: i, Role: role, Dir: filepath.Join(home, "state")}
	m.Public = l.Port + portsPerNode*i
	m.Intra, m.Gossip = m.Public+1, m.Public+2
	if strings.Contains(role, "target") {
		for d := range l.Mountpaths {
			m.Mountpaths = append(m.Mountpaths, filepath.Join(home, fmt.Sprintf("disk%d", d+1)))
		}
	}
	l.Members = append(l.Members, m)
	return i
}

func (l *layout) save() error {
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return err
	}
	return writeJSON(filepath.Join(l.dir, layoutFile), l)
}

// checkPorts finds out whether another program has one of the ports.
func (l *layout) checkPorts() error {
	for i := range l.Members {
		if err := l.Members[i].checkPorts(); err != nil {
			return err
		}
	}
	return nil
}

func (m *member) checkPorts() error {
	for _, port := range []int{m.Public, m.Intra, m.Gossip} {
		listener, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err != nil {
			return fmt.Errorf("port %d of node %d is taken by another program; stop it, or use another --port (and --dir)", port, m.Index)
		}
		listener.Close()
	}
	return nil
}

// command returns the arguments that run a node.
func (l *layout) command(m *member) []string {
	address := func(port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }
	args := []string{"node", "--dir", m.Dir, "--role", m.Role, "--listen", address(m.Public), "--public-url", m.endpoint(),
		"--intra-listen", m.intra(), "--gossip-listen", address(m.Gossip)}
	for _, path := range m.Mountpaths {
		args = append(args, "--mountpath", path)
	}
	if m.Index == 0 && !l.Formed {
		return args
	}
	var others []string
	for i := range l.Members {
		if i != m.Index {
			others = append(others, l.Members[i].intra())
		}
	}
	if len(others) > 0 {
		args = append(args, "--join", strings.Join(others, ","))
	}
	return append(args, "--cluster-secret-file", filepath.Join(l.Members[0].Dir, "cluster.secret"))
}

// Cluster is what cluster.json says, for scripts.
type Cluster struct {
	Endpoints []string `json:"endpoints"` // of gateways that run
	PIDs      []int    `json:"pids"`      // of nodes that run
	AccessKey string   `json:"access_key"`
	SecretKey string   `json:"secret_key"`
	Nodes     []Node   `json:"nodes"`
}

// Node is one node of a Cluster.
type Node struct {
	Index      int            `json:"index"`
	ID         cluster.NodeID `json:"id"`
	Role       string         `json:"role"`
	Endpoint   string         `json:"endpoint"`
	PID        int            `json:"pid"` // 0 when it does not run
	Dir        string         `json:"dir"`
	Mountpaths []string       `json:"mountpaths"`
	Log        string         `json:"log"`
}

func newKeys() (access, secret string) {
	var a [8]byte
	var s [30]byte
	rand.Read(a[:])
	rand.Read(s[:])
	return "AISLE" + strings.ToUpper(hex.EncodeToString(a[:]))[:15], base64.RawURLEncoding.EncodeToString(s[:])
}

// writeJSON replaces a file, readable by its owner only.
func writeJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
