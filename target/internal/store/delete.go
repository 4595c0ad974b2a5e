package store

import (
	"context"

	"github.com/aisle-store/aisle/target/internal/meta"
)

// Delete removes an object. An absent key writes nothing.
func (s *Store) Delete(_ context.Context, r *DeleteRequest) (DeleteResult, error) {
	const op = "target/store.Delete"
	n := name{bucket: &r.Bucket, key: r.Key}
	t, err := s.begin(op, n, r.Call)
	if err != nil {
		return DeleteResult{}, err
	}
	defer t.end()

	current, tombstone, err := t.visible((*meta.Index).Peek)
	if err != nil {
		return DeleteResult{}, err
	}
	if done, err := t.replayed(newest(current, tombstone)); done != nil || err != nil {
		return DeleteResult{Existed: done != nil}, err
	}
	if o, ok := t.recall(0); ok {
		return DeleteResult{}, o.err
	}
	if err := r.If.forWrite(op, n, stateOf(current)); err != nil {
		t.remember(0, err)
		return DeleteResult{}, err
	}
	if current == nil {
		t.remember(0, nil)
		return DeleteResult{}, nil
	}
	places, err := t.places(current)
	if err != nil {
		return DeleteResult{}, err
	}
	grave := &meta.Record{Ref: n.ref(meta.Tombstone)}
	grave.Modified = s.o.Now()
	err = t.commit(&change{put: []*meta.Record{grave}, replaces: current, free: places, forget: true})
	return DeleteResult{Existed: err == nil}, err
}
