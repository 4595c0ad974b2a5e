//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cmd/internal/testcluster"
)

// logEnd asks a node that does not run how far its log goes.
func logEnd(t *testing.T, c *testcluster.Cluster, n *testcluster.Node) (term, index int) {
	t.Helper()
	out, err := aisle(t, c, "cluster", "recover", "--dir", n.Dir)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	_, end, _ := strings.Cut(out, "end of the log: ")
	if _, err := fmt.Sscanf(end, "term %d, index %d", &term, &index); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return term, index
}

// nodeID reads the id of a node from its state directory.
func nodeID(t *testing.T, n *testcluster.Node) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(n.Dir, "node.json"))
	var id struct{ ID string }
	if err == nil {
		err = json.Unmarshal(text, &id)
	}
	if err != nil {
		t.Fatal(err)
	}
	return id.ID
}

// TestRecoverMajority loses three of five nodes for ever. The two that are left go on with everything that they have copies of; a
// dead one that is started all the same stays out.
func TestRecoverMajority(t *testing.T) {
	t.Parallel()
	c := testcluster.Start(t, testcluster.Options{Nodes: 5, Mountpaths: 1, Env: []string{"AISLE_SPACE_HIGH_WATERMARK=100"}})
	client := newClient(c)
	client.must(t, native(http.MethodPost, c.Nodes[0].Endpoint, "four", "create-bck", `{"replicas":4}`), 200)
	client.must(t, native(http.MethodPost, c.Nodes[0].Endpoint, "one", "create-bck", `{"replicas":1}`), 200)
	const objects = 30
	put := func(n *testcluster.Node, bucket string, i int, text string) {
		t.Helper()
		persist(t, client, request{method: http.MethodPut, endpoint: n.Endpoint, bucket: bucket, key: fmt.Sprint("key-", i), body: []byte(text)}, "")
	}
	for i := range objects {
		put(c.Nodes[i%5], "four", i, fmt.Sprint("text ", i))
		put(c.Nodes[i%5], "one", i, fmt.Sprint("text ", i))
	}
	dead, left := c.Nodes[:3], c.Nodes[3:]
	for _, n := range dead {
		n.Kill()
	}
	running := c.Nodes[3]
	if out, err := aisle(t, c, "cluster", "recover", "--dir", running.Dir); err == nil {
		t.Fatalf("the state of a node that runs is taken: %s", out)
	}
	for _, n := range left {
		n.Kill()
	}
	first, second := left[0], left[1]
	term1, index1 := logEnd(t, c, first)
	term2, index2 := logEnd(t, c, second)
	if term2 > term1 || term2 == term1 && index2 > index1 {
		first, second = second, first
	}
	// The nodes are given the secret as a file, which lay in the first node's directory.
	secret := filepath.Join(dead[0].Dir, "cluster.secret")
	args := []string{"cluster", "recover", "--dir", first.Dir, "--cluster-secret-file", secret}
	for _, n := range dead {
		args = append(args, "--dead", nodeID(t, n))
	}
	if out, err := aisle(t, c, args...); err == nil || !strings.Contains(out, "--lose-data") {
		t.Fatalf("what only dead nodes had is given up without a word: %v: %s", err, out)
	}
	dead[0].Launch() // named as dead, and answers
	err := testcluster.Poll(20*time.Second, func(context.Context) error {
		out, err := aisle(t, c, append(args, "--lose-data", "--dry-run")...)
		if err == nil || !strings.Contains(out, "is named as dead, and answers") {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	dead[0].Kill()
	if out, err := aisle(t, c, append(args, "--lose-data")...); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := aisle(t, c, "cluster", "recover", "--dir", second.Dir, "--follow", filepath.Join(first.Dir, "recovery.json")); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	old, err := os.ReadFile(secret)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := os.ReadFile(filepath.Join(first.Dir, "cluster.secret"))
	if err != nil || string(old) == string(fresh) {
		t.Fatalf("the secret is the old one: %v", err)
	}
	if err := os.WriteFile(secret, fresh, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, n := range left {
		n.Launch()
	}
	for _, n := range left {
		n.WaitReady(60 * time.Second)
	}
	for i := range objects {
		for _, n := range left {
			persist(t, client, request{method: http.MethodGet, endpoint: n.Endpoint, bucket: "four", key: fmt.Sprint("key-", i)}, fmt.Sprint("text ", i))
		}
		put(left[i%2], "four", i, "written after the recovery")
		put(left[i%2], "one", i, "written after the recovery")
	}
	for i := range objects {
		for _, bucket := range []string{"four", "one"} {
			persist(t, client, request{method: http.MethodGet, endpoint: left[i%2].Endpoint, bucket: bucket, key: fmt.Sprint("key-", i)}, "written after the recovery")
		}
	}
	// A dead one that comes back with its own secret finds nobody, and serves nothing.
	if err := os.WriteFile(secret, old, 0o600); err != nil {
		t.Fatal(err)
	}
	dead[0].Launch()
	time.Sleep(3 * time.Second)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if dead[0].Running() && dead[0].Ready(ctx) == nil {
		t.Fatal("a dead node serves")
	}
	dead[0].Kill()
	if err := os.WriteFile(secret, fresh, 0o600); err != nil {
		t.Fatal(err)
	}
	newcomer := c.AddNode()
	newcomer.Start()
	persist(t, client, request{method: http.MethodGet, endpoint: newcomer.Endpoint, bucket: "four", key: "key-1"}, "written after the recovery")
}
