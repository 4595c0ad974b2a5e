package ec

import (
	"errors"
	"fmt"
	"io"
	"sync"
)

// Opener opens a range of a shard. What it returns gives these bytes, or an error. It may be called for several shards at the
// same time.
type Opener func(shard int, offset, length int64) (io.ReadCloser, error)

// Reader reads a range of the bytes, or a shard. It is used by one goroutine at a time.
//
// It opens the shards that it wants, and no others as long as these can be read. A shard that fails is left, and others take
// its place from the stripe on that it failed in.
type Reader struct {
	code    *Code
	size    int64 // of all bytes
	open    Opener
	want    []bool // shards whose blocks are given out
	sources []io.ReadCloser
	failed  []error // by shard: why it is left

	next, end int64 // stripes that are left
	offset    int64 // of the bytes that are left
	length    int64
	shard     int // that is read; -1: the bytes

	room *stripe
	here []bool // shards whose block of the next stripe is in room
	left []byte // of a run that Read gives out
}

// Open begins to read the bytes from offset to offset+length, of size altogether. Every shard that is needed for them is open
// when it returns.
func (c *Code) Open(size, offset, length int64, open Opener) (*Reader, error) {
	if offset < 0 || length < 0 || offset+length > size {
		return nil, fmt.Errorf("%d bytes from %d on are not in %d", length, offset, size)
	}
	r := c.reader(size, open, -1)
	r.offset, r.length = offset, length
	if length == 0 {
		return r, nil
	}
	whole := int64(c.Data) * int64(c.Block)
	r.next, r.end = offset/whole, (offset+length-1)/whole+1
	first, last := 0, c.Data-1
	if r.end == r.next+1 {
		at, _, block := c.stripe(r.next, size)
		first, last = int((offset-at)/block), int((offset+length-1-at)/block)
	}
	for i := first; i <= last; i++ {
		r.want[i] = true
	}
	return r, r.begin()
}

// OpenShard begins to read a whole shard of so many bytes: itself where it can be opened, and else made of others.
func (c *Code) OpenShard(size int64, shard int, open Opener) (*Reader, error) {
	if shard < 0 || shard >= c.Width() {
		return nil, fmt.Errorf("there is no shard %d of %d", shard, c.Width())
	}
	r := c.reader(size, open, shard)
	whole := int64(c.Data) * int64(c.Block)
	r.end = (size + whole - 1) / whole
	r.want[shard] = true
	if size == 0 {
		return r, nil
	}
	return r, r.begin()
}

func (c *Code) reader(size int64, open Opener, shard int) *Reader {
	n := c.Width()
	return &Reader{
		code: c, size: size, open: open, shard: shard, room: c.newStripe(),
		want: make([]bool, n), sources: make([]io.ReadCloser, n), failed: make([]error, n), here: make([]bool, n),
	}
}

// begin opens what is needed for the first stripe, and closes all when that fails.
func (r *Reader) begin() error {
	err := r.gather()
	if err != nil {
		_ = r.Close()
	}
	return err
}

// isDegraded reports whether a shard that is wanted cannot be read.
func (r *Reader) isDegraded() bool {
	for i, want := range r.want {
		if want && r.failed[i] != nil {
			return true
		}
	}
	return false
}

// gather opens the shards that are wanted or, when one of them cannot be read, any that are enough.
func (r *Reader) gather() error {
	for {
		degraded := r.isDegraded()
		var open []int
		missing := r.code.Data
		for i, source := range r.sources {
			switch {
			case source != nil:
				missing--
			case r.failed[i] == nil && (degraded || r.want[i]):
				open = append(open, i)
			}
		}
		if degraded {
			if len(open) < missing {
				return &Lost{Need: r.code.Data, Errs: r.failed}
			}
			open = open[:max(missing, 0)]
		}
		if len(open) == 0 {
			return nil
		}
		r.openAll(open)
	}
}

// openAll opens shards from the next stripe on, all at the same time.
func (r *Reader) openAll(shards []int) {
	var work sync.WaitGroup
	from := r.next * int64(r.code.Block)
	to := min(r.end*int64(r.code.Block), r.code.ShardLength(r.size))
	for _, i := range shards {
		work.Go(func() {
			r.sources[i], r.failed[i] = r.open(i, from, to-from)
			if r.failed[i] != nil {
				r.sources[i] = nil
			}
		})
	}
	work.Wait()
}

// Lost says that too few shards can be read.
type Lost struct {
	Need int
	Errs []error // by shard: why it cannot be read; nil where it can
}

// Error implements error.
func (l *Lost) Error() string {
	return fmt.Sprintf("fewer than %d shards can be read: %v", l.Need, errors.Join(l.Errs...))
}

// Unwrap returns why shards cannot be read.
func (l *Lost) Unwrap() []error {
	var errs []error
	for _, err := range l.Errs {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// Next returns the next run of bytes, or io.EOF behind the last. It is valid until the next call.
func (r *Reader) Next() ([]byte, error) {
	if r.room == nil {
		return nil, io.ErrClosedPipe
	}
	if r.next >= r.end {
		return nil, io.EOF
	}
	at, _, block := r.code.stripe(r.next, r.size)
	if err := r.read(block); err != nil {
		return nil, err
	}
	r.next++
	if r.shard >= 0 {
		return r.room.shards[r.shard], nil
	}
	from := r.offset - at
	n := min(r.length, int64(r.code.Data)*block-from)
	r.offset += n
	r.length -= n
	return r.room.bytes[from : from+n], nil
}

// read brings the blocks that are wanted of the next stripe into room.
func (r *Reader) read(block int64) error {
	r.room.cut(block)
	clear(r.here)
	for {
		if err := r.gather(); err != nil {
			return err
		}
		if r.readBlocks() {
			break
		}
	}
	if !r.isDegraded() {
		return nil
	}
	lost := make([]bool, len(r.want))
	for i := range r.want {
		lost[i] = r.want[i] && !r.here[i]
		if !r.here[i] {
			r.room.shards[i] = r.room.shards[i][:0]
		}
	}
	return r.code.matrix.ReconstructSome(r.room.shards, lost)
}

// readBlocks reads a block of each source, and reports whether none failed.
func (r *Reader) readBlocks() bool {
	whole := true
	for i, source := range r.sources {
		if source == nil || r.here[i] {
			continue
		}
		if _, err := io.ReadFull(source, r.room.shards[i]); err != nil {
			_ = source.Close() // what was read of it is not used
			r.sources[i], r.failed[i] = nil, err
			whole = false
			continue
		}
		r.here[i] = true
	}
	return whole
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	for len(r.left) == 0 {
		run, err := r.Next()
		if err != nil {
			return 0, err
		}
		r.left = run
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

// Close closes what is open. What Next returned is not valid any more.
func (r *Reader) Close() error {
	var errs []error
	for i, source := range r.sources {
		if source != nil {
			errs = append(errs, source.Close())
			r.sources[i] = nil
		}
	}
	if r.room != nil {
		r.code.stripes.Put(r.room)
		r.room, r.left = nil, nil
	}
	return errors.Join(errs...)
}
