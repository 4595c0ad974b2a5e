package store

import (
	"context"
	"slices"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// removeOld removes records that no gateway can ask for any more: at the other holders of their slots first, then here. So a
// holder never has what a tombstone hides without the tombstone, whoever of them is asked (R6). It waits for holders that
// catch up, and for those that do not answer. What belongs to slots of other owners is theirs to remove.
func (s *Store) removeOld(ctx context.Context, m *mountpath, refs []meta.Ref) error {
	refs = s.keepGraves(m, refs)
	if s.council == nil {
		return m.removeAll(ctx, refs)
	}
	now := s.council.Map()
	others := make(map[cluster.NodeID][]meta.Ref)
	keep := make(map[meta.Ref]bool)
	refs = slices.DeleteFunc(slices.Clone(refs), func(ref meta.Ref) bool { return now.Slot(ref.Slot()).Owner() != s.o.Node })
	for _, ref := range refs {
		st := now.Slot(ref.Slot())
		if len(st.Holders) == 1 {
			continue
		}
		late := slices.ContainsFunc(st.Holders, func(h cluster.Holder) bool { return !h.InSync })
		if late || s.isReadBefore(ref) || isGrave(ref.Kind) && ref.Generation.Epoch >= st.Epoch {
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
