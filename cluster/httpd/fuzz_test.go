package httpd

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"strings"
	"testing"
	"time"
)

// FuzzHead reads any bytes as a request's head. Whatever is accepted must be understood by net/http in the same way:
// two parsers that see two messages in the same bytes are how requests are smuggled.
func FuzzHead(f *testing.F) {
	f.Add("GET /b/%2e%2e/k?x=1&y HTTP/1.1\r\nHost: h\r\nX-A:  b \r\n\r\nrest")
	f.Add("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nabcde")
	f.Add("POST http://a:1/p?q HTTP/1.1\r\nhost: h\r\ntransfer-encoding: Chunked\r\n\r\n0\r\n\r\n")
	f.Add("GET / HTTP/1.0\r\nConnection: keep-alive, foo\r\n\r\n")
	f.Add("\r\n\r\nOPTIONS * HTTP/1.1\r\nHost:\r\n\r\n")
	f.Add("GET / HTTP/1.1\nHost: h\n\nX: y\r\n\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		var req Request
		h := head{maxFields: 50}
		br := bufio.NewReaderSize(strings.NewReader(text), 4096)
		fr, err := h.read(br, &req)
		if err != nil {
			return
		}
		consumed := len(text) - br.Buffered() - remaining(br, text)
		checkRequest(t, &req)
		theirs, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
		if err != nil {
			return // stricter than we are about names of hosts and the like
		}
		if theirs.Method != req.Method || theirs.ContentLength != fr.length || theirs.RequestURI == "" {
			t.Fatalf("we: %s length %d; net/http: %s length %d; %d bytes", req.Method, fr.length, theirs.Method, theirs.ContentLength, consumed)
		}
		if theirs.Host != req.Host && !strings.Contains(req.Host, "%") {
			t.Fatalf("host %q against %q", req.Host, theirs.Host)
		}
		if fr.keepAlive && theirs.Close {
			t.Fatal("we keep a connection that net/http closes")
		}
	})
}

// remaining returns how many bytes of text br has not yet taken from its source.
func remaining(br *bufio.Reader, text string) int {
	buffered := br.Buffered()
	rest, _ := io.ReadAll(br)
	return max(0, min(len(rest)-buffered, len(text)))
}

func checkRequest(t *testing.T, req *Request) {
	t.Helper()
	if !isToken(req.Method) || !strings.HasPrefix(req.Path, "/") && req.Path != "*" {
		t.Fatalf("%q %q", req.Method, req.Path)
	}
	if strings.ContainsAny(req.Target()+req.Host, " \r\n\x00") {
		t.Fatalf("control bytes in %q, %q", req.Target(), req.Host)
	}
	for name, value := range req.Header.All() {
		if !isToken(name) || !isFieldValue(value) || strings.TrimSpace(value) != value && strings.Trim(value, " \t") != value {
			t.Fatalf("field %q: %q", name, value)
		}
	}
}

// FuzzChunks reads any bytes as a chunked body: what is accepted must be accepted by net/http, with the same content.
func FuzzChunks(f *testing.F) {
	f.Add([]byte("3\r\nabc\r\n0\r\n\r\n"))
	f.Add([]byte("A;x=y\r\n0123456789\r\n000\r\nT: v\r\n\r\n"))
	f.Add([]byte("0;\r\r\n\r\n"))
	f.Add([]byte("0 ;\r\n\r\n"))
	f.Add([]byte("1\r\na\r\n1\r\nb\r\n0\r\n\r\nGET / HTTP/1.1\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 8<<10 {
			return // net/http refuses a body with much more framing than data
		}
		ours, err := io.ReadAll(&chunkReader{br: bufio.NewReaderSize(bytes.NewReader(text), 4096)})
		if err != nil {
			if errors.Is(err, io.EOF) {
				t.Fatal("io.EOF came as an error")
			}
			return
		}
		theirs, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(text)))
		if err != nil || !bytes.Equal(ours, theirs) {
			t.Fatalf("we read %q, net/http %q, %v", ours, theirs, err)
		}
	})
}

// FuzzReply reads any bytes as the head of a peer's reply.
func FuzzReply(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
	f.Add("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		h := new(Header)
		p := &peer{client: NewClient(ClientOptions{}), out: outHead{method: "GET"}, br: bufio.NewReaderSize(strings.NewReader(text), 4096)}
		p.src.pace = pace{}
		rf, err := p.readHead(h, time.Second)
		if err != nil {
			return
		}
		if rf.status < 100 || rf.status > 599 || rf.chunks && rf.length >= 0 {
			t.Fatalf("%+v", rf)
		}
		for name, value := range h.All() {
			if !isToken(name) || !isFieldValue(value) {
				t.Fatalf("field %q: %q", name, value)
			}
		}
	})
}
