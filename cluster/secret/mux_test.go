package secret_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/secret"
)

func identity(t *testing.T, text string) *secret.Identity {
	t.Helper()
	id, err := parse(t, text).Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func listen(t *testing.T, text string) *secret.Mux {
	t.Helper()
	m, err := secret.Listen("127.0.0.1:0", identity(t, text), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func TestMuxSorts(t *testing.T) {
	m := listen(t, textA)
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", r.Method, r.URL.Path)
	})}
	var work sync.WaitGroup
	work.Go(func() { web.Serve(m.HTTP()) })
	for _, p := range []secret.Protocol{secret.Raft, secret.Control} {
		work.Go(func() {
			c, err := m.Protocol(p).Accept()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			line, err := bufio.NewReader(c).ReadString('\n')
			fmt.Fprintf(c, "%s: %s", p, line)
			if err != nil {
				t.Error(err)
			}
		})
	}
	for _, p := range []secret.Protocol{secret.Control, secret.Raft} {
		c, err := identity(t, textA).Dial(t.Context(), p, m.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "hello\n")
		if got, err := io.ReadAll(c); err != nil || string(got) != string(p)+": hello\n" {
			t.Fatalf("got %q, %v", got, err)
		}
		c.Close()
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get("http://" + m.Addr().String() + "/a/b")
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(r.Body); err != nil || string(body) != "GET /a/b" {
		t.Fatalf("got %q, %v", body, err)
	}
	r.Body.Close()
	web.Close()
	work.Wait()
}

// TestMuxKeepsSendfile shows that a connection of HTTP is the TCP connection itself, with nothing taken off it.
func TestMuxKeepsSendfile(t *testing.T) {
	m := listen(t, textA)
	c, err := net.Dial("tcp", m.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.1\r\n\r\n")
	got, err := m.HTTP().Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	if _, ok := got.(*net.TCPConn); !ok {
		t.Fatalf("a connection of HTTP is a %T", got)
	}
	b := make([]byte, 5)
	if _, err := io.ReadFull(got, b); err != nil || string(b) != "GET /" {
		t.Fatalf("got %q, %v", b, err)
	}
}

func TestAnotherSecretIsRefused(t *testing.T) {
	m := listen(t, textA)
	accepted := make(chan error, 1)
	go func() {
		_, err := m.Protocol(secret.Raft).Accept()
		accepted <- err
	}()
	_, err := identity(t, textB).Dial(t.Context(), secret.Raft, m.Addr().String())
	if !cluster.Is(err, cluster.KindUnauthenticated) {
		t.Fatalf("got %v", err)
	}
	m.Close()
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Fatalf("a stranger got in: %v", err)
	}
}

// TestServerJudgesClients goes around the client's own check: the server must refuse strangers by itself.
func TestServerJudgesClients(t *testing.T) {
	m := listen(t, textA)
	accepted := make(chan error, 1)
	go func() {
		_, err := m.Protocol(secret.Control).Accept()
		accepted <- err
	}()
	f := func(c *tls.Config) {
		t.Helper()
		c.InsecureSkipVerify = true
		conn, err := tls.Dial("tcp", m.Addr().String(), c)
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprint(conn, "hello")
		conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		if n, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("read %d, %v", n, err)
		}
	}
	f(&tls.Config{NextProtos: []string{"aisle-control"}})                               // no certificate
	f(&tls.Config{NextProtos: []string{"aisle-control"}, MaxVersion: tls.VersionTLS12}) // an old version
	f(&tls.Config{NextProtos: []string{"h2"}})                                          // another protocol
	f(&tls.Config{})                                                                    // none
	m.Close()
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Fatalf("a stranger got in: %v", err)
	}
}

func TestMuxRefusesGarbage(t *testing.T) {
	t.Parallel() // it waits for a deadline
	m := listen(t, textA)
	f := func(bytes string) {
		t.Helper()
		c, err := net.Dial("tcp", m.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, bytes)
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.ReadAll(c); err != nil {
			if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
				t.Fatalf("after %q the connection stays open", bytes)
			}
		}
	}
	f("\x00\x01\x02")
	f("lower case")
	f("\x16\x03\x01garbage instead of a handshake")
	f("") // silence ends at the deadline
}

// TestMuxBoundsSilence opens more silent connections than a Mux keeps: the oldest go, and an honest one still gets in.
func TestMuxBoundsSilence(t *testing.T) {
	m := listen(t, textA)
	const silent = 600
	conns := make([]net.Conn, silent)
	for i := range conns {
		c, err := net.Dial("tcp", m.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns[i] = c
	}
	c, err := identity(t, textA).Dial(t.Context(), secret.Raft, m.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	conns[0].SetReadDeadline(time.Now().Add(2 * time.Second)) // less than the time that silence is given
	if _, err := conns[0].Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Fatalf("the oldest: %v", err)
	}
}

func TestMuxCloseEndsEverything(t *testing.T) {
	m := listen(t, textA)
	silent, err := net.Dial("tcp", m.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	waiting, err := net.Dial("tcp", m.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	fmt.Fprint(waiting, "GET / HTTP/1.1\r\n\r\n")
	time.Sleep(20 * time.Millisecond)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{silent, waiting} {
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.Copy(io.Discard, c); errors.Is(err, context.DeadlineExceeded) || err != nil && err.(net.Error).Timeout() {
			t.Fatalf("the connection stays: %v", err)
		}
	}
	if _, err := m.HTTP().Accept(); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("got %v", err)
	}
}

// startServer runs a control server and returns its address.
func startServer(t *testing.T, h secret.Handler) (addr string, s *secret.Server) {
	t.Helper()
	s = secret.NewServer(h, nil)
	return serve(t, s), s
}

func serve(t *testing.T, s *secret.Server) (addr string) {
	t.Helper()
	m := listen(t, textA)
	var work sync.WaitGroup
	work.Go(func() {
		if err := s.Serve(m.Protocol(secret.Control)); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s.Close(ctx)
		work.Wait()
	})
	return m.Addr().String()
}

func newCaller(t *testing.T) *secret.Caller {
	t.Helper()
	c := secret.NewCaller(identity(t, textA))
	t.Cleanup(func() { c.Close() })
	return c
}

func TestCalls(t *testing.T) {
	addr, _ := startServer(t, func(_ context.Context, method string, body []byte) ([]byte, error) {
		switch method {
		case "echo":
			return body, nil
		case "fail":
			inner := &cluster.Error{Op: "x.inner", Subject: "ais://b", Kind: cluster.KindBucketNotFound, RetryAfter: 3 * time.Second, Err: errors.New("no such bucket")}
			return nil, cluster.E("x.outer", "", cluster.KindOther, inner)
		case "plain":
			return nil, errors.New("a plain error")
		case "panic":
			panic("oh")
		case "huge":
			return make([]byte, secret.MaxMessage+1), nil
		}
		return nil, nil
	})
	c := newCaller(t)
	for _, size := range []int{0, 1, 70_000, 5 << 20, secret.MaxMessage} {
		body := bytes.Repeat([]byte{byte(size), 3}, (size+1)/2)[:size]
		got, err := c.Call(t.Context(), addr, "echo", body)
		if err != nil || !bytes.Equal(got, body) {
			t.Fatalf("%d bytes: got %d, %v", size, len(got), err)
		}
	}
	_, err := c.Call(t.Context(), addr, "fail", nil)
	var e *cluster.Error
	if !errors.As(err, &e) || e.Kind != cluster.KindBucketNotFound || e.Subject != "ais://b" || e.RetryAfter != 3*time.Second {
		t.Fatalf("got %#v", e)
	}
	if got, want := err.Error(), "secret.Caller.Call: x.outer: x.inner: ais://b: no such bucket"; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	f := func(method string, want cluster.Kind) {
		t.Helper()
		if _, err := c.Call(t.Context(), addr, method, nil); !cluster.Is(err, want) {
			t.Fatalf("%s: got %v, want kind %v", method, err, want)
		}
	}
	f("plain", cluster.KindOther)
	f("panic", cluster.KindOther)
	f("huge", cluster.KindTooLarge)
	f(string(make([]byte, 256)), cluster.KindTooLarge)
	if _, err := c.Call(t.Context(), addr, "echo", make([]byte, secret.MaxMessage+1)); !cluster.Is(err, cluster.KindTooLarge) {
		t.Fatalf("got %v", err)
	}
}

func TestCallsInParallel(t *testing.T) {
	addr, _ := startServer(t, func(_ context.Context, _ string, body []byte) ([]byte, error) { return body, nil })
	c := newCaller(t)
	var work sync.WaitGroup
	for i := range 16 {
		work.Go(func() {
			for j := range 20 {
				body := fmt.Append(nil, i, j)
				if got, err := c.Call(t.Context(), addr, "echo", body); err != nil || !bytes.Equal(got, body) {
					t.Errorf("got %q, %v", got, err)
				}
			}
		})
	}
	work.Wait()
}

func TestCallDeadline(t *testing.T) {
	seen := make(chan error, 3)
	addr, _ := startServer(t, func(ctx context.Context, method string, _ []byte) ([]byte, error) {
		if method == "quick" {
			return nil, nil
		}
		<-ctx.Done()
		seen <- ctx.Err()
		return nil, ctx.Err()
	})
	c := newCaller(t)
	quick := func() {
		t.Helper()
		if _, err := c.Call(t.Context(), addr, "quick", nil); err != nil {
			t.Fatal(err)
		}
	}
	quick() // opens the connection
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := c.Call(ctx, addr, "wait", nil); !cluster.Is(err, cluster.KindUnavailable) {
		t.Fatalf("got %v", err)
	}
	if err := <-seen; !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("the handler's context: %v", err)
	}
	quick()
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	began := time.Now()
	if _, err := c.Call(ctx, addr, "wait", nil); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Fatalf("took %v", took)
	}
	quick()
}

// TestCallAfterRestart keeps a connection that the server has closed: it must be found out before the call is sent.
func TestCallAfterRestart(t *testing.T) {
	h := func(_ context.Context, _ string, body []byte) ([]byte, error) { return body, nil }
	id := identity(t, textA)
	c := newCaller(t)
	addr := "127.0.0.1:0"
	for range 5 {
		m, err := secret.Listen(addr, id, nil)
		if err != nil {
			t.Fatal(err)
		}
		addr = m.Addr().String()
		s := secret.NewServer(h, nil)
		var work sync.WaitGroup
		work.Go(func() { s.Serve(m.Protocol(secret.Control)) })
		for range 3 {
			if _, err := c.Call(t.Context(), addr, "echo", nil); err != nil {
				t.Fatal(err)
			}
		}
		s.Close(t.Context())
		m.Close()
		work.Wait()
		time.Sleep(10 * time.Millisecond)
	}
	if _, err := c.Call(t.Context(), addr, "echo", nil); !cluster.Is(err, cluster.KindUnavailable) {
		t.Fatalf("with nobody there: %v", err)
	}
}

func TestCallLimits(t *testing.T) {
	const limit, calls = 5, 12
	release := make(chan struct{})
	s := secret.NewServer(func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
		select {
		case <-release:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}, nil)
	s.LimitCalls(limit)
	addr := serve(t, s)
	c := newCaller(t)
	answers := make(chan error, calls)
	for range calls {
		go func() {
			_, err := c.Call(t.Context(), addr, "wait", nil)
			answers <- err
		}()
	}
	for range calls - limit {
		if err := <-answers; !cluster.Is(err, cluster.KindUnavailable) {
			t.Fatalf("got %v", err)
		}
	}
	close(release)
	for range limit {
		if err := <-answers; err != nil {
			t.Fatalf("a call too many was refused: %v", err)
		}
	}
}

func TestServerCloseLetsCallsEnd(t *testing.T) {
	started := make(chan struct{})
	addr, s := startServer(t, func(ctx context.Context, method string, _ []byte) ([]byte, error) {
		close(started)
		time.Sleep(100 * time.Millisecond)
		return []byte("done"), ctx.Err()
	})
	c := newCaller(t)
	answer := make(chan string, 1)
	go func() {
		got, err := c.Call(t.Context(), addr, "slow", nil)
		answer <- fmt.Sprint(string(got), err)
	}()
	<-started
	s.Close(t.Context())
	if got := <-answer; got != "done<nil>" {
		t.Fatalf("got %s", got)
	}
	if _, err := c.Call(t.Context(), addr, "slow", nil); !cluster.Is(err, cluster.KindUnavailable) {
		t.Fatalf("after Close: %v", err)
	}
}

// TestServerSurvivesNonsense speaks TLS with the right key, but no control calls.
func TestServerSurvivesNonsense(t *testing.T) {
	addr, _ := startServer(t, func(_ context.Context, _ string, body []byte) ([]byte, error) { return body, nil })
	f := func(bytes string) {
		t.Helper()
		c, err := identity(t, textA).Dial(t.Context(), secret.Control, addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, bytes)
		c.(interface{ CloseWrite() error }).CloseWrite()
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if got, _ := io.ReadAll(c); len(got) > 0 {
			t.Fatalf("after %q: %q", bytes, got)
		}
	}
	f("\xff\xff\xff\xff")
	f("\x00\x00\x00\x00")
	f("\x00\x00\x00\x09\x02\x00\x00\x00\x01\x00abc")
	f("\x00\x00\x00\x06\x01\x00\x00\x00\x01\x09")
	f("GET / HTTP/1.1\r\n\r\n")
	if _, err := newCaller(t).Call(t.Context(), addr, "echo", nil); err != nil {
		t.Fatal(err)
	}
}

func TestStrangerCannotCall(t *testing.T) {
	addr, _ := startServer(t, func(context.Context, string, []byte) ([]byte, error) {
		t.Error("a stranger's call arrived")
		return nil, nil
	})
	c := secret.NewCaller(identity(t, textB))
	defer c.Close()
	if _, err := c.Call(t.Context(), addr, "echo", nil); !cluster.Is(err, cluster.KindUnauthenticated) {
		t.Fatalf("got %v", err)
	}
}
