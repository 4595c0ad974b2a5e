package httpd

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// testServer is a server on loopback whose exchanges are recorded.
type testServer struct {
	*Server
	t    *testing.T
	addr string

	mu        sync.Mutex
	exchanges []Exchange
}

// serve starts a server for the test; it is shut down at its end.
func serve(t *testing.T, o Options) *testServer {
	t.Helper()
	ts := &testServer{t: t}
	o.Observe = func(e *Exchange) {
		ts.mu.Lock()
		defer ts.mu.Unlock()
		ts.exchanges = append(ts.exchanges, *e)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ts.Server, ts.addr = NewServer(o), ln.Addr().String()
	served := make(chan error, 1)
	go func() { served <- ts.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := ts.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return ts
}

// exchange returns the i-th exchange; a client may have its reply before the server has recorded it.
func (ts *testServer) exchange(i int) Exchange {
	ts.t.Helper()
	var e Exchange
	waitFor(ts.t, func() bool {
		ts.mu.Lock()
		defer ts.mu.Unlock()
		if len(ts.exchanges) > i {
			e = ts.exchanges[i]
		}
		return len(ts.exchanges) > i
	})
	return e
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for range 2000 {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("it did not happen")
}

// raw is a connection on which a test writes and reads bytes.
type raw struct {
	net.Conn
	t  *testing.T
	br *bufio.Reader
}

func (ts *testServer) dial() *raw {
	ts.t.Helper()
	nc, err := net.Dial("tcp", ts.addr)
	if err != nil {
		ts.t.Fatal(err)
	}
	ts.t.Cleanup(func() { nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
	return &raw{Conn: nc, t: ts.t, br: bufio.NewReader(nc)}
}

func (r *raw) send(s string) *raw {
	r.t.Helper()
	if _, err := io.WriteString(r, s); err != nil {
		r.t.Fatalf("send: %v", err)
	}
	return r
}

// answer is a reply as a client reads it.
type answer struct {
	status int
	header http.Header
	body   string
	close  bool
}

// reply reads the next reply to a request of that method.
func (r *raw) reply(method string) answer {
	r.t.Helper()
	res, err := http.ReadResponse(r.br, &http.Request{Method: method})
	if err != nil {
		r.t.Fatalf("read reply: %v", err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatalf("read body: %v", err)
	}
	return answer{res.StatusCode, res.Header, string(body), res.Close}
}

// want reads the next reply and checks status and body.
func (r *raw) want(method string, status int, body string) answer {
	r.t.Helper()
	a := r.reply(method)
	if a.status != status || body != "*" && a.body != body {
		r.t.Fatalf("got %d %q, want %d %q", a.status, a.body, status, body)
	}
	return a
}

// wantClosed checks that the server closes the connection and sends nothing more.
func (r *raw) wantClosed() {
	r.t.Helper()
	rest, err := io.ReadAll(r.br)
	if err != nil || len(rest) > 0 {
		r.t.Fatalf("want the connection closed, got %q, %v", rest, err)
	}
}

// echo answers with what it understood of the request.
func echo(_ context.Context, req *Request, rep *Reply) error {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return err
	}
	rep.Bytes("text/plain", fmt.Appendf(nil, "%s %s?%s host=%s len=%d body=%s", req.Method, req.Path, req.Query, req.Host, req.Length, body))
	return nil
}

// hello answers without reading.
func hello(_ context.Context, req *Request, rep *Reply) error {
	rep.Bytes("text/plain", []byte("hello "+req.Path))
	return nil
}

func TestTargets(t *testing.T) {
	ts := serve(t, Options{Handler: echo})
	f := func(line, want string) {
		t.Helper()
		ts.dial().send(line+" HTTP/1.1\r\nHost: h\r\n\r\n").want("GET", 200, want)
	}
	f("GET /", "GET /? host=h len=0 body=")
	f("GET /b/%2e%2e/x", "GET /b/%2e%2e/x? host=h len=0 body=")
	f("GET /b/../x//y/./z", "GET /b/../x//y/./z? host=h len=0 body=")
	f("GET //double", "GET //double? host=h len=0 body=")
	f("GET /a+b%20c?x=%41&y=a+b&&=", "GET /a+b%20c?x=%41&y=a+b&&= host=h len=0 body=")
	f("GET /a?b?c", "GET /a?b?c host=h len=0 body=")
	f("GET /\xc3\xa4\xff", "GET /\xc3\xa4\xff? host=h len=0 body=")
	f("GET http://other:99/p/%2F?q", "GET /p/%2F?q host=other:99 len=0 body=")
	f("GET https://other", "GET /? host=other len=0 body=")
	f("GET HTTP://other?q", "GET /?q host=other len=0 body=")
	f("OPTIONS *", "OPTIONS *? host=h len=0 body=")
	f("BREW /pot", "BREW /pot? host=h len=0 body=")
}

func TestBadHeads(t *testing.T) {
	ts := serve(t, Options{Handler: echo, MaxHeaders: 50, MaxHeaderBytes: 16 << 10})
	f := func(name, text string, status int) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			c := ts.dial()
			c.t = t
			c.send(text)
			if a := c.want("POST", status, "*"); !a.close {
				t.Fatal("the reply does not say that the connection closes")
			}
			c.wantClosed()
		})
	}
	f("garbage", "\x16\x03\x01 hello\r\n\r\n", 400)
	f("no version", "GET /\r\n\r\n", 400)
	f("http 0.9", "GET / HTTP/0.9\r\nHost: h\r\n\r\n", 505)
	f("http 2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505)
	f("http 1.2", "GET / HTTP/1.2\r\nHost: h\r\n\r\n", 505)
	f("method with a bad byte", "GE(T / HTTP/1.1\r\nHost: h\r\n\r\n", 400)
	f("two blanks", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400)
	f("blank in target", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", 400)
	f("control byte in target", "GET /a\x01b HTTP/1.1\r\nHost: h\r\n\r\n", 400)
	f("relative target", "GET a/b HTTP/1.1\r\nHost: h\r\n\r\n", 400)
	f("asterisk for GET", "GET * HTTP/1.1\r\nHost: h\r\n\r\n", 400)
	f("authority form", "CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n", 400)
	f("other scheme", "GET ftp://h/x HTTP/1.1\r\nHost: h\r\n\r\n", 400)
	f("user in authority", "GET http://u@h/x HTTP/1.1\r\nHost: h\r\n\r\n", 400)
	f("fragment", "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", 400)
	f("no host", "GET / HTTP/1.1\r\nAccept: x\r\n\r\n", 400)
	f("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400)
	f("host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400)
	f("blank before colon", "GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400)
	f("blank in name", "GET / HTTP/1.1\r\nHost: h\r\nA B: c\r\n\r\n", 400)
	f("no colon", "GET / HTTP/1.1\r\nHost: h\r\nnonsense\r\n\r\n", 400)
	f("empty name", "GET / HTTP/1.1\r\nHost: h\r\n: x\r\n\r\n", 400)
	f("folded line", "GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n", 400)
	f("folded first line", "GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400)
	f("lone LF", "GET / HTTP/1.1\r\nHost: h\nA: b\r\n\r\n", 400)
	f("lone LF ends head", "GET / HTTP/1.1\r\nHost: h\n\nX: y\r\n\r\n", 400)
	f("lone CR", "GET / HTTP/1.1\r\nHost: h\r\nA: b\rc\r\n\r\n", 400)
	f("NUL in value", "GET / HTTP/1.1\r\nHost: h\r\nA: b\x00c\r\n\r\n", 400)
	f("two lengths", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400)
	f("two lengths that differ", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400)
	f("list of lengths", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3, 3\r\n\r\nabc", 400)
	f("signed length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\nabc", 400)
	f("negative length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -3\r\n\r\nabc", 400)
	f("hexadecimal length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x3\r\n\r\nabc", 400)
	f("empty length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\nabc", 400)
	f("length over 63 bits", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9223372036854775808\r\n\r\n", 400)
	f("length and chunked", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400)
	f("chunked and length", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400)
	f("chunked twice", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400)
	f("gzip, chunked", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400)
	f("identity", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\n", 501)
	f("odd coding", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400)
	f("chunked in 1.0", "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400)
	f("too many fields", "GET / HTTP/1.1\r\nHost: h\r\n"+strings.Repeat("A: b\r\n", 50)+"\r\n", 431)
	f("head too large", "GET / HTTP/1.1\r\nHost: h\r\nA: "+strings.Repeat("b", 17<<10)+"\r\n\r\n", 431)
	f("target too large", "GET /"+strings.Repeat("b", 17<<10)+" HTTP/1.1\r\nHost: h\r\n\r\n", 431)
}

func TestLargeHead(t *testing.T) {
	ts := serve(t, Options{Handler: echo})
	c := ts.dial()
	request := "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nA: " + strings.Repeat("b", 20<<10) + "\r\n\r\nabcde"
	for range 3 {
		c.send(request)
		c.want("POST", 200, "POST /? host=h len=5 body=abcde")
	}
	c.send(request + request) // the second with the larger buffer in place
	c.want("POST", 200, "POST /? host=h len=5 body=abcde")
	c.want("POST", 200, "POST /? host=h len=5 body=abcde")
	waitFor(t, func() bool {
		idle := ts.connections()[0]
		idle.mu.Lock()
		defer idle.mu.Unlock()
		return idle.mu.idle && idle.br.Size() == readBufferSize && cap(idle.head.text) == 0
	})
}
