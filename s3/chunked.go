package s3

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"io"
	"strings"
	"sync"
)

const (
	maxChunkLine   = 1024    // of a chunk's size and signature
	maxTrailers    = 8 << 10 // of all trailers
	minSignedChunk = 8 << 10 // of every signed chunk but the last
	chunkBuffer    = 64 << 10
)

var chunkBuffers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, chunkBuffer) }}

// chunkReader takes the aws-chunked framing off a body, verifying the chain of signatures when there is one.
type chunkReader struct {
	r         *bufio.Reader
	remaining int64 // of the decoded length
	left      int64 // of the chunk being read
	inChunk   bool  // its final CRLF is still to come
	short     bool  // the last chunk was below minSignedChunk
	trailers  []Field
	withTrail bool
	err       error

	key      []byte // nil for unsigned chunks
	date     string
	scope    string
	previous string // signature, hexadecimal
	claimed  string // signature of the chunk being read
	hash     hash.Hash
}

func newChunkReader(r io.Reader, o BodyOptions) *chunkReader {
	br := chunkBuffers.Get().(*bufio.Reader)
	br.Reset(r)
	c := &chunkReader{r: br, remaining: o.Payload.Length, withTrail: o.Payload.HasTrailer()}
	if o.Payload.SignedChunks() {
		c.key, c.date, c.scope, c.previous = o.Key, o.Payload.Date, o.Payload.Scope, o.Payload.Seed
		c.hash = sha256.New()
	}
	return c
}

// close returns the buffer to the pool.
func (c *chunkReader) close() {
	if c.r != nil {
		c.r.Reset(nil)
		chunkBuffers.Put(c.r)
		c.r = nil
	}
	if c.err == nil {
		c.err = io.ErrClosedPipe
	}
}

// Read gives the chunks' bytes. A chunk's signature is judged when its last byte has been given.
func (c *chunkReader) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	for c.left == 0 {
		if c.err = c.next(); c.err != nil {
			return 0, c.err
		}
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	if c.hash != nil {
		c.hash.Write(p[:n])
	}
	if err != nil {
		c.err = noEOF(err)
	}
	return n, c.err
}

// noEOF turns an end in the middle of the framing into an unexpected one.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// next ends the chunk just read and begins another; after the last one it reads the trailers and returns io.EOF.
func (c *chunkReader) next() error {
	const op = "s3.chunkReader.next"
	if c.inChunk {
		if err := c.endChunk(); err != nil {
			return err
		}
	}
	line, err := c.line()
	if err != nil {
		return err
	}
	size, err := c.header(line)
	if err != nil {
		return err
	}
	if size == 0 {
		return c.last()
	}
	if size > c.remaining {
		return incomplete()
	}
	if c.short && c.key != nil {
		return NewFault(op, InvalidChunkSize, "")
	}
	c.short = size < minSignedChunk
	c.left, c.inChunk = size, true
	c.remaining -= size
	return nil
}

// header reads "size" or "size;chunk-signature=hex".
func (c *chunkReader) header(line string) (int64, error) {
	digits, extension, _ := strings.Cut(line, ";")
	digits = strings.TrimRight(digits, " \t")
	if digits == "" || len(digits) > 15 {
		return 0, malformedChunk("the chunk size is malformed")
	}
	size := int64(0)
	for i := range len(digits) {
		d := unhex(digits[i])
		if d < 0 {
			return 0, malformedChunk("the chunk size is malformed")
		}
		size = size<<4 | int64(d)
	}
	if c.key == nil {
		return size, nil
	}
	signature, ok := strings.CutPrefix(strings.TrimSpace(extension), "chunk-signature=")
	if !ok {
		return 0, malformedChunk("the chunk signature is missing")
	}
	c.claimed = signature
	return size, nil
}

func malformedChunk(text string) error {
	return NewFault("s3.chunkReader", InvalidRequest, "The aws-chunked body is malformed: "+text)
}

// endChunk reads the CRLF behind a chunk's bytes and verifies its signature.
func (c *chunkReader) endChunk() error {
	var crlf [2]byte
	if _, err := io.ReadFull(c.r, crlf[:]); err != nil {
		return noEOF(err)
	}
	if crlf != [2]byte{'\r', '\n'} {
		return malformedChunk("a chunk does not end where its size says")
	}
	c.inChunk = false
	return c.verify()
}

// verify compares the signature of the chunk whose bytes have been hashed.
func (c *chunkReader) verify() error {
	if c.key == nil {
		return nil
	}
	sum := hex.EncodeToString(c.hash.Sum(nil))
	c.hash.Reset()
	return c.link(algorithm+"-PAYLOAD", emptySHA+"\n"+sum, c.claimed)
}

// link checks one signature of the chain and makes it the previous one.
func (c *chunkReader) link(algorithm, hashes, claimed string) error {
	const op = "s3.chunkReader.link"
	toSign := algorithm + "\n" + c.date + "\n" + c.scope + "\n" + c.previous + "\n" + hashes
	want := hex.EncodeToString(hmacSHA256(c.key, toSign))
	if !hmac.Equal([]byte(want), []byte(claimed)) {
		return NewFault(op, SignatureDoesNotMatch, "", Field{"StringToSign", toSign}, Field{"SignatureProvided", claimed})
	}
	c.previous = want
	return nil
}

// last verifies the empty chunk that ends the data and reads what follows it.
func (c *chunkReader) last() error {
	if c.remaining != 0 {
		return incomplete()
	}
	if err := c.verify(); err != nil {
		return err
	}
	rest, err := io.ReadAll(io.LimitReader(c.r, maxTrailers+1))
	if err != nil {
		return noEOF(err)
	}
	if len(rest) > maxTrailers {
		return malformedTrailer()
	}
	if !c.withTrail {
		if len(bytes.Trim(rest, "\r\n")) > 0 {
			return malformedChunk("there are bytes behind the last chunk")
		}
		return io.EOF
	}
	if err := c.readTrailers(string(rest)); err != nil {
		return err
	}
	return io.EOF
}

// readTrailers splits "name:value" lines, however they end, and verifies their signature.
func (c *chunkReader) readTrailers(rest string) error {
	signature := ""
	canonical := ""
	for line := range strings.SplitSeq(rest, "\n") {
		line = strings.TrimRight(line, "\r")
		if line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		if !ok || name == "" || signature != "" {
			return malformedTrailer()
		}
		if name == "x-amz-trailer-signature" {
			signature = value
			continue
		}
		c.trailers = append(c.trailers, Field{name, value})
		canonical += name + ":" + value + "\n"
	}
	if c.key == nil {
		return nil
	}
	sum := sha256.Sum256([]byte(canonical))
	return c.link(algorithm+"-TRAILER", hex.EncodeToString(sum[:]), signature)
}

func malformedTrailer() error { return NewFault("s3.chunkReader.readTrailers", MalformedTrailer, "") }

// trailerChecksum returns the one checksum among the trailers, which must be of the announced algorithm.
func (c *chunkReader) trailerChecksum(a Algorithm) ([]byte, error) {
	const op = "s3.chunkReader.trailerChecksum"
	if c == nil || len(c.trailers) != 1 || c.trailers[0].Name != a.Header() {
		return nil, malformedTrailer()
	}
	value, err := base64.StdEncoding.DecodeString(c.trailers[0].Value)
	if err != nil || len(value) != a.Size() {
		return nil, NewFault(op, InvalidRequest, "Value for "+a.Header()+" trailing header is invalid.")
	}
	return value, nil
}

// line reads one line of the framing without its CRLF.
func (c *chunkReader) line() (string, error) {
	line, err := c.r.ReadSlice('\n')
	if err == bufio.ErrBufferFull || len(line) > maxChunkLine {
		return "", malformedChunk("a chunk's head is too long")
	}
	if err != nil {
		return "", noEOF(err)
	}
	if len(line) < 2 || line[len(line)-2] != '\r' {
		return "", malformedChunk("a chunk's head does not end with CRLF")
	}
	return string(line[:len(line)-2]), nil
}
