package disk

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/aisle-store/aisle/cluster"
)

// writebackStep is after how many bytes of a blob the kernel is asked to begin writing.
const writebackStep = 4 << 20

// Writer receives the bytes of one object or part. It is not safe for concurrent use. Exactly one of Seal and Abort ends it
// (Abort after Seal does nothing, so it can be deferred).
//
// Bytes that may become an extent are kept in memory, since an extent is written whole, when it is known to be good. All
// others go to a blob file as they come.
type Writer struct {
	d        *Disk
	declared int64 // -1: unknown
	size     int64
	sums     blockSums
	err      error // what made the writer useless
	ended    bool

	held [][]byte // of an extent: the first begins with room for the header
	lent bool     // somebody reads what is held: it stays also when the writer is ended

	blob    *blobFile
	buffer  []byte // of a blob: what is not written yet
	written int64  // of a blob: data in the file
	pushed  int64  // of a blob: data that the kernel was asked to write

	probe [1]byte
}

// Size returns how many bytes were appended.
func (w *Writer) Size() int64 { return w.size }

// Write appends p. It fails when more than the declared size comes.
func (w *Writer) Write(p []byte) (int, error) {
	total := 0
	for len(p) > 0 {
		room, err := w.room()
		if err != nil {
			return total, err
		}
		n := copy(room, p)
		w.advance(room[:n])
		total += n
		p = p[n:]
	}
	return total, nil
}

// ReadFrom appends all of r, reading straight into the writer's buffers: io.Copy uses it. Errors of r are returned as they
// are.
func (w *Writer) ReadFrom(r io.Reader) (int64, error) {
	start, idle := w.size, 0
	for {
		room, err := w.roomOrProbe()
		if err != nil {
			return w.size - start, err
		}
		n, err := r.Read(room)
		switch {
		case n > 0 && w.full():
			return w.size - start, w.tooMuch()
		case n > 0:
			w.advance(room[:n])
			idle = 0
		default:
			idle++
		}
		if err == io.EOF {
			return w.size - start, nil
		}
		if err == nil && idle == 100 {
			err = io.ErrNoProgress
		}
		if err != nil {
			return w.size - start, err
		}
	}
}

// full reports whether all of the declared size has come.
func (w *Writer) full() bool { return w.declared >= 0 && w.size == w.declared }

func (w *Writer) tooMuch() error {
	w.err = cluster.Fail("disk.Write", w.d.dir, cluster.KindInvalid, fmt.Sprintf("more than the %d bytes announced", w.declared))
	return w.err
}

// roomOrProbe returns where to read to; when nothing more should come, a byte that would show that something does.
func (w *Writer) roomOrProbe() ([]byte, error) {
	if w.full() && w.err == nil && !w.ended {
		return w.probe[:], nil
	}
	return w.room()
}

// room returns the free part of the current buffer, never empty, and never more than the declared size.
func (w *Writer) room() ([]byte, error) {
	switch {
	case w.ended:
		return nil, cluster.E("disk.Write", w.d.dir, cluster.KindOther, ErrClosed)
	case w.err != nil:
		return nil, w.err
	case w.full():
		return nil, w.tooMuch()
	}
	if w.blob == nil && !w.growExtent() {
		if err := w.toBlob(); err != nil {
			return nil, err
		}
	}
	if w.blob != nil && len(w.buffer) == cap(w.buffer) {
		if err := w.flush(); err != nil {
			return nil, err
		}
	}
	b := w.buffer
	if w.blob == nil {
		b = w.held[len(w.held)-1]
	}
	room := b[len(b):cap(b)]
	if w.declared >= 0 {
		room = room[:min(int64(len(room)), w.declared-w.size)]
	}
	return room, nil
}

// growExtent sees to it that the last buffer of an extent has room. It reports false when the bytes must go to a blob: they
// are too many, or memory for extents is used up.
func (w *Writer) growExtent() bool {
	if n := len(w.held); n > 0 && len(w.held[n-1]) < cap(w.held[n-1]) {
		return true
	}
	if w.size >= w.d.o.ExtentMax {
		return false
	}
	want := int64(largeBuffer)
	switch {
	case len(w.held) > 0: // more than the first buffer could take
	case w.declared < 0:
		want = smallBuffer
	default:
		want = headerSize + w.declared
	}
	b := w.d.buffers.try(want)
	if b == nil {
		return false
	}
	if len(w.held) == 0 {
		b = b[:headerSize]
	}
	w.held = append(w.held, b)
	return true
}

// advance takes over what was put into the buffer's free part.
func (w *Writer) advance(p []byte) {
	w.sums.add(p)
	w.size += int64(len(p))
	if w.blob != nil {
		w.buffer = w.buffer[:len(w.buffer)+len(p)]
		return
	}
	last := &w.held[len(w.held)-1]
	*last = (*last)[:len(*last)+len(p)]
}

// toBlob makes the writer a blob's, and moves what it holds into the file.
func (w *Writer) toBlob() error {
	blob, err := w.d.blobs.create()
	if err != nil {
		w.err = err
		return err
	}
	w.blob = blob
	if w.declared >= 0 {
		body := alignUp(bodySize(Blob, w.declared, 0))
		if err := blob.file.Preallocate(0, body); err != nil {
			return w.fail("preallocate", err)
		}
	}
	for i, b := range w.held {
		if i == 0 {
			b = b[headerSize:]
		}
		if err := w.put(b); err != nil {
			return err
		}
	}
	w.dropHeld()
	w.buffer = w.d.buffers.one()
	return nil
}

// flush writes the buffer to the blob file.
func (w *Writer) flush() error {
	err := w.put(w.buffer)
	w.buffer = w.buffer[:0]
	return err
}

func (w *Writer) put(p []byte) error {
	if _, err := w.blob.file.WriteAt(p, blobDataStart+w.written); err != nil {
		return w.fail("write blob", err)
	}
	w.written += int64(len(p))
	if w.written-w.pushed >= writebackStep {
		startWriteback(w.blob.file, blobDataStart+w.pushed, w.written-w.pushed)
		w.pushed = w.written
	}
	return nil
}

// fail makes the writer useless.
func (w *Writer) fail(what string, err error) error {
	w.err = w.d.failed(what, err)
	return w.err
}

// Seal makes the bytes durable, with record beside them for salvage, and returns their place. It fails when fewer bytes than
// declared came. After a failed Seal nothing is kept; the writer is ended. Data of no bytes is Nowhere.
func (w *Writer) Seal(ctx context.Context, record []byte) (Place, error) {
	const op = "disk.Seal"
	defer w.Abort()
	switch {
	case w.ended:
		return Place{}, cluster.E(op, w.d.dir, cluster.KindOther, ErrClosed)
	case w.err != nil:
		return Place{}, w.err
	case ctx.Err() != nil:
		return Place{}, cluster.E(op, w.d.dir, cluster.KindOther, ctx.Err())
	case w.declared >= 0 && w.size != w.declared:
		return Place{}, cluster.E(op, w.d.dir, cluster.KindInvalid, fmt.Errorf("%d bytes instead of %d: %w", w.size, w.declared, io.ErrUnexpectedEOF))
	case w.size == 0:
		return Place{}, nil
	}
	if w.blob == nil && w.size > w.d.o.ExtentMax {
		if err := w.toBlob(); err != nil {
			return Place{}, err
		}
	}
	if w.blob != nil {
		return w.sealBlob(record)
	}
	return w.sealExtent(record)
}

// sealExtent writes header, data and tail into a segment and waits for the sync.
func (w *Writer) sealExtent(record []byte) (Place, error) {
	h := header{kind: Extent, length: w.size}
	pieces := withTail(w.held, w.sums.tail(&h, record))
	seg, offset, err := w.d.segments.reserve(spanOf(Extent, w.size, int64(len(record))))
	if err != nil {
		return Place{}, cluster.E("disk.Seal", w.d.dir, cluster.KindOther, err)
	}
	h.file, h.offset = seg.id, offset
	h.append(w.held[0][:0])
	served, err := seg.write(offset, pieces)
	if err != nil {
		// Retired first, so that nothing is appended behind a write that failed, then given back.
		err = w.d.failed("write extent", err)
		seg.spoil()
		w.d.segments.retire(seg)
		w.d.free(h.place())
	} else {
		w.d.worked()
	}
	if served > 0 {
		w.d.syncs.Add(1)
		w.d.synced.Add(int64(served))
	}
	if closeErr := seg.wrote(); closeErr != nil {
		_ = w.d.failed("seal segment", closeErr) // this extent is durable, or its error is returned
	}
	if err != nil {
		w.d.segments.collect(seg)
		return Place{}, err
	}
	return h.place(), nil
}

// withTail adds the tail, behind the data of the last piece when there is room: one write less.
func withTail(pieces [][]byte, tail []byte) [][]byte {
	last := &pieces[len(pieces)-1]
	if cap(*last)-len(*last) < len(tail) {
		return append(pieces, tail)
	}
	*last = append(*last, tail...)
	return pieces
}

// sealBlob writes the tail, then the header, and syncs file and directory.
func (w *Writer) sealBlob(record []byte) (Place, error) {
	if err := w.flush(); err != nil {
		return Place{}, err
	}
	h := header{kind: Blob, file: w.blob.id, length: w.size}
	if err := w.put(w.sums.tail(&h, record)); err != nil {
		return Place{}, err
	}
	if _, err := w.blob.file.WriteAt(h.append(nil), 0); err != nil {
		return Place{}, w.fail("write blob", err)
	}
	if err := w.d.blobs.commit(w.blob); err != nil {
		return Place{}, w.fail("commit blob", err)
	}
	w.d.worked()
	blob := w.blob
	w.blob = nil
	if err := blob.file.Close(); err != nil {
		_ = w.d.failed("close blob", err) // it is durable
	}
	return h.place(), nil
}

// Abort drops the bytes.
func (w *Writer) Abort() {
	if w.ended {
		return
	}
	w.ended = true
	w.dropHeld()
	if w.buffer != nil {
		w.d.buffers.drop(w.buffer)
		w.buffer = nil
	}
	if w.blob != nil {
		w.d.blobs.discard(w.blob)
		w.blob = nil
	}
	if w.err == nil {
		w.err = errors.New("aborted")
	}
}

// Holds reports whether the bytes will lie in memory until Seal: their number is declared, and an extent can have it.
func (w *Writer) Holds() bool { return w.declared >= 0 && w.declared <= w.d.o.ExtentMax }

// Lend returns what was appended, in pieces, for somebody who sends it elsewhere, also while Seal runs; nil when there is nothing, or not all
// of it is in memory. The pieces must not be changed. They stay until Return, which must follow, after Seal or Abort.
func (w *Writer) Lend() [][]byte {
	if w.ended || w.err != nil || w.blob != nil || w.size == 0 {
		return nil
	}
	w.lent = true
	pieces := make([][]byte, 0, len(w.held))
	for i, b := range w.held {
		if i == 0 {
			b = b[headerSize:]
		}
		pieces = append(pieces, b)
	}
	return pieces
}

// Return ends a Lend: nobody reads the pieces any more. Without one it does nothing.
func (w *Writer) Return() {
	if w.lent {
		w.lent = false
		w.dropHeld()
	}
}

func (w *Writer) dropHeld() {
	if w.lent {
		return
	}
	for _, b := range w.held {
		w.d.buffers.giveBack(b)
	}
	w.held = nil
}
