package control

import (
	"context"
	"fmt"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// simTarget is the participant of one process: the shortest target that follows the protocol. Its lock is a channel, since
// whoever holds it may wait for a clock. It is held for moments only, never while others are asked.
type simTarget struct {
	process *simProcess
	lock    chan struct{}
	dead    bool
	active  *cluster.Map
	fenced  *cluster.Map
	counter uint64
	visible map[simKey]simObject           // of the slots that are settled
	settled map[cluster.Slot]cluster.Epoch // what SlotState.Owned was when a slot was settled
	turns   map[simKey]chan struct{}       // who writes a key
}

func newTarget(p *simProcess) *simTarget {
	return &simTarget{
		process: p, lock: make(chan struct{}, 1), visible: make(map[simKey]simObject),
		settled: make(map[cluster.Slot]cluster.Epoch), turns: make(map[simKey]chan struct{}),
	}
}

func (t *simTarget) disk() *objects     { return t.process.node.objects }
func (t *simTarget) id() cluster.NodeID { return t.process.node.id }
func (t *simTarget) flaw() flaw         { return t.process.node.sim.flaw }

// locked runs f alone. Every operation takes a moment, so that it can meet others and faults.
func (t *simTarget) locked(f func() error) error {
	t.lock <- struct{}{}
	defer func() { <-t.lock }()
	if t.dead || t.process.life.Err() != nil {
		return simUnavailable("the process is gone")
	}
	return f()
}

func (t *simTarget) kill() {
	t.process.end()
	t.process.node.resume()
	t.lock <- struct{}{}
	t.dead = true
	<-t.lock
}

func simUnavailable(why string) error {
	return cluster.Fail("sim.target", "", cluster.KindUnavailable, why)
}

// Fence implements Participant.
func (t *simTarget) Fence(ctx context.Context, pending *cluster.Map) (kept []cluster.Slot, err error) {
	if s := t.process.node.sim; !s.quickFences && s.chance(20) && !sleep(ctx, s.between(0, 4*time.Second)) { // commits in flight
		return nil, ctx.Err()
	}
	err = t.locked(func() error {
		t.fenced = pending
		for _, slot := range t.disk().writtenSlots() {
			if t.takes(slot) && !t.active.Promotes(pending, slot) {
				kept = append(kept, slot)
			}
		}
		return nil
	})
	return kept, err
}

// takes reports whether the map that fenced takes a slot away.
func (t *simTarget) takes(slot cluster.Slot) bool {
	if t.fenced == nil || t.active == nil {
		return false
	}
	owner, _ := t.active.Owner(slot)
	next, _ := t.fenced.Owner(slot)
	return owner == t.id() && next != t.id()
}

// Activate implements Participant. What a slot that is served for the first time needs, the first operation does.
func (t *simTarget) Activate(_ context.Context, m *cluster.Map) error {
	return t.locked(func() error {
		t.active, t.fenced = m, nil
		for slot, owned := range t.settled {
			if s := m.Slot(slot); s.Owner() != t.id() || s.Owned != owned {
				t.forget(slot)
			}
		}
		return nil
	})
}

// forget drops what only the owner of a slot knows.
func (t *simTarget) forget(slot cluster.Slot) {
	delete(t.settled, slot)
	for k := range t.visible {
		if k.slot() == slot {
			delete(t.visible, k)
		}
	}
}

// SealBucket implements Participant. It waits for the writes in flight; new ones are refused.
func (t *simTarget) SealBucket(ctx context.Context, id cluster.BucketID) (empty bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, sealTimeout/4)
	defer cancel()
	var keys []simKey
	err = t.locked(func() error {
		for k := range t.turns {
			if k.bucket == id {
				keys = append(keys, k)
			}
		}
		return nil
	})
	keys = append(keys, t.disk().keys(func(k simKey) bool { return k.bucket == id })...)
	empty = true
	for _, k := range keys {
		var exists bool
		if err == nil {
			exists, err = t.sealed(ctx, k)
		}
		empty = empty && !exists
	}
	return empty && err == nil, err
}

// sealed waits for the write of a key that is in flight, and says whether it exists. Of slots that others own it says nothing.
func (t *simTarget) sealed(ctx context.Context, k simKey) (exists bool, err error) {
	release, err := t.turn(ctx, k)
	if err != nil {
		return false, err
	}
	defer release()
	if owner, _ := t.process.control.View().Map().Owner(k.slot()); owner != t.id() {
		return false, nil
	}
	if _, err := t.serve(ctx, k.slot()); err != nil {
		return false, err
	}
	err = t.locked(func() error {
		exists = t.visible[k].exists
		_, err := t.owns(k.slot())
		return err
	})
	return exists, err
}

// FreezeBucket implements Participant.
func (t *simTarget) FreezeBucket(ctx context.Context, id cluster.BucketID) error {
	_, err := t.SealBucket(ctx, id)
	return err
}

// MoveBucket implements Participant: the buckets that get another layout in a test are empty.
func (t *simTarget) MoveBucket(context.Context, cluster.BucketID) (uint64, bool, error) {
	return 0, true, nil
}

// DropBucket implements Participant: a bucket that is dropped must be empty everywhere.
func (t *simTarget) DropBucket(_ context.Context, id cluster.BucketID) error {
	t.process.node.sim.checks.bucketRemoved(id)
	return nil
}

// owns returns the state of a slot that this target may serve now. A target checks it under its lock.
func (t *simTarget) owns(slot cluster.Slot) (cluster.SlotState, error) {
	m := t.process.control.View().Map()
	s := m.Slot(slot)
	switch {
	case s.Owner() != t.id() || !names(m, t.process.control.me()):
		return s, simUnavailable("not the owner")
	case t.active == nil || t.active.Version != m.Version:
		return s, simUnavailable("not activated yet")
	case t.takes(slot) && (!t.disk().isWritten(slot) || t.active.Promotes(t.fenced, slot)):
		return s, simUnavailable("fenced")
	}
	return s, nil
}

// answers is the check at the end of an operation: the slot is still owned under the epoch in which the operation began,
// and the lease lasts. It tells the checks who served.
func (t *simTarget) answers(slot cluster.Slot, began cluster.SlotState) error {
	if err := t.process.control.CheckLease(); err != nil {
		return err
	}
	s, err := t.owns(slot)
	if err != nil || s.Owned != began.Owned || s.Epoch != began.Epoch && !t.flaw().oldHolders {
		return simUnavailable("the slot has moved")
	}
	if t.process.life.Err() != nil {
		return simUnavailable("the process is gone")
	}
	t.process.node.sim.checks.served(slot, t.process.control.me(), s.Epoch)
	return nil
}

// moment lets time pass, as disks do.
func (t *simTarget) moment() { t.pass(3 * time.Millisecond) }

// pass lets up to as much time pass.
func (t *simTarget) pass(most time.Duration) {
	time.Sleep(t.process.node.sim.between(0, most))
	t.process.node.wait()
}

// serve returns the state of a slot that this target may serve, settled.
func (t *simTarget) serve(ctx context.Context, slot cluster.Slot) (s cluster.SlotState, err error) {
	for settled := false; err == nil && !settled; {
		err = t.locked(func() error {
			if err := t.process.control.CheckLease(); err != nil {
				return err
			}
			s, err = t.owns(slot)
			owned, ok := t.settled[slot]
			settled = ok && owned == s.Owned
			return err
		})
		if err == nil && !settled {
			err = t.settle(ctx, slot)
		}
	}
	return s, err
}

// turn waits until nobody else writes a key.
func (t *simTarget) turn(ctx context.Context, k simKey) (release func(), err error) {
	var turn chan struct{}
	err = t.locked(func() error {
		if t.turns[k] == nil {
			t.turns[k] = make(chan struct{}, 1)
		}
		turn = t.turns[k]
		return nil
	})
	if err != nil {
		return nil, err
	}
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, simUnavailable("somebody else writes the key")
	}
}

// read returns the state of a key. The epoch is the one that the gateway saw.
func (t *simTarget) read(k simKey, seen cluster.Epoch) (v simObject, err error) {
	ctx, cancel := context.WithTimeout(t.process.life, turnTimeout)
	defer cancel()
	s, err := t.serve(ctx, k.slot())
	if err == nil && s.Epoch != seen {
		err = simUnavailable("another epoch")
	}
	if err != nil {
		return v, err
	}
	t.moment()
	err = t.locked(func() error {
		v = t.visible[k]
		return t.answers(k.slot(), s)
	})
	return v, err
}

// How long writes take at most, and how long a holder may be silent.
const (
	turnTimeout = 8 * time.Second
	silence     = 2 * time.Second
)

// write puts or deletes a key, in rounds: each has a generation of its own, and counts if all holders have prepared it in the
// epoch that is still the slot's in the end. A write that is given up has no known outcome.
func (t *simTarget) write(k simKey, exists bool, seen cluster.Epoch) (v simObject, err error) {
	ctx, cancel := context.WithTimeout(t.process.life, turnTimeout)
	defer cancel()
	release, err := t.turn(ctx, k)
	if err != nil {
		return v, err
	}
	defer release()
	first, err := t.serve(ctx, k.slot())
	if err == nil && first.Epoch != seen {
		err = simUnavailable("another epoch")
	}
	var w round
	for err == nil && !w.done {
		var s cluster.SlotState
		if s, err = t.serve(ctx, k.slot()); err == nil && s.Owned != first.Owned {
			err = simUnavailable("somebody else owned the slot meanwhile")
		}
		if err == nil {
			err = t.round(ctx, k, exists, s, &w)
		}
	}
	return w.v, err
}

// round is one round of a write, and what it came to.
type round struct {
	v        simObject
	answered map[process]bool // of those that have prepared v
	done     bool
}

// round prepares a write at every holder, and makes it visible, or asks for another map.
func (t *simTarget) round(ctx context.Context, k simKey, exists bool, s cluster.SlotState, w *round) error {
	c := t.process.control
	if e, ok := c.View().BucketByID(k.bucket); !ok || e.State != cluster.BucketActive {
		return simUnavailable("the bucket is going")
	}
	if w.answered == nil || !t.flaw().oldAnswers {
		g := cluster.Generation{Epoch: s.Epoch}
		if err := t.locked(func() error { t.counter++; g.Counter = t.counter; return nil }); err != nil {
			return err
		}
		*w = round{v: simObject{g, exists}, answered: make(map[process]bool)}
	}
	silent, err := t.prepareAll(ctx, k, s, w)
	if err != nil {
		return err
	}
	if len(silent) > 0 {
		t.process.node.sim.checks.event("%s accuses %v of slot %d@%d", t.id(), silent, k.slot(), s.Epoch)
		err := c.Accuse(ctx, k.slot(), s.Epoch, silent)
		t.process.node.sim.checks.event("%s accused %v: %v", t.id(), silent, err)
		t.abandon(k, w, s)
		return err
	}
	err = t.locked(func() error {
		now, err := t.owns(k.slot())
		if err != nil {
			return err
		}
		if now.Epoch != s.Epoch && !t.flaw().oldHolders {
			return nil // another round
		}
		if err := t.answers(k.slot(), s); err != nil {
			return err
		}
		t.visible[k] = w.v
		w.done = true
		t.process.node.sim.checks.wrote(k, w.v)
		return nil
	})
	if w.done {
		t.committed(k, w.v.generation, s)
	} else {
		t.abandon(k, w, s)
	}
	return err
}

// abandon removes what a round has prepared here, mostly. What stays is never visible in this term of the owner. Who is no
// longer the owner removes nothing: the next one may have counted on it.
func (t *simTarget) abandon(k simKey, w *round, s cluster.SlotState) {
	if !t.process.node.sim.chance(70) || t.flaw().oldAnswers {
		return
	}
	_ = t.locked(func() error {
		if now, err := t.owns(k.slot()); err == nil && now.Owned == s.Owned {
			t.disk().abandon(k, w.v.generation)
		}
		return nil
	})
}

// prepareAll prepares a write at every holder, and returns those that did not answer.
func (t *simTarget) prepareAll(ctx context.Context, k simKey, s cluster.SlotState, w *round) (silent []cluster.NodeID, err error) {
	m := t.process.control.View().Map()
	from := t.process.control.me()
	answers := make(chan process, len(s.Holders))
	asked := 0
	for _, h := range s.Holders[1:] {
		n, _ := m.Node(h.Node)
		to := processOf(n)
		if w.answered[to] || t.flaw().oldAnswers && t.answeredBefore(w, h.Node) || t.flaw().skipJoiners && !h.InSync {
			continue
		}
		asked++
		v := w.v
		t.process.node.sim.work.Go(func() {
			err := t.persist(ctx, h.Node, func(other *simTarget) error { return other.prepare(from, s.Epoch, k, v) })
			if err != nil {
				to.node = ""
			}
			answers <- to
		})
	}
	if slow := t.flaw().slowDisk; slow > 0 {
		t.pass(slow)
	}
	t.moment()
	if t.process.life.Err() != nil {
		return nil, simUnavailable("the process is gone")
	}
	if err := t.disk().prepare(k, w.v); err != nil {
		return nil, err
	}
	for range asked {
		if p := <-answers; p.node != "" {
			w.answered[p] = true
		}
	}
	for _, h := range s.Holders[1:] {
		if n, _ := m.Node(h.Node); !w.answered[processOf(n)] && !t.answeredBefore(w, h.Node) && (h.InSync || !t.flaw().skipJoiners) {
			silent = append(silent, h.Node)
		}
	}
	t.moment()
	return silent, nil
}

// answeredBefore is the mistake to count the answer of an earlier incarnation.
func (t *simTarget) answeredBefore(w *round, id cluster.NodeID) bool {
	for p := range w.answered {
		if p.node == id && t.flaw().oldAnswers {
			return true
		}
	}
	return false
}

// persist asks until it is answered, or nobody is there, or the other is silent for too long.
func (t *simTarget) persist(ctx context.Context, to cluster.NodeID, f func(*simTarget) error) error {
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	refused := 0
	for {
		_, err := ask(ctx, t, to, func(other *simTarget) (struct{}, error) { return struct{}{}, f(other) })
		if cluster.Is(err, cluster.KindNotFound) {
			refused++
		}
		if err == nil || refused > 1 || !sleep(ctx, 20*time.Millisecond) {
			return err
		}
	}
}

// prepare is the holder's part of a write.
func (t *simTarget) prepare(from process, epoch cluster.Epoch, k simKey, v simObject) error {
	t.moment()
	return t.locked(func() error {
		if _, err := t.follows(from, k.slot(), epoch); err != nil {
			return err
		}
		return t.disk().prepare(k, v)
	})
}

// follows checks that the map that is applied here names the sender owner of a slot at an epoch, and this process a holder.
func (t *simTarget) follows(from process, slot cluster.Slot, epoch cluster.Epoch) (cluster.Holder, error) {
	m := t.process.control.View().Map()
	s := m.Slot(slot)
	h, ok := s.Holder(t.id())
	if !ok || s.Epoch != epoch || s.Owner() != from.node || !names(m, from) || !names(m, t.process.control.me()) {
		return h, simUnavailable("another map")
	}
	return h, nil
}

// committed tells all holders that a generation is visible, or some of them, late: nobody depends on it.
func (t *simTarget) committed(k simKey, g cluster.Generation, s cluster.SlotState) {
	for _, h := range s.Holders {
		if !t.process.node.sim.chance(80) {
			continue
		}
		if h.Node == t.id() {
			t.disk().commit(k, g)
			continue
		}
		t.process.node.sim.work.Go(func() {
			ctx, cancel := context.WithTimeout(t.process.life, callLife)
			defer cancel()
			_, _ = ask(ctx, t, h.Node, func(other *simTarget) (struct{}, error) {
				return struct{}{}, other.locked(func() error { other.disk().commit(k, g); return nil })
			})
		})
	}
}

// settle decides what is in doubt in a slot that this target has come to own: what every holder in sync has goes forward.
func (t *simTarget) settle(ctx context.Context, slot cluster.Slot) error {
	release, err := t.turn(ctx, simKey{key: cluster.ObjectKey(fmt.Sprint("slot ", slot))})
	if err != nil {
		return err
	}
	defer release()
	for {
		var s cluster.SlotState
		done := false
		doubts := make(map[simKey][]simObject)
		err := t.locked(func() (err error) {
			s, err = t.owns(slot)
			owned, ok := t.settled[slot]
			done = ok && owned == s.Owned // by another operation
			for _, k := range t.disk().keys(inSlot(slot)) {
				if r := t.disk().record(k); len(r.prepared) > 0 {
					doubts[k] = r.prepared
				}
			}
			return err
		})
		if err != nil || done {
			return err
		}
		var silent []cluster.NodeID
		for _, h := range s.Holders[1:] {
			if !h.InSync || len(doubts) == 0 || t.flaw().settleAlone {
				continue
			}
			if err := t.persist(ctx, h.Node, t.keepKnown(doubts, s.Epoch)); err != nil {
				silent = append(silent, h.Node)
			}
		}
		if len(silent) > 0 {
			if err := t.process.control.Accuse(ctx, slot, s.Epoch, silent); err != nil {
				return err
			}
			continue
		}
		t.moment()
		again := false
		err = t.locked(func() error {
			now, err := t.owns(slot)
			if again = err == nil && now.Epoch != s.Epoch; err != nil || again {
				return err
			}
			t.decide(slot, s, doubts)
			return nil
		})
		if err != nil || !again {
			return err
		}
	}
}

// keepKnown returns a question to a holder in sync that strikes out of doubts what it does not have.
func (t *simTarget) keepKnown(doubts map[simKey][]simObject, epoch cluster.Epoch) func(*simTarget) error {
	from := t.process.control.me()
	return func(other *simTarget) error {
		known := make(map[simKey]simRecord)
		err := other.locked(func() error {
			for k := range doubts {
				if _, err := other.follows(from, k.slot(), epoch); err != nil {
					return err
				}
				known[k] = other.disk().record(k)
			}
			return nil
		})
		return cmpOr(err, func() error {
			return t.locked(func() error {
				for k, in := range doubts {
					var both []simObject
					for _, v := range in {
						if r := known[k]; r.has(v.generation) {
							both = append(both, v)
						}
					}
					doubts[k] = both
				}
				return nil
			})
		})
	}
}

// cmpOr returns the error, or else what f returns.
func cmpOr(err error, f func() error) error {
	if err != nil {
		return err
	}
	return f()
}

// decide carries a settlement out.
func (t *simTarget) decide(slot cluster.Slot, s cluster.SlotState, doubts map[simKey][]simObject) {
	t.forget(slot)
	for _, k := range t.disk().keys(inSlot(slot)) {
		t.disk().change(k, func(r *simRecord) {
			for _, v := range doubts[k] {
				if !t.flaw().settleDrops && r.committed.generation.Less(v.generation) {
					r.committed = v
				}
			}
			r.prepared = nil
		})
		if r := t.disk().record(k); !r.committed.generation.IsZero() {
			t.visible[k] = r.committed
		}
	}
	t.settled[slot] = s.Owned
	t.process.node.sim.checks.settled(t.process.control.me(), slot, t.visible)
}

// ask has another target do something, through the network. It goes on there when the caller has given up, and may be done
// twice, the second time much later. KindNotFound says that nobody is there.
func ask[A any](ctx context.Context, t *simTarget, to cluster.NodeID, f func(*simTarget) (A, error)) (a A, err error) {
	s, from := t.process.node.sim, t.id()
	type reply struct {
		answer A
		err    error
	}
	replies := make(chan reply, 2)
	deliver := func(way context.Context) {
		if s.network.Pass(way, from, to) != nil || t.process.life.Err() != nil {
			return
		}
		var callee *simProcess
		if n := s.node(to); n != nil {
			callee = n.running()
		}
		if callee == nil || callee.target == nil {
			replies <- reply{err: cluster.Fail("sim.ask", string(to), cluster.KindNotFound, "connection refused")}
			return
		}
		answer, err := f(callee.target)
		if callee.life.Err() == nil && s.network.Pass(way, to, from) == nil {
			replies <- reply{answer, err}
		}
	}
	s.work.Go(func() {
		way, cancel := context.WithTimeout(s.life, callLife/4)
		defer cancel()
		deliver(way)
	})
	if s.chance(3) {
		s.work.Go(func() {
			way, cancel := context.WithTimeout(s.life, callLife)
			defer cancel()
			if sleep(way, s.between(0, callLife/2)) {
				deliver(way)
			}
		})
	}
	select {
	case r := <-replies:
		return r.answer, r.err
	case <-ctx.Done():
		t.process.node.wait()
		return a, cluster.E("sim.ask", string(to), cluster.KindUnavailable, ctx.Err())
	}
}
