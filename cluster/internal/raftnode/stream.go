package raftnode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/raft"

	"github.com/aisle-store/aisle/cluster"
)

// StreamOptions are the pieces of a Link over streams.
type StreamOptions struct {
	ID cluster.NodeID
	// Listener gives the streams that other members open to this one, already authenticated. The Link closes it.
	Listener net.Listener
	// Dial opens an authenticated stream to an address.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// Resolve returns the current address of a member. It is asked at each dial.
	Resolve func(id cluster.NodeID) (addr string, err error)
}

// NewStreams returns a Link over streams. Each stream begins with the name of the member it is meant for, and another
// member closes it: an address that has changed hands since it was looked up must never have one member answer for another.
func NewStreams(o StreamOptions) *Link {
	return &Link{open: func(call time.Duration, log *slog.Logger) *transport {
		life, sever := context.WithCancel(context.Background())
		l := &layer{options: o, life: life}
		l.mu.open = make(map[*stream]bool)
		t := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			Stream:                  l,
			MaxPool:                 3,
			Timeout:                 call,
			Logger:                  newLogger(log.With("part", "raft")),
			MsgpackUseNewTimeFormat: true,
		})
		return &transport{
			carrier: t,
			sever:   func() { sever(); t.Close() },
			end:     l.wait,
		}
	}}
}

// layer is the raft.StreamLayer. It knows every stream, so that it can close them all and wait until they are given up:
// raft's transport does neither.
type layer struct {
	options StreamOptions
	life    context.Context
	mu      struct {
		sync.Mutex
		closed bool
		open   map[*stream]bool
		held   sync.WaitGroup // accepted streams that raft's transport has not closed yet
	}
}

// Accept implements net.Listener. The preface is read later, by whoever reads the stream.
func (l *layer) Accept() (net.Conn, error) {
	for {
		c, err := l.options.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if s := l.add(c, true); s != nil {
			return s, nil
		}
	}
}

// Dial implements raft.StreamLayer; the address is a member's name.
func (l *layer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	id := cluster.NodeID(address)
	addr, err := l.options.Resolve(id)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(l.life, timeout)
	defer cancel()
	c, err := l.options.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	if err := writePreface(c, id, timeout); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	s := l.add(c, false)
	if s == nil {
		return nil, raft.ErrTransportShutdown
	}
	return s, nil
}

// Addr implements net.Listener.
func (l *layer) Addr() net.Addr { return memberAddr(l.options.ID) }

// Close implements net.Listener: it closes the listener and all streams.
func (l *layer) Close() error {
	l.mu.Lock()
	l.mu.closed = true
	open := make([]*stream, 0, len(l.mu.open))
	for s := range l.mu.open {
		open = append(open, s)
	}
	l.mu.Unlock()
	err := l.options.Listener.Close()
	var closing sync.WaitGroup
	for _, s := range open {
		closing.Go(func() { s.Conn.Close() }) // TLS may wait some seconds to say goodbye
	}
	closing.Wait()
	return err
}

func (l *layer) wait() error {
	l.mu.held.Wait()
	return nil
}

// add makes a stream of a connection, or closes it when the layer has closed.
func (l *layer) add(c net.Conn, accepted bool) *stream {
	s := &stream{Conn: c, layer: l, accepted: accepted}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.closed {
		c.Close()
		return nil
	}
	l.mu.open[s] = true
	if accepted {
		l.mu.held.Add(1)
	}
	return s
}

// memberAddr is the name of a member as a net.Addr.
type memberAddr cluster.NodeID

// Network implements net.Addr.
func (memberAddr) Network() string { return "member" }

// String implements net.Addr.
func (a memberAddr) String() string { return string(a) }

// stream is a connection that its layer knows.
type stream struct {
	net.Conn
	layer    *layer
	accepted bool
	greeted  bool // the preface has been read; used by the one reader only
	once     sync.Once
}

// Read implements net.Conn. The first read of an accepted stream takes the preface off it.
func (s *stream) Read(p []byte) (int, error) {
	if s.accepted && !s.greeted {
		if err := s.greet(); err != nil {
			return 0, err
		}
		s.greeted = true
	}
	n, err := s.Conn.Read(p)
	if err != nil && (s.layer.life.Err() != nil || s.accepted && gone(err)) {
		err = io.EOF // the end of this member, or of the other, is not worth an error in the log
	}
	return n, err
}

// gone reports whether a read failed since the other side has ended.
func gone(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// Close implements net.Conn.
func (s *stream) Close() error {
	err := s.Conn.Close()
	s.once.Do(func() {
		s.layer.mu.Lock()
		delete(s.layer.mu.open, s)
		s.layer.mu.Unlock()
		if s.accepted {
			s.layer.mu.held.Done()
		}
	})
	return err
}

// prefaceMagic opens every stream; its last digit is the version.
const prefaceMagic = "aisle raft 1\n"

// prefaceTimeout is how long an accepted stream may take to say whom it is for.
const prefaceTimeout = 5 * time.Second

// writePreface sends the magic, and the name of the member meant with its length before it.
func writePreface(c net.Conn, to cluster.NodeID, timeout time.Duration) error {
	if len(to) > 255 {
		return fmt.Errorf("node id of %d bytes", len(to))
	}
	b := appendPreface(nil, to)
	if err := c.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	if _, err := c.Write(b); err != nil {
		return err
	}
	return c.SetWriteDeadline(time.Time{})
}

func appendPreface(b []byte, to cluster.NodeID) []byte {
	b = append(b, prefaceMagic...)
	b = append(b, byte(len(to)))
	return append(b, to...)
}

// greet reads the preface and refuses a stream that is meant for somebody else.
func (s *stream) greet() error {
	if err := s.Conn.SetReadDeadline(time.Now().Add(prefaceTimeout)); err != nil {
		return err
	}
	to, err := readPreface(s.Conn)
	if err != nil {
		return err
	}
	if to != s.layer.options.ID {
		return fmt.Errorf("the stream is meant for %s; this is %s", to, s.layer.options.ID)
	}
	return s.Conn.SetReadDeadline(time.Time{})
}

func readPreface(r io.Reader) (to cluster.NodeID, err error) {
	head := make([]byte, len(prefaceMagic)+1)
	if _, err := io.ReadFull(r, head); err != nil {
		return "", fmt.Errorf("raft preface: %w", err)
	}
	if string(head[:len(prefaceMagic)]) != prefaceMagic {
		return "", errors.New("the stream speaks another version of raft's preface")
	}
	name := make([]byte, head[len(prefaceMagic)])
	if _, err := io.ReadFull(r, name); err != nil {
		return "", fmt.Errorf("raft preface: %w", err)
	}
	return cluster.NodeID(name), nil
}
