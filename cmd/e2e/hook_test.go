//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cmd/internal/testcluster"
)

// hook is a webhook that keeps what it gets, and tells it to GET.
type hook struct {
	url string

	mu     sync.Mutex
	got    []json.RawMessage // guarded by mu
	broken bool              // guarded by mu
	refuse string            // guarded by mu: what has this in it is refused for good
}

func newHook(t *testing.T) *hook {
	h := &hook{}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	h.url = s.URL + "/"
	return h
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case r.Method == http.MethodGet:
		_ = json.NewEncoder(w).Encode(h.got)
	case h.refuse != "" && bytes.Contains(body, []byte(h.refuse)):
		w.WriteHeader(http.StatusUnprocessableEntity)
	case err != nil || h.broken || !json.Valid(body):
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
		h.got = append(h.got, body)
	}
}

func (h *hook) setBroken(broken bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.broken = broken
}

func (h *hook) setRefuse(text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refuse = text
}

// keys returns how often events of each key were told.
func (h *hook) keys() map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	keys := make(map[string]int)
	for _, m := range h.got {
		var event struct {
			Records []struct {
				S3 struct{ Object struct{ Key string } }
			}
		}
		if json.Unmarshal(m, &event) == nil && len(event.Records) == 1 {
			keys[event.Records[0].S3.Object.Key]++
		}
	}
	return keys
}

// testKilledOwner kills a node that owns objects whose changes were acknowledged and not told yet: others tell them.
func testKilledOwner(t *testing.T, c *testcluster.Cluster, h *hook) {
	cl := newClient(c)
	const bucket, objects = "told-after-kill", 60
	cl.must(t, request{method: http.MethodPut, endpoint: c.Nodes[0].Endpoint, bucket: bucket}, 200)
	cl.must(t, request{
		method: http.MethodPut, endpoint: c.Nodes[0].Endpoint, bucket: bucket, query: "notification",
		body: []byte(`<NotificationConfiguration><QueueConfiguration><Queue>arn:aisle:sqs::hook:webhook</Queue><Event>s3:ObjectCreated:*</Event></QueueConfiguration></NotificationConfiguration>`),
	}, 200)
	h.setBroken(true)
	for i := range objects {
		cl.must(t, request{method: http.MethodPut, endpoint: c.Nodes[i%3].Endpoint, bucket: bucket, key: fmt.Sprintf("killed-%d", i), body: make([]byte, i*500)}, 200)
	}
	c.Nodes[1].Kill()
	h.setBroken(false)
	missing := func() (n int) {
		keys := h.keys()
		for i := range objects {
			if keys[fmt.Sprintf("killed-%d", i)] == 0 {
				n++
			}
		}
		return n
	}
	for deadline := time.Now().Add(2 * time.Minute); missing() > 0; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d events were not told after their owner was killed", missing(), objects)
		}
	}
	c.Nodes[1].Start()
}

// testDeadLetters shows that an event which its destination refuses, or whose destination is gone, is kept over restarts and holds up
// no other; an operator sees it, and sends or drops it.
func testDeadLetters(t *testing.T, c *testcluster.Cluster, h *hook) {
	cl := newClient(c)
	const bucket = "dead-letters"
	do := func(want string, args ...string) string {
		t.Helper()
		out, err := aisle(t, c, args...)
		if err != nil || !strings.Contains(out, want) {
			t.Fatalf("aisle %v: %v, want %q in\n%s", args, err, want, out)
		}
		return out
	}
	await := func(what string, done func() bool) {
		t.Helper()
		for deadline := time.Now().Add(2 * time.Minute); !done(); time.Sleep(100 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("never: %s\n%s", what, do("", "notify", "show"))
			}
		}
	}
	letters := func() string { t.Helper(); return do("", "notify", "dead-letters", "-H") }
	put := func(i int, key string) {
		t.Helper()
		cl.must(t, request{method: http.MethodPut, endpoint: c.Nodes[i%3].Endpoint, bucket: bucket, key: key, body: []byte(key)}, 200)
	}
	do("", "config", "cluster", "notify.destinations=hook="+h.url+" other="+h.url)
	cl.must(t, request{method: http.MethodPut, endpoint: c.Nodes[0].Endpoint, bucket: bucket}, 200)
	cl.must(t, request{
		method: http.MethodPut, endpoint: c.Nodes[0].Endpoint, bucket: bucket, query: "notification",
		body: []byte(`<NotificationConfiguration><QueueConfiguration><Queue>arn:aisle:sqs::other:webhook</Queue><Event>s3:ObjectCreated:*</Event></QueueConfiguration></NotificationConfiguration>`),
	}, 200)
	do("0 dead letters were dropped, 0 are left", "notify", "drop", "other", "--yes")
	h.setRefuse("odd-")
	for i := range 12 {
		put(i, fmt.Sprintf("odd-%d", i))
		put(i, fmt.Sprintf("even-%d", i))
	}
	await("12 dead letters", func() bool { return strings.Count(letters(), bucket+"/odd-") == 12 })
	await("the others are told", func() bool {
		keys := h.keys()
		for i := range 12 {
			if keys[fmt.Sprintf("even-%d", i)] == 0 {
				return false
			}
		}
		return true
	})
	do("the webhook answered with status 422", "notify", "dead-letters", "other")
	do("0 dead letters were sent, 12 are left", "notify", "send", "other")
	h.setRefuse("")
	do("12 dead letters were sent, 0 are left", "notify", "send", "other")
	if left := letters(); strings.Contains(left, bucket) || h.keys()["odd-11"] == 0 {
		t.Fatalf("not sent:\n%s", left)
	}

	do("", "config", "cluster", "notify.destinations=hook="+h.url)
	for i := range 6 {
		put(i, fmt.Sprintf("lost-%d", i))
	}
	gone := func() bool { return strings.Count(letters(), bucket+"/lost-") == 6 }
	await("6 dead letters", gone)
	do("there is no such destination", "notify", "dead-letters", "other")
	c.KillAll()
	c.StartAll()
	await("the same after a restart", gone)
	do("dead letters were dropped, 0 are left", "notify", "drop", "other", "--yes") // also what was sent, and not yet forgotten when all were killed
	if left := letters(); strings.Contains(left, bucket) || h.keys()["lost-0"] > 0 {
		t.Fatalf("not dropped:\n%s", left)
	}
}
