package store

import (
	"context"
	"slices"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// settleBatch is how many in-doubt keys are decided by one batch.
const settleBatch = 256

// settle decides every in-doubt key of the given slots, none of which is served meanwhile. This node is their only holder:
// what it had prepared goes forward, and the highest generation of a key is the one.
func (s *Store) settle(ctx context.Context, slots map[cluster.Slot]bool) error {
	for _, m := range s.mountpaths {
		if m.failure.Load() != nil {
			continue
		}
		if err := m.settle(ctx, slots); err != nil && m.err() == nil {
			return err
		}
	}
	for i := range s.shards {
		s.shards[i].settled(func(id ident) bool { return slots[cluster.SlotOf(id.bucket, id.key)] })
	}
	return nil
}

// settle decides what is in doubt on one mountpath.
func (m *mountpath) settle(ctx context.Context, slots map[cluster.Slot]bool) error {
	if err := m.cleaner.drain(ctx); err != nil {
		return err
	}
	doubts := make(map[ident][]meta.Ref)
	for ref, err := range m.index.Doubts(ctx) {
		if err != nil {
			return err
		}
		if slots[ref.Slot()] {
			id := ident{bucket: ref.Bucket, key: ref.Key}
			doubts[id] = append(doubts[id], ref)
		}
	}
	var work settlement
	for id, refs := range doubts {
		if err := m.decide(ctx, id, refs, &work); err != nil {
			return err
		}
		if len(work.settled) >= settleBatch {
			if err := m.apply(&work); err != nil {
				return err
			}
		}
	}
	return m.apply(&work)
}

// settlement is what the decisions of some keys come to.
type settlement struct {
	settled []meta.Ref
	remove  []*meta.Record
	free    []disk.Place
}

// decide settles one key: of the object's generations the highest stays; uploads that ended stay ended, and what only they
// name goes.
func (m *mountpath) decide(ctx context.Context, id ident, doubts []meta.Ref, work *settlement) error {
	work.settled = append(work.settled, doubts...)
	var generations []*meta.Record
	for _, kind := range []meta.Kind{meta.Current, meta.Tombstone} {
		of, err := m.index.Generations(meta.Ref{Kind: kind, Bucket: id.bucket, Key: id.key})
		if err != nil {
			return err
		}
		generations = append(generations, of...)
	}
	slices.SortFunc(generations, func(a, b *meta.Record) int {
		if b.Generation.Less(a.Generation) {
			return -1
		}
		return 1
	})
	var removed []*meta.Record
	if len(generations) > 0 {
		removed = generations[1:]
	}
	for _, ref := range doubts {
		if ref.Kind == meta.UploadTombstone {
			of, err := uploadRecords(ctx, m.index, ref)
			if err != nil {
				return err
			}
			removed = append(removed, of...)
		}
	}
	var kept []disk.Place
	if len(generations) > 0 {
		var err error
		if kept, err = placesOf(m.index, generations[0]); err != nil {
			return err
		}
	}
	return work.drop(m.index, removed, kept)
}

// drop removes records and frees their bytes but those that are kept.
func (w *settlement) drop(index *meta.Index, records []*meta.Record, kept []disk.Place) error {
	stays := make(map[disk.Place]bool, len(kept))
	for _, p := range kept {
		stays[p] = true
	}
	for _, r := range records {
		places, err := placesOf(index, r)
		if err != nil {
			return err
		}
		for _, p := range places {
			if !stays[p] {
				w.free = append(w.free, p)
			}
		}
	}
	w.remove = append(w.remove, records...)
	return nil
}

// apply carries out the decisions so far. The bytes are freed by the cleaner, for readers of the epoch before may still have
// their records in hand.
func (m *mountpath) apply(w *settlement) error {
	if len(w.settled) == 0 {
		return nil
	}
	batch := m.index.NewBatch()
	defer batch.Close()
	for _, ref := range w.settled {
		batch.Settle(ref)
	}
	for _, r := range w.remove {
		batch.Delete(r)
	}
	if err := batch.Commit(true); err != nil {
		return err
	}
	m.cleaner.add(cleanup{free: w.free})
	*w = settlement{}
	return nil
}
