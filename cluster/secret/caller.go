package secret

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// Limits of a Caller.
const (
	defaultCallTime = 30 * time.Second // when the context has no deadline
	keepIdle        = time.Minute      // less than the server's patience
	maxIdlePerNode  = 4
)

// DialFunc opens an authenticated connection to an address.
type DialFunc func(ctx context.Context, addr string) (net.Conn, error)

// Caller makes control calls to other nodes. It keeps a few connections to each open between calls.
type Caller struct {
	dial DialFunc
	mu   struct {
		sync.Mutex
		closed bool
		idle   map[string][]idleConn // the latest used last
	}
}

type idleConn struct {
	net.Conn
	since time.Time
}

// NewCaller makes a caller that proves this identity.
func NewCaller(id *Identity) *Caller {
	return NewCallerOn(func(ctx context.Context, addr string) (net.Conn, error) { return id.Dial(ctx, Control, addr) })
}

// NewCallerOn makes a caller over connections of another kind, for tests.
func NewCallerOn(dial DialFunc) *Caller {
	c := &Caller{dial: dial}
	c.mu.idle = make(map[string][]idleConn)
	return c
}

// Call sends a method and a body to the node at an address and returns the body of its answer. An error that the node
// returned has its kind, subject and message. KindUnavailable also stands for a node that could not be reached and for an
// answer that was lost: then the call may have had its effect. A call is never sent twice.
func (c *Caller) Call(ctx context.Context, addr, method string, body []byte) ([]byte, error) {
	const op = "secret.Caller.Call"
	subject := method + " at " + addr
	if len(method) > maxMethod || len(body) > MaxMessage {
		return nil, cluster.Fail(op, subject, cluster.KindTooLarge, fmt.Sprintf("a call of %d bytes is over the limit", len(body)))
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, defaultCallTime)
		defer cancel()
	}
	conn, err := c.take(ctx, addr)
	if err != nil {
		return nil, cluster.E(op, subject, cluster.KindOther, err)
	}
	answer, remote, err := exchange(ctx, conn, method, body)
	if err != nil {
		conn.Close()
		if ctx.Err() != nil {
			err = errors.Join(ctx.Err(), err)
		}
		return nil, cluster.E(op, subject, kindOfTLS(err), err)
	}
	c.keep(addr, conn)
	if remote != nil {
		return nil, cluster.E(op, "", cluster.KindOther, remote)
	}
	return answer, nil
}

// Close closes the idle connections, and those of calls under way when the calls end.
func (c *Caller) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.closed = true
	for _, conns := range c.mu.idle {
		for _, conn := range conns {
			conn.Close()
		}
	}
	clear(c.mu.idle)
	return nil
}

// exchange sends a request and reads the answer. The end of the context breaks it off.
func exchange(ctx context.Context, conn net.Conn, method string, body []byte) (answer []byte, remote, err error) {
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	answer, remote, err = roundTrip(conn, request{method: method, timeout: time.Until(deadline), body: body})
	if !stop() && err == nil {
		// The deadline in the past may come yet: the connection is not to be used again.
		conn.Close()
	}
	return answer, remote, err
}

func roundTrip(conn net.Conn, r request) (answer []byte, remote, err error) {
	if _, err := conn.Write(appendRequest(nil, r)); err != nil {
		return nil, nil, err
	}
	frame, err := readFrame(conn)
	if err != nil {
		return nil, nil, err
	}
	return parseAnswer(frame)
}

// take returns an idle connection that is still good, or a new one.
func (c *Caller) take(ctx context.Context, addr string) (net.Conn, error) {
	for {
		c.mu.Lock()
		if c.mu.closed {
			c.mu.Unlock()
			return nil, cluster.Fail("secret.Caller.Call", addr, cluster.KindUnavailable, "the node is stopping")
		}
		idle := c.mu.idle[addr]
		if len(idle) == 0 {
			c.mu.Unlock()
			return c.dial(ctx, addr)
		}
		last := idle[len(idle)-1]
		c.mu.idle[addr] = idle[:len(idle)-1]
		c.mu.Unlock()
		if time.Since(last.since) < keepIdle && quiet(last.Conn) {
			return last.Conn, nil
		}
		last.Close()
	}
}

// keep puts a connection back for the next call, and drops those that are too old.
func (c *Caller) keep(addr string, conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		conn.Close()
		return
	}
	idle := append(c.mu.idle[addr], idleConn{conn, time.Now()})
	for len(idle) > maxIdlePerNode || time.Since(idle[0].since) >= keepIdle {
		idle[0].Close()
		idle = idle[1:]
	}
	c.mu.idle[addr] = idle
}

// quiet reports whether an idle connection is open and has nothing to read. Between calls there is nothing to read but
// the end of the connection.
func quiet(conn net.Conn) bool {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	s, ok := conn.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	var open bool
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		open = err == syscall.EAGAIN
	})
	return err == nil && open
}
