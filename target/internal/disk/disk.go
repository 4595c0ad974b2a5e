package disk

import (
	"context"
	"errors"
	"io"
	"iter"
	"os"

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
	// ErrFormatted: Format found a mountpath that has data or a format already.
	ErrFormatted = errors.New("the mountpath is formatted already")
	// ErrGone: the place was freed before it was opened. The reader's record is old: read it again; if it still names the
	// place, the bytes are lost (cluster.KindCorrupt).
	ErrGone = errors.New("the bytes were freed")
	// ErrClosed: the disk or the writer was closed.
	ErrClosed = errors.New("closed")
)

// Identity is what format.json says of a mountpath.
type Identity struct {
	Format    int                 `json:"format"`
	Cluster   string              `json:"cluster"`
	Node      cluster.NodeID      `json:"node"`
	Mountpath cluster.MountpathID `json:"mountpath"`
}

// Format writes format.json into an existing directory that has none, durably. It never touches one that is formatted.
func Format(fs vfs.FS, dir string, id Identity) error { panic("api") }

// ReadIdentity reads format.json. The error is ErrMissing, ErrUnformatted, ErrTooNew or of the file system.
func ReadIdentity(fs vfs.FS, dir string) (Identity, error) { panic("api") }

// Disk is an open mountpath. Its methods may be called at the same time.
type Disk struct{}

// Open takes the mountpath in dir into use: checks its identity, locks it against other processes, takes the next boot
// number. Recover must follow.
func Open(fs vfs.FS, dir string, o Options) (*Disk, error) { panic("api") }

// Close waits for background work, seals the current segment and gives the mountpath up. Readers must be closed before.
func (d *Disk) Close() error { panic("api") }

// Identity returns what format.json says.
func (d *Disk) Identity() Identity { panic("api") }

// IndexDir returns the directory in which the index of this mountpath lives.
func (d *Disk) IndexDir() string { panic("api") }

// Recover tells the disk which places the index names. It accounts the segments of earlier boots, removes the files and
// punches out the ranges of earlier boots that nothing names, and carries out the frees that came in meanwhile. Reads,
// writes and frees may go on at the same time; live must be a consistent view of the index that was taken after Open. When
// live yields an error nothing is collected, now or later in this boot: an unreadable record may name any place.
func (d *Disk) Recover(ctx context.Context, live iter.Seq2[Place, error]) (Recovered, error) {
	panic("api")
}

// Recovered is what Recover found.
type Recovered struct {
	Places      int     // named by the index
	Missing     []Place // named by the index, but their file is not there
	Orphans     int     // files and ranges that were collected
	OrphanBytes int64
}

// Free gives the bytes of a place back, at once or when its last reader closes. The caller must have made durable the batch
// that names the place no more (or a newer generation of the key). Freeing a place twice, or Nowhere, does nothing.
func (d *Disk) Free(p Place) { panic("api") }

// Verify reads the whole of a place, header, data and footer, and checks it. The error is ErrGone, cluster.KindCorrupt, or
// of the disk.
func (d *Disk) Verify(ctx context.Context, p Place) error { panic("api") }

// Footer returns the record that Seal wrote beside the data, for salvage.
func (d *Disk) Footer(p Place) ([]byte, error) { panic("api") }

// CheckSpace reports whether n more bytes may be written: nil, or cluster.KindNoSpace above the high watermark. Writers
// check by themselves; records with inline data need the caller to ask. Deletes must not ask.
func (d *Disk) CheckSpace(n int64) error { panic("api") }

// Err returns nil, or why the disk counts as failed: the file system refused a run of operations in a row. Reads may still
// work.
func (d *Disk) Err() error { panic("api") }

// Usage returns the space of the file system that the mountpath is on.
func (d *Disk) Usage() (Usage, error) { panic("api") }

// Usage is the space of a file system, in bytes.
type Usage struct {
	Total     int64
	Used      int64
	Available int64 // to this process; smaller than Total-Used where the file system reserves some
}

// Stats returns counters and gauges of the disk since Open.
func (d *Disk) Stats() Stats { panic("api") }

// Stats are counters and gauges of one disk.
type Stats struct {
	Boot         uint32
	Segments     int   // segment files
	Extents      int64 // live extents
	ExtentBytes  int64 // their spans
	Pinned       int   // places that are being read
	PendingFrees int   // freed, but pinned or waiting for Recover
	Syncs        int64 // of segments
	Synced       int64 // extents that those syncs served
	Errors       int64 // failed operations of the file system
	Corruptions  int64
	Full         bool // writes are refused for lack of space
}

// Create begins to write data of the given size, or of unknown size when size is negative. Data up to Options.ExtentMax
// becomes an extent, more a blob.
func (d *Disk) Create(ctx context.Context, size int64) (*Writer, error) { panic("api") }

// Writer receives the bytes of one object or part. It is not safe for concurrent use. Exactly one of Seal and Abort ends it
// (Abort after Seal does nothing, so it can be deferred).
type Writer struct{}

// Write appends p. It fails when more than the declared size comes.
func (w *Writer) Write(p []byte) (int, error) { panic("api") }

// ReadFrom appends all of r, reading straight into the writer's buffers: io.Copy uses it. Errors of r are returned as they
// are.
func (w *Writer) ReadFrom(r io.Reader) (int64, error) { panic("api") }

// Size returns how many bytes were appended.
func (w *Writer) Size() int64 { panic("api") }

// Seal makes the bytes durable, with record beside them for salvage, and returns their place. It fails when fewer bytes than
// declared came. After a failed Seal nothing is kept; the writer is ended.
func (w *Writer) Seal(ctx context.Context, record []byte) (Place, error) { panic("api") }

// Abort drops the bytes.
func (w *Writer) Abort() { panic("api") }

// Open pins a place for reading. The error is ErrGone when it was freed already. Opening Nowhere returns an empty Reader.
func (d *Disk) Open(p Place) (*Reader, error) { panic("api") }

// Reader reads the bytes of one place, checked. It may be used by one goroutine at a time.
type Reader struct{}

// Size returns the length of the data.
func (r *Reader) Size() int64 { panic("api") }

// ReadAt reads and checks. Bytes that do not have their checksum are an error of cluster.KindCorrupt.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) { panic("api") }

// Runs returns the bytes from off to off+n in pieces that a reply can send. A Reader has one Runs at a time.
func (r *Reader) Runs(off, n int64) *Runs { panic("api") }

// Close unpins the place. Bytes and files that Runs gave out are no longer valid.
func (r *Reader) Close() error { panic("api") }

// Runs walks through a range of a place.
type Runs struct{}

// Next returns the next piece, checked, or io.EOF after the last. A piece is valid until the next call or until the Reader
// is closed.
func (r *Runs) Next() (Run, error) { panic("api") }

// Run is a piece of data: Bytes, or Length bytes of File from Offset. The file belongs to the Reader, has an offset of its
// own that may be moved, and must not be closed.
type Run struct {
	Bytes  []byte
	File   *os.File
	Offset int64
	Length int64 // of Bytes or of the range of File
}
