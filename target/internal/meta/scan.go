package meta

import (
	"bytes"
	"context"
	"encoding/binary"
	"iter"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/cockroachdb/pebble/v2"
)

// Range says which records a Scan passes: those of one kind and bucket, within all the limits that are set.
type Range struct {
	Kind   Kind
	Bucket cluster.BucketID
	Prefix string            // keys that begin with it
	Key    cluster.ObjectKey // when set: this key only
	Upload cluster.UploadID  // with Key: this upload only
	Below  uint64            // with Key, of Noncurrent: only versions with a lower Ref.Version; 0 for all

	From       cluster.ObjectKey // begin at the first key that is not smaller. (key + "\x00" begins behind key.)
	FromUpload cluster.UploadID  // of the key From (or Key), begin at the first upload id that is not smaller
	FromPart   uint32            // with Upload: begin at the first part number that is not smaller

	AllBuckets bool // the records of every bucket; of the limits only Kind and After count then
	After      *Ref // with AllBuckets: begin behind all generations of this record
	NoData     bool // records without their inline data

	// Listed asks for what lists show: records have Ref, Size, Modified, ETag, Counter, Sums, Composite, Want, Owner, Class, Number,
	// Null and Marker only, and each is valid until the next one is read.
	Listed bool

	// Hidden is asked, when not nil, after each generation was read, newest first; the first that is not hidden is yielded
	// and the older ones are passed over. When nil, every generation is yielded.
	Hidden func(Ref) bool
}

// bounds returns the first key of the range and the first behind it.
func (r *Range) bounds() (lower, upper []byte) {
	if r.AllBuckets {
		lower, upper = []byte{byte(r.Kind)}, []byte{byte(r.Kind) + 1}
		if r.After != nil {
			lower = afterPrefix(r.After.appendGroup(nil))
		}
		return lower, upper
	}
	lower = appendUnended(appendBucket(nil, r.Kind, r.Bucket), r.Prefix)
	if r.Key != "" {
		lower = appendEscaped(appendBucket(nil, r.Kind, r.Bucket), string(r.Key))
		if r.Upload != "" {
			lower = appendEscaped(lower, string(r.Upload))
		}
	}
	upper = afterPrefix(bytes.Clone(lower))
	if from := r.from(); bytes.Compare(from, lower) > 0 {
		lower = from
	}
	return lower, upper
}

// from returns the key to begin at, or nil.
func (r *Range) from() []byte {
	key := r.From
	if r.Key != "" {
		key = r.Key
	}
	b := appendEscaped(appendBucket(nil, r.Kind, r.Bucket), string(key))
	switch {
	case r.Below > 0:
		return binary.BigEndian.AppendUint64(b, ^(r.Below - 1))
	case r.Upload != "" && r.FromPart > 0:
		return binary.BigEndian.AppendUint32(appendEscaped(b, string(r.Upload)), r.FromPart)
	case r.FromUpload != "":
		return appendUnended(b, string(r.FromUpload))
	case r.From != "":
		return b
	}
	return nil
}

// Size estimates how many bytes the records of a range take on the disk. Those that were written last do not count: what is in
// memory only. Hidden does not count either.
func (x *Index) Size(r Range) (bytes uint64, err error) {
	lower, upper := r.bounds()
	err = x.call(func() error {
		bytes, err = x.db.EstimateDiskUsage(lower, upper)
		return err
	})
	return bytes, err
}

// Scan walks through records in the order of their keys. It is used by one goroutine at a time.
type Scan struct {
	x     *Index
	ctx   context.Context
	r     Range
	upper []byte
	it    *pebble.Iterator // nil before the first record and after Close
	seek  []byte           // where to go on, or nil for the next record
	count int
	begun bool
	same  *Scan // when set: the scan whose state of the index this one sees

	yielded []byte // the group of the record that was returned last
	listed  Record // returned when Range.Listed is set
}

// Scan prepares a scan. It sees the index as it is when the first record is read.
func (x *Index) Scan(ctx context.Context, r Range) *Scan { return &Scan{x: x, ctx: ctx, r: r} }

// Beside prepares a scan of another range that sees the index as it is for s, which must not be closed before the first record
// of the new one is read.
func (s *Scan) Beside(r Range) *Scan { return &Scan{x: s.x, ctx: s.ctx, r: r, same: s} }

// All yields the records, and closes the scan. A record is the loop body's to keep, unless Range.Listed is set. After an
// error it ends.
func (s *Scan) All() iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		defer s.Close()
		for {
			r, err := s.Next()
			if err != nil {
				yield(nil, err)
				return
			}
			if r == nil || !yield(r, nil) {
				return
			}
		}
	}
}

// Next returns the next record, or nil at the end of the range. Close must follow. After an error, or the end, the scan is
// over.
func (s *Scan) Next() (*Record, error) {
	const op = "meta.Scan"
	ok, err := s.move()
	for ; ok; ok, err = s.move() {
		key := s.it.Key()
		ref, err := parseKey(key)
		if err != nil {
			return nil, s.x.corrupt(op, key, err)
		}
		if r, err := s.shown(op, ref, key); r != nil || err != nil {
			return r, err
		}
	}
	if err == nil && s.it.Error() != nil {
		err = s.x.failed(op, s.it.Error())
	}
	if err == nil {
		err = s.x.Err()
	}
	return nil, err
}

// Close ends the scan. It may be called more than once.
func (s *Scan) Close() {
	if s.it != nil {
		s.x.release.later(s.it)
		s.it = nil
	}
}

func (s *Scan) open() error {
	if err := s.x.Err(); err != nil {
		return err
	}
	lower, upper := s.r.bounds()
	o := &pebble.IterOptions{LowerBound: lower, UpperBound: upper}
	var err error
	switch {
	case s.same == nil:
		s.it, err = s.x.db.NewIter(o)
	case s.same.it == nil:
		if err := s.same.open(); err != nil {
			return err
		}
		fallthrough
	default:
		s.it, err = s.same.it.Clone(pebble.CloneOptions{IterOptions: o})
	}
	if err != nil {
		return s.x.failed("meta.Scan", err)
	}
	s.upper = upper
	return nil
}

// shown returns the record to yield for the generation under the iterator, or nil.
func (s *Scan) shown(op string, ref Ref, key []byte) (*Record, error) {
	if s.r.Hidden == nil {
		return s.record(op, ref)
	}
	group := key[:len(key)-generationSize]
	if bytes.Equal(group, s.yielded) || s.r.Hidden(ref) {
		return nil, nil
	}
	s.yielded = append(s.yielded[:0], group...)
	return s.record(op, ref)
}

// record reads the record under the iterator.
func (s *Scan) record(op string, ref Ref) (*Record, error) {
	if !s.r.Listed {
		return s.x.record(op, ref, s.it, !s.r.NoData)
	}
	value, err := s.it.ValueAndErr()
	if err != nil {
		return nil, s.x.failed(op, err)
	}
	s.listed.Ref = ref
	if err := readListed(s.it.Key(), value, &s.listed.Fields); err != nil {
		return nil, s.x.corrupt(op, s.it.Key(), err)
	}
	return &s.listed, nil
}

// move moves the iterator to the first key, or to where the scan is to go on, and reports whether there is one.
func (s *Scan) move() (bool, error) {
	if s.it == nil {
		if err := s.open(); err != nil {
			return false, err
		}
	}
	if !s.begun {
		s.begun = true
		return s.it.First(), nil
	}
	if s.count++; s.count%256 == 255 && s.ctx.Err() != nil {
		return false, cluster.E("meta.Scan", s.x.dir, cluster.KindOther, s.ctx.Err())
	}
	if s.seek == nil {
		return s.it.Next(), nil
	}
	at := s.seek
	s.seek = nil
	return s.it.SeekGE(at), nil
}

// SkipTo lets the scan go on at the first key that is not smaller than key. It may be called between two records only, and
// only forwards.
func (s *Scan) SkipTo(key cluster.ObjectKey) {
	s.seek = appendEscaped(appendBucket(nil, s.r.Kind, s.r.Bucket), string(key))
}

// SkipPast lets the scan go on behind all keys that begin with prefix, without reading them.
func (s *Scan) SkipPast(prefix string) {
	s.seek = afterPrefix(appendUnended(appendBucket(nil, s.r.Kind, s.r.Bucket), prefix))
	if s.seek == nil {
		s.seek = s.upper
	}
}

// Doubts yields the refs of all in-doubt keys.
func (x *Index) Doubts(ctx context.Context) iter.Seq2[Ref, error] {
	const op = "meta.Doubts"
	return func(yield func(Ref, error) bool) {
		err := x.walk(ctx, op, []byte{byte(inDoubt)}, []byte{byte(inDoubt) + 1}, func(key, value []byte) (bool, error) {
			ref, err := parseKey(key[1:])
			if err == nil {
				_, err = openValue(key, value)
			}
			if err != nil {
				return false, x.corrupt(op, key, err)
			}
			return yield(ref, nil), nil
		})
		if err != nil {
			yield(Ref{}, err)
		}
	}
}

// WrittenSlots returns the slots that were ever written here, each with the epoch of its first write.
func (x *Index) WrittenSlots() (map[cluster.Slot]cluster.Epoch, error) {
	const op = "meta.WrittenSlots"
	slots := make(map[cluster.Slot]cluster.Epoch)
	err := x.walk(context.Background(), op, []byte{byte(slotMark)}, []byte{byte(slotMark) + 1}, func(key, value []byte) (bool, error) {
		n, err := readNumber(key, value)
		if err == nil && len(key) != 5 {
			err = errKey
		}
		if err != nil {
			return false, x.corrupt(op, key, err)
		}
		slots[cluster.Slot(binary.BigEndian.Uint32(key[1:]))] = cluster.Epoch(n)
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	return slots, nil
}

// Buckets returns the ids of the buckets of which anything is stored.
func (x *Index) Buckets(ctx context.Context) (map[cluster.BucketID]bool, error) {
	ids := make(map[cluster.BucketID]bool)
	for _, kind := range bucketKinds {
		if err := x.bucketsOf(ctx, []byte{byte(kind)}, ids); err != nil {
			return nil, err
		}
	}
	for _, kind := range recordKinds {
		if err := x.bucketsOf(ctx, []byte{byte(inDoubt), byte(kind)}, ids); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// bucketsOf notes the buckets of the keys that begin with prefix: one seek for each.
func (x *Index) bucketsOf(ctx context.Context, prefix []byte, ids map[cluster.BucketID]bool) error {
	const op = "meta.Buckets"
	for lower := prefix; lower != nil; {
		next := lower
		err := x.walk(ctx, op, lower, afterPrefix(bytes.Clone(prefix)), func(key, _ []byte) (bool, error) {
			if len(key) < len(prefix)+8 {
				return false, x.corrupt(op, key, errKey)
			}
			id := binary.BigEndian.Uint64(key[len(prefix):])
			ids[cluster.BucketID(id)] = true
			next = afterPrefix(bytes.Clone(key[:len(prefix)+8]))
			return false, nil
		})
		if err != nil {
			return err
		}
		if bytes.Equal(next, lower) || !bytes.HasPrefix(next, prefix) {
			return ctx.Err()
		}
		lower = next
	}
	return nil
}

// Places yields every place that a record names, for disk.Recover. A record that cannot be read is an error.
func (x *Index) Places(ctx context.Context) iter.Seq2[disk.Place, error] {
	const op = "meta.Places"
	return func(yield func(disk.Place, error) bool) {
		err := x.walk(ctx, op, []byte{byte(Current)}, []byte{byte(accessTime)}, func(key, value []byte) (bool, error) {
			more, err := places(key, value, func(_ int, p disk.Place) bool { return yield(p, nil) })
			if err != nil {
				return false, x.corrupt(op, key, err)
			}
			return more, nil
		})
		if err != nil {
			yield(disk.Place{}, err)
		}
	}
}

// places calls visit for each place in a record or manifest: piece 0 is that of the record itself, n that of part n-1.
func places(key, value []byte, visit func(piece int, p disk.Place) bool) (bool, error) {
	var f Fields
	if Kind(key[0]) == manifestKind {
		var m manifest
		if err := readValue(key, value, &m); err != nil {
			return false, err
		}
		f.Parts = m.Parts
	} else if data, err := readRecord(key, value, &f); err != nil {
		return false, err
	} else if err := data.check(); err != nil {
		return false, err
	}
	if f.Place.Kind != disk.Nowhere && !visit(0, f.Place) {
		return false, nil
	}
	for i := range f.Parts {
		if p := f.Parts[i].Place; p.Kind != disk.Nowhere && !visit(i+1, p) {
			return false, nil
		}
	}
	return true, nil
}

// walk calls visit for each key and value in a range until it returns false or an error.
func (x *Index) walk(ctx context.Context, op string, lower, upper []byte, visit func(key, value []byte) (bool, error)) error {
	if err := x.Err(); err != nil {
		return err
	}
	it, err := x.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return x.failed(op, err)
	}
	defer x.release.later(it)
	for ok, n := it.First(), 0; ok; ok, n = it.Next(), n+1 {
		if n%256 == 255 && ctx.Err() != nil {
			return x.failed(op, ctx.Err())
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return x.failed(op, err)
		}
		if more, err := visit(it.Key(), value); err != nil || !more {
			return err
		}
	}
	if err := it.Error(); err != nil {
		return x.failed(op, err)
	}
	return x.Err()
}
