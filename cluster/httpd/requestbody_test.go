package httpd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

func TestBodies(t *testing.T) {
	ts := serve(t, Options{Handler: echo})
	const post = "POST / HTTP/1.1\r\nHost: h\r\n"
	f := func(text, body string, length int) {
		t.Helper()
		c := ts.dial().send(post + text)
		c.want("POST", 200, fmt.Sprintf("POST /? host=h len=%d body=%s", length, body))
		c.send("GET /next HTTP/1.1\r\nHost: h\r\n\r\n").want("GET", 200, "GET /next? host=h len=0 body=")
	}
	f("Content-Length: 0\r\n\r\n", "", 0)
	f("Content-Length: 5\r\n\r\nabcde", "abcde", 5)
	f("content-length:005\r\n\r\nabcde", "abcde", 5)
	f("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", -1)
	f("Transfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n2;ext=\"x\"\r\nde\r\n00\r\n\r\n", "abcde", -1)
	f("Transfer-Encoding: chunked\r\n\r\nA \r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n", "0123456789", -1)
	large := strings.Repeat("x", 100_000)
	f("Content-Length: 100000\r\n\r\n"+large, large, 100_000)
	f("Transfer-Encoding: chunked\r\n\r\n186a0\r\n"+large+"\r\n0\r\n\r\n", large, -1)
}

// TestBrokenBodies sends bodies that end early or are framed wrongly: the handler must get an error, never a success.
func TestBrokenBodies(t *testing.T) {
	type outcome struct {
		body string
		err  error
	}
	outcomes := make(chan outcome, 1)
	ts := serve(t, Options{Handler: func(_ context.Context, req *Request, rep *Reply) error {
		body, err := io.ReadAll(req.Body)
		outcomes <- outcome{string(body), err}
		return err
	}})
	f := func(name, text, body string, check func(error) bool) {
		t.Helper()
		c := ts.dial().send("POST / HTTP/1.1\r\nHost: h\r\n" + text)
		if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		got := <-outcomes
		if got.body != body || !check(got.err) {
			t.Fatalf("%s: got %q, %v", name, got.body, got.err)
		}
		if a := c.reply("POST"); a.status < 400 || !a.close {
			t.Fatalf("%s: got %d, close %t", name, a.status, a.close)
		}
		c.wantClosed()
	}
	short := func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }
	bad := func(err error) bool { return cluster.Is(err, cluster.KindInvalid) && !short(err) }
	f("nothing came", "Content-Length: 5\r\n\r\n", "", short)
	f("too short", "Content-Length: 5\r\n\r\nabcd", "abcd", short)
	f("chunk too short", "Transfer-Encoding: chunked\r\n\r\n5\r\nabcd", "abcd", short)
	f("no chunk", "Transfer-Encoding: chunked\r\n\r\n", "", short)
	f("no last chunk", "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", "ab", short)
	f("no end of trailer", "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n", "ab", short)
	f("size is no number", "Transfer-Encoding: chunked\r\n\r\nxy\r\nab\r\n0\r\n\r\n", "", bad)
	f("size with prefix", "Transfer-Encoding: chunked\r\n\r\n0x2\r\nab\r\n0\r\n\r\n", "", bad)
	f("size with sign", "Transfer-Encoding: chunked\r\n\r\n+2\r\nab\r\n0\r\n\r\n", "", bad)
	f("size empty", "Transfer-Encoding: chunked\r\n\r\n\r\nab\r\n0\r\n\r\n", "", bad)
	f("size too large", "Transfer-Encoding: chunked\r\n\r\n8000000000000000\r\nab", "", bad)
	f("size ends in LF", "Transfer-Encoding: chunked\r\n\r\n2\nab\r\n0\r\n\r\n", "", bad)
	f("chunk longer than its size", "Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n", "ab", bad)
	f("chunk without CRLF", "Transfer-Encoding: chunked\r\n\r\n2\r\nab0\r\n\r\n", "ab", bad)
	f("long extension", "Transfer-Encoding: chunked\r\n\r\n2;"+strings.Repeat("x", 2000)+"\r\nab\r\n0\r\n\r\n", "", bad)
	f("bad trailer", "Transfer-Encoding: chunked\r\n\r\n0\r\nno colon\r\n\r\n", "", bad)
	f("long trailer", "Transfer-Encoding: chunked\r\n\r\n0\r\n"+strings.Repeat("A: "+strings.Repeat("b", 500)+"\r\n", 20)+"\r\n", "", bad)
}

func TestClientBreaksOff(t *testing.T) {
	errs := make(chan error, 1)
	ts := serve(t, Options{Handler: func(_ context.Context, req *Request, rep *Reply) error {
		_, err := io.Copy(io.Discard, req.Body)
		errs <- err
		return err
	}})
	c := ts.dial().send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc")
	time.Sleep(10 * time.Millisecond)
	_ = c.Conn.(*net.TCPConn).SetLinger(0) // close by reset
	c.Close()
	if err := <-errs; !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
}

// TestUnreadBody checks what becomes of a body that the handler left: it is never taken for the next request.
func TestUnreadBody(t *testing.T) {
	ts := serve(t, Options{Handler: hello})
	next := "GET /next HTTP/1.1\r\nHost: h\r\n\r\n"
	smuggled := "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
	t.Run("small", func(t *testing.T) {
		c := ts.dial().send(fmt.Sprintf("PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s%s", len(smuggled), smuggled, next))
		c.want("PUT", 200, "hello /a")
		c.want("GET", 200, "hello /next")
	})
	t.Run("small, comes late", func(t *testing.T) {
		c := ts.dial().send(fmt.Sprintf("PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", len(smuggled)))
		c.want("PUT", 200, "hello /a")
		c.send(smuggled+next).want("GET", 200, "hello /next")
	})
	t.Run("chunked", func(t *testing.T) {
		c := ts.dial().send("PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + next)
		c.want("PUT", 200, "hello /a")
		c.want("GET", 200, "hello /next")
	})
	t.Run("exactly the limit", func(t *testing.T) {
		c := ts.dial().send(fmt.Sprintf("PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", drainLimit))
		c.want("PUT", 200, "hello /a")
		c.send(strings.Repeat("x", drainLimit)+next).want("GET", 200, "hello /next")
	})
	t.Run("large", func(t *testing.T) {
		c := ts.dial().send("PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + smuggled)
		if a := c.want("PUT", 200, "hello /a"); !a.close {
			t.Fatal("must say that it closes")
		}
		c.wantClosed()
	})
	t.Run("large, sent whole before the reply is read", func(t *testing.T) {
		const size = lingerLimit - 1<<20 // what is not yet read when the head is counts too
		c := ts.dial().send(fmt.Sprintf("PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", size) + strings.Repeat("x", size))
		c.want("PUT", 200, "hello /a")
		c.wantClosed()
	})
	t.Run("chunked, large", func(t *testing.T) {
		c := ts.dial().send("PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n20000\r\n" + strings.Repeat("x", 0x20000) + "\r\n0\r\n\r\n" + next)
		c.want("PUT", 200, "hello /a")
		if _, err := c.br.ReadByte(); err == nil {
			t.Fatal("the connection went on")
		}
	})
	t.Run("chunked wrongly", func(t *testing.T) {
		c := ts.dial().send("PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n" + smuggled)
		c.want("PUT", 200, "hello /a")
		if _, err := c.br.ReadByte(); err == nil {
			t.Fatal("the connection went on")
		}
	})
	t.Run("read in part", func(t *testing.T) {
		ts := serve(t, Options{Handler: func(_ context.Context, req *Request, rep *Reply) error {
			_, err := io.ReadFull(req.Body, make([]byte, 3))
			rep.Bytes("", []byte("read 3"))
			return err
		}})
		c := ts.dial().send("PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabcdef" + next)
		c.want("PUT", 200, "read 3")
		c.want("GET", 500, "*") // it has no body to read 3 bytes of
	})
}

func TestBodyEndsWithHandler(t *testing.T) {
	kept := make(chan io.Reader, 1)
	blocked := make(chan error, 1)
	ts := serve(t, Options{Handler: func(_ context.Context, req *Request, rep *Reply) error {
		body := req.Body
		switch req.Path {
		case "/keep":
			kept <- body
		case "/block": // a reader in a goroutine of its own waits for bytes that do not come
			go func() {
				_, err := body.Read(make([]byte, 1))
				blocked <- err
			}()
			time.Sleep(20 * time.Millisecond)
		}
		return hello(context.Background(), req, rep)
	}})
	c := ts.dial().send("PUT /keep HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
	c.want("PUT", 200, "hello /keep")
	c.send("PUT /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n").want("PUT", 200, "hello /b")
	if n, err := (<-kept).Read(make([]byte, 3)); n != 0 || err == nil || err == io.EOF {
		t.Fatalf("a reader left behind read %d bytes, %v", n, err)
	}
	c = ts.dial().send("PUT /block HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n")
	if a := c.want("PUT", 200, "hello /block"); !a.close {
		t.Fatal("must close")
	}
	if err := <-blocked; err == nil {
		t.Fatal("the reader left behind got a byte")
	}
}

func TestExpect(t *testing.T) {
	read := func(_ context.Context, req *Request, rep *Reply) error {
		if req.Header.Get("Refuse") != "" {
			return cluster.Fail("test", "", cluster.KindDenied, "no")
		}
		if req.Header.Get("Ignore") != "" {
			rep.Bytes("", []byte("ignored"))
			return nil
		}
		return echo(context.Background(), req, rep)
	}
	ts := serve(t, Options{Handler: read})
	const continued = "HTTP/1.1 100 Continue\r\n\r\n"
	wantContinue := func(t *testing.T, c *raw) {
		t.Helper()
		got := make([]byte, len(continued))
		if _, err := io.ReadFull(c.br, got); err != nil || string(got) != continued {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	for _, expect := range []string{"100-continue", "100-Continue", "100-CONTINUE", " 100-continue "} {
		t.Run(expect, func(t *testing.T) {
			c := ts.dial().send("PUT /a HTTP/1.1\r\nHost: h\r\nexpect:" + expect + "\r\nContent-Length: 3\r\n\r\n")
			wantContinue(t, c)
			c.send("abc").want("PUT", 200, "PUT /a? host=h len=3 body=abc")
			c.send("PUT /b HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n")
			wantContinue(t, c)
			c.send("3\r\nabc\r\n0\r\n\r\n").want("PUT", 200, "PUT /b? host=h len=-1 body=abc")
		})
	}
	t.Run("the client does not wait", func(t *testing.T) {
		c := ts.dial().send("PUT /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc")
		c.want("PUT", 200, "PUT /a? host=h len=3 body=abc")
	})
	t.Run("others are ignored", func(t *testing.T) {
		for _, expect := range []string{"miracles", "", "200-ok", "100-continue, miracles"} {
			c := ts.dial().send("PUT /a HTTP/1.1\r\nHost: h\r\nExpect: " + expect + "\r\nContent-Length: 3\r\n\r\n")
			time.Sleep(time.Millisecond)
			c.send("abc").want("PUT", 200, "PUT /a? host=h len=3 body=abc")
		}
	})
	t.Run("no body", func(t *testing.T) {
		c := ts.dial().send("PUT /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n")
		wantContinue(t, c)
		c.want("PUT", 200, "PUT /a? host=h len=0 body=")
		c.send("PUT /a HTTP/1.1\r\nHost: h\r\nRefuse: 1\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n")
		wantContinue(t, c)
		if a := c.reply("PUT"); a.close {
			t.Fatal("an answer that closes, though there is nothing left to read")
		}
	})
	t.Run("HTTP/1.0 knows no 100", func(t *testing.T) {
		c := ts.dial().send("PUT /a HTTP/1.0\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
		time.Sleep(10 * time.Millisecond)
		c.send("abc").want("PUT", 200, "PUT /a? host=h len=3 body=abc")
	})
	for _, how := range []string{"Refuse", "Ignore"} {
		t.Run(how, func(t *testing.T) {
			c := ts.dial().send("PUT /a HTTP/1.1\r\nHost: h\r\n" + how + ": 1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
			if a := c.reply("PUT"); a.status == 100 || !a.close {
				t.Fatalf("got %d, close %t: want an answer without 100 that closes", a.status, a.close)
			}
			c.send("abc") // one that did not wait loses its bytes, not more
			c.wantClosed()
		})
	}
}
