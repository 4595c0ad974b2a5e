package meta

import (
	"bytes"
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aisle-store/aisle/cluster"
)

// Exists reports whether there is an index in a directory: Open would make an empty one where there is none.
func Exists(fs vfs.FS, dir string) (bool, error) {
	desc, err := pebble.Peek(dir, fs)
	if err != nil {
		return false, cluster.E("meta.Exists", dir, kindOf(err), err)
	}
	return desc.Exists, nil
}

// Salvaged is what CopyTo could do.
type Salvaged struct {
	Copied   int
	Bad      int  // entries that cannot be believed
	Complete bool // every entry was read
}

// CopyTo copies every entry that can be read and believed into another index, which is empty, and calls seen for each record. It
// reads from the first entry on until a block cannot be read, and from the last one back: what lies between two bad blocks is
// not found. Access times, and notes, are left out.
func (x *Index) CopyTo(ctx context.Context, to *Index, seen func(Ref)) (Salvaged, error) {
	const op = "meta.CopyTo"
	c := copier{ctx: ctx, to: to, seen: seen}
	defer c.close()
	last, err := c.forward(x)
	if err == nil {
		c.did.Complete = true
		return c.did, c.flush()
	}
	if !pebble.IsCorruptionError(err) {
		return c.did, x.failed(op, err)
	}
	if err := c.backward(x, last); err != nil && !pebble.IsCorruptionError(err) {
		return c.did, x.failed(op, err)
	}
	return c.did, c.flush()
}

// copier copies entries, some at a time.
type copier struct {
	ctx   context.Context
	to    *Index
	seen  func(Ref)
	batch *Batch
	did   Salvaged
}

const copyBatch = 1 << 20 // bytes

func (c *copier) forward(x *Index) (last []byte, err error) {
	it, err := x.db.NewIter(nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ignoreCorruption(it.Close())) }()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return last, err
		}
		last = append(last[:0], it.Key()...)
		if err := c.take(it.Key(), value); err != nil {
			return last, err
		}
	}
	return last, it.Error()
}

// backward copies from the last entry back to the one that forward read last.
func (c *copier) backward(x *Index, last []byte) (err error) {
	it, err := x.db.NewIter(nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ignoreCorruption(it.Close())) }()
	for ok := it.Last(); ok && bytes.Compare(it.Key(), last) > 0; ok = it.Prev() {
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if err := c.take(it.Key(), value); err != nil {
			return err
		}
	}
	return it.Error()
}

// ignoreCorruption: what an iterator has found, its Close says again.
func ignoreCorruption(err error) error {
	if pebble.IsCorruptionError(err) {
		return nil
	}
	return err
}

// take copies one entry.
func (c *copier) take(key, value []byte) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	if kind := Kind(key[0]); kind == accessTime || kind == note {
		return nil
	}
	entry, err := check(key, value)
	if err != nil {
		c.did.Bad++
		return nil //nolint:nilerr // counted
	}
	if entry.Ref.Kind != 0 {
		c.seen(entry.Ref)
	}
	if c.batch == nil {
		c.batch = c.to.NewBatch()
	}
	c.batch.note(c.batch.b.Set(key, value, nil))
	c.did.Copied++
	if c.batch.b.Len() < copyBatch {
		return nil
	}
	return c.flush()
}

func (c *copier) flush() error {
	b := c.batch
	c.batch = nil
	if b == nil {
		return nil
	}
	return b.Commit(true)
}

func (c *copier) close() {
	if c.batch != nil {
		c.batch.Close()
	}
}
