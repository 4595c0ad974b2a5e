package secret

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// Limits of what strangers can make a Mux hold.
const (
	greetTimeout = 5 * time.Second // from accept to the end of the TLS handshake, or the first byte of HTTP
	maxGreeting  = 512             // connections in that state; beyond, the oldest is closed
	handTimeout  = 5 * time.Second // until the listener's owner accepts
	handBacklog  = 64              // connections that wait for it without a goroutine of their own
)

// Mux shares one TCP listener between plain HTTP and TLS with the cluster's identity. The first byte tells them apart; it
// is looked at and not taken, so a connection of HTTP is the *net.TCPConn itself, and sendfile works on it.
type Mux struct {
	listener *net.TCPListener
	identity *Identity
	logger   *slog.Logger
	ports    map[Protocol]*port // HTTP under ""
	life     context.Context
	end      context.CancelFunc
	work     sync.WaitGroup
	mu       struct {
		sync.Mutex
		greeting *list.List // of net.Conn, oldest first
	}
}

// plain is the port of HTTP.
const plain Protocol = ""

// NewMux takes over a TCP listener and begins to accept. A nil logger is silence.
func NewMux(l *net.TCPListener, id *Identity, logger *slog.Logger) *Mux {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	m := &Mux{listener: l, identity: id, logger: logger}
	m.life, m.end = context.WithCancel(context.Background())
	m.ports = map[Protocol]*port{plain: m.newPort(), Raft: m.newPort(), Control: m.newPort()}
	m.mu.greeting = list.New()
	m.work.Go(m.accept)
	return m
}

// HTTP gives the connections of plain HTTP, each a *net.TCPConn.
func (m *Mux) HTTP() net.Listener { return m.ports[plain] }

// Protocol gives the connections of a TLS protocol, whose peers have proved to know the secret.
func (m *Mux) Protocol(p Protocol) net.Listener { return m.ports[p] }

// Addr returns the address of the listener.
func (m *Mux) Addr() net.Addr { return m.listener.Addr() }

// Close stops accepting, closes connections that nobody has accepted yet, and waits. Accepted ones are their owners'.
func (m *Mux) Close() error {
	m.end()
	err := m.listener.Close()
	m.mu.Lock()
	for e := m.mu.greeting.Front(); e != nil; e = e.Next() {
		e.Value.(net.Conn).Close()
	}
	m.mu.Unlock()
	m.work.Wait()
	for _, p := range m.ports {
		p.Close()
	}
	return err
}

func (m *Mux) accept() {
	for {
		c, err := m.listener.AcceptTCP()
		if err == nil {
			m.work.Go(func() { m.greet(c) })
			continue
		}
		if m.life.Err() != nil || errors.Is(err, net.ErrClosed) {
			return
		}
		// Out of file descriptors, or the like: it may pass.
		m.logger.Warn("cannot accept on the intra-cluster port", "error", err)
		select {
		case <-time.After(100 * time.Millisecond):
		case <-m.life.Done():
			return
		}
	}
}

// greet finds out what a connection is and hands it to the port's owner.
func (m *Mux) greet(c *net.TCPConn) {
	place := m.enter(c)
	protocol, conn, err := m.sort(c)
	m.leave(place)
	if err != nil {
		m.logger.Debug("refused a connection to the intra-cluster port", "remote", c.RemoteAddr().String(), "error", err)
		c.Close()
		return
	}
	m.ports[protocol].hand(conn)
}

// enter counts a connection among those that have not shown what they are, at the cost of the oldest of them.
func (m *Mux) enter(c net.Conn) *list.Element {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.greeting.Len() >= maxGreeting {
		oldest := m.mu.greeting.Front()
		oldest.Value.(net.Conn).Close()
		m.mu.greeting.Remove(oldest)
	}
	place := m.mu.greeting.PushBack(c)
	if m.life.Err() != nil {
		c.Close() // Close may have passed already
	}
	return place
}

func (m *Mux) leave(place *list.Element) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.greeting.Remove(place)
}

// sort returns the protocol of a connection, and what its owner gets.
func (m *Mux) sort(c *net.TCPConn) (Protocol, net.Conn, error) {
	if err := c.SetDeadline(time.Now().Add(greetTimeout)); err != nil {
		return "", nil, err
	}
	first, err := peek(c)
	if err != nil {
		return "", nil, err
	}
	switch {
	case first >= 'A' && first <= 'Z':
		return plain, c, c.SetDeadline(time.Time{})
	case first != recordHandshake:
		return "", nil, errors.New("neither HTTP nor TLS")
	}
	t := tls.Server(c, m.identity.config(Raft, Control))
	if err := t.HandshakeContext(m.life); err != nil {
		return "", nil, err
	}
	protocol := Protocol(t.ConnectionState().NegotiatedProtocol)
	if protocol == "" {
		return "", nil, errors.New("the peer names no protocol")
	}
	return protocol, t, c.SetDeadline(time.Time{})
}

// recordHandshake is the first byte of a TLS connection (RFC 8446, 5.1).
const recordHandshake = 22

// peek waits for the first byte and leaves it where it is.
func peek(c *net.TCPConn) (byte, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var first [1]byte
	var n int
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		for {
			n, _, failed = syscall.Recvfrom(int(fd), first[:], syscall.MSG_PEEK)
			if failed != syscall.EINTR {
				return failed != syscall.EAGAIN
			}
		}
	})
	switch {
	case err != nil:
		return 0, err
	case failed != nil:
		return 0, failed
	case n == 0:
		return 0, errors.New("closed without a byte")
	}
	return first[0], nil
}

// port is the net.Listener of one protocol.
type port struct {
	mux    *Mux
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (m *Mux) newPort() *port {
	return &port{mux: m, conns: make(chan net.Conn, handBacklog), closed: make(chan struct{})}
}

// hand gives a connection to whoever accepts, or closes it when nobody does in time.
func (p *port) hand(c net.Conn) {
	t := time.NewTimer(handTimeout)
	defer t.Stop()
	select {
	case <-p.closed:
		c.Close()
		return
	default:
	}
	select {
	case p.conns <- c:
		p.drainIfClosed()
	case <-p.closed:
		c.Close()
	case <-p.mux.life.Done():
		c.Close()
	case <-t.C:
		p.mux.logger.Warn("nobody accepts a connection to the intra-cluster port", "remote", c.RemoteAddr().String())
		c.Close()
	}
}

// drainIfClosed closes what was queued while the port closed.
func (p *port) drainIfClosed() {
	select {
	case <-p.closed:
	default:
		return
	}
	for {
		select {
		case c := <-p.conns:
			c.Close()
		default:
			return
		}
	}
}

// Accept implements net.Listener.
func (p *port) Accept() (net.Conn, error) {
	select {
	case <-p.closed:
		return nil, net.ErrClosed
	default:
	}
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
	case <-p.mux.life.Done():
	}
	return nil, net.ErrClosed
}

// Close implements net.Listener. Further connections of the protocol are closed at once; the other ports go on.
func (p *port) Close() error {
	p.once.Do(func() { close(p.closed) })
	p.drainIfClosed()
	return nil
}

// Addr implements net.Listener.
func (p *port) Addr() net.Addr { return p.mux.listener.Addr() }

// Listen is NewMux on a new listener.
func Listen(addr string, id *Identity, logger *slog.Logger) (*Mux, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, cluster.E("secret.Listen", addr, cluster.KindOther, err)
	}
	return NewMux(l.(*net.TCPListener), id, logger), nil
}
