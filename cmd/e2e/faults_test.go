//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster/config"
	"github.com/aisle-store/aisle/cmd/internal/testcluster"
)

// calm is how long the load runs before a fault, and after it: enough for every client to do its part.
const calm = 12 * time.Second

// oneCopy is the environment of clusters whose buckets keep one copy of each object, when a test is about that: what a node
// owns waits for it.
func oneCopy() []string { return []string{config.NewBucketReplicas.Env() + "=1"} }

// withFault runs the load, on a bucket of one copy, around a fault and checks what the clients saw.
func withFault(t *testing.T, o testcluster.Options, name string, fault func(c *testcluster.Cluster)) {
	t.Helper()
	t.Parallel()
	o.Env = oneCopy()
	c := testcluster.Start(t, o)
	h := startHistory(t, c, name)
	time.Sleep(calm)
	h.faultBegins()
	fault(c)
	h.faultEnds()
	time.Sleep(calm)
	h.finish()
}

// TestFaultPause stops a node for a minute: far longer than any lease, so the others have gone on without it. When it
// goes on it must not answer from what it knew.
func TestFaultPause(t *testing.T) {
	withFault(t, testcluster.Options{}, "fault-pause", func(c *testcluster.Cluster) {
		n := c.Nodes[follower(t, c)]
		n.Pause()
		time.Sleep(60 * time.Second)
		n.Resume()
	})
}

// TestFaultLeader kills the leader of the control plane, waits until another leads, and brings it back.
func TestFaultLeader(t *testing.T) {
	withFault(t, testcluster.Options{}, "fault-leader", func(c *testcluster.Cluster) {
		for range 2 {
			n := c.Nodes[leader(t, c)]
			n.Kill()
			time.Sleep(10 * time.Second)
			n.Start()
		}
	})
}

// TestFaultPauseLeader stops the leader for ten seconds, twice: it wakes up believing that it leads and holds leases.
func TestFaultPauseLeader(t *testing.T) {
	withFault(t, testcluster.Options{}, "fault-pause-leader", func(c *testcluster.Cluster) {
		for range 2 {
			n := c.Nodes[leader(t, c)]
			n.Pause()
			time.Sleep(10 * time.Second)
			n.Resume()
			time.Sleep(5 * time.Second)
		}
	})
}

// TestFaultKillAll kills every process at the same moment under load, twice, and starts them again.
func TestFaultKillAll(t *testing.T) {
	withFault(t, testcluster.Options{}, "fault-kill-all", func(c *testcluster.Cluster) {
		for range 2 {
			c.KillAll()
			c.StartAll()
			time.Sleep(3 * time.Second)
		}
	})
}

// TestFaultKillOne kills one node after another under load.
func TestFaultKillOne(t *testing.T) {
	withFault(t, testcluster.Options{}, "fault-kill-one", func(c *testcluster.Cluster) {
		for _, n := range c.Nodes {
			n.Kill()
			time.Sleep(4 * time.Second)
			n.Start()
		}
	})
}

// TestOneNodeKilled: a cluster of one node, killed under load, forgets nothing.
func TestOneNodeKilled(t *testing.T) {
	withFault(t, testcluster.Options{Nodes: 1}, "one-node", func(c *testcluster.Cluster) {
		for range 3 {
			c.Nodes[0].Kill()
			c.Nodes[0].Start()
			time.Sleep(4 * time.Second)
		}
	})
}

// leader returns the index of the node that leads the control plane, as the others see it.
func leader(t *testing.T, c *testcluster.Cluster) int {
	t.Helper()
	found := -1
	err := testcluster.Poll(20*time.Second, func(ctx context.Context) error {
		for _, n := range c.Nodes {
			url, err := primary(ctx, c, n)
			if err != nil {
				continue
			}
			for i, other := range c.Nodes {
				if other.Endpoint == url && other.Running() {
					found = i
					return nil
				}
			}
		}
		return fmt.Errorf("no node says who leads")
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// follower returns the index of a node that does not lead.
func follower(t *testing.T, c *testcluster.Cluster) int {
	t.Helper()
	return (leader(t, c) + 1) % len(c.Nodes)
}

// primary asks a node for the public URL of the leader.
func primary(ctx context.Context, c *testcluster.Cluster, n *testcluster.Node) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	rep, err := newClient(c).do(ctx, request{endpoint: n.Endpoint, bucket: "v1", key: "cluster", query: "what=smap"})
	if err != nil {
		return "", err
	}
	if rep.status != http.StatusOK {
		return "", fmt.Errorf("smap: %s", rep)
	}
	var smap struct {
		Primary struct {
			Public struct {
				URL string `json:"direct_url"`
			} `json:"public_net"`
		} `json:"proxy_si"`
	}
	err = json.Unmarshal(rep.body, &smap)
	return smap.Primary.Public.URL, err
}
