package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// A bucket that gets another layout gets another id, and its objects are moved from the frozen id to that one, key by key:
// OpenFrozen reads what is under the frozen id, Insert puts it where nothing is yet. docs/consistency.md, "Changing a bucket's
// layout".

// Frozen is everything that is known of a key under a frozen id.
type Frozen struct {
	newest   *meta.Record   // the object, with its parts, or its tombstone; nil: neither
	replaced []*meta.Record // requests that made what was replaced since, and notices
	object   *Object        // of an object; nil when it was decoded
}

// IsEmpty reports whether there is nothing to be moved.
func (f *Frozen) IsEmpty() bool { return f.newest == nil && len(f.replaced) == 0 }

// Size returns how many bytes the object has, as they are stored.
func (f *Frozen) Size() int64 {
	if f.newest == nil {
		return 0
	}
	return storedSize(f.newest)
}

// Reader returns the bytes of the object.
func (f *Frozen) Reader() io.Reader {
	if f.object == nil {
		return eof{}
	}
	return f.object.Reader()
}

// Next returns the next bytes of the object, or io.EOF; it is Object.Next.
func (f *Frozen) Next() ([]byte, error) {
	if f.object == nil {
		return nil, io.EOF
	}
	return f.object.Next()
}

// Close lets go of the bytes.
func (f *Frozen) Close() error {
	if f.object == nil {
		return nil
	}
	return f.object.Close()
}

type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

// OpenFrozen returns what is under a frozen id: r.Bucket is its entry.
func (s *Store) OpenFrozen(ctx context.Context, r *GetRequest) (*Frozen, error) {
	const op = "target/store.OpenFrozen"
	n := name{bucket: &r.Bucket, key: r.Key}
	inside, err := s.enter(s.readers, op, n)
	if err != nil {
		return nil, err
	}
	defer s.readers.leave(inside)
	defer s.still()()
	m := s.mountpath(n)
	f := &Frozen{}
	if f.newest, err = s.newestOf(n, m); err == nil {
		f.replaced, err = replacedOf(ctx, m, n)
	}
	if err != nil {
		return nil, s.unreadable(op, n, m, n.slot(), r.Epoch, err)
	}
	if f.newest != nil && f.newest.Kind == meta.Current {
		o := &Object{name: n, store: s, m: m, ref: f.newest.Ref, info: infoOf(f.newest), length: f.newest.Size, raw: true}
		if err := o.pin(f.newest, f.newest.Parts); err != nil {
			_ = o.Close()
			return nil, s.readFailed(op, n, m, err)
		}
		f.object = o
	}
	if err := s.check(op, n, n.slot(), r.Epoch); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// newestOf returns the visible record of an object, with its parts, or its visible tombstone, or nil.
func (s *Store) newestOf(n name, m *mountpath) (*meta.Record, error) {
	if err := m.err(); err != nil {
		return nil, err
	}
	shard, id := s.shard(n.bucket.ID, n.key), n.ident()
	hidden := func(g cluster.Generation) bool { return shard.hidden(id, g) }
	record, err := m.index.Get(n.ref(meta.Current), hidden)
	if err != nil {
		return nil, err
	}
	if record == nil {
		return m.index.Get(n.ref(meta.Tombstone), hidden)
	}
	record.Parts, err = m.parts(record)
	record.HasManifest = false
	return record, err
}

// replacedOf returns the requests of a key that are kept because a gateway may repeat them, and what is still to be told of it.
func replacedOf(ctx context.Context, m *mountpath, n name) ([]*meta.Record, error) {
	var all []*meta.Record
	for _, kind := range []meta.Kind{meta.Replaced, meta.Notice} {
		for r, err := range m.index.Scan(ctx, meta.Range{Kind: kind, Bucket: n.bucket.ID, Key: n.key}).All() {
			if err != nil {
				return nil, err
			}
			all = append(all, r)
		}
	}
	return all, nil
}

// Encode returns what is known of the key, without the bytes of the object.
func (f *Frozen) Encode() ([]byte, error) {
	records := f.replaced
	if f.newest != nil {
		records = append([]*meta.Record{f.newest}, records...)
	}
	var out []byte
	for _, r := range records {
		plain := *r
		plain.Parts = slices.Clone(r.Parts)
		text, err := meta.EncodeFooter(&plain)
		if err != nil {
			return nil, err
		}
		out = binary.BigEndian.AppendUint32(out, uint32(len(text)))
		out = append(out, text...)
	}
	return out, nil
}

// DecodeFrozen reads what Encode wrote.
func DecodeFrozen(data []byte) (*Frozen, error) {
	f := &Frozen{}
	for len(data) > 0 {
		if len(data) < 4 || uint64(len(data)-4) < uint64(binary.BigEndian.Uint32(data)) {
			return nil, errors.New("a frozen key is cut off")
		}
		size := binary.BigEndian.Uint32(data)
		r, err := meta.DecodeFooter(data[4 : 4+size])
		if err != nil {
			return nil, err
		}
		data = data[4+size:]
		switch r.Kind {
		case meta.Current, meta.Tombstone:
			f.newest = r
		case meta.Replaced, meta.Notice:
			f.replaced = append(f.replaced, r)
		default:
			return nil, fmt.Errorf("a record of kind %d is not of a frozen key", r.Kind)
		}
	}
	return f, nil
}

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
	Body   io.Reader // the bytes of the object
}

// Insert makes an object, or a tombstone, of what was under a frozen id, with everything that is known of it but its
// generation. Where there is an object or a tombstone it does nothing: that is newer.
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
	call := Call{Request: c.put[0].Request, Epoch: r.Epoch}
	m := s.mountpath(n)
	if err := s.admit(op, n, n.slot(), call, m); err != nil {
		return err
	}
	defer func() {
		for _, b := range c.all() {
			b.discard()
		}
	}()
	if c.put[0].Kind == meta.Current {
		if err := s.receiveFrozen(ctx, m, n, c, r.Body); err != nil {
			return n.wrap(op, cluster.KindOther, err)
		}
	}
	t, err := s.begin(op, n, call)
	if err != nil {
		return err
	}
	defer t.end()
	current, tombstone, err := t.visible((*meta.Index).Peek)
	if err != nil || current != nil || tombstone != nil {
		return err
	}
	if err := t.adoptFrozen(ctx, c); err != nil {
		return err
	}
	// When the conversion has ended, the tombstone that would have stopped this may be forgotten.
	if s.authority.Under(r.Bucket.ID) != r.Bucket.Under {
		return t.fail(cluster.KindUnavailable, "the objects of the bucket are not being moved any more")
	}
	return t.commit(c)
}

// change is what Insert commits, but for the bytes.
func (r *InsertRequest) change(n name) (*change, error) {
	c := &change{}
	record := &meta.Record{Ref: n.ref(meta.Tombstone)} // where only requests are left there was nothing
	if old := r.Frozen.newest; old != nil {
		record.Fields = old.Fields
		record.Kind = old.Kind
		record.Parts = slices.Clone(old.Parts)
		record.Inline, record.HasManifest = nil, false
		if old.Kind == meta.Current && record.PartCount != len(record.Parts) {
			return nil, fmt.Errorf("%d of %d parts are named", len(record.Parts), record.PartCount)
		}
	}
	c.put = []*meta.Record{record}
	for _, old := range r.Frozen.replaced {
		kept := &meta.Record{Ref: n.ref(old.Kind), Fields: old.Fields}
		kept.Upload = old.Upload
		c.beside = append(c.beside, kept)
	}
	return c, nil
}

// receiveFrozen receives the bytes of an object, part by part, and notes in its record where they lie.
func (s *Store) receiveFrozen(ctx context.Context, m *mountpath, n name, c *change, from io.Reader) error {
	record := c.put[0]
	record.Place, record.Coding, record.Inline = disk.Place{}, nil, nil
	for i := range record.Parts {
		record.Parts[i].Place, record.Parts[i].Coding, record.Parts[i].Inline = disk.Place{}, nil, nil
	}
	if record.PartCount == 0 {
		var err error
		if c.body, err = s.receivePiece(ctx, m, n, from, record.Stored(), record.Sums, record); err == nil {
			record.Place, record.Coding, record.Inline = c.body.place, c.body.coding, c.body.inline
		}
		return err
	}
	for i := range record.Parts {
		p := &record.Parts[i]
		b, err := s.receivePiece(ctx, m, n, io.LimitReader(from, p.Stored()), p.Stored(), p.Sums, record)
		if err != nil {
			return err
		}
		c.bodies = append(c.bodies, b)
		p.Place, p.Coding, p.Inline = b.place, b.coding, b.inline
	}
	return nil
}

// adoptFrozen is adopt for all bytes of a change that Insert makes.
func (t *turn) adoptFrozen(ctx context.Context, c *change) error {
	record := c.put[0]
	for i, b := range c.all() {
		if err := t.bring(ctx, b, record); err != nil {
			return err
		}
		if c.body != nil {
			record.Place = b.place
		} else {
			record.Parts[i].Place = b.place
		}
	}
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
