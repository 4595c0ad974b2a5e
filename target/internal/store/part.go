package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/zeebo/xxh3"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// PutPart writes one part of an upload.
func (s *Store) PutPart(ctx context.Context, r *PutPartRequest) (*PartInfo, error) {
	const op = "target/store.PutPart"
	n := name{bucket: &r.Bucket, key: r.Key}
	if r.Number < 1 || r.Number > MaxParts {
		return nil, n.fail(op, cluster.KindInvalid, fmt.Sprintf("part numbers are 1 to %d", MaxParts))
	}
	inside, err := s.enter(s.operations, op, n)
	if err != nil {
		return nil, err
	}
	defer s.operations.leave(inside)

	m := s.mountpath(n)
	if _, err := s.admit(op, n, n.slot(), r.Call, m); err != nil {
		return nil, err
	}
	record := s.newPart(n, r)
	var done *PartInfo
	claim, ended, err := s.accept(op, n, r.Call, r.Number, func(t *turn) (_ bool, err error) {
		done, err = t.earlierPart(record.Ref)
		return done != nil, err
	})
	if err != nil || ended {
		return done, err
	}
	defer claim.release()
	release := s.hold()
	m = s.mountpath(n)
	upload, err := s.upload(op, n, m, r.Upload)
	release()
	if err != nil {
		return nil, err
	}
	if err := otherChecksum(upload.Want, r.Want); err != nil {
		return nil, n.wrap(op, cluster.KindInvalid, err)
	}
	in, err := r.incoming(upload)
	if err != nil {
		return nil, n.wrap(op, cluster.KindOther, err)
	}
	b, err := s.receive(ctx, m, n, in, func(b *body) *meta.Record {
		b.fill(record)
		return record
	})
	if err != nil {
		return nil, n.wrap(op, cluster.KindOther, err)
	}
	defer b.discard()
	b.fill(record)

	t, err := s.beginPart(op, n, r)
	if err != nil {
		return nil, err
	}
	defer t.end()
	if err := t.adopt(ctx, b, record); err != nil {
		return nil, err
	}
	return t.putPart(record, b)
}

// OtherChecksum is wrapped by KindInvalid: a part came with a checksum of another type than those of its upload.
type OtherChecksum struct{ Upload, Part cluster.ChecksumType }

// Error says which.
func (o *OtherChecksum) Error() string {
	return fmt.Sprintf("the upload has checksums of type %s, the part one of type %s", o.Upload, o.Part)
}

// otherChecksum returns an error when a part comes with a type that its upload, which has some, has not.
func otherChecksum(upload, part []cluster.ChecksumType) error {
	for _, t := range part {
		if len(upload) > 0 && !slices.Contains(upload, t) {
			return &OtherChecksum{upload[0], t}
		}
	}
	return nil
}

// beginPart is begin for one part: parts of an upload are committed side by side, but not while the upload is being ended.
// A Complete that was given up names the bytes of parts, and would go forward in the next epoch: it is dropped before a part
// of it is replaced, in a turn that holds the lock alone.
func (s *Store) beginPart(op string, n name, r *PutPartRequest) (*turn, error) {
	for {
		t := s.newTurn(op, n, r.Call)
		t.shard.lock.RLock()
		t.part = &s.parts[(xxh3.HashString(string(r.Upload))+uint64(r.Number))%uint64(len(s.parts))]
		t.part.Lock()
		if len(t.shard.abandoned(t.id)) == 0 {
			return t.begin(func() error {
				_, err := s.upload(op, n, t.m, r.Upload)
				return err
			})
		}
		t.part.Unlock()
		t.shard.lock.RUnlock()
		alone, err := s.begin(op, n, r.Call)
		if err != nil {
			return nil, err
		}
		alone.end()
	}
}

// putPart commits a part in the place of the one with the same number. A part is not shown before it is durable because
// whoever looks at parts holds the lock that this turn shares.
func (t *turn) putPart(record *meta.Record, b *body) (*PartInfo, error) {
	before, err := t.m.index.Get(record.Ref, func(g cluster.Generation) bool { return t.shard.prepared(t.id, g) })
	if err != nil {
		return nil, t.wrap(err)
	}
	if t.isShared() {
		return t.putPartShared(record, before, b)
	}
	g, err := t.generation(&change{replaces: before})
	if err != nil {
		return nil, err
	}
	record.Generation = g
	batch := t.m.index.NewBatch()
	defer batch.Close()
	if err := batch.Put(record); err != nil {
		return nil, t.wrap(err)
	}
	if _, err := t.keepReplaced(batch, before, g); err != nil {
		return nil, err
	}
	var free []disk.Place
	if before != nil {
		batch.Delete(before)
		free = []disk.Place{before.Place}
	}
	t.markSlot(batch)
	b.kept = true
	if err := t.prepare(batch); err != nil {
		t.remember(int(record.Part), outcome{wrote: true}) // perhaps: what is there tells
		return nil, err
	}
	t.m.cleaner.add(cleanup{id: t.id, free: free})
	info := partOf(record, record.Part)
	t.remember(int(record.Part), outcome{part: info})
	return info, nil
}

// RepeatedPart is Repeated for a part: r failed with err before its turn came.
func (s *Store) RepeatedPart(r *PutPartRequest, err error) (*PartInfo, error) {
	const op = "target/store.RepeatedPart"
	if cluster.Is(err, cluster.KindUnavailable) {
		return nil, err
	}
	n := name{bucket: &r.Bucket, key: r.Key}
	t, refused := s.begin(op, n, r.Call)
	if refused != nil {
		return nil, refused
	}
	defer t.end()
	if done, earlier := t.earlierPart(s.newPart(n, r).Ref); done != nil || earlier != nil {
		return done, earlier
	}
	if err := s.checkAge(op, n, r.Call); err != nil {
		return nil, err
	}
	t.remember(r.Number, outcome{err: err})
	return nil, err
}

// earlierPart returns the part that an earlier attempt of the same request wrote, or the error with which one failed, or
// neither.
func (t *turn) earlierPart(ref meta.Ref) (*PartInfo, error) {
	o, known, err := t.recall(int(ref.Part))
	switch {
	case err != nil:
		return nil, err
	case known && !o.wrote:
		return o.part, o.err
	}
	before, err := t.m.index.Get(ref, func(g cluster.Generation) bool { return t.shard.prepared(t.id, g) })
	if err != nil {
		return nil, t.wrap(err)
	}
	made, err := t.replayed(before)
	return partOf(made, ref.Part), err
}

// putPartShared is the rest of putPart in a slot with several holders: the part that is replaced stays until all have the new
// one.
func (t *turn) putPartShared(record, before *meta.Record, b *body) (*PartInfo, error) {
	c := &change{put: []*meta.Record{record}, replaces: before, body: b, part: true}
	if before != nil {
		c.free = []disk.Place{before.Place}
	}
	if err := t.commitShared(c, nil); err != nil {
		return nil, err
	}
	info := partOf(record, record.Part)
	t.remember(int(record.Part), outcome{part: info})
	return info, nil
}

// partHidden reports whether a part was given up after it was prepared. Those that are being prepared hold the lock that
// whoever asks holds.
func (t *turn) partHidden(ref meta.Ref) bool { return t.shard.prepared(t.id, ref.Generation) }

// incoming is the part's body. It gets the checksums that the upload keeps, also when the request states none, or the default one,
// and is encrypted as the upload says.
func (r *PutPartRequest) incoming(upload *meta.Record) (incoming, error) {
	in := incoming{
		body: r.Body, size: r.Size, bucket: r.Bucket.Props.Checksum, want: slices.Concat(upload.Want, r.Want), expect: r.Expect, trailer: r.Trailer,
		unique: fmt.Sprintf("%s\x00%s\x00%d", r.Request, r.Upload, r.Number), part: r.Number,
	}
	if r.Default != "" && len(upload.Want) == 0 && !upload.Encryption.IsSecret() {
		in.want = append(in.want, r.Default)
	}
	if r.Encrypt == nil && upload.Encryption != nil {
		return in, cluster.Fail("", "", cluster.KindInvalid, "the parts of the upload are encrypted")
	}
	if r.Encrypt == nil {
		return in, nil
	}
	var err error
	in.encrypt, err = r.Encrypt(upload.Encryption)
	return in, err
}

func (s *Store) newPart(n name, r *PutPartRequest) *meta.Record {
	record := &meta.Record{Ref: n.ref(meta.UploadPart)}
	record.Upload, record.Part = r.Upload, uint32(r.Number)
	record.Generation.Epoch = r.Epoch
	record.Modified = s.o.Now()
	record.Request = r.Request
	return record
}

// partOf is what a record says of a part; nil of nil.
func partOf(r *meta.Record, number uint32) *PartInfo {
	if r == nil {
		return nil
	}
	return &PartInfo{Number: int(number), Size: r.Size, ETag: r.ETag, Sums: r.Sums, Modified: r.Modified, Encryption: r.Encryption}
}

// Parts returns one page of an upload's parts.
func (s *Store) Parts(ctx context.Context, r *PartsRequest) (*PartsResult, error) {
	const op = "target/store.Parts"
	n := name{bucket: &r.Bucket, key: r.Key}
	t, err := s.begin(op, n, r.Call)
	if err != nil {
		return nil, err
	}
	defer t.end()
	upload, err := s.upload(op, n, t.m, r.Upload)
	if err != nil {
		return nil, err
	}
	result := &PartsResult{Upload: *uploadOf(upload)}
	scan := meta.Range{Kind: meta.UploadPart, Bucket: n.bucket.ID, Key: n.key, Upload: r.Upload, FromPart: uint32(max(r.After, 0)) + 1, NoData: true, Hidden: t.partHidden}
	for record, err := range t.m.index.Scan(ctx, scan).All() {
		if err != nil {
			return nil, t.wrap(err)
		}
		if r.Limit > 0 && len(result.Parts) == r.Limit {
			result.More = true
			break
		}
		result.Parts = append(result.Parts, *partOf(record, record.Part))
	}
	return result, s.check(op, n, t.slot, r.Epoch)
}
