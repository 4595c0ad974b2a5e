//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cmd/internal/testcluster"
)

// TestFullDisk fills a small disk: writes are refused in time, reads and deletes go on, and deleting makes room again.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	if !inNamespaces(t) {
		return
	}
	(&network{t: t}).run("ip link set lo up")
	c := testcluster.New(t, testcluster.Options{Nodes: 1, Mountpaths: 1})
	disk := filepath.Join(c.Dir, "small-disk")
	if err := os.MkdirAll(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", disk).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v\n%s", err, out)
	}
	defer func() {
		c.KillAll()
		_ = exec.Command("umount", "-l", disk).Run()
	}()
	c.Nodes[0].Mountpaths = []string{filepath.Join(disk, "objects")}
	c.StartAll()
	cl := newClient(c)
	e := c.Nodes[0].Endpoint
	cl.must(t, request{method: http.MethodPut, endpoint: e, bucket: "full"}, 200)
	put := func(i int) reply {
		t.Helper()
		size := []int{1000, 200_000, 3 << 20}[i%3]
		return cl.must(t, request{
			method: http.MethodPut, endpoint: e, bucket: "full", key: fmt.Sprint(i), body: bytes.Repeat([]byte{byte(i)}, size),
		}, 200, 503, 507)
	}
	written := 0
	for ; put(written).status == 200; written++ {
		if written == 1000 {
			t.Fatal("1 GB fits on a disk of 400 MB")
		}
	}
	t.Logf("%d objects fit", written)
	if written < 60 {
		t.Errorf("only %d objects fit on a disk of 400 MB", written)
	}
	for i := range written {
		rep := cl.must(t, request{method: http.MethodGet, endpoint: e, bucket: "full", key: fmt.Sprint(i)}, 200)
		if len(rep.body) == 0 || rep.body[0] != byte(i) || rep.body[len(rep.body)-1] != byte(i) {
			t.Errorf("object %d has other content", i)
		}
	}
	for i := range written {
		cl.must(t, request{method: http.MethodDelete, endpoint: e, bucket: "full", key: fmt.Sprint(i)}, 204)
	}
	err := testcluster.Poll(60*time.Second, func(context.Context) error {
		if rep := put(2); rep.status != 200 {
			return fmt.Errorf("PUT after everything was deleted: %s", rep)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
