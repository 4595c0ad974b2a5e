package control

import (
	"context"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// catchUp brings this target in sync where the map says that it catches up, and frees what it no longer holds.
func (t *simTarget) catchUp() {
	s := t.process.node.sim
	var idle cluster.MapVersion
	restarted := t.flaw().oldAnswers
	for sleep(t.process.life, s.between(50*time.Millisecond, 300*time.Millisecond)) {
		t.process.node.wait()
		m := t.process.control.View().Map()
		if m.Version == idle || !names(m, t.process.control.me()) {
			continue
		}
		if restarted {
			restarted = false
			t.dropDoubts()
		}
		t.sweep(m)
		owners := t.missing(m)
		if len(owners) == 0 {
			idle = m.Version
		}
		for owner, slots := range owners {
			t.reconcile(owner, slots)
		}
	}
}

// slotsByEpoch names slots and their epochs.
type slotsByEpoch map[cluster.Epoch]*cluster.SlotSet

// missing returns the slots in which this target catches up, by their owners.
func (t *simTarget) missing(m *cluster.Map) map[cluster.NodeID]slotsByEpoch {
	owners := make(map[cluster.NodeID]slotsByEpoch)
	var last *cluster.Holder
	var lagging bool
	for i := range m.Slots {
		s := &m.Slots[i]
		if len(s.Holders) < 2 {
			continue
		}
		if &s.Holders[0] != last {
			h, ok := s.Holder(t.id())
			last, lagging = &s.Holders[0], ok && !h.InSync
		}
		if !lagging {
			continue
		}
		if owners[s.Owner()] == nil {
			owners[s.Owner()] = make(slotsByEpoch)
		}
		if owners[s.Owner()][s.Epoch] == nil {
			owners[s.Owner()][s.Epoch] = &cluster.SlotSet{}
		}
		owners[s.Owner()][s.Epoch].Add(cluster.Slot(i))
	}
	return owners
}

// sweep frees, mostly, what the map no longer has this target hold.
func (t *simTarget) sweep(m *cluster.Map) {
	for _, k := range t.disk().keys(func(k simKey) bool { _, ok := m.Slot(k.slot()).Holder(t.id()); return !ok }) {
		if !t.process.node.sim.chance(50) {
			continue
		}
		_ = t.locked(func() error {
			now := t.process.control.View().Map()
			if _, ok := now.Slot(k.slot()).Holder(t.id()); !ok {
				t.process.node.sim.checks.sees(t.id(), now)
				t.disk().remove(k)
			}
			return nil
		})
	}
}

// reconcile gets from an owner what it has in some slots, and reports that this target has it.
func (t *simTarget) reconcile(owner cluster.NodeID, slots slotsByEpoch) {
	ctx, cancel := context.WithTimeout(t.process.life, 5*time.Second)
	defer cancel()
	from := t.process.control.me()
	records, err := ask(ctx, t, owner, func(other *simTarget) (map[simKey]simObject, error) { return other.stream(ctx, from, slots) })
	if err != nil {
		return
	}
	t.pass(300*time.Millisecond + t.flaw().slowBytes) // the bytes
	keys := t.disk().keys(func(k simKey) bool { _, lacks := records[k]; return !lacks })
	for k := range records {
		keys = append(keys, k)
	}
	for _, k := range keys {
		epoch, ok := slots.epoch(k.slot())
		if !ok {
			continue
		}
		t.moment()
		if err := t.locked(func() error { return t.take(owner, epoch, k, records[k]) }); err != nil {
			return
		}
	}
	t.moment()
	if err := t.process.control.Synced(ctx, slots); err == nil {
		t.process.node.sim.checks.event("%s has caught up with %s", t.id(), owner)
	}
}

func (s slotsByEpoch) epoch(slot cluster.Slot) (cluster.Epoch, bool) {
	for epoch, slots := range s {
		if slots.Has(slot) {
			return epoch, true
		}
	}
	return 0, false
}

// take makes a key what the owner had, unless the slot has another epoch by now.
func (t *simTarget) take(owner cluster.NodeID, epoch cluster.Epoch, k simKey, v simObject) error {
	m := t.process.control.View().Map()
	n, _ := m.Node(owner)
	h, err := t.follows(processOf(n), k.slot(), epoch)
	if err != nil {
		return err
	}
	if t.flaw().dropExtras {
		h.Admitted = 1 << 60
	}
	t.disk().reconcile(k, v, h.Admitted)
	return nil
}

// stream is the owner's part: what is visible in the slots, if it serves all of them under these epochs.
func (t *simTarget) stream(ctx context.Context, to process, slots slotsByEpoch) (map[simKey]simObject, error) {
	for _, k := range t.disk().keys(func(k simKey) bool { _, ok := slots.epoch(k.slot()); return ok }) {
		if _, err := t.serve(ctx, k.slot()); err != nil {
			return nil, err
		}
	}
	t.moment()
	records := make(map[simKey]simObject)
	err := t.locked(func() error {
		if !names(t.process.control.View().Map(), to) {
			return simUnavailable("another process")
		}
		if err := t.process.control.CheckLease(); err != nil {
			return err
		}
		for epoch, set := range slots {
			for slot := range set.All() {
				if s, err := t.owns(slot); err != nil || s.Epoch != epoch {
					return simUnavailable("the slot has moved")
				}
			}
		}
		for _, k := range t.disk().keys(func(k simKey) bool { _, ok := slots.epoch(k.slot()); return ok }) {
			s, _ := t.owns(k.slot())
			if owned, ok := t.settled[k.slot()]; !ok || owned != s.Owned {
				return simUnavailable("not settled")
			}
			if v, ok := t.visible[k]; ok {
				records[k] = v
			}
		}
		return nil
	})
	return records, err
}

// dropDoubts is the mistake that a restarted holder decides by itself: what the owner does not show yet, it drops.
func (t *simTarget) dropDoubts() {
	for _, k := range t.disk().keys(func(k simKey) bool { return true }) {
		owner, _ := t.process.control.View().Map().Owner(k.slot())
		if owner == t.id() {
			continue
		}
		ctx, cancel := context.WithTimeout(t.process.life, silence)
		shown, err := ask(ctx, t, owner, func(other *simTarget) (v simObject, err error) {
			err = other.locked(func() error { v = other.visible[k]; return nil })
			return v, err
		})
		cancel()
		if err == nil {
			t.disk().change(k, func(r *simRecord) {
				for i := len(r.prepared) - 1; i >= 0; i-- {
					if shown.generation.Less(r.prepared[i].generation) {
						r.prepared = append(r.prepared[:i], r.prepared[i+1:]...)
					}
				}
			})
		}
	}
}
