package httpd

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// requestBody reads one request's body from its connection, exactly. One belongs to one request; after its end every read
// fails, so a reader that a handler left behind can never take bytes of the next request.
type requestBody struct {
	mu       sync.Mutex // held while reading
	c        *conn
	left     int64 // bytes of the body (or of the chunk) not yet read
	chunked  bool
	midChunk bool // the CRLF after a chunk is due
	expect   bool // 100 Continue is due before the first read
	started  bool
	read     int64 // bytes handed out
	err      error // sticky; io.EOF at the exact end

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
	if b.left == 0 {
		if err := b.nextChunk(); err != nil {
			b.err = err
			return 0, err
		}
	}
	n, err := b.c.br.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	b.read += int64(n)
	b.midChunk = b.chunked && b.left == 0
	if err != nil {
		b.err = truncated(err)
		if n > 0 {
			return n, nil
		}
		return 0, b.err
	}
	return n, nil
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

// nextChunk moves to the next chunk, or returns io.EOF after the last (or after a body of known length).
func (b *requestBody) nextChunk() error {
	if !b.chunked {
		return io.EOF
	}
	if b.midChunk {
		if err := expectCRLF(b.c.br); err != nil {
			return err
		}
		b.midChunk = false
	}
	size, err := readChunkSize(b.c.br)
	if err != nil {
		return err
	}
	if size == 0 {
		if err := skipTrailer(b.c.br); err != nil {
			return err
		}
		return io.EOF
	}
	b.left = size
	return nil
}

// truncated gives an end or a break of the connection within a body its error.
func truncated(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	if cluster.KindOf(err) != cluster.KindOther {
		return err
	}
	return fmt.Errorf("%w: %v", io.ErrUnexpectedEOF, err)
}

// maxChunkLine bounds a chunk's size line with its extensions, and each line of a trailer.
const maxChunkLine = 1024

// maxTrailerBytes bounds the trailer of a chunked body, which is read and dropped: S3 has its trailers inside the body.
const maxTrailerBytes = 8 << 10

// readChunkSize reads a chunk's size line: 1 to 15 hexadecimal digits, extensions ignored, CRLF.
func readChunkSize(br *bufio.Reader) (int64, error) {
	line, err := readLine(br)
	if err != nil {
		return 0, err
	}
	digits, _, _ := strings.Cut(line, ";")
	digits = strings.TrimRight(digits, " \t")
	if len(digits) == 0 || len(digits) > 15 {
		return 0, badChunk("a chunk's size is malformed")
	}
	var size int64
	for i := range len(digits) {
		d := hexDigit(digits[i])
		if d < 0 {
			return 0, badChunk("a chunk's size is malformed")
		}
		size = size<<4 | int64(d)
	}
	return size, nil
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// readLine reads a line that ends in CRLF, without it.
func readLine(br *bufio.Reader) (string, error) {
	line, err := br.ReadSlice('\n')
	switch {
	case err == bufio.ErrBufferFull || len(line) > maxChunkLine:
		return "", badChunk("a line of the chunked body is too long")
	case err != nil:
		return "", truncated(err)
	case len(line) < 2 || line[len(line)-2] != '\r':
		return "", badChunk("a line of the chunked body does not end in CRLF")
	}
	return string(line[:len(line)-2]), nil
}

// expectCRLF reads the end of a chunk's data.
func expectCRLF(br *bufio.Reader) error {
	for _, want := range []byte("\r\n") {
		c, err := br.ReadByte()
		if err != nil {
			return truncated(err)
		}
		if c != want {
			return badChunk("a chunk is longer than its size says")
		}
	}
	return nil
}

// skipTrailer reads the trailer section of a chunked body.
func skipTrailer(br *bufio.Reader) error {
	for total := 0; total <= maxTrailerBytes; {
		line, err := readLine(br)
		if err != nil {
			return err
		}
		if line == "" {
			return nil
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || !isToken(name) || !isFieldValue(value) {
			return badChunk("a trailer field is malformed")
		}
		total += len(line) + 2
	}
	return badChunk("the trailer is too long")
}

func badChunk(reason string) error {
	return cluster.E("cluster/httpd.Body", "", cluster.KindInvalid, &ProtocolError{http.StatusBadRequest, reason})
}

// replayable implements Request.Replayable.
func (b *requestBody) replayable() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.started || b.isKept
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

// interrupt makes a read that waits for the client end now with an error, and returns when none is under way.
func (b *requestBody) interrupt() {
	if b.mu.TryLock() {
		b.mu.Unlock()
		return
	}
	_ = b.c.nc.SetReadDeadline(time.Unix(1, 0)) // on a closed connection the read ends anyway
	b.mu.Lock()
	if b.err == nil {
		b.err = errBodyEnded
	}
	b.c.src.pace.disarm()
	b.mu.Unlock()
}

// finish ends the body after the handler: no reader that it left behind gets another byte.
func (b *requestBody) finish() {
	b.interrupt()
	b.mu.Lock()
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
	return b.err == io.EOF
}
