//go:build e2e

package e2e

import (
	"bytes"
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

// setLayout changes how a bucket keeps its objects; the change is in force when it returns.
func setLayout(t *testing.T, cl *client, endpoint, bucket, value string) {
	t.Helper()
	err := testcluster.Poll(40*time.Second, func(ctx context.Context) error {
		rep, err := cl.do(ctx, native(http.MethodPatch, endpoint, bucket, "set-bprops", value))
		if err == nil && rep.status != 200 {
			err = fmt.Errorf("%s", rep)
		}
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", value, err)
	}
}

// converted waits until all objects of a bucket are moved.
func converted(t *testing.T, cl *client, endpoint, bucket string) {
	t.Helper()
	err := testcluster.Poll(90*time.Second, func(ctx context.Context) error {
		rep, err := cl.do(ctx, request{method: http.MethodHead, endpoint: endpoint, bucket: "v1/buckets", key: bucket})
		if err == nil && rep.status != 200 { // a node that was cut off by a fault says so
			err = fmt.Errorf("%s", rep)
		}
		var p api.BucketProps
		if err == nil {
			err = json.Unmarshal([]byte(rep.header.Get(api.HeaderBucketProps)), &p)
		}
		if err == nil && p.State != "active" {
			err = fmt.Errorf("the bucket is %s", p.State)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// keysOf returns the keys and common prefixes of one list, page by page.
func keysOf(t *testing.T, cl *client, endpoint, bucket, more string) []string {
	t.Helper()
	var keys []string
	for after := ""; ; {
		q := query("list-type", "2", "max-keys", "7", "start-after", after) + more
		rep := cl.must(t, request{method: http.MethodGet, endpoint: endpoint, bucket: bucket, query: q}, 200)
		text := string(rep.body)
		last := after
		for rest := text; ; {
			i, j := strings.Index(rest, "<Key>"), strings.Index(rest, "<Prefix>")
			tag, at := "Key", i
			if i < 0 || j >= 0 && j < i {
				tag, at = "Prefix", j
			}
			if at < 0 {
				break
			}
			rest = rest[at+len(tag)+2:]
			key, _, _ := strings.Cut(rest, "<")
			if key != "" {
				keys, last = append(keys, key), max(last, key)
			}
		}
		if !strings.Contains(text, "<IsTruncated>true</IsTruncated>") {
			return keys
		}
		after = last
	}
}

// TestConvert gives a bucket of one copy three, and then shards, and reads, lists, overwrites and deletes its objects while they
// are moved.
func TestConvert(t *testing.T) {
	t.Parallel()
	c := testcluster.Start(t, testcluster.Options{Env: oneCopy()})
	cl, endpoint := newClient(c), c.Nodes[0].Endpoint
	const bucket = "convert"
	cl.must(t, request{method: http.MethodPut, endpoint: endpoint, bucket: bucket}, 200)
	want := make(map[string][]byte)
	tags := make(map[string]string)
	put := func(i int, key string, body []byte) {
		t.Helper()
		rep := cl.must(t, request{
			method: http.MethodPut, endpoint: c.Nodes[i%3].Endpoint, bucket: bucket, key: key, body: body, header: map[string]string{"X-Amz-Meta-Mark": key},
		}, 200)
		want[key], tags[key] = body, rep.header.Get("ETag")
	}
	for i := range 40 {
		put(i, fmt.Sprintf("dir%d/object-%02d", i%4, i), bytes.Repeat([]byte{byte(i)}, 10+i*i*100))
	}
	parts := [][]byte{bytes.Repeat([]byte("a"), 5<<20), bytes.Repeat([]byte("b"), 77)}
	tags["of-parts"] = multipart(t, cl, c, bucket, "of-parts", parts)
	want["of-parts"] = bytes.Join(parts, nil)
	check := func(when string) {
		t.Helper()
		for i, n := range c.Nodes {
			keys := keysOf(t, cl, n.Endpoint, bucket, "")
			if len(keys) != len(want) {
				t.Errorf("%s: node %d lists %d objects, want %d: %v", when, i, len(keys), len(want), keys)
			}
			prefixes := keysOf(t, cl, n.Endpoint, bucket, "&delimiter=%2F")
			wanted := make(map[string]bool)
			for key := range want {
				dir, _, _ := strings.Cut(key, "/")
				wanted[dir] = true
			}
			if len(prefixes) != len(wanted) {
				t.Errorf("%s: node %d lists %v, want %v", when, i, prefixes, wanted)
			}
		}
		for key, body := range want {
			rep := cl.must(t, request{method: http.MethodGet, endpoint: c.Nodes[len(key)%3].Endpoint, bucket: bucket, key: key}, 200)
			if !bytes.Equal(rep.body, body) || rep.header.Get("ETag") != tags[key] || key != "of-parts" && rep.header.Get("X-Amz-Meta-Mark") != key {
				t.Errorf("%s: %s has %d bytes, want %d; %v", when, key, len(rep.body), len(body), rep.header)
			}
		}
		rep := cl.must(t, request{method: http.MethodGet, endpoint: endpoint, bucket: bucket, key: "of-parts", query: "partNumber=2"}, 206)
		if !bytes.Equal(rep.body, parts[1]) || rep.header.Get("X-Amz-Mp-Parts-Count") != "2" {
			t.Errorf("%s: part 2 has %d bytes; %v", when, len(rep.body), rep.header)
		}
	}
	check("before")

	for round, layout := range []string{`{"replicas":3}`, `{"ec":"2+1"}`} {
		before := props(t, cl, endpoint, bucket)
		setLayout(t, cl, c.Nodes[round].Endpoint, bucket, layout)
		if p := props(t, cl, c.Nodes[2].Endpoint, bucket); p.State != "converting" || p.BID == before.BID {
			t.Errorf("after %s: %+v", layout, p)
		}
		cl.must(t, native(http.MethodPatch, endpoint, bucket, "set-bprops", `{"replicas":2}`), 409) // one at a time
		for i := range 40 {
			key := fmt.Sprintf("dir%d/object-%02d", i%4, i)
			switch {
			case i%4 == 3: // a whole directory
				cl.must(t, request{method: http.MethodDelete, endpoint: c.Nodes[i%3].Endpoint, bucket: bucket, key: key}, 204)
				delete(want, key)
			case i%5 == 0:
				put(i, key, []byte(fmt.Sprintf("written in round %d", round)))
			}
		}
		put(round, fmt.Sprintf("new-in-round-%d", round), []byte("new"))
		check("while it gets " + layout)
		converted(t, cl, endpoint, bucket)
		check("with " + layout)
	}
	for key := range want {
		cl.must(t, request{method: http.MethodDelete, endpoint: endpoint, bucket: bucket, key: key}, 204)
	}
	cl.must(t, request{method: http.MethodDelete, endpoint: endpoint, bucket: bucket}, 204)
}

// uploadID begins an upload.
func uploadID(t *testing.T, cl *client, c *testcluster.Cluster, bucket, key string) string {
	t.Helper()
	rep := cl.must(t, request{method: http.MethodPost, endpoint: c.Nodes[0].Endpoint, bucket: bucket, key: key, query: "uploads"}, 200)
	_, rest, _ := strings.Cut(string(rep.body), "<UploadId>")
	id, _, _ := strings.Cut(rest, "<")
	return id
}

// multipart makes an object of parts and returns its ETag.
func multipart(t *testing.T, cl *client, c *testcluster.Cluster, bucket, key string, parts [][]byte) string {
	t.Helper()
	id := uploadID(t, cl, c, bucket, key)
	list := "<CompleteMultipartUpload>"
	for i, part := range parts {
		rep := cl.must(t, request{
			method: http.MethodPut, endpoint: c.Nodes[i%3].Endpoint, bucket: bucket, key: key, body: part,
			query: query("partNumber", fmt.Sprint(i+1), "uploadId", id),
		}, 200)
		list += fmt.Sprintf("<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", i+1, rep.header.Get("ETag"))
	}
	cl.must(t, request{
		method: http.MethodPost, endpoint: c.Nodes[0].Endpoint, bucket: bucket, key: key, query: query("uploadId", id), body: []byte(list + "</CompleteMultipartUpload>"),
	}, 200)
	head := cl.must(t, request{method: http.MethodHead, endpoint: c.Nodes[0].Endpoint, bucket: bucket, key: key}, 200)
	return head.header.Get("ETag")
}

// TestFaultConvert changes the number of copies of a bucket under load, again and again, while nodes are killed.
func TestFaultConvert(t *testing.T) {
	t.Parallel()
	c := testcluster.Start(t, testcluster.Options{Env: oneCopy()})
	h := startHistory(t, c, "fault-convert")
	cl := newClient(c)
	time.Sleep(calm)
	h.faultBegins()
	for round, replicas := range []int{3, 2} {
		setLayout(t, cl, c.Nodes[round].Endpoint, h.bucket, fmt.Sprintf(`{"replicas":%d}`, replicas))
		n := c.Nodes[(round+1)%3]
		n.Kill()
		time.Sleep(4 * time.Second)
		n.Start()
		n.WaitReady(30 * time.Second)
		converted(t, cl, c.Nodes[round].Endpoint, h.bucket)
	}
	h.faultEnds()
	time.Sleep(calm)
	h.finish()
}
