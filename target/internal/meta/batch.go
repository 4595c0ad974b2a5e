package meta

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/aisle-store/aisle/cluster"
	"github.com/cockroachdb/pebble/v2"
)

// partsInRecord is how many parts a record holds itself; more go into a manifest, so that lists do not read them.
const partsInRecord = 8

// MaxInline is the most data that a record or a part can hold itself.
const MaxInline = 128 << 10

var errManifest = errors.New("the manifest does not fit its record")

func manifestRef(r Ref) *Ref {
	r.Kind = manifestKind
	return &r
}

// Batch collects changes that become durable together or not at all. It is not safe for concurrent use and ends with Commit
// or Close.
type Batch struct {
	x       *Index
	b       *pebble.Batch
	key     []byte
	value   []byte
	forgets []accessKey
	err     error // of an operation that has nowhere to return it; Commit does
}

// NewBatch begins a batch.
func (x *Index) NewBatch() *Batch { return &Batch{x: x, b: x.db.NewBatch()} }

// Put inserts or replaces a record, under its Ref. Many parts are moved into a manifest, and r.HasManifest and r.PartCount
// are set. The record may be reused afterwards.
func (b *Batch) Put(r *Record) error {
	const op = "meta.Put"
	fields := &r.Fields
	if err := checkInline(r); err != nil {
		return cluster.E(op, r.Ref.String(), cluster.KindInvalid, err)
	}
	if len(r.Parts) > 0 {
		r.PartCount = len(r.Parts)
		r.HasManifest = r.PartCount > partsInRecord
	}
	if r.HasManifest && len(r.Parts) > 0 {
		b.key = manifestRef(r.Ref).appendKey(b.key[:0])
		value, err := appendValue(b.value[:0], b.key, &manifest{Parts: r.Parts})
		if err != nil {
			return cluster.E(op, r.Ref.String(), cluster.KindOther, err)
		}
		b.value = value
		b.note(b.b.Set(b.key, value, nil))
		short := r.Fields
		short.Parts = nil
		fields = &short
	}
	b.key = r.appendKey(b.key[:0])
	value, err := appendRecord(b.value[:0], b.key, fields)
	if err != nil {
		return cluster.E(op, r.Ref.String(), cluster.KindOther, err)
	}
	b.value = value
	b.note(b.b.Set(b.key, value, nil))
	return nil
}

// checkInline refuses what could not be read again.
func checkInline(r *Record) error {
	if n := len(r.Inline); n > MaxInline || n > 0 && int64(n) != r.Stored() {
		return fmt.Errorf("%d bytes of inline data in a record of size %d", n, r.Size)
	}
	for i := range r.Parts {
		if n := len(r.Parts[i].Inline); n > MaxInline {
			return fmt.Errorf("%d bytes of inline data in a part", n)
		}
	}
	return nil
}

// note keeps the first error of the batch.
func (b *Batch) note(err error) {
	if b.err == nil {
		b.err = err
	}
}

// Delete removes a record, and its manifest when it has one. Only the Ref and HasManifest of r are looked at.
func (b *Batch) Delete(r *Record) {
	b.key = r.appendKey(b.key[:0])
	b.note(b.b.Delete(b.key, nil))
	if r.HasManifest {
		b.key = manifestRef(r.Ref).appendKey(b.key[:0])
		b.note(b.b.Delete(b.key, nil))
	}
}

// Doubt marks a record as in doubt: prepared, not known to be visible.
func (b *Batch) Doubt(ref Ref) {
	b.key = ref.appendDoubt(b.key[:0])
	b.value = sealValue(b.key, append(b.value[:0], valueVersion), 0)
	b.note(b.b.Set(b.key, b.value, nil))
}

// Settle removes the mark.
func (b *Batch) Settle(ref Ref) {
	b.key = ref.appendDoubt(b.key[:0])
	b.note(b.b.Delete(b.key, nil))
}

// MarkSlot notes that a slot was written.
func (b *Batch) MarkSlot(slot cluster.Slot, epoch cluster.Epoch) {
	b.key = binary.BigEndian.AppendUint32(append(b.key[:0], byte(slotMark)), uint32(slot))
	b.value = appendNumber(b.value[:0], b.key, uint64(epoch))
	b.note(b.b.Set(b.key, b.value, nil))
}

// ForgetAccess removes the access time of an object, also one that Touch noted before.
func (b *Batch) ForgetAccess(bucket cluster.BucketID, key cluster.ObjectKey) {
	k := accessKey{bucket, key}
	b.forgets = append(b.forgets, k)
	b.key = k.append(b.key[:0])
	b.note(b.b.Delete(b.key, nil))
}

// DropBucket removes everything of a bucket.
func (b *Batch) DropBucket(bucket cluster.BucketID) {
	drop := func(prefix []byte) {
		b.note(b.b.DeleteRange(prefix, afterPrefix(append([]byte(nil), prefix...)), nil))
	}
	for _, kind := range bucketKinds {
		drop(appendBucket(nil, kind, bucket))
	}
	for _, kind := range recordKinds {
		drop(appendBucket([]byte{byte(inDoubt)}, kind, bucket))
	}
}

// Empty reports whether nothing was added.
func (b *Batch) Empty() bool { return b.b == nil || b.b.Empty() }

// Commit applies the batch and ends it. With sync it returns nil only once the batch, and all committed before it, are on
// stable storage. After an error with sync the batch may or may not survive a restart, and the index is dead.
func (b *Batch) Commit(sync bool) error {
	const op = "meta.Commit"
	defer b.Close()
	if b.b == nil {
		return cluster.Fail(op, b.x.dir, cluster.KindOther, "the batch was ended before")
	}
	if b.err != nil {
		return b.x.failed(op, b.err)
	}
	pb, options := b.b, pebble.NoSync
	if sync {
		options = pebble.Sync
	}
	err := b.x.call(func() error { return pb.Commit(options) })
	if b.x.Err() != nil {
		b.b = nil // a parked goroutine may still use it
	}
	if err != nil {
		return cluster.E(op, b.x.dir, kindOf(err), err)
	}
	b.x.access.forget(b.forgets)
	return nil
}

// Sync makes all durable that was committed before.
func (x *Index) Sync() error {
	const op = "meta.Sync"
	if err := x.call(func() error { return x.db.LogData(nil, pebble.Sync) }); err != nil {
		return cluster.E(op, x.dir, kindOf(err), err)
	}
	return nil
}

// Close ends a batch without applying it. After Commit it does nothing, so it can be deferred.
func (b *Batch) Close() {
	if b.b != nil {
		_ = b.b.Close() // always nil: it only returns memory
		b.b = nil
	}
}
