//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aisle-store/aisle/cmd/internal/testcluster"
)

// aisle runs the command line against a cluster.
func aisle(t *testing.T, c *testcluster.Cluster, args ...string) (string, error) {
	t.Helper()
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "AISLE_ENDPOINT=" + strings.Join(c.Endpoints(), ","),
		"AISLE_ACCESS_KEY=" + testcluster.AccessKey, "AISLE_SECRET_KEY=" + testcluster.SecretKey,
	}
	return command(t, env, testcluster.Binary(t), args...)
}

// rot changes one bit wherever some bytes lie on a node's disks, and returns in how many files.
func rot(t *testing.T, n *testcluster.Node, data []byte) (rotten int) {
	t.Helper()
	for _, mountpath := range n.Mountpaths {
		err := filepath.WalkDir(mountpath, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".seg") && !strings.HasSuffix(path, ".blob") {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			at := bytes.Index(text, data)
			if at < 0 {
				return nil
			}
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			rotten++
			if _, err := f.WriteAt([]byte{data[0] ^ 1}, int64(at)); err != nil {
				return err
			}
			return f.Close()
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return rotten
}

// TestScrub damages objects on the disks of a running cluster: `aisle scrub` repairs them from the other copy, and names what
// has none.
func TestScrub(t *testing.T) {
	t.Parallel()
	c := testcluster.Start(t, testcluster.Options{Env: []string{"AISLE_SCRUB_RATE=1GiB", "AISLE_SCRUB_INTERVAL=0s"}})
	client, endpoint := newClient(c), c.Nodes[0].Endpoint
	random := rand.New(rand.NewPCG(1, 2))
	client.must(t, native(http.MethodPost, endpoint, "two", "create-bck", `{"replicas":2}`), 200)
	client.must(t, native(http.MethodPost, endpoint, "one", "create-bck", `{"replicas":1}`), 200)
	objects := make(map[string][]byte)
	for i, size := range []int{20_000, 300_000, 2_000_000, 50_000} {
		key := fmt.Sprintf("object-%d", i)
		objects[key] = randomBytes(random, size)
		client.must(t, request{method: http.MethodPut, endpoint: endpoint, bucket: "two", key: key, body: objects[key]}, 200)
	}
	alone := randomBytes(random, 30_000)
	client.must(t, request{method: http.MethodPut, endpoint: endpoint, bucket: "one", key: "alone", body: alone}, 200)

	damaged := 0
	for i := range 3 { // one copy of each, wherever it is found first
		data := objects[fmt.Sprintf("object-%d", i)]
		for j := range c.Nodes {
			if rot(t, c.Nodes[(i+j)%3], data[len(data)/2:len(data)/2+64]) > 0 {
				damaged++
				break
			}
		}
	}
	if damaged != 3 {
		t.Fatalf("%d of 3 objects were found on the disks", damaged)
	}
	out, err := aisle(t, c, "scrub", "--wait")
	if err != nil || !strings.Contains(out, "Damaged: 3; not repaired: 0.") {
		t.Fatalf("%v: %s", err, out)
	}
	for _, n := range c.Nodes {
		rot(t, n, objects["object-3"][1000:1064])
		rot(t, n, alone[1000:1064])
	}
	if rep := client.must(t, request{method: http.MethodGet, endpoint: endpoint, bucket: "one", key: "alone"}, 500); bytes.Contains(rep.body, alone[:100]) {
		t.Fatal("damaged bytes are served")
	}
	out, err = aisle(t, c, "scrub", "--wait")
	if err == nil || !strings.Contains(out, "could not be repaired") {
		t.Fatalf("%v: %s", err, out)
	}
	out, err = aisle(t, c, "show", "scrub")
	if err != nil || !strings.Contains(out, "ais://one/alone") || strings.Count(out, "ais://two/object-3") != 2 || strings.Contains(out, "object-1") {
		t.Fatalf("%v: %s", err, out)
	}
	for _, name := range []string{"one/alone", "two/object-3"} { // what is put again is whole again
		bucket, key, _ := strings.Cut(name, "/")
		client.must(t, request{method: http.MethodPut, endpoint: endpoint, bucket: bucket, key: key, body: []byte("new")}, 200)
	}
	if out, err = aisle(t, c, "scrub", "--wait"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for i := range 3 {
		key := fmt.Sprintf("object-%d", i)
		for _, n := range c.Nodes {
			rep := client.must(t, request{method: http.MethodGet, endpoint: n.Endpoint, bucket: "two", key: key}, 200)
			if !bytes.Equal(rep.body, objects[key]) {
				t.Fatalf("%s has other bytes", key)
			}
		}
	}
}
