package store

import (
	"context"
	"sync"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// sweepBatch is how many records a sweep removes by one batch.
const sweepBatch = 512

// sweeper knows which records are kept for a time only.
type sweeper struct {
	mu     sync.Mutex
	due    []due         // guarded by mu: in no order
	rescan time.Duration // guarded by mu: when to look for what earlier epochs left; zero: no need
}

// due is a record that may go at a time of the store's clock.
type due struct {
	at  time.Duration
	m   *mountpath
	ref meta.Ref
}

// expire lets a record be removed at the given time.
func (w *sweeper) expire(m *mountpath, ref meta.Ref, at time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.due = append(w.due, due{at: at, m: m, ref: ref})
}

// again has what earlier epochs left looked for once more at the given time.
func (w *sweeper) again(at time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rescan = at
}

// take returns what is due, and whether to look for leftovers.
func (w *sweeper) take(now time.Duration) (expired map[*mountpath][]meta.Ref, rescan bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	expired = make(map[*mountpath][]meta.Ref)
	kept := w.due[:0]
	for _, d := range w.due {
		if d.at > now {
			kept = append(kept, d)
			continue
		}
		expired[d.m] = append(expired[d.m], d.ref)
	}
	clear(w.due[len(kept):])
	w.due = kept
	if rescan = w.rescan != 0 && w.rescan < now; rescan {
		w.rescan = 0
	}
	return expired, rescan
}

// sweep collects what is kept for a time only, until the context ends.
func (s *Store) sweep(ctx context.Context) {
	tick := time.NewTicker(s.o.Sweep)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.sweepOnce(ctx)
	}
}

// sweepOnce removes what is due now. A failure is reported; what it leaves is found by the next look for leftovers.
func (s *Store) sweepOnce(ctx context.Context) {
	now := s.o.Clock()
	s.history.note(now, s.counter.Load(), s.o.RetryWindow)
	s.staged.expire(now)
	expired, rescan := s.sweeper.take(now)
	for m, refs := range expired {
		if err := s.removeOld(ctx, m, refs); err != nil && ctx.Err() == nil {
			s.o.Events.background(m.ID, "sweep", err)
		}
	}
	if err := s.sweepGivenUp(ctx); err != nil && ctx.Err() == nil {
		s.o.Events.background("", "sweep what was given up", err)
	}
	for _, m := range s.mounted() {
		if m.err() != nil {
			continue
		}
		if rescan {
			m.swept.Store(false)
		}
		s.sweepStarted(ctx, m)
		if !rescan {
			continue
		}
		if err := s.sweepLeftovers(ctx, m); err != nil && ctx.Err() == nil {
			s.o.Events.background(m.ID, "sweep leftovers", err)
			s.sweeper.again(now + s.o.Sweep)
		}
	}
}

// sweepKeys is how many keys one sweep takes turns at.
const sweepKeys = 256

// sweepGivenUp takes a turn at keys with writes that were given up, so that these go, here and at the other holders, also when nobody
// writes the keys again. When those who may have come upon them have left, they are forgotten.
func (s *Store) sweepGivenUp(ctx context.Context) error {
	if s.marks.Load() == 0 {
		return nil
	}
	type buried struct {
		shard *shard
		id    ident
		gone  []cluster.Generation
	}
	var all []buried
	for i := range s.shards {
		for _, id := range s.shards[i].givenUp() {
			if len(all) == sweepKeys || ctx.Err() != nil {
				break
			}
			if gone := s.dropGivenUp(id); len(gone) > 0 {
				all = append(all, buried{&s.shards[i], id, gone})
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	if err := s.readers.wait(ctx); err != nil {
		return err
	}
	for _, b := range all {
		b.shard.forget(b.id, b.gone)
	}
	return nil
}

// dropGivenUp takes a turn at a key, unless somebody else has it or this node may not, and returns what was given up and is gone.
func (s *Store) dropGivenUp(id ident) []cluster.Generation {
	const op = "target/store.dropGivenUp"
	n := copyName(id.bucket, id.key)
	epoch, err := s.authority.Owns(n.slot())
	if err != nil {
		return nil // settling will look at it
	}
	t := s.newTurn(op, n, Call{Epoch: epoch})
	if t.id = id; !t.shard.lock.TryLock() {
		return nil
	}
	if _, err := t.begin(t.dropAbandoned); err != nil {
		return nil // the next sweep tries again
	}
	defer t.end()
	return t.shard.buried(id)
}

// sweepStarted drops buckets that are gone, when the node has started or the map changed, as soon as it knows for certain.
func (s *Store) sweepStarted(ctx context.Context, m *mountpath) {
	if m.swept.Load() || s.slots.active.Load() == nil {
		return
	}
	err := s.sweepBuckets(ctx, m)
	m.swept.Store(err == nil)
	if err != nil && !cluster.Is(err, cluster.KindUnavailable) && ctx.Err() == nil {
		s.o.Events.background(m.ID, "drop buckets that are gone", err)
	}
}

// removeAll removes records that nobody needs any more. What they replaced goes before: without its tombstone it would be an
// object again.
func (m *mountpath) removeAll(ctx context.Context, refs []meta.Ref) error {
	if err := m.cleaner.drain(ctx); err != nil {
		return err
	}
	for len(refs) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(len(refs), sweepBatch)
		batch := m.index.NewBatch()
		for _, ref := range refs[:n] {
			batch.Delete(&meta.Record{Ref: ref})
		}
		if err := batch.Commit(false); err != nil {
			return err
		}
		refs = refs[n:]
	}
	return nil
}

// sweepLeftovers removes what earlier epochs left, or what had to wait: tombstones, replaced requests and ends of uploads that no gateway
// can ask for any more.
func (s *Store) sweepLeftovers(ctx context.Context, m *mountpath) error {
	var refs []meta.Ref
	for _, kind := range []meta.Kind{meta.Tombstone, meta.NoncurrentTombstone, meta.Replaced, meta.UploadTombstone} {
		for r, err := range m.index.Scan(ctx, meta.Range{Kind: kind, AllBuckets: true}).All() {
			if err != nil {
				return err
			}
			if s.outlived(m, r) {
				refs = append(refs, r.Ref)
			}
			if len(refs) == sweepBatch {
				if err := s.removeOld(ctx, m, refs); err != nil {
					return err
				}
				refs = refs[:0]
			}
		}
	}
	return s.removeOld(ctx, m, refs)
}

// outlived reports whether a record that is left may go: not before the retry window of the requests behind it is over (R8), and a
// tombstone only in a later epoch than its own (R7). The end of an upload whose grace is not over is looked at again; one of this
// epoch is due by itself. What was given up stays until the next turn at its key removes it: it replaced nothing, and whoever is
// told to forget it would forget what is visible (R6).
func (s *Store) outlived(m *mountpath, r *meta.Record) bool {
	slot := r.Slot()
	serving := cluster.Epoch(s.slots.serving.load(slot))
	epoch := r.Generation.Epoch
	if serving == 0 || epoch > serving || isGrave(r.Kind) && (r.Marker || epoch == serving) || !s.expired(slot, serving, r.Generation) {
		return false
	}
	if r.Kind != meta.Replaced && s.notShown(m, r.Ref) {
		return false
	}
	if r.Kind != meta.UploadTombstone {
		return true
	}
	left := r.Modified.Add(s.o.UploadGrace).Sub(s.o.Now())
	if left > 0 && epoch != serving {
		s.sweeper.again(s.o.Clock() + min(left, s.o.UploadGrace))
	}
	return left <= 0
}

// isGrave reports whether records of a kind hide what is older, and go by R6 to R8.
func isGrave(kind meta.Kind) bool { return kind == meta.Tombstone || kind == meta.NoncurrentTombstone }

// bury lets a visible tombstone go in its own epoch (R7): where no other node holds the slot, nobody can bring a late copy of
// the prepare of what was deleted. Once its requests are too old (R8), nothing asks for it. Elsewhere it waits for a later
// epoch.
func (s *Store) bury(m *mountpath, r *meta.Record) {
	if isGrave(r.Kind) && !r.Marker && s.slots.sole.load(r.Slot()) == 1 {
		s.sweeper.expire(m, r.Ref, s.o.Clock()+s.o.RetryWindow)
	}
}

// sweepBuckets drops the buckets that do not exist any more: a target that was down, or crashed, when they were removed has
// missed it. It returns an error while that is not known for certain of each.
func (s *Store) sweepBuckets(ctx context.Context, m *mountpath) error {
	ids, err := m.index.Buckets(ctx)
	if err != nil {
		return err
	}
	var unknown error
	for id := range ids {
		_, err := s.authority.Writable(id)
		switch {
		case cluster.Is(err, cluster.KindBucketNotFound):
			if err := s.dropOn(ctx, m, id); err != nil { // ids are never used again: a certain no is for ever
				return err
			}
		case err != nil:
			unknown = err
		}
	}
	return unknown
}
