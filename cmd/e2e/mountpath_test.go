//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cmd/internal/testcluster"
)

// TestMountpathVanishes replaces the directory of a mountpath under a running target. The target lives on, every object of a
// bucket of two copies is read and written, and in the end the target has its copies again: with another node down, too.
func TestMountpathVanishes(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{})
	client, endpoint := newClient(c), c.Nodes[0].Endpoint
	client.must(t, native(http.MethodPost, endpoint, "two", "create-bck", `{"replicas":2}`), 200)
	want := make(map[string]string)
	for i := range 60 {
		key := fmt.Sprintf("object-%d", i)
		want[key] = fmt.Sprintf("content %d", i) + strings.Repeat("x", i*4000)
		client.must(t, request{method: http.MethodPut, endpoint: c.Nodes[i%3].Endpoint, bucket: "two", key: key, body: []byte(want[key])}, 200)
	}
	lost := c.Nodes[1].Mountpaths[1]
	if err := os.Rename(lost, lost+".elsewhere"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(lost, 0o755); err != nil {
		t.Fatal(err)
	}
	for key, content := range want {
		persist(t, client, request{endpoint: c.Nodes[2].Endpoint, bucket: "two", key: key}, content)
		want[key] = "again " + key
		persist(t, client, request{method: http.MethodPut, endpoint: c.Nodes[1].Endpoint, bucket: "two", key: key, body: []byte(want[key])}, "")
	}
	awaitMountpath(t, client, c.Nodes[1].Endpoint, lost, "not formatted")
	awaitCopies(t, client, c)
	c.Nodes[0].Kill()
	for key, content := range want {
		persist(t, client, request{endpoint: c.Nodes[2].Endpoint, bucket: "two", key: key}, content)
	}
}

// awaitCopies waits until no node has caught up with anything for some seconds.
func awaitCopies(t *testing.T, client *client, c *testcluster.Cluster) {
	t.Helper()
	quiet := time.Now()
	err := testcluster.Poll(time.Minute, func(ctx context.Context) error {
		for _, n := range c.Nodes {
			rep, err := client.do(ctx, request{endpoint: n.Endpoint, bucket: "-", key: "metrics"})
			if err != nil {
				return err
			}
			if !strings.Contains(string(rep.body), "\naisle_node_behind_slots 0\n") {
				quiet = time.Now()
			}
		}
		if time.Since(quiet) < 4*time.Second {
			return errors.New("nodes catch up")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// awaitMountpath waits until a node says that a mountpath has failed, and why.
func awaitMountpath(t *testing.T, c *client, endpoint, path, why string) {
	t.Helper()
	last := ""
	for begun := time.Now(); time.Since(begun) < time.Minute; time.Sleep(200 * time.Millisecond) {
		r := c.must(t, request{endpoint: endpoint, bucket: "v1/daemon", query: "what=node_status"}, 200)
		last = string(r.body)
		if strings.Contains(last, why) && strings.Contains(last, path) {
			return
		}
	}
	t.Fatalf("%s does not say that %s is %s: %s", endpoint, path, why, last)
}

// TestAttachUnderLoad attaches an empty directory and detaches a mountpath while objects are written, deleted and read, reads everything
// back, also after a restart, and finds the detached directory empty of objects.
func TestAttachUnderLoad(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{Nodes: 1})
	client, n := newClient(c), c.Nodes[0]
	client.must(t, request{method: http.MethodPut, endpoint: n.Endpoint, bucket: "load"}, 200)
	content := func(i, round int) string { return fmt.Sprintf("%d.%d ", i, round) + strings.Repeat("x", i*1000) }
	write := func(i, round int) {
		key := fmt.Sprintf("object-%d", i)
		client.must(t, request{method: http.MethodPut, endpoint: n.Endpoint, bucket: "load", key: key, body: []byte(content(i, round))}, 200)
	}
	for i := range 80 {
		write(i, 0)
		write(100+i%3, i)
	}
	change := func(action, path string, status int) {
		query := url.Values{"what": {"mountpaths"}, "action": {action}, "path": {path}}
		client.must(t, request{method: http.MethodPut, endpoint: n.Endpoint, bucket: "v1/daemon", query: query.Encode()}, status)
	}
	fresh := filepath.Join(c.Dir, "fresh")
	if err := os.Mkdir(fresh, 0o755); err != nil {
		t.Fatal(err)
	}
	change("attach-mp", n.Mountpaths[0], 400)
	change("attach-mp", fresh, 200)
	change("detach-mp", n.Mountpaths[1], 200)
	var load sync.WaitGroup
	for w := range 4 {
		load.Go(func() {
			for i := w; i < 80; i += 4 {
				rep, err := client.do(context.Background(), request{
					method: http.MethodPut, endpoint: n.Endpoint, bucket: "load", key: fmt.Sprintf("object-%d", i), body: []byte(content(i, 1)),
				})
				if err != nil || rep.status != 200 {
					t.Errorf("object-%d: %v %v", i, rep, err)
				}
				rep, err = client.do(context.Background(), request{
					method: http.MethodGet, endpoint: n.Endpoint, bucket: "load", key: fmt.Sprintf("object-%d", (i+40)%80),
				})
				if err != nil || rep.status != 200 {
					t.Errorf("object-%d: %v %v", (i+40)%80, rep, err)
				}
			}
		})
	}
	load.Wait()
	err := testcluster.Poll(time.Minute, func(ctx context.Context) error {
		rep, err := client.do(ctx, request{endpoint: n.Endpoint, bucket: "v1/daemon", query: "what=node_status"})
		if err != nil || strings.Contains(string(rep.body), "filling") || strings.Contains(string(rep.body), "detaching") {
			return fmt.Errorf("%s %w", rep.body, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		for i := range 80 {
			persist(t, client, request{endpoint: n.Endpoint, bucket: "load", key: fmt.Sprintf("object-%d", i)}, content(i, 1))
		}
	}
	check()
	n.Kill()
	if err := os.RemoveAll(n.Mountpaths[1]); err != nil {
		t.Fatal(err)
	}
	n.Start()
	check()
	if used, _ := filepath.Glob(filepath.Join(fresh, "segments", "*")); len(used) == 0 {
		t.Fatal("nothing was moved onto the new mountpath")
	}
}
