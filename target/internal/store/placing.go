package store

import (
	"slices"

	"github.com/aisle-store/aisle/cluster"
)

// placing is where the keys of this node belong by one map. A mountpath that the map says has failed gets no keys; in a slot in
// which the node is partial it keeps those it had, and what it cannot give is unavailable.
type placing struct {
	m       *cluster.Map // nil without a council
	mounted *[]*mountpath
	by      [cluster.MaxMirror + 1]choice // by cluster.Mountpath.Mirror
	out     map[*mountpath]bool           // that have failed
	idle    map[*mountpath]bool           // that have no keys, and whose state matters to nobody
	// scattered says that keys are on their way from one mountpath to another, so each is looked for: see resilver.go.
	scattered bool
}

// choice are the mountpaths that keys of some layouts can be on.
type choice struct {
	enabled places
	before  places // with those that have failed
	out     bool   // one of them has failed
}

// unmade is where keys belong whose mirror is not made yet.
var unmade = unmadeMirror()

// places are mountpaths, as HRW ranks them.
type places struct {
	ranked []cluster.Mountpath
	of     []*mountpath
}

func (p *places) add(mp cluster.Mountpath, m *mountpath) {
	p.ranked, p.of = append(p.ranked, mp), append(p.of, m)
}

// place returns the one that a key belongs on.
func (p *places) place(n name) *mountpath {
	return p.of[cluster.PlaceMountpath(n.bucket.ID, n.key, p.ranked)]
}

// mounted returns the mountpaths that are open, or should be.
func (s *Store) mounted() []*mountpath { return *s.mountpaths.Load() }

// placing returns where keys belong by the map that is applied.
func (s *Store) placing() *placing {
	if s.council == nil {
		return s.placingBy(nil)
	}
	return s.placingBy(s.council.Map())
}

// placingBy returns where keys belong by a map.
func (s *Store) placingBy(m *cluster.Map) *placing {
	if s.council == nil {
		m = nil
	}
	p, mounted := s.placings.Load(), s.mountpaths.Load()
	if p != nil && p.m == m && p.mounted == mounted {
		return p
	}
	p = s.newPlacing(m, mounted)
	s.placings.Store(p)
	return p
}

func (s *Store) newPlacing(m *cluster.Map, mounted *[]*mountpath) *placing {
	p := &placing{m: m, mounted: mounted, out: make(map[*mountpath]bool), idle: make(map[*mountpath]bool)}
	var known []cluster.Mountpath
	if m != nil {
		n, _ := m.Node(s.o.Node)
		known = n.Mountpaths
	}
	for _, mp := range *mounted {
		state := cluster.MountpathEnabled
		if at := slices.IndexFunc(known, func(k cluster.Mountpath) bool { return k.ID == mp.ID }); at >= 0 {
			state = known[at].State
		} else if len(known) > 0 {
			state = cluster.MountpathDisabled // it comes with the next map, or has gone with this one
		}
		of := &p.by[mp.Mirror]
		switch state {
		case cluster.MountpathFailed:
			p.out[mp], of.out = true, true
			of.before.add(mp.Mountpath, mp)
		case cluster.MountpathFilling, cluster.MountpathEnabled:
			p.scattered = p.scattered || state == cluster.MountpathFilling
			of.before.add(mp.Mountpath, mp)
			of.enabled.add(mp.Mountpath, mp)
		case cluster.MountpathDraining, cluster.MountpathDetaching:
			p.scattered = true
		case cluster.MountpathDisabled:
			p.idle[mp] = true
		}
	}
	if disks := &p.by[0]; len(disks.before.of) == 0 { // never for long: the last one cannot be taken out
		for _, mp := range *mounted {
			if mp.Mirror == 0 {
				disks.before.add(mp.Mountpath, mp)
			}
		}
	}
	return p
}

// mountpath returns the one that a key is on: where it belongs or, while keys are moved, where it is. What it says is true for as
// long as the caller holds the key's lock, that of its copies, or the key still.
func (s *Store) mountpath(n name) *mountpath {
	p := s.placing()
	if m := s.unsure.of(n.ident()); m != nil && s.matters(p, m, n.slot()) {
		return m
	}
	if p.scattered {
		return s.locate(p, n)
	}
	return p.belongs(s, n)
}

// belongs returns the mountpath that a key belongs on.
func (p *placing) belongs(s *Store, n name) *mountpath {
	of := &p.by[p.mirror(n.bucket.ID.Layout())]
	switch {
	case len(of.enabled.of) > 0 && !(of.out && s.isPartial(p.m, n.slot())):
		return of.enabled.place(n)
	case len(of.before.of) > 0:
		return of.before.place(n)
	}
	return unmade
}

// mirror returns on how many mountpaths keys of a layout are to be: cluster.Mountpath.Mirror of those that they are on.
func (p *placing) mirror(id cluster.LayoutID) int {
	if p.m == nil || int(id) >= len(p.m.Layouts) {
		return 0
	}
	return p.m.Layouts[id].Mirror
}

// skips reports whether a mountpath has nothing of a bucket.
func (p *placing) skips(m *mountpath, bucket cluster.BucketID, partial bool) bool {
	return p.idle[m] || p.out[m] && !partial || m.Mirror != p.mirror(bucket.Layout())
}

// locate finds a key. One that is nowhere is where it belongs, unless a mountpath that may have it cannot be read: then it is there,
// and unavailable.
func (s *Store) locate(p *placing, n name) *mountpath {
	home := p.belongs(s, n)
	var unknown *mountpath
	for _, m := range slices.Concat([]*mountpath{home}, *p.mounted) {
		if !s.matters(p, m, n.slot()) {
			continue
		}
		if m.err() == nil {
			if has, err := m.index.HasKey(n.bucket.ID, n.key); err == nil {
				if has {
					return m
				}
				continue
			}
		}
		unknown = m
	}
	if unknown != nil {
		return unknown
	}
	return home
}

// still keeps keys where they are until release, while they are moved at all. It is for those who look a key up without its lock, or
// at more than one mountpath. Whoever began before keys were moved is waited for by gates.
func (s *Store) still() (release func()) {
	if !s.placing().scattered {
		return func() {}
	}
	s.moves.RLock()
	return s.moves.RUnlock
}

// hold is still for whoever no gate waits for.
func (s *Store) hold() (release func()) {
	s.moves.RLock()
	return s.moves.RUnlock
}

// isPartial reports whether a map says that this node has lost a part of what it has of a slot.
func (s *Store) isPartial(m *cluster.Map, slot cluster.Slot) bool {
	if m == nil {
		return false
	}
	h, _ := m.Slot(slot).Holder(s.o.Node)
	return h.Partial
}

// matters reports whether a mountpath has what this node needs of a slot. One that has failed has so only where the node is
// partial: elsewhere others have given the node what was on it.
func (s *Store) matters(p *placing, mp *mountpath, slot cluster.Slot) bool {
	return !p.idle[mp] && mp.Mirror == p.mirror(slot.Layout()) && (!p.out[mp] || s.isPartial(p.m, slot))
}

// used returns the mountpaths that have something of slots in which the node is not partial.
func (s *Store) used(p *placing) []*mountpath {
	return slices.DeleteFunc(slices.Clone(*p.mounted), func(m *mountpath) bool { return p.out[m] || p.idle[m] })
}

// looksAt reports whether a mountpath must be looked at for some slots.
func (s *Store) looksAt(p *placing, mp *mountpath, slots func(cluster.Slot) bool) bool {
	if !p.out[mp] {
		return !p.idle[mp]
	}
	for i := range p.m.Slots {
		if slot := cluster.Slot(i); slots(slot) && mp.Mirror == p.mirror(slot.Layout()) && s.isPartial(p.m, slot) {
			return true
		}
	}
	return false
}
