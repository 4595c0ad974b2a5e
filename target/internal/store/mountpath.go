package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/aisle-store/aisle/target/internal/meta"
	"github.com/aisle-store/aisle/target/internal/mirror"
)

// Format makes an empty mountpath of the existing directory path. It never touches one that is formatted.
func Format(fs vfs.FS, path, clusterID string, node cluster.NodeID, id cluster.MountpathID) error {
	return disk.Format(fs, path, disk.Identity{Cluster: clusterID, Node: node, Mountpath: id})
}

// mountpath is one disk with its index.
type mountpath struct {
	cluster.Mountpath
	disk     *disk.Disk  // nil when it could not be opened
	index    *meta.Index // nil when it could not be opened
	mirror   *mirror.FS  // nil of a disk, and when it could not be opened
	cleaner  *cleaner
	scrubber *scrubber             // nil when it could not be opened
	expirer  *expirer              // nil when it could not be opened, or nothing expires
	failure  atomic.Pointer[error] // why it does not serve; set once

	// written is the last epoch in which each slot was written here, as the index has it durably; zero: never.
	written perSlot
	// dropped is the epoch up to which what was written of a slot was dropped here, since the slot is not held any more.
	dropped perSlot

	recovery   sync.WaitGroup
	checks     sync.WaitGroup
	checking   atomic.Int64 // when the check under way began, as checkDisk counts; 0: none is
	doubtful   atomic.Int64 // how many checks in a row have failed
	suspect    atomic.Bool  // an operation has failed: the next check is due
	rebuilt    atomic.Bool  // its index was rebuilt, and the cluster does not know it yet
	unreadable atomic.Bool  // a block of its index was found to be damaged
	stuck      atomic.Bool  // its disk does not answer: nobody waits for it any more
	swept      atomic.Bool  // of buckets that went while the process did not run

	pins pins
}

// pins are the places that a reader will come to later: an object of many parts is not opened all at once.
type pins struct {
	mu    sync.Mutex
	count map[disk.Place]int      // guarded by mu
	freed map[disk.Place]struct{} // guarded by mu: to be freed with the last pin
}

// pin keeps a place from being freed until unpin. It must be called inside the readers' gate.
func (m *mountpath) pin(p disk.Place) {
	m.pins.mu.Lock()
	defer m.pins.mu.Unlock()
	m.pins.count[p]++
}

func (m *mountpath) unpin(p disk.Place) {
	m.pins.mu.Lock()
	defer m.pins.mu.Unlock()
	if m.pins.count[p]--; m.pins.count[p] > 0 {
		return
	}
	delete(m.pins.count, p)
	if _, freed := m.pins.freed[p]; freed {
		delete(m.pins.freed, p)
		m.disk.Free(p)
	}
}

// free gives the bytes of a place back, which no record names any more.
func (m *mountpath) free(p disk.Place) {
	m.pins.mu.Lock()
	defer m.pins.mu.Unlock()
	if m.pins.count[p] > 0 {
		m.pins.freed[p] = struct{}{}
		return
	}
	m.disk.Free(p)
}

// openMountpath opens disk and index. One that cannot be opened is returned failed: it serves nothing, and its keys are
// unavailable, which is the truth about them.
func openMountpath(mp cluster.Mountpath, o *Options, cache *meta.Cache) *mountpath {
	m := &mountpath{Mountpath: mp, pins: pins{count: make(map[disk.Place]int), freed: make(map[disk.Place]struct{})}}
	err := m.open(o, cache)
	for cluster.Is(err, cluster.KindCorrupt) && m.mirror != nil && m.mirror.Drop(m.mirror.First(), err) { // another side may be whole
		m.close()
		err = m.open(o, cache)
	}
	if err != nil {
		m.close()
		m.fail(err, o.Events)
	}
	return m
}

func (m *mountpath) open(o *Options, cache *meta.Cache) (err error) {
	do := o.Disk
	do.Identity = disk.Identity{Cluster: o.ClusterID, Node: o.Node, Mountpath: m.ID}
	do.Events.Failed = func(op string, err error) {
		m.suspect.Store(true)
		o.Events.background(m.ID, "disk: "+op, err)
	}
	fs, dir := o.FS, m.Path
	if m.Mirror > 0 {
		if m.mirror, err = m.openSides(o); err != nil {
			return err
		}
		fs, dir = m.mirror, mirrorDir(m.ID)
	}
	if m.disk, err = disk.Open(fs, dir, do); err != nil {
		return err
	}
	if err := m.checkIndex(); err != nil {
		return err
	}
	m.rebuilt.Store(m.disk.IsRebuilt())
	mo := o.Index
	mo.Cache = cache
	mo.Events.Died = func(err error) { m.fail(err, o.Events) }
	mo.Events.Unreadable = func(error) { m.unreadable.Store(true) }
	mo.Events.Background = func(err error) { o.Events.background(m.ID, "index", err) }
	if m.index, err = meta.Open(m.disk.IndexFS(), m.disk.IndexDir(), mo); err != nil {
		return err
	}
	slots, err := m.index.WrittenSlots()
	for slot, epoch := range slots {
		m.written.store(slot, uint64(epoch))
	}
	return err
}

// checkIndex refuses a mountpath that has lost its index: an empty one would be made in its place, everything would be absent,
// and the bytes of all objects would be collected as orphans.
func (m *mountpath) checkIndex() error {
	exists, err := meta.Exists(m.disk.IndexFS(), m.disk.IndexDir())
	if err != nil || exists {
		return err
	}
	if held, err := m.disk.HasBodies(); held || err != nil {
		return errors.Join(err, errors.New("its index is lost; see: aisle storage rebuild"))
	}
	return nil
}

// recoverLongest is the longest pause before a recovery that failed is tried again.
const recoverLongest = 10 * time.Minute

// recover tells the disk, in the background, what is in use. What fails is tried again: until then no space of earlier boots
// comes back.
func (m *mountpath) recover(ctx context.Context, pause time.Duration, events Events) {
	m.recovery.Go(func() {
		for ; ; pause = min(2*pause, recoverLongest) {
			_, err := m.disk.Recover(ctx, m.inUse(ctx))
			if err == nil || ctx.Err() != nil {
				return
			}
			events.background(m.ID, "recover", err)
			select {
			case <-ctx.Done():
				return
			case <-m.index.Dead():
				return
			case <-time.After(pause):
			}
		}
	})
}

// inUse yields the places that records name, and those that a reader comes to later: its record may be gone by now.
func (m *mountpath) inUse(ctx context.Context) iter.Seq2[disk.Place, error] {
	return func(yield func(disk.Place, error) bool) {
		for p, err := range m.index.Places(ctx) {
			if !yield(p, err) || err != nil {
				return
			}
		}
		if err := m.cleaner.readers.wait(ctx); err != nil { // who found a record that Places did not, has pinned it by then
			yield(disk.Place{}, err)
			return
		}
		for _, p := range m.pinned() {
			if !yield(p, nil) {
				return
			}
		}
	}
}

func (m *mountpath) pinned() []disk.Place {
	m.pins.mu.Lock()
	defer m.pins.mu.Unlock()
	return slices.Collect(maps.Keys(m.pins.count))
}

func (m *mountpath) close() error {
	if m.stuck.Load() {
		return nil // whoever is inside of it may never return; its files are open until the process ends
	}
	m.checks.Wait()
	m.recovery.Wait()
	var errs []error
	if m.index != nil {
		errs = append(errs, m.index.Close())
	}
	if m.disk != nil {
		errs = append(errs, m.disk.Close())
	}
	m.index, m.disk = nil, nil
	return errors.Join(errs...)
}

// fail takes the mountpath out of service for the rest of the process's life.
func (m *mountpath) fail(err error, events Events) {
	if m.failure.CompareAndSwap(nil, &err) && events.MountpathFailed != nil {
		events.MountpathFailed(m.ID, err)
	}
}

// takeOut is fail for what the index does not know of. Who waits for it is told.
func (m *mountpath) takeOut(err error, events Events) {
	m.fail(err, events)
	m.index.Kill(err)
}

// err returns nil, or why the mountpath cannot be read, as KindUnavailable.
func (m *mountpath) err() error {
	if err := m.failure.Load(); err != nil {
		return cluster.E("", string(m.ID), cluster.KindUnavailable, fmt.Errorf("the mountpath does not serve: %w", *err))
	}
	if m.rebuilt.Load() {
		return cluster.Fail("", string(m.ID), cluster.KindUnavailable, "the mountpath does not serve: its index was rebuilt, and whether others know better is not settled yet")
	}
	return m.index.Err()
}

// writeErr returns nil, or why the mountpath cannot be written.
func (m *mountpath) writeErr() error {
	if err := m.err(); err != nil {
		return err
	}
	if err := m.disk.Err(); err != nil {
		return cluster.E("", string(m.ID), cluster.KindUnavailable, err)
	}
	return nil
}

// readFailed wraps an error of reading what a mountpath holds of an object, nil of nil, and reports it when it is corrupt.
func (s *Store) readFailed(op string, n name, m *mountpath, err error) error {
	if err == nil {
		return nil
	}
	if m.isElsewhere(s.o.Events) {
		return n.fail(op, cluster.KindUnavailable, "the mountpath does not serve: its path leads to something else")
	}
	if cluster.Is(err, cluster.KindCorrupt) {
		s.o.Events.corrupt(m.ID, n.bucket.ID, n.key, err)
	}
	return n.wrap(op, cluster.KindOther, err)
}

func (e Events) corrupt(mp cluster.MountpathID, bucket cluster.BucketID, key cluster.ObjectKey, err error) {
	if e.Corrupt != nil {
		e.Corrupt(mp, bucket, key, err)
	}
}

func (e Events) noticed(ref NoticeRef, to string) {
	if e.Noticed != nil {
		e.Noticed(ref, to)
	}
}

func (e Events) serves() {
	if e.Serves != nil {
		e.Serves()
	}
}

func (e Events) background(mp cluster.MountpathID, task string, err error) {
	if e.Background != nil {
		e.Background(mp, task, err)
	}
}
