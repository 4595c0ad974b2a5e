package store

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// slotTable says which slots are served, under which epoch.
type slotTable struct {
	// serving is the epoch under which each slot is settled and served; zero: it is not.
	serving perSlot
	// since is the time, by the store's clock in nanoseconds, at which each slot began to be served under its epoch.
	since perSlot
	// sole is 1 for each slot that is served and has no other holder.
	sole perSlot
	// active describes what Activate did last; nil before the first.
	active atomic.Pointer[activation]
	closed atomic.Bool
	// foreign is set once there may be records of slots that are not owned here: lists must leave them out.
	foreign atomic.Bool

	mu      sync.Mutex // one Fence or Activate at a time
	settled perSlot    // guarded by mu: the last epoch for which each slot was settled here, or that it got while it was owned
	owned   perSlot    // guarded by mu: ownership of the slot when this process last settled it; zero: the last map names another
	// unsettled are the slots that are owned, but not served before other holders were asked about what is in doubt; each with
	// owned. Guarded by mu.
	unsettled map[cluster.Slot]uint64
}

// activation is one state of the table. Lists compare it before and after.
type activation struct {
	version cluster.MapVersion
	m       *cluster.Map
	stopped stopped // slots that Fence stopped since, or that are not settled yet
	partial bool    // this node is partial in slots that it owns
}

// stopped counts slots of each layout.
type stopped [cluster.MaxLayouts]int

func (c *stopped) add(slots iter.Seq[cluster.Slot], n int) {
	for slot := range slots {
		c[slot.Layout()] += n
	}
}

// check returns nil when this node may answer for a slot now, to a caller that saw the given epoch. Readers ask after they
// have read.
func (s *Store) check(op string, n name, slot cluster.Slot, epoch cluster.Epoch) error {
	if err := s.served(op, n, slot, epoch); err != nil {
		return err
	}
	return s.checkOwner(op, n, slot, epoch)
}

// served returns nil when a slot is settled here and served under the epoch.
func (s *Store) served(op string, n name, slot cluster.Slot, epoch cluster.Epoch) error {
	switch served := cluster.Epoch(s.slots.serving.load(slot)); served {
	case 0:
		return n.fail(op, cluster.KindUnavailable, "the slot is not served here now")
	case epoch:
		return nil
	default:
		return n.fail(op, cluster.KindUnavailable, fmt.Sprintf("the slot is served under epoch %d, not %d", served, epoch))
	}
}

// checkOwner returns nil when the applied map and the lease allow an answer under the epoch. A commit that began before the
// slot was stopped asks only this before it becomes visible: whoever stopped the slot waits for it.
func (s *Store) checkOwner(op string, n name, slot cluster.Slot, epoch cluster.Epoch) error {
	// The lease first: it says that the map which is looked at then is as new as the lease. Looked at before, the map could
	// be from before a lease that was lost, and the check could pass by one that was gained since.
	if err := s.authority.CheckLease(); err != nil {
		return n.wrap(op, cluster.KindUnavailable, err)
	}
	owned, err := s.authority.Owns(slot)
	if err != nil {
		return n.wrap(op, cluster.KindUnavailable, err)
	}
	if owned != epoch {
		return n.fail(op, cluster.KindUnavailable, fmt.Sprintf("the slot's epoch is %d, not %d", owned, epoch))
	}
	return nil
}

// mine reports whether a map names this incarnation of this node the owner of a slot.
func (s *Store) mine(m *cluster.Map, self bool, slot cluster.Slot) bool {
	owner, _ := m.Owner(slot)
	return self && owner == s.o.Node
}

func (s *Store) namedIn(m *cluster.Map) bool {
	n, ok := m.Node(s.o.Node)
	return ok && n.Incarnation == s.o.Incarnation
}

// Fence stops the slots that the pending map takes from this node, waits for their commits in flight (never for bodies),
// and returns those of them that it keeps serving because they were written, and the new owner has not what was written.
// Activate, also with the map that is active already, lifts what Fence stopped.
//
// When the map gives slots, commits are waited for, too: so a commit never outlives one ownership of a slot and meets the
// next (see rounds). When it neither gives nor takes, they are not: they may be waiting for this very map.
func (s *Store) Fence(ctx context.Context, pending *cluster.Map) ([]cluster.Slot, error) {
	const op = "target/store.Fence"
	s.slots.mu.Lock()
	defer s.slots.mu.Unlock()
	self := s.namedIn(pending)
	var kept, stopped []cluster.Slot
	gains := false
	for i := range pending.Slots {
		slot := cluster.Slot(i)
		mine := s.mine(pending, self, slot)
		stays := mine && s.slots.owned.load(slot) == s.ownership(pending, slot)
		gains = gains || mine && !stays
		// A slot that begins anew here is stopped, too: settling forgets what is hidden, so whoever reads under the new epoch must
		// not meet commits of the old one.
		if stays || s.slots.serving.load(slot) == 0 {
			continue
		}
		if s.keeps(pending, slot) {
			kept = append(kept, slot)
			continue
		}
		s.slots.serving.store(slot, 0)
		stopped = append(stopped, slot)
	}
	if len(stopped) == 0 && !gains {
		return kept, nil
	}
	s.slots.hold(stopped, 1)
	if err := s.commits.wait(ctx); err != nil {
		s.slots.resume(stopped) // the next Fence must find them, for what is in flight may yet write into them
		return nil, cluster.E(op, pending.String(), cluster.KindUnavailable, err)
	}
	written := slices.DeleteFunc(stopped, func(slot cluster.Slot) bool {
		return !s.keeps(pending, slot)
	})
	s.slots.resume(written)
	return append(kept, written...), nil
}

// keeps reports whether a slot must not go to the owner that a pending map names: it was written, and that node has not what
// was written.
func (s *Store) keeps(pending *cluster.Map, slot cluster.Slot) bool {
	if pending.Slot(slot).Owner() == s.o.Node || !s.wasWritten(slot) {
		return false
	}
	return s.council == nil || !s.council.Map().Promotes(pending, slot)
}

// ownership tells one time of a process's owning a slot from another. Without a council each epoch is one.
func (s *Store) ownership(m *cluster.Map, slot cluster.Slot) uint64 {
	if s.council == nil {
		return uint64(m.Slot(slot).Epoch) + 1
	}
	return uint64(m.Slot(slot).Owned) + 1
}

// resume serves slots that were stopped under the epoch that they had. It must be called with mu held.
func (t *slotTable) resume(slots []cluster.Slot) {
	for _, slot := range slots {
		t.serving.store(slot, t.settled.load(slot))
	}
	t.hold(slots, -1)
}

// hold counts slots that were stopped, or with -1 for n go on. It must be called with mu held.
func (t *slotTable) hold(slots []cluster.Slot, n int) {
	if now := t.active.Load(); now != nil && len(slots) > 0 {
		next := *now
		next.stopped.add(slices.Values(slots), n)
		t.active.Store(&next)
	}
}

// enter joins a gate that Close waits for, unless the store is closing. The gate must be left when there is no error.
func (s *Store) enter(g *gate, op string, n name) (*cohort, error) {
	c := g.enter()
	if s.slots.closed.Load() {
		g.leave(c)
		return nil, n.fail(op, cluster.KindUnavailable, "the store is closing")
	}
	return c, nil
}

// wasWritten reports whether a slot may hold anything. A mountpath that cannot be read may hold something in every slot.
func (s *Store) wasWritten(slot cluster.Slot) bool {
	placing := s.placing()
	for _, m := range s.mounted() {
		if m.written.load(slot) != 0 || m.err() != nil && s.matters(placing, m, slot) {
			return true
		}
	}
	return false
}

// Activate settles the slots that the map gives to this node, then serves them, and only them. Slots that have something in
// doubt about which other holders must be asked are served as soon as those have answered.
func (s *Store) Activate(ctx context.Context, m *cluster.Map) error {
	const op = "target/store.Activate"
	s.slots.mu.Lock()
	defer s.slots.mu.Unlock()
	s.goOn(m)
	fresh, err := s.withdraw(ctx, m)
	if err != nil {
		return cluster.E(op, m.String(), cluster.KindUnavailable, err)
	}
	var doubtful map[cluster.Slot]bool
	if len(fresh) > 0 {
		if doubtful, err = s.settle(ctx, m, fresh); err != nil {
			return cluster.E(op, m.String(), cluster.KindUnavailable, err)
		}
	}
	s.serve(m, fresh, doubtful)
	s.sweeper.again(s.o.Clock() + s.o.RetryWindow)
	s.background.wake()
	if len(fresh) > 0 {
		s.o.Events.serves()
	}
	return nil
}

// serve serves what a map gives, but for slots with doubts. It must be called with mu held.
func (s *Store) serve(m *cluster.Map, fresh, doubtful map[cluster.Slot]bool) {
	t := &s.slots
	self, now := s.namedIn(m), s.o.Clock()
	foreign, partial := false, false
	for i := range m.Slots {
		slot := cluster.Slot(i)
		if !s.mine(m, self, slot) {
			t.owned.store(slot, 0)
			delete(t.unsettled, slot)
			foreign = foreign || s.council != nil && s.wasWritten(slot)
			continue
		}
		_, epoch := m.Owner(slot)
		s.grant(slot, epoch, now)
		t.sole.store(slot, alone(m, slot))
		partial = partial || m.Slots[i].Holders[0].Partial
		if fresh[slot] {
			t.owned.store(slot, s.ownership(m, slot))
		}
		if doubtful[slot] {
			if t.unsettled == nil {
				t.unsettled = make(map[cluster.Slot]uint64)
			}
			t.unsettled[slot] = s.ownership(m, slot)
		}
		if _, waits := t.unsettled[slot]; !waits {
			t.serving.store(slot, uint64(epoch))
		}
	}
	if foreign {
		t.foreign.Store(true)
	}
	next := &activation{version: m.Version, m: m, partial: partial}
	next.stopped.add(maps.Keys(t.unsettled), 1)
	t.active.Store(next)
}

// grant notes the epoch that a slot has here.
func (s *Store) grant(slot cluster.Slot, epoch cluster.Epoch, now time.Duration) {
	if cluster.Epoch(s.slots.settled.load(slot)) != epoch {
		s.slots.settled.store(slot, uint64(epoch))
		s.slots.since.store(slot, uint64(now))
	}
}

// goOn serves slots that stay with this process under their new epochs: only their other holders changed, so there is nothing
// to settle, and commits in flight go on. It must be called with mu held.
func (s *Store) goOn(m *cluster.Map) {
	self, now := s.namedIn(m), s.o.Clock()
	for i := range m.Slots {
		slot := cluster.Slot(i)
		if !s.mine(m, self, slot) || s.slots.owned.load(slot) != s.ownership(m, slot) {
			continue
		}
		_, epoch := m.Owner(slot)
		s.grant(slot, epoch, now)
		if served := s.slots.serving.load(slot); served != 0 && cluster.Epoch(served) != epoch {
			s.slots.serving.store(slot, uint64(epoch))
		}
	}
}

// alone is 1 when the slot has one holder.
func alone(m *cluster.Map, slot cluster.Slot) uint64 {
	if len(m.Slots[slot].Holders) == 1 {
		return 1
	}
	return 0
}

// withdraw stops every slot that the map gives to another process, waits for the commits in flight, and returns the slots
// that the map gives to this one anew.
func (s *Store) withdraw(ctx context.Context, m *cluster.Map) (map[cluster.Slot]bool, error) {
	self := s.namedIn(m)
	fresh := make(map[cluster.Slot]bool)
	stopped := false
	for i := range m.Slots {
		slot := cluster.Slot(i)
		mine := s.mine(m, self, slot)
		stays := mine && s.slots.owned.load(slot) == s.ownership(m, slot)
		if !stays && s.slots.serving.load(slot) != 0 {
			s.slots.serving.store(slot, 0)
			stopped = true
		}
		if !mine || stays {
			continue
		}
		_, epoch := m.Owner(slot)
		if err := s.checkEpoch(slot, epoch); err != nil {
			return nil, err
		}
		fresh[slot] = true
	}
	if !stopped && len(fresh) == 0 {
		return fresh, nil
	}
	return fresh, s.commits.wait(ctx)
}

// checkEpoch refuses an epoch in which the slot was written before: the counter of that epoch is lost, and a generation
// that is used twice would make two different writes one.
func (s *Store) checkEpoch(slot cluster.Slot, epoch cluster.Epoch) error {
	if settled := cluster.Epoch(s.slots.settled.load(slot)); epoch <= settled {
		return fmt.Errorf("slot %d comes under epoch %d, after %d", slot, epoch, settled)
	}
	for _, m := range s.mounted() {
		if w := m.written.load(slot); uint64(epoch) <= w {
			return fmt.Errorf("slot %d comes under epoch %d, but was written under %d", slot, epoch, w)
		}
	}
	return nil
}

// history tells how old a generation is at least, without a wall clock.
type history struct {
	mu      sync.Mutex
	samples []sample // guarded by mu, oldest first
}

// sample says that at a time the counter had a value.
type sample struct {
	at      time.Duration
	counter uint64
}

// note records the counter from time to time.
func (h *history) note(now time.Duration, counter uint64, window time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(h.samples); n > 0 && now-h.samples[n-1].at < window/8 {
		return
	}
	h.samples = append(h.samples, sample{at: now, counter: counter})
	for len(h.samples) > 1 && h.samples[1].at <= now-window {
		h.samples = h.samples[1:]
	}
}

// before returns a counter that was reached at or before t, or zero when none is known.
func (h *history) before(t time.Duration) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	var counter uint64
	for _, s := range h.samples {
		if s.at <= t {
			counter = s.counter
		}
	}
	return counter
}

// expired reports whether no gateway can still repeat the request that made a generation: it was made more than a retry
// window ago. The slot has the given epoch, or had when the caller's turn began: it may have been stopped since.
func (s *Store) expired(slot cluster.Slot, epoch cluster.Epoch, g cluster.Generation) bool {
	limit := s.o.Clock() - s.o.RetryWindow
	if g.Epoch != epoch {
		return time.Duration(s.slots.since.load(slot)) < limit
	}
	return g.Counter <= s.history.before(limit)
}
