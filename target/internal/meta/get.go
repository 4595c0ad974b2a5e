package meta

import (
	"bytes"
	"context"

	"github.com/aisle-store/aisle/cluster"
	"github.com/cockroachdb/pebble/v2"
)

// Get returns the newest generation of a record that is not hidden, or nil when there is none. The generation in ref is
// ignored. hidden, when not nil, is asked after the record was read, newest generation first.
func (x *Index) Get(ref Ref, hidden func(cluster.Generation) bool) (*Record, error) {
	return x.get("meta.Get", ref, hidden, true)
}

// Peek is Get without the inline data.
func (x *Index) Peek(ref Ref, hidden func(cluster.Generation) bool) (*Record, error) {
	return x.get("meta.Peek", ref, hidden, false)
}

func (x *Index) get(op string, ref Ref, hidden func(cluster.Generation) bool, data bool) (*Record, error) {
	var found *Record
	err := x.generations(op, []Ref{ref}, func(r Ref, read reader) (bool, error) {
		if hidden != nil && hidden(r.Generation) {
			return true, nil
		}
		var err error
		found, err = read(data)
		return false, err
	})
	return found, err
}

// reader reads the record under an iterator, with its inline data when that is wanted.
type reader func(data bool) (*Record, error)

// Exact returns the record of exactly this ref, or nil.
func (x *Index) Exact(ref Ref) (*Record, error) {
	const op = "meta.Exact"
	r := &Record{Ref: ref}
	found, err := x.value(op, ref.appendKey(nil), func(key, value []byte) error { return readWhole(key, value, &r.Fields) })
	if err != nil || !found {
		return nil, err
	}
	return r, nil
}

// InDoubt reports whether a record has the mark of Batch.Doubt.
func (x *Index) InDoubt(ref Ref) (bool, error) {
	return x.value("meta.InDoubt", ref.appendDoubt(nil), func(key, value []byte) error {
		_, err := openValue(key, value)
		return err
	})
}

// Generations returns every generation of some records, each record's newest first. Several in one call cost less than a call for each.
func (x *Index) Generations(refs ...Ref) ([]*Record, error) {
	var all []*Record
	err := x.generations("meta.Generations", refs, func(_ Ref, read reader) (bool, error) {
		r, err := read(true)
		all = append(all, r)
		return true, err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Parts returns all parts of an object, read from its manifest when the record does not hold them.
func (x *Index) Parts(r *Record) ([]Part, error) {
	const op = "meta.Parts"
	if !r.HasManifest {
		return r.Parts, nil
	}
	var m manifest
	key := manifestRef(r.Ref).appendKey(nil)
	found, err := x.value(op, key, func(key, value []byte) error { return readValue(key, value, &m) })
	if err == nil && (!found || len(m.Parts) != r.PartCount) {
		err = x.corrupt(op, key, errManifest)
	}
	if err != nil {
		return nil, err
	}
	return m.Parts, nil
}

// generations calls visit for each generation of some records, each record's newest first, until it returns false or an error.
func (x *Index) generations(op string, refs []Ref, visit func(Ref, reader) (bool, error)) error {
	if err := x.Err(); err != nil {
		return err
	}
	var room [256]byte
	it, err := x.db.NewIter(&pebble.IterOptions{UseL6Filters: true}) // a PUT of a new key asks, too: absent must be cheap
	if err != nil {
		return x.failed(op, err)
	}
	defer x.release.later(it)
	for i := range refs {
		group := refs[i].appendGroup(room[:0])
		for ok := it.SeekPrefixGE(group); ok && bytes.HasPrefix(it.Key(), group); ok = it.Next() {
			more, err := x.visit(op, it, visit)
			if err != nil {
				return err
			}
			if !more {
				return x.Err()
			}
		}
		if err := it.Error(); err != nil {
			return x.failed(op, err)
		}
	}
	return x.Err()
}

// visit hands the record under the iterator over.
func (x *Index) visit(op string, it *pebble.Iterator, visit func(Ref, reader) (bool, error)) (bool, error) {
	r, err := parseKey(it.Key())
	if err != nil {
		return false, x.corrupt(op, it.Key(), err)
	}
	return visit(r, func(data bool) (*Record, error) { return x.record(op, r, it, data) })
}

// record reads the record under an iterator, with its inline data when that is wanted.
func (x *Index) record(op string, ref Ref, it *pebble.Iterator, data bool) (*Record, error) {
	value, err := it.ValueAndErr()
	if err != nil {
		return nil, x.failed(op, err)
	}
	r := &Record{Ref: ref}
	if data {
		err = readWhole(it.Key(), value, &r.Fields)
	} else {
		_, err = readRecord(it.Key(), value, &r.Fields)
	}
	if err != nil {
		return nil, x.corrupt(op, it.Key(), err)
	}
	return r, nil
}

// value reads the value of one key and hands it to read while it is valid.
func (x *Index) value(op string, key []byte, read func(key, value []byte) error) (found bool, err error) {
	if err := x.Err(); err != nil {
		return false, err
	}
	value, closer, err := x.db.Get(key)
	if err == pebble.ErrNotFound {
		return false, x.Err()
	}
	if err != nil {
		return false, x.failed(op, err)
	}
	defer x.release.later(closer)
	if err := read(key, value); err != nil {
		return false, x.corrupt(op, key, err)
	}
	return true, nil
}

// HasKey reports whether there is any record of a key.
func (x *Index) HasKey(bucket cluster.BucketID, key cluster.ObjectKey) (found bool, err error) {
	const op = "meta.HasKey"
	if err := x.Err(); err != nil {
		return false, err
	}
	for _, kind := range recordKinds {
		prefix := appendEscaped(appendBucket(nil, kind, bucket), string(key))
		it, err := x.db.NewIter(&pebble.IterOptions{UseL6Filters: true, LowerBound: prefix, UpperBound: afterPrefix(bytes.Clone(prefix))})
		if err != nil {
			return false, x.failed(op, err)
		}
		found, err = it.First(), it.Error()
		x.release.later(it)
		if err != nil {
			return false, x.failed(op, err)
		}
		if found {
			break
		}
	}
	return found, x.Err()
}

// KeyRecords returns every record of a key, with inline data and parts.
func (x *Index) KeyRecords(ctx context.Context, bucket cluster.BucketID, key cluster.ObjectKey) ([]*Record, error) {
	var all []*Record
	for _, kind := range recordKinds {
		for r, err := range x.Scan(ctx, Range{Kind: kind, Bucket: bucket, Key: key}).All() {
			if err != nil {
				return nil, err
			}
			if r.Parts, err = x.Parts(r); err != nil {
				return nil, err
			}
			all = append(all, r)
		}
	}
	return all, nil
}
