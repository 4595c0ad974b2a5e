package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/aisle-store/aisle/cluster"
)

// authority is the control plane of tests: a map, a lease and buckets that a test changes as it likes.
type authority struct {
	mu      sync.Mutex
	self    cluster.NodeID
	started cluster.Incarnation
	m       *cluster.Map
	lease   error
	refuses map[cluster.BucketID]error
	under   map[cluster.BucketID]cluster.BucketID
	props   cluster.BucketProps
	onOwner func() // called on each Owns
	onLease func() // called on each CheckLease, before it answers
}

func (a *authority) Owns(s cluster.Slot) (cluster.Epoch, error) {
	a.mu.Lock()
	hook := a.onOwner
	a.mu.Unlock()
	if hook != nil {
		hook()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	owner, epoch := a.m.Owner(s)
	n, _ := a.m.Node(a.self)
	if owner != a.self || n.Incarnation != a.started {
		return 0, cluster.Fail("authority.Owns", "", cluster.KindUnavailable, "not the owner")
	}
	return epoch, nil
}

func (a *authority) CheckLease() error {
	a.mu.Lock()
	hook := a.onLease
	a.mu.Unlock()
	if hook != nil {
		hook()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lease
}

func (a *authority) Writable(b cluster.BucketID) (cluster.BucketProps, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.props, a.refuses[b]
}

func (a *authority) Under(b cluster.BucketID) cluster.BucketID {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.under[b]
}

func (a *authority) set(change func(*authority)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(a)
}

// bench is a store under test on a file system of its own, with its control plane.
type bed struct {
	t         testing.TB
	fs        vfs.FS
	o         Options
	authority *authority
	m         *cluster.Map
	store     *Store
	requests  atomic.Uint64
	bucket    cluster.BucketEntry
	corrupt   atomic.Int64 // events of corruption
	failures  atomic.Int64 // events of failed background work
	dies      bool         // the test kills an index, which parks goroutines of its own until the process ends
}

const testNode = cluster.NodeID("t1")

func mountpaths(n int) []cluster.Mountpath {
	mps := make([]cluster.Mountpath, n)
	for i := range mps {
		mps[i] = cluster.Mountpath{ID: cluster.MountpathID(fmt.Sprintf("mp%d", i+1)), Path: fmt.Sprintf("/mp%d", i+1), Weight: 100}
	}
	return mps
}

// newBed formats n mountpaths on fs, opens a store on them and activates every slot.
func newBed(t testing.TB, fs vfs.FS, n int, change func(*Options)) *bed {
	t.Helper()
	before := goleak.IgnoreCurrent()
	b := &bed{t: t, fs: fs, o: Options{FS: fs, ClusterID: "c", Node: testNode, Mountpaths: mountpaths(n)}}
	t.Cleanup(func() {
		if !b.dies && !t.Failed() {
			goleak.VerifyNone(t, before)
		}
	})
	b.o.Disk.SegmentSize = 1 << 20
	b.o.Disk.Ballast = -1
	b.o.Index.MemTable = 1 << 20
	b.o.CacheBytes = 1 << 20
	b.bucket = cluster.BucketEntry{ID: 7, Bucket: cluster.Native("b"), Props: cluster.BucketProps{Checksum: cluster.ChecksumMD5, Replicas: 1}}
	if change != nil {
		change(&b.o)
	}
	for _, mp := range b.o.Mountpaths {
		if err := fs.MkdirAll(mp.Path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := Format(fs, mp.Path, "c", testNode, mp.ID); err != nil {
			t.Fatal(err)
		}
	}
	root, err := fs.OpenDir("/")
	if err == nil {
		err = errors.Join(root.Sync(), root.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	b.m = &cluster.Map{Version: 1, ClusterID: "c", Removed: map[cluster.NodeID]bool{}}
	b.m.AddLayout(cluster.OneCopy())
	for i := range b.m.Slots {
		b.m.Slots[i] = cluster.SlotState{Epoch: 0, Holders: []cluster.Holder{{Node: testNode, InSync: true}}}
	}
	b.start()
	return b
}

// start opens a store in a new incarnation, and gives it every slot under a new epoch.
func (b *bed) start() {
	b.t.Helper()
	if err := b.tryStart(); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bed) tryStart() error {
	b.m = b.m.Clone()
	b.m.Version++
	n, _ := b.m.Node(testNode)
	incarnation := n.Incarnation + 1
	b.m.SetNode(cluster.Node{ID: testNode, Roles: cluster.Target, Incarnation: incarnation, Mountpaths: b.o.Mountpaths})
	for i := range b.m.Slots {
		b.m.Slots[i].Epoch++
	}
	b.authority = &authority{self: testNode, started: incarnation, m: b.m, props: b.bucket.Props, refuses: map[cluster.BucketID]error{}}
	o := b.o
	o.FS, o.Incarnation, o.Authority = b.fs, incarnation, b.authority
	o.Events.Corrupt = func(cluster.MountpathID, cluster.BucketID, cluster.ObjectKey, error) { b.corrupt.Add(1) }
	o.Events.Background = func(cluster.MountpathID, string, error) { b.failures.Add(1) }
	s, err := Open(context.Background(), o)
	if err != nil {
		return err
	}
	if err := s.Activate(context.Background(), b.m); err != nil {
		_ = s.Close()
		return err
	}
	b.store = s
	return nil
}

// configure changes the properties of the bucket.
func (b *bed) configure(change func(*cluster.BucketProps)) {
	change(&b.bucket.Props)
	b.authority.set(func(a *authority) { a.props = b.bucket.Props })
}

// versioning sets the versioning of the bucket.
func (b *bed) versioning(v cluster.Versioning) {
	b.configure(func(p *cluster.BucketProps) { p.Versioning = v })
}

func (b *bed) close() {
	b.t.Helper()
	if err := b.store.Close(); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bed) restart() {
	b.t.Helper()
	b.close()
	b.start()
}

// current is the map that is active.
func (b *bed) current() *cluster.Map {
	b.authority.mu.Lock()
	defer b.authority.mu.Unlock()
	return b.authority.m
}

func (b *bed) call(key string) Call {
	_, epoch := b.current().Owner(cluster.SlotOf(b.bucket.ID, cluster.ObjectKey(key)))
	return Call{Request: cluster.RequestID(fmt.Sprintf("r%d", b.requests.Add(1))), Epoch: epoch}
}

func (b *bed) putRequest(key string, data []byte) *PutRequest {
	return &PutRequest{Call: b.call(key), Bucket: b.bucket, Key: cluster.ObjectKey(key), Body: bytes.NewReader(data), Size: int64(len(data))}
}

func (b *bed) put(key string, data []byte) *Info {
	b.t.Helper()
	info, err := b.store.Put(context.Background(), b.putRequest(key, data))
	if err != nil {
		b.t.Fatal(err)
	}
	return info
}

func (b *bed) getRequest(key string) *GetRequest {
	return &GetRequest{Call: b.call(key), Bucket: b.bucket, Key: cluster.ObjectKey(key)}
}

// read returns an object's bytes.
func (b *bed) read(r *GetRequest) ([]byte, *Info, error) {
	o, err := b.store.Open(context.Background(), r)
	if err != nil {
		return nil, nil, err
	}
	defer o.Close()
	data, err := io.ReadAll(o.Reader())
	return data, o.Info(), err
}

func (b *bed) get(key string) []byte {
	b.t.Helper()
	data, _, err := b.read(b.getRequest(key))
	if err != nil {
		b.t.Fatal(err)
	}
	return data
}

func (b *bed) wantAbsent(key string) {
	b.t.Helper()
	if _, _, err := b.read(b.getRequest(key)); !cluster.Is(err, cluster.KindObjectNotFound) {
		b.t.Fatalf("%s: %v, want absent", key, err)
	}
}

func (b *bed) delete(key string) bool {
	b.t.Helper()
	r, err := b.store.Delete(context.Background(), &DeleteRequest{Call: b.call(key), Bucket: b.bucket, Key: cluster.ObjectKey(key)})
	if err != nil {
		b.t.Fatal(err)
	}
	return r.Existed
}

func (b *bed) listRequest() *ListRequest {
	return &ListRequest{Bucket: b.bucket, Map: b.m.Version}
}

// list returns the entries as text: a key, or a common prefix with a mark behind it.
func (b *bed) list(r *ListRequest) ([]string, error) {
	var got []string
	for e, err := range b.store.List(context.Background(), r) {
		if err != nil {
			return nil, err
		}
		if e.Prefix {
			got = append(got, string(e.Key)+"*")
		} else {
			got = append(got, string(e.Key))
		}
	}
	return got, nil
}

// pattern returns n bytes that differ by seed and place.
func pattern(seed, n int) []byte {
	data := make([]byte, n)
	x := uint32(seed)*2654435761 + 1
	for i := range data {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		data[i] = byte(x)
	}
	return data
}

func (b *bed) drain() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, m := range b.store.mounted() {
		if m.err() == nil {
			if err := m.cleaner.drain(ctx); err != nil {
				b.t.Fatal(err)
			}
		}
	}
}

// sizes are one of each place: empty, inline, extent, several blocks, blob.
var sizes = []int{0, 1, 100, 4096, 4097, 65536, 200_000, 300_000, 1 << 20}

func TestPutGetDelete(t *testing.T) {
	b := newBed(t, vfs.NewMem(), 2, nil)
	defer b.close()
	for i, size := range sizes {
		key := fmt.Sprintf("k%d", i)
		b.wantAbsent(key)
		info := b.put(key, pattern(i, size))
		if info.Size != int64(size) || info.Version != 1 {
			t.Fatalf("%s: %+v", key, info)
		}
		if got := b.get(key); !bytes.Equal(got, pattern(i, size)) {
			t.Fatalf("%s: other bytes", key)
		}
		if info := b.put(key, pattern(i+100, size)); info.Version != 2 {
			t.Fatalf("%s: version %d", key, info.Version)
		}
		if got := b.get(key); !bytes.Equal(got, pattern(i+100, size)) {
			t.Fatalf("%s: other bytes after the second write", key)
		}
	}
	b.restart()
	for i, size := range sizes {
		key := fmt.Sprintf("k%d", i)
		if got := b.get(key); !bytes.Equal(got, pattern(i+100, size)) {
			t.Fatalf("%s: other bytes after restart", key)
		}
		if !b.delete(key) || b.delete(key) {
			t.Fatalf("%s: delete", key)
		}
		b.wantAbsent(key)
	}
	b.restart()
	if got, err := b.list(b.listRequest()); err != nil || len(got) > 0 {
		t.Fatalf("list %v %v", got, err)
	}
}
