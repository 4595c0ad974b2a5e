package httpd

import (
	"io"
	"os"
	"sync"
)

// Section is one run of bytes of a reply's body: either Bytes, or Length bytes of File from Offset.
//
// File sections are sent by sendfile(2) with an explicit offset: the file's own offset is neither used nor changed, so
// any number of replies may send from one descriptor at a time. Bytes stay valid until the next call of Next or Close.
type Section struct {
	Bytes  []byte
	File   *os.File
	Offset int64
	Length int64

	peer *peerBody // a relay's other side: Length bytes are spliced from its connection
}

// Size returns the number of bytes of the section.
func (s *Section) Size() int64 {
	if s.File != nil || s.peer != nil {
		return s.Length
	}
	return int64(len(s.Bytes))
}

// Body is the body of a reply as a sequence of sections. Next returns io.EOF after the last one; a section may come with
// io.EOF. An error breaks the connection, because the head with status and length is on its way. The server calls Close
// exactly once.
type Body interface {
	Next() (Section, error)
	Close() error
}

// FileBody returns a body of one section of f. Close closes f when owned is true.
func FileBody(f *os.File, offset, length int64, owned bool) Body {
	return &fileBody{file: f, offset: offset, length: length, owned: owned}
}

type fileBody struct {
	file           *os.File
	offset, length int64
	owned, sent    bool
}

func (b *fileBody) Next() (Section, error) {
	if b.sent {
		return Section{}, io.EOF
	}
	b.sent = true
	return Section{File: b.file, Offset: b.offset, Length: b.length}, nil
}

func (b *fileBody) Close() error {
	if b.owned {
		return b.file.Close()
	}
	return nil
}

// ended reports whether a reader or a Body has said that it is at its end. A wrapped io.EOF says that something else ended:
// a failure.
func ended(err error) bool { return err == io.EOF } //nolint:errorlint // see above

// readerBufferSize is the size of the pooled buffers that carry bodies from readers.
const readerBufferSize = 128 << 10

var readerBuffers = sync.Pool{New: func() any { b := make([]byte, readerBufferSize); return &b }}

// ReaderBody returns a body that sends what r reads, through a pooled buffer. Close closes r when it is an io.Closer.
func ReaderBody(r io.Reader) Body { return &readerBody{r: r} }

type readerBody struct {
	r   io.Reader
	buf *[]byte
}

func (b *readerBody) Next() (Section, error) {
	if b.buf == nil {
		b.buf = readerBuffers.Get().(*[]byte)
	}
	for {
		n, err := b.r.Read(*b.buf)
		if n > 0 || err != nil {
			return Section{Bytes: (*b.buf)[:n]}, err
		}
	}
}

func (b *readerBody) Close() error {
	if b.buf != nil {
		readerBuffers.Put(b.buf)
		b.buf = nil
	}
	if c, ok := b.r.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// NewBodyReader returns a reader of a reply's body, for code that needs the bytes within the process: copying an object,
// tests. Closing it closes the body.
func NewBodyReader(body Body) io.ReadCloser { return &bodyReader{body: body} }

type bodyReader struct {
	body    Body
	section Section
	err     error
}

func (r *bodyReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for r.section.Size() == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.section, r.err = r.body.Next()
	}
	return r.section.read(p)
}

// read takes bytes off the front of the section.
func (s *Section) read(p []byte) (n int, err error) {
	switch {
	case s.File != nil:
		p = p[:min(int64(len(p)), s.Length)]
		n, err = s.File.ReadAt(p, s.Offset)
		s.Offset += int64(n)
	case s.peer != nil:
		p = p[:min(int64(len(p)), s.Length)]
		n, err = s.peer.p.src.Read(p)
		s.peer.left -= int64(n)
	default:
		n = copy(p, s.Bytes)
		s.Bytes = s.Bytes[n:]
		return n, nil
	}
	s.Length -= int64(n)
	switch {
	case n > 0:
		return n, nil
	case err == nil || ended(err):
		return 0, io.ErrUnexpectedEOF
	default:
		return 0, err
	}
}

func (r *bodyReader) Close() error { return r.body.Close() }
