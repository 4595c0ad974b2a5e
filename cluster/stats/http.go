package stats

import (
	"maps"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// httpVectors are the metrics of requests, of all listeners.
type httpVectors struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	received *prometheus.CounterVec
	sent     *prometheus.CounterVec
	inFlight *prometheus.GaugeVec
}

// latencyBuckets reach from what a HEAD takes to the end of patience.
var latencyBuckets = []float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60}

func newHTTPVectors(r *prometheus.Registry) httpVectors {
	byOperation := []string{"listener", "operation"}
	v := httpVectors{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "aisle_http_requests_total",
			Help: "Requests answered, by status code; status 0 means that the connection broke before the reply."},
			[]string{"listener", "operation", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "aisle_http_request_seconds", Buckets: latencyBuckets,
			Help: "Seconds from the end of a request's head to the last byte of its reply."}, byOperation),
		received: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "aisle_http_received_bytes_total",
			Help: "Bytes of request bodies read."}, byOperation),
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "aisle_http_sent_bytes_total",
			Help: "Bytes of reply bodies sent."}, byOperation),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "aisle_http_requests_in_flight",
			Help: "Requests being served now."}, []string{"listener"}),
	}
	r.MustRegister(v.requests, v.seconds, v.received, v.sent, v.inFlight)
	return v
}

// HTTP counts the requests of one listener. All methods work on a nil *HTTP and do nothing.
type HTTP struct {
	listener   string
	vectors    httpVectors
	inFlight   prometheus.Gauge
	operations atomic.Pointer[map[string]*operation] // replaced, never changed
	mu         sync.Mutex                            // held to replace it
}

// HTTP returns the metrics of one listener, "public" or "intra".
func (reg *Registry) HTTP(listener string) *HTTP {
	h := &HTTP{listener: listener, vectors: reg.http, inFlight: reg.http.inFlight.WithLabelValues(listener)}
	h.operations.Store(&map[string]*operation{})
	return h
}

// operation holds the metrics of one operation, found once.
type operation struct {
	seconds        prometheus.Observer
	received, sent prometheus.Counter
	statuses       [600]atomic.Pointer[prometheus.Counter] // by status code
}

// maxOperations bounds the number of series when a caller makes names up; those beyond it count as "other".
const maxOperations = 500

// Begin counts a request in flight.
func (h *HTTP) Begin() {
	if h != nil {
		h.inFlight.Inc()
	}
}

// Done counts the end of a request: its operation ("" when it was none), the status sent, its bytes, and how long it took.
func (h *HTTP) Done(name string, status int, bytesIn, bytesOut int64, took time.Duration) {
	if h == nil {
		return
	}
	h.inFlight.Dec()
	op := (*h.operations.Load())[name]
	if op == nil {
		op = h.add(name)
	}
	op.status(h, name, status).Inc()
	op.seconds.Observe(took.Seconds())
	if bytesIn > 0 {
		op.received.Add(float64(bytesIn))
	}
	if bytesOut > 0 {
		op.sent.Add(float64(bytesOut))
	}
}

// add makes the metrics of an operation that is counted for the first time.
func (h *HTTP) add(name string) *operation {
	h.mu.Lock()
	defer h.mu.Unlock()
	known := *h.operations.Load()
	if op := known[name]; op != nil {
		return op
	}
	if len(known) >= maxOperations {
		if op := known["other"]; op != nil {
			return op
		}
		name = "other"
	}
	label := labelOf(name)
	op := &operation{
		seconds:  h.vectors.seconds.WithLabelValues(h.listener, label),
		received: h.vectors.received.WithLabelValues(h.listener, label),
		sent:     h.vectors.sent.WithLabelValues(h.listener, label),
	}
	grown := maps.Clone(known)
	grown[name] = op
	h.operations.Store(&grown)
	return op
}

// labelOf names what was no operation.
func labelOf(name string) string {
	if name == "" {
		return "none"
	}
	return name
}

// status returns the counter of one status code.
func (op *operation) status(h *HTTP, name string, status int) prometheus.Counter {
	if status < 0 || status >= len(op.statuses) {
		status = 0
	}
	if c := op.statuses[status].Load(); c != nil {
		return *c
	}
	if (*h.operations.Load())[name] == nil {
		name = "other"
	}
	c := h.vectors.requests.WithLabelValues(h.listener, labelOf(name), strconv.Itoa(status))
	op.statuses[status].Store(&c)
	return c
}
