package store

import (
	"context"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// rebuildNames bounds how many names a report has of each sort.
const rebuildNames = 1000

// Rebuilt is what a rebuild found.
type Rebuilt struct {
	IndexError string // why the old index could not be opened; empty when it could
	Copied     int    // entries of the old index that could be read
	Bad        int    // entries of it that could be read and not believed
	Complete   bool   // nothing of it was lost

	Bodies   int // places found on the disk
	Damaged  int // of them, without their checksums, or never finished
	Restored int // objects made of bodies, which the old index does not tell of any more
	Older    int // bodies of older generations, or that the index knows better
	Parts    int // bodies of parts that nothing tells the upload of

	LostParts []KeyName // objects and uploads whose parts were found, but not how they belong together; not all when they are many
	Names     []KeyName // restored objects; not all when they are many
	Aside     string    // where the old index is now
}

// Rebuild makes the index of a mountpath anew, which no process may have open: of what can be read of the old one, and, for
// objects that it does not tell of, of the newest whole body on the disk. The mountpath is marked: it serves again when it is
// certain that no other holder knows better. With dry it changes nothing, but for a boot number.
func Rebuild(ctx context.Context, fs vfs.FS, path string, dry bool) (*Rebuilt, error) {
	const op = "target/store.Rebuild"
	id, err := disk.ReadIdentity(fs, path)
	if err != nil {
		return nil, err
	}
	d, err := disk.Open(fs, path, disk.Options{Identity: id, Ballast: -1})
	if err != nil {
		return nil, err
	}
	r := &rebuild{fs: fs, d: d, dry: dry, known: make(map[KeyName]bool), found: make(map[KeyName]candidate), parts: make(map[KeyName]bool)}
	err = r.run(ctx)
	if err = errors.Join(err, d.Close()); err != nil {
		return nil, cluster.E(op, path, cluster.KindOther, err)
	}
	return &r.did, nil
}

// rebuild is one run of Rebuild.
type rebuild struct {
	fs    vfs.FS
	d     *disk.Disk
	dry   bool
	did   Rebuilt
	known map[KeyName]bool      // of which the old index tells what there is
	found map[KeyName]candidate // the newest body of the others
	parts map[KeyName]bool
}

// candidate is a body that may be an object.
type candidate struct {
	record *meta.Record
	place  disk.Place
}

func (r *rebuild) run(ctx context.Context) error {
	old, dir := r.d.IndexDir(), r.d.IndexDir()
	into, err := meta.Open(vfs.NewMem(), "index", meta.Options{}) // of a dry run
	if err != nil {
		return err
	}
	if !r.dry {
		if err := errors.Join(into.Close(), r.d.MarkRebuilt()); err != nil {
			return err
		}
		if old, err = r.d.SetIndexAside(); err != nil {
			return err
		}
		r.did.Aside = old
		if into, err = meta.Open(r.fs, dir, meta.Options{}); err != nil {
			return err
		}
	}
	err = r.copyIndex(ctx, old, into)
	if err == nil {
		err = r.d.Salvage(ctx, r.body)
	}
	if err == nil {
		err = r.restore(into)
	}
	return errors.Join(err, into.Close())
}

// copyIndex takes over what can be read of the old index.
func (r *rebuild) copyIndex(ctx context.Context, dir string, into *meta.Index) error {
	exists, err := meta.Exists(r.fs, dir)
	if err == nil && !exists {
		err = errors.New("there is none")
	}
	var old *meta.Index
	if err == nil {
		old, err = meta.Open(r.fs, dir, meta.Options{ReadOnly: true})
	}
	if err != nil {
		r.did.IndexError = err.Error()
		return nil //nolint:nilerr // that it cannot be opened is what a rebuild is for
	}
	did, err := old.CopyTo(ctx, into, func(ref meta.Ref) {
		if ref.Kind == meta.Current || ref.Kind == meta.Tombstone {
			r.known[KeyName{Bucket: ref.Bucket, Key: ref.Key}] = true
		}
	})
	r.did.Copied, r.did.Bad, r.did.Complete = did.Copied, did.Bad, did.Complete
	return errors.Join(err, old.Close())
}

// body notes what was found on the disk.
func (r *rebuild) body(b disk.Body) error {
	r.did.Bodies++
	if b.Err != nil {
		r.did.Damaged++
		return nil //nolint:nilerr // counted
	}
	record, err := meta.DecodeFooter(b.Record)
	if err != nil {
		r.did.Damaged++
		return nil //nolint:nilerr // counted
	}
	key := KeyName{Bucket: record.Bucket, Key: record.Key}
	switch {
	case r.known[key]:
		r.did.Older++
	case record.Kind == meta.UploadPart, record.PartCount > 0:
		r.did.Parts++
		r.parts[key] = true
	case record.Kind == meta.Noncurrent: // moved from another layout
		r.did.Older++
	case record.Kind != meta.Current:
		r.did.Damaged++
	default:
		c := candidate{record: record, place: b.Place}
		before, ok := r.found[key]
		if ok {
			r.did.Older++
		}
		if !ok || before.isOlder(c) {
			r.found[key] = c
		}
	}
	return nil
}

// isOlder compares two bodies of one object: by epoch, which is certain; within one by the time they say, and then by when they
// came to this disk. The counters of most are not known.
func (c candidate) isOlder(than candidate) bool {
	a, b := c.record, than.record
	switch {
	case a.Generation.Epoch != b.Generation.Epoch:
		return a.Generation.Epoch < b.Generation.Epoch
	case !a.Modified.Equal(b.Modified):
		return a.Modified.Before(b.Modified)
	case c.place.File != than.place.File:
		return c.place.File < than.place.File
	}
	return c.place.Offset < than.place.Offset
}

// restore puts the newest bodies into the index, and notes that their slots were written.
func (r *rebuild) restore(into *meta.Index) error {
	written, err := into.WrittenSlots()
	if err != nil {
		return err
	}
	batch := into.NewBatch()
	defer func() { batch.Close() }()
	n := 0
	for key, c := range r.found {
		record := c.record
		record.Place, record.Parts, record.PartCount, record.HasManifest = c.place, nil, 0, false
		if err := batch.Put(record); err != nil {
			return err
		}
		if slot, epoch := record.Slot(), max(record.Generation.Epoch, 1); written[slot] < epoch {
			batch.MarkSlot(slot, epoch)
			written[slot] = epoch
		}
		r.did.Restored++
		r.did.Names = append(r.did.Names, key)
		if n++; n%sweepBatch == 0 {
			if err := batch.Commit(true); err != nil {
				return err
			}
			batch = into.NewBatch()
		}
	}
	for key := range r.parts {
		if _, whole := r.found[key]; !whole {
			r.did.LostParts = append(r.did.LostParts, key)
		}
	}
	r.did.Names, r.did.LostParts = sortNames(r.did.Names), sortNames(r.did.LostParts)
	return batch.Commit(true)
}

// sortNames returns names in order, not too many.
func sortNames(names []KeyName) []KeyName {
	slices.SortFunc(names, func(a, b KeyName) int {
		switch {
		case a.Bucket != b.Bucket && a.Bucket < b.Bucket, a.Bucket == b.Bucket && a.Key < b.Key:
			return -1
		case a == b:
			return 0
		}
		return 1
	})
	return names[:min(len(names), rebuildNames)]
}
