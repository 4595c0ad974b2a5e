package store

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

const (
	tellLinger = 25 * time.Millisecond  // how long decisions gather
	tellPause  = 100 * time.Millisecond // before decisions are sent again
	tellTries  = 100                    // then the holder is left to find out
	tellMost   = 1 << 16                // so many wait for one holder; older ones are left to be overtaken
	tellWait   = 5 * time.Second        // for the answer to one message
)

// teller tells the other holders what became of what they have prepared. Nothing waits for it: a holder that is not told keeps
// an old generation longer than it must, until the next one overtakes it or it becomes owner and asks.
type teller struct {
	mu     sync.Mutex
	queues map[cluster.NodeID]*tellQueue // guarded by mu
}

type tellQueue struct {
	to   cluster.NodeID
	wake chan struct{} // one token: there is something

	mu        sync.Mutex
	decisions []Decision // guarded by mu
}

// tell queues a decision for every other holder of a slot, or keeps it until nobody reads there what it replaces.
func (s *Store) tell(holders []cluster.Holder, d Decision) {
	ref := d.Refs[0]
	if !d.Drop && s.shard(ref.Bucket, ref.Key).postpone(ident{bucket: ref.Bucket, key: ref.Key}, untold{holders, d}) {
		return
	}
	s.queueTold(holders, d)
}

func (s *Store) queueTold(holders []cluster.Holder, d Decision) {
	for _, h := range holders {
		if h.Node != s.o.Node {
			s.tellQueue(h.Node).add(d)
		}
	}
}

// tellQueue returns the queue of a node. The first call for a node starts the goroutine that empties it; it ends with the store.
func (s *Store) tellQueue(to cluster.NodeID) *tellQueue {
	s.teller.mu.Lock()
	defer s.teller.mu.Unlock()
	q := s.teller.queues[to]
	if q == nil {
		q = &tellQueue{to: to, wake: make(chan struct{}, 1)}
		if s.teller.queues == nil {
			s.teller.queues = make(map[cluster.NodeID]*tellQueue)
		}
		s.teller.queues[to] = q
		s.work.Go(func() { s.tellOn(s.life, q) })
	}
	return q
}

func (q *tellQueue) add(d Decision) {
	q.mu.Lock()
	if len(q.decisions) >= tellMost {
		q.decisions = slices.Delete(q.decisions, 0, tellMost/2)
	}
	q.decisions = append(q.decisions, d)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *tellQueue) take() []Decision {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.decisions), maxPerMessage)
	taken := slices.Clone(q.decisions[:n])
	q.decisions = slices.Delete(q.decisions, 0, n)
	return taken
}

// tellOn sends what is queued for one node, in order, until the context ends.
func (s *Store) tellOn(ctx context.Context, q *tellQueue) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.wake:
		}
		if !pause(ctx, tellLinger) {
			return
		}
		for d := q.take(); len(d) > 0; d = q.take() {
			for try := 0; try < tellTries && !s.tellNow(ctx, q.to, d); try++ {
				if !pause(ctx, tellPause) {
					return
				}
			}
		}
	}
}

// tellNow sends decisions, and reports whether they need not be sent again: they have arrived, or are not this node's to send
// any more.
func (s *Store) tellNow(ctx context.Context, to cluster.NodeID, decisions []Decision) bool {
	m := s.council.Map()
	mine := slices.DeleteFunc(slices.Clone(decisions), func(d Decision) bool {
		st := m.Slot(d.Refs[0].Slot())
		return st.Owner() != s.o.Node || !slices.ContainsFunc(st.Holders, func(h cluster.Holder) bool { return h.Node == to })
	})
	if len(mine) == 0 {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, tellWait)
	defer cancel()
	standing, err := s.peers.Decide(ctx, to, &DecideRequest{Sender: s.sender(m, to), Decisions: mine})
	return err == nil && !standing.Refused
}

// pause waits, and reports false when the context ended before.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
