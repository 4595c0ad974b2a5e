package store

import (
	"context"
	"slices"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// removeOld removes records that no gateway can ask for any more: at the other holders of their slots first, then here. So a
// holder never has what a tombstone hides without the tombstone, whoever of them is asked (R6). What has to wait for a holder that
// catches up, or for another epoch, is found again by the look for leftovers that the next map brings; what waits for an answer is
// tried again. What belongs to slots of other owners is theirs to remove.
func (s *Store) removeOld(ctx context.Context, m *mountpath, refs []meta.Ref) error {
	refs = s.keepGraves(m, refs)
	if s.council == nil {
		return m.removeAll(ctx, refs)
	}
	now := s.council.Map()
	others := make(map[cluster.NodeID][]meta.Ref)
	keep := make(map[meta.Ref]bool)
	refs = slices.DeleteFunc(slices.Clone(refs), func(ref meta.Ref) bool { return mustWait(now.Slot(ref.Slot()), ref, s.o.Node) })
	for _, ref := range refs {
		st := now.Slot(ref.Slot())
		if len(st.Holders) == 1 {
			continue
		}
		if s.isReadBefore(ref) {
			keep[ref] = true
			continue
		}
		for _, h := range st.Holders[1:] {
			others[h.Node] = append(others[h.Node], ref)
		}
	}
	for node, of := range others {
		for some := range slices.Chunk(of, sweepBatch) {
			if !s.forgetAt(ctx, now, node, some) {
				for _, ref := range some {
					keep[ref] = true
				}
			}
		}
	}
	gone := make([]meta.Ref, 0, len(refs))
	later := s.o.Clock() + s.o.RetryWindow
	for _, ref := range refs {
		if keep[ref] {
			s.sweeper.expire(m, ref, later)
			continue
		}
		gone = append(gone, ref)
	}
	return m.removeAll(ctx, gone)
}

// mustWait reports whether a record may go by a later map at the earliest: it is another node's to remove, a holder that catches up may
// have to be shown it, or it is a tombstone of this epoch (R7). A notice that was sent nobody is shown.
func mustWait(st cluster.SlotState, ref meta.Ref, self cluster.NodeID) bool {
	switch {
	case st.Owner() != self:
		return true
	case ref.Kind == meta.Notice || len(st.Holders) == 1:
		return false
	}
	late := slices.ContainsFunc(st.Holders, func(h cluster.Holder) bool { return !h.InSync })
	return late || isGrave(ref.Kind) && ref.Generation.Epoch >= st.Epoch
}

// keepGraves leaves out, for later, what says that an object is deleted while there may be one of the same key under the id
// that the bucket had before.
func (s *Store) keepGraves(m *mountpath, refs []meta.Ref) []meta.Ref {
	later := s.o.Clock() + s.o.RetryWindow
	return slices.DeleteFunc(slices.Clone(refs), func(ref meta.Ref) bool {
		if ref.Kind != meta.Tombstone || s.authority.Under(ref.Bucket) == 0 {
			return false
		}
		s.sweeper.expire(m, ref, later)
		return true
	})
}

// forgetAt has a holder forget some records, and reports whether it has.
func (s *Store) forgetAt(ctx context.Context, m *cluster.Map, node cluster.NodeID, refs []meta.Ref) bool {
	ctx, cancel := context.WithTimeout(ctx, tellWait)
	defer cancel()
	st, err := s.peers.Forget(ctx, node, &ForgetRequest{Sender: s.sender(m, node), Refs: refs})
	return err == nil && !st.Refused
}
