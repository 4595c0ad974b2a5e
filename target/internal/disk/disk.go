package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/aisle-store/aisle/cluster"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Why a mountpath is refused, or a place cannot be read. Match with errors.Is.
var (
	// ErrMissing: the directory of the mountpath does not exist.
	ErrMissing = errors.New("the mountpath does not exist")
	// ErrUnformatted: the directory exists and has no format.json; perhaps its disk is not mounted. It is never formatted
	// by itself.
	ErrUnformatted = errors.New("the mountpath is not formatted")
	// ErrForeign: format.json names another cluster, node or mountpath.
	ErrForeign = errors.New("the mountpath belongs to another cluster, node or mountpath")
	// ErrTooNew: format.json has a format number that this binary does not know.
	ErrTooNew = errors.New("the mountpath was written by a newer version of Aisle")
	// ErrFormatted: Format found a directory that is not empty.
	ErrFormatted = errors.New("the mountpath is not empty")
	// ErrGone: the place was freed before it was opened. The reader's record is old: read it again; if it still names the
	// place, the bytes are lost (cluster.KindCorrupt).
	ErrGone = errors.New("the bytes were freed")
	// ErrClosed: the disk or the writer was closed.
	ErrClosed = errors.New("closed")
)

// failuresInARow is how many operations of the file system in a row must fail until the disk counts as failed.
const failuresInARow = 5

// Disk is an open mountpath. Its methods may be called at the same time.
type Disk struct {
	fs       vfs.FS
	dir      string
	o        Options
	identity Identity
	boot     uint32
	lock     io.Closer

	segments   segments
	blobs      blobs
	handles    handles
	buffers    buffers
	space      space
	recovery   recovery
	background sync.WaitGroup

	sequence    atomic.Uint64
	syncs       atomic.Int64
	synced      atomic.Int64
	errors      atomic.Int64
	corruptions atomic.Int64
	failures    atomic.Int64 // of the file system, in a row
	broken      atomic.Pointer[cluster.Error]
}

// Open takes the mountpath in dir into use: checks its identity, locks it against other processes, takes the next boot
// number. Recover must follow.
func Open(fs vfs.FS, dir string, o Options) (*Disk, error) {
	const op = "disk.Open"
	identity, err := ReadIdentity(fs, dir)
	if err != nil {
		return nil, err
	}
	if err := identity.check(o.Identity); err != nil {
		return nil, refuse(op, dir, err)
	}
	d := &Disk{fs: fs, dir: dir, o: o.withDefaults(), identity: identity}
	d.segments.d, d.blobs.d, d.space.d = d, d, d
	d.segments.holes.stop = make(chan struct{})
	d.buffers.limit = d.o.BufferBytes
	if d.lock, err = fs.Lock(fs.PathJoin(dir, lockName)); err != nil {
		return nil, refuse(op, dir, fmt.Errorf("another process has it open: %w", err))
	}
	if err := d.load(); err != nil {
		return nil, refuse(op, dir, errors.Join(err, d.lock.Close()))
	}
	return d, nil
}

// load reads what earlier boots left and takes the next boot number.
func (d *Disk) load() error {
	for _, sub := range []string{segmentsName, blobsName, indexName} {
		if err := d.fs.MkdirAll(d.fs.PathJoin(d.dir, sub), 0o755); err != nil {
			return err
		}
	}
	last, err := d.segments.load()
	if err != nil {
		return err
	}
	lastBlob, err := d.blobs.lastBoot()
	if err != nil {
		return err
	}
	if d.boot, err = nextBoot(d.fs, d.dir, max(last, lastBlob)); err != nil {
		return err
	}
	d.space.open()
	return nil
}

// Close waits for background work, seals the current segment and gives the mountpath up. Readers and writers must be ended
// before.
func (d *Disk) Close() error {
	d.segments.close()
	close(d.segments.holes.stop)
	d.background.Wait()
	d.segments.giveBack()
	d.handles.close()
	return d.lock.Close()
}

// Identity returns what format.json says.
func (d *Disk) Identity() Identity { return d.identity }

// IndexDir returns the directory in which the index of this mountpath lives.
func (d *Disk) IndexDir() string { return d.fs.PathJoin(d.dir, indexName) }

// IndexFS returns the file system that the index must be opened on. An operation of it that finds the disk full gives up
// the ballast and tries once more, so that deletes go through on a full disk.
func (d *Disk) IndexFS() vfs.FS { return vfs.OnDiskFull(d.fs, d.space.exhausted) }

// Free gives the bytes of a place back, soon or when its last reader closes. The caller must have made durable the batch
// that names the place no more (or a newer generation of the key). Freeing a place twice, or Nowhere, does nothing.
func (d *Disk) Free(p Place) {
	if p.Kind == Nowhere || d.recovery.postpone(d, p) {
		return
	}
	d.free(p)
	d.space.freed()
}

func (d *Disk) free(p Place) {
	switch p.Kind {
	case Blob:
		d.blobs.free(p)
	case Extent:
		s := d.segments.get(p.File)
		if s == nil {
			return
		}
		if span, _ := s.free(p); span > 0 {
			d.segments.reclaim(s, p)
		}
	}
}

// Err returns nil, or why the disk counts as failed: several operations of the file system in a row failed. Reads may still
// work. Only opening it again makes it serve again.
func (d *Disk) Err() error {
	if err := d.broken.Load(); err != nil {
		return err
	}
	return nil
}

// failed counts and reports an operation of the file system that failed, and returns its error.
func (d *Disk) failed(what string, err error) error {
	op := "disk." + what
	if vfs.IsNoSpaceError(err) {
		d.space.exhausted()
		return cluster.E(op, d.dir, cluster.KindNoSpace, err)
	}
	d.errors.Add(1)
	if d.failures.Add(1) >= failuresInARow {
		d.broken.CompareAndSwap(nil, cluster.E(op, d.dir, cluster.KindUnavailable, err))
	}
	if d.o.Events.Failed != nil {
		d.o.Events.Failed(what, err)
	}
	return cluster.E(op, d.dir, cluster.KindUnavailable, err)
}

// worked notes that the file system did its work.
func (d *Disk) worked() { d.failures.Store(0) }

// corrupt counts and reports bytes without their checksum.
func (d *Disk) corrupt(op string, p Place, err error) error {
	d.corruptions.Add(1)
	if d.o.Events.Corrupt != nil {
		d.o.Events.Corrupt(p, err)
	}
	return cluster.E(op, d.fs.PathJoin(d.dir, p.String()), cluster.KindCorrupt, err)
}

func (d *Disk) nextFile() FileID { return makeFileID(d.boot, d.sequence.Add(1)) }

// Stats are counters and gauges of one disk since it was opened.
type Stats struct {
	Boot         uint32
	Segments     int   // segment files
	Extents      int64 // live extents, as far as Recover accounted them
	ExtentBytes  int64 // their spans
	Pinned       int   // extents that are being read
	PendingFrees int   // waiting for Recover
	Syncs        int64 // of segments
	Synced       int64 // extents that those syncs served
	Errors       int64 // failed operations of the file system
	Corruptions  int64
	Full         bool // writes are refused for lack of space
	Ballast      bool // the ballast is there
}

// Stats returns counters and gauges of the disk.
func (d *Disk) Stats() Stats {
	st := Stats{
		Boot:         d.boot,
		PendingFrees: d.recovery.pending(),
		Syncs:        d.syncs.Load(),
		Synced:       d.synced.Load(),
		Errors:       d.errors.Load(),
		Corruptions:  d.corruptions.Load(),
	}
	st.Full, st.Ballast = d.space.state()
	for _, s := range d.segments.all() {
		extents, bytes, pinned := s.usage()
		st.Segments++
		st.Extents += extents
		st.ExtentBytes += bytes
		st.Pinned += pinned
	}
	return st
}

// Create begins to write data of the given size, or of unknown size when size is negative. Data up to Options.ExtentMax
// becomes an extent, more a blob.
func (d *Disk) Create(ctx context.Context, size int64) (*Writer, error) {
	const op = "disk.Create"
	if err := ctx.Err(); err != nil {
		return nil, cluster.E(op, d.dir, cluster.KindOther, err)
	}
	if err := d.Err(); err != nil {
		return nil, err
	}
	if err := d.CheckSpace(max(size, 0)); err != nil {
		return nil, err
	}
	w := &Writer{d: d, declared: size}
	if size > d.o.ExtentMax {
		if err := w.toBlob(); err != nil {
			return nil, err
		}
	}
	return w, nil
}
