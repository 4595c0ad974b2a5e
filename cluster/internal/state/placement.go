package state

import (
	"github.com/aisle-store/aisle/cluster"
)

// Rank returns the targets for a slot, the ideal owner first; cluster.RankTargets in production.
type Rank func(s cluster.Slot, targets []cluster.Node) []cluster.NodeID

// Moves returns the slots that should get another owner when nodes join and leave (if not empty) goes: slots without an
// owner, slots of the node that leaves, and slots whose ideal owner is a node that was not in the map before. What its
// owner keeps is found out later. The proposer calls it, and its result travels in the command.
func Moves(active *cluster.Map, nodes []cluster.Node, leave cluster.NodeID, rank Rank) map[cluster.NodeID]*cluster.SlotSet {
	m := active.Clone()
	joining := make(map[cluster.NodeID]bool)
	for _, n := range nodes {
		old, known := active.Node(n.ID)
		joining[n.ID] = n.Roles.Has(cluster.Target) && (!known || !old.Roles.Has(cluster.Target))
		m.SetNode(n)
	}
	if leave != "" {
		m.RemoveNode(leave)
	}
	targets := m.Targets()
	moves := make(map[cluster.NodeID]*cluster.SlotSet)
	if len(targets) == 0 || !anyMove(active, joining, leave) {
		return moves
	}
	for i := range m.Slots {
		slot, owner := cluster.Slot(i), m.Slots[i].Owner()
		ranked := rank(slot, targets)
		if len(ranked) == 0 {
			return moves // no target has a weight
		}
		ideal := ranked[0]
		if ideal == owner || owner != "" && owner != leave && !joining[ideal] {
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
func anyMove(active *cluster.Map, joining map[cluster.NodeID]bool, leave cluster.NodeID) bool {
	for _, joins := range joining {
		if joins {
			return true
		}
	}
	if leave != "" {
		return true
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
