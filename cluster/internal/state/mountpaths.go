package state

import (
	"fmt"
	"slices"

	"github.com/aisle-store/aisle/cluster"
)

// withStates returns the mountpaths that a node comes with, in the states that the map has of them: what a node says of itself
// when it starts is only which ones it has. One that the map does not know yet has to be filled, unless the node is new.
func withStates(mountpaths, known []cluster.Mountpath) []cluster.Mountpath {
	all := slices.Clone(mountpaths)
	for i := range all {
		all[i].State = cluster.MountpathEnabled
		if len(known) > 0 {
			all[i].State = cluster.MountpathFilling
		}
		if at := slices.IndexFunc(known, func(m cluster.Mountpath) bool { return m.ID == all[i].ID }); at >= 0 {
			all[i].State = known[at].State
		}
	}
	return all
}

// setMountpaths takes the word of a node for the state of its mountpaths, and draws the consequences for its slots.
func (s *State) setMountpaths(c SetMountpaths) Result {
	n, ok := s.Active.Node(c.Node)
	if !ok || n.Incarnation != c.Incarnation {
		return Refuse(cluster.KindConflict, string(c.Node), "the map does not name this process")
	}
	if c.Serial == n.Remounted && slices.Equal(c.Mountpaths, n.Mountpaths) {
		return Result{Version: s.Active.Version} // a copy of what was carried out
	}
	if c.Serial != n.Remounted+1 {
		return Refuse(cluster.KindConflict, string(c.Node), fmt.Sprintf("change %d of the node's mountpaths does not follow %d", c.Serial, n.Remounted))
	}
	if len(c.Mountpaths) == 0 || !n.Roles.Has(cluster.Target) {
		return Refuse(cluster.KindInvalid, string(c.Node), "a target has a mountpath at least, and nobody else has any")
	}
	for slot := range c.Kept.All() {
		if h, ok := s.Active.Slot(slot).Holder(c.Node); !ok || !h.Partial {
			return Refuse(cluster.KindConflict, string(c.Node), fmt.Sprintf("other targets have what the node lost in slot %d", slot))
		}
	}
	m := s.Active.Clone()
	before := n.Mountpaths
	n.Mountpaths, n.Remounted = c.Mountpaths, c.Serial
	m.SetNode(n)
	shared := make(map[int]map[sharing]cluster.SlotState) // by the mountpaths that they are on
	for i := range m.Slots {
		old := m.Slots[i]
		if _, ok := old.Holder(c.Node); !ok {
			continue
		}
		key, layout := sharingOf(old), m.Layouts[cluster.Slot(i).Layout()]
		if shared[layout.Mirror] == nil {
			shared[layout.Mirror] = make(map[sharing]cluster.SlotState)
		}
		now, ok := shared[layout.Mirror][key]
		if !ok {
			switch {
			case c.Lost && hasLost(layout.Mirror, before, n.Mountpaths):
				now = afterLoss(old, c.Node, layout)
			case !c.Lost && !hasFailed(layout.Mirror, n.Mountpaths):
				now = afterRepair(old, c.Node)
			default:
				now = old
			}
			shared[layout.Mirror][key] = now
		}
		m.Slots[i].Epoch, m.Slots[i].Holders = now.Epoch, now.Holders
	}
	return s.replaceActive(m)
}

// hasFailed reports whether a mountpath has failed that slots of that mirror are on.
func hasFailed(mirror int, all []cluster.Mountpath) bool {
	return slices.ContainsFunc(all, func(m cluster.Mountpath) bool { return m.Mirror == mirror && m.State == cluster.MountpathFailed })
}

// hasLost reports whether slots of that mirror have lost a mountpath that they were on. What fails on the disks below a mirror is
// no loss of it: the node says of the mirror itself when it has failed.
func hasLost(mirror int, before, now []cluster.Mountpath) bool {
	lost, others := false, false
	for _, m := range now {
		if m.State != cluster.MountpathFailed || failedBefore(m.ID, before) {
			continue
		}
		lost, others = lost || m.Mirror == mirror, others || m.Mirror != mirror
	}
	return lost || !others && mirror == 0
}

func failedBefore(id cluster.MountpathID, before []cluster.Mountpath) bool {
	return slices.ContainsFunc(before, func(m cluster.Mountpath) bool { return m.ID == id && m.State == cluster.MountpathFailed })
}

// afterLoss is the state of a slot after one of its holders has lost a mountpath. Its owner stays it, partial, until another one can
// be. Who is not the owner catches up, under a new epoch: so what it may be about to report under the old one counts no more.
// Where the owner is partial, too, or too few are whole, nobody could give it what it lost, and it may have what another one lost:
// it stays in sync, and is partial.
func afterLoss(s cluster.SlotState, id cluster.NodeID, layout cluster.Layout) cluster.SlotState {
	holders := slices.Clone(s.Holders)
	i := slices.IndexFunc(holders, func(h cluster.Holder) bool { return h.Node == id })
	stays := holders[i].InSync
	holders[i].Partial = stays
	s.Holders = holders
	if i > 0 && !(stays && (holders[0].Partial || layout.Whole(holders) < layout.Needed())) {
		s.Epoch++
		holders[i] = cluster.Holder{Node: id, Admitted: s.Epoch, Shard: holders[i].Shard}
	}
	return s
}

// afterRepair is the state of a slot after the mountpaths of one of its holders are all back.
func afterRepair(s cluster.SlotState, id cluster.NodeID) cluster.SlotState {
	i := slices.IndexFunc(s.Holders, func(h cluster.Holder) bool { return h.Node == id })
	if !s.Holders[i].Partial {
		return s
	}
	s.Holders = slices.Clone(s.Holders)
	s.Holders[i].Partial = false
	return s
}
