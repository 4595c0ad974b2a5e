package httpd

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"
)

const (
	joinLimit   = 2 << 10   // bodies up to this are copied behind the head; larger ones go beside it by writev
	writeSlice  = 256 << 10 // of memory, written at a time
	tlsSlice    = 32 << 10  // a TLS write that misses its deadline breaks the connection, so it must be short
	fileSlice   = 8 << 20   // of a file, handed to sendfile at a time
	filesToRead = 16 << 10  // file sections up to this are read and sent with the head: one system call less
)

// replyFraming says how the reply is framed on the connection.
type replyFraming struct{ keepAlive, http10 bool }

// firstSection is the begin of a streamed body.
type firstSection struct {
	section Section
	last    bool // Next has said io.EOF with it
}

// writer sends replies on one connection.
type writer struct {
	srv  *Server
	nc   net.Conn
	tcp  *net.TCPConn
	raw  syscall.RawConn
	pace pace

	head      []byte
	status    int   // sent; 0 until the head is out
	bodyBytes int64 // sent
	vec       [2][]byte
	bufs      net.Buffers

	file          fileTransfer
	sendfileStep  func(fd uintptr) bool // w.trySendfile, made once
	headStep      func(fd uintptr) bool // w.trySendHead
	through       splicing
	spliceInStep  func(fd uintptr) bool // w.trySpliceIn
	spliceOutStep func(fd uintptr) bool // w.trySpliceOut
	headSent      int
	headErr       error
}

// sendsBody reports whether a reply of that status to req has its body sent.
func sendsBody(req *Request, status int) bool {
	return req.Method != http.MethodHead && status != http.StatusNoContent && status != http.StatusNotModified
}

// send sends the reply. The body goes out with the head where it can.
func (w *writer) send(req *Request, rep *Reply, first firstSection, f replyFraming) error {
	w.status, w.bodyBytes = 0, 0
	w.pace.reset()
	status := rep.StatusCode()
	if status < 200 || status > 599 {
		return cluster.Fail("cluster/httpd.send", "", cluster.KindOther, "a handler set status "+strconv.Itoa(status))
	}
	chunked := rep.kind == replyStream && rep.length < 0 && !f.http10
	w.buildHead(req, rep, status, chunked, f)
	var err error
	switch {
	case !sendsBody(req, status) || rep.kind == replyEmpty || rep.kind == replyLength:
		err = w.writeAll(w.head)
		w.noteHead(status, err)
	case rep.kind == replyBytes:
		err = w.writeWithHead(rep.bytes)
		w.noteHead(status, err)
	case chunked:
		err = w.sendChunks(rep, first, status)
	default:
		err = w.sendSections(rep, first, status)
	}
	return err
}

// noteHead notes that the head is out.
func (w *writer) noteHead(status int, err error) {
	if err == nil {
		w.status = status
	}
}

// buildHead writes the reply's head into w.head.
func (w *writer) buildHead(req *Request, rep *Reply, status int, chunked bool, f replyFraming) {
	b := append(w.head[:0], "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	b = append(b, fasthttp.StatusMessage(status)...)
	b = append(b, "\r\nDate: "...)
	b = append(b, w.srv.dates.at(time.Now())...)
	b = appendField(b, "Server", w.srv.o.ServerName)
	b = appendField(b, w.srv.o.RequestIDHeader, string(req.ID))
	for i := range rep.header.fields {
		if name := rep.header.fields[i].Name; !w.isServersOwn(name) && isToken(name) {
			b = appendField(b, name, rep.header.fields[i].Value)
		}
	}
	switch {
	case status == http.StatusNoContent || status == http.StatusNotModified:
	case chunked:
		b = append(b, "\r\nTransfer-Encoding: chunked"...)
	case rep.length >= 0:
		b = append(b, "\r\nContent-Length: "...)
		b = strconv.AppendInt(b, rep.length, 10)
	}
	switch {
	case !f.keepAlive:
		b = append(b, "\r\nConnection: close"...)
	case f.http10:
		b = append(b, "\r\nConnection: keep-alive"...)
	}
	w.head = append(b, "\r\n\r\n"...)
}

// isServersOwn reports whether a field is the server's to set.
func (w *writer) isServersOwn(name string) bool {
	switch len(name) {
	case len("Date"):
		return equalFold(name, "Date")
	case len("Server"):
		return equalFold(name, "Server")
	case len("Connection"): // as long as Keep-Alive
		return equalFold(name, "Connection") || equalFold(name, "Keep-Alive")
	case len("Content-Length"):
		return equalFold(name, "Content-Length")
	case len("Transfer-Encoding"):
		return equalFold(name, "Transfer-Encoding")
	}
	return len(name) == len(w.srv.o.RequestIDHeader) && equalFold(name, w.srv.o.RequestIDHeader)
}

// appendField appends CRLF and a field; bytes that would end the field early become blanks.
func appendField(b []byte, name, value string) []byte {
	b = append(b, '\r', '\n')
	b = append(b, name...)
	b = append(b, ':', ' ')
	if isPlain(value) {
		return append(b, value...)
	}
	for i := range len(value) {
		c := value[i]
		if c < ' ' && c != '\t' || c == 0x7f {
			c = ' '
		}
		b = append(b, c)
	}
	return b
}

// writeAll writes memory.
func (w *writer) writeAll(p []byte) error {
	limit := writeSlice
	if w.tcp == nil {
		limit = tlsSlice
	}
	for len(p) > 0 {
		began := w.pace.before()
		n, err := w.nc.Write(p[:min(len(p), limit)])
		if err := w.pace.after(began, n, err); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// writeWithHead sends the head and p, in one system call when p is not long.
func (w *writer) writeWithHead(p []byte) error {
	part := p[:min(len(p), writeSlice)]
	var err error
	switch {
	case len(p) <= joinLimit || w.tcp == nil && len(p) <= tlsSlice:
		part = p
		w.head = append(w.head, p...)
		err = w.writeAll(w.head)
	case w.tcp == nil:
		part = nil
		err = w.writeAll(w.head)
	default:
		err = w.writev(w.head, part)
	}
	if err == nil {
		err = w.writeAll(p[len(part):])
	}
	if err == nil {
		w.bodyBytes += int64(len(p))
	}
	return err
}

// writev writes two runs of memory with one system call.
func (w *writer) writev(head, p []byte) error {
	w.vec = [2][]byte{head, p}
	w.bufs = w.vec[:]
	defer func() { w.vec = [2][]byte{} }()
	for len(w.bufs) > 0 {
		began := w.pace.before()
		n, err := w.bufs.WriteTo(w.tcp)
		if err := w.pace.after(began, int(n), err); err != nil {
			return err
		}
	}
	return nil
}

// sendSections sends a body of known length (or, to HTTP/1.0, until the connection ends).
func (w *writer) sendSections(rep *Reply, first firstSection, status int) error {
	left := rep.length
	bounded := left >= 0
	headDue := true
	for s := first; ; {
		size := s.section.Size()
		if bounded && size > left {
			return errBodyTooLong
		}
		left -= size
		if err := w.sendSection(&s.section, headDue, s.last || bounded && left == 0); err != nil {
			return err
		}
		if headDue {
			headDue, w.status = false, status
		}
		if s.last || bounded && left == 0 {
			break
		}
		var err error
		s.section, err = rep.body.Next()
		if ended(err) {
			s.last = true
		} else if err != nil {
			return err
		}
	}
	if bounded && left > 0 {
		return errBodyTooShort
	}
	return nil
}

var (
	errBodyTooLong  = cluster.Fail("cluster/httpd.send", "", cluster.KindOther, "the reply's body is longer than was said")
	errBodyTooShort = cluster.Fail("cluster/httpd.send", "", cluster.KindOther, "the reply's body is shorter than was said")
)

// sendSection sends a section, and the head before it when it is due.
func (w *writer) sendSection(s *Section, headDue, last bool) error {
	switch {
	case s.peer != nil && w.tcp != nil:
		if headDue {
			if err := w.sendHead(); err != nil {
				return err
			}
		}
		return w.splice(s)
	case s.File != nil && w.tcp != nil && (s.Length > filesToRead || !headDue || !last):
		if headDue {
			if err := w.sendHead(); err != nil {
				return err
			}
		}
		return w.sendFile(s)
	case s.File != nil || s.peer != nil:
		return w.sendByReading(s, headDue)
	case headDue:
		return w.writeWithHead(s.Bytes)
	}
	err := w.writeAll(s.Bytes)
	if err == nil {
		w.bodyBytes += int64(len(s.Bytes))
	}
	return err
}

// sendByReading sends a section through a buffer: under TLS, and small files together with the head.
func (w *writer) sendByReading(s *Section, headDue bool) error {
	buf := readerBuffers.Get().(*[]byte)
	defer readerBuffers.Put(buf)
	for headDue || s.Size() > 0 {
		n := 0
		for n < len(*buf) && s.Size() > 0 {
			m, err := s.read((*buf)[n:])
			if err != nil {
				return err
			}
			n += m
		}
		var err error
		if headDue {
			err = w.writeWithHead((*buf)[:n])
		} else if err = w.writeAll((*buf)[:n]); err == nil {
			w.bodyBytes += int64(n)
		}
		if err != nil {
			return err
		}
		headDue = false
	}
	return nil
}

// sendHead sends the head alone and tells the kernel that more follows, so that both share a packet.
func (w *writer) sendHead() error {
	for w.headSent = 0; w.headSent < len(w.head); {
		began, before := w.pace.before(), w.headSent
		err := w.raw.Write(w.headStep)
		if err == nil {
			err = w.headErr
		}
		if err := w.pace.after(began, w.headSent-before, err); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) trySendHead(fd uintptr) bool {
	n, err := unix.SendmsgN(int(fd), w.head[w.headSent:], nil, nil, unix.MSG_MORE|unix.MSG_NOSIGNAL)
	if err == unix.EAGAIN {
		return false
	}
	if err == unix.EINTR {
		n, err = 0, nil
	}
	w.headErr = err
	w.headSent += max(n, 0)
	return true
}

// fileTransfer is the state of a sendfile that may take several calls.
type fileTransfer struct {
	fd     int
	offset int64
	left   int64
	moved  int
	err    error
}

// sendFile sends a file section by sendfile(2), in slices, with a fresh deadline whenever there was progress.
func (w *writer) sendFile(s *Section) error {
	w.file = fileTransfer{fd: int(s.File.Fd()), offset: s.Offset, left: s.Length}
	for w.file.left > 0 {
		began := w.pace.before()
		w.file.moved = 0
		err := w.raw.Write(w.sendfileStep)
		if err == nil {
			err = w.file.err
		}
		w.bodyBytes += int64(w.file.moved)
		w.srv.sent.Add(int64(w.file.moved))
		if err := w.pace.after(began, w.file.moved, err); err != nil {
			return fileError(s.File, err)
		}
	}
	return nil
}

// trySendfile makes one call of sendfile; it returns false when the socket takes nothing now.
func (w *writer) trySendfile(fd uintptr) bool {
	t := &w.file
	n, err := unix.Sendfile(int(fd), t.fd, &t.offset, int(min(t.left, fileSlice)))
	switch {
	case err == unix.EAGAIN:
		return false
	case err == unix.EINTR:
		return true
	case err == nil && n == 0:
		err = io.ErrUnexpectedEOF
	}
	if n > 0 {
		t.left -= int64(n)
		t.moved = n
	}
	t.err = err
	return true
}

// fileError names the file when it, and not the connection, is short.
func fileError(f *os.File, err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return cluster.E("cluster/httpd.sendFile", f.Name(), cluster.KindCorrupt, err)
	}
	return err
}

// sendChunks sends a body of unknown length in chunks.
func (w *writer) sendChunks(rep *Reply, first firstSection, status int) error {
	for s := first; ; {
		if s.section.Size() > 0 {
			if err := w.sendChunk(&s.section, status); err != nil {
				return err
			}
		}
		if s.last {
			break
		}
		var err error
		s.section, err = rep.body.Next()
		if ended(err) {
			s.last = true
		} else if err != nil {
			return err
		}
	}
	err := w.writeAll(append(w.head, "0\r\n\r\n"...))
	w.noteHead(status, err)
	return err
}

// sendChunk sends a section as one chunk; w.head holds what is to go before it and gets what is to go after it.
func (w *writer) sendChunk(s *Section, status int) error {
	w.head = strconv.AppendInt(w.head, s.Size(), 16)
	w.head = append(w.head, '\r', '\n')
	if err := w.sendSection(s, true, false); err != nil {
		return err
	}
	w.status = status
	w.head = append(w.head[:0], '\r', '\n')
	return nil
}
