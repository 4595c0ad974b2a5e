package httpd

import (
	"net"
	"runtime"
	"testing"
)

// A body that is sent to its end just when the reply comes leaves a connection that can be used again: what ended the
// sender must not end the next exchange.
func TestSenderStoppedAtTheEnd(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	p := newPeer(NewClient(ClientOptions{}), ln.Addr().String(), nc.(*net.TCPConn))
	p.buf = []byte("POST / HTTP/1.1\r\n\r\n")
	if err := p.write(nil); err != nil {
		t.Fatal(err)
	}
	s := &sender{p: p, done: make(chan struct{})}
	go func() {
		for !s.stopping.Load() {
			runtime.Gosched()
		}
		s.whole = true
		close(s.done)
	}()
	s.stop()
	if err := p.write(nil); err != nil {
		t.Fatalf("the next request: %v", err)
	}
}
