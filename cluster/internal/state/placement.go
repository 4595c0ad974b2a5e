package state

import (
	"slices"

	"github.com/aisle-store/aisle/cluster"
)

// Rank returns the order of the targets for each slot, the ideal owner first; by cluster.RankTargets in production.
type Rank func(targets []cluster.Node) func(cluster.Slot) []cluster.NodeID

// Moves returns the slots of one copy that should get another owner when nodes join: those without an owner, and those whose
// ideal owner is a node that was not in the map before and that nobody else is in sync with. What its owner keeps is found
// out later. The proposer calls it, and its result travels in the command.
func Moves(active *cluster.Map, nodes []cluster.Node, rank Rank) map[cluster.NodeID]*cluster.SlotSet {
	m := active.Clone()
	joining := make(map[cluster.NodeID]bool)
	for _, n := range nodes {
		old, known := active.Node(n.ID)
		n.Mode = old.Mode
		joining[n.ID] = n.Roles.Has(cluster.Target) && (!known || !old.Roles.Has(cluster.Target))
		m.SetNode(n)
	}
	targets := slices.DeleteFunc(m.Targets(), func(n cluster.Node) bool { return n.Mode != cluster.NodeActive })
	moves := make(map[cluster.NodeID]*cluster.SlotSet)
	if len(targets) == 0 || !anyMove(active, joining) {
		return moves
	}
	order := rank(targets)
	for i := range m.Slots {
		slot, holders := cluster.Slot(i), m.Slots[i].Holders
		if m.Layouts[slot.Layout()].Width() > 1 || len(holders) > 1 {
			continue
		}
		ranked := order(slot)
		if len(ranked) == 0 {
			return moves // no target has a weight
		}
		ideal, owner := ranked[0], m.Slots[i].Owner()
		if ideal == owner || owner != "" && !joining[ideal] {
			continue
		}
		if moves[ideal] == nil {
			moves[ideal] = &cluster.SlotSet{}
		}
		moves[ideal].Add(slot)
	}
	return moves
}

// anyMove reports whether it is worth ranking: most map changes only bring back a node.
func anyMove(active *cluster.Map, joining map[cluster.NodeID]bool) bool {
	for _, joins := range joining {
		if joins {
			return true
		}
	}
	for i := range active.Slots {
		if active.Slots[i].Owner() == "" {
			return true
		}
	}
	return false
}

// Taken returns the slots that a pending map takes from a node: those it owns in active and not in pending.
func Taken(active, pending *cluster.Map, from cluster.NodeID) *cluster.SlotSet {
	var taken cluster.SlotSet
	for i := range active.Slots {
		if active.Slots[i].Owner() == from && pending.Slots[i].Owner() != from {
			taken.Add(cluster.Slot(i))
		}
	}
	return &taken
}
