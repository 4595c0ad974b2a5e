package replica

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"

	"github.com/aisle-store/aisle/cluster"
)

// A staged body travels in frames, since neither its length nor the record beside it is known when it begins: four bytes of
// length, big endian, and that many bytes. A frame of no bytes ends the body; one more frame is the record, and without it
// the body is not whole.

const (
	frameHead = 4
	maxFrame  = 1 << 20
	maxFooter = 4 << 20
)

// frames makes frames of a body: what is read of it is what is sent.
type frames struct {
	body   io.Reader
	footer func() ([]byte, error)
	tail   []byte // what is left to send behind the body
	ended  bool
}

// Read implements io.Reader.
func (f *frames) Read(p []byte) (int, error) {
	for !f.ended {
		if len(p) <= frameHead {
			return 0, io.ErrShortBuffer
		}
		n, err := f.body.Read(p[frameHead:min(len(p), maxFrame+frameHead)])
		if n > 0 {
			binary.BigEndian.PutUint32(p, uint32(n))
			return n + frameHead, nil
		}
		if err == io.EOF {
			footer, err := f.footer()
			if err != nil {
				return 0, err
			}
			f.tail = binary.BigEndian.AppendUint32(make([]byte, frameHead, 2*frameHead+len(footer)), uint32(len(footer)))
			f.tail = append(f.tail, footer...)
			f.ended = true
		} else if err != nil {
			return 0, err
		}
	}
	if len(f.tail) == 0 {
		return 0, io.EOF
	}
	n := copy(p, f.tail)
	f.tail = f.tail[n:]
	return n, nil
}

// Close ends a Read that waits: the receiver has answered before the end.
func (f *frames) Close() error {
	if c, ok := f.body.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// inFrames makes frames of a body that lies in memory: one of each piece, without copying it.
func inFrames(pieces net.Buffers, footer func() ([]byte, error)) (all *net.Buffers, length int64, err error) {
	text, err := footer()
	if err != nil {
		return nil, 0, err
	}
	framed := make(net.Buffers, 0, 2*len(pieces)+2)
	heads := make([]byte, 0, frameHead*(len(pieces)+2))
	add := func(pieces ...[]byte) {
		for _, p := range pieces {
			framed = append(framed, p)
			length += int64(len(p))
		}
	}
	head := func(n int) []byte {
		heads = binary.BigEndian.AppendUint32(heads, uint32(n))
		return heads[len(heads)-frameHead:]
	}
	for _, p := range pieces {
		for len(p) > 0 {
			n := min(len(p), maxFrame)
			add(head(n), p[:n])
			p = p[n:]
		}
	}
	add(head(0), head(len(text)), text)
	return &framed, length, nil
}

// unframed is the body within frames. It reads from a connection's buffer, so heads cost nothing.
type unframed struct {
	in   io.Reader
	left int // of the frame
	end  bool
}

func newUnframed(r io.Reader) *unframed { return &unframed{in: r} }

// Read implements io.Reader.
func (u *unframed) Read(p []byte) (int, error) {
	if u.left == 0 && !u.end {
		n, err := u.head(maxFrame)
		if err != nil {
			return 0, err
		}
		u.left, u.end = n, n == 0
	}
	if u.end {
		return 0, io.EOF
	}
	n, err := u.in.Read(p[:min(len(p), u.left)])
	u.left -= n
	return n, unexpected(err)
}

func (u *unframed) head(limit int) (int, error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(u.in, head[:]); err != nil {
		return 0, unexpected(err)
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > uint32(limit) {
		return 0, cluster.Fail("target/replica.unframed", "", cluster.KindInvalid, fmt.Sprintf("a frame of %d bytes", n))
	}
	return int(n), nil
}

// footer returns the frame behind the body, which must have ended.
func (u *unframed) footer() ([]byte, error) {
	n, err := u.head(maxFooter)
	if err != nil {
		return nil, err
	}
	footer := make([]byte, n)
	_, err = io.ReadFull(u.in, footer)
	return footer, unexpected(err)
}

// unexpected: the stream must not end where it is read.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
