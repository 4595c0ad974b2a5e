package state

import (
	"fmt"

	"github.com/aisle-store/aisle/cluster"
)

// addLayout appends a layout to the active map, with the holders that the proposer chose.
func (s *State) addLayout(c AddLayout) Result {
	if refusal := s.expectSteady(c.Base); refusal.Refused() {
		return refusal
	}
	if err := c.Layout.Validate(); err != nil {
		return Refuse(cluster.KindInvalid, "", err.Error())
	}
	if _, ok := s.Active.LayoutID(c.Layout); ok || len(s.Active.Layouts) >= cluster.MaxLayouts {
		return Refuse(cluster.KindConflict, "", fmt.Sprintf("the map has %d layouts, %s among them: %v", len(s.Active.Layouts), c.Layout, ok))
	}
	m := s.Active.Clone()
	id := m.AddLayout(c.Layout)
	var seen cluster.SlotSet
	for _, p := range c.Slots {
		if refusal := checkPlaces(m, p.Holders); refusal.Refused() {
			return refusal
		}
		if len(p.Holders) != c.Layout.Width() {
			return Refuse(cluster.KindInvalid, "", fmt.Sprintf("%d holders for a layout of %s", len(p.Holders), c.Layout))
		}
		holders := make([]cluster.Holder, len(p.Holders))
		for i, place := range p.Holders {
			holders[i] = cluster.Holder{Node: place.Node, InSync: true, Admitted: 1}
			if c.Layout.Data > 0 {
				holders[i].Shard = uint8(i)
			}
		}
		for slot := range p.Slots.All() {
			if slot.Layout() != id {
				return noSlot(slot)
			}
			m.Slots[slot] = cluster.SlotState{Epoch: 1, Owned: 1, Holders: holders}
		}
		seen.AddAll(p.Slots)
	}
	if seen.Len() != cluster.Slots {
		return Refuse(cluster.KindInvalid, "", fmt.Sprintf("a new layout has holders for %d slots", seen.Len()))
	}
	return s.replaceActive(m)
}

// reshape changes the holders of slots, never the owner.
func (s *State) reshape(c Reshape) Result {
	if refusal := s.expectActive(c.Base); refusal.Refused() {
		return refusal
	}
	m := s.Active.Clone()
	var seen cluster.SlotSet
	for _, change := range c.Changes {
		if refusal := checkPlaces(m, change.Holders); refusal.Refused() {
			return refusal
		}
		shared := make(map[sharing][]cluster.Holder) // so that slots which shared their holders do so again
		for slot := range change.Slots.All() {
			if int(slot) >= len(m.Slots) {
				return noSlot(slot)
			}
			if seen.Has(slot) {
				return Refuse(cluster.KindInvalid, "", fmt.Sprintf("slot %d is changed twice", slot))
			}
			old := m.Slots[slot]
			key := sharingOf(old)
			holders, ok := shared[key]
			if !ok {
				var refusal Result
				if holders, refusal = reshaped(m.Layouts[slot.Layout()], old, change.Holders); refusal.Refused() {
					return refusal
				}
				shared[key] = holders
			}
			m.Slots[slot] = cluster.SlotState{Epoch: old.Epoch + 1, Owned: old.Owned, Holders: holders}
		}
		seen.AddAll(change.Slots)
	}
	return s.replaceActive(m)
}

// sharing tells slots apart of which the same change makes different ones.
type sharing struct {
	epoch   cluster.Epoch
	holders *cluster.Holder
}

func sharingOf(s cluster.SlotState) sharing {
	if len(s.Holders) == 0 {
		return sharing{epoch: s.Epoch}
	}
	return sharing{epoch: s.Epoch, holders: &s.Holders[0]}
}

// reshaped returns the new holders of a slot. Who is in sync was so before; who was not among them, or was in sync and is no
// longer, or keeps another shard, is admitted by the new epoch. Those in sync must be enough to read everything.
func reshaped(layout cluster.Layout, old cluster.SlotState, places []Place) ([]cluster.Holder, Result) {
	if places[0].Node != old.Owner() || !places[0].InSync {
		return nil, Refuse(cluster.KindConflict, string(places[0].Node), fmt.Sprintf("the owner of a slot is %q, and stays it", old.Owner()))
	}
	holders := make([]cluster.Holder, len(places))
	for i, p := range places {
		h, known := old.Holder(p.Node)
		switch {
		case p.Shard > 0 && int(p.Shard) >= layout.Data+layout.Parity:
			return nil, Refuse(cluster.KindInvalid, string(p.Node), fmt.Sprintf("there is no shard %d of %s", p.Shard, layout))
		case p.InSync && (!h.InSync || p.Shard != h.Shard):
			return nil, Refuse(cluster.KindConflict, string(p.Node), "the node is not in sync")
		case !known || h.InSync && !p.InSync || p.Shard != h.Shard:
			h = cluster.Holder{Node: p.Node, Admitted: old.Epoch + 1, Shard: p.Shard}
		}
		holders[i] = h
	}
	if left := layout.InSync(holders); left < min(layout.Needed(), layout.InSync(old.Holders)) {
		return nil, Refuse(cluster.KindConflict, "", fmt.Sprintf("only %d of %s would be left", left, layout))
	}
	return holders, Result{}
}

// checkPlaces refuses holders that are no targets of the map, or named twice, or none or too many.
func checkPlaces(m *cluster.Map, places []Place) Result {
	if len(places) == 0 || len(places) > 2*cluster.MaxWidth {
		return Refuse(cluster.KindInvalid, "", fmt.Sprintf("%d holders", len(places)))
	}
	seen := make(map[cluster.NodeID]bool, len(places))
	for _, p := range places {
		n, ok := m.Node(p.Node)
		if !ok || !n.Roles.Has(cluster.Target) || seen[p.Node] {
			return Refuse(cluster.KindConflict, string(p.Node), "the node is not a target, or named twice")
		}
		seen[p.Node] = true
	}
	return Result{}
}

// inSync marks a holder in sync where it still catches up under the epochs named. Epochs do not change by it.
func (s *State) inSync(c InSync) Result {
	if refusal := s.expectSteady(s.Active.Version); refusal.Refused() {
		return refusal
	}
	if n, ok := s.Active.Node(c.Node); !ok || n.Incarnation != c.Incarnation {
		return Refuse(cluster.KindConflict, string(c.Node), "the map does not name this process")
	}
	m := s.Active.Clone()
	marked := make(map[*cluster.Holder][]cluster.Holder)
	for epoch, slots := range c.Slots {
		for slot := range slots.All() {
			old := m.Slot(slot)
			if h, ok := old.Holder(c.Node); !ok || h.InSync || old.Epoch != epoch {
				continue
			}
			holders, ok := marked[&old.Holders[0]]
			if !ok {
				holders = markInSync(old.Holders, c.Node)
				marked[&old.Holders[0]] = holders
			}
			m.Slots[slot].Holders = holders
		}
	}
	if len(marked) == 0 {
		return Result{Version: s.Active.Version}
	}
	return s.replaceActive(m)
}

func markInSync(old []cluster.Holder, id cluster.NodeID) []cluster.Holder {
	holders := make([]cluster.Holder, len(old))
	for i, h := range old {
		h.InSync = h.InSync || h.Node == id
		holders[i] = h
	}
	return holders
}

// replaceActive makes a map active in one step.
func (s *State) replaceActive(m *cluster.Map) Result {
	m.Version = s.LastVersion + 1
	s.Active, s.Pending, s.LastVersion = m, nil, m.Version
	return Result{Version: m.Version}
}

// expectActive refuses a change that was made for another map than the active one.
func (s *State) expectActive(base cluster.MapVersion) Result {
	if s.Active.Version != base {
		return Refuse(cluster.KindConflict, "", fmt.Sprintf("map %d is active, the change was made for %d", s.Active.Version, base))
	}
	return Result{}
}

// expectSteady refuses it also while a map is pending.
func (s *State) expectSteady(base cluster.MapVersion) Result {
	if s.Pending != nil {
		return Refuse(cluster.KindConflict, "", fmt.Sprintf("map %d is pending", s.Pending.Version))
	}
	return s.expectActive(base)
}
