package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// Settling decides line by line, so a change of several lines that was given up must not be in doubt anywhere behind a later one:
// of the later one's lines that one would count, of the others the one that was given up. docs/consistency.md, "Leftovers".

// passed is how far the turns of one owner have come at the keys of a shard: a turn ends before the next one at these keys takes
// a generation, so a prepare that is lower than one that has arrived is of a turn that has ended.
type passed struct {
	incarnation cluster.Incarnation // of the owner
	last        uint64              // the highest counter of all prepares
	alone       uint64              // the highest of those whose turns held the lock alone; parts go side by side
}

// isLate reports whether the turn of a prepare has ended, as later ones of the same owner tell; else it notes the prepare. The
// lock of the copies must be held.
func (h *shard) isLate(owner cluster.Incarnation, r *PrepareRequest) bool {
	p := h.passed[r.Node]
	if p.incarnation != owner {
		p = passed{incarnation: owner}
	}
	counter, part := r.Generation.Counter, r.Records[0].Kind == meta.UploadPart
	if part && counter < p.alone || !part && counter < p.last {
		return true
	}
	p.last = max(p.last, counter)
	if !part {
		p.alone = counter
	}
	if h.passed == nil {
		h.passed = make(map[cluster.NodeID]passed)
	}
	h.passed[r.Node] = p
	return false
}

// mixes reports whether a record may be one of several that its change put: that of a part is alone.
func mixes(ref meta.Ref) bool { return ref.Kind != meta.UploadPart }

// doubt notes that records are in doubt here.
func (h *shard) doubt(refs ...meta.Ref) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, ref := range refs {
		if !mixes(ref) {
			continue
		}
		id := ident{bucket: ref.Bucket, key: ref.Key}
		if !slices.Contains(h.doubts[id], ref) {
			h.doubts[id] = append(h.doubts[id], ref)
		}
	}
}

// decided notes that records are in doubt no more, or are known to be visible.
func (h *shard) decided(refs ...meta.Ref) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, ref := range refs {
		id := ident{bucket: ref.Bucket, key: ref.Key}
		of, known := h.doubts[id]
		if !known {
			continue
		}
		of = slices.DeleteFunc(of, func(r meta.Ref) bool { return r == ref })
		if len(of) == 0 {
			delete(h.doubts, id)
			continue
		}
		h.doubts[id] = of
	}
}

// doubtsOf returns what may be in doubt of a key.
func (h *shard) doubtsOf(id ident) []meta.Ref {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.doubts[id])
}

// loadDoubts notes what an earlier process left in doubt on a mountpath.
func (s *Store) loadDoubts(ctx context.Context, m *mountpath) error {
	for ref, err := range m.index.Doubts(ctx) {
		if err != nil {
			return err
		}
		s.shard(ref.Bucket, ref.Key).doubt(ref)
	}
	return nil
}

// leftovers returns what the owner has to judge before a prepare is carried out here: all that is in doubt of each earlier
// generation of the key that has a record in a line to which the prepare adds none. The lock of the copies must be held.
func (m *mountpath) leftovers(h *shard, r *PrepareRequest) ([]meta.Ref, error) {
	h.decided(r.Visible...)
	id := ident{bucket: r.Records[0].Bucket, key: r.Records[0].Key}
	var left []meta.Ref
	var reach []cluster.Generation // of those with a record in another line
	for _, ref := range h.doubtsOf(id) {
		if slices.Contains(r.Abandon, ref) {
			continue
		}
		doubt, err := m.index.InDoubt(ref)
		if err != nil {
			return nil, err
		}
		if !doubt {
			h.decided(ref)
			continue
		}
		left = append(left, ref)
		if !slices.ContainsFunc(r.Records, func(x *meta.Record) bool { return sameLine(x.Ref, ref) }) {
			reach = append(reach, ref.Generation)
		}
	}
	return slices.DeleteFunc(left, func(ref meta.Ref) bool { return !slices.Contains(reach, ref.Generation) }), nil
}

// sameLine reports whether of two records of a key only the newer one counts.
func sameLine(a, b meta.Ref) bool {
	return slices.Equal(kindsOf(a.Kind), kindsOf(b.Kind)) && a.Version == b.Version && a.Upload == b.Upload && a.Part == b.Part
}

// judge tells which of a holder's doubts are visible. All others were given up, or replaced by what the holder has, too.
func (r *rounds) judge(doubts []meta.Ref) (visible, dead []meta.Ref, err error) {
	t := r.turn
	for _, ref := range doubts {
		if ref.Bucket != t.id.bucket || ref.Key != t.id.key || !mixes(ref) || !ref.Generation.Less(r.request.Generation) {
			return nil, nil, fmt.Errorf("%s cannot be a leftover before %s", ref, r.request.Generation)
		}
		shown, err := t.store.shows(t.m, ref)
		switch {
		case err != nil:
			return nil, nil, err
		case shown:
			visible = append(visible, ref)
		default:
			dead = append(dead, ref)
		}
	}
	return visible, dead, nil
}
