package httpd

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

// pipeSize is what a relay's pipe should hold; the kernel may give less.
const pipeSize = 1 << 20

// pipe carries bytes from one socket to another within the kernel: what a node sent by sendfile stays in its pages all the
// way. It is empty between transfers.
type pipe struct {
	r, w int
	size int
}

// takePipe returns a pipe of the server's, or a new one, or nil when there are no descriptors left.
func (s *Server) takePipe() *pipe {
	select {
	case p := <-s.pipes:
		return p
	default:
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		return nil
	}
	p := &pipe{r: fds[0], w: fds[1], size: 64 << 10}
	if n, err := unix.FcntlInt(uintptr(p.w), unix.F_SETPIPE_SZ, pipeSize); err == nil {
		p.size = n
	}
	return p
}

// givePipe keeps a pipe for the next transfer, or closes it when there are enough or it is not empty.
func (s *Server) givePipe(p *pipe, empty bool) {
	if empty && !s.isStopping() {
		select {
		case s.pipes <- p:
			return
		default:
		}
	}
	p.close()
}

func (p *pipe) close() {
	// Errors cannot matter: nothing is in the pipe that anyone waits for.
	_ = unix.Close(p.r)
	_ = unix.Close(p.w)
}

// closePipes closes those kept.
func (s *Server) closePipes() {
	for {
		select {
		case p := <-s.pipes:
			p.close()
		default:
			return
		}
	}
}

// splicing is the state of a transfer through a pipe.
type splicing struct {
	pipe  *pipe
	want  int // bytes to move into the pipe, or out of it
	more  bool
	moved int
	err   error
}

// splice moves a section from the connection of another node to this one.
func (w *writer) splice(s *Section) error {
	p := w.srv.takePipe()
	if p == nil {
		return w.sendByReading(s, false)
	}
	w.through.pipe = p
	inside := 0
	defer func() { w.srv.givePipe(p, inside == 0) }()
	from := s.peer.p
	for s.Length > 0 {
		n, err := w.spliceIn(from, int(min(s.Length, int64(p.size))))
		inside = n
		if err != nil {
			return err
		}
		s.Length -= int64(n)
		s.peer.left -= int64(n)
		for inside > 0 {
			n, err := w.spliceOut(inside, s.Length > 0)
			if err != nil {
				return err
			}
			inside -= n
			w.bodyBytes += int64(n)
		}
	}
	return nil
}

// spliceIn waits for bytes of the peer and moves them into the empty pipe.
func (w *writer) spliceIn(from *peer, want int) (int, error) {
	t := &w.through
	t.want, t.moved = want, 0
	began := from.src.pace.before()
	err := from.raw.Read(w.spliceInStep)
	if err == nil {
		err = t.err
	}
	if err == nil && t.moved == 0 {
		err = io.ErrUnexpectedEOF
	}
	return t.moved, from.src.pace.after(began, t.moved, err)
}

// spliceOut moves bytes from the pipe to the client.
func (w *writer) spliceOut(want int, more bool) (int, error) {
	t := &w.through
	t.want, t.moved, t.more = want, 0, more
	began := w.pace.before()
	err := w.raw.Write(w.spliceOutStep)
	if err == nil {
		err = t.err
	}
	return t.moved, w.pace.after(began, t.moved, err)
}

func (w *writer) trySpliceIn(fd uintptr) bool {
	return w.through.try(int(fd), w.through.pipe.w, 0)
}

func (w *writer) trySpliceOut(fd uintptr) bool {
	flags := 0
	if w.through.more {
		flags = unix.SPLICE_F_MORE
	}
	return w.through.try(w.through.pipe.r, int(fd), flags)
}

// try makes one call of splice and returns false when the socket is not ready. The pipe always is.
func (t *splicing) try(from, to, flags int) bool {
	n, err := unix.Splice(from, nil, to, nil, t.want, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK|flags)
	if errors.Is(err, unix.EAGAIN) {
		return false
	}
	if errors.Is(err, unix.EINTR) {
		n, err = 0, nil
	}
	t.moved, t.err = int(max(n, 0)), err
	return true
}
