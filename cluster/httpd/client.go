package httpd

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"golang.org/x/sys/unix"
)

// OutRequest is a request to another node.
type OutRequest struct {
	Method string
	Target string // path and raw query, sent as they are
	Host   string // the Host header; the address when empty
	Header Header // Content-Length, Transfer-Encoding, Connection and Expect are the client's own
	// Body is read until Length bytes or io.EOF. When it is an io.Closer it is closed if the reply comes before its end,
	// which must end a Read that waits. A *net.Buffers of exactly Length bytes is sent from where it lies, together with the
	// head; it is not read, and is the caller's again when Do returns.
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
	DialTimeout    time.Duration // 3 s
	ReplyTimeout   time.Duration // from the end of the request to the head of the reply: 60 s
	StallTimeout   time.Duration // without a byte from or to the peer while a body flows: 30 s
	MaxIdlePerHost int           // 128
	IdleTimeout    time.Duration // 60 s; shorter than the server's
	KeepLimit      int64         // bodies up to this are kept in memory, so that they can be sent again: 64 KiB
}

// Client talks plain HTTP/1.1 to the intra listeners of other nodes, over pooled connections.
type Client struct {
	o  ClientOptions
	mu struct {
		sync.Mutex
		closed bool
		idle   map[string][]*peer // the latest used last
	}
}

// NewClient returns a client; Close ends its idle connections.
func NewClient(o ClientOptions) *Client {
	o.DialTimeout = cmp.Or(o.DialTimeout, 3*time.Second)
	o.ReplyTimeout = cmp.Or(o.ReplyTimeout, time.Minute)
	o.StallTimeout = cmp.Or(o.StallTimeout, 30*time.Second)
	o.MaxIdlePerHost = cmp.Or(o.MaxIdlePerHost, 128)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, time.Minute)
	o.KeepLimit = cmp.Or(o.KeepLimit, 64<<10)
	c := &Client{o: o}
	c.mu.idle = make(map[string][]*peer)
	return c
}

// Do sends a request and returns the reply's head, with the body to be read. A reply that comes before the request's
// body was sent is returned at once, and the rest of the body is not read. Nothing is ever sent twice. A node that
// cannot be reached, or breaks off, is KindUnavailable; when ctx ended first, its error is the cause.
func (c *Client) Do(ctx context.Context, addr string, out *OutRequest) (*InReply, error) {
	const op = "cluster/httpd.Client.Do"
	p, err := c.take(ctx, addr)
	if err != nil {
		return nil, cluster.E(op, addr, cluster.KindUnavailable, err)
	}
	in := new(InReply)
	p.out = outHead{method: out.Method, target: out.Target, host: cmp.Or(out.Host, addr), header: &out.Header,
		length: out.Length, expect: out.Length < 0 || out.Length > c.o.KeepLimit}
	body := out.Body
	var kept [][]byte
	if b, ok := body.(*net.Buffers); ok {
		body, kept, p.out.expect = nil, *b, false
	}
	rf, err := p.exchange(ctx, body, kept, &in.Header)
	if err != nil {
		return nil, peerError(op, addr, err)
	}
	in.Status, in.Length = rf.status, rf.length
	in.Body = NewBodyReader(p.reply(rf))
	return in, nil
}

// Relay sends req as it is (method, raw target, Host, fields, raw body) with the extra fields added to the node at addr,
// and makes its reply rep, streaming both ways. Fields of req that have the name of an extra one are left out, and so
// are connection-level fields. The reply goes out with req.ID as its request id.
//
// Any error means that no reply came: KindUnavailable when the peer cannot be reached or broke off, the client's own
// error when its body failed, ctx's error when it ended. The caller may call Relay again for the same request, to the
// same or another node, while req.Replayable() is true. A status of the peer is a reply and no error, 503 too: a gateway
// that wants to try again after one looks at the reply (intra.HeaderKind) and calls rep.Reset.
func (c *Client) Relay(ctx context.Context, addr string, req *Request, rep *Reply, extra ...Field) error {
	const op = "cluster/httpd.Client.Relay"
	p, err := c.take(ctx, addr)
	if err != nil {
		return cluster.E(op, addr, cluster.KindUnavailable, err)
	}
	p.out = outHead{method: req.Method, target: req.Path, query: req.Query, hasQuery: req.HasQuery, host: req.Host,
		header: &req.Header, extra: extra, length: req.Length}
	var kept [][]byte
	body := req.Body
	switch {
	case req.Length == 0:
		body = nil
	case req.Length > 0 && req.Length <= c.o.KeepLimit && req.body != nil:
		whole, err := req.body.keep(req.Length)
		if err != nil {
			c.give(p)
			return err
		}
		body, p.whole[0] = nil, whole
		kept = p.whole[:]
	default:
		p.out.expect = true
	}
	rep.header.fields = rep.header.fields[:0]
	rf, err := p.exchange(ctx, body, kept, &rep.header)
	if err != nil {
		rep.Reset()
		return peerError(op, addr, err)
	}
	rep.Status = rf.status
	switch body := p.reply(rf); {
	case rf.noBody && rf.length > 0:
		rep.SetLength(rf.length)
		return body.Close()
	case rf.noBody || rf.length == 0:
		rep.SetLength(0)
		return body.Close()
	default:
		rep.Stream(rf.length, body)
	}
	return nil
}

// peerError gives a failure its kind: the peer's, unless it has one already.
func peerError(op, addr string, err error) error {
	var own *bodyError
	if errors.As(err, &own) {
		return own.err
	}
	return cluster.E(op, addr, cluster.KindUnavailable, err)
}

// bodyError is the failure of a request's body, which is not the peer's fault.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return e.err.Error() }

// take returns an idle connection to addr, or a new one.
func (c *Client) take(ctx context.Context, addr string) (*peer, error) {
	for {
		p := c.pop(addr)
		if p == nil {
			break
		}
		if p.usable(c.o.IdleTimeout) {
			return p, nil
		}
		p.nc.Close()
	}
	d := net.Dialer{Timeout: c.o.DialTimeout}
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return newPeer(c, addr, nc.(*net.TCPConn)), nil
}

func (c *Client) pop(addr string) *peer {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.mu.idle[addr]
	if len(list) == 0 {
		return nil
	}
	p := list[len(list)-1]
	list[len(list)-1] = nil
	c.mu.idle[addr] = list[:len(list)-1]
	return p
}

// give returns a connection for later use.
func (c *Client) give(p *peer) {
	now := time.Now()
	p.since = now
	c.mu.Lock()
	list := c.mu.idle[p.addr]
	var old *peer
	if len(list) > 0 && now.Sub(list[0].since) > c.o.IdleTimeout {
		old, list = list[0], list[1:]
	}
	keep := !c.mu.closed && len(list) < c.o.MaxIdlePerHost
	if keep {
		list = append(list, p)
	}
	c.mu.idle[p.addr] = list
	c.mu.Unlock()
	if !keep {
		p.nc.Close()
	}
	if old != nil {
		old.nc.Close()
	}
}

// Close ends the idle connections; those in use end when their reply does.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.closed = true
	for addr, list := range c.mu.idle {
		for _, p := range list {
			p.nc.Close()
		}
		delete(c.mu.idle, addr)
	}
}

// trusted is how long a connection may be idle and be used again without asking the kernel about it: under load that
// saves a system call for each request, and a node that stops within that time is as if it had stopped a moment later.
const trusted = 20 * time.Millisecond

// usable reports whether an idle connection is young enough and the peer has neither closed it nor said anything.
func (p *peer) usable(limit time.Duration) bool {
	idle := time.Since(p.since)
	if idle < trusted || idle > limit {
		return idle < trusted
	}
	quiet := false
	err := p.raw.Control(func(fd uintptr) {
		var b [1]byte
		_, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		quiet = err == unix.EAGAIN
	})
	return err == nil && quiet
}
