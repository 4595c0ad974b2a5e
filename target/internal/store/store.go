package store

import (
	"context"
	"io"
	"iter"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aisle-store/aisle/cluster"
)

// Authority is what the store asks of the control plane before it answers anything.
type Authority interface {
	// Owns returns the slot's epoch when the applied active map names this incarnation of this node its owner.
	Owns(s cluster.Slot) (cluster.Epoch, error)
	// CheckLease returns nil while this node holds a lease.
	CheckLease() error
	// Writable returns nil when the bucket exists and is not being deleted, at the applied state.
	Writable(b cluster.BucketID) error
}

// Options are what a store is built from.
type Options struct {
	FS          vfs.FS
	ClusterID   string
	Node        cluster.NodeID
	Incarnation cluster.Incarnation
	Mountpaths  []cluster.Mountpath // as the map registers them; one that cannot be opened fails alone
	Authority   Authority
	Now         func() time.Time // the wall clock, for Last-Modified and retry windows; never for order
	RetryWindow time.Duration    // how long a gateway may repeat a request; outcomes are remembered this long
	UploadGrace time.Duration    // how long a completed upload answers a repeated Complete
	Sweep       time.Duration    // how often access times are flushed and leftovers collected
	Events      Events
}

// Events are called when something happens that nobody asked for. Any may be nil; none may block.
type Events struct {
	Corrupt         func(mountpath cluster.MountpathID, bucket cluster.BucketID, key cluster.ObjectKey, err error)
	MountpathFailed func(mountpath cluster.MountpathID, err error)
	Background      func(mountpath cluster.MountpathID, task string, err error) // a sweep, a free or a drop failed; it is tried again
}

// Store is the object store of one target.
type Store struct{}

// Format makes an empty mountpath at path. It refuses a path that holds anything.
func Format(fs vfs.FS, path, clusterID string, node cluster.NodeID, id cluster.MountpathID) error {
	panic("being built")
}

// Open opens every mountpath and recovers it. It serves nothing until Activate.
func Open(ctx context.Context, o Options) (*Store, error) { panic("being built") }

// Close refuses new operations, waits for those that run, and closes the mountpaths.
func (s *Store) Close() error { panic("being built") }

// Put writes an object: durable and visible when it returns.
func (s *Store) Put(ctx context.Context, r *PutRequest) (*Info, error) { panic("being built") }

// Stat returns what is known of an object.
func (s *Store) Stat(ctx context.Context, r *GetRequest) (*Info, error) { panic("being built") }

// Open opens an object, or a range of it, for reading. The bytes stay until Close, whatever is written meanwhile.
func (s *Store) Open(ctx context.Context, r *GetRequest) (*Object, error) { panic("being built") }

// Object is an open object. It is used by one goroutine at a time.
type Object struct{}

// Info returns what is known of the object.
func (o *Object) Info() *Info { panic("being built") }

// Range returns the part of the object that Next gives; ranged is false when that is the whole.
func (o *Object) Range() (offset, length int64, ranged bool) { panic("being built") }

// Next returns the next run of bytes, or io.EOF. A run in memory is valid until the next call.
func (o *Object) Next() (Run, error) { panic("being built") }

// Reader returns the same bytes as an io.Reader, for copies. Use it or Next, not both.
func (o *Object) Reader() io.Reader { panic("being built") }

// Close lets go of the bytes.
func (o *Object) Close() error { panic("being built") }

// Delete removes an object. An absent key writes nothing.
func (s *Store) Delete(ctx context.Context, r *DeleteRequest) (DeleteResult, error) {
	panic("being built")
}

// Update changes an object's metadata; its bytes, its ETag and its checksums stay.
func (s *Store) Update(ctx context.Context, r *UpdateRequest) (*Info, error) { panic("being built") }

// List yields a bucket's visible objects, ordered by the bytes of their keys. After an error it ends.
func (s *Store) List(ctx context.Context, r *ListRequest) iter.Seq2[cluster.Entry, error] {
	panic("being built")
}

// Uploads yields a bucket's uploads in progress, ordered by key and then by upload id, which is the order of their start.
func (s *Store) Uploads(ctx context.Context, r *ListRequest) iter.Seq2[cluster.Entry, error] {
	panic("being built")
}

// CreateUpload begins a multipart upload.
func (s *Store) CreateUpload(ctx context.Context, r *CreateUploadRequest) (cluster.UploadID, error) {
	panic("being built")
}

// PutPart writes one part of an upload.
func (s *Store) PutPart(ctx context.Context, r *PutPartRequest) (*PartInfo, error) {
	panic("being built")
}

// Parts returns one page of an upload's parts.
func (s *Store) Parts(ctx context.Context, r *PartsRequest) (*PartsResult, error) {
	panic("being built")
}

// Complete makes an object of an upload's parts and ends the upload.
func (s *Store) Complete(ctx context.Context, r *CompleteRequest) (*Info, error) {
	panic("being built")
}

// Abort ends an upload and frees its parts.
func (s *Store) Abort(ctx context.Context, r *AbortRequest) error { panic("being built") }

// Fence stops the slots that the pending map takes from this node, waits for their commits in flight (never for bodies),
// and returns those of them that it keeps serving because they were written. A later Activate lifts what Fence stopped.
func (s *Store) Fence(ctx context.Context, pending *cluster.Map) ([]cluster.Slot, error) {
	panic("being built")
}

// Activate settles the slots that the map gives to this node, then serves them, and only them.
func (s *Store) Activate(ctx context.Context, m *cluster.Map) error { panic("being built") }

// SealBucket waits for the commits in flight in a bucket that Writable refuses by now, and reports whether it is empty.
func (s *Store) SealBucket(ctx context.Context, id cluster.BucketID) (bool, error) {
	panic("being built")
}

// DropBucket forgets a bucket that is gone, and frees in the background what it had. It may be called again.
func (s *Store) DropBucket(ctx context.Context, id cluster.BucketID) error { panic("being built") }

// Mountpaths returns the state of every mountpath.
func (s *Store) Mountpaths() []MountpathStatus { panic("being built") }
