//go:build e2e

package e2e

import (
	"io"
	"net"
	"sync"
	"time"
)

// relay passes TCP connections on to a node and holds everything for a time, in both directions.
type relay struct {
	listener net.Listener
	goal     string
	delay    time.Duration
	wait     sync.WaitGroup

	mu struct {
		sync.Mutex
		conns  map[net.Conn]bool
		closed bool
	}
}

func newRelay(listen, goal string, delay time.Duration) (*relay, error) {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, err
	}
	r := &relay{listener: l, goal: goal, delay: delay}
	r.mu.conns = make(map[net.Conn]bool)
	r.wait.Go(r.accept)
	return r, nil
}

func (r *relay) accept() {
	for {
		in, err := r.listener.Accept()
		if err != nil {
			return // closed
		}
		if !r.keep(in) {
			continue
		}
		r.wait.Go(func() {
			defer r.drop(in)
			out, err := net.DialTimeout("tcp", r.goal, 5*time.Second)
			if err != nil || !r.keep(out) {
				return
			}
			defer r.drop(out)
			var both sync.WaitGroup
			shut := func() { in.Close(); out.Close() }
			both.Go(func() { defer shut(); r.pass(out, in) })
			both.Go(func() { defer shut(); r.pass(in, out) })
			both.Wait()
		})
	}
}

// pass copies what arrives, each piece when it is old enough.
func (r *relay) pass(to io.Writer, from io.Reader) {
	type piece struct {
		text []byte
		due  time.Time
	}
	pieces := make(chan piece, 256)
	go func() { // ends with the connection
		defer close(pieces)
		for {
			buffer := make([]byte, 64<<10)
			n, err := from.Read(buffer)
			if n > 0 {
				pieces <- piece{buffer[:n], time.Now().Add(r.delay)}
			}
			if err != nil {
				return
			}
		}
	}()
	for p := range pieces { // to the end, also when nobody takes it any more
		time.Sleep(time.Until(p.due))
		_, _ = to.Write(p.text)
	}
}

func (r *relay) keep(c net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.closed {
		c.Close()
		return false
	}
	r.mu.conns[c] = true
	return true
}

func (r *relay) drop(c net.Conn) {
	c.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.mu.conns, c)
}

// close ends the relay and all connections through it.
func (r *relay) close() {
	r.listener.Close()
	r.mu.Lock()
	r.mu.closed = true
	for c := range r.mu.conns {
		c.Close()
	}
	r.mu.Unlock()
	r.wait.Wait()
}
