package store

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/aisle-store/aisle/target/internal/ec"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// laneStall is how long a holder may take no bytes of a body, or take to make them durable, before the write goes on without
// it: it gets the bytes later, or is taken out of the slot.
const laneStall = 5 * time.Second

var errStalled = errors.New("the holder took no bytes for too long")

// staging sends a body to the other holders of its slot. One that lies in memory until it is sealed goes to them then, at once and from
// there, while it is made durable here. Any other goes while the owner receives it, and nothing of it is buffered: who is slow slows the body down.
type staging struct {
	store  *Store
	ctx    context.Context // of the calls
	cancel context.CancelFunc
	lanes  []*lane
	work   sync.WaitGroup
	late   bool   // the body goes when it is whole
	crc    uint32 // of a body that goes whole to all
	size   int64
	full   error // a holder in sync has no space: the write cannot be made
}

// lane is one holder's part of a staging.
type lane struct {
	to      cluster.NodeID
	inSync  bool
	shard   uint8 // that the holder gets; 0 for all when a body goes whole to all
	request StageRequest
	in      *io.PipeWriter // nil: the body goes when it is whole
	out     *io.PipeReader
	stall   *time.Timer
	crc     uint32 // of what was sent
	size    int64
	footer  []byte // set before the body ends
	staged  Staged
	err     error // of the write side; of the call once work is done
	failed  bool
}

// stageBody begins to send a body, or the shards of one, to the other holders of a slot; nil when there are none. Each gets
// size bytes; -1: unknown. late says that the body is given to end when it is whole.
func (s *Store) stageBody(ctx context.Context, m *cluster.Map, n name, coding *meta.Coding, size int64, late bool) *staging {
	st := m.Slot(n.slot())
	if len(st.Holders) < 2 || st.Owner() != s.o.Node {
		return nil
	}
	g := &staging{store: s, late: late}
	g.ctx, g.cancel = context.WithCancel(ctx)
	for _, h := range st.Holders[1:] {
		if coding != nil && int(h.Shard) >= coding.Data+coding.Parity {
			continue
		}
		l := &lane{to: h.Node, inSync: h.InSync, shard: h.Shard}
		l.request = StageRequest{
			Sender: s.sender(m, h.Node), Bucket: n.bucket.ID, Key: n.key, Size: size,
			Footer: func() ([]byte, error) { return l.footer, nil },
		}
		g.lanes = append(g.lanes, l)
		if !late {
			g.begin(l)
		}
	}
	return g
}

// begin sends to a holder what is written to its lane from now on.
func (g *staging) begin(l *lane) {
	l.out, l.in = io.Pipe()
	l.stall = time.AfterFunc(laneStall, func() { l.out.CloseWithError(errStalled) })
	l.request.Body = l.out
	g.work.Go(func() {
		staged, err := g.store.peers.Stage(g.ctx, l.to, &l.request)
		l.out.CloseWithError(errors.Join(err, io.ErrClosedPipe)) // nobody takes any more
		l.staged, l.err = staged, err
	})
}

// send sends a whole body, in pieces that stay where they are until work is done, to every holder.
func (g *staging) send(pieces [][]byte) {
	for _, p := range pieces {
		g.crc = crc32.Update(g.crc, castagnoli, p)
		g.size += int64(len(p))
	}
	for _, l := range g.lanes {
		l.crc, l.size = g.crc, g.size
		body := net.Buffers(slices.Clone(pieces))
		l.request.Body = &body
		g.work.Go(func() { l.staged, l.err = g.store.peers.Stage(g.ctx, l.to, &l.request) })
	}
}

// sender is this node as the sender of a message to another.
func (s *Store) sender(m *cluster.Map, to cluster.NodeID) Sender {
	n, _ := m.Node(to)
	return Sender{Node: s.o.Node, Version: m.Version, Incarnation: n.Incarnation}
}

// tee returns a reader that gives every lane what it reads.
func (g *staging) tee(r io.Reader) io.Reader { return &tee{r: r, staging: g} }

type tee struct {
	r       io.Reader
	staging *staging
}

func (t *tee) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.staging.write(p[:n])
	if full := t.staging.full; full != nil {
		return 0, full
	}
	return n, err
}

func (g *staging) write(p []byte) {
	if len(p) == 0 {
		return
	}
	g.crc = crc32.Update(g.crc, castagnoli, p)
	g.size += int64(len(p))
	for _, l := range g.lanes {
		l.crc, l.size = g.crc, g.size
		g.writeTo(l, p)
	}
}

// writeShard sends a block of a shard to whoever keeps it.
func (g *staging) writeShard(shard int, p []byte) {
	for _, l := range g.lanes {
		if int(l.shard) == shard {
			l.crc = crc32.Update(l.crc, castagnoli, p)
			l.size += int64(len(p))
			g.writeTo(l, p)
		}
	}
}

func (g *staging) writeTo(l *lane, p []byte) {
	if l.failed {
		return
	}
	l.stall.Reset(laneStall)
	if _, err := l.in.Write(p); err != nil {
		l.failed = true
		g.refuse(l, err)
	}
	l.stall.Stop()
}

// refuse ends the write when a holder that must have it has no space: nothing is prepared yet, so it has not happened.
func (g *staging) refuse(l *lane, err error) {
	if g.full == nil && l.inSync && cluster.Is(err, cluster.KindNoSpace) {
		g.full = cluster.E("target/store.stage", string(l.to), cluster.KindNoSpace, err)
	}
}

// abort ends the lanes without their bytes. After finish it does nothing, so it can be deferred.
func (g *staging) abort() {
	for _, l := range g.lanes {
		if l.in != nil {
			l.stall.Stop()
			l.in.CloseWithError(io.ErrUnexpectedEOF)
		}
	}
	g.cancel()
	g.work.Wait()
}

// end tells the lanes that the body has ended, and with which record, or sends it: whole is asked for a body that goes now. It may not be in memory
// after all; then the holders get it when they miss it. finish must follow.
func (g *staging) end(footer func(shard uint8) ([]byte, error), whole func() [][]byte) error {
	for _, l := range g.lanes {
		var err error
		if l.footer, err = footer(l.shard); err != nil {
			return err
		}
		if l.in != nil {
			l.in.Close()
		}
	}
	if !g.late {
		return nil
	}
	if pieces := whole(); pieces != nil {
		g.send(pieces)
	}
	return nil
}

// sent are bytes that are durable at another holder.
type sent struct {
	token Token
	shard uint8
}

// finish waits for the lanes and returns what is durable at other holders.
func (g *staging) finish() map[cluster.NodeID]sent {
	late := time.AfterFunc(laneStall, g.cancel)
	g.work.Wait()
	late.Stop()
	g.cancel()
	tokens := make(map[cluster.NodeID]sent, len(g.lanes))
	for _, l := range g.lanes {
		g.refuse(l, l.err)
		if l.size > 0 && !l.failed && l.err == nil && l.staged.Length == l.size && l.staged.Sum == l.crc {
			tokens[l.to] = sent{l.staged.Token, l.shard}
		}
	}
	return tokens
}

// outlet is where a body goes: here, and to the other holders of its slot.
type outlet struct {
	w      *disk.Writer // nil: none of the bytes are for this node
	others *staging     // nil: there are none
	coding *meta.Coding // of this node; nil: the bytes go whole to all
	code   *ec.Code
}

// outlet begins to take in a body. abort must follow.
func (s *Store) outlet(ctx context.Context, m *mountpath, n name, src *source, size int64, seal *encrypter) (o *outlet, err error) {
	o = &outlet{}
	if s.council != nil {
		if o.coding, size, err = s.codingOf(n, src, size); err != nil {
			return nil, err
		}
	}
	size = seal.stored(size)
	here := size
	if c := o.coding; c != nil {
		if o.code, err = s.codes.of(c); err != nil {
			return nil, err
		}
		if here >= 0 {
			here = o.code.ShardLength(size)
		}
	}
	if o.coding == nil || o.coding.Shard < o.coding.Data+o.coding.Parity {
		if o.w, err = m.disk.Create(ctx, here); err != nil {
			return nil, err
		}
	} else if err := m.disk.CheckSpace(0); err != nil {
		return nil, err
	}
	if s.council != nil {
		late := o.coding == nil && o.w.Holds()
		o.others = s.stageBody(ctx, s.council.Map(), n, o.coding, here, late)
	}
	return o, nil
}

// codingOf says how a body is cut into shards, and how long it is when that had to be found out.
func (s *Store) codingOf(n name, src *source, size int64) (*meta.Coding, int64, error) {
	m := s.council.Map()
	if layoutOf(m, n.bucket.ID).Data == 0 {
		return nil, size, nil
	}
	h, holds := m.Slot(n.slot()).Holder(s.o.Node)
	if !holds {
		return nil, size, cluster.Fail("", "", cluster.KindUnavailable, "this node does not hold the slot any more")
	}
	if size < 0 && s.o.ShardMin >= 0 {
		if err := src.gather(int(s.o.ShardMin), &size); err != nil {
			return nil, size, err
		}
	}
	return s.coding(m, n.bucket.ID, size >= 0 && size <= s.o.ShardMin, h.Shard), size, nil
}

// take takes the body in.
func (o *outlet) take(src io.Reader) error {
	switch {
	case o.coding != nil:
		_, err := o.code.Encode(src, o.put)
		return err
	case o.others != nil && !o.others.late:
		src = o.others.tee(src)
	}
	_, err := io.Copy(o.w, src)
	return err
}

// put takes a block of a shard.
func (o *outlet) put(shard int, block []byte) error {
	if o.others != nil {
		if o.others.writeShard(shard, block); o.others.full != nil {
			return o.others.full
		}
	}
	if o.w == nil || shard != o.coding.Shard {
		return nil
	}
	_, err := o.w.Write(block)
	return err
}

// abort drops the bytes unless they were sealed.
func (o *outlet) abort() {
	if o.others != nil {
		o.others.abort()
	}
	if o.w != nil {
		o.w.Abort()
		o.w.Return()
	}
}

// seal makes the bytes durable, with a record beside them.
func (o *outlet) seal(ctx context.Context, b *body, record *meta.Record) error {
	footer, err := meta.EncodeFooter(record)
	if err != nil {
		return err
	}
	if o.others != nil {
		err = o.others.end(func(shard uint8) ([]byte, error) {
			if o.coding == nil {
				return footer, nil
			}
			return meta.EncodeFooter(asHolder(record, shard))
		}, func() [][]byte { return o.w.Lend() })
		if err != nil {
			return err
		}
	}
	if o.w != nil {
		if b.place, err = o.w.Seal(ctx, footer); err != nil {
			return err
		}
	}
	if o.others != nil {
		b.tokens = o.others.finish()
		if o.others.full != nil {
			return o.others.full
		}
	}
	return o.enough(b)
}

// enough returns nil when what is durable now is enough to make every shard.
func (o *outlet) enough(b *body) error {
	if o.coding == nil || b.size == 0 {
		return nil
	}
	durable := make(map[int]bool)
	if o.w != nil {
		durable[o.coding.Shard] = true
	}
	for _, at := range b.tokens {
		durable[int(at.shard)] = true
	}
	if len(durable) < o.coding.Data {
		return cluster.Fail("", "", cluster.KindUnavailable, fmt.Sprintf("only %d of at least %d shards were taken", len(durable), o.coding.Data))
	}
	return nil
}
