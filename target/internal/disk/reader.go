package disk

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aisle-store/aisle/cluster"
)

// Open pins a place for reading. The error is ErrGone when it was freed already. Opening Nowhere returns an empty Reader.
func (d *Disk) Open(p Place) (*Reader, error) { return d.OpenOn(nil, p) }

// OpenOn is Open by way of another file system that has the same files, as one copy of several; nil: that of the disk.
func (d *Disk) OpenOn(fs vfs.FS, p Place) (*Reader, error) {
	const op = "disk.Open"
	r := &Reader{d: d, place: p}
	gone := func() error { return cluster.E(op, p.String(), cluster.KindNotFound, ErrGone) }
	switch p.Kind {
	case Nowhere:
		return r, nil
	case Blob:
		f, err := openRead(cmp.Or(fs, d.fs), d.blobs.path(p.File))
		if errors.Is(err, os.ErrNotExist) {
			return nil, gone()
		}
		if err != nil {
			return nil, d.failed("open blob", err)
		}
		r.file, r.base = f, blobDataStart
	case Extent:
		s := d.segments.get(p.File)
		if s == nil || s.open(p) != nil {
			return nil, gone()
		}
		h, err := d.handle(fs, s)
		if err != nil {
			d.unpin(s, p)
			if errors.Is(err, os.ErrNotExist) {
				return nil, gone()
			}
			return nil, d.failed("open segment", err)
		}
		r.segment, r.handle, r.file, r.base = s, h, h.file, p.Offset+headerSize
	default:
		return nil, cluster.Fail(op, p.String(), cluster.KindCorrupt, "a place of an unknown kind")
	}
	return r, nil
}

// handle returns a handle of a segment; on another file system one of its own.
func (d *Disk) handle(fs vfs.FS, s *segment) (*handle, error) {
	if fs == nil {
		return d.handles.acquire(d.fs, s)
	}
	f, err := openRead(fs, s.path)
	if err != nil {
		return nil, err
	}
	return &handle{id: s.id, file: f, readers: 1, dropped: true}, nil
}

// unpin ends the use of an extent, and gives its bytes back when it was freed meanwhile.
func (d *Disk) unpin(s *segment, p Place) {
	if s.unpin(p) > 0 {
		d.segments.reclaim(s, p)
	}
}

// Reader reads the bytes of one place, each block checked before a byte of it is returned. It may be used by one goroutine
// at a time.
type Reader struct {
	d       *Disk
	place   Place
	file    readable
	base    int64    // where the data begins in the file
	segment *segment // of an extent
	handle  *handle

	table  []byte // the checksums of the blocks, once they are read and checked
	buffer []byte // whole blocks, checked, from offset first of the data
	first  int64
}

// Size returns the length of the data.
func (r *Reader) Size() int64 { return r.place.Length }

// Close unpins the place. Bytes that Runs gave out are no longer valid.
func (r *Reader) Close() error {
	if r.file == nil {
		return nil
	}
	if r.buffer != nil {
		r.d.buffers.drop(r.buffer)
		r.buffer = nil
	}
	if r.segment == nil {
		_ = r.file.Close() // opened for reading only
	} else {
		r.d.handles.release(r.handle)
		r.d.unpin(r.segment, r.place)
	}
	r.file = nil
	return nil
}

// ReadAt reads and checks. Bytes that do not have their checksum are an error of cluster.KindCorrupt.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, cluster.Fail("disk.ReadAt", r.place.String(), cluster.KindInvalid, "a negative offset")
	}
	n := 0
	for n < len(p) {
		if off >= r.place.Length {
			return n, io.EOF
		}
		b, err := r.load(off, int64(len(p)-n))
		if err != nil {
			return n, err
		}
		m := copy(p[n:], b)
		n += m
		off += int64(m)
	}
	return n, nil
}

// load returns checked bytes from off on, up to n of them, at least one. They are valid until the next load.
func (r *Reader) load(off, n int64) ([]byte, error) {
	if r.file == nil {
		return nil, cluster.E("disk.Read", r.place.String(), cluster.KindOther, ErrClosed)
	}
	if have := r.first + int64(len(r.buffer)); r.buffer == nil || off < r.first || off >= have {
		if err := r.fill(off, n); err != nil {
			r.buffer = r.buffer[:0]
			return nil, err
		}
	}
	b := r.buffer[off-r.first:]
	return b[:min(n, int64(len(b)))], nil
}

// fill reads the blocks that hold off to off+n, as many as fit the buffer, and checks them.
func (r *Reader) fill(off, n int64) error {
	first := off / BlockSize * BlockSize
	end := min((off+n+BlockSize-1)/BlockSize*BlockSize, r.place.Length)
	tableSize := blocksOf(r.place.Length) * tableEntry
	want := end - first
	if r.table == nil && want == r.place.Length {
		want += tableSize // a small body: data and table in one read
	}
	if r.buffer == nil {
		r.buffer = r.d.buffers.reader(want)
	} else if int64(cap(r.buffer)) < min(want, readBuffer) {
		r.d.buffers.drop(r.buffer)
		r.buffer = r.d.buffers.reader(want)
	}
	if want > int64(cap(r.buffer)) {
		end = min(first+int64(cap(r.buffer))/BlockSize*BlockSize, end)
		want = end - first
	}
	r.buffer = r.buffer[:want]
	if err := r.read(r.buffer, first); err != nil {
		return err
	}
	data := r.buffer[:end-first]
	if r.table == nil {
		if err := r.loadTable(r.buffer[end-first:], tableSize); err != nil {
			return err
		}
	}
	if err := r.check(data, first); err != nil {
		return err
	}
	r.buffer, r.first = data, first
	return nil
}

// loadTable takes the table over from what was read behind the data, or reads it.
func (r *Reader) loadTable(read []byte, size int64) error {
	table := make([]byte, size)
	if int64(len(read)) == size {
		copy(table, read)
	} else if err := r.read(table, r.place.Length); err != nil {
		return err
	}
	if sum := crc32.Checksum(table, castagnoli); sum != r.place.Sum {
		return r.corrupt(fmt.Errorf("the table of checksums has checksum %08x, not %08x", sum, r.place.Sum))
	}
	r.table = table
	return nil
}

// check compares whole blocks with their checksums.
func (r *Reader) check(data []byte, first int64) error {
	for at := first; len(data) > 0; at += BlockSize {
		block := data[:min(len(data), BlockSize)]
		want := binary.BigEndian.Uint32(r.table[at/BlockSize*tableEntry:])
		if sum := crc32.Checksum(block, castagnoli); sum != want {
			return r.corrupt(fmt.Errorf("bytes %d to %d have checksum %08x, not %08x", at, at+int64(len(block)), sum, want))
		}
		data = data[len(block):]
	}
	return nil
}

// read fills p from an offset of the data (or of what follows it).
func (r *Reader) read(p []byte, off int64) error {
	n, err := r.file.ReadAt(p, r.base+off)
	if n == len(p) {
		return nil
	}
	if err == io.EOF {
		return r.corrupt(fmt.Errorf("the file ends %d bytes early", len(p)-n))
	}
	return r.d.failed("read", fmt.Errorf("%s: %w", r.place, err))
}

func (r *Reader) corrupt(err error) error { return r.d.corrupt("disk.Read", r.place, err) }

// Runs returns the bytes from off to off+n in pieces that a reply can send. A Reader has one Runs at a time.
func (r *Reader) Runs(off, n int64) *Runs { return &Runs{reader: r, off: off, left: n} }

// Runs walks through a range of a place. The pieces are memory and not ranges of a file for sendfile: a block must be read
// to be checked, and sending what was read then costs less than sending the file's pages (docs/ondisk.md has numbers).
type Runs struct {
	reader *Reader
	off    int64
	left   int64
}

// Next returns the next piece, checked, or io.EOF after the last. A piece is valid until the next call or until the Reader
// is closed.
func (s *Runs) Next() ([]byte, error) {
	if s.left <= 0 {
		return nil, io.EOF
	}
	if s.off < 0 || s.off+s.left > s.reader.place.Length {
		return nil, cluster.Fail("disk.Runs", s.reader.place.String(), cluster.KindRange, "outside of the data")
	}
	b, err := s.reader.load(s.off, s.left)
	if err != nil {
		return nil, err
	}
	s.off += int64(len(b))
	s.left -= int64(len(b))
	return b, nil
}

// Verify reads the whole of a place, header, data, table and record, and checks it. The error is ErrGone,
// cluster.KindCorrupt, or of the disk.
func (d *Disk) Verify(ctx context.Context, p Place) error {
	return d.VerifyRange(ctx, nil, p, 0, p.Length)
}

// VerifyRange is Verify for a range of the data, so that a large place need not be pinned for as long as it takes to read all
// of it slowly. Header and record are checked with the range that begins the data. fs is as for OpenOn.
func (d *Disk) VerifyRange(ctx context.Context, fs vfs.FS, p Place, off, n int64) error {
	r, err := d.OpenOn(fs, p)
	if err != nil {
		return err
	}
	defer r.Close()
	if p.Kind == Nowhere {
		return nil
	}
	if off == 0 {
		if _, err := r.footer(); err != nil {
			return err
		}
	}
	for runs := r.Runs(off, n); ; {
		if err := ctx.Err(); err != nil {
			return cluster.E("disk.Verify", p.String(), cluster.KindOther, err)
		}
		if _, err := runs.Next(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// Footer returns the record that Seal wrote beside the data, for salvage.
func (d *Disk) Footer(p Place) ([]byte, error) {
	r, err := d.Open(p)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if p.Kind == Nowhere {
		return nil, cluster.Fail("disk.Footer", p.String(), cluster.KindNotFound, "there are no bytes")
	}
	return r.footer()
}

// footer reads and checks the header and the record.
func (r *Reader) footer() ([]byte, error) {
	raw := make([]byte, headerSize)
	if err := r.read(raw, -dataStart(r.place.Kind)); err != nil {
		return nil, err
	}
	h, err := parseHeader(raw)
	if err != nil {
		return nil, r.corrupt(err)
	}
	if h.place() != r.place {
		return nil, r.corrupt(fmt.Errorf("the header is of %s, sum %08x", h.place(), h.tableSum))
	}
	record := make([]byte, h.recordLength)
	if err := r.read(record, h.length+tableEntry*blocksOf(h.length)); err != nil {
		return nil, err
	}
	if sum := crc32.Checksum(record, castagnoli); sum != h.recordSum {
		return nil, r.corrupt(fmt.Errorf("the record has checksum %08x, not %08x", sum, h.recordSum))
	}
	return record, nil
}
