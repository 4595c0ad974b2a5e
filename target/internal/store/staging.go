package store

import (
	"context"
	"errors"
	"hash/crc32"
	"io"
	"sync"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// laneStall is how long a holder may take no bytes of a body, or take to make them durable, before the write goes on without
// it: it gets the bytes later, or is taken out of the slot.
const laneStall = 5 * time.Second

var errStalled = errors.New("the holder took no bytes for too long")

// staging sends a body to the other holders of its slot while the owner receives it. Nothing is buffered: who is slow slows
// the body down.
type staging struct {
	lanes  []*lane
	work   sync.WaitGroup
	cancel context.CancelFunc
	crc    uint32
	size   int64
	footer []byte // set before the lanes' bodies end
	full   error  // a holder in sync has no space: the write cannot be made
}

// lane is one holder's part of a staging.
type lane struct {
	to     cluster.NodeID
	inSync bool
	in     *io.PipeWriter
	out    *io.PipeReader
	stall  *time.Timer
	staged Staged
	err    error // of the write side; of the call once work is done
	failed bool
}

// stageBody begins to send a body to the other holders of a slot; nil when there are none.
func (s *Store) stageBody(ctx context.Context, n name, size int64) *staging {
	if s.council == nil {
		return nil
	}
	m := s.council.Map()
	st := m.Slot(n.slot())
	if len(st.Holders) < 2 || st.Owner() != s.o.Node {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	g := &staging{cancel: cancel}
	for _, h := range st.Holders[1:] {
		l := &lane{to: h.Node, inSync: h.InSync}
		l.out, l.in = io.Pipe()
		l.stall = time.AfterFunc(laneStall, func() { l.out.CloseWithError(errStalled) })
		g.lanes = append(g.lanes, l)
		request := &StageRequest{
			Sender: s.sender(m, h.Node), Bucket: n.bucket.ID, Key: n.key, Size: size, Body: l.out,
			Footer: func() ([]byte, error) { return g.footer, nil },
		}
		g.work.Go(func() {
			staged, err := s.peers.Stage(ctx, l.to, request)
			l.out.CloseWithError(errors.Join(err, io.ErrClosedPipe)) // nobody takes any more
			l.staged, l.err = staged, err
		})
	}
	return g
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
		if l.failed {
			continue
		}
		l.stall.Reset(laneStall)
		if _, err := l.in.Write(p); err != nil {
			l.failed = true
			g.refuse(l, err)
		}
		l.stall.Stop()
	}
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
		l.stall.Stop()
		l.in.CloseWithError(io.ErrUnexpectedEOF)
	}
	g.cancel()
	g.work.Wait()
}

// end tells the lanes that the body has ended, and with which record. finish must follow.
func (g *staging) end(footer []byte) {
	g.footer = footer
	for _, l := range g.lanes {
		l.in.Close()
	}
}

// finish waits for the lanes and returns the tokens of the bytes that are durable at other holders.
func (g *staging) finish() map[cluster.NodeID]Token {
	late := time.AfterFunc(laneStall, g.cancel)
	g.work.Wait()
	late.Stop()
	g.cancel()
	tokens := make(map[cluster.NodeID]Token, len(g.lanes))
	for _, l := range g.lanes {
		g.refuse(l, l.err)
		if !l.failed && l.err == nil && l.staged.Length == g.size && l.staged.Sum == g.crc {
			tokens[l.to] = l.staged.Token
		}
	}
	return tokens
}
