//go:build e2e

package e2e

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cmd/internal/testcluster"
)

// devClient signs with the keys that `aisle dev` made.
func devClient(s testcluster.State) *client {
	c := newClient(&testcluster.Cluster{})
	c.accessKey, c.secretKey = s.AccessKey, s.SecretKey
	return c
}

// TestDev walks through the life of a cluster on one machine: start, status, kill, start, add, stop, start again.
func TestDev(t *testing.T) {
	t.Parallel()
	d := testcluster.StartDev(t)
	s := d.State()
	if len(s.Nodes) != 3 || len(s.Endpoints) != 3 || len(s.PIDs) != 3 || s.AccessKey == "" || s.SecretKey == "" {
		t.Fatalf("cluster.json: %+v", s)
	}
	for i, n := range s.Nodes {
		if n.Index != i || n.ID == "" || n.Endpoint != s.Endpoints[i] || n.PID != s.PIDs[i] || len(n.Mountpaths) != 2 || !testcluster.Alive(n.PID) {
			t.Errorf("node %d in cluster.json: %+v", i, n)
		}
		if !strings.HasPrefix(n.Dir, d.Dir) || !filepath.IsAbs(n.Dir) {
			t.Errorf("node %d keeps its state in %s, not under %s", i, n.Dir, d.Dir)
		}
	}
	cl := devClient(s)
	put := func(node int, key string) {
		t.Helper()
		cl.must(t, request{method: http.MethodPut, endpoint: d.State().Endpoints[node], bucket: "life", key: key, body: []byte(key)}, 200)
	}
	check := func(when string, keys ...string) {
		t.Helper()
		for _, e := range d.State().Endpoints {
			for _, key := range keys {
				rep := cl.must(t, request{method: http.MethodGet, endpoint: e, bucket: "life", key: key}, 200)
				if string(rep.body) != key {
					t.Errorf("%s: %s holds %q", when, key, rep.body)
				}
			}
		}
	}
	cl.must(t, request{method: http.MethodPut, endpoint: s.Endpoints[0], bucket: "life"}, 200)
	for i, key := range []string{"a", "b", "c", "d", "e", "f"} {
		put(i%3, key)
	}
	check("at first", "a", "b", "c", "d", "e", "f")

	d.Run(append([]string{"kill"}, d.Node(1)...)...)
	if testcluster.Alive(s.Nodes[1].PID) {
		t.Error("a killed node is alive")
	}
	if out := d.Run("status"); len(out) < 20 {
		t.Errorf("aisle dev status: %q", out)
	}
	d.Run("start")
	check("after kill and start of a node", "a", "b", "c", "d", "e", "f")
	if after := d.State().Nodes[1]; after.ID != s.Nodes[1].ID || after.PID == s.Nodes[1].PID || !testcluster.Alive(after.PID) {
		t.Errorf("node 1 was %+v and came back as %+v", s.Nodes[1], after)
	}

	d.Run("add")
	if n := len(d.State().Nodes); n != 4 {
		t.Errorf("%d nodes after add, want 4", n)
	}
	put(3, "g")
	check("with a node more", "a", "b", "c", "d", "e", "f", "g")

	d.Run(append([]string{"stop"}, d.Node(2)...)...)
	d.Run(append([]string{"start"}, d.Node(2)...)...)
	check("after stop and start of a node", "a", "g")

	pids := d.State().PIDs
	d.Run("stop")
	for _, pid := range pids {
		if testcluster.Alive(pid) {
			t.Errorf("process %d runs after aisle dev stop", pid)
		}
	}
	d.Run("start")
	check("after stop and start of all", "a", "b", "c", "d", "e", "f", "g")
	d.Run("kill")
	time.Sleep(100 * time.Millisecond)
	d.Run("start")
	check("after kill and start of all", "a", "b", "c", "d", "e", "f", "g")
}

// TestDevSplit starts gateways and targets as separate processes.
func TestDevSplit(t *testing.T) {
	t.Parallel()
	d := testcluster.StartDev(t, "--role-split", "--nodes", "2", "--mountpaths", "1")
	s := d.State()
	cl := devClient(s)
	cl.must(t, request{method: http.MethodPut, endpoint: s.Endpoints[0], bucket: "split"}, 200)
	for i := range 20 {
		key := strings.Repeat("k", i+1)
		cl.must(t, request{method: http.MethodPut, endpoint: s.Endpoints[i%len(s.Endpoints)], bucket: "split", key: key, body: []byte(key)}, 200)
		rep := cl.must(t, request{method: http.MethodGet, endpoint: s.Endpoints[(i+1)%len(s.Endpoints)], bucket: "split", key: key}, 200)
		if string(rep.body) != key {
			t.Errorf("%s holds %q", key, rep.body)
		}
	}
}
