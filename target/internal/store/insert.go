package store

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// This file puts what frozen.go reads under a frozen id where nothing is yet. docs/consistency.md, "Changing a bucket's layout".

// Settled reports whether a key has an object or a tombstone here: then what is under the frozen id does not count any more.
// The object is returned when there is one.
func (s *Store) Settled(call Call, bucket cluster.BucketEntry, key cluster.ObjectKey) (bool, *Info, error) {
	const op = "target/store.Settled"
	n := name{bucket: &bucket, key: key}
	shard := s.shard(n.bucket.ID, n.key)
	shard.lock.RLock() // an object and its tombstone take each other's place: who reads both must not come between
	defer shard.lock.RUnlock()
	inside, err := s.enter(s.readers, op, n)
	if err != nil {
		return false, nil, err
	}
	defer s.readers.leave(inside)
	m := s.mountpath(n)
	record, err := s.newestOf(n, m)
	if err != nil {
		return false, nil, s.unreadable(op, n, m, n.slot(), call.Epoch, err)
	}
	if err := s.check(op, n, n.slot(), call.Epoch); err != nil || record == nil {
		return false, nil, err
	}
	if record.Kind == meta.Tombstone {
		return true, nil, nil
	}
	return true, infoOf(record), nil
}

// InsertRequest asks for what was under a frozen id to be put where nothing is yet.
type InsertRequest struct {
	Epoch  cluster.Epoch
	Bucket cluster.BucketEntry // with the frozen id under it
	Key    cluster.ObjectKey
	Frozen *Frozen
	Body   io.Reader // the bytes of the object, or of the piece
}

// Missing returns the pieces of a frozen key, but for the current object, that are not here as they are there.
func (s *Store) Missing(ctx context.Context, r *InsertRequest) (missing []FrozenPiece, err error) {
	const op = "target/store.Missing"
	n := name{bucket: &r.Bucket, key: r.Key}
	inside, err := s.enter(s.readers, op, n)
	if err != nil {
		return nil, err
	}
	defer s.readers.leave(inside)
	defer s.still()()
	m := s.mountpath(n)
	here, err := s.piecesHere(ctx, n, m)
	if err != nil {
		return nil, s.unreadable(op, n, m, n.slot(), r.Epoch, err)
	}
	for _, x := range slices.Concat(r.Frozen.versions, r.Frozen.parts) {
		if !isMoved(here[pieceKeyOf(x)], x) {
			missing = append(missing, FrozenPiece{x.Ref})
		}
	}
	return missing, s.check(op, n, n.slot(), r.Epoch)
}

// pieceKey names a piece of a key, whatever its generation.
type pieceKey struct {
	version uint64
	upload  cluster.UploadID
	part    uint32
}

func pieceKeyOf(r *meta.Record) pieceKey {
	return pieceKey{version: r.Version, upload: r.Upload, part: r.Part}
}

// piecesHere returns the visible versions of a key that are not current, and the parts of its uploads.
func (s *Store) piecesHere(ctx context.Context, n name, m *mountpath) (map[pieceKey]*meta.Record, error) {
	if err := m.err(); err != nil {
		return nil, err
	}
	versions, err := s.noncurrentOf(ctx, m, n)
	if err != nil {
		return nil, err
	}
	parts, err := s.partsUnder(ctx, m, n, "")
	if err != nil {
		return nil, err
	}
	here := make(map[pieceKey]*meta.Record, len(versions)+len(parts))
	for _, r := range slices.Concat(versions, parts) {
		here[pieceKeyOf(r)] = r
	}
	return here, nil
}

// isMoved reports whether a record (nil for none) is what a frozen version or part was moved to. A version says of what generation
// it was. A part keeps the request that made it, which a gateway may repeat; who writes a part again does so at another time.
func isMoved(here, frozen *meta.Record) bool {
	switch {
	case here == nil:
		return false
	case frozen.Kind == meta.Noncurrent:
		return here.Request == movedFrom(frozen.Generation)
	}
	return here.Request == frozen.Request && here.Modified.Equal(frozen.Modified) && here.ETag == frozen.ETag && here.Size == frozen.Size
}

// movedFrom stands for the request that made a version which is not current and was moved from a frozen id.
func movedFrom(g cluster.Generation) cluster.RequestID {
	return cluster.RequestID("moved from " + g.String())
}

// InsertPiece makes a version that is not current, or a part of an upload, of one that was under a frozen id; in the place of what
// an earlier attempt made of it. Where the key has an object, a delete marker or a tombstone it does nothing: all is moved then.
// Until Insert the piece is not shown.
func (s *Store) InsertPiece(ctx context.Context, r *InsertRequest) error {
	const op = "target/store.InsertPiece"
	n := name{bucket: &r.Bucket, key: r.Key}
	inside, err := s.enter(s.operations, op, n)
	if err != nil {
		return err
	}
	defer s.operations.leave(inside)
	old := r.Frozen.newest
	if old == nil || old.Kind != meta.Noncurrent && old.Kind != meta.UploadPart {
		return n.fail(op, cluster.KindInvalid, "that is no piece that is moved by itself")
	}
	record, err := movedRecord(n, old)
	if err != nil {
		return n.wrap(op, cluster.KindOther, err)
	}
	call := Call{Request: old.Request, Epoch: r.Epoch}
	if old.Kind == meta.Noncurrent {
		call.Request = movedFrom(old.Generation)
	}
	c := &change{put: []*meta.Record{record}}
	t, err := s.beginInsert(ctx, op, n, call, c, r)
	if t == nil {
		return err
	}
	defer t.end()
	defer c.discard()
	if old.Kind == meta.UploadPart {
		_, err := t.putPart(record, c.body)
		return err
	}
	before, err := t.noncurrent(record.Version, (*meta.Index).Peek)
	if err != nil || isMoved(before, old) {
		return err
	}
	if c.replaces = before; before != nil {
		if c.free, err = t.places(before); err != nil {
			return err
		}
	}
	return t.commit(c)
}

// Insert makes an object, a delete marker or a tombstone of what was under a frozen id, with everything that is known of it but
// its generation, and with it the uploads of the key. Where there is one of the three it does nothing: that is newer. Pieces have
// to be here before; those that the frozen key has not go.
func (s *Store) Insert(ctx context.Context, r *InsertRequest) error {
	const op = "target/store.Insert"
	n := name{bucket: &r.Bucket, key: r.Key}
	inside, err := s.enter(s.operations, op, n)
	if err != nil {
		return err
	}
	defer s.operations.leave(inside)
	if r.Frozen.IsEmpty() {
		return nil
	}
	c, err := r.change(n)
	if err != nil {
		return n.wrap(op, cluster.KindOther, err)
	}
	t, err := s.beginInsert(ctx, op, n, Call{Request: c.put[0].Request, Epoch: r.Epoch}, c, r)
	if t == nil {
		return err
	}
	defer t.end()
	defer c.discard()
	if err := t.tidy(ctx, c, r.Frozen); err != nil {
		return err
	}
	if err := t.commit(c); err != nil {
		return err
	}
	for _, record := range c.put {
		if record.Kind == meta.UploadTombstone {
			s.sweeper.expire(t.m, record.Ref, s.o.Clock()+max(s.o.RetryWindow, s.o.UploadGrace))
		}
	}
	return nil
}

// beginInsert receives the bytes of the first record of a change and begins its turn. There is none, and nothing is left to
// discard, when it fails, or when all of the key is moved already.
func (s *Store) beginInsert(ctx context.Context, op string, n name, call Call, c *change, r *InsertRequest) (*turn, error) {
	m := s.mountpath(n)
	if _, err := s.admit(op, n, n.slot(), call, m); err != nil {
		return nil, err
	}
	record := c.put[0]
	record.Generation.Epoch = r.Epoch // for what lies beside the bytes; the commit gives the whole generation
	if record.Kind != meta.Tombstone && !record.Marker {
		if err := s.receiveFrozen(ctx, m, n, c, r.Body); err != nil {
			c.discard()
			return nil, n.wrap(op, cluster.KindOther, err)
		}
	}
	t, err := s.begin(op, n, call)
	if err != nil {
		c.discard()
		return nil, err
	}
	current, tombstone, err := t.visible((*meta.Index).Peek)
	settled := current != nil || tombstone != nil
	if err == nil && !settled {
		// When the conversion has ended, the tombstone that would have stopped this may be forgotten.
		if s.authority.Under(r.Bucket.ID) != r.Bucket.Under {
			err = t.fail(cluster.KindUnavailable, "the objects of the bucket are not being moved any more")
		} else {
			err = t.adoptFrozen(ctx, c)
		}
	}
	if err != nil || settled {
		t.end()
		c.discard()
		return nil, err
	}
	return t, nil
}

// discard frees the bytes that a commit has not taken over.
func (c *change) discard() {
	for _, b := range c.all() {
		b.discard()
	}
}

// movedRecord is what a frozen record becomes: all of it, but its generation and where its bytes lie.
func movedRecord(n name, old *meta.Record) (*meta.Record, error) {
	record := &meta.Record{Ref: n.ref(old.Kind), Fields: old.Fields}
	record.Version, record.Upload, record.Part = old.Version, old.Upload, old.Part
	record.Parts = slices.Clone(old.Parts)
	record.Inline, record.HasManifest = nil, false
	if record.PartCount != len(record.Parts) {
		return nil, fmt.Errorf("%d of %d parts are named", len(record.Parts), record.PartCount)
	}
	return record, nil
}

// change is what Insert commits, but for the bytes.
func (r *InsertRequest) change(n name) (*change, error) {
	c := &change{ownRequests: true}
	record := &meta.Record{Ref: n.ref(meta.Tombstone)} // where only requests or uploads are left there was nothing
	if old := r.Frozen.newest; old != nil {
		var err error
		if record, err = movedRecord(n, old); err != nil {
			return nil, err
		}
	}
	c.put = []*meta.Record{record}
	for _, old := range r.Frozen.uploads {
		upload, err := movedRecord(n, old)
		if err != nil {
			return nil, err
		}
		c.add(upload, meta.Ref{})
	}
	for _, old := range r.Frozen.replaced {
		kept := &meta.Record{Ref: n.ref(old.Kind), Fields: old.Fields}
		kept.Upload = old.Upload
		c.beside = append(c.beside, kept)
	}
	return c, nil
}

// tidy completes the change of Insert: it fails when a piece is missing, and takes away what earlier attempts have moved and the
// frozen key has no more. Nothing but such attempts makes versions where nothing is current; uploads may have begun here.
func (t *turn) tidy(ctx context.Context, c *change, f *Frozen) error {
	here, err := t.store.piecesHere(ctx, t.name, t.m)
	if err != nil {
		return t.readFailed(err)
	}
	for _, x := range slices.Concat(f.versions, f.parts) {
		if !isMoved(here[pieceKeyOf(x)], x) {
			return t.fail(cluster.KindUnavailable, "what is to be moved has changed meanwhile")
		}
		delete(here, pieceKeyOf(x))
	}
	for _, x := range here {
		if x.Kind == meta.UploadPart {
			if _, err := t.store.upload(t.op, t.name, t.m, x.Upload); err == nil {
				continue
			} else if !cluster.Is(err, cluster.KindUploadNotFound) {
				return err
			}
			c.remove = append(c.remove, x)
			c.end(t, x.Upload) // it has other holders remove it
		} else {
			t.retire(c, x)
		}
		places, err := t.places(x)
		if err != nil {
			return err
		}
		c.free = append(c.free, places...)
	}
	return nil
}

// end adds the end of an upload, if the change has none.
func (c *change) end(t *turn, id cluster.UploadID) {
	if !slices.ContainsFunc(c.put, func(r *meta.Record) bool { return r.Kind == meta.UploadTombstone && r.Upload == id }) {
		c.add(t.uploadTombstone(id), meta.Ref{})
	}
}

// receiveFrozen receives the bytes of the first record of a change, part by part, and notes there where they lie.
func (s *Store) receiveFrozen(ctx context.Context, m *mountpath, n name, c *change, from io.Reader) error {
	record := c.put[0]
	c.place() // nowhere yet
	defer c.place()
	if record.PartCount == 0 {
		var err error
		c.body, err = s.receivePiece(ctx, m, n, from, record.Stored(), record.Sums, record)
		return err
	}
	for i := range record.Parts {
		p := &record.Parts[i]
		b, err := s.receivePiece(ctx, m, n, io.LimitReader(from, p.Stored()), p.Stored(), p.Sums, record)
		if err != nil {
			return err
		}
		c.bodies = append(c.bodies, b)
	}
	return nil
}

// place notes in the first record where the bytes of the change lie.
func (c *change) place() {
	record := c.put[0]
	record.Place, record.Coding, record.Inline = disk.Place{}, nil, nil
	if c.body != nil {
		record.Place, record.Coding, record.Inline = c.body.place, c.body.coding, c.body.inline
	}
	for i := range record.Parts {
		p := &record.Parts[i]
		p.Place, p.Coding, p.Inline = disk.Place{}, nil, nil
		if i < len(c.bodies) {
			p.Place, p.Coding, p.Inline = c.bodies[i].place, c.bodies[i].coding, c.bodies[i].inline
		}
	}
}

// adoptFrozen brings the bytes of a change to the mountpath of its key, should that be another one by now.
func (t *turn) adoptFrozen(ctx context.Context, c *change) error {
	for _, b := range c.all() {
		if err := t.bring(ctx, b, c.put[0]); err != nil {
			return err
		}
	}
	c.place()
	return nil
}

// receivePiece receives bytes that have known checksums.
func (s *Store) receivePiece(ctx context.Context, m *mountpath, n name, from io.Reader, size int64, sums Sums, record *meta.Record) (*body, error) {
	in := incoming{body: from, size: size, bucket: cluster.ChecksumNone, expect: sums}
	if record.Composite && record.PartCount == 0 || record.Encryption != nil {
		in.expect = nil // they are of checksums of parts, or of other bytes than these: those of the key that is moved along
	}
	return s.receive(ctx, m, n, in, func(*body) *meta.Record { return record })
}
