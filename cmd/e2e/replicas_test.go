//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/cmd/internal/testcluster"
)

// native returns a request about a bucket in the native API; value is JSON, or empty.
func native(method, endpoint, bucket, action, value string) request {
	body := fmt.Sprintf(`{"action":%q}`, action)
	if value != "" {
		body = fmt.Sprintf(`{"action":%q,"value":%s}`, action, value)
	}
	return request{method: method, endpoint: endpoint, bucket: "v1/buckets", key: bucket, body: []byte(body)}
}

// props returns the properties of a bucket as the native API tells them.
func props(t *testing.T, c *client, endpoint, bucket string) api.BucketProps {
	t.Helper()
	r := c.must(t, request{method: http.MethodHead, endpoint: endpoint, bucket: "v1/buckets", key: bucket}, 200)
	var p api.BucketProps
	if err := json.Unmarshal([]byte(r.header.Get(api.HeaderBucketProps)), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestReplicas makes buckets of one to three copies, has too many copies refused with the reason, and reads and writes every
// object while a node is down.
func TestReplicas(t *testing.T) {
	t.Parallel()
	c := testcluster.Start(t, testcluster.Options{})
	client, endpoint := newClient(c), c.Nodes[0].Endpoint
	create := func(bucket, replicas string, status int, reason string) {
		t.Helper()
		r := client.must(t, native(http.MethodPost, endpoint, bucket, "create-bck", `{"replicas":`+replicas+`}`), status)
		if !strings.Contains(string(r.body), reason) {
			t.Errorf("replicas=%s: %s, want %q", replicas, r, reason)
		}
	}
	create("none", "0", 400, "is not a number of copies from 1 to 8")
	create("nine", "9", 400, "is not a number of copies from 1 to 8")
	create("four", "4", 409, "4 copies of each object need 4 targets, and the cluster has 3")
	client.must(t, request{method: http.MethodHead, endpoint: endpoint, bucket: "four"}, 404)
	client.must(t, request{method: http.MethodPut, endpoint: endpoint, bucket: "by-default"}, 200)
	if p := props(t, client, c.Nodes[1].Endpoint, "by-default"); p.Replicas != 2 {
		t.Errorf("a bucket made through S3 in a cluster of three: %+v", p)
	}
	set := func(value string, status int, reason string) {
		t.Helper()
		r := client.must(t, native(http.MethodPatch, endpoint, "by-default", "set-bprops", value), status)
		if !strings.Contains(string(r.body), reason) {
			t.Errorf("%s: %s, want %q", value, r, reason)
		}
	}
	set(`{"replicas":4}`, 409, "4 copies of each object need 4 targets, and the cluster has 3")
	set(`{"min_copies":3}`, 400, "min_copies is 3, and the bucket keeps 2 copies of each object")
	set(`{"min_copies":1}`, 200, "")
	if p := props(t, client, c.Nodes[2].Endpoint, "by-default"); p.MinCopies != 1 {
		t.Errorf("min_copies=1: %+v", p)
	}
	for _, replicas := range []int{1, 2, 3} {
		bucket := fmt.Sprintf("copies-%d", replicas)
		create(bucket, fmt.Sprint(replicas), 200, "")
		if p := props(t, client, c.Nodes[replicas%len(c.Nodes)].Endpoint, bucket); p.Replicas != replicas {
			t.Errorf("%s: %+v", bucket, p)
		}
	}
	keys := make(map[string]string)
	for i := range 24 {
		bucket, key := fmt.Sprintf("copies-%d", 2+i%2), fmt.Sprintf("object-%d", i)
		keys[bucket+"/"+key] = fmt.Sprintf("content %d", i)
		client.must(t, request{
			method: http.MethodPut, endpoint: c.Nodes[i%3].Endpoint, bucket: bucket, key: key, body: []byte(keys[bucket+"/"+key]),
		}, 200)
	}
	c.Nodes[2].Kill()
	for name, want := range keys {
		bucket, key, _ := strings.Cut(name, "/")
		r := request{endpoint: c.Nodes[1].Endpoint, bucket: bucket, key: key}
		persist(t, client, r, want)
		r.method, r.body = http.MethodPut, []byte("written while a node is down")
		persist(t, client, r, "")
		r.method, r.endpoint = http.MethodGet, endpoint
		persist(t, client, r, string(r.body))
	}
}

// persist sends a request until it is carried out, for slots are without an owner until a lease has ended.
func persist(t *testing.T, client *client, r request, want string) {
	t.Helper()
	err := testcluster.Poll(30*time.Second, func(ctx context.Context) error {
		rep, err := client.do(ctx, r)
		switch {
		case err != nil:
			return err
		case rep.status == 503:
			return fmt.Errorf("%s", rep)
		case rep.status != 200 || string(rep.body) != want:
			t.Fatalf("%s %s/%s: %s, want %q", r.method, r.bucket, r.key, rep, want)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%s %s/%s: %v", r.method, r.bucket, r.key, err)
	}
}
