package httpd

import (
	"io"
	"strconv"
	"sync/atomic"
	"time"
)

// sender sends the body of a request to a peer while another goroutine waits for the reply.
type sender struct {
	p    *peer
	body io.Reader
	done chan struct{} // closed when the goroutine has ended

	stopping atomic.Bool // the reply is there, or will not come
	whole    bool        // the body was sent to its end; valid after done
	bodyErr  error       // why the body failed, unless stop made it fail; valid after done
}

// startSender begins to send; stop must be called.
func (p *peer) startSender(body io.Reader) *sender {
	s := &sender{p: p, body: body, done: make(chan struct{})}
	length := p.out.length
	go func() {
		defer close(s.done)
		s.run(length)
	}()
	return s
}

// run copies the body. When the body fails it ends the connection, because the peer must not take it for whole.
func (s *sender) run(length int64) {
	buf := readerBuffers.Get().(*[]byte)
	defer readerBuffers.Put(buf)
	room := (*buf)[chunkHeadRoom : len(*buf)-2]
	for left := length; left != 0; {
		part := room
		if left > 0 {
			part = room[:min(int64(len(room)), left)]
		}
		n, err := s.body.Read(part)
		if n > 0 {
			if s.write(*buf, n, length < 0) != nil {
				return // the peer may have answered: whoever reads the reply will see
			}
			left = max(left-int64(n), min(left, 0))
		}
		switch {
		case ended(err) && left < 0:
			s.whole = s.writeAll([]byte("0\r\n\r\n")) == nil
			return
		case ended(err) && left > 0:
			s.fail(io.ErrUnexpectedEOF)
			return
		case err != nil && !ended(err):
			s.fail(err)
			return
		}
	}
	s.whole = true
}

// fail ends the connection for an error of the body, unless stop caused it.
func (s *sender) fail(err error) {
	if !s.stopping.Load() {
		s.bodyErr = err
		s.p.nc.Close()
	}
}

// chunkHeadRoom is what a chunk's size line takes, before its data.
const chunkHeadRoom = 8

// write sends n bytes of body that lie in buf from chunkHeadRoom on, as a chunk when asked.
func (s *sender) write(buf []byte, n int, chunked bool) error {
	if !chunked {
		return s.writeAll(buf[chunkHeadRoom : chunkHeadRoom+n])
	}
	head := append(strconv.AppendInt(make([]byte, 0, chunkHeadRoom), int64(n), 16), '\r', '\n')
	start := chunkHeadRoom - len(head)
	copy(buf[start:], head)
	end := chunkHeadRoom + n + copy(buf[chunkHeadRoom+n:], "\r\n")
	return s.writeAll(buf[start:end])
}

func (s *sender) writeAll(p []byte) error {
	for len(p) > 0 {
		began := s.p.wpace.before()
		n, err := s.p.nc.Write(p)
		if err := s.p.wpace.after(began, n, err); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// stop ends the sending, once the reply is there or will not come, and returns when nothing reads the body any more.
func (s *sender) stop() {
	select {
	case <-s.done:
		return
	default:
	}
	s.stopping.Store(true)
	_ = s.p.nc.SetWriteDeadline(time.Unix(1, 0)) // on a closed connection the write ends anyway
	switch body := s.body.(type) {
	case *requestBody:
		body.interrupt()
	case io.Closer:
		_ = body.Close() // only to end a Read
	}
	<-s.done
	s.p.wpace.disarm() // the connection is used again when the body was whole by then
}
