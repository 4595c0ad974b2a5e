//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cmd/internal/testcluster"
)

// TestStorageRebuild loses the metadata store of the only copy: the node lives on without the mountpath, and after a rebuild it
// has every object again that has a place of its own.
func TestStorageRebuild(t *testing.T) {
	t.Parallel()
	c := testcluster.Start(t, testcluster.Options{Nodes: 1, Env: []string{"AISLE_SPACE_HIGH_WATERMARK=100"}})
	client, n := newClient(c), c.Nodes[0]
	client.must(t, request{method: http.MethodPut, endpoint: n.Endpoint, bucket: "rebuilt"}, 200)
	random := rand.New(rand.NewPCG(3, 4))
	objects := make(map[string][]byte)
	for i := range 20 {
		key := fmt.Sprint("key-", i)
		objects[key] = randomBytes(random, 6000+i*100_000)
		client.must(t, request{method: http.MethodPut, endpoint: n.Endpoint, bucket: "rebuilt", key: key, body: objects[key]}, 200)
	}
	n.Stop()
	lost := n.Mountpaths[0]
	if err := os.RemoveAll(filepath.Join(lost, "index")); err != nil {
		t.Fatal(err)
	}
	n.Start()
	statuses := make(map[int]int)
	for key := range objects {
		rep := client.must(t, request{method: http.MethodGet, endpoint: n.Endpoint, bucket: "rebuilt", key: key}, 200, 503)
		statuses[rep.status]++
	}
	if statuses[503] == 0 || statuses[200] == 0 {
		t.Fatalf("answers while the index of one of two mountpaths is lost: %v", statuses)
	}
	if out, err := aisle(t, c, "storage", "rebuild", "--dir", n.Dir, "--mountpath", lost); err == nil {
		t.Fatalf("the mountpath of a node that runs is rebuilt: %s", out)
	}
	n.Stop()
	out, err := aisle(t, c, "storage", "rebuild", "--dir", n.Dir, "--mountpath", lost, "--dry-run")
	if err != nil || !strings.Contains(out, "Nothing was changed") {
		t.Fatalf("%v: %s", err, out)
	}
	out, err = aisle(t, c, "storage", "rebuild", "--dir", n.Dir, "--mountpath", lost)
	if err != nil || !strings.Contains(out, fmt.Sprintf("Objects that come back from their bodies: %d.", statuses[503])) {
		t.Fatalf("%v: %s", err, out)
	}
	n.Start()
	err = testcluster.Poll(40*time.Second, func(ctx context.Context) error {
		for key, want := range objects {
			rep, err := client.do(ctx, request{method: http.MethodGet, endpoint: n.Endpoint, bucket: "rebuilt", key: key})
			if err != nil || rep.status == 503 {
				return fmt.Errorf("%s: %s: %w", key, rep, err)
			}
			if rep.status != 200 || !bytes.Equal(rep.body, want) {
				t.Fatalf("%s: %s", key, rep)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	client.must(t, request{method: http.MethodPut, endpoint: n.Endpoint, bucket: "rebuilt", key: "key-1", body: []byte("new")}, 200)
}
