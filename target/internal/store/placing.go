package store

import (
	"slices"

	"github.com/aisle-store/aisle/cluster"
)

// placing is where the keys of this node belong by one map. A mountpath that the map says has failed gets no keys; in a slot in
// which the node is partial it keeps those it had, and what it cannot give is unavailable.
type placing struct {
	m       *cluster.Map // nil without a council
	enabled places
	before  places // with those that have failed
	out     map[*mountpath]bool
}

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

// placing returns where keys belong by the map that is applied.
func (s *Store) placing() *placing {
	if s.council == nil {
		return s.placings.Load()
	}
	return s.placingBy(s.council.Map())
}

// placingBy returns where keys belong by a map.
func (s *Store) placingBy(m *cluster.Map) *placing {
	p := s.placings.Load()
	if p.m == m || s.council == nil {
		return p
	}
	p = s.newPlacing(m)
	s.placings.Store(p)
	return p
}

func (s *Store) newPlacing(m *cluster.Map) *placing {
	p := &placing{m: m, out: make(map[*mountpath]bool)}
	var known []cluster.Mountpath
	if m != nil {
		n, _ := m.Node(s.o.Node)
		known = n.Mountpaths
	}
	for _, mp := range s.mountpaths {
		at := slices.IndexFunc(known, func(k cluster.Mountpath) bool { return k.ID == mp.ID })
		p.before.add(mp.Mountpath, mp)
		if at >= 0 && known[at].State == cluster.MountpathFailed {
			p.out[mp] = true
			continue
		}
		p.enabled.add(mp.Mountpath, mp)
	}
	return p
}

// mountpath returns the one that a key is on.
func (s *Store) mountpath(n name) *mountpath { return s.placing().mountpath(s, n) }

func (p *placing) mountpath(s *Store, n name) *mountpath {
	if len(p.out) > 0 && (len(p.enabled.of) == 0 || s.isPartial(p.m, n.slot())) {
		return p.before.place(n)
	}
	return p.enabled.place(n)
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
	return !p.out[mp] || s.isPartial(p.m, slot)
}

// looksAt reports whether a mountpath must be looked at for some slots.
func (s *Store) looksAt(p *placing, mp *mountpath, slots func(cluster.Slot) bool) bool {
	if !p.out[mp] {
		return true
	}
	for i := range p.m.Slots {
		if slot := cluster.Slot(i); slots(slot) && s.isPartial(p.m, slot) {
			return true
		}
	}
	return false
}
