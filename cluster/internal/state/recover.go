package state

import (
	"fmt"
	"slices"

	"github.com/aisle-store/aisle/cluster"
)

// Loss is what goes with nodes that are lost for ever, in slots of layouts that a bucket has.
type Loss struct {
	Gone     int // nobody is left who holds them: what was in them is lost
	Doubtful int // nobody is left who was in sync, or too few shards: what is left may be old or incomplete
}

// Recover returns the state of a cluster that goes on without some nodes for ever, and what goes with them. It is for use when the
// control plane cannot do it, for it has lost its majority: nobody serves, and no map is being changed any more. Slots whose
// owner is lost go to a holder in sync that is left; those that lose all their holders begin empty at a node that is left.
func (s *State) Recover(dead []cluster.NodeID) (*State, Loss, error) {
	next := *s
	m := s.Active.Clone()
	for _, id := range dead {
		if _, ok := m.Node(id); !ok && !m.Removed[id] {
			return nil, Loss{}, fmt.Errorf("there is no node %s in the cluster", id)
		}
		m.RemoveNode(id)
	}
	left := m.Targets()
	if len(left) == 0 {
		return nil, Loss{}, fmt.Errorf("no target is left")
	}
	used := make(map[cluster.LayoutID]bool)
	for _, b := range s.Buckets {
		used[b.ID.Layout()] = true
	}
	var loss Loss
	type result struct {
		state cluster.SlotState
		loss  Loss
	}
	shared := make(map[sharing]result)
	for i := range m.Slots {
		old := m.Slots[i]
		if !slices.ContainsFunc(old.Holders, func(h cluster.Holder) bool { return slices.Contains(dead, h.Node) }) {
			continue
		}
		layout := cluster.Slot(i).Layout()
		r, ok := shared[sharingOf(old)]
		if !ok || len(r.state.Holders) == 0 {
			r.state, r.loss = survive(old, dead, m.Layouts[layout])
			shared[sharingOf(old)] = r
		}
		if used[layout] {
			loss.Gone, loss.Doubtful = loss.Gone+r.loss.Gone, loss.Doubtful+r.loss.Doubtful
		}
		if len(r.state.Holders) == 0 {
			r.state.Holders = soleHolder(left[i%len(left)].ID, r.state.Epoch)
		}
		m.Slots[i] = r.state
	}
	next.LastVersion++
	m.Version = next.LastVersion
	next.Active, next.Pending = m, nil
	return &next, loss, nil
}

// survive is the state of a slot after some of its holders are lost for ever, and what is lost. One without holders is returned
// when nobody is left.
func survive(old cluster.SlotState, dead []cluster.NodeID, layout cluster.Layout) (cluster.SlotState, Loss) {
	now := cluster.SlotState{Epoch: old.Epoch + 1, Owned: old.Owned}
	now.Holders = slices.DeleteFunc(slices.Clone(old.Holders), func(h cluster.Holder) bool { return slices.Contains(dead, h.Node) })
	if len(now.Holders) == 0 {
		now.Owned = now.Epoch
		return now, Loss{Gone: 1}
	}
	var loss Loss
	if layout.Whole(now.Holders) < layout.Needed() {
		loss.Doubtful = 1
	}
	first := slices.IndexFunc(now.Holders, cluster.Holder.Whole)
	if first < 0 {
		first = slices.IndexFunc(now.Holders, func(h cluster.Holder) bool { return h.InSync })
	}
	if first < 0 {
		first = 0
		now.Holders[0].InSync = true // whatever it has is all that there is
	}
	if heir := now.Holders[first]; heir.Node != old.Owner() {
		now.Holders = slices.Insert(slices.Delete(now.Holders, first, first+1), 0, heir)
		now.Owned = now.Epoch
	}
	return now, loss
}
