package store

import (
	"context"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// Delete removes an object. An absent key writes nothing. In a bucket with versions it makes a delete marker; with a version it
// removes that one for good.
func (s *Store) Delete(_ context.Context, r *DeleteRequest) (DeleteResult, error) {
	const op = "target/store.Delete"
	n := name{bucket: &r.Bucket, key: r.Key}
	t, err := s.begin(op, n, r.Call)
	if err != nil {
		return DeleteResult{}, err
	}
	defer t.end()
	switch {
	case r.Version != "":
		return t.deleteVersion(r)
	case t.bucket.Props.Versioning != cluster.VersioningOff:
		return t.mark(r)
	}
	return t.delete(r)
}

// delete removes the only version.
func (t *turn) delete(r *DeleteRequest) (DeleteResult, error) {
	current, tombstone, err := t.visible((*meta.Index).Peek)
	if err != nil {
		return DeleteResult{}, err
	}
	if made, ended, err := t.earlier(newest(current, tombstone)); ended || err != nil {
		return DeleteResult{Existed: made != nil}, err
	}
	if err := r.If.forDelete(t.op, t.name, stateOf(current)); err != nil {
		return DeleteResult{}, t.refuse(err)
	}
	if err := t.stands(r, current); err != nil {
		return DeleteResult{}, err
	}
	if current == nil {
		t.remember(0, outcome{})
		return DeleteResult{}, nil
	}
	c := &change{put: []*meta.Record{t.grave(meta.Tombstone)}, forget: true, telling: telling{r.Notices, current, r.Owner}}
	if err := t.supersede(c, current); err != nil {
		return DeleteResult{}, err
	}
	err = t.commit(c)
	return DeleteResult{Existed: err == nil}, err
}

// stands returns nil when what a delete would remove, or hide, is what it was asked to.
func (t *turn) stands(r *DeleteRequest, gone *meta.Record) error {
	if !r.Base.IsZero() && (gone == nil || gone.Generation != r.Base) {
		return t.fail(cluster.KindConflict, "it has been changed meanwhile")
	}
	return nil
}

// grave is a record that says that something is gone.
func (t *turn) grave(kind meta.Kind) *meta.Record {
	r := &meta.Record{Ref: t.name.ref(kind)}
	r.Modified = t.store.o.Now()
	return r
}
