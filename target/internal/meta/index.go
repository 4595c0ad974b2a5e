package meta

import (
	"context"
	"iter"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Cache is the block cache that all indexes of a process share.
type Cache struct{}

// NewCache makes a cache of that many bytes. Close it after the indexes that use it.
func NewCache(bytes int64) *Cache { panic("api") }

// Close lets go of the cache.
func (c *Cache) Close() { panic("api") }

// Options are the settings of one Index. The zero value of each field means its default.
type Options struct {
	Cache       *Cache        // nil: one of 64 MiB for itself
	MemTable    uint64        // bytes of a memtable; 32 MiB
	AccessTimes int           // access times kept in memory at most; 65,536. More make a flush.
	AccessFlush time.Duration // how often they are flushed; a minute
	Events      Events
}

// Events are optional callbacks for logs, metrics and tests. They must return soon and not call the index.
type Events struct {
	Died       func(err error)          // the index serves nothing any more until it is opened again
	Corrupt    func(ref Ref, err error) // a record without its checksum was read; ref is as far as the key could be read
	Stalled    func(reason string)      // writes wait for Pebble
	Resumed    func()
	Background func(err error) // a flush or compaction failed and will be tried again
}

// Index is the open index of one mountpath. Its methods may be called at the same time.
type Index struct{}

// Open opens the index in dir, or makes an empty one.
func Open(fs vfs.FS, dir string, o Options) (*Index, error) { panic("api") }

// Close flushes access times and closes. No call may be running or come later. A dead index is let go of.
func (x *Index) Close() error { panic("api") }

// Dead is closed when the index has died: its log or manifest could not be written.
func (x *Index) Dead() <-chan struct{} { panic("api") }

// Err returns nil, or why the index is dead, as cluster.KindUnavailable.
func (x *Index) Err() error { panic("api") }

// Get returns the newest generation of a record that is not hidden, or nil when there is none. The generation in ref is
// ignored. hidden, when not nil, is asked after the record was read, newest generation first.
func (x *Index) Get(ref Ref, hidden func(cluster.Generation) bool) (*Record, error) { panic("api") }

// Exact returns the record of exactly this ref, or nil.
func (x *Index) Exact(ref Ref) (*Record, error) { panic("api") }

// Generations returns every generation of a record, newest first.
func (x *Index) Generations(ref Ref) ([]*Record, error) { panic("api") }

// Parts returns all parts of an object, read from its manifest when the record does not hold them.
func (x *Index) Parts(r *Record) ([]Part, error) { panic("api") }

// Range says which records a Scan passes: those of one kind and bucket, within all the limits that are set.
type Range struct {
	Kind   Kind
	Bucket cluster.BucketID
	Prefix string            // keys that begin with it
	Key    cluster.ObjectKey // when set: this key only
	Upload cluster.UploadID  // with Key: this upload only

	From       cluster.ObjectKey // begin at the first key that is not smaller. (key + "\x00" begins behind key.)
	FromUpload cluster.UploadID  // of the key From (or Key), begin at the first upload id that is not smaller
	FromPart   uint32            // of the upload, begin at the first part number that is not smaller

	// Hidden is asked, when not nil, after each generation was read, newest first; the first that is not hidden is yielded
	// and the older ones are passed over. When nil, every generation is yielded.
	Hidden func(Ref) bool
}

// Scan begins a scan, of the index as it is now.
func (x *Index) Scan(ctx context.Context, r Range) *Scan { panic("api") }

// Scan walks through records in the order of their keys.
type Scan struct{}

// All yields the records; it can be ranged over once. A record is the loop body's to keep. After an error it ends.
func (s *Scan) All() iter.Seq2[*Record, error] { panic("api") }

// SkipTo lets the loop go on at the first key that is not smaller than key. It may be called in the loop body only, and only
// forwards.
func (s *Scan) SkipTo(key cluster.ObjectKey) { panic("api") }

// SkipPast lets the loop go on behind all keys that begin with prefix, without reading them.
func (s *Scan) SkipPast(prefix string) { panic("api") }

// Doubts yields the refs of all in-doubt keys.
func (x *Index) Doubts(ctx context.Context) iter.Seq2[Ref, error] { panic("api") }

// WrittenSlots returns the slots that were ever written here, each with the epoch of its first write.
func (x *Index) WrittenSlots() (map[cluster.Slot]cluster.Epoch, error) { panic("api") }

// Places yields every place that a record names, for disk.Recover. A record that cannot be read is an error.
func (x *Index) Places(ctx context.Context) iter.Seq2[disk.Place, error] { panic("api") }

// Touch notes when an object was read. It is kept in memory and written some time later, without a sync.
func (x *Index) Touch(bucket cluster.BucketID, key cluster.ObjectKey, at time.Time) { panic("api") }

// Accessed returns when an object was last read as far as is known, or the zero time.
func (x *Index) Accessed(bucket cluster.BucketID, key cluster.ObjectKey) (time.Time, error) {
	panic("api")
}

// FlushAccess writes the access times that are in memory.
func (x *Index) FlushAccess() error { panic("api") }

// NewBatch begins a batch: changes that become durable together or not at all.
func (x *Index) NewBatch() *Batch { panic("api") }

// Batch collects changes. It is not safe for concurrent use and ends with Commit or Close.
type Batch struct{}

// Put inserts or replaces a record, under its Ref. Many parts are moved into a manifest. The record may be reused
// afterwards.
func (b *Batch) Put(r *Record) error { panic("api") }

// Delete removes a record, and its manifest when it has one. Only the Ref and HasManifest of r are looked at.
func (b *Batch) Delete(r *Record) { panic("api") }

// Doubt marks a record as in doubt: prepared, not known to be visible.
func (b *Batch) Doubt(ref Ref) { panic("api") }

// Settle removes the mark.
func (b *Batch) Settle(ref Ref) { panic("api") }

// MarkSlot notes that a slot was written.
func (b *Batch) MarkSlot(slot cluster.Slot, epoch cluster.Epoch) { panic("api") }

// ForgetAccess removes the access time of an object, also one that Touch noted before.
func (b *Batch) ForgetAccess(bucket cluster.BucketID, key cluster.ObjectKey) { panic("api") }

// DropBucket removes everything of a bucket.
func (b *Batch) DropBucket(bucket cluster.BucketID) { panic("api") }

// Empty reports whether nothing was added.
func (b *Batch) Empty() bool { panic("api") }

// Commit applies the batch and ends it. With sync it returns nil only once the batch, and all committed before it, are on
// stable storage. On an error with sync the batch may or may not survive a restart: the index is dead.
func (b *Batch) Commit(sync bool) error { panic("api") }

// Close ends a batch without applying it. After Commit it does nothing, so it can be deferred.
func (b *Batch) Close() { panic("api") }

// EncodeFooter returns the record as it is kept beside its data.
func EncodeFooter(r *Record) ([]byte, error) { panic("api") }

// DecodeFooter reads what EncodeFooter wrote.
func DecodeFooter(b []byte) (*Record, error) { panic("api") }

// Metrics returns gauges and counters of the index.
func (x *Index) Metrics() Metrics { panic("api") }

// Metrics are gauges and counters of one index.
type Metrics struct {
	DiskBytes     int64
	MemTableBytes int64
	CacheHits     int64
	CacheMisses   int64
	Compactions   int64
	Stalls        int64
	ReadAmp       int
}
