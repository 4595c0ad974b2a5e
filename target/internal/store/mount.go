package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/aisle-store/aisle/cluster"
)

// What an operator does with mountpaths. The map says what each is used for; from there the resilver goes on.

// Attach takes a formatted mountpath into use. It returns when the map has it; keys are moved onto it afterwards.
func (s *Store) Attach(ctx context.Context, mp cluster.Mountpath) error {
	const op = "target/store.Attach"
	if err := s.mount(mp); err != nil {
		return cluster.E(op, mp.Path, cluster.KindInvalid, err)
	}
	mp.State = cluster.MountpathFilling
	return s.changeMountpaths(ctx, op, mp.Path, func(all []cluster.Mountpath, _ int) ([]cluster.Mountpath, error) {
		if slices.ContainsFunc(all, func(known cluster.Mountpath) bool { return known.ID == mp.ID }) {
			return all, nil // an attempt before this one was carried out, and its answer lost
		}
		return append(all, mp), nil
	})
}

// mount opens a mountpath beside the others. It gets no keys as long as the map does not name it.
func (s *Store) mount(mp cluster.Mountpath) error {
	s.mounting.Lock()
	defer s.mounting.Unlock()
	if s.slots.closed.Load() {
		return cluster.Fail("", "", cluster.KindUnavailable, "the store is closing")
	}
	o := s.o
	o.Mountpaths = nil
	for _, known := range s.mounted() {
		o.Mountpaths = append(o.Mountpaths, known.Mountpath)
	}
	m := openMountpath(mp, &o, s.cache)
	if err := m.err(); err != nil {
		return err
	}
	all := append(slices.Clone(s.mounted()), s.start(s.life, m))
	s.mountpaths.Store(&all)
	return nil
}

// Disable has the keys of a mountpath moved to the others. It stays, and Enable brings it back.
func (s *Store) Disable(ctx context.Context, path string) error {
	return s.drain(ctx, "target/store.Disable", path, cluster.MountpathDraining)
}

// Detach has the keys of a mountpath moved to the others, and then forgets it. One that has failed is forgotten at once, unless it had
// the only copy of anything; with force, then too.
func (s *Store) Detach(ctx context.Context, path string, force bool) error {
	const op = "target/store.Detach"
	failed := false
	err := s.changeMountpaths(ctx, op, path, func(all []cluster.Mountpath, at int) ([]cluster.Mountpath, error) {
		if err := refuseMirror(op, path, all, at); err != nil {
			return nil, err
		}
		if at < 0 || all[at].State != cluster.MountpathFailed {
			return all, nil
		}
		failed = true
		if partial := s.partialSlots(s.council.Map()).Len(); partial > 0 && !force {
			return nil, cluster.Fail(op, path, cluster.KindConflict,
				fmt.Sprintf("no other target has what was on it of %d slots, which would be lost: bring it back, or say that it may be lost (--force)", partial))
		}
		return slices.Delete(all, at, at+1), nil
	})
	if err != nil || failed {
		return err
	}
	return s.drain(ctx, op, path, cluster.MountpathDetaching)
}

func (s *Store) drain(ctx context.Context, op, path string, to cluster.MountpathState) error {
	return s.changeMountpaths(ctx, op, path, func(all []cluster.Mountpath, at int) ([]cluster.Mountpath, error) {
		if at < 0 {
			return nil, cluster.Fail(op, path, cluster.KindNotFound, "this target has no such mountpath")
		}
		if err := refuseMirror(op, path, all, at); err != nil {
			return nil, err
		}
		used, copies := 0, 0
		for i, mp := range all {
			if copies = max(copies, mp.Mirror); mp.Mirror > 0 {
				continue
			}
			switch mp.State {
			case cluster.MountpathFailed:
				return nil, cluster.Fail(op, path, cluster.KindConflict, mp.Path+" has failed: bring it back or detach it before keys are moved")
			case cluster.MountpathEnabled, cluster.MountpathFilling:
				if i != at {
					used++
				}
			}
		}
		if used == 0 {
			return nil, cluster.Fail(op, path, cluster.KindConflict, "it is the last mountpath in use; a target that is to be empty leaves the cluster")
		}
		if used < copies {
			return nil, cluster.Fail(op, path, cluster.KindConflict,
				fmt.Sprintf("a bucket has mirror.copies=%d, and only %d mountpaths would be left", copies, used))
		}
		all[at].State = to
		return all, nil
	})
}

// refuseMirror refuses what is not for an operator to do.
func refuseMirror(op, path string, all []cluster.Mountpath, at int) error {
	if at >= 0 && all[at].Mirror > 0 {
		return cluster.Fail(op, path, cluster.KindInvalid, "it is a mirror, which the target makes and removes by itself: name one of the mountpaths that it lies on")
	}
	return nil
}

// Enable has keys placed on a mountpath again that was disabled or is being emptied.
func (s *Store) Enable(ctx context.Context, path string) error {
	const op = "target/store.Enable"
	return s.changeMountpaths(ctx, op, path, func(all []cluster.Mountpath, at int) ([]cluster.Mountpath, error) {
		if err := refuseMirror(op, path, all, at); err != nil {
			return nil, err
		}
		switch {
		case at < 0:
			return nil, cluster.Fail(op, path, cluster.KindNotFound, "this target has no such mountpath")
		case all[at].State == cluster.MountpathFailed:
			return nil, cluster.Fail(op, path, cluster.KindConflict, "it has failed; it comes back by itself when the target starts and it works")
		case all[at].State != cluster.MountpathEnabled:
			all[at].State = cluster.MountpathFilling
		}
		return all, nil
	})
}

// changeMountpaths changes what the map says of the mountpaths of this node; at is the one of that path, or negative.
func (s *Store) changeMountpaths(ctx context.Context, op, path string, change func(all []cluster.Mountpath, at int) ([]cluster.Mountpath, error)) error {
	if s.council == nil {
		return cluster.Fail(op, path, cluster.KindUnavailable, "this target belongs to no cluster")
	}
	for {
		self, ok := s.council.Map().Node(s.o.Node)
		if !ok {
			return cluster.Fail(op, path, cluster.KindUnavailable, "the map does not name this target yet")
		}
		at := slices.IndexFunc(self.Mountpaths, func(mp cluster.Mountpath) bool { return mp.Path == path })
		now, err := change(slices.Clone(self.Mountpaths), at)
		if err != nil {
			return err
		}
		if slices.Equal(now, self.Mountpaths) {
			return nil
		}
		err = s.council.SetMountpaths(ctx, self.Remounted+1, now, false, nil)
		if !cluster.Is(err, cluster.KindConflict) { // else it was changed meanwhile
			return err
		}
		if !pause(ctx, askPause) {
			return cluster.E(op, path, cluster.KindUnavailable, err)
		}
	}
}

// Location returns the mountpath that a key is on.
func (s *Store) Location(bucket *cluster.BucketEntry, key cluster.ObjectKey) cluster.Mountpath {
	return s.mountpath(name{bucket: bucket, key: key}).Mountpath
}
