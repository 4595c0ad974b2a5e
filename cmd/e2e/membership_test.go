//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/cmd/internal/testcluster"
)

// TestMembership lets a fourth node join three, and takes nodes out and back: a quarter of the bytes moves, nothing moves twice,
// a map change waits for no upload, and everything stays readable.
func TestMembership(t *testing.T) {
	const objects, size = 10000, 1000
	c := testcluster.Start(t, testcluster.Options{})
	m := &membership{t: t, c: c, client: newClient(c)}
	m.client.must(t, request{method: http.MethodPut, endpoint: c.Nodes[0].Endpoint, bucket: "members"}, 200)
	m.fill(objects, size)
	if got := m.received(); got != 0 {
		t.Errorf("%v bytes moved before anything joined", got)
	}
	c.AddNode().Start()
	m.eventually("the share of the fourth node", func() bool { return m.received() > 0 && m.settled() })
	if share := m.received() / (2 * objects * size); share < 0.23 || share > 0.27 {
		t.Errorf("%.1f %% of the bytes moved, want 23 to 27", 100*share)
	}
	if got := m.metric(3, `aisle_job_bytes_total{kind="rebalance"}`); got != m.received() {
		t.Errorf("the fourth node received %v of %v bytes", got, m.received())
	}

	release := m.slowUploads(1000)
	began := time.Now()
	second := m.id(1)
	m.change(api.ActionStartMaintenance, api.NodesMsg{Node: second, SkipRebalance: true})
	m.eventually("other owners", func() bool { n := m.smap().Targets[second]; return n.Slots == n.Sole })
	if took := time.Since(began); took > 10*time.Second { // each upload goes on for longer
		t.Errorf("uploads in progress delayed a map change: %v", took)
	}
	release()
	c.Nodes[1].Stop()
	m.check(objects, size)
	c.Nodes[1].Start()
	m.change(api.ActionStopMaintenance, api.NodesMsg{Node: second})
	m.eventually("the return", func() bool { n := m.smap().Targets[second]; return n.Slots > n.Sole && m.settled() })

	fourth := m.id(3)
	m.change(api.ActionDecommissionNode, api.NodesMsg{Node: fourth})
	m.eventually("the fourth node has left", func() bool { _, there := m.smap().Targets[fourth]; return !there })
	c.Nodes = c.Nodes[:3]
	m.check(objects, size)
}

type membership struct {
	t      *testing.T
	c      *testcluster.Cluster
	client *client
}

func (m *membership) key(i int) string { return fmt.Sprintf("object/%d", i) }

func (m *membership) text(i, size int) string { return strings.Repeat(strconv.Itoa(i%10), size) }

// fill writes the objects, many at a time.
func (m *membership) fill(objects, size int) {
	m.t.Helper()
	m.each(objects, func(i int) error {
		r := request{method: http.MethodPut, endpoint: m.c.Nodes[i%3].Endpoint, bucket: "members", key: m.key(i), body: []byte(m.text(i, size))}
		rep, err := m.client.do(m.t.Context(), r)
		if err == nil && rep.status != 200 {
			err = fmt.Errorf("%s", rep)
		}
		return err
	})
}

// check reads some of the objects through the nodes that run.
func (m *membership) check(objects, size int) {
	m.t.Helper()
	m.each(objects/10, func(i int) error {
		node := m.c.Nodes[i%len(m.c.Nodes)]
		if !node.Running() {
			node = m.c.Nodes[0]
		}
		rep, err := m.client.do(m.t.Context(), request{method: http.MethodGet, endpoint: node.Endpoint, bucket: "members", key: m.key(10 * i)})
		if err == nil && (rep.status != 200 || string(rep.body) != m.text(10*i, size)) {
			err = fmt.Errorf("%s: %s", m.key(10*i), rep)
		}
		return err
	})
}

// each calls f for every number below n, sixteen at a time, and tells the first error.
func (m *membership) each(n int, f func(int) error) {
	m.t.Helper()
	const workers = 16
	errs := make(chan error, workers)
	for w := range workers {
		go func() {
			for i := w; i < n; i += workers {
				if err := f(i); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range workers {
		if err := <-errs; err != nil {
			m.t.Error(err)
		}
	}
}

// slowUploads begins uploads that go on until they are released.
func (m *membership) slowUploads(n int) (release func()) {
	m.t.Helper()
	goOn, text := make(chan struct{}), strings.Repeat("slow", 16<<10) // more than is kept back until the body has ended
	var begun, ended sync.WaitGroup
	for i := range n {
		r := request{method: http.MethodPut, endpoint: m.c.Nodes[0].Endpoint, bucket: "members", key: fmt.Sprintf("slow/%d", i), body: []byte(text)}
		req, err := m.client.sign(m.t.Context(), r)
		if err != nil {
			m.t.Fatal(err)
		}
		req.GetBody = nil // it cannot be sent again
		req.Body = io.NopCloser(&slowBody{text: text, begun: sync.OnceFunc(begun.Done), on: goOn})
		begun.Add(1)
		ended.Go(func() {
			_, _ = m.client.send(req) // whatever becomes of it
		})
	}
	begun.Wait()
	m.eventually("all uploads are in progress", func() bool { return m.metric(0, `aisle_http_requests_in_flight{listener="public"}`) >= float64(n) })
	return func() {
		close(goOn)
		ended.Wait()
	}
}

// slowBody gives its first half at once, and the rest when it may.
type slowBody struct {
	text  string
	begun func()
	on    chan struct{}
	sent  int
}

func (b *slowBody) Read(p []byte) (int, error) {
	switch {
	case b.sent == len(b.text):
		return 0, io.EOF
	case b.sent >= len(b.text)/2:
		b.begun() // the first half has been taken
		<-b.on
	}
	rest := b.text[b.sent:]
	if b.sent < len(b.text)/2 {
		rest = b.text[b.sent : len(b.text)/2]
	}
	n := copy(p, rest)
	b.sent += n
	return n, nil
}

func (m *membership) eventually(what string, ok func() bool) {
	m.t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			m.t.Fatalf("%s: not within two minutes", what)
		}
	}
}

func (m *membership) smap() (s api.Smap) {
	m.t.Helper()
	rep := m.client.must(m.t, request{method: http.MethodGet, endpoint: m.c.Nodes[0].Endpoint, bucket: "v1/daemon", query: "what=smap"}, 200)
	if err := json.Unmarshal(rep.body, &s); err != nil {
		m.t.Fatal(err)
	}
	return s
}

// id returns the id of a node.
func (m *membership) id(node int) string {
	m.t.Helper()
	for id, n := range m.smap().Targets {
		if n.Public.URL == m.c.Nodes[node].Endpoint {
			return id
		}
	}
	m.t.Fatalf("node %d is not in the map", node)
	return ""
}

func (m *membership) change(action string, nodes api.NodesMsg) {
	m.t.Helper()
	value, err := json.Marshal(nodes)
	if err != nil {
		m.t.Fatal(err)
	}
	m.client.must(m.t, native(http.MethodPut, m.c.Nodes[0].Endpoint, "", action, string(value)).to("v1/cluster"), 200)
}

// to returns the request for another path.
func (r request) to(path string) request {
	r.bucket, r.key = path, ""
	return r
}

// metric returns what a node says of itself.
func (m *membership) metric(node int, name string) float64 {
	m.t.Helper()
	rep := m.client.must(m.t, request{method: http.MethodGet, endpoint: m.c.Nodes[node].Endpoint, bucket: "-/metrics"}, 200)
	for line := range strings.Lines(string(rep.body)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				m.t.Fatal(err)
			}
			return v
		}
	}
	m.t.Fatalf("node %d does not tell %s", node, name)
	return 0
}

// received counts the bytes that nodes have taken over from others.
func (m *membership) received() (bytes float64) {
	for i := range m.c.Nodes {
		bytes += m.metric(i, `aisle_job_bytes_total{kind="rebalance"}`)
	}
	return bytes
}

// settled reports whether nobody catches up, and no slot lacks a copy, for a while.
func (m *membership) settled() bool {
	for range 5 {
		for i := range m.c.Nodes {
			if m.metric(i, `aisle_job_running{kind="rebalance"}`) > 0 {
				return false
			}
		}
		time.Sleep(500 * time.Millisecond)
	}
	return true
}
