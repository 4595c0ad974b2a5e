package state

import (
	"fmt"
	"maps"
	"slices"

	"github.com/aisle-store/aisle/cluster"
)

// propose makes the pending map.
func (s *State) propose(p Propose) Result {
	if s.Pending != nil {
		return Refuse(cluster.KindConflict, "", fmt.Sprintf("map %d is pending", s.Pending.Version))
	}
	if s.Active.Version != p.Base {
		return Refuse(cluster.KindConflict, "", fmt.Sprintf("map %d is active, the change was made for %d", s.Active.Version, p.Base))
	}
	for _, n := range p.Nodes {
		if s.Active.Removed[n.ID] {
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

// enter registers nodes that join or come back. A new incarnation gets new epochs for the slots that its node holds.
func enter(m *cluster.Map, nodes []cluster.Node) {
	reborn := make(map[cluster.NodeID]bool)
	for _, n := range nodes {
		if old, ok := m.Node(n.ID); ok && old.Incarnation != n.Incarnation {
			reborn[n.ID] = true
		}
		m.SetNode(n)
	}
	if len(reborn) == 0 {
		return
	}
	for i := range m.Slots {
		if slices.ContainsFunc(m.Slots[i].Holders, func(h cluster.Holder) bool { return reborn[h.Node] }) {
			m.Slots[i].Epoch++
		}
	}
}

// move gives slots to new owners, each under an epoch above every one that was served.
func move(m *cluster.Map, moves map[cluster.NodeID]*cluster.SlotSet) Result {
	for _, id := range slices.Sorted(maps.Keys(moves)) {
		holders := make(map[cluster.Epoch][]cluster.Holder) // one value for all slots of the same epoch
		for slot := range moves[id].All() {
			if int(slot) >= len(m.Slots) {
				return noSlot(slot)
			}
			epoch := m.Slots[slot].Epoch + 1
			if holders[epoch] == nil {
				holders[epoch] = soleHolder(id, epoch)
			}
			m.Slots[slot] = cluster.SlotState{Epoch: epoch, Holders: holders[epoch]}
		}
	}
	return Result{}
}

func noSlot(slot cluster.Slot) Result {
	return Refuse(cluster.KindInvalid, "", fmt.Sprintf("the map has no layout %d, and so no slot %d", slot.Layout(), slot))
}

// leave takes a node out. It must own nothing in the new map.
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
	return Result{}
}

// activate makes the pending map active, with the slots that stay.
func (s *State) activate(a Activate) Result {
	if refusal := s.expectPending(a.Version); refusal.Refused() {
		return refusal
	}
	m := s.Pending.Clone()
	for slot := range a.Kept.All() {
		if int(slot) >= len(m.Slots) {
			return noSlot(slot)
		}
		old := s.Active.Slots[slot]
		owner, ok := m.Node(old.Owner())
		if !ok {
			return Refuse(cluster.KindInvalid, string(old.Owner()), "a slot cannot stay with a node that leaves")
		}
		before, _ := s.Active.Node(owner.ID)
		if before.Incarnation != owner.Incarnation {
			old.Epoch++ // its owner came back by this same change
		}
		m.Slots[slot] = old
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
