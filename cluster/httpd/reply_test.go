package httpd

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// sections is a body of given sections; it fails with err after them.
type sections struct {
	list   []Section
	err    error
	eof    bool // io.EOF comes with the last section
	closed *atomic.Int32
}

func (s *sections) Next() (Section, error) {
	if len(s.list) == 0 {
		if s.err != nil {
			return Section{}, s.err
		}
		return Section{}, io.EOF
	}
	next := s.list[0]
	s.list = s.list[1:]
	if s.eof && len(s.list) == 0 {
		return next, io.EOF
	}
	return next, nil
}

func (s *sections) Close() error {
	if s.closed != nil {
		s.closed.Add(1)
	}
	return nil
}

const get = "GET /x HTTP/1.1\r\nHost: h\r\n\r\n"

func TestReplies(t *testing.T) {
	var answerWith func(rep *Reply) error
	ts := serve(t, Options{Handler: func(_ context.Context, _ *Request, rep *Reply) error { return answerWith(rep) }})
	c := ts.dial()
	f := func(method string, fill func(rep *Reply), status int, body string, check func(answer) bool) {
		t.Helper()
		answerWith = func(rep *Reply) error { fill(rep); return nil }
		c.send(method + " /x HTTP/1.1\r\nHost: h\r\n\r\n")
		a := c.want(method, status, body)
		if a.close || !check(a) {
			t.Fatalf("%+v", a)
		}
	}
	length := func(want string) func(answer) bool {
		return func(a answer) bool { return a.header.Get("Content-Length") == want }
	}
	f("GET", func(rep *Reply) { rep.Bytes("text/x", []byte("abc")) }, 200, "abc", func(a answer) bool {
		return a.header.Get("Content-Type") == "text/x" && a.header.Get("Server") == "Aisle" &&
			len(a.header.Get("X-Amz-Request-Id")) == 20 && a.header.Get("Date") != ""
	})
	f("GET", func(rep *Reply) {}, 204, "", length(""))
	f("PUT", func(rep *Reply) { rep.Status = 200 }, 200, "", length("0"))
	f("DELETE", func(rep *Reply) { rep.Status = 204; rep.Bytes("", []byte("never sent")) }, 204, "", length(""))
	f("GET", func(rep *Reply) { rep.Status = 304; rep.SetHeader("ETag", `"e"`) }, 304, "", length(""))
	f("HEAD", func(rep *Reply) { rep.SetLength(1 << 40) }, 200, "", length("1099511627776"))
	f("HEAD", func(rep *Reply) { rep.Bytes("", []byte("abc")) }, 200, "", length("3"))
	f("HEAD", func(rep *Reply) { rep.Stream(7, &sections{}) }, 200, "", length("7"))
	f("HEAD", func(rep *Reply) { rep.Status = 404; rep.Bytes("", []byte("why")) }, 404, "", length("3"))
	f("GET", func(rep *Reply) { rep.Stream(0, &sections{}) }, 200, "", length("0"))
	f("GET", func(rep *Reply) { rep.Stream(-1, &sections{}) }, 200, "", length(""))
	f("GET", func(rep *Reply) { rep.Stream(-1, ReaderBody(strings.NewReader("abc"))) }, 200, "abc", length(""))
	f("GET", func(rep *Reply) {
		rep.Stream(5, &sections{eof: true, list: []Section{{Bytes: []byte("ab")}, {}, {Bytes: []byte("cde")}}})
	}, 200, "abcde", length("5"))
	f("GET", func(rep *Reply) {
		rep.SetHeader("x-a", "1")
		rep.AddHeader("X-A", "2")
		rep.SetHeader("Content-Length", "99")
		rep.SetHeader("connection", "close")
		rep.SetHeader("X-Bad", "a\r\nX-Injected: b\x00")
		rep.SetHeader("X-Name\r\nX-Injected", "c")
		rep.Bytes("", []byte("ok"))
	}, 200, "ok", func(a answer) bool {
		return strings.Join(a.header["X-A"], ",") == "1,2" && a.header.Get("X-Injected") == "" &&
			a.header.Get("X-Bad") == "a  X-Injected: b" && a.header.Get("Content-Length") == "2"
	})
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	f("GET", func(rep *Reply) { rep.Bytes("", large) }, 200, string(large), length("1048576"))
	f("GET", func(rep *Reply) { rep.Stream(-1, ReaderBody(bytes.NewReader(large))) }, 200, string(large), length(""))
}

func TestErrorReplies(t *testing.T) {
	closed := new(atomic.Int32)
	var handle func(req *Request, rep *Reply) error
	ts := serve(t, Options{Handler: func(_ context.Context, req *Request, rep *Reply) error { return handle(req, rep) }})
	c := ts.dial()
	count := 0
	f := func(h func(req *Request, rep *Reply) error, status int, body string, wantErr func(error) bool) {
		t.Helper()
		handle = h
		c.send(get).want("GET", status, body)
		count++
		if e := ts.exchange(count - 1); e.Status != status || !wantErr(e.Err) {
			t.Fatalf("exchange %d %v", e.Status, e.Err)
		}
	}
	any := func(err error) bool { return err != nil }
	f(func(_ *Request, rep *Reply) error {
		rep.SetHeader("X-Dropped", "1")
		rep.Stream(5, &sections{closed: closed})
		return cluster.Fail("t", "s", cluster.KindObjectNotFound, "gone")
	}, 404, "t: s: gone\n", func(err error) bool { return cluster.Is(err, cluster.KindObjectNotFound) })
	f(func(*Request, *Reply) error { panic("boom") }, 500, "cluster/httpd.serve: internal error\n", any)
	f(func(*Request, *Reply) error { return errors.New("odd") }, 500, "odd\n", any)
	f(func(_ *Request, rep *Reply) error {
		rep.Stream(5, &sections{err: cluster.Fail("t", "", cluster.KindUnavailable, "disk"), closed: closed})
		return nil
	}, 503, "t: disk\n", any)
	if closed.Load() != 2 {
		t.Fatalf("bodies closed %d times, want 2", closed.Load())
	}
}

// TestBrokenStreams checks that a body that fails after the head breaks the connection, so the client cannot take it for
// whole.
func TestBrokenStreams(t *testing.T) {
	f := func(name string, length int64, body Body) {
		t.Run(name, func(t *testing.T) {
			ts := serve(t, Options{Handler: func(_ context.Context, _ *Request, rep *Reply) error {
				rep.Stream(length, body)
				return nil
			}})
			c := ts.dial().send(get)
			res, err := http.ReadResponse(c.br, &http.Request{Method: http.MethodGet})
			if err == nil {
				_, err = io.ReadAll(res.Body)
			}
			if err == nil {
				t.Fatal("the client saw a whole reply")
			}
		})
	}
	ab := Section{Bytes: []byte("ab")}
	f("short", 5, &sections{list: []Section{ab}})
	f("long", 3, &sections{list: []Section{ab, ab}})
	f("fails", 5, &sections{list: []Section{ab}, err: errors.New("disk")})
	f("fails in chunks", -1, &sections{list: []Section{ab}, err: errors.New("disk")})
	f("panics", 5, &panicBody{})
	empty, err := os.Create(filepath.Join(t.TempDir(), "empty"))
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Close()
	f("file is short", 100_000, FileBody(empty, 0, 100_000, false))
}

type panicBody struct{ called bool }

func (b *panicBody) Next() (Section, error) {
	if b.called {
		panic("boom")
	}
	b.called = true
	return Section{Bytes: []byte("ab")}, nil
}
func (b *panicBody) Close() error { return nil }

// TestSendfile sends bodies of several files and memory and checks that the file parts went by sendfile, from one shared
// descriptor at explicit offsets.
func TestSendfile(t *testing.T) {
	content := make([]byte, 20<<20)
	_, _ = rand.Read(content)
	path := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var body func() (int64, Body)
	ts := serve(t, Options{Handler: func(_ context.Context, _ *Request, rep *Reply) error {
		rep.Stream(body())
		return nil
	}})
	c := ts.dial()
	f := func(name string, want []byte, bySendfile int64, list ...Section) {
		t.Helper()
		body = func() (int64, Body) { return int64(len(want)), &sections{list: append([]Section(nil), list...)} }
		before := ts.sent.Load()
		if a := c.send(get).reply("GET"); a.body != string(want) {
			t.Fatalf("%s: wrong content, %d bytes for %d", name, len(a.body), len(want))
		}
		waitFor(t, func() bool { return ts.sent.Load()-before >= bySendfile }) // it is counted when it is sent, and may be here before
		if got := ts.sent.Load() - before; got != bySendfile {
			t.Fatalf("%s: %d bytes by sendfile, want %d", name, got, bySendfile)
		}
	}
	at := func(off, n int64) Section { return Section{File: file, Offset: off, Length: n} }
	f("whole, in slices", content, 20<<20, at(0, 20<<20))
	f("a part", content[5:100_005], 100_000, at(5, 100_000))
	f("several files", append(append([]byte(nil), content[1<<20:2<<20]...), content[:70_000]...), 1<<20+70_000, at(1<<20, 1<<20), at(0, 70_000))
	f("memory between", []byte("ab"+string(content[9:90_000])+"cd"+string(content[:50_000])), 89_991+50_000,
		Section{Bytes: []byte("ab")}, at(9, 89_991), Section{Bytes: []byte("cd")}, at(0, 50_000))
	f("small: read and sent with the head", content[7:1007], 0, at(7, 1000))
	if off, _ := file.Seek(0, io.SeekCurrent); off != 0 {
		t.Fatalf("the file's own offset moved to %d", off)
	}
}

func TestKeepAliveAndPipelining(t *testing.T) {
	ts := serve(t, Options{Handler: echo})
	c := ts.dial().send(strings.Repeat("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab", 50) + "\r\n" + get)
	for range 50 {
		c.want("POST", 200, "POST /p? host=h len=2 body=ab")
	}
	c.want("GET", 200, "GET /x? host=h len=0 body=")
	c.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: foo, Close\r\n\r\n")
	if a := c.want("GET", 200, "*"); !a.close {
		t.Fatal("must say that it closes")
	}
	c.wantClosed()
}

func TestHTTP10(t *testing.T) {
	ts := serve(t, Options{Handler: func(_ context.Context, req *Request, rep *Reply) error {
		if req.Path == "/unknown" {
			rep.Stream(-1, ReaderBody(strings.NewReader("abc")))
			return nil
		}
		return hello(context.Background(), req, rep)
	}})
	c := ts.dial().send("GET /a HTTP/1.0\r\n\r\n")
	c.want("GET", 200, "hello /a")
	c.wantClosed()
	c = ts.dial().send("GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
	if a := c.want("GET", 200, "hello /a"); a.header.Get("Connection") != "keep-alive" {
		t.Fatal(a.header)
	}
	c.send("GET /unknown HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
	if a := c.want("GET", 200, "abc"); a.header.Get("Transfer-Encoding") != "" || !a.close {
		t.Fatal(a.header)
	}
	c.wantClosed()
}

func TestSlowWriterOfHead(t *testing.T) {
	ts := serve(t, Options{Handler: hello, HeaderTimeout: 50 * time.Millisecond, IdleTimeout: 150 * time.Millisecond})
	c := ts.dial().send("GET / HT")
	if a := c.reply("GET"); a.status != 408 || !a.close {
		t.Fatal(a)
	}
	c.wantClosed()
	began := time.Now()
	ts.dial().wantClosed() // idle: nothing is said
	if took := time.Since(began); took < 100*time.Millisecond {
		t.Fatalf("closed after %v", took)
	}
	c = ts.dial().send(get)
	c.want("GET", 200, "hello /x")
	c.wantClosed()
}

func TestSlowBody(t *testing.T) {
	ts := serve(t, Options{Handler: echo, StallTimeout: 60 * time.Millisecond, MinRate: 1000})
	const put = "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n"
	t.Run("stalls", func(t *testing.T) {
		c := ts.dial().send(put + "abc")
		c.want("PUT", 408, "*")
		c.wantClosed()
	})
	t.Run("drips", func(t *testing.T) {
		c := ts.dial().send(put)
		for range 8 {
			time.Sleep(15 * time.Millisecond)
			_, _ = c.Write([]byte("x")) // the server may have given up
		}
		c.want("PUT", 408, "*")
	})
	t.Run("takes its time, at a fair rate", func(t *testing.T) {
		c := ts.dial().send(put)
		for range 5 {
			time.Sleep(20 * time.Millisecond)
			c.send(strings.Repeat("x", 20))
		}
		if a := c.reply("PUT"); a.status != 408 && a.status != 200 { // 100 bytes in 100 ms is the very rate
			t.Fatal(a)
		}
	})
	t.Run("no body is left to come, slow handler", func(t *testing.T) {
		ts := serve(t, Options{StallTimeout: 30 * time.Millisecond, Handler: func(_ context.Context, req *Request, rep *Reply) error {
			for range 4 {
				if _, err := io.ReadFull(req.Body, make([]byte, 25)); err != nil {
					return err
				}
				time.Sleep(40 * time.Millisecond) // the node's own time does not count
			}
			return nil
		}})
		ts.dial().send(put+strings.Repeat("x", 100)).want("PUT", 204, "")
	})
}

func TestSlowReaderOfReply(t *testing.T) {
	for _, kind := range []string{"memory", "file"} {
		t.Run(kind, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "data")
			if err := os.WriteFile(path, make([]byte, 64<<20), 0o600); err != nil {
				t.Fatal(err)
			}
			file, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			ts := serve(t, Options{StallTimeout: 100 * time.Millisecond, Handler: func(_ context.Context, _ *Request, rep *Reply) error {
				if kind == "file" {
					rep.Stream(64<<20, FileBody(file, 0, 64<<20, false))
				} else {
					rep.Bytes("", make([]byte, 64<<20))
				}
				return nil
			}})
			c := ts.dial().send(get)
			if e := ts.exchange(0); !cluster.Is(e.Err, cluster.KindTimeout) || e.BytesOut >= 64<<20 {
				t.Fatalf("%v after %d bytes", e.Err, e.BytesOut)
			}
			c.Close()
		})
	}
}
