package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// failedChecks is how many checks in a row must fail until a disk takes no writes any more. Two, since one may fail for lack of
// memory or descriptors.
const failedChecks = 2

// watch checks the mountpaths, and tells the cluster which of them cannot be used, until the context ends.
func (s *Store) watch(ctx context.Context) {
	tick := time.NewTicker(max(s.o.Health/10, time.Millisecond))
	defer tick.Stop()
	last := s.o.Clock()
	looked, awake := last, time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := s.o.Clock()
		awake += min(now-looked, s.o.HealthLimit/2) // longer, and the process was stopped or the machine slept: so were the checks
		looked = now
		due := now-last >= s.o.Health
		if due {
			last = now
		}
		for _, m := range s.mounted() {
			s.checkDisk(m, awake, due)
		}
		s.dropSides()
		if err := s.endRebuilt(); err != nil {
			s.o.Events.background("", "end of a rebuild", err)
		}
		if s.council == nil {
			continue
		}
		s.beginShaping(ctx)
		if err := s.reportMountpaths(ctx); err != nil && ctx.Err() == nil && !cluster.Is(err, cluster.KindConflict) {
			s.o.Events.background("", "report the state of mountpaths", err)
		}
	}
}

// checkDisk begins a check of a mountpath when one is due, and takes the mountpath out when the one before does not end: now is how
// long the store has been awake.
func (s *Store) checkDisk(m *mountpath, now time.Duration, due bool) {
	if m.err() != nil {
		return
	}
	if begun := m.checking.Load(); begun != 0 {
		if now-time.Duration(begun) > s.limit(m) {
			m.stuck.Store(true)
			m.takeOut(fmt.Errorf("the disk has not answered for %s", s.limit(m)), s.o.Events)
		}
		return
	}
	if suspect := m.suspect.Swap(false); !due && !suspect && m.doubtful.Load() == 0 {
		return
	}
	m.checking.Store(int64(max(now, 1)))
	m.checks.Go(func() {
		defer m.checking.Store(0)
		m.check(s.o.Events)
	})
}

// check looks whether the path leads to the disk that was opened, and whether that can be written.
func (m *mountpath) check(events Events) {
	if m.isElsewhere(events) {
		return
	}
	err := m.disk.CheckWrites()
	if err == nil {
		m.doubtful.Store(0)
		return
	}
	events.background(m.ID, "check", err)
	if m.doubtful.Add(1) >= failedChecks && m.disk.Err() == nil {
		m.disk.GiveUp(err)
		if events.MountpathFailed != nil {
			events.MountpathFailed(m.ID, err)
		}
	}
}

// isElsewhere reports whether the path leads to something else than the disk that was opened, and takes the mountpath out then: it
// was unmounted, or something was mounted over it. Files that are open go on working, and what is opened by its name is gone.
func (m *mountpath) isElsewhere(events Events) bool {
	if m.failure.Load() != nil {
		return false
	}
	err := m.disk.CheckIdentity()
	if !errors.Is(err, disk.ErrMissing) && !errors.Is(err, disk.ErrUnformatted) && !errors.Is(err, disk.ErrForeign) {
		return false
	}
	m.takeOut(err, events)
	return true
}

// reportMountpaths tells the cluster which mountpaths cannot be used, and which can again, where the map says otherwise.
func (s *Store) reportMountpaths(ctx context.Context) error {
	m := s.council.Map()
	self, ok := m.Node(s.o.Node)
	if !ok || !s.namedIn(m) {
		return nil
	}
	now := slices.Clone(self.Mountpaths)
	var back []*mountpath
	lost := false
	for i := range now {
		at := slices.IndexFunc(s.mounted(), func(mp *mountpath) bool { return mp.ID == now[i].ID })
		if at < 0 || now[i].State == cluster.MountpathDisabled {
			continue
		}
		mp, failed := s.mounted()[at], now[i].State == cluster.MountpathFailed
		switch works := mp.writeErr() == nil; {
		case !works && !failed:
			now[i].State, lost = cluster.MountpathFailed, true
		case works && failed:
			back = append(back, mp)
		}
	}
	if lost {
		return s.council.SetMountpaths(ctx, self.Remounted+1, now, true, nil)
	}
	if len(back) == 0 {
		return nil
	}
	for i := range now {
		if slices.ContainsFunc(back, func(mp *mountpath) bool { return mp.ID == now[i].ID }) {
			now[i].State = cluster.MountpathFilling // what was written meanwhile lies elsewhere
		}
	}
	kept := s.partialSlots(m)
	for _, mp := range back {
		if err := mp.purge(ctx, kept.Has); err != nil {
			return err
		}
	}
	return s.council.SetMountpaths(ctx, self.Remounted+1, now, false, kept)
}

// purge removes what a mountpath that is back has of slots other than some: other holders have given this node what it had, and what it
// has is old. Nobody uses it there meanwhile.
func (m *mountpath) purge(ctx context.Context, kept func(cluster.Slot) bool) error {
	for _, kind := range meta.RecordKinds() {
		batch := m.index.NewBatch()
		var places []disk.Place
		removed := false
		for r, err := range m.index.Scan(ctx, meta.Range{Kind: kind, AllBuckets: true, NoData: true}).All() {
			if err == nil && kept(r.Slot()) {
				continue
			}
			var of []disk.Place
			if err == nil {
				of, err = placesOf(m.index, r)
			}
			if err != nil {
				batch.Close()
				return err
			}
			places, removed = append(places, of...), true
			batch.Delete(&meta.Record{Ref: r.Ref, Fields: meta.Fields{HasManifest: true}})
			batch.Settle(r.Ref)
		}
		if !removed {
			batch.Close()
			continue
		}
		if err := batch.Commit(true); err != nil {
			return err
		}
		m.cleaner.add(cleanup{free: places})
	}
	return nil
}

// endRebuilt lets mountpaths serve whose index was rebuilt, where nobody else could know better: no slot that this node holds has
// another holder. Where one has, the mountpath counts as failed, and is reported like any that is; when the map says so, the
// next process may take it as it is, as a disk that is back.
func (s *Store) endRebuilt() error {
	for _, m := range s.mounted() {
		if m.failure.Load() != nil || !m.rebuilt.Load() {
			continue
		}
		alone, known := s.rebuiltAlone(m)
		if !alone && !known {
			continue
		}
		if err := m.disk.EndRebuilt(); err != nil {
			return err
		}
		if alone {
			m.rebuilt.Store(false)
		}
	}
	return nil
}

// rebuiltAlone reports whether this node is the only holder of all that it holds, and whether the map says that the mountpath has
// failed.
func (s *Store) rebuiltAlone(mp *mountpath) (alone, known bool) {
	if s.council == nil {
		return true, true
	}
	m := s.council.Map()
	self, ok := m.Node(s.o.Node)
	if !ok || !s.namedIn(m) {
		return false, false
	}
	for _, k := range self.Mountpaths {
		known = known || k.ID == mp.ID && k.State == cluster.MountpathFailed
	}
	for i := range m.Slots {
		if _, holds := m.Slots[i].Holder(s.o.Node); holds && len(m.Slots[i].Holders) > 1 {
			return false, known
		}
	}
	return true, known
}

// partialSlots returns the slots in which this node is partial.
func (s *Store) partialSlots(m *cluster.Map) *cluster.SlotSet {
	partial := &cluster.SlotSet{}
	for i := range m.Slots {
		if h, _ := m.Slots[i].Holder(s.o.Node); h.Partial {
			partial.Add(cluster.Slot(i))
		}
	}
	return partial
}
