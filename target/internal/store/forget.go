package store

import (
	"context"
	"slices"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// removeOld removes records that no gateway can ask for any more: at the other holders of their slots first, then here. Before
// any of them lets a tombstone go, all of them have durably let go what it hides: so a holder never has what a tombstone hides while
// another one has no tombstone, whoever of them is asked, or loses power (R6). What has to wait for a holder that
// catches up, or for another epoch, is found again by the look for leftovers that the next map brings; what waits for an answer is
// tried again. What belongs to slots of other owners is theirs to remove.
func (s *Store) removeOld(ctx context.Context, m *mountpath, refs []meta.Ref) error {
	refs = s.keepGraves(m, refs)
	if s.council == nil {
		return m.removeAll(ctx, refs)
	}
	now := s.council.Map()
	keep := make(map[meta.Ref]bool)
	refs = slices.DeleteFunc(slices.Clone(refs), func(ref meta.Ref) bool { return mustWait(now.Slot(ref.Slot()), ref, s.o.Node) })
	var graves []meta.Ref
	for _, ref := range refs {
		switch shared := len(now.Slot(ref.Slot()).Holders) > 1; {
		case shared && s.isReadBefore(ref):
			keep[ref] = true
		case shared && (isGrave(ref.Kind) || ref.Kind == meta.UploadTombstone):
			graves = append(graves, ref)
		}
	}
	if len(graves) > 0 {
		if err := m.letGo(ctx); err != nil {
			return err
		}
		s.forgetAtOthers(ctx, now, graves, keep, true)
	}
	s.forgetAtOthers(ctx, now, refs, keep, false)
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

// letGo makes durable that what visible tombstones hide is gone here, and that these are visible.
func (m *mountpath) letGo(ctx context.Context) error {
	if err := m.cleaner.drain(ctx); err != nil {
		return err
	}
	return m.index.Sync()
}

// forgetAtOthers has the other holders forget records, but for those that are to be kept, or, with graves, only what these hide. It
// adds to keep what a holder has not answered for.
func (s *Store) forgetAtOthers(ctx context.Context, m *cluster.Map, refs []meta.Ref, keep map[meta.Ref]bool, graves bool) {
	others := make(map[cluster.NodeID][]meta.Ref)
	for _, ref := range refs {
		if keep[ref] {
			continue
		}
		for _, h := range m.Slot(ref.Slot()).Holders[1:] {
			others[h.Node] = append(others[h.Node], ref)
		}
	}
	for node, of := range others {
		for some := range slices.Chunk(of, sweepBatch) {
			if !s.forgetAt(ctx, m, node, some, graves) {
				for _, ref := range some {
					keep[ref] = true
				}
			}
		}
	}
}

// forgetAt has a holder forget some records, or what they hide, and reports whether it has.
func (s *Store) forgetAt(ctx context.Context, m *cluster.Map, node cluster.NodeID, refs []meta.Ref, graves bool) bool {
	ctx, cancel := context.WithTimeout(ctx, tellWait)
	defer cancel()
	st, err := s.peers.Forget(ctx, node, &ForgetRequest{Sender: s.sender(m, node), Refs: refs, Keep: graves})
	return err == nil && !st.Refused
}
