package httpd

import (
	"context"
	"io"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// OutRequest is a request to another node.
type OutRequest struct {
	Method string
	Target string // path and raw query, sent as they are
	Host   string // the Host header; the address when empty
	Header Header // Content-Length, Transfer-Encoding, Connection and Expect are the client's own
	Body   io.Reader
	Length int64 // of Body; -1 when unknown; 0 without
}

// InReply is a reply of another node. Body must be closed.
type InReply struct {
	Status int
	Header Header
	Length int64 // -1 when unknown
	Body   io.ReadCloser
}

// ClientOptions configures a Client. Zero values are replaced by the defaults named beside each.
type ClientOptions struct {
	DialTimeout     time.Duration // 3 s
	StallTimeout    time.Duration // without a byte from or to the peer while a body flows: 30 s
	MaxIdlePerHost  int           // 128
	IdleTimeout     time.Duration // 60 s; shorter than the server's
	ExpectThreshold int64         // bodies of this length or more (or unknown) ask with Expect first: 64 KiB + 1
}

// Client talks plain HTTP to the intra listeners of other nodes.
type Client struct{ o ClientOptions }

// NewClient returns a client; Close ends its idle connections.
func NewClient(o ClientOptions) *Client { return &Client{o: o} }

// Do sends a request and returns the reply's head, with the body to be read. A reply that comes before the request's
// body was sent is returned at once, and the rest of the body is not read. Nothing is ever sent twice. A node that
// cannot be reached, or breaks off, is KindUnavailable.
func (c *Client) Do(ctx context.Context, addr string, out *OutRequest) (*InReply, error) {
	return nil, cluster.Fail("cluster/httpd.Client.Do", addr, cluster.KindUnavailable, "not connected")
}

// Relay sends req as it is (method, raw target, Host, fields, raw body) with the extra fields added to the node at addr,
// and makes its reply rep, streaming both ways. Fields of req that have the name of an extra one are left out, and so
// are connection-level fields. The peer's request id stands in rep.
//
// Any error means that no reply came: KindUnavailable when the peer cannot be reached or broke off, KindTimeout when ctx
// ended, the client's own error when its body failed. The caller may call Relay again for the same request, to the same
// or another node, while req.Replayable() is true. A status of the peer is a reply and no error, 503 too: a gateway that
// wants to try again after one looks at the reply (intra.HeaderKind) and calls rep.Reset.
func (c *Client) Relay(ctx context.Context, addr string, req *Request, rep *Reply, extra ...Field) error {
	return cluster.Fail("cluster/httpd.Client.Relay", addr, cluster.KindUnavailable, "not connected")
}

// Close ends the idle connections.
func (c *Client) Close() {}
