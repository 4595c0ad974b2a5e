package store

import (
	"context"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// Put writes an object: durable and visible when it returns.
func (s *Store) Put(ctx context.Context, r *PutRequest) (*Info, error) {
	const op = "target/store.Put"
	n := name{bucket: &r.Bucket, key: r.Key}
	inside, err := s.enter(s.operations, op, n)
	if err != nil {
		return nil, err
	}
	defer s.operations.leave(inside)

	m := s.mountpath(n)
	if _, err := s.admit(op, n, n.slot(), r.Call, m); err != nil {
		return nil, err
	}
	var done *Info
	claim, ended, err := s.accept(op, n, r.Call, 0, func(t *turn) (ended bool, err error) {
		done, ended, err = t.earlierObject()
		return ended, err
	})
	if err != nil || ended {
		return done, err
	}
	defer claim.release()
	record := s.newRecord(n, r)
	b, err := s.receive(ctx, m, n, r.incoming(), func(b *body) *meta.Record {
		b.fill(record)
		return record
	})
	if err != nil {
		return nil, n.wrap(op, cluster.KindOther, err)
	}
	defer b.discard()
	b.fill(record)

	t, err := s.begin(op, n, r.Call)
	if err != nil {
		return nil, err
	}
	defer t.end()
	if err := t.adopt(ctx, b, record); err != nil {
		return nil, err
	}
	return t.put(record, b, r)
}

// put commits a new object in the place of the visible one.
func (t *turn) put(record *meta.Record, b *body, r *PutRequest) (*Info, error) {
	current, tombstone, err := t.visible(t.kept())
	if err != nil {
		return nil, err
	}
	if !r.Base.IsZero() && (current == nil || current.Generation != r.Base) {
		return nil, t.fail(cluster.KindConflict, "the object was written while it was being copied onto itself")
	}
	if err := r.If.forWrite(t.op, t.name, stateOf(current)); err != nil {
		return nil, t.refuse(err)
	}
	follow(record, current)
	record.LockMode, record.LockUntil = r.Lock.Mode, r.Lock.Until // by now the bucket may have another default
	retain(record, t.bucket.Props.Lock)
	c := &change{put: []*meta.Record{record}, body: b, telling: telling{r.Notices, record, r.Owner}}
	if err := t.supersede(c, newest(current, tombstone)); err != nil {
		return nil, err
	}
	if err := t.commit(c); err != nil {
		return nil, err
	}
	return infoOf(record), nil
}

// Repeated returns what an earlier attempt of a request wrote, or err, with which this attempt failed before its turn came:
// a copy that was made is not refused because its source is gone when the gateway asks again. An earlier attempt that comes
// late is refused, too.
func (s *Store) Repeated(call Call, bucket cluster.BucketEntry, key cluster.ObjectKey, err error) (*Info, error) {
	const op = "target/store.Repeated"
	if cluster.Is(err, cluster.KindUnavailable) {
		return nil, err
	}
	t, refused := s.begin(op, name{bucket: &bucket, key: key}, call)
	if refused != nil {
		return nil, refused
	}
	defer t.end()
	if done, ended, earlier := t.earlierObject(); ended || earlier != nil {
		return done, earlier
	}
	return nil, t.refuse(err)
}

func (r *PutRequest) incoming() incoming {
	return incoming{
		body: r.Body, size: r.Size, bucket: r.Bucket.Props.Checksum,
		want: r.Want, expect: r.Expect, trailer: r.Trailer, unique: string(r.Request) + "\x00" + string(r.Key), encrypt: r.Encrypt,
	}
}

// newRecord is the record of an object that is about to be written, but for what only its bytes tell.
func (s *Store) newRecord(n name, r *PutRequest) *meta.Record {
	now := s.o.Now()
	record := &meta.Record{Ref: n.ref(meta.Current)}
	record.Generation.Epoch = r.Epoch // for the footer; the commit gives the whole generation
	record.Created, record.Modified = now, now
	record.Owner, record.Request = r.Owner, r.Request
	describe(record, &r.Metadata)
	retain(record, n.bucket.Props.Lock)
	return record
}

// fill notes in a record what the bytes tell.
func (b *body) fill(r *meta.Record) {
	r.Size, r.ETag, r.Sums, r.Place, r.Coding, r.Inline, r.Encryption = b.size, b.etag, b.sums, b.place, b.coding, b.inline, b.encryption
}

// follow continues the count of the object that a record replaces.
func follow(record, current *meta.Record) {
	record.Counter = 1
	if current != nil {
		record.Counter = current.Counter + 1
		record.Created = current.Created
	}
}

// newest returns the one of the two that is there, if any.
func newest(current, tombstone *meta.Record) *meta.Record {
	if current != nil {
		return current
	}
	return tombstone
}

// places returns where the bytes of a visible object lie, to be freed when it is replaced.
func (t *turn) places(r *meta.Record) ([]disk.Place, error) {
	if r == nil {
		return nil, nil
	}
	places, err := placesOf(t.m.index, r)
	return places, t.readFailed(err)
}

func placesOf(index *meta.Index, r *meta.Record) ([]disk.Place, error) {
	var places []disk.Place
	if r.Place.Kind != disk.Nowhere {
		places = append(places, r.Place)
	}
	if r.PartCount == 0 {
		return places, nil
	}
	parts, err := index.Parts(r)
	for i := range parts {
		if parts[i].Place.Kind != disk.Nowhere {
			places = append(places, parts[i].Place)
		}
	}
	return places, err
}
