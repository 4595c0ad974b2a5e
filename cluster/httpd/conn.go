package httpd

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"golang.org/x/sys/unix"
)

const (
	readBufferSize = 8 << 10  // of every connection; larger heads get a buffer of their own
	drainLimit     = 64 << 10 // of a body left unread, to keep the connection
	lingerLimit    = 16 << 20 // read and dropped so that a refusal reaches a client that still sends; a part, as SDKs cut them, is at most that
	lingerTime     = 2 * time.Second
	keepBuffer     = 2 * time.Second // without a request; then the buffers are given up
)

// conn serves one connection, one request after the other, in one goroutine. What a request needs is kept from one to the
// next.
type conn struct {
	srv     *Server
	nc      net.Conn
	tcp     *net.TCPConn // nil under TLS: no sendfile
	version uint16       // of TLS
	rawTCP  syscall.RawConn
	remote  string
	refused bool // one connection too many

	src   source
	br    *bufio.Reader
	first [1]byte // of a request that came late
	head  head
	out   writer

	req  Request
	rep  Reply
	body *requestBody // of this request; nil without
	ex   Exchange

	mu struct {
		sync.Mutex
		idle   bool // between requests: Shutdown may close
		closed bool
		cancel context.CancelFunc // of the request being served
		since  time.Time          // when it began, when the watch may look; else zero
	}
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{srv: s, nc: nc, remote: nc.RemoteAddr().String()}
	if s.o.TLS != nil {
		c.nc = tls.Server(nc, s.o.TLS)
	} else if tcp, ok := nc.(*net.TCPConn); ok {
		c.tcp = tcp
		c.rawTCP, _ = tcp.SyscallConn() // fails only on a nil connection
	}
	c.src = source{nc: c.nc, pace: pace{set: c.nc.SetReadDeadline, stall: s.o.StallTimeout, minRate: s.o.MinRate}}
	c.out = writer{nc: c.nc, tcp: c.tcp, raw: c.rawTCP, srv: s, pace: pace{set: c.nc.SetWriteDeadline, stall: s.o.StallTimeout, minRate: s.o.MinRate}}
	c.out.sendfileStep, c.out.headStep = c.out.trySendfile, c.out.trySendHead
	c.out.spliceInStep, c.out.spliceOutStep = c.out.trySpliceIn, c.out.trySpliceOut
	c.head.maxFields = s.o.MaxHeaders
	c.br = bufio.NewReaderSize(&c.src, readBufferSize)
	return c
}

// run serves requests until the connection ends.
func (c *conn) run() {
	defer c.nc.Close()
	if c.refused {
		c.refuse(errBusy)
		return
	}
	if err := c.handshake(); err != nil {
		return
	}
	for c.await() && c.serve() {
	}
}

// handshake does TLS, and tells a client that speaks plain HTTP what is wrong.
func (c *conn) handshake() error {
	t, ok := c.nc.(*tls.Conn)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.srv.o.HeaderTimeout)
	defer cancel()
	err := t.HandshakeContext(ctx)
	c.version = t.ConnectionState().Version
	var notTLS tls.RecordHeaderError
	if errors.As(err, &notTLS) && notTLS.Conn != nil && looksLikeHTTP(notTLS.RecordHeader) {
		_, _ = io.WriteString(notTLS.Conn, "HTTP/1.0 400 Bad Request\r\nConnection: close\r\n\r\nThis port speaks https.\n")
	}
	return err
}

func looksLikeHTTP(b [5]byte) bool {
	switch string(b[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "DELET":
		return true
	}
	return false
}

// await waits for the first byte of the next request and reports false when the connection ends instead.
func (c *conn) await() bool {
	if c.src.inBody {
		c.src.inBody = false
		c.src.pace.disarm()
	}
	c.shrink()
	if !c.setIdle(true) {
		return false
	}
	if c.br.Buffered() == 0 && len(c.src.pending) == 0 {
		if now := time.Now(); now.Sub(c.src.pace.armed) >= rearmAfter {
			c.src.pace.arm(now, min(keepBuffer, c.srv.o.IdleTimeout))
		}
		_, err := c.br.Peek(1)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = c.awaitLong()
		}
		if err != nil {
			return false
		}
	}
	return c.setIdle(false)
}

// awaitLong goes on waiting without any buffer: clients keep many connections for long, and most of them do nothing.
func (c *conn) awaitLong() error {
	rest := c.srv.o.IdleTimeout - keepBuffer
	if rest <= 0 {
		return os.ErrDeadlineExceeded
	}
	c.br, c.out.head = nil, nil
	c.head = head{maxFields: c.srv.o.MaxHeaders}
	c.req, c.rep, c.ex, c.body = Request{}, Reply{}, Exchange{}, nil
	c.src.pace.arm(time.Now(), rest)
	n, err := c.nc.Read(c.first[:])
	if err != nil {
		return err
	}
	c.src.pending = c.first[:n]
	c.src.pace.disarm()
	c.br = bufio.NewReaderSize(&c.src, readBufferSize)
	return nil
}

// shrink gives up what a large head took, so that idle connections hold little.
func (c *conn) shrink() {
	if c.br.Size() == readBufferSize || c.br.Buffered() > 0 || len(c.src.pending) > 0 {
		return
	}
	c.br = bufio.NewReaderSize(&c.src, readBufferSize)
	c.head = head{maxFields: c.srv.o.MaxHeaders}
	c.resetRequest()
}

// setIdle notes whether the connection is between requests, and reports false when Shutdown has closed it or wants to.
func (c *conn) setIdle(idle bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.idle = idle
	return !c.mu.closed && !(idle && c.srv.isStopping())
}

func (c *conn) closeIfIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.idle && !c.mu.closed {
		c.mu.closed = true
		c.nc.Close()
	}
}

// abort ends the request being served: its context and its connection.
func (c *conn) abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.closed = true
	if c.mu.cancel != nil {
		c.mu.cancel()
	}
	c.nc.Close()
}

// cancelIfGone ends the context of a request without a body when the client has closed its side. It asks the kernel
// without taking bytes, and only about requests that have taken a while.
func (c *conn) cancelIfGone(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rawTCP == nil || c.mu.since.IsZero() || now.Sub(c.mu.since) < watchEvery {
		return
	}
	gone := false
	_ = c.rawTCP.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		gone = n == 0 && err == nil || err != nil && err != unix.EAGAIN && err != unix.EINTR
	})
	if gone {
		c.mu.cancel()
	}
}

// readHead reads the head of the next request, in larger and larger buffers when it needs them: nobody takes much memory by
// sending little.
func (c *conn) readHead() (framing, error) {
	c.req.Header.fields = c.req.Header.fields[:0]
	began := time.Now()
	if c.br.Buffered() == 0 || !headBuffered(c.br) {
		c.src.pace.arm(began, c.srv.o.HeaderTimeout)
		defer c.src.pace.disarm()
	}
	f, err := c.head.read(c.br, &c.req)
	for errors.Is(err, errHeadTooLarge) && c.br.Size() < c.srv.o.MaxHeaderBytes {
		c.src.pending, _ = c.br.Peek(c.br.Buffered())
		c.br = bufio.NewReaderSize(&c.src, min(2*c.br.Size(), c.srv.o.MaxHeaderBytes))
		c.req.Header.fields = c.req.Header.fields[:0]
		f, err = c.head.read(c.br, &c.req)
	}
	return f, err
}

// serve answers one request and reports whether the connection goes on.
func (c *conn) serve() bool {
	c.resetRequest()
	f, err := c.readHead()
	if errors.Is(err, errHangup) {
		return false
	}
	c.ex.Started = time.Now()
	c.srv.o.Stats.Begin()
	if err != nil {
		c.answerError(err)
		c.rep.Close = true
		return c.reply(f)
	}
	c.startBody(f)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c.setRequest(cancel)
	defer c.setRequest(nil)
	if err := c.handle(ctx); err != nil {
		c.answerError(err)
	}
	return c.reply(f)
}

func (c *conn) resetRequest() {
	fields := c.req.Header.fields[:0]
	c.req = Request{ID: newRequestID(), Body: noBody{}, Remote: c.remote, TLS: c.srv.o.TLS != nil, TLSVersion: c.version}
	c.req.Header.fields = fields
	headers := c.rep.header.fields[:0]
	c.rep = Reply{}
	c.rep.header.fields = headers
	c.ex = Exchange{Request: &c.req, Reply: &c.rep}
	c.body = nil
}

// noBody is the body of a request without one.
type noBody struct{}

func (noBody) Read([]byte) (int, error) { return 0, io.EOF }

// startBody makes the body that the handler reads. To who waits for 100 Continue it is said at once when there is nothing to read: a
// final answer without it leaves botocore unable to read the next one on the connection.
func (c *conn) startBody(f framing) {
	if f.length == 0 {
		if f.expect && c.br.Buffered() == 0 {
			_ = c.writeContinue() // the reply meets the same error
		}
		return
	}
	c.body = &requestBody{c: c, chunked: f.length < 0, chunks: chunkReader{br: c.br}, left: max(f.length, 0), expect: f.expect}
	c.req.Body, c.req.body = c.body, c.body
}

func (c *conn) setRequest(cancel context.CancelFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.cancel = cancel
	c.mu.since = time.Time{}
	if cancel == nil {
		return
	}
	if c.body == nil {
		c.mu.since = c.ex.Started
	}
	if c.mu.closed {
		cancel()
	}
}

// handle runs the handler behind the door.
func (c *conn) handle(ctx context.Context) error {
	if err := c.srv.enter(ctx); err != nil {
		return err
	}
	defer c.srv.leave()
	return c.recovered(func() error { return c.srv.o.Handler(ctx, &c.req, &c.rep) })
}

// recovered is the one place where a panic of a handler, of WriteError or of a body becomes an error.
func (c *conn) recovered(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.srv.o.Logger.Error("panic while serving a request", "request", c.req.ID, "method", c.req.Method,
				"path", c.req.Path, "panic", p, "stack", string(debug.Stack()))
			err = cluster.Fail("cluster/httpd.serve", "", cluster.KindOther, "internal error")
		}
	}()
	return f()
}

// answerError makes the reply one for err.
func (c *conn) answerError(err error) {
	c.ex.Err = err
	c.rep.Reset()
	failed := c.recovered(func() error {
		c.srv.o.WriteError(&c.req, &c.rep, err)
		return nil
	})
	if failed != nil {
		c.rep.Reset()
		writePlainError(&c.req, &c.rep, failed)
	}
	var protocol *ProtocolError
	if errors.As(err, &protocol) {
		c.rep.Status = protocol.Status
	}
}

// reply sends the reply, deals with what is left of the request's body, and leaves by the one exit. It reports whether
// the connection goes on.
func (c *conn) reply(f framing) bool {
	first, err := c.firstSection()
	if err != nil {
		c.answerError(err)
		first, _ = c.firstSection()
	}
	endsWithConn := f.http10 && c.rep.kind == replyStream && c.rep.length < 0
	again := f.keepAlive && !c.rep.Close && !endsWithConn && c.bodyAllowsMore() && !c.srv.isStopping()
	err = c.recovered(func() error {
		return c.out.send(&c.req, &c.rep, first, replyFraming{keepAlive: again, http10: f.http10})
	})
	c.rep.closeBody()
	c.exit(err)
	switch {
	case err != nil:
		return false
	case !again:
		c.linger()
		return false
	case c.body != nil && !ended(c.body.err):
		return c.body.drain(drainLimit)
	}
	return true
}

// firstSection fetches the begin of a streamed body before the head goes out, so that its failure still has a status.
func (c *conn) firstSection() (first firstSection, err error) {
	if c.rep.kind != replyStream || !sendsBody(&c.req, c.rep.StatusCode()) {
		return firstSection{}, nil
	}
	err = c.recovered(func() (err error) {
		first.section, err = c.rep.body.Next()
		return err
	})
	if ended(err) {
		first.last, err = true, nil
	}
	return first, err
}

// bodyAllowsMore ends the body and tells whether another request can follow it: it was read whole, or little is left.
func (c *conn) bodyAllowsMore() bool {
	if c.body == nil {
		return true
	}
	c.body.finish()
	switch {
	case ended(c.body.err):
		return true
	case c.body.err != nil, c.body.expect:
		return false
	default:
		return c.body.left <= drainLimit
	}
}

// linger lets a client that is still sending read the reply: closing at once would make the kernel reset the connection.
func (c *conn) linger() {
	if c.req.Method != "" && (c.body == nil || ended(c.body.err)) && c.br.Buffered() == 0 {
		return
	}
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	if c.nc.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, c.nc, lingerLimit) // whatever ends it, the connection ends now
}

// refuse answers a connection that is one too many, without reading from it.
func (c *conn) refuse(err error) {
	// Under TLS the reply waits for the client's handshake, which nobody else bounds here.
	if c.nc.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	c.resetRequest()
	c.ex.Started = time.Now()
	c.srv.o.Stats.Begin()
	c.answerError(err)
	c.rep.Close = true
	c.reply(framing{})
}

// exit is where every request ends: counted, reported, logged.
func (c *conn) exit(sendErr error) {
	if c.body != nil {
		c.ex.BytesIn = c.body.read
	}
	c.ex.BytesOut = c.out.bodyBytes
	c.ex.Status = c.out.status
	c.ex.Duration = time.Since(c.ex.Started)
	if c.ex.Err == nil {
		c.ex.Err = sendErr
	}
	o := &c.srv.o
	o.Stats.Done(c.rep.Operation, c.ex.Status, c.ex.BytesIn, c.ex.BytesOut, c.ex.Duration)
	if o.Observe != nil {
		o.Observe(&c.ex)
	}
	c.log()
}

func (c *conn) writeContinue() error {
	return c.out.writeAll([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
}

// headBuffered reports whether a whole head seems to be in the buffer, so that reading it cannot wait.
func headBuffered(br *bufio.Reader) bool {
	b, _ := br.Peek(br.Buffered())
	n := len(b)
	return n >= 4 && string(b[n-4:]) == "\r\n\r\n"
}

// writePlainError is the default of Options.WriteError.
func writePlainError(_ *Request, rep *Reply, err error) {
	rep.Status = plainStatus(cluster.KindOf(err))
	var e *cluster.Error
	if errors.As(err, &e) && e.RetryAfter > 0 {
		rep.SetHeader("Retry-After", strconv.Itoa(cluster.RetryAfter(err)))
	}
	rep.Bytes("text/plain; charset=utf-8", []byte(err.Error()+"\n"))
}

func plainStatus(kind cluster.Kind) int {
	switch kind {
	case cluster.KindInvalid:
		return http.StatusBadRequest
	case cluster.KindUnavailable:
		return http.StatusServiceUnavailable
	case cluster.KindTimeout:
		return http.StatusRequestTimeout
	case cluster.KindTooLarge:
		return http.StatusRequestEntityTooLarge
	case cluster.KindNotImplemented:
		return http.StatusNotImplemented
	case cluster.KindMethod:
		return http.StatusMethodNotAllowed
	case cluster.KindUnauthenticated, cluster.KindDenied, cluster.KindLocked:
		return http.StatusForbidden
	case cluster.KindNotFound, cluster.KindBucketNotFound, cluster.KindObjectNotFound, cluster.KindUploadNotFound,
		cluster.KindVersionNotFound:
		return http.StatusNotFound
	default:
		return http.StatusInternalServerError
	}
}
