package httpd

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/stats"
)

// Handler answers one request. When it returns an error, what it put into rep is dropped and Options.WriteError fills
// the reply instead. ctx ends when the reply has been
// sent, the server is stopped by force, or the client is seen to be gone.
type Handler func(ctx context.Context, req *Request, rep *Reply) error

// Exchange is one request and its reply, as the one exit of the server reports it to Options.Observe.
type Exchange struct {
	Request  *Request
	Reply    *Reply
	Status   int           // as sent; 0 when the connection broke before the head was out
	Err      error         // what the handler returned, or what broke the connection
	BytesIn  int64         // of the body
	BytesOut int64         // of the body
	Started  time.Time     // when the head had been read
	Duration time.Duration // until the last byte was handed to the kernel
}

// Options configures a Server. Zero values are replaced by the defaults named beside each.
type Options struct {
	// Handler answers requests; required.
	Handler Handler
	// WriteError fills rep for an error: of a handler, of the parser (KindInvalid, KindTooLarge, KindTimeout), of the door
	// (KindUnavailable). When the parser failed, req has no more than ID, Remote and what was understood. The default is
	// a line of text with a status that fits the kind.
	WriteError func(req *Request, rep *Reply, err error)
	// TLS serves https; see Certificate.
	TLS *tls.Config
	// Logger takes what goes wrong, and the access log at LevelDebug (LevelInfo with AccessLog).
	Logger    *slog.Logger
	AccessLog bool
	// Observe is called once per request at the one exit, after the reply was sent; it must not block.
	Observe func(*Exchange)
	// Stats counts; nil counts nothing.
	Stats *stats.HTTP
	// ServerName is the Server header; "Aisle" by default.
	ServerName string
	// RequestIDHeader is the field that carries the request id in every reply; "x-amz-request-id" by default.
	RequestIDHeader string

	MaxHeaderBytes int           // of request line and header fields: 64 KiB; more is 431
	MaxHeaders     int           // fields: 200; more is 431
	MaxConnections int           // open connections: 16,384; one more is answered 503 and closed
	MaxRequests    int           // handlers at a time: 1,024; one more waits for DoorWait, then 503
	DoorWait       time.Duration // 1 s

	HeaderTimeout time.Duration // from the first byte of a request to the end of its head: 20 s
	IdleTimeout   time.Duration // between requests: 90 s
	StallTimeout  time.Duration // without a byte of progress, in a body or a reply: 30 s
	MinRate       int64         // bytes per second of time blocked on the client, after StallTimeout of it: 1 KiB/s
}

// withDefaults fills in what is zero.
func (o Options) withDefaults() Options {
	o.MaxHeaderBytes = cmp.Or(o.MaxHeaderBytes, 64<<10)
	o.MaxHeaders = cmp.Or(o.MaxHeaders, 200)
	o.MaxConnections = cmp.Or(o.MaxConnections, 16384)
	o.MaxRequests = cmp.Or(o.MaxRequests, 1024)
	o.DoorWait = cmp.Or(o.DoorWait, time.Second)
	o.HeaderTimeout = cmp.Or(o.HeaderTimeout, 20*time.Second)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, 90*time.Second)
	o.StallTimeout = cmp.Or(o.StallTimeout, 30*time.Second)
	o.MinRate = cmp.Or(o.MinRate, 1024)
	o.ServerName = cmp.Or(o.ServerName, "Aisle")
	o.RequestIDHeader = cmp.Or(o.RequestIDHeader, "x-amz-request-id")
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.WriteError == nil {
		o.WriteError = writePlainError
	}
	return o
}

// Server serves HTTP/1.1 (and 1.0) on any number of listeners.
type Server struct {
	o     Options
	door  chan struct{}
	dates dateCache
	sent  atomic.Int64 // bytes handed to sendfile
	pipes chan *pipe   // idle, for relays

	mu struct {
		sync.Mutex
		stopping  bool
		listeners map[net.Listener]struct{}
		conns     map[*conn]struct{}
	}
	stop    chan struct{}  // closed when Shutdown begins
	running sync.WaitGroup // connections, and the watch
}

// maxPipes bounds the idle pipes of relays; each may pin as much memory as it holds only while it is in use.
const maxPipes = 32

// NewServer returns a server; nothing runs until Serve.
func NewServer(o Options) *Server {
	s := &Server{o: o.withDefaults(), stop: make(chan struct{})}
	s.pipes = make(chan *pipe, maxPipes)
	s.door = make(chan struct{}, s.o.MaxRequests)
	s.mu.listeners = make(map[net.Listener]struct{})
	s.mu.conns = make(map[*conn]struct{})
	return s
}

// Serve accepts connections from ln until Shutdown, then returns nil. It closes ln. Several may run at a time.
func (s *Server) Serve(ln net.Listener) error {
	defer ln.Close()
	if !s.addListener(ln) {
		return nil
	}
	defer s.removeListener(ln)
	for pause := time.Duration(0); ; {
		nc, err := ln.Accept()
		if err == nil {
			pause = 0
			s.startConn(nc)
			continue
		}
		var temporary interface{ Temporary() bool }
		switch {
		case s.isStopping():
			return nil
		case errors.As(err, &temporary) && temporary.Temporary():
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.o.Logger.Warn("accept failed, trying again", "err", err, "after", pause)
			select {
			case <-time.After(pause):
			case <-s.stop:
			}
		default:
			return cluster.E("cluster/httpd.Serve", ln.Addr().String(), cluster.KindOther, err)
		}
	}
}

// addListener reports false when the server is stopping. The first listener starts the watch.
func (s *Server) addListener(ln net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.stopping {
		return false
	}
	if len(s.mu.listeners) == 0 {
		s.running.Add(1)
		go s.watch()
	}
	s.mu.listeners[ln] = struct{}{}
	return true
}

func (s *Server) removeListener(ln net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.listeners, ln)
}

func (s *Server) isStopping() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// startConn begins to serve a connection, or refuses it when there are too many.
func (s *Server) startConn(nc net.Conn) {
	c := newConn(s, nc)
	s.mu.Lock()
	if s.mu.stopping {
		s.mu.Unlock()
		nc.Close()
		return
	}
	c.refused = len(s.mu.conns) >= s.o.MaxConnections
	s.mu.conns[c] = struct{}{}
	s.running.Add(1)
	s.mu.Unlock()
	go func() {
		defer s.running.Done()
		defer s.forget(c)
		c.run()
	}()
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.conns, c)
}

// watchEvery is how often the watch looks for clients that are gone.
const watchEvery = time.Second

// watch ends the context of requests whose client has closed the connection while the handler works.
func (s *Server) watch() {
	defer s.running.Done()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case now := <-tick.C:
			for _, c := range s.connections() {
				c.cancelIfGone(now)
			}
		}
	}
}

func (s *Server) connections() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.mu.conns))
}

// Shutdown closes the listeners and idle connections and lets requests finish. When ctx ends first it cancels their
// contexts, closes their connections, waits for their handlers, and returns ctx.Err().
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	if !s.mu.stopping {
		s.mu.stopping = true
		close(s.stop)
	}
	for ln := range s.mu.listeners {
		ln.Close()
	}
	s.mu.Unlock()
	for _, c := range s.connections() {
		c.closeIfIdle()
	}
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		s.closePipes()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	for _, c := range s.connections() {
		c.abort()
	}
	<-done
	return ctx.Err()
}

// enter takes a place at the door, or fails with KindUnavailable when none gets free in time.
func (s *Server) enter(ctx context.Context) error {
	select {
	case s.door <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(s.o.DoorWait)
	defer timer.Stop()
	select {
	case s.door <- struct{}{}:
		return nil
	case <-ctx.Done():
	case <-timer.C:
	}
	return errBusy
}

func (s *Server) leave() { <-s.door }

var errBusy = &cluster.Error{Op: "cluster/httpd.Serve", Kind: cluster.KindUnavailable, RetryAfter: time.Second,
	Err: errors.New("too many requests at a time, reduce your request rate")}
