package node

import (
	"errors"
	"slices"

	"github.com/aisle-store/aisle/cluster"
)

// What the node keeps of its mirrors lies in its state directory, with its identity: so it is not lost with a disk of them.

// Sides implements target.MirrorRegistry.
func (s *state) Sides(id cluster.MountpathID) []cluster.MountpathID {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.mirror(id); m != nil && !m.Detached {
		return slices.Clone(m.InStep)
	}
	return nil
}

// SetSides implements target.MirrorRegistry.
func (s *state) SetSides(id cluster.MountpathID, inStep []cluster.MountpathID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.mirror(id)
	if m == nil {
		return errors.New("this node has no mirror " + string(id))
	}
	m.InStep = slices.Clone(inStep)
	return s.save()
}

// Add implements target.MirrorRegistry.
func (s *state) Add(mp cluster.Mountpath) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.id.Mountpaths = append(s.id.Mountpaths, registeredMountpath{Mountpath: mp, Formatted: true, Attached: true, InStep: mp.SideIDs()})
	err := s.save()
	if err != nil {
		s.id.Mountpaths = s.id.Mountpaths[:len(s.id.Mountpaths)-1]
	}
	return err
}

// mirror returns what is kept of a mirror, or nil.
func (s *state) mirror(id cluster.MountpathID) *registeredMountpath {
	for i := range s.id.Mountpaths {
		if m := &s.id.Mountpaths[i]; m.ID == id && m.Mirror > 0 {
			return m
		}
	}
	return nil
}
