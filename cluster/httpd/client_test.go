package httpd

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// newClient returns a client that the test closes.
func newClient(t *testing.T, o ClientOptions) *Client {
	c := NewClient(o)
	t.Cleanup(c.Close)
	return c
}

func (in *InReply) readAll(t *testing.T) string {
	t.Helper()
	b, err := io.ReadAll(in.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestClientDo(t *testing.T) {
	ts := serve(t, Options{Handler: func(ctx context.Context, req *Request, rep *Reply) error {
		if req.Path == "/stream" {
			rep.Stream(-1, ReaderBody(strings.NewReader("streamed")))
			return nil
		}
		rep.AddHeader("X-Two", "1")
		rep.AddHeader("X-Two", "2")
		return echo(ctx, req, rep)
	}})
	c := newClient(t, ClientOptions{})
	f := func(out OutRequest, status int, body string) *InReply {
		t.Helper()
		in, err := c.Do(context.Background(), ts.addr, &out)
		if err != nil {
			t.Fatal(err)
		}
		if got := in.readAll(t); in.Status != status || got != body {
			t.Fatalf("got %d %q, want %d %q", in.Status, got, status, body)
		}
		return in
	}
	in := f(OutRequest{Method: "GET", Target: "/b/%2e%2e//x?a=%41", Host: "h"}, 200, "GET /b/%2e%2e//x?a=%41 host=h len=0 body=")
	if got := in.Header.Values("x-two"); len(got) != 2 {
		t.Fatal(got)
	}
	f(OutRequest{Method: "POST", Target: "/x", Host: "h", Body: strings.NewReader("abc"), Length: 3}, 200, "POST /x? host=h len=3 body=abc")
	f(OutRequest{Method: "POST", Target: "/x", Host: "h", Body: strings.NewReader("abc"), Length: -1}, 200, "POST /x? host=h len=-1 body=abc")
	large := strings.Repeat("x", 300_000)
	f(OutRequest{Method: "POST", Target: "/x", Host: "h", Body: strings.NewReader(large), Length: 300_000}, 200, "POST /x? host=h len=300000 body="+large)
	f(OutRequest{Method: "POST", Target: "/x", Host: "h", Body: strings.NewReader(large), Length: -1}, 200, "POST /x? host=h len=-1 body="+large)
	pieces := net.Buffers{[]byte("ab"), nil, []byte(large)}
	for range 2 { // it stays as it is
		f(OutRequest{Method: "POST", Target: "/x", Host: "h", Body: &pieces, Length: 300_002}, 200, "POST /x? host=h len=300002 body=ab"+large)
	}
	f(OutRequest{Method: "GET", Target: "/stream"}, 200, "streamed")
	f(OutRequest{Method: "HEAD", Target: "/stream"}, 200, "")
	if n := len(ts.connections()); n != 1 {
		t.Fatalf("%d connections were used, want 1", n)
	}
}

func TestClientEarlyReply(t *testing.T) {
	ts := serve(t, Options{Handler: func(_ context.Context, req *Request, _ *Reply) error {
		if req.Header.Has("Part") {
			if _, err := io.ReadFull(req.Body, make([]byte, 10)); err != nil {
				return err
			}
		}
		return cluster.Fail("t", "", cluster.KindDenied, "early")
	}})
	c := newClient(t, ClientOptions{})
	for _, header := range []Header{{}, MakeHeader("Part", "1")} {
		pr, pw := io.Pipe() // a body that never ends
		go pw.Write(make([]byte, 100))
		in, err := c.Do(context.Background(), ts.addr, &OutRequest{Method: "PUT", Target: "/", Header: header, Body: pr, Length: 1 << 30})
		if err != nil {
			t.Fatal(err)
		}
		if got := in.readAll(t); in.Status != 403 || got != "t: early\n" {
			t.Fatal(in.Status, got)
		}
		pr.Close()
		pieces := net.Buffers{make([]byte, 8<<20)}
		if in, err = c.Do(context.Background(), ts.addr, &OutRequest{Method: "PUT", Target: "/", Header: header, Body: &pieces, Length: 8 << 20}); err != nil {
			t.Fatal(err)
		}
		if got := in.readAll(t); in.Status != 403 || got != "t: early\n" {
			t.Fatal(in.Status, got)
		}
	}
}

func TestClientErrors(t *testing.T) {
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	answers := func(text string) string { // a peer that answers every connection with text
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		go func() {
			for {
				nc, err := ln.Accept()
				if err != nil {
					return
				}
				_, _ = nc.Read(make([]byte, 4096))
				_, _ = io.WriteString(nc, text)
				nc.Close()
			}
		}()
		return ln.Addr().String()
	}
	c := newClient(t, ClientOptions{ReplyTimeout: 50 * time.Millisecond})
	f := func(name, addr string, ctx context.Context) error {
		t.Helper()
		_, err := c.Do(ctx, addr, &OutRequest{Method: "GET", Target: "/"})
		if !cluster.Is(err, cluster.KindUnavailable) {
			t.Fatalf("%s: %v", name, err)
		}
		return err
	}
	bg := context.Background()
	f("nobody listens", gone.Addr().String(), bg)
	f("no answer", silent.Addr().String(), bg)
	f("closes", answers(""), bg)
	f("closes within the head", answers("HTTP/1.1 200 OK\r\nContent-"), bg)
	f("nonsense", answers("nonsense\r\n\r\n"), bg)
	f("two lengths", answers("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx"), bg)
	f("length and chunks", answers("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx"), bg)
	var protocol *ProtocolError
	if err := f("a malformed field", answers("HTTP/1.1 200 OK\r\na b: c\r\n\r\n"), bg); errors.As(err, &protocol) {
		t.Fatalf("the status %d of a client's mistake for one of a node", protocol.Status)
	}
	ctx, cancel := context.WithCancel(bg)
	time.AfterFunc(10*time.Millisecond, cancel)
	if err := f("cancelled", silent.Addr().String(), ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	in, err := c.Do(bg, answers("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"), &OutRequest{Method: "GET", Target: "/"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(in.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	in.Body.Close()
	if in, err = c.Do(bg, answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n"), &OutRequest{Method: "GET", Target: "/"}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(in.Body); !cluster.Is(err, cluster.KindUnavailable) || errors.As(err, &protocol) {
		t.Fatal(err)
	}
	in.Body.Close()
}

// TestClientStaleConnection checks that a pooled connection that the peer has closed is not used.
func TestClientStaleConnection(t *testing.T) {
	ts := serve(t, Options{Handler: hello, IdleTimeout: 20 * time.Millisecond})
	c := newClient(t, ClientOptions{})
	for range 3 {
		in, err := c.Do(context.Background(), ts.addr, &OutRequest{Method: "DELETE", Target: "/x"})
		if err != nil {
			t.Fatal(err)
		}
		in.readAll(t)
		time.Sleep(40 * time.Millisecond)
	}
}

// relayPair is an owner and a gateway that relays everything to it.
func relayPair(t *testing.T, owner Handler) (gateway, target *testServer, client *Client) {
	t.Helper()
	target = serve(t, Options{Handler: owner})
	client = newClient(t, ClientOptions{})
	gateway = serve(t, Options{Handler: func(ctx context.Context, req *Request, rep *Reply) error {
		return client.Relay(ctx, target.addr, req, rep, Field{"Aisle-Ticket", "t1"})
	}})
	return gateway, target, client
}

func TestRelay(t *testing.T) {
	content := make([]byte, 5<<20)
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
	gateway, target, _ := relayPair(t, func(ctx context.Context, req *Request, rep *Reply) error {
		if got := req.Header.Values("aisle-ticket"); len(got) != 1 || got[0] != "t1" || req.Header.Has("TE") || !req.Header.Has("X-Amz-Meta-Kept") {
			return fmt.Errorf("header %v", req.Header)
		}
		rep.SetHeader("X-Amz-Thing", "yes")
		switch req.Path {
		case "/chunks":
			rep.Stream(-1, ReaderBody(bytes.NewReader(content)))
		case "/missing":
			return cluster.Fail("t", "", cluster.KindObjectNotFound, "gone")
		case "/304":
			rep.Status = 304
		case "/204":
			rep.Status = 204
		case "/empty":
			rep.Bytes("", nil)
		case "/file":
			var n int64
			_, _ = fmt.Sscan(req.Query, &n)
			rep.Stream(n, FileBody(file, 0, n, false))
		default:
			return echo(ctx, req, rep)
		}
		return nil
	})
	c := gateway.dial()
	f := func(method, target, rest string, status int, body string) answer {
		t.Helper()
		c.send(method + " " + target + " HTTP/1.1\r\nHost: client-host:1\r\nConnection: te, X-Amz-Meta-Kept\r\nTE: trailers\r\nX-Amz-Meta-Kept: 1\r\nAisle-Ticket: forged\r\n" + rest)
		a := c.reply(method)
		if a.status != status || a.body != body || a.close {
			t.Fatalf("%s %s: got %d, %d bytes, close %t", method, target, a.status, len(a.body), a.close)
		}
		return a
	}
	if a := f("GET", "/b/%2e%2e//x?y=%20&z", "\r\n", 200, "GET /b/%2e%2e//x?y=%20&z host=client-host:1 len=0 body="); a.header.Get("X-Amz-Thing") != "yes" || len(a.header.Values("Date")) != 1 {
		t.Fatal(a.header)
	}
	f("GET", "//double?", "\r\n", 200, "GET //double? host=client-host:1 len=0 body=")
	f("PUT", "/x", "Content-Length: 3\r\n\r\nabc", 200, "PUT /x? host=client-host:1 len=3 body=abc")
	f("PUT", "/x", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 200, "PUT /x? host=client-host:1 len=-1 body=abc")
	large := strings.Repeat("0123456789", 50_000)
	f("PUT", "/x", "Content-Length: 500000\r\n\r\n"+large, 200, "PUT /x? host=client-host:1 len=500000 body="+large)
	f("GET", "/missing", "\r\n", 404, "t: gone\n")
	f("HEAD", "/missing", "\r\n", 404, "")
	f("GET", "/304", "\r\n", 304, "")
	f("DELETE", "/204", "\r\n", 204, "")
	f("GET", "/empty", "\r\n", 200, "")
	f("GET", "/chunks", "\r\n", 200, string(content))
	for _, n := range []int{1, 4096, 16 << 10, 64 << 10, 128 << 10, 200_000, 256 << 10, 256<<10 + 1, 1 << 20, 5 << 20} {
		f("GET", fmt.Sprintf("/file?%d", n), "\r\n", 200, string(content[:n]))
		if a := f("HEAD", fmt.Sprintf("/file?%d", n), "\r\n", 200, ""); a.header.Get("Content-Length") != fmt.Sprint(n) {
			t.Fatal(a.header)
		}
	}
	if n := len(target.connections()); n != 1 {
		t.Fatalf("%d connections between the nodes, want 1", n)
	}
}

func TestRelayEarlyReplies(t *testing.T) {
	gateway, _, _ := relayPair(t, func(_ context.Context, req *Request, _ *Reply) error {
		if req.Path == "/part" {
			if _, err := io.ReadFull(req.Body, make([]byte, 10)); err != nil {
				return err
			}
		}
		return cluster.Fail("t", "", cluster.KindDenied, "early")
	})
	t.Run("refused at the head: the client is never told to continue", func(t *testing.T) {
		c := gateway.dial().send("PUT /x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n")
		if a := c.want("PUT", 403, "t: early\n"); !a.close {
			t.Fatal("must close")
		}
		c.wantClosed()
	})
	t.Run("while the client sends nothing more", func(t *testing.T) {
		c := gateway.dial().send("PUT /part HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n0123456789")
		if a := c.want("PUT", 403, "t: early\n"); !a.close {
			t.Fatal("must close")
		}
	})
	t.Run("while the client sends on", func(t *testing.T) {
		c := gateway.dial().send("PUT /part HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n")
		c.send(strings.Repeat("x", 500_000))
		if a := c.want("PUT", 403, "t: early\n"); !a.close {
			t.Fatal("must close")
		}
	})
}

// TestRelayReplayable walks through what a gateway may try again.
func TestRelayReplayable(t *testing.T) {
	var got atomic.Int32
	target := serve(t, Options{Handler: func(ctx context.Context, req *Request, rep *Reply) error {
		got.Add(1)
		if req.Header.Get("Refuse") != "" {
			return cluster.Fail("t", "", cluster.KindUnavailable, "moved")
		}
		return echo(ctx, req, rep)
	}})
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	client := newClient(t, ClientOptions{})
	gateway := serve(t, Options{Handler: func(ctx context.Context, req *Request, rep *Reply) error {
		if err := client.Relay(ctx, gone.Addr().String(), req, rep); !cluster.Is(err, cluster.KindUnavailable) || !req.Replayable() {
			return fmt.Errorf("unreachable: %v, replayable %t", err, req.Replayable())
		}
		if err := client.Relay(ctx, target.addr, req, rep, Field{"Refuse", "1"}); err != nil || rep.StatusCode() != 503 || !req.Replayable() {
			return fmt.Errorf("refused: %d %v, replayable %t", rep.StatusCode(), err, req.Replayable())
		}
		rep.Reset()
		return client.Relay(ctx, target.addr, req, rep)
	}})
	c := gateway.dial()
	c.send(get).want("GET", 200, "GET /x? host=h len=0 body=")
	c.send("PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc").want("PUT", 200, "PUT /x? host=h len=3 body=abc")
	large := strings.Repeat("x", 200_000)
	c.send("PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n"+large).want("PUT", 200, "PUT /x? host=h len=200000 body="+large)
	if got.Load() != 6 {
		t.Fatalf("the owner got %d requests, want 6", got.Load())
	}
}

// TestRewind: an attempt within the process that follows a relay has the whole body, and so has the one after it.
func TestRewind(t *testing.T) {
	target := serve(t, Options{Handler: func(context.Context, *Request, *Reply) error {
		return cluster.Fail("t", "", cluster.KindUnavailable, "moved")
	}})
	client := newClient(t, ClientOptions{})
	gateway := serve(t, Options{Handler: func(ctx context.Context, req *Request, rep *Reply) error {
		if err := client.Relay(ctx, target.addr, req, rep); err != nil {
			return err
		}
		rep.Reset()
		for range 2 {
			req.Rewind()
			if body, err := io.ReadAll(req.Body); err != nil || string(body) != "abc" || !req.Replayable() {
				return fmt.Errorf("%q, %v", body, err)
			}
		}
		req.Rewind()
		return echo(ctx, req, rep)
	}})
	gateway.dial().send("PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc").want("PUT", 200, "PUT /x? host=h len=3 body=abc")
}

// TestRelayBroken checks that a body that breaks is never taken for whole, on either side.
func TestRelayBroken(t *testing.T) {
	bodies := make(chan error, 1)
	gateway, _, _ := relayPair(t, func(_ context.Context, req *Request, rep *Reply) error {
		if req.Path == "/early" {
			rep.Stream(1000, &sections{list: []Section{{Bytes: make([]byte, 500)}}, err: errors.New("disk")})
			return nil
		}
		if req.Method == http.MethodGet {
			rep.Stream(1<<20, &sections{list: []Section{{Bytes: make([]byte, 500_000)}}, err: errors.New("disk")})
			return nil
		}
		_, err := io.Copy(io.Discard, req.Body)
		bodies <- err
		return err
	})
	for _, framing := range []string{"Content-Length: 1000000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n30d40\r\n"} {
		c := gateway.dial().send("PUT /x HTTP/1.1\r\nHost: h\r\n" + framing + strings.Repeat("x", 200_000))
		if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if err := <-bodies; !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("the owner read the body with %v", err)
		}
		if a := c.reply("PUT"); a.status < 400 {
			t.Fatal(a.status)
		}
	}
	// What breaks before the gateway has sent anything still gets a status.
	gateway.dial().send("GET /early HTTP/1.1\r\nHost: h\r\n\r\n").want("GET", 503, "*")
	c := gateway.dial().send("GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
	all, err := io.ReadAll(c.br)
	if err != nil || !strings.HasPrefix(string(all), "HTTP/1.1 200 OK") || len(all) > 600_000 {
		t.Fatalf("%d bytes, %v", len(all), err)
	}
	if e := gateway.exchange(3); e.Err == nil {
		t.Fatal("the gateway took it for whole")
	}
}

// TestRelaySlowReader relays more than the sockets hold to a client that reads little at a time: progress counts, and the
// content is whole. A client that stops is given up, and the connection between the nodes is not used again.
func TestRelaySlowReader(t *testing.T) {
	content := make([]byte, 24<<20)
	_, _ = rand.Read(content)
	target := serve(t, Options{Handler: func(_ context.Context, _ *Request, rep *Reply) error {
		rep.Bytes("", content)
		return nil
	}})
	client := newClient(t, ClientOptions{})
	gateway := serve(t, Options{StallTimeout: 1500 * time.Millisecond, Handler: func(ctx context.Context, req *Request, rep *Reply) error {
		return client.Relay(ctx, target.addr, req, rep)
	}})
	c := gateway.dial().send(get)
	time.Sleep(100 * time.Millisecond)
	var got bytes.Buffer
	for range 7 { // 21 MiB in 2 s
		if _, err := io.CopyN(&got, c.br, 3<<20); err != nil {
			t.Fatalf("after %d bytes: %v", got.Len(), err)
		}
		time.Sleep(300 * time.Millisecond)
	}
	head := bytes.Index(got.Bytes(), []byte("\r\n\r\n")) + 4
	if _, err := io.CopyN(&got, c.br, int64(head+len(content)-got.Len())); err != nil {
		t.Fatal(err)
	}
	if _, body, _ := bytes.Cut(got.Bytes(), []byte("\r\n\r\n")); !bytes.Equal(body, content) {
		t.Fatal("the content is not whole")
	}
	stopped := gateway.dial().send(get)
	if e := gateway.exchange(1); !cluster.Is(e.Err, cluster.KindTimeout) {
		t.Fatal(e.Err)
	}
	stopped.Close()
	again := gateway.dial().send(get)
	if a := again.reply("GET"); a.body != string(content) {
		t.Fatal("the content is not whole")
	}
}
