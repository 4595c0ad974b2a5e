//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cmd/internal/testcluster"
)

// contents are objects that must be there whatever happens to the nodes.
type contents struct {
	t       *testing.T
	cluster *testcluster.Cluster
	client  *client
	bucket  string
	texts   map[string]string
}

func newContents(t *testing.T, c *testcluster.Cluster, bucket string) *contents {
	t.Helper()
	s := &contents{t, c, newClient(c), bucket, make(map[string]string)}
	s.client.must(t, request{method: http.MethodPut, endpoint: c.Nodes[0].Endpoint, bucket: bucket}, 200)
	return s
}

// write adds objects through every node in turn.
func (s *contents) write(prefix string, n int) {
	s.t.Helper()
	for i := range n {
		key := fmt.Sprintf("%s/%d", prefix, i)
		node := s.cluster.Nodes[i%len(s.cluster.Nodes)]
		s.client.must(s.t, request{method: http.MethodPut, endpoint: node.Endpoint, bucket: s.bucket, key: key, body: []byte("text of " + key)}, 200)
		s.texts[key] = "text of " + key
	}
}

// check reads every object through every node.
func (s *contents) check(when string) {
	s.t.Helper()
	for _, node := range s.cluster.Nodes {
		for key, text := range s.texts {
			rep := s.client.must(s.t, request{method: http.MethodGet, endpoint: node.Endpoint, bucket: s.bucket, key: key}, 200)
			if string(rep.body) != text {
				s.t.Errorf("%s: %s through node %d is %q", when, key, node.Index, rep.body)
			}
		}
	}
}

// TestRejoin stops, kills and restarts nodes in several orders, under other addresses as well, and lets a new one join.
func TestRejoin(t *testing.T) {
	t.Parallel()
	c := testcluster.Start(t, testcluster.Options{})
	s := newContents(t, c, "rejoin")
	s.write("first", 40)
	s.check("at first")

	for _, n := range c.Nodes { // a rolling restart, gracefully
		n.Stop()
		n.Start()
	}
	s.check("after a rolling restart")

	for _, order := range [][]int{{2, 1, 0}, {1, 2, 0}, {0, 2, 1}} {
		c.KillAll()
		for _, i := range order {
			c.Nodes[i].Launch()
		}
		c.StartAll()
		s.check(fmt.Sprint("started in the order ", order))
	}

	s.write("second", 20)
	c.KillAll()
	for _, n := range c.Nodes {
		n.Readdress()
	}
	for _, i := range []int{1, 2, 0} {
		c.Nodes[i].Launch()
	}
	c.StartAll()
	s.check("every node at other ports")

	c.Nodes[1].Stop()
	c.Nodes[1].Readdress()
	c.Nodes[1].Start()
	s.check("one node at other ports")

	c.AddNode().Start()
	s.write("third", 40)
	s.check("with a fourth node")
}

// TestDownIsUnavailable: what only a dead node holds is answered 503 with Retry-After, never 404, and the rest goes on.
func TestDownIsUnavailable(t *testing.T) {
	t.Parallel()
	c := testcluster.Start(t, testcluster.Options{Env: oneCopy()})
	s := newContents(t, c, "down")
	s.write("key", 60)
	dead := follower(t, c)
	c.Nodes[dead].Kill()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	counts := make(map[int]int)
	for key, text := range s.texts {
		node := c.Nodes[(dead+1)%3]
		rep, err := s.client.do(ctx, request{method: http.MethodHead, endpoint: node.Endpoint, bucket: s.bucket, key: key})
		if err != nil {
			t.Fatal(err)
		}
		counts[rep.status]++
		switch {
		case rep.status == 503 && rep.header.Get("Retry-After") == "":
			t.Errorf("%s: 503 without Retry-After", key)
		case rep.status == 200 && rep.header.Get("Content-Length") != fmt.Sprint(len(text)):
			t.Errorf("%s: %v", key, rep.header)
		}
		if counts[503] >= 3 && counts[200] >= 3 { // each 503 may take the time that a gateway waits for a map
			break
		}
	}
	if counts[200] == 0 || counts[503] == 0 || len(counts) != 2 {
		t.Errorf("statuses with one of three nodes dead: %v, want some 200, some 503 and nothing else", counts)
	}
	list, err := s.client.do(ctx, request{method: http.MethodGet, endpoint: c.Nodes[(dead+1)%3].Endpoint, bucket: s.bucket, query: "list-type=2"})
	if err != nil || list.status != 503 {
		t.Errorf("a list that cannot be complete: %s %v, want 503", list, err)
	}
	c.Nodes[dead].Start()
	s.check("the dead node came back")
}

// TestForeignNode: without the cluster's secret nobody joins, and a mountpath of another node is refused.
func TestForeignNode(t *testing.T) {
	t.Parallel()
	c := testcluster.Start(t, testcluster.Options{})
	s := newContents(t, c, "foreign")
	s.write("key", 20)

	wrong := filepath.Join(c.Dir, "wrong.secret")
	if err := os.WriteFile(wrong, []byte("bm90IHRoZSBzZWNyZXQgb2YgdGhpcyBjbHVzdGVyISE="), 0o600); err != nil {
		t.Fatal(err)
	}
	stranger := testcluster.New(t, testcluster.Options{Nodes: 1, Args: []string{"--join", c.Nodes[0].Intra, "--cluster-secret-file", wrong}}).Nodes[0]
	stranger.Launch()
	_ = stranger.WaitExit(15 * time.Second)
	if stranger.Ready(t.Context()) == nil {
		t.Error("a node with another secret serves")
	}
	s.check("after a stranger knocked")

	n := c.Nodes[2]
	n.Stop()
	paths := n.Mountpaths
	n.Mountpaths = []string{c.Nodes[1].Mountpaths[0], paths[1]}
	n.Launch()
	_ = n.WaitExit(10 * time.Second)
	unavailable := 0
	for key := range s.texts {
		rep, err := s.client.do(t.Context(), request{method: http.MethodGet, endpoint: c.Nodes[0].Endpoint, bucket: s.bucket, key: key})
		if err != nil || rep.status != 200 && rep.status != 503 {
			t.Errorf("%s: %s %v while a disk of its node is missing", key, rep, err)
		}
		if rep.status == 503 {
			unavailable++
		}
		if unavailable == 2 { // each takes as long as a gateway waits for a map
			break
		}
	}
	if n.Running() {
		n.Kill()
	}
	n.Mountpaths = paths
	n.Start()
	s.check("with its own disks again")
}

// TestStopAtOnce stops the leader gracefully at a moment when the cluster has just formed and votes are still being given.
func TestStopAtOnce(t *testing.T) {
	t.Parallel()
	for range 5 {
		c := testcluster.Start(t, testcluster.Options{})
		c.Nodes[0].Stop()
		c.Nodes[0].Start()
		newContents(t, c, "at-once").check("after a stop at once")
	}
}
