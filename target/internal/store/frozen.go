package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// A bucket that gets another layout gets another id, and its objects are moved from the frozen id to that one, key by key:
// OpenFrozen reads what is under the frozen id, and insert.go puts it where nothing is yet. docs/consistency.md, "Changing a
// bucket's layout".

// Frozen is everything that is known of a key under a frozen id.
type Frozen struct {
	newest   *meta.Record   // the object, with its parts, or its delete marker or tombstone; nil: none of them
	replaced []*meta.Record // requests that made what was replaced since, and notices
	versions []*meta.Record // that are not current, the null version last: no more than their names
	uploads  []*meta.Record // uploads in progress, and the ends of others
	parts    []*meta.Record // of the uploads in progress
	object   *Object        // its bytes; nil where there are none, when it was decoded, and when there are pieces
}

// IsEmpty reports whether there is nothing to be moved.
func (f *Frozen) IsEmpty() bool {
	return f.newest == nil && len(f.replaced) == 0 && len(f.versions) == 0 && len(f.uploads) == 0
}

// Pieces reports whether there is more with bytes than the object: then all have to be read one by one, the object last.
func (f *Frozen) Pieces() bool { return len(f.versions) > 0 || len(f.parts) > 0 }

// Newest names the object that is current; false when none is.
func (f *Frozen) Newest() (FrozenPiece, bool) {
	if f.newest == nil || f.newest.Kind != meta.Current {
		return FrozenPiece{}, false
	}
	return FrozenPiece{f.newest.Ref}, true
}

// Size returns how many bytes the object has, as they are stored; none where Reader gives none.
func (f *Frozen) Size() int64 {
	if f.newest == nil || f.Pieces() {
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

// FrozenPiece names something under a frozen id that has bytes of its own: the object, a version that is not current, or a part
// of an upload in progress; of one key, and in one generation.
type FrozenPiece struct{ ref meta.Ref }

// String is the name without bucket and key, as ParseFrozenPiece reads it.
func (p FrozenPiece) String() string {
	r := &p.ref
	return fmt.Sprintf("%d.%d.%d.%d.%d.%s", r.Kind, r.Version, r.Part, r.Generation.Epoch, r.Generation.Counter, r.Upload)
}

// ParseFrozenPiece reads what String wrote.
func ParseFrozenPiece(text string) (FrozenPiece, error) {
	bad := func() (FrozenPiece, error) {
		return FrozenPiece{}, cluster.Fail("target/store.ParseFrozenPiece", "", cluster.KindInvalid, "that is no piece of a frozen key")
	}
	fields := strings.SplitN(text, ".", 6)
	if len(fields) != 6 {
		return bad()
	}
	var n [5]uint64
	for i := range n {
		var err error
		if n[i], err = strconv.ParseUint(fields[i], 10, [5]int{8, 64, 32, 64, 64}[i]); err != nil {
			return bad()
		}
	}
	p := FrozenPiece{meta.Ref{Kind: meta.Kind(n[0]), Version: n[1], Part: uint32(n[2]), Upload: cluster.UploadID(fields[5])}}
	p.ref.Generation = cluster.Generation{Epoch: cluster.Epoch(n[3]), Counter: n[4]}
	switch p.ref.Kind {
	case meta.Current, meta.Noncurrent, meta.UploadPart:
		return p, nil
	}
	return bad()
}

// OpenFrozen returns what is under a frozen id: r.Bucket is its entry. All that is read of a key under one epoch is of one state,
// for nothing is written under a frozen id, and what was given up there stays so until its slot has another owner.
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
		err = s.readBeside(ctx, f, n, m)
	}
	if err != nil {
		return nil, s.unreadable(op, n, m, n.slot(), r.Epoch, err)
	}
	if _, found := f.Newest(); found && !f.Pieces() {
		if err := s.openFrozen(op, f, n, m); err != nil {
			return nil, err
		}
	}
	if err := s.check(op, n, n.slot(), r.Epoch); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// OpenFrozenPiece opens one piece of a key under a frozen id. What it returns has nothing else.
func (s *Store) OpenFrozenPiece(_ context.Context, r *GetRequest, piece FrozenPiece) (*Frozen, error) {
	const op = "target/store.OpenFrozenPiece"
	n := name{bucket: &r.Bucket, key: r.Key}
	inside, err := s.enter(s.readers, op, n)
	if err != nil {
		return nil, err
	}
	defer s.readers.leave(inside)
	defer s.still()()
	m := s.mountpath(n)
	f := &Frozen{}
	if f.newest, err = s.frozenPiece(n, m, piece); err != nil {
		return nil, s.unreadable(op, n, m, n.slot(), r.Epoch, err)
	}
	if f.newest == nil {
		if err := s.check(op, n, n.slot(), r.Epoch); err != nil {
			return nil, err
		}
		return nil, n.fail(op, cluster.KindUnavailable, "what is to be moved has changed")
	}
	if err := s.openFrozen(op, f, n, m); err != nil {
		return nil, err
	}
	if err := s.check(op, n, n.slot(), r.Epoch); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// frozenPiece returns the record of a piece, with its parts; nil when the one that is visible is not of its generation.
func (s *Store) frozenPiece(n name, m *mountpath, piece FrozenPiece) (*meta.Record, error) {
	if err := m.err(); err != nil {
		return nil, err
	}
	var r *meta.Record
	var err error
	switch piece.ref.Kind {
	case meta.Current:
		return exactly(piece, func() (*meta.Record, error) { return s.newestOf(n, m) })
	case meta.Noncurrent:
		r, err = exactly(piece, func() (*meta.Record, error) { return s.noncurrent(m, n, piece.ref.Version, (*meta.Index).Get) })
	default:
		ref := n.ref(meta.UploadPart)
		ref.Upload, ref.Part = piece.ref.Upload, piece.ref.Part
		r, err = exactly(piece, func() (*meta.Record, error) { return m.index.Get(ref, s.givenUp(n)) })
	}
	if err != nil || r == nil {
		return nil, err
	}
	return r, m.withParts(r)
}

// withParts puts the parts of a record into it.
func (m *mountpath) withParts(r *meta.Record) (err error) {
	r.Parts, err = m.parts(r)
	r.HasManifest = false
	return err
}

// exactly returns the record that get does, if it is of the generation of a piece.
func exactly(piece FrozenPiece, get func() (*meta.Record, error)) (*meta.Record, error) {
	r, err := get()
	if err != nil || r == nil || r.Kind != piece.ref.Kind || r.Generation != piece.ref.Generation {
		return nil, err
	}
	return r, nil
}

// givenUp returns what says whether a generation of a key was prepared and given up.
func (s *Store) givenUp(n name) func(cluster.Generation) bool {
	shard, id := s.shard(n.bucket.ID, n.key), n.ident()
	return func(g cluster.Generation) bool { return shard.prepared(id, g) }
}

// openFrozen opens the bytes of f.newest as they are stored.
func (s *Store) openFrozen(op string, f *Frozen, n name, m *mountpath) error {
	o := &Object{name: n, store: s, m: m, ref: f.newest.Ref, info: infoOf(f.newest), length: f.newest.Size, raw: true}
	if err := o.pin(f.newest, f.newest.Parts); err != nil {
		_ = o.Close()
		return s.readFailed(op, n, m, err)
	}
	f.object = o
	return nil
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
	return record, m.withParts(record)
}

// readBeside reads what there is of a key besides its newest record.
func (s *Store) readBeside(ctx context.Context, f *Frozen, n name, m *mountpath) (err error) {
	if f.replaced, err = s.replacedOf(ctx, m, n); err != nil {
		return err
	}
	if f.versions, err = s.noncurrentOf(ctx, m, n); err != nil {
		return err
	}
	if f.uploads, err = s.uploadsOf(ctx, m, n); err != nil {
		return err
	}
	for _, u := range f.uploads {
		if u.Kind != meta.Upload {
			continue
		}
		of, err := s.partsUnder(ctx, m, n, u.Upload)
		if err != nil {
			return err
		}
		f.parts = append(f.parts, of...)
	}
	return nil
}

// replacedOf returns the requests of a key that are kept because a gateway may repeat them, and what is still to be told of it.
func (s *Store) replacedOf(ctx context.Context, m *mountpath, n name) (all []*meta.Record, err error) {
	hidden := func(ref meta.Ref) bool { return s.notShown(m, ref) }
	for _, kind := range []meta.Kind{meta.Replaced, meta.Notice} {
		for r, err := range m.index.Scan(ctx, meta.Range{Kind: kind, Bucket: n.bucket.ID, Key: n.key, Hidden: hidden}).All() {
			if err != nil {
				return nil, err
			}
			all = append(all, r)
		}
	}
	return all, nil
}

// noncurrentOf returns the visible versions of a key that are not current, without their data. The null version comes last.
func (s *Store) noncurrentOf(ctx context.Context, m *mountpath, n name) (all []*meta.Record, err error) {
	hidden := s.givenUp(n)
	scan := meta.Range{Kind: meta.Noncurrent, Bucket: n.bucket.ID, Key: n.key, NoData: true, Hidden: func(ref meta.Ref) bool { return hidden(ref.Generation) }}
	for r, err := range m.index.Scan(ctx, scan).All() {
		if err != nil {
			return nil, err
		}
		shown, err := s.noncurrent(m, n, r.Version, (*meta.Index).Peek)
		if err != nil {
			return nil, err
		}
		if shown != nil {
			all = append(all, shown)
		}
	}
	return all, nil
}

// uploadsOf returns the uploads in progress of a key, and the visible ends of others.
func (s *Store) uploadsOf(ctx context.Context, m *mountpath, n name) (all []*meta.Record, err error) {
	for _, kind := range []meta.Kind{meta.Upload, meta.UploadTombstone} {
		scan := meta.Range{Kind: kind, Bucket: n.bucket.ID, Key: n.key, Hidden: func(ref meta.Ref) bool { return s.notShown(m, ref) }}
		for r, err := range m.index.Scan(ctx, scan).All() {
			if err != nil {
				return nil, err
			}
			all = append(all, r)
		}
	}
	return all, nil
}

// partsUnder returns the visible parts of an upload, or of all uploads of a key when id is "", without their data.
func (s *Store) partsUnder(ctx context.Context, m *mountpath, n name, id cluster.UploadID) (all []*meta.Record, err error) {
	hidden := s.givenUp(n)
	scan := meta.Range{Kind: meta.UploadPart, Bucket: n.bucket.ID, Key: n.key, Upload: id, NoData: true, Hidden: func(ref meta.Ref) bool { return hidden(ref.Generation) }}
	for r, err := range m.index.Scan(ctx, scan).All() {
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// Encode returns what is known of the key, without the bytes. Of versions that is which there are.
func (f *Frozen) Encode() ([]byte, error) {
	records := slices.Concat(f.replaced, f.uploads, f.parts)
	if f.newest != nil {
		records = append([]*meta.Record{f.newest}, records...)
	}
	for _, v := range f.versions {
		records = append(records, &meta.Record{Ref: v.Ref})
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
	err := eachFrozen(data, func(r *meta.Record) error {
		switch r.Kind {
		case meta.Current, meta.Tombstone:
			f.newest = r
		case meta.Replaced, meta.Notice:
			f.replaced = append(f.replaced, r)
		case meta.Noncurrent:
			f.versions = append(f.versions, r)
		case meta.Upload, meta.UploadTombstone:
			f.uploads = append(f.uploads, r)
		case meta.UploadPart:
			f.parts = append(f.parts, r)
		default:
			return fmt.Errorf("a record of kind %d is not of a frozen key", r.Kind)
		}
		return nil
	})
	return f, err
}

// DecodeFrozenPiece reads what Encode wrote of one piece.
func DecodeFrozenPiece(data []byte, piece FrozenPiece) (*Frozen, error) {
	f := &Frozen{}
	err := eachFrozen(data, func(r *meta.Record) error {
		if f.newest != nil {
			return errors.New("a frozen piece comes with others")
		}
		f.newest = r
		return nil
	})
	if err == nil && (f.newest == nil || (FrozenPiece{f.newest.Ref}).String() != piece.String()) {
		err = errors.New("that is another piece of a frozen key")
	}
	return f, err
}

func eachFrozen(data []byte, each func(*meta.Record) error) error {
	for len(data) > 0 {
		if len(data) < 4 || uint64(len(data)-4) < uint64(binary.BigEndian.Uint32(data)) {
			return errors.New("a frozen key is cut off")
		}
		size := binary.BigEndian.Uint32(data)
		r, err := meta.DecodeFooter(data[4 : 4+size])
		if err != nil {
			return err
		}
		data = data[4+size:]
		if err := each(r); err != nil {
			return err
		}
	}
	return nil
}

// FrozenKey is a key of a frozen id.
type FrozenKey struct {
	Key  cluster.ObjectKey
	Size int64 // of the object that is current
}

// FrozenKeys returns the next keys of a frozen id, which r.Bucket is, that have an object, a delete marker or an upload, and whether
// there are more of them.
func (s *Store) FrozenKeys(ctx context.Context, r *ListRequest, limit int) (keys []FrozenKey, more bool, err error) {
	const op = "target/store.FrozenKeys"
	n := name{bucket: &r.Bucket}
	inside, err := s.enter(s.readers, op, n)
	if err != nil {
		return nil, false, err
	}
	defer s.readers.leave(inside)
	defer s.still()()
	begun, err := s.mayList(op, r)
	if err != nil {
		return nil, false, err
	}
	heads, err := s.frozenHeads(ctx, op, r, begun)
	defer func() {
		for _, h := range heads {
			h.scan.Close()
		}
	}()
	for h := firstKey(heads); err == nil && h != nil; h = firstKey(heads) {
		if len(keys) == limit {
			more = true
			break
		}
		k := FrozenKey{Key: h.record.Key}
		for _, h := range heads {
			for err == nil && h.record != nil && h.record.Key == k.Key {
				if h.record.Kind == meta.Current {
					k.Size = h.record.Size
				}
				err = s.advanceFrozen(op, r, h)
			}
		}
		keys = append(keys, k)
	}
	if err != nil {
		return nil, false, n.wrap(op, cluster.KindOther, err)
	}
	if now, err := s.mayList(op, r); err != nil {
		return nil, false, err
	} else if now != begun {
		return nil, false, n.fail(op, cluster.KindUnavailable, "the slots changed meanwhile")
	}
	return keys, more, nil
}

// frozenHeads begins the scans of FrozenKeys.
func (s *Store) frozenHeads(ctx context.Context, op string, r *ListRequest, begun *activation) (heads []*head, err error) {
	placing := s.placingBy(begun.m)
	for _, m := range s.mounted() {
		if placing.skips(m, r.Bucket.ID, begun.partial) {
			continue
		}
		if err := m.err(); err != nil {
			return heads, err
		}
		for _, kind := range []meta.Kind{meta.Current, meta.Tombstone, meta.Upload, meta.UploadTombstone} {
			h := &head{m: m, scan: m.index.Scan(ctx, scanRange(r, kind, func(ref meta.Ref) bool {
				return s.elsewhere(begun, ref) || !s.matters(placing, m, ref.Slot()) || s.notShown(m, ref)
			}))}
			heads = append(heads, h)
			if err := s.advanceFrozen(op, r, h); err != nil {
				return heads, err
			}
		}
	}
	return heads, nil
}

// advanceFrozen is advance, past the tombstones that are no delete markers: nothing is beneath them.
func (s *Store) advanceFrozen(op string, r *ListRequest, h *head) error {
	for {
		if err := s.advance(op, r, h); err != nil || h.record == nil || h.record.Kind != meta.Tombstone || h.record.Marker {
			return err
		}
	}
}
