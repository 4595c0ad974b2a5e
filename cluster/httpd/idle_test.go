package httpd

import (
	"bufio"
	"crypto/tls"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestLongIdle shows that a connection that has waited for long holds no buffers, and still serves.
func TestLongIdle(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	selfSigned(t, certFile, keyFile, 1)
	cert, err := LoadCertificate(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	plain, secure := serve(t, Options{Handler: hello}), serve(t, Options{Handler: hello, TLS: cert.Config()})
	overTLS := secure.dial()
	overTLS.Conn = tls.Client(overTLS.Conn, &tls.Config{InsecureSkipVerify: true})
	overTLS.br = bufio.NewReader(overTLS.Conn)
	overTLS.send(get).want("GET", 200, "hello /x")
	const conns, limit = 200, 6 << 10
	const put = "PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"
	before := heap()
	var all []*raw
	for range conns {
		r := plain.dial().send(put)
		r.want("PUT", 200, "hello /x")
		r.br.Reset(nil)
		all = append(all, r)
	}
	clients := uint64(conns * all[0].br.Size())
	time.Sleep(keepBuffer + 300*time.Millisecond)
	if each := (heap() - before - clients) / conns; each > limit {
		t.Errorf("an idle connection holds %d bytes, want %d at most", each, limit)
	}
	for _, r := range append(all[:3], overTLS) {
		r.br.Reset(r.Conn)
		r.send(get).want("GET", 200, "hello /x")
		r.send(get+get).want("GET", 200, "hello /x")
		r.want("GET", 200, "hello /x")
	}
}

// TestLargeHeadsGrow shows that a head that is not complete holds little more than what came of it.
func TestLargeHeadsGrow(t *testing.T) {
	ts := serve(t, Options{Handler: hello})
	const conns, sent = 50, 9 << 10
	before := heap()
	var all []*raw
	for range conns {
		all = append(all, ts.dial().send("GET /x HTTP/1.1\r\nHost: h\r\nX: "+strings.Repeat("x", sent)))
	}
	time.Sleep(200 * time.Millisecond) // for the server to have read them
	if each := (heap() - before) / conns; each > 4*sent {
		t.Errorf("the begin of a head, of %d bytes, holds %d", sent, each)
	}
	for _, r := range all[:2] {
		r.send(strings.Repeat("y", 30<<10)+"\r\n\r\n").want("GET", 200, "hello /x")
		r.send(get).want("GET", 200, "hello /x")
	}
}

// heap returns the bytes in use.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
