package store

import (
	"context"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// SealBucket waits for the commits in flight in a bucket that Writable refuses by now, and reports whether it is empty.
// Uploads in progress do not count: they go with the bucket.
func (s *Store) SealBucket(ctx context.Context, id cluster.BucketID) (bool, error) {
	const op = "target/store.SealBucket"
	n := name{bucket: &cluster.BucketEntry{ID: id}}
	inside, err := s.enter(s.operations, op, n)
	if err != nil {
		return false, err
	}
	defer s.operations.leave(inside)
	if err := s.commits.wait(ctx); err != nil {
		return false, n.wrap(op, cluster.KindUnavailable, err)
	}
	defer s.hold()()
	placing := s.placing()
	for _, m := range s.mounted() {
		if !s.looksAt(placing, m, func(cluster.Slot) bool { return true }) {
			continue
		}
		empty, err := s.emptyOn(ctx, m, id)
		if err != nil || !empty {
			return false, n.wrapRead(op, err)
		}
	}
	return true, nil
}

// emptyOn reports whether a mountpath has no object of a bucket, not even one that is prepared: that one may yet appear. Copies
// in slots that another node owns count where this one is in sync: if the slot moves while the targets are asked one after
// the other, one of the two has been asked about it.
func (s *Store) emptyOn(ctx context.Context, m *mountpath, id cluster.BucketID) (bool, error) {
	if err := m.err(); err != nil {
		return false, err
	}
	if err := m.cleaner.drain(ctx); err != nil {
		return false, err
	}
	for _, kind := range []meta.Kind{meta.Current, meta.Noncurrent, meta.Tombstone} {
		for r, err := range m.index.Scan(ctx, meta.Range{Kind: kind, Bucket: id, NoData: true}).All() {
			if err != nil {
				return false, err
			}
			if kind == meta.Tombstone && !r.Marker || !s.matters(s.placing(), m, r.Slot()) {
				continue
			}
			if counts, err := s.countsAsContent(m, r); counts || err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

// countsAsContent reports whether a record keeps a bucket from being empty.
func (s *Store) countsAsContent(m *mountpath, r *meta.Record) (bool, error) {
	const op = "target/store.countsAsContent"
	if !s.slots.foreign.Load() {
		return true, nil
	}
	now := s.council.Map()
	if now.Slot(r.Slot()).Owner() == s.o.Node {
		return true, nil
	}
	if h, holds := s.holding(now, r.Slot()); !holds || !h.InSync {
		return false, nil
	}
	line, err := m.line(r.Ref)
	if err != nil || len(line) == 0 || isVersion(line[0]) || line[0].Kind == meta.Noncurrent {
		return err == nil && len(line) > 0, err
	}
	doubt, err := m.index.InDoubt(line[0].Ref)
	if err == nil && doubt {
		// The delete may be acknowledged: a bucket that its user has just emptied must not count as full.
		err = cluster.Fail(op, string(r.Key), cluster.KindUnavailable, "the owner has not said yet whether the object is deleted")
	}
	return false, err
}

// DropBucket forgets a bucket that is gone, and frees in the background what it had. It may be called again; what a crash
// keeps it from doing, a later sweep does.
func (s *Store) DropBucket(ctx context.Context, id cluster.BucketID) error {
	const op = "target/store.DropBucket"
	n := name{bucket: &cluster.BucketEntry{ID: id}}
	inside, err := s.enter(s.operations, op, n)
	if err != nil {
		return err
	}
	defer s.operations.leave(inside)
	if err := s.commits.wait(ctx); err != nil {
		return n.wrap(op, cluster.KindUnavailable, err)
	}
	defer s.hold()()
	for _, m := range s.mounted() {
		if m.failure.Load() != nil {
			continue // it is dropped there when the mountpath is back
		}
		if err := s.dropOn(ctx, m, id); err != nil {
			return n.wrap(op, cluster.KindOther, err)
		}
	}
	return nil
}

// dropOn removes everything of a bucket from one mountpath in one batch. The bytes are freed behind it; those that a crash
// leaves are orphans of an earlier boot, which the disk collects.
func (s *Store) dropOn(ctx context.Context, m *mountpath, id cluster.BucketID) error {
	if err := m.cleaner.drain(ctx); err != nil {
		return err
	}
	var places []disk.Place
	for _, kind := range []meta.Kind{meta.Current, meta.Noncurrent, meta.UploadPart} {
		for r, err := range m.index.Scan(ctx, meta.Range{Kind: kind, Bucket: id}).All() {
			if err != nil {
				return err
			}
			of, err := placesOf(m.index, r)
			if err != nil {
				return err
			}
			places = append(places, of...)
		}
	}
	batch := m.index.NewBatch()
	defer batch.Close()
	batch.DropBucket(id)
	if err := batch.Commit(true); err != nil {
		return err
	}
	m.cleaner.add(cleanup{free: places})
	return nil
}
