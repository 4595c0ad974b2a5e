package store

import (
	"context"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// Update changes an object's metadata; its bytes, its ETag and its checksums stay.
func (s *Store) Update(_ context.Context, r *UpdateRequest) (*Info, error) {
	const op = "target/store.Update"
	n := name{bucket: &r.Bucket, key: r.Key}
	t, err := s.begin(op, n, r.Call)
	if err != nil {
		return nil, err
	}
	defer t.end()

	current, tombstone, err := t.visible((*meta.Index).Get)
	if err != nil {
		return nil, err
	}
	if made, ended, err := t.earlier(newest(current, tombstone)); ended || err != nil {
		return infoOf(made), err
	}
	if r.Version != "" {
		if current, err = t.chosen(r.Version, newest(current, tombstone)); err != nil {
			return nil, err
		}
	}
	if r.Unversioned && t.bucket.Props.Versioning != cluster.VersioningOff {
		return nil, t.fail(cluster.KindConflict, "the bucket has versions by now")
	}
	if err := t.writable(); err != nil {
		return nil, err
	}
	if current != nil && r.Judge != nil {
		if err := r.Judge(infoOf(current)); err != nil {
			return nil, t.refuse(err)
		}
	}
	if current != nil && r.Keys != nil {
		if err := r.Keys.Check(current.Encryption, current.PartCount > 0, current.Size); err != nil {
			return nil, t.refuse(err)
		}
	}
	err = r.If.forWrite(op, n, stateOf(current))
	if err == nil && current == nil {
		err = t.fail(cluster.KindObjectNotFound, "does not exist")
	}
	if err == nil && r.Lock != nil {
		err = t.relockable(current, r.Lock)
	}
	if err != nil {
		return nil, t.refuse(err)
	}
	record, err := t.edited(current, r)
	if err != nil {
		return nil, err
	}
	c := &change{put: []*meta.Record{record}, replaces: current, from: []meta.Ref{current.Ref}, telling: telling{r.Notices, record, r.Owner}}
	if current.Kind == meta.Noncurrent {
		c.note = record
	}
	if err := t.commit(c); err != nil {
		return nil, err
	}
	return infoOf(record), nil
}

// edited is a copy of a record with other metadata, which names the same bytes.
func (t *turn) edited(current *meta.Record, r *UpdateRequest) (*meta.Record, error) {
	record := *current
	if record.PartCount > 0 {
		parts, err := t.m.index.Parts(current)
		if err != nil {
			return nil, t.wrap(err)
		}
		record.Parts, record.HasManifest = parts, false
	}
	md := metadataOf(current)
	if r.Edit != nil {
		r.Edit(&md)
	}
	md.Lock = lockOf(current)
	if r.Lock != nil {
		r.Lock.apply(&md.Lock)
	}
	describe(&record, &md)
	if !r.KeepModified {
		record.Modified = t.store.o.Now()
	}
	return &record, nil
}

// writable returns nil when the mountpath takes writes that are not deletes.
func (t *turn) writable() error {
	err := t.m.writeErr()
	if err == nil {
		err = t.m.disk.CheckSpace(0)
	}
	return t.readFailed(err)
}
