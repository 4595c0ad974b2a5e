// Package stats counts what one node does. A Registry is built once per node and passed down; other packages get small
// typed structs (HTTP, Store, ...) and never see the metrics library. Counting costs well under a microsecond.
package stats

import (
	"io"
	"time"
)

// Registry holds every metric of one node.
type Registry struct{}

// New returns a registry. Build info and Go runtime metrics are part of it.
func New() *Registry { return &Registry{} }

// Write writes all metrics in Prometheus's text format: the body of /-/metrics, of content type ContentType.
func (r *Registry) Write(w io.Writer) error { return nil }

// ContentType is the content type of what Write writes.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// HTTP returns the metrics of one listener, "public" or "intra".
func (r *Registry) HTTP(listener string) *HTTP { return &HTTP{} }

// HTTP counts the requests of one listener. All methods work on a nil *HTTP and do nothing.
type HTTP struct{}

// Begin counts a request in flight.
func (h *HTTP) Begin() {}

// Done counts the end of a request: its operation, the status sent, its bytes, and how long it took.
func (h *HTTP) Done(operation string, status int, bytesIn, bytesOut int64, took time.Duration) {}
