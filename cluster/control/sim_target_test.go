package control

import (
	"context"
	"sync"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// objects is what a target's disks keep.
type objects struct {
	mu      sync.Mutex
	written map[cluster.Slot]bool
	kept    map[simKey]simObject
}

type simKey struct {
	bucket cluster.BucketID
	key    cluster.ObjectKey
}

// simObject is the state of a key after a write; a deletion is one too.
type simObject struct {
	generation cluster.Generation
	exists     bool
}

func newObjects() *objects {
	return &objects{written: make(map[cluster.Slot]bool), kept: make(map[simKey]simObject)}
}

func (o *objects) get(k simKey) simObject {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.kept[k]
}

func (o *objects) put(slot cluster.Slot, k simKey, v simObject) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.written[slot] = true
	o.kept[k] = v
}

func (o *objects) isWritten(slot cluster.Slot) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.written[slot]
}

// holds reports whether a key of the bucket exists.
func (o *objects) holds(b cluster.BucketID) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for k, v := range o.kept {
		if k.bucket == b && v.exists {
			return true
		}
	}
	return false
}

// simTarget is the participant of one process: the shortest target that follows the protocol. Its lock is a channel, since
// whoever holds it may wait for a clock.
type simTarget struct {
	process *simProcess
	lock    chan struct{}
	dead    bool
	active  *cluster.Map
	fenced  *cluster.Map
	counter map[cluster.Epoch]uint64
}

func newTarget(p *simProcess) *simTarget {
	return &simTarget{process: p, lock: make(chan struct{}, 1), counter: make(map[cluster.Epoch]uint64)}
}

// locked runs f alone. Every operation takes a moment, so that it can meet others and faults.
func (t *simTarget) locked(f func() error) error {
	t.lock <- struct{}{}
	defer func() { <-t.lock }()
	if t.dead {
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
		for i := range pending.Slots {
			slot := cluster.Slot(i)
			if t.takes(slot) && t.process.node.objects.isWritten(slot) {
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
	id := t.process.node.id
	return t.active.Slots[slot].Owner() == id && t.fenced.Slots[slot].Owner() != id
}

// Activate implements Participant.
func (t *simTarget) Activate(_ context.Context, m *cluster.Map) error {
	return t.locked(func() error {
		t.active, t.fenced = m, nil
		return nil
	})
}

// SealBucket implements Participant. Writes hold the lock, so none is in flight here.
func (t *simTarget) SealBucket(_ context.Context, id cluster.BucketID) (empty bool, err error) {
	err = t.locked(func() error {
		empty = !t.process.node.objects.holds(id)
		return nil
	})
	return empty, err
}

// DropBucket implements Participant: a bucket that is dropped must be empty everywhere.
func (t *simTarget) DropBucket(_ context.Context, id cluster.BucketID) error {
	t.process.node.sim.checks.bucketRemoved(id)
	return nil
}

// owns returns the epoch under which this target may serve a slot now. A target checks it under its lock.
func (t *simTarget) owns(slot cluster.Slot) (cluster.Epoch, error) {
	id := t.process.node.id
	m := t.process.control.View().Map()
	owner, epoch := m.Owner(slot)
	switch {
	case owner != id || !names(m, t.process.control.me()):
		return 0, simUnavailable("not the owner")
	case t.active == nil || t.active.Version != m.Version:
		return 0, simUnavailable("not settled yet")
	case t.takes(slot) && !t.process.node.objects.isWritten(slot):
		return 0, simUnavailable("fenced")
	}
	return epoch, nil
}

// answers is the check at the end of an operation: the slot is still owned under the epoch in which the operation began,
// and the lease lasts. It tells the checks who served.
func (t *simTarget) answers(slot cluster.Slot, began cluster.Epoch) error {
	if err := t.process.control.CheckLease(); err != nil {
		return err
	}
	if epoch, err := t.owns(slot); err != nil || epoch != began {
		return simUnavailable("the slot has moved")
	}
	if t.process.life.Err() != nil {
		return simUnavailable("the process is gone")
	}
	t.process.node.sim.checks.served(slot, t.process.control.me(), began)
	return nil
}

// moment lets time pass, as disks do.
func (t *simTarget) moment() {
	time.Sleep(t.process.node.sim.between(0, 3*time.Millisecond))
	t.process.node.wait()
}

// read returns the state of a key. The epoch is the one that the gateway saw.
func (t *simTarget) read(k simKey, seen cluster.Epoch) (v simObject, err error) {
	slot := cluster.SlotOf(k.bucket, k.key)
	err = t.locked(func() error {
		epoch, err := t.begin(slot, seen)
		if err != nil {
			return err
		}
		t.moment()
		v = t.process.node.objects.get(k)
		return t.answers(slot, epoch)
	})
	return v, err
}

// begin is the check at the start of an operation.
func (t *simTarget) begin(slot cluster.Slot, seen cluster.Epoch) (cluster.Epoch, error) {
	if err := t.process.control.CheckLease(); err != nil {
		return 0, err
	}
	epoch, err := t.owns(slot)
	if err == nil && epoch != seen {
		err = simUnavailable("another epoch")
	}
	return epoch, err
}

// write puts or deletes a key. It is durable before the last check, as a prepared record is; when the check fails it stays
// as one whose outcome is not known, and goes forward.
func (t *simTarget) write(k simKey, exists bool, seen cluster.Epoch) (v simObject, err error) {
	slot := cluster.SlotOf(k.bucket, k.key)
	err = t.locked(func() error {
		epoch, err := t.begin(slot, seen)
		if err != nil {
			return err
		}
		e, ok := t.process.control.View().BucketByID(k.bucket)
		if !ok || e.State != cluster.BucketActive {
			return simUnavailable("the bucket is going")
		}
		t.moment()
		if t.process.life.Err() != nil {
			return simUnavailable("the process is gone")
		}
		t.counter[epoch]++
		v = simObject{generation: cluster.Generation{Epoch: epoch, Counter: t.counter[epoch]}, exists: exists}
		t.process.node.objects.put(slot, k, v)
		t.moment()
		if err := t.answers(slot, epoch); err != nil {
			return err
		}
		t.process.node.sim.checks.wrote(k, v)
		return nil
	})
	return v, err
}
