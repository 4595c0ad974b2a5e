//go:build e2e

package e2e

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cmd/internal/testcluster"
)

//go:embed boto3_survival.py
var boto3Survival string

// TestNodeDiesUnderBoto3: a program with boto3, its retries as they are by default, pointed at a node that survives, sees no
// request fail when another node is killed: the one that leads.
func TestNodeDiesUnderBoto3(t *testing.T) {
	t.Parallel()
	c := testcluster.Start(t, testcluster.Options{})
	newBucket(t, c, "survives", 2)
	var python string
	for _, python = range pythons(t) { // one is enough: all have the same retries
		break
	}
	victim := leader(t, c)
	surviving := c.Nodes[(victim+1)%len(c.Nodes)]
	cmd := exec.CommandContext(t.Context(), python, "-c", boto3Survival, "survives", surviving.Endpoint)
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+testcluster.AccessKey, "AWS_SECRET_ACCESS_KEY="+testcluster.SecretKey,
		"AWS_DEFAULT_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * time.Second)
	c.Nodes[victim].Kill()
	time.Sleep(9 * time.Second)
	stdin.Close() // the program ends when it reads that
	if err := cmd.Wait(); err != nil {
		t.Errorf("node %d was killed, and %s at node %d: %v\n%s", victim, python, surviving.Index, err, &out)
	}
	t.Logf("node %d killed, client at node %d:\n%s", victim, surviving.Index, &out)
	c.Nodes[victim].Start()
	waitInSync(t, c)
}

// newBucket makes a bucket with so many copies whose objects have an MD5.
func newBucket(t *testing.T, c *testcluster.Cluster, name string, copies int) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"action": "create-bck", "value": map[string]any{"replicas": fmt.Sprint(copies), "checksum.type": "md5"}})
	if err != nil {
		t.Fatal(err)
	}
	newClient(c).must(t, request{method: http.MethodPost, endpoint: c.Nodes[0].Endpoint, bucket: "v1", key: "buckets/" + name, body: body}, 200)
}

// waitInSync waits until no slot misses a copy, as every node sees it.
func waitInSync(t *testing.T, c *testcluster.Cluster) {
	t.Helper()
	err := testcluster.Poll(90*time.Second, func(ctx context.Context) error {
		for _, n := range c.Nodes {
			if short, err := shortSlots(ctx, c, n); err != nil || short > 0 {
				return fmt.Errorf("node %d: %d slots miss a copy: %w", n.Index, short, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// waitVoters waits until every node has a vote: before that, the cluster stands on fewer of them than it could.
func waitVoters(t *testing.T, c *testcluster.Cluster) {
	t.Helper()
	cl := newClient(c)
	err := testcluster.Poll(90*time.Second, func(ctx context.Context) error {
		for _, n := range c.Nodes {
			rep, err := cl.do(ctx, request{endpoint: n.Endpoint, bucket: "v1/daemon", query: "what=node_status"})
			if err != nil {
				return err
			}
			var status struct{ Voter bool }
			if err := json.Unmarshal(rep.body, &status); err != nil || !status.Voter {
				return fmt.Errorf("node %d has no vote: %d, %w", n.Index, rep.status, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// shortSlots asks a node how many slots miss a copy.
func shortSlots(ctx context.Context, c *testcluster.Cluster, n *testcluster.Node) (int, error) {
	return gauge(ctx, c, n, "aisle_map_short_slots")
}

// gauge reads a metric of a node that holds a lease.
func gauge(ctx context.Context, c *testcluster.Cluster, n *testcluster.Node, name string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	rep, err := newClient(c).do(ctx, request{endpoint: n.Endpoint, bucket: "-", key: "metrics"})
	if err != nil {
		return 0, err
	}
	_, rest, found := strings.Cut(string(rep.body), "\n"+name+" ")
	if !found || !strings.Contains(string(rep.body), "\naisle_node_lease 1\n") {
		return 0, fmt.Errorf("the node has no map or no lease")
	}
	line, _, _ := strings.Cut(rest, "\n")
	var value float64
	_, err = fmt.Sscan(line, &value)
	return int(value), err
}
