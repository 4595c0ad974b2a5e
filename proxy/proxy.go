// Package proxy is a gateway: it takes any client's request, in S3's dialect or the native one, and answers it or has it
// answered by the owner of what it is about.
package proxy

import (
	"context"

	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/proxy/internal/front"
)

// Options are what a gateway is made of.
type Options = front.Options

// Proxy is a gateway.
type Proxy struct{ front *front.Front }

// New returns a gateway. It owns nothing that must be closed.
func New(o Options) *Proxy { return &Proxy{front: front.New(o)} }

// Serve answers one request of a client; it is the handler of a public listener.
func (p *Proxy) Serve(ctx context.Context, req *httpd.Request, rep *httpd.Reply) error {
	return p.front.Serve(ctx, req, rep)
}

// Observe notes a request that has ended, for the access logs of buckets.
func (p *Proxy) Observe(ex *httpd.Exchange) { p.front.Observe(ex) }

// DeliverLogs writes access logs into their buckets from time to time, until the context ends.
func (p *Proxy) DeliverLogs(ctx context.Context) { p.front.DeliverLogs(ctx) }

// FlushLogs writes what was gathered of access logs now.
func (p *Proxy) FlushLogs(ctx context.Context) error { return p.front.FlushLogs(ctx) }

// LogStats returns how many lines of access logs were delivered, and dropped, since the start.
func (p *Proxy) LogStats() (delivered, dropped int64) { return p.front.LogStats() }

// WriteError fills the reply for an error in the dialect of the request.
func (p *Proxy) WriteError(req *httpd.Request, rep *httpd.Reply, err error) {
	p.front.WriteError(req, rep, err)
}
