package httpd

import (
	"errors"
	"io"
	"sync"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// requestBody reads one request's body from its connection, exactly. One belongs to one request; after its end every read
// fails, so a reader that a handler left behind can never take bytes of the next request.
type requestBody struct {
	mu      sync.Mutex // held while reading
	c       *conn
	left    int64 // bytes of the body not yet read, unless chunked
	chunked bool
	chunks  chunkReader
	expect  bool // 100 Continue is due before the first read
	started bool
	read    int64 // bytes handed out
	err     error // sticky; io.EOF at the exact end

	closed bool // the handler is done: readers that it left behind get errBodyEnded

	kept     []byte // the whole of a small body, so that it can be sent again
	keptNext int
	isKept   bool
}

var errBodyEnded = errors.New("the request has ended")

// Read implements Request.Body.
func (b *requestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, errBodyEnded
	}
	return b.readLocked(p)
}

func (b *requestBody) readLocked(p []byte) (int, error) {
	if b.isKept {
		if b.keptNext == len(b.kept) {
			return 0, io.EOF
		}
		n := copy(p, b.kept[b.keptNext:])
		b.keptNext += n
		return n, nil
	}
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	if !b.started {
		if err := b.start(); err != nil {
			b.err = err
			return 0, err
		}
	}
	var n int
	var err error
	switch {
	case b.chunked:
		n, err = b.chunks.Read(p)
	case b.left == 0:
		err = io.EOF
	default:
		n, err = b.c.br.Read(p[:min(int64(len(p)), b.left)])
		err = truncated(err)
		b.left -= int64(n)
	}
	b.read += int64(n)
	b.err = err
	if n > 0 {
		return n, nil
	}
	return n, err
}

// start sends 100 Continue when the client waits for it, and begins the pace.
func (b *requestBody) start() error {
	b.started = true
	b.c.src.inBody = true
	b.c.src.pace.reset()
	b.c.src.pace.disarm()
	if !b.expect {
		return nil
	}
	b.expect = false
	if b.c.br.Buffered() > 0 {
		return nil // the client did not wait
	}
	return b.c.writeContinue()
}

// replayable implements Request.Replayable.
func (b *requestBody) replayable() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.started || b.isKept
}

// rewind has a kept body read from its beginning again.
func (b *requestBody) rewind() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.keptNext = 0
}

// keep reads a body of known, small length into memory, whence it can be read and sent again and again.
func (b *requestBody) keep(length int64) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return nil, errBodyEnded
	case b.isKept:
		return b.kept, nil
	case b.started:
		return nil, cluster.Fail("cluster/httpd.Relay", "", cluster.KindOther, "the body was read before")
	}
	buf := make([]byte, length)
	for n := 0; n < len(buf); {
		m, err := b.readLocked(buf[n:])
		n += m
		if err != nil {
			return nil, err
		}
	}
	b.kept, b.isKept, b.keptNext = buf, true, 0
	return buf, nil
}

// interrupt makes reads fail from now on, one that waits for the client too, and returns when none is under way.
func (b *requestBody) interrupt() {
	b.lockAwake()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = errBodyEnded
	}
}

// lockAwake takes the lock; a read that holds it while it waits for the client ends with an error.
func (b *requestBody) lockAwake() {
	if b.mu.TryLock() {
		return
	}
	_ = b.c.nc.SetReadDeadline(time.Unix(1, 0)) // on a closed connection the read ends anyway
	b.mu.Lock()
	if b.err == nil && !b.isKept {
		b.err = errBodyEnded // the read may just have ended well, but the connection's deadline is past
	}
	b.c.src.pace.disarm()
}

// finish ends the body after the handler: no reader that it left behind gets another byte.
func (b *requestBody) finish() {
	b.lockAwake()
	defer b.mu.Unlock()
	b.closed = true
	if b.err == nil && b.left == 0 && !b.chunked {
		b.err = io.EOF // read to the end, though nobody asked for the io.EOF
	}
}

// drain reads up to limit bytes more and reports whether the body is at its end.
func (b *requestBody) drain(limit int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	var scratch [4096]byte
	for limit > 0 && b.err == nil {
		n, _ := b.readLocked(scratch[:min(limit, int64(len(scratch)))])
		limit -= int64(n)
	}
	if b.err == nil && b.left == 0 {
		_, _ = b.readLocked(scratch[:1]) // what is left may be the end itself; the error is in b.err
	}
	return ended(b.err)
}
