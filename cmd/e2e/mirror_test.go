//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cmd/internal/testcluster"
)

// TestMirroredBucket gives a bucket of one copy a second one on another disk of the same node, takes a disk away under load of writes
// and deletes, brings it back with what it had, and then takes the other one away: everything is there, and nothing that was deleted.
func TestMirroredBucket(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{Nodes: 1})
	cl, n := newClient(c), c.Nodes[0]
	cl.must(t, native(http.MethodPost, n.Endpoint, "two", "create-bck", `{"replicas":1}`), 200)
	want := make(map[string]string)
	write := func(i, round int) {
		t.Helper()
		key := fmt.Sprintf("object-%d", i)
		want[key] = fmt.Sprintf("%d.%d ", i, round) + strings.Repeat("x", i*4000)
		persist(t, cl, request{method: http.MethodPut, endpoint: n.Endpoint, bucket: "two", key: key, body: []byte(want[key])}, "")
	}
	check := func(when string) {
		t.Helper()
		for i := range 60 {
			key := fmt.Sprintf("object-%d", i)
			content, there := want[key]
			if there {
				persist(t, cl, request{endpoint: n.Endpoint, bucket: "two", key: key}, content)
				continue
			}
			err := testcluster.Poll(time.Minute, func(ctx context.Context) error {
				rep, err := cl.do(ctx, request{endpoint: n.Endpoint, bucket: "two", key: key})
				if err == nil && rep.status == 200 {
					t.Fatalf("%s: %s is there, and was deleted", when, key)
				}
				if err == nil && rep.status != 404 {
					err = fmt.Errorf("%s", rep)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if got := keysOf(t, cl, n.Endpoint, "two", ""); len(got) != len(want) {
			t.Fatalf("%s: the list has %d of %d", when, len(got), len(want))
		}
	}
	remove := func(i int) {
		t.Helper()
		key := fmt.Sprintf("object-%d", i)
		delete(want, key)
		err := testcluster.Poll(time.Minute, func(ctx context.Context) error {
			rep, err := cl.do(ctx, request{method: http.MethodDelete, endpoint: n.Endpoint, bucket: "two", key: key})
			if err == nil && rep.status != 204 {
				err = fmt.Errorf("%s", rep)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 60 {
		write(i, 0)
	}
	cl.must(t, native(http.MethodPatch, n.Endpoint, "two", "set-bprops", `{"mirror":{"copies":9}}`), 400)
	cl.must(t, native(http.MethodPatch, n.Endpoint, "two", "set-bprops", `{"mirror":{"copies":8}}`), 409)
	setLayout(t, cl, n.Endpoint, "two", `{"mirror":{"enabled":true}}`)
	converted(t, cl, n.Endpoint, "two")
	check("when it is mirrored")
	lost := n.Mountpaths[1]
	if err := os.Rename(lost, lost+".elsewhere"); err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		switch i % 3 {
		case 0:
			write(i, 1)
		case 1:
			remove(i)
		}
	}
	check("when a disk is gone")
	n.Kill()
	n.Start()
	check("behind a restart without it")
	n.Stop()
	if err := os.Rename(lost+".elsewhere", lost); err != nil {
		t.Fatal(err)
	}
	n.Start()
	check("when the disk is back")
	awaitWhole(t, cl, n.Endpoint)
	other := n.Mountpaths[0]
	if err := os.Rename(other, other+".elsewhere"); err != nil {
		t.Fatal(err)
	}
	check("when the other disk is gone")
	n.Kill()
	n.Start()
	check("behind a restart without the other one")
}

// awaitWhole waits until a node has a mirror, no mountpath has failed, and nothing is moved between them.
func awaitWhole(t *testing.T, cl *client, endpoint string) {
	t.Helper()
	err := testcluster.Poll(2*time.Minute, func(ctx context.Context) error {
		rep, err := cl.do(ctx, request{endpoint: endpoint, bucket: "v1/daemon", query: "what=node_status"})
		if err != nil {
			return err
		}
		for _, state := range []string{"filling", "draining", "detaching", "degraded", "failed"} {
			if strings.Contains(string(rep.body), `"`+state+`"`) {
				return fmt.Errorf("%s", rep.body)
			}
		}
		if !strings.Contains(string(rep.body), "/mirrors/") {
			return fmt.Errorf("there is no mirror: %s", rep.body)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
