package control

import (
	"slices"
	"sync"

	"github.com/aisle-store/aisle/cluster"
)

// objects is what a target's disks keep.
type objects struct {
	mu      sync.Mutex
	written map[cluster.Slot]bool
	kept    map[simKey]*simRecord
}

type simKey struct {
	bucket cluster.BucketID
	key    cluster.ObjectKey
}

func (k simKey) slot() cluster.Slot { return cluster.SlotOf(k.bucket, k.key) }

// simObject is the state of a key after a write; a deletion is one too.
type simObject struct {
	generation cluster.Generation
	exists     bool
}

// simRecord is what a disk has of a key.
type simRecord struct {
	committed simObject   // the newest that is known to have been visible
	prepared  []simObject // in doubt
}

func (r *simRecord) has(g cluster.Generation) bool {
	return !r.committed.generation.Less(g) || slices.ContainsFunc(r.prepared, func(v simObject) bool { return v.generation == g })
}

// newest returns the highest generation, whether it was visible or not.
func (r *simRecord) newest() simObject {
	v := r.committed
	for _, p := range r.prepared {
		if v.generation.Less(p.generation) {
			v = p
		}
	}
	return v
}

func newObjects() *objects {
	return &objects{written: make(map[cluster.Slot]bool), kept: make(map[simKey]*simRecord)}
}

// record returns a copy of what is kept of a key.
func (o *objects) record(k simKey) simRecord {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.kept[k]
	if r == nil {
		return simRecord{}
	}
	return simRecord{committed: r.committed, prepared: slices.Clone(r.prepared)}
}

// change changes what is kept of a key.
func (o *objects) change(k simKey, f func(*simRecord)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.kept[k]
	if r == nil {
		r = &simRecord{}
		o.kept[k] = r
	}
	f(r)
	if r.committed.generation.IsZero() && len(r.prepared) == 0 {
		delete(o.kept, k)
	}
}

// prepare keeps a write whose outcome is not known.
func (o *objects) prepare(k simKey, v simObject) (err error) {
	o.change(k, func(r *simRecord) {
		i := slices.IndexFunc(r.prepared, func(p simObject) bool { return p.generation == v.generation })
		switch {
		case !r.committed.generation.Less(v.generation):
		case i < 0:
			r.prepared = append(r.prepared, v)
		case r.prepared[i] != v:
			err = simUnavailable("the same generation with another content")
		}
	})
	o.mark(k.slot())
	return err
}

// mark notes that a slot was written.
func (o *objects) mark(slot cluster.Slot) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.written[slot] = true
}

// commit notes that a generation was visible: what is older goes.
func (o *objects) commit(k simKey, g cluster.Generation) {
	o.change(k, func(r *simRecord) {
		for _, p := range r.prepared {
			if p.generation == g && r.committed.generation.Less(g) {
				r.committed = p
			}
		}
		r.prepared = slices.DeleteFunc(r.prepared, func(p simObject) bool { return !g.Less(p.generation) })
	})
}

// abandon removes a generation that was never visible and never will be.
func (o *objects) abandon(k simKey, g cluster.Generation) {
	o.change(k, func(r *simRecord) {
		r.prepared = slices.DeleteFunc(r.prepared, func(p simObject) bool { return p.generation == g })
	})
}

// reconcile brings a key to what its owner has. What the owner lacks goes if it is from before the epoch that admitted this
// holder.
func (o *objects) reconcile(k simKey, v simObject, admitted cluster.Epoch) {
	o.change(k, func(r *simRecord) {
		if c := r.committed.generation; c != v.generation && c.Epoch < admitted {
			r.committed = simObject{}
		}
		if r.committed.generation.Less(v.generation) {
			r.committed = v
		}
		r.prepared = slices.DeleteFunc(r.prepared, func(p simObject) bool {
			return p.generation.Epoch < admitted || !r.committed.generation.Less(p.generation)
		})
	})
	o.mark(k.slot())
}

// remove forgets a key.
func (o *objects) remove(k simKey) { o.change(k, func(r *simRecord) { *r = simRecord{} }) }

// keys returns the keys for which ok is true.
func (o *objects) keys(ok func(simKey) bool) []simKey {
	o.mu.Lock()
	defer o.mu.Unlock()
	var keys []simKey
	for k := range o.kept {
		if ok(k) {
			keys = append(keys, k)
		}
	}
	return keys
}

func inSlot(slot cluster.Slot) func(simKey) bool {
	return func(k simKey) bool { return k.slot() == slot }
}

func (o *objects) isWritten(slot cluster.Slot) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.written[slot]
}

func (o *objects) writtenSlots() []cluster.Slot {
	o.mu.Lock()
	defer o.mu.Unlock()
	var slots []cluster.Slot
	for slot := range o.written {
		slots = append(slots, slot)
	}
	return slots
}
