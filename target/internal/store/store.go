package store

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/aisle-store/aisle/target/internal/ec"
	"github.com/aisle-store/aisle/target/internal/meta"
	"github.com/aisle-store/aisle/xact"
	"github.com/aisle-store/aisle/xact/pace"
)

// Authority is what the store asks of the control plane before it answers anything.
type Authority interface {
	// Owns returns the slot's epoch when the applied active map names this incarnation of this node its owner.
	Owns(s cluster.Slot) (cluster.Epoch, error)
	// CheckLease returns nil while this node holds a lease.
	CheckLease() error
	// Writable returns how the bucket is configured when it exists and is not being deleted, at the applied state: every change that
	// was acknowledged before the call is in it. KindBucketNotFound: it does not exist any more, for certain.
	Writable(b cluster.BucketID) (cluster.BucketProps, error)
	// Under returns the frozen id from which a bucket's objects are being moved, by the applied state; zero: none.
	Under(b cluster.BucketID) cluster.BucketID
}

// Options are what a store is built from. The zero value of a setting means its default.
type Options struct {
	FS          vfs.FS
	ClusterID   string
	Node        cluster.NodeID
	Incarnation cluster.Incarnation
	Mountpaths  []cluster.Mountpath // as the map registers them; one that cannot be opened fails alone
	Authority   Authority
	Mirrors     MirrorRegistry       // nil: no mirrors are made
	Council     Council              // nil: this target is the only holder of every slot it owns
	Peers       Peers                // nil with Council
	Now         func() time.Time     // the wall clock, for Last-Modified and for what ends at a date; never for order
	CheckWall   func() error         // nil while Now can tell whether a date is over; nil: always
	Clock       func() time.Duration // time since some start, never going back, for retry windows; default: since Open
	RetryWindow time.Duration        // how long a gateway may repeat a request: outcomes are remembered so long; 15 s
	UploadGrace time.Duration        // how long the end of an upload answers a repeated Complete; an hour
	Scrub       func() ScrubSettings // asked while it runs; nil: only when it is asked for
	Lifecycle   Lifecycle            // what expires; nil: nothing does
	Sweep       time.Duration        // how often leftovers are collected; a second
	Health      time.Duration        // how often each mountpath is checked; ten seconds
	HealthLimit time.Duration        // a check that takes longer says that the disk does not answer; 30 seconds
	InlineMax   int                  // data up to this size lies in the record; 4 KiB; negative: none
	ShardMin    int64                // in a layout of shards, data up to this size lie whole at one holder more than there are parity shards; 64 KiB; negative: none
	ShardBlock  int                  // bytes of a block of a shard; ec.BlockSize
	CacheBytes  int64                // of blocks in the cache that all indexes share; 64 MiB
	Disk        disk.Options         // sizes and watermarks of each disk; Identity and Events.Failed are set by the store
	Index       meta.Options         // sizes of each index; Cache and Events are set by the store
	Events      Events

	ExpiryNotices func(bucket cluster.BucketEntry, key cluster.ObjectKey) Notices // what is told of a version that expires; nil: nothing

	Pace func() pace.Limits // of catching up, asked for all the time; nil: no limits
	Jobs *xact.Registry     // where catching up is reported; one of its own when nil

	moving func(at string) // called in the middle of moves, by a test; nil: nothing
}

func (o Options) withDefaults() Options {
	start := time.Now()
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.CheckWall == nil {
		o.CheckWall = func() error { return nil }
	}
	if o.Clock == nil {
		o.Clock = func() time.Duration { return time.Since(start) }
	}
	if o.Jobs == nil {
		o.Jobs = xact.NewRegistry(o.Node, o.Incarnation, o.Now)
	}
	if o.Pace == nil {
		o.Pace = func() pace.Limits { return pace.Limits{Low: 1 << 40, High: 1 << 40, Parallel: reconcileFetches} }
	}
	if o.RetryWindow == 0 {
		o.RetryWindow = 15 * time.Second
	}
	if o.UploadGrace == 0 {
		o.UploadGrace = time.Hour
	}
	if o.Sweep == 0 {
		o.Sweep = time.Second
	}
	if o.Health == 0 {
		o.Health = 10 * time.Second
	}
	if o.HealthLimit == 0 {
		o.HealthLimit = 30 * time.Second
	}
	if o.InlineMax == 0 {
		o.InlineMax = 4 << 10
	}
	if o.ShardMin == 0 {
		o.ShardMin = 64 << 10
	}
	if o.ShardBlock == 0 {
		o.ShardBlock = ec.BlockSize
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 64 << 20
	}
	return o
}

// Events are called when something happens that nobody asked for. Any may be nil; none may block.
type Events struct {
	Corrupt         func(mountpath cluster.MountpathID, bucket cluster.BucketID, key cluster.ObjectKey, err error)
	Repaired        func(mountpath cluster.MountpathID, bucket cluster.BucketID, key cluster.ObjectKey)
	MountpathFailed func(mountpath cluster.MountpathID, err error)
	Background      func(mountpath cluster.MountpathID, task string, err error) // a sweep, a free or a drop failed
	Noticed         func(ref NoticeRef, to string)                              // a notice waits to be sent
	Serves          func()                                                      // slots are served anew: there may be notices
}

// Store is the object store of one target. Its methods may be called at the same time.
type Store struct {
	o          Options
	authority  Authority
	council    Council
	peers      Peers
	cache      *meta.Cache
	mountpaths atomic.Pointer[[]*mountpath]
	mounting   sync.Mutex // one mount at a time, and none after Close has begun
	unsure     unsure
	shaping    atomic.Bool             // mirrors are being made
	shaper     shaper                  // of who does that
	moves      sync.RWMutex            // exclusive while a key is on two mountpaths, for moments, by TryLock only; see still
	placings   atomic.Pointer[placing] // by the map that was asked for last
	shards     []shard
	marks      atomic.Int64    // of all shards
	parts      [256]sync.Mutex // locks of parts, by upload and number; taken behind the lock of the upload's key
	slots      slotTable
	full       sync.Map      // other holders, by NodeID, that had no space when they were asked last
	counter    atomic.Uint64 // of generations; never reused in this process, and each process has epochs of its own
	history    history
	operations *gate // those that receive a body, or wait for shards
	commits    *gate // from the check of the epoch until the change is visible
	readers    *gate // from the first look at an index until the bytes are pinned
	sweeper    sweeper
	staged     staged
	teller     teller
	damages    damages
	silents    silents
	gone       expiredCount
	codes      codes
	background background
	pacer      *pace.Pacer // of bytes that come and go because somebody catches up

	life    context.Context    // ends with the background work
	stop    context.CancelFunc // ends the background work
	stopped <-chan struct{}
	work    sync.WaitGroup // the background work
}

// Open opens every mountpath and begins to recover it. It serves nothing until Activate. A mountpath that is missing,
// foreign or damaged fails alone: see Mountpaths.
func Open(ctx context.Context, o Options) (*Store, error) {
	const op = "target/store.Open"
	o = o.withDefaults()
	if len(o.Mountpaths) == 0 {
		return nil, cluster.Fail(op, string(o.Node), cluster.KindInvalid, "a target needs a mountpath")
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	s := &Store{
		o:          o,
		authority:  o.Authority,
		council:    o.Council,
		peers:      o.Peers,
		life:       background,
		background: newBackground(),
		pacer:      pace.New(o.Pace),
		cache:      meta.NewCache(o.CacheBytes, len(o.Mountpaths), o.Index),
		operations: newGate(),
		commits:    newGate(),
		readers:    newGate(),
		stop:       stop,
		stopped:    background.Done(),
	}
	s.shards = newShards(&s.marks)
	s.damages = newDamages()
	var all []*mountpath
	for _, mp := range o.Mountpaths {
		all = append(all, openMountpath(mp, &s.o, s.cache))
	}
	for id, m := range finishMoves(all, s.o.Events) {
		s.unsure.add(id, m)
	}
	for _, m := range all {
		s.start(background, m)
	}
	s.mountpaths.Store(&all)
	s.removeSides()
	s.work.Go(func() { s.resilver(background) })
	s.work.Go(func() { s.sweep(background) })
	s.work.Go(func() { s.repairDamages(background) })
	s.work.Go(func() { s.watch(background) })
	if s.council != nil {
		s.work.Go(func() { s.settleShared(background) })
		s.work.Go(func() { s.reconcile(background) })
		s.work.Go(func() {
			for pause(background, pace.Step) {
				s.pacer.Tick()
			}
		})
		s.work.Go(func() { s.dropSurplus(background) })
	}
	return s, nil
}

// start begins the background work of a mountpath that was opened.
func (s *Store) start(ctx context.Context, m *mountpath) *mountpath {
	if m.failure.Load() != nil {
		return m
	}
	m.cleaner = &cleaner{
		index:    m.index,
		free:     m.free,
		readers:  s.readers,
		shard:    func(id ident) *shard { return s.shard(id.bucket, id.key) },
		failed:   func(err error) { m.fail(err, s.o.Events) },
		progress: make(chan struct{}),
		wake:     make(chan struct{}, 1),
		stopped:  make(chan struct{}),
	}
	if err := s.loadDoubts(ctx, m); err != nil {
		m.takeOut(err, s.o.Events)
	}
	m.recover(ctx, s.o.Sweep, s.o.Events)
	s.work.Go(func() { m.cleaner.run(ctx) })
	m.scrubber = newScrubber()
	s.work.Go(func() { s.scrub(ctx, m) })
	if s.o.Lifecycle != nil {
		m.expirer = newExpirer()
		s.work.Go(func() { s.expire(ctx, m) })
	}
	return m
}

// stuckWait is how long Close waits for operations when a disk does not answer.
const stuckWait = 5 * time.Second

// Close refuses new operations, waits for those that run, and closes the mountpaths. Objects must be closed before.
func (s *Store) Close() error {
	s.mounting.Lock()
	s.slots.closed.Store(true)
	s.mounting.Unlock()
	ctx := context.Background()
	if slices.ContainsFunc(s.mounted(), func(m *mountpath) bool { return m.stuck.Load() }) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, stuckWait)
		defer cancel()
	}
	for _, g := range []*gate{s.operations, s.commits, s.readers} {
		_ = g.wait(ctx)
	}
	for _, m := range s.mounted() {
		if m.cleaner != nil {
			_ = m.cleaner.drain(context.Background()) // a dead index leaves the rest to settling
		}
	}
	s.stop()
	s.work.Wait()
	var errs []error
	for _, m := range s.mounted() {
		errs = append(errs, m.close())
	}
	s.cache.Close()
	return errors.Join(errs...)
}

// Full reports whether a mountpath takes no writes for lack of space.
func (s *Store) Full() bool {
	return slices.ContainsFunc(s.mounted(), func(m *mountpath) bool { return m.failure.Load() == nil && m.disk.Stats().Full })
}

// Mountpaths returns the state of every mountpath.
func (s *Store) Mountpaths() []MountpathStatus {
	all := make([]MountpathStatus, len(s.mounted()))
	for i, m := range s.mounted() {
		all[i] = MountpathStatus{Mountpath: m.Mountpath, Err: m.writeErr(), Readable: m.err() == nil}
		if m.failure.Load() != nil {
			continue
		}
		if m.mirror != nil {
			all[i].InStep = len(m.mirror.InStep())
		}
		all[i].Verified = m.scrubber.snapshot().Read
		all[i].Damaged, all[i].Repaired = s.damages.counts(m)
		all[i].Usage, _ = m.disk.Usage()
		all[i].Disk, all[i].Index = m.disk.Stats(), m.index.Metrics()
	}
	return all
}
