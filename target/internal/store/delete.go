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
	if made, ended, err := t.earlier(newest(current, tombstone)); ended || err != nil {
		return DeleteResult{Existed: made != nil}, err
	}
	if err := r.If.forWrite(op, n, stateOf(current)); err != nil {
		return DeleteResult{}, t.refuse(err)
	}
	if current == nil {
		t.remember(0, outcome{})
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
