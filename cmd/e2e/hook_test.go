//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
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
