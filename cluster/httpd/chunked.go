package httpd

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/aisle-store/aisle/cluster"
)

// chunkReader reads a chunked body, strictly: whatever RFC 9112 (7.1) does not allow is an error.
type chunkReader struct {
	br   *bufio.Reader
	left int64 // of the chunk
	tail bool  // the CRLF after a chunk is due
	err  error // sticky
}

// Read reads from the chunk, or from the next one.
func (r *chunkReader) Read(p []byte) (int, error) {
	if r.err != nil || len(p) == 0 {
		return 0, r.err
	}
	if r.left == 0 {
		if r.err = r.next(); r.err != nil {
			return 0, r.err
		}
	}
	n, err := r.br.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	r.tail = r.left == 0
	if r.err = truncated(err); n > 0 {
		return n, nil
	}
	return 0, r.err
}

// next moves to the next chunk, or returns io.EOF after the last.
func (r *chunkReader) next() error {
	if r.tail {
		if err := expectCRLF(r.br); err != nil {
			return err
		}
		r.tail = false
	}
	size, err := readChunkSize(r.br)
	if err != nil {
		return err
	}
	if size == 0 {
		if err := skipTrailer(r.br); err != nil {
			return err
		}
		return io.EOF
	}
	r.left = size
	return nil
}

// truncated gives an end or a break of the connection within a body its error.
func truncated(err error) error {
	switch {
	case err == nil:
		return nil
	case ended(err):
		return io.ErrUnexpectedEOF
	case cluster.KindOf(err) != cluster.KindOther || errors.Is(err, io.ErrUnexpectedEOF):
		return err
	default:
		return fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err)
	}
}

// maxChunkLine bounds a chunk's size line with its extensions, and each line of a trailer.
const maxChunkLine = 1024

// maxTrailerBytes bounds the trailer of a chunked body, which is read and dropped: S3 has its trailers inside the body.
const maxTrailerBytes = 8 << 10

// readChunkSize reads a chunk's size line: 1 to 15 hexadecimal digits, extensions that follow at once ignored, CRLF.
func readChunkSize(br *bufio.Reader) (int64, error) {
	line, err := readLine(br)
	if err != nil {
		return 0, err
	}
	digits, _, _ := strings.Cut(strings.TrimRight(line, " \t"), ";")
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

// readLine reads a line that ends in CRLF, without it. A CR within it is refused (RFC 9112, section 2.2): others may take it for an end.
func readLine(br *bufio.Reader) (string, error) {
	line, err := br.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull) || len(line) > maxChunkLine:
		return "", badChunk("a line of the chunked body is too long")
	case err != nil:
		return "", truncated(err)
	case len(line) < 2 || line[len(line)-2] != '\r':
		return "", badChunk("a line of the chunked body does not end in CRLF")
	case bytes.IndexByte(line, '\r') < len(line)-2:
		return "", badChunk("a line of the chunked body has a CR within it")
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
