package node

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/target"
)

// changeMountpath does what an operator asks for with a mountpath.
func (l *lateTarget) changeMountpath(ctx context.Context, t *target.Target, action, path string, force bool) error {
	const op = "node.changeMountpath"
	if !filepath.IsAbs(path) || filepath.Clean(path) != path {
		return cluster.Fail(op, path, cluster.KindInvalid, "a mountpath is an absolute path on the machine of its node")
	}
	switch action {
	case api.ActionAttach:
		return l.attach(ctx, t, path)
	case api.ActionDetach:
		return t.Detach(ctx, path, force)
	case api.ActionEnable:
		return t.Enable(ctx, path)
	case api.ActionDisable:
		return t.Disable(ctx, path)
	}
	return cluster.Fail(op, action, cluster.KindNotImplemented, "this is not done with mountpaths")
}

// attach makes a mountpath of an empty directory and takes it into use. A crash before the map has it leaves one that is known here: the
// next start enters it into the map.
func (l *lateTarget) attach(ctx context.Context, t *target.Target, path string) error {
	const op = "node.attach"
	l.changes.Lock()
	defer l.changes.Unlock()
	if err := checkEmpty(path); err != nil {
		return cluster.E(op, path, cluster.KindInvalid, err)
	}
	mp, err := l.state.add(path)
	if err != nil {
		return cluster.E(op, path, cluster.KindConflict, err)
	}
	if err = l.state.format(l.clusterID); err == nil {
		err = t.Attach(ctx, mp)
	}
	if err != nil && !cluster.Is(err, cluster.KindUnavailable) {
		return errors.Join(cluster.E(op, path, cluster.KindOther, err), l.state.forget(mp.ID))
	}
	return err
}

// checkEmpty refuses a directory that holds anything.
func checkEmpty(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("there is no such directory")
	}
	for _, e := range entries {
		if e.Name() != "lost+found" {
			return errors.New("the directory is not empty (it holds " + e.Name() + "); a new mountpath is an empty directory")
		}
	}
	return err
}

// add notes a mountpath that is new.
func (s *state) add(path string) (cluster.Mountpath, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.id.Mountpaths = slices.DeleteFunc(s.id.Mountpaths, func(m registeredMountpath) bool { return m.Path == path && m.Detached })
	if s.knows(path) {
		return cluster.Mountpath{}, errors.New("this node has the mountpath already")
	}
	mp := newMountpath(path)
	s.id.Mountpaths = append(s.id.Mountpaths, registeredMountpath{Mountpath: mp, Attached: true})
	return mp, s.save()
}

// forget undoes add.
func (s *state) forget(id cluster.MountpathID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.id.Mountpaths = slices.DeleteFunc(s.id.Mountpaths, func(m registeredMountpath) bool { return m.ID == id })
	return s.save()
}

// follow notes which mountpaths the map has, and which it has no more: those are not opened again.
func (s *state) follow(listed []cluster.Mountpath) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := false
	for i := range s.id.Mountpaths {
		m := &s.id.Mountpaths[i]
		isListed := slices.ContainsFunc(listed, func(mp cluster.Mountpath) bool { return mp.ID == m.ID })
		switch {
		case isListed && !m.Listed:
			m.Listed, changed = true, true
		case !isListed && m.Listed && !m.Detached:
			m.Detached, changed = true, true
		}
	}
	if !changed {
		return nil
	}
	return s.save()
}
