package httpd

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

const (
	peerBufferSize = 128 << 10   // of a connection in use; it bounds the head of a reply
	spliceFrom     = 256 << 10   // replies with more than this are moved by splice(2)
	lastWords      = time.Second // for the answer of a peer to which the request could not be written whole
)

// peerReaders are the readers of connections in use: idle ones need none.
var peerReaders = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, peerBufferSize) }}

// peer is one connection to another node. It carries one exchange at a time.
type peer struct {
	client *Client
	addr   string
	nc     net.Conn
	raw    syscall.RawConn
	src    source
	br     *bufio.Reader // during an exchange
	wpace  pace
	buf    []byte      // the head that is sent
	whole  [1][]byte   // a body that lies in one piece
	vec    [][]byte    // head and body, sent at once
	bufs   net.Buffers // over vec
	since  time.Time   // idle since

	out     outHead
	cut     func()      // closes nc; made once
	unwatch func() bool // ends the watch over the exchange's context
	broken  bool        // not to be used again
}

// outHead is what the head of a request to a peer is made of.
type outHead struct {
	method, target, query, host string
	hasQuery                    bool
	header                      *Header
	extra                       []Field
	length                      int64
	expect                      bool
}

func newPeer(c *Client, addr string, nc *net.TCPConn) *peer {
	p := &peer{client: c, addr: addr, nc: nc}
	p.cut = func() { nc.Close() }
	p.raw, _ = nc.SyscallConn() // fails only on a nil connection
	p.src = source{nc: nc, inBody: true, pace: pace{set: nc.SetReadDeadline, stall: c.o.StallTimeout}}
	p.wpace = pace{set: nc.SetWriteDeadline, stall: c.o.StallTimeout}
	return p
}

// replyFrame says how a peer's reply goes on after its head.
type replyFrame struct {
	status int
	length int64 // of the body, as told; -1 when unknown
	noBody bool  // of HEAD, 204, 304
	chunks bool
	close  bool // the connection ends with it
}

// exchange sends the request p.out and reads the head of the reply into h. A body that is kept in memory goes with the head;
// any other is sent by a goroutine of its own, while this one waits for the reply, so an early one is seen at once.
func (p *peer) exchange(ctx context.Context, body io.Reader, kept [][]byte, h *Header) (replyFrame, error) {
	p.broken = false
	p.br = peerReaders.Get().(*bufio.Reader)
	p.br.Reset(&p.src)
	p.unwatch = context.AfterFunc(ctx, p.cut)
	rf, err := p.send(body, kept, h)
	var own *bodyError
	switch {
	case err == nil:
		return rf, nil
	case errors.As(err, &own):
	case ctx.Err() != nil:
		err = ctx.Err()
	case errors.Is(err, io.EOF):
		err = errors.New("the node closed the connection without a reply")
	}
	p.close()
	return rf, err
}

// close ends the connection and the exchange on it.
func (p *peer) close() {
	p.unwatch()
	p.freeReader()
	p.nc.Close()
}

// release ends the exchange and frees the connection for another, if the exchange left it fit.
func (p *peer) release() {
	fit := p.unwatch() && !p.broken && p.br.Buffered() == 0
	p.freeReader()
	if fit {
		p.client.give(p)
		return
	}
	p.nc.Close()
}

func (p *peer) freeReader() {
	p.br.Reset(nil)
	peerReaders.Put(p.br)
	p.br = nil
}

func (p *peer) send(body io.Reader, kept [][]byte, h *Header) (replyFrame, error) {
	p.wpace.reset()
	p.buildHead()
	if err := p.write(kept); err != nil {
		// The peer may have answered before it closed; its answer is in the receive buffer, or will never come.
		if rf, rerr := p.readHead(h, lastWords); rerr == nil {
			p.broken = true
			return rf, nil
		}
		return replyFrame{}, err
	}
	if body == nil {
		return p.readFinalHead(h)
	}
	if p.out.expect {
		rf, err := p.readHead(h, p.client.o.ReplyTimeout)
		if err != nil || rf.status != http.StatusContinue {
			p.broken = true // the peer may still wait for the body
			return rf, err
		}
	}
	s := p.startSender(body)
	rf, err := p.readFinalHead(h)
	s.stop()
	p.broken = !s.whole
	if err != nil && s.bodyErr != nil {
		err = &bodyError{s.bodyErr}
	}
	return rf, err
}

// buildHead writes the head of p.out into p.buf. A field that the client's Connection names goes too: the cluster is the
// client's server, whichever of its nodes answers, and a signed field must not get lost on the way to the owner.
func (p *peer) buildHead() {
	o := &p.out
	b := append(p.buf[:0], o.method...)
	b = append(b, ' ')
	b = append(b, o.target...)
	if o.hasQuery {
		b = append(append(b, '?'), o.query...)
	}
	b = append(b, " HTTP/1.1"...)
	b = appendField(b, "Host", o.host)
	for _, f := range o.header.fields {
		if !isHopByHop(f.Name) && !isNamed(o.extra, f.Name) {
			b = appendField(b, f.Name, f.Value)
		}
	}
	for _, f := range o.extra {
		b = appendField(b, f.Name, f.Value)
	}
	switch {
	case o.length < 0:
		b = append(b, "\r\nTransfer-Encoding: chunked"...)
	case o.length > 0 || o.method != http.MethodGet && o.method != http.MethodHead:
		b = append(b, "\r\nContent-Length: "...)
		b = strconv.AppendInt(b, o.length, 10)
	}
	if o.expect {
		b = append(b, "\r\nExpect: 100-continue"...)
	}
	p.buf = append(b, "\r\n\r\n"...)
}

// isHopByHop reports whether a field belongs to one connection, or is one that the client writes itself.
func isHopByHop(name string) bool {
	switch len(name) {
	case 2:
		return equalFold(name, "TE")
	case 4:
		return equalFold(name, "Host")
	case 6:
		return equalFold(name, "Expect")
	case 7:
		return equalFold(name, "Trailer") || equalFold(name, "Upgrade")
	case 10:
		return equalFold(name, "Connection") || equalFold(name, "Keep-Alive")
	case 14:
		return equalFold(name, "Content-Length")
	case 16:
		return equalFold(name, "Proxy-Connection")
	case 17:
		return equalFold(name, "Transfer-Encoding")
	case 19:
		return equalFold(name, "Proxy-Authorization")
	}
	return false
}

func isNamed(fields []Field, name string) bool {
	for i := range fields {
		if equalFold(fields[i].Name, name) {
			return true
		}
	}
	return false
}

// isOption reports whether a Connection field names another field as connection-level.
func isOption(connection, name string) bool {
	for option := range strings.SplitSeq(connection, ",") {
		if equalFold(trimBlanks(option), name) {
			return true
		}
	}
	return false
}

// write sends the head, and a kept body with it.
func (p *peer) write(kept [][]byte) error {
	if len(kept) == 0 {
		began := p.wpace.before()
		n, err := p.nc.Write(p.buf)
		return p.wpace.after(began, n, err)
	}
	p.vec = append(append(p.vec[:0], p.buf), kept...)
	p.bufs = p.vec
	defer func() {
		clear(p.vec)
		p.whole[0] = nil
	}()
	for len(p.bufs) > 0 {
		began := p.wpace.before()
		n, err := p.bufs.WriteTo(p.nc)
		if err := p.wpace.after(began, int(n), err); err != nil {
			return err
		}
	}
	return nil
}

// readFinalHead reads the reply's head, past interim ones.
func (p *peer) readFinalHead(h *Header) (replyFrame, error) {
	for {
		rf, err := p.readHead(h, p.client.o.ReplyTimeout)
		if err != nil || rf.status >= 200 {
			return rf, err
		}
	}
}

// readHead reads one head, for which it waits that long.
func (p *peer) readHead(h *Header, wait time.Duration) (replyFrame, error) {
	p.src.pace.reset()
	p.src.pace.stall = wait
	text, err := p.readHeadText()
	p.src.pace.stall = p.client.o.StallTimeout
	if err != nil {
		return replyFrame{}, err
	}
	line, fields, _ := strings.Cut(text, "\r\n")
	version, rest, _ := strings.Cut(line, " ")
	code, _, _ := strings.Cut(rest, " ")
	status, err := strconv.Atoi(code)
	if version != "HTTP/1.1" || err != nil || status < 100 || status > 599 {
		return replyFrame{}, fmt.Errorf("the node answered with a malformed status line %.40q", line)
	}
	h.fields = h.fields[:0]
	if err := parseFields(fields, h, 1000); err != nil {
		return replyFrame{}, notTheClients(err)
	}
	return p.frameReply(status, h)
}

// readHeadText returns the next head with its empty line, in one allocation.
func (p *peer) readHeadText() (string, error) {
	for want := 1; ; {
		if _, err := p.br.Peek(want); err != nil {
			return "", err
		}
		b, _ := p.br.Peek(p.br.Buffered())
		if end := bytes.Index(b, []byte("\r\n\r\n")); end >= 0 {
			text := string(b[:end+4])
			_, _ = p.br.Discard(end + 4) // it is in the buffer
			return text, nil
		}
		want = len(b) + 1
	}
}

// frameReply finds out how the reply goes on, and takes the fields away that belong to the connection.
func (p *peer) frameReply(status int, h *Header) (replyFrame, error) {
	rf := replyFrame{status: status, length: -1}
	told := false
	kept := h.fields[:0]
	for _, f := range h.fields {
		switch {
		case equalFold(f.Name, "Content-Length"):
			n, err := parseLength(f.Value)
			if err != nil || told {
				return rf, errors.New("the node answered with a malformed Content-Length")
			}
			rf.length, told = n, true
		case equalFold(f.Name, "Transfer-Encoding"):
			rf.chunks = true
		case equalFold(f.Name, "Connection"):
			rf.close = isOption(f.Value, "close")
		case equalFold(f.Name, "Keep-Alive"):
		default:
			kept = append(kept, f)
		}
	}
	h.fields = kept
	switch {
	case rf.chunks && told:
		return rf, errors.New("the node answered with both Content-Length and Transfer-Encoding")
	case p.out.method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified:
		rf.noBody = true
	case !rf.chunks && !told && status >= 200:
		rf.close = true // the body ends with the connection
	}
	return rf, nil
}

// reply returns the body of the reply whose head was read. Closing it frees the connection, for use again if it can be.
func (p *peer) reply(rf replyFrame) Body {
	b := &peerBody{p: p, left: rf.length}
	b.p.broken = b.p.broken || rf.close
	switch {
	case rf.noBody || rf.length == 0:
		b.left = 0
	case rf.chunks:
		b.chunks = &chunkReader{br: p.br}
	}
	return b
}

// peerBody is the body of a peer's reply.
type peerBody struct {
	p      *peer
	left   int64 // -1: until the connection ends, or of chunks
	chunks *chunkReader
	buf    *[]byte // of chunks
	ended  bool
}

// Next implements Body: small bodies come whole, straight from the connection's buffer; of long ones what is in the
// buffer, then the connection itself.
func (b *peerBody) Next() (Section, error) {
	switch {
	case b.left == 0 || b.ended:
		b.ended = true
		return Section{}, io.EOF
	case b.chunks != nil:
		return b.nextOfChunks()
	case b.left < 0:
		return b.nextOfUnknown()
	case b.left > spliceFrom && b.p.br.Buffered() == 0:
		b.ended = true
		return Section{peer: b, Length: b.left}, nil
	}
	want := min(b.left, int64(b.p.br.Size()))
	if b.left > spliceFrom {
		want = min(b.left, int64(b.p.br.Buffered()))
	}
	bytes, err := b.p.br.Peek(int(want))
	_, _ = b.p.br.Discard(len(bytes)) // they stay in the buffer until the next read
	b.left -= int64(len(bytes))
	return Section{Bytes: bytes}, b.broken(err)
}

// broken gives an error while the body is read its kind: the peer's fault, and a status when nothing was sent yet.
func (b *peerBody) broken(err error) error {
	if err == nil || b.ended {
		return err
	}
	return cluster.E("cluster/httpd.Relay", b.p.addr, cluster.KindUnavailable, notTheClients(truncated(err)))
}

// notTheClients takes the status off an error about the message of a node: whoever asked did nothing wrong.
func notTheClients(err error) error {
	var protocol *ProtocolError
	if errors.As(err, &protocol) {
		return errors.New("the node's answer is malformed: " + protocol.Reason)
	}
	return err
}

func (b *peerBody) nextOfChunks() (Section, error) {
	if b.buf == nil {
		b.buf = readerBuffers.Get().(*[]byte)
	}
	n, err := b.chunks.Read(*b.buf)
	b.ended = ended(err)
	return Section{Bytes: (*b.buf)[:n]}, b.broken(err)
}

// nextOfUnknown is for a body that ends with the connection.
func (b *peerBody) nextOfUnknown() (Section, error) {
	_, err := b.p.br.Peek(1)
	bytes, _ := b.p.br.Peek(b.p.br.Buffered())
	_, _ = b.p.br.Discard(len(bytes))
	b.ended = ended(err)
	return Section{Bytes: bytes}, b.broken(err)
}

// Close implements Body.
func (b *peerBody) Close() error {
	if b.buf != nil {
		readerBuffers.Put(b.buf)
		b.buf = nil
	}
	if p := b.p; p != nil {
		b.p = nil
		whole := b.left == 0 || b.chunks != nil && b.ended
		p.broken = p.broken || !whole
		p.release()
	}
	return nil
}
