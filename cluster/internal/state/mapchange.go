package state

import (
	"fmt"
	"maps"
	"slices"

	"github.com/aisle-store/aisle/cluster"
)

// propose makes the pending map.
func (s *State) propose(p Propose) Result {
	if refusal := s.expectSteady(p.Base); refusal.Refused() {
		return refusal
	}
	for _, n := range p.Nodes {
		if old, ok := s.Active.Node(n.ID); s.Active.Removed[n.ID] || ok && old.Mode == cluster.NodeLost {
			return Refuse(cluster.KindDenied, string(n.ID), "this node has left the cluster for ever; start it with an empty directory to get a new id")
		}
	}
	m := s.Active.Clone()
	m.Version = s.LastVersion + 1
	enter(m, p.Nodes)
	if refusal := move(m, p.Moves); refusal.Refused() {
		return refusal
	}
	if p.Leave != "" {
		if refusal := leave(m, p.Leave); refusal.Refused() {
			return refusal
		}
	}
	s.Pending, s.LastVersion = m, m.Version
	return Result{Version: m.Version}
}

// setModes changes the modes of nodes. What follows from that is up to the leader.
func (s *State) setModes(c SetModes) Result {
	if len(c.Modes) == 0 {
		return Refuse(cluster.KindInvalid, "", "no node is named")
	}
	m := s.Active.Clone()
	changed := false
	for _, id := range slices.Sorted(maps.Keys(c.Modes)) {
		mode := c.Modes[id]
		n, ok := m.Node(id)
		switch {
		case !ok:
			return Refuse(cluster.KindNotFound, string(id), "there is no such node; `aisle show smap` lists them")
		case !mode.Valid():
			return Refuse(cluster.KindInvalid, string(mode), "this is not a mode of nodes")
		case n.Mode == cluster.NodeLost && mode != n.Mode:
			return Refuse(cluster.KindConflict, string(id), "the node is lost for ever")
		}
		changed = changed || n.Mode != mode
		n.Mode = mode
		m.SetNode(n)
	}
	if !changed {
		return Result{Version: s.Active.Version}
	}
	return s.replaceActive(m)
}

// enter registers nodes that join or come back. A new incarnation gets new epochs for the slots that its node holds.
func enter(m *cluster.Map, nodes []cluster.Node) {
	reborn := make(map[cluster.NodeID]bool)
	for _, n := range nodes {
		old, ok := m.Node(n.ID)
		if ok && old.Incarnation != n.Incarnation {
			reborn[n.ID] = true
		}
		n.Mountpaths, n.Remounted = withStates(n.Mountpaths, old.Mountpaths), old.Remounted
		if n.Mode = old.Mode; n.Mode == cluster.NodeShutdown && reborn[n.ID] {
			n.Mode = cluster.NodeActive
		}
		m.SetNode(n)
	}
	if len(reborn) == 0 {
		return
	}
	for i := range m.Slots {
		m.Slots[i] = afterReturn(m.Slots[i], reborn)
	}
}

// afterReturn is the state of a slot after some nodes came back as new incarnations.
func afterReturn(s cluster.SlotState, reborn map[cluster.NodeID]bool) cluster.SlotState {
	if slices.ContainsFunc(s.Holders, func(h cluster.Holder) bool { return reborn[h.Node] }) {
		s.Epoch++
		if reborn[s.Owner()] {
			s.Owned = s.Epoch
		}
	}
	return s
}

// move gives slots to new owners, each under an epoch above every one that was served.
func move(m *cluster.Map, moves map[cluster.NodeID]*cluster.SlotSet) Result {
	for _, id := range slices.Sorted(maps.Keys(moves)) {
		if refusal := checkPlaces(m, []Place{{Node: id}}); refusal.Refused() {
			return refusal
		}
		shared := make(map[sharing][]cluster.Holder)
		sole := make(map[cluster.Epoch][]cluster.Holder) // one value for all slots of the same epoch
		for slot := range moves[id].All() {
			if int(slot) >= len(m.Slots) {
				return noSlot(slot)
			}
			old := m.Slots[slot]
			epoch := old.Epoch + 1
			key := sharingOf(old)
			holders, ok := shared[key]
			if h, known := old.Holder(id); !ok && known && h.InSync && id != old.Owner() {
				holders = ownedBy(id, old.Holders, epoch, m.Layouts[slot.Layout()])
				shared[key] = holders
			} else if !ok && isLost(m, old) && id != old.Owner() {
				holders = begunAnew(id, epoch, m, old)
				shared[key] = holders
			} else if !ok {
				if refusal := checkSole(m, slot, old, id); refusal.Refused() {
					return refusal
				}
				if sole[epoch] == nil {
					sole[epoch] = soleHolder(id, epoch)
				}
				holders = sole[epoch]
			}
			m.Slots[slot] = cluster.SlotState{Epoch: epoch, Owned: epoch, Holders: holders}
		}
	}
	return Result{}
}

// ownedBy returns the holders of a slot with another one first, from an epoch on. An owner that was partial catches up from then
// on, when those that are whole can give it what it lost.
func ownedBy(id cluster.NodeID, old []cluster.Holder, epoch cluster.Epoch, layout cluster.Layout) []cluster.Holder {
	holders := make([]cluster.Holder, 1, len(old))
	heir, _ := cluster.SlotState{Holders: old}.Holder(id)
	for i, h := range old {
		if h.Node == id {
			holders[0] = h
			continue
		}
		if i == 0 && h.Partial && heir.Whole() && layout.Whole(old) >= layout.Needed() {
			h = cluster.Holder{Node: h.Node, Admitted: epoch, Shard: h.Shard}
		}
		holders = append(holders, h)
	}
	return holders
}

// isLost reports whether every holder that is in sync is lost, and there is one.
func isLost(m *cluster.Map, s cluster.SlotState) bool {
	lost := false
	for _, h := range s.Holders {
		if n, _ := m.Node(h.Node); h.InSync {
			if n.Mode != cluster.NodeLost {
				return false
			}
			lost = true
		}
	}
	return lost
}

// begunAnew returns the holders of a slot whose content is lost, but for what its new owner has of it: those that were catching
// up do so from there.
func begunAnew(id cluster.NodeID, epoch cluster.Epoch, m *cluster.Map, old cluster.SlotState) []cluster.Holder {
	h, _ := old.Holder(id)
	holders := []cluster.Holder{{Node: id, InSync: true, Admitted: epoch, Shard: h.Shard}}
	for _, h := range old.Holders {
		if n, _ := m.Node(h.Node); h.Node != id && n.Mode != cluster.NodeLost {
			holders = append(holders, cluster.Holder{Node: h.Node, Admitted: epoch, Shard: h.Shard})
		}
	}
	return holders
}

// checkSole refuses to give a slot to a node that is not in sync, unless one copy is kept of what is in it, and its owner is
// the only one that has it: then it stays with the owner if there is anything.
func checkSole(m *cluster.Map, slot cluster.Slot, old cluster.SlotState, id cluster.NodeID) Result {
	inSync := 0
	for _, h := range old.Holders {
		if h.InSync {
			inSync++
		}
	}
	if m.Layouts[slot.Layout()].Width() > 1 || inSync > 1 || id == old.Owner() {
		return Refuse(cluster.KindConflict, string(id), fmt.Sprintf("the node is not in sync in slot %d, or owns it", slot))
	}
	return Result{}
}

func noSlot(slot cluster.Slot) Result {
	return Refuse(cluster.KindInvalid, "", fmt.Sprintf("the map has no layout %d, and so no slot %d", slot.Layout(), slot))
}

// leave takes a node out. It must own nothing in the new map; where it keeps a copy, it is a holder no longer.
func leave(m *cluster.Map, id cluster.NodeID) Result {
	if _, ok := m.Node(id); !ok {
		return Refuse(cluster.KindNotFound, string(id), "the node is not in the map")
	}
	if len(m.Nodes) == 1 {
		return Refuse(cluster.KindConflict, string(id), "the last node cannot leave")
	}
	if n := m.OwnedBy()[id]; n > 0 {
		return Refuse(cluster.KindConflict, string(id), fmt.Sprintf("nobody takes over %d slots of the node", n))
	}
	m.RemoveNode(id)
	shared := make(map[*cluster.Holder][]cluster.Holder)
	for i := range m.Slots {
		old := &m.Slots[i]
		if _, ok := old.Holder(id); !ok {
			continue
		}
		first := &old.Holders[0]
		if shared[first] == nil {
			shared[first] = slices.DeleteFunc(slices.Clone(old.Holders), func(h cluster.Holder) bool { return h.Node == id })
		}
		layout := m.Layouts[cluster.Slot(i).Layout()]
		if left := layout.InSync(shared[first]); left < layout.Needed() && left < layout.InSync(old.Holders) {
			return Refuse(cluster.KindConflict, string(id), fmt.Sprintf("only %d of %s would be left", left, layout))
		}
		old.Holders = shared[first]
		old.Epoch++
	}
	return Result{}
}

// activate makes the pending map active, with the slots that stay.
func (s *State) activate(a Activate) Result {
	if refusal := s.expectPending(a.Version); refusal.Refused() {
		return refusal
	}
	m := s.Pending.Clone()
	reborn := make(map[cluster.NodeID]bool)
	for _, n := range m.Nodes {
		before, ok := s.Active.Node(n.ID)
		reborn[n.ID] = ok && before.Incarnation != n.Incarnation
	}
	for slot := range a.Kept.All() {
		if int(slot) >= len(m.Slots) {
			return noSlot(slot)
		}
		old := s.Active.Slots[slot]
		for _, h := range old.Holders {
			if _, ok := m.Node(h.Node); !ok {
				return Refuse(cluster.KindInvalid, string(h.Node), "a slot cannot stay with a node that leaves")
			}
		}
		m.Slots[slot] = afterReturn(old, reborn)
	}
	s.Active, s.Pending = m, nil
	return Result{Version: m.Version}
}

func (s *State) cancel(c Cancel) Result {
	if refusal := s.expectPending(c.Version); refusal.Refused() {
		return refusal
	}
	s.Pending = nil
	return Result{}
}

func (s *State) expectPending(v cluster.MapVersion) Result {
	if s.Pending == nil || s.Pending.Version != v {
		return Refuse(cluster.KindConflict, "", fmt.Sprintf("map %d is not pending", v))
	}
	return Result{}
}
