package meta

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/aisle-store/aisle/cluster"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Index is the open index of one mountpath. Its methods may be called at the same time.
type Index struct {
	dir string
	o   Options
	db  *pebble.DB

	dead    chan struct{} // closed when the index has died
	parked  chan struct{} // closed when a goroutine of Pebble, or one inside of it, will never return
	parks   sync.Once
	closing chan struct{} // closed by Close: workers end
	death   atomic.Pointer[cluster.Error]
	die     sync.Once

	jobs    chan *job
	workers sync.WaitGroup
	release releaser
	access  accessTimes
	stalls  atomic.Int64
}

// Open opens the index in dir, or makes an empty one.
func Open(fs vfs.FS, dir string, o Options) (*Index, error) {
	const op = "meta.Open"
	x := &Index{
		dir:     dir,
		o:       o.withDefaults(),
		dead:    make(chan struct{}),
		parked:  make(chan struct{}),
		closing: make(chan struct{}),
		jobs:    make(chan *job),
	}
	var cache *pebble.Cache
	if o.Cache != nil {
		cache = o.Cache.cache
	} else {
		cache = pebble.NewCache(defaultCache + x.o.reserved())
		defer cache.Unref()
	}
	// Pebble may find its files unwritable while it opens: the call is a job like any other.
	err := x.call(func() (err error) {
		x.db, err = pebble.Open(dir, x.pebbleOptions(fs, cache))
		return err
	})
	if err != nil {
		close(x.closing)
		return nil, cluster.E(op, dir, kindOf(err), err)
	}
	x.release.start(x.dead)
	x.startAccess()
	return x, nil
}

// Close flushes access times and closes. No call may be running or come later. A dead index is let go of: its files stay
// open, and the goroutines that parked stay, until the process ends.
func (x *Index) Close() error {
	const op = "meta.Close"
	x.stopAccess()
	if x.Err() != nil {
		x.closeDead()
		return nil //nolint:nilerr // it was reported when it died, and there is nothing left to lose
	}
	err := x.call(func() error {
		x.release.stop()
		return x.db.Close()
	})
	close(x.closing)
	if x.Err() != nil {
		return nil //nolint:nilerr // it was reported when it died, and there is nothing left to lose
	}
	x.workers.Wait()
	if err != nil {
		return cluster.E(op, x.dir, kindOf(err), err)
	}
	return nil
}

// closeDead closes an index that was killed while Pebble worked, and lets go of one in which something parks.
func (x *Index) closeDead() {
	close(x.closing)
	closed := make(chan struct{})
	go func() { // it ends unless something parks
		defer close(closed)
		x.workers.Wait()
		x.release.drain()
		_ = x.db.Close() // it was reported when it died
	}()
	select {
	case <-closed:
	case <-x.parked:
	}
}

// Dead is closed when the index has died: its log or manifest could not be written.
func (x *Index) Dead() <-chan struct{} { return x.dead }

// Err returns nil, or why the index is dead, as cluster.KindUnavailable.
func (x *Index) Err() error {
	if err := x.death.Load(); err != nil {
		return err
	}
	return nil
}

// Kill marks the index dead, for a reason that it does not know of: its disk is another one, or does not answer. Who waits for it
// is told at once.
func (x *Index) Kill(err error) { x.kill(err) }

// kill marks the index dead.
func (x *Index) kill(err error) {
	x.die.Do(func() {
		x.death.Store(cluster.E("meta.Index", x.dir, cluster.KindUnavailable, fmt.Errorf("the index is dead: %w", err)))
		close(x.dead)
		report(x.o.Events.Died, err)
	})
}

// logger takes what Pebble logs. Events tell what is worth telling.
type logger Index

func (l *logger) Infof(string, ...any)  {}
func (l *logger) Errorf(string, ...any) {}

// Fatalf is called by Pebble when its log or manifest cannot be written, with locks held, and when it returned Pebble would
// go on as if all were well. So it does not return.
func (l *logger) Fatalf(format string, args ...any) {
	(*Index)(l).park(fmt.Errorf(format, args...))
}

// job is one call into Pebble that may park.
type job struct {
	run  func() error
	done chan error // of capacity 1: a worker never waits for a caller that gave up
}

// call runs what may write, or take locks that a parked goroutine may hold, on a worker, and waits for its result or for
// the index to die.
func (x *Index) call(run func() error) error {
	if err := x.Err(); err != nil {
		return err
	}
	j := &job{run: run, done: make(chan error, 1)}
	select {
	case x.jobs <- j:
	default: // no worker is idle
		x.workers.Add(1)
		go x.work(j)
	}
	select {
	case err := <-j.done:
		return err
	case <-x.dead:
		return x.Err()
	}
}

// work is a worker: it runs one job after the other until Close.
func (x *Index) work(j *job) {
	defer x.workers.Done()
	for {
		j.done <- j.run()
		select {
		case j = <-x.jobs:
		case <-x.closing:
			return
		}
	}
}

// kindOf classifies an error of Pebble.
func kindOf(err error) cluster.Kind {
	switch {
	case pebble.IsCorruptionError(err):
		return cluster.KindCorrupt
	case vfs.IsNoSpaceError(err):
		return cluster.KindNoSpace
	}
	return cluster.KindOf(err)
}

// corrupt reports a record that cannot be believed.
func (x *Index) corrupt(op string, key []byte, err error) error {
	ref, keyErr := parseKey(key)
	if keyErr != nil {
		err = fmt.Errorf("key %x: %w", key, errors.Join(err, keyErr))
	}
	if x.o.Events.Corrupt != nil {
		x.o.Events.Corrupt(ref, err)
	}
	return cluster.E(op, ref.String(), cluster.KindCorrupt, err)
}

// failed wraps an error of a read.
func (x *Index) failed(op string, err error) error {
	kind := kindOf(err)
	if kind == cluster.KindCorrupt {
		report(x.o.Events.Unreadable, err)
	}
	return cluster.E(op, x.dir, kind, err)
}

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

// Metrics returns gauges and counters of the index, or zeros when it is dead.
func (x *Index) Metrics() Metrics {
	var m *pebble.Metrics
	if x.call(func() error { m = x.db.Metrics(); return nil }) != nil {
		return Metrics{}
	}
	return Metrics{
		DiskBytes:     int64(m.DiskSpaceUsage()),
		MemTableBytes: int64(m.MemTable.Size),
		CacheHits:     m.BlockCache.Hits,
		CacheMisses:   m.BlockCache.Misses,
		Compactions:   m.Compact.Count,
		Stalls:        x.stalls.Load(),
		ReadAmp:       m.ReadAmp(),
	}
}
