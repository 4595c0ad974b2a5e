package secret

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// Handler answers one control call. Its error crosses the wire with kind, subject and message.
type Handler func(ctx context.Context, method string, body []byte) ([]byte, error)

// Limits of a Server.
const (
	idleTimeout  = 2 * time.Minute // between calls on a connection
	frameTimeout = 30 * time.Second
	maxCalls     = 256  // handlers at a time; more callers are told to come back
	maxConns     = 1024 // beyond, new connections are closed
	maxCallTime  = 5 * time.Minute
)

// Server answers control calls. Calls on one connection are answered in turn.
type Server struct {
	handler Handler
	logger  *slog.Logger
	life    context.Context // of handlers
	end     context.CancelFunc
	slots   chan struct{}
	mu      struct {
		sync.Mutex
		closed    bool
		listeners map[net.Listener]bool
		conns     map[net.Conn]bool // whether a call is under way
		work      sync.WaitGroup    // added to only while not closed
	}
}

// NewServer makes a server. A nil logger is silence.
func NewServer(h Handler, logger *slog.Logger) *Server {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{handler: h, logger: logger, slots: make(chan struct{}, maxCalls)}
	s.life, s.end = context.WithCancel(context.Background())
	s.mu.listeners = make(map[net.Listener]bool)
	s.mu.conns = make(map[net.Conn]bool)
	return s
}

// Serve answers on the connections of a listener until Close, when it returns nil, or until the listener fails.
func (s *Server) Serve(l net.Listener) error {
	const op = "secret.Server.Serve"
	s.mu.Lock()
	if s.mu.closed {
		s.mu.Unlock()
		l.Close()
		return nil
	}
	s.mu.listeners[l] = true
	s.mu.Unlock()
	for {
		c, err := l.Accept()
		if s.life.Err() != nil || s.isClosed() {
			if err == nil {
				c.Close()
			}
			return nil
		}
		if err != nil {
			return cluster.E(op, "", cluster.KindOther, err)
		}
		if !s.add(c) {
			s.logger.Warn("too many control connections", "remote", c.RemoteAddr().String())
			c.Close()
		}
	}
}

// Close refuses new calls, gives those under way until the context ends, then cancels them, and waits.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	s.mu.closed = true
	for l := range s.mu.listeners {
		l.Close()
	}
	for c, busy := range s.mu.conns {
		if !busy {
			c.Close()
		}
	}
	s.mu.Unlock()
	stop := context.AfterFunc(ctx, s.cut)
	s.mu.work.Wait()
	stop()
	s.end()
	return nil
}

// cut cancels what is under way.
func (s *Server) cut() {
	s.end()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.mu.conns {
		c.Close()
	}
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.closed
}

func (s *Server) add(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed || len(s.mu.conns) >= maxConns {
		return false
	}
	s.mu.conns[c] = false
	s.mu.work.Go(func() { s.serve(c) })
	return true
}

// mark notes whether a call is under way on a connection, and reports whether the connection is to go on.
func (s *Server) mark(c net.Conn, busy bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.conns[c] = busy
	return !s.mu.closed
}

func (s *Server) remove(c net.Conn) {
	c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.conns, c)
}

// serve answers the calls of one connection.
func (s *Server) serve(c net.Conn) {
	defer s.remove(c)
	for {
		err := s.serveOne(c)
		switch {
		case err == nil:
			continue
		case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), s.isClosed():
		default:
			s.logger.Debug("a control connection ends", "remote", c.RemoteAddr().String(), "error", err)
		}
		return
	}
}

// serveOne reads a call, runs the handler and sends the answer.
func (s *Server) serveOne(c net.Conn) error {
	if err := c.SetDeadline(time.Now().Add(idleTimeout)); err != nil {
		return err
	}
	frame, err := readFrame(c)
	if err != nil {
		return err
	}
	if !s.mark(c, true) {
		return net.ErrClosed
	}
	r, err := parseRequest(frame)
	if err != nil {
		return err
	}
	// While the handler runs nothing is read, so the deadline of the connection must outlast it.
	timeout := min(r.timeout, maxCallTime)
	if err := c.SetDeadline(time.Now().Add(timeout + frameTimeout)); err != nil {
		return err
	}
	body, err := s.handle(r.method, r.body, timeout)
	if _, err := c.Write(appendAnswer(nil, body, err)); err != nil {
		return err
	}
	if !s.mark(c, false) {
		return net.ErrClosed
	}
	return nil
}

// handle runs the handler within the limits. A panic of it is this call's error, not the node's end.
func (s *Server) handle(method string, body []byte, timeout time.Duration) (answer []byte, err error) {
	const op = "secret.Server.handle"
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		e := cluster.Fail(op, method, cluster.KindUnavailable, "too many control calls at a time")
		e.RetryAfter = time.Second
		return nil, e
	}
	ctx, cancel := context.WithTimeout(s.life, timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			s.logger.Error("a control call panicked", "method", method, "panic", fmt.Sprint(p))
			answer, err = nil, cluster.Fail(op, method, cluster.KindOther, "internal error")
		}
	}()
	answer, err = s.handler(ctx, method, body)
	if len(answer) > MaxMessage {
		return nil, cluster.Fail(op, method, cluster.KindTooLarge, fmt.Sprintf("the answer has %d bytes, more than %d", len(answer), MaxMessage))
	}
	return answer, err
}
