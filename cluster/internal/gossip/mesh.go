package gossip

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/aisle-store/aisle/cluster"
)

// Mesh is gossip without a network or a clock, for simulations: members that have joined each other, directly or through
// others, see each other as long as Reach allows it.
type Mesh struct {
	reach func(from, to cluster.NodeID) bool
	mu    struct {
		sync.Mutex
		members map[cluster.NodeID]*MeshList
		group   map[cluster.NodeID]int // who has met whom; outlives members
		groups  int
	}
}

// MeshList is one member's part in a Mesh; it has the methods of List.
type MeshList struct {
	mesh   *Mesh
	self   Peer
	events *queue
}

// NewMesh makes a mesh. Reach says whether a message from one node would arrive at another; nil means always. It is
// called with the mesh locked.
func NewMesh(reach func(from, to cluster.NodeID) bool) *Mesh {
	if reach == nil {
		reach = func(_, _ cluster.NodeID) bool { return true }
	}
	m := &Mesh{reach: reach}
	m.mu.members = make(map[cluster.NodeID]*MeshList)
	m.mu.group = make(map[cluster.NodeID]int)
	return m
}

const meshScheme = "mesh:"

// Start adds a member, alone until it joins. One that starts again has forgotten whom it had met, but not they it.
func (m *Mesh) Start(self Peer, e Events) *MeshList {
	self.GossipAddr = meshScheme + string(self.ID)
	l := &MeshList{mesh: m, self: self, events: newQueue(e)}
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.mu.members[self.ID]
	m.mu.members[self.ID] = l
	if m.mu.group[self.ID] == 0 {
		m.mu.groups++
		m.mu.group[self.ID] = m.mu.groups
	}
	kind := joined
	if old != nil {
		kind = updated
	}
	for _, o := range m.known(l) {
		o.events.put(event{kind, self})
	}
	return l
}

// known returns the members that l has met and that it and they can reach, ordered by ID.
func (m *Mesh) known(l *MeshList) []*MeshList {
	var met []*MeshList
	for id, o := range m.mu.members {
		if o != l && m.mu.group[id] == m.mu.group[l.self.ID] && m.mutual(l.self.ID, id) {
			met = append(met, o)
		}
	}
	slices.SortFunc(met, func(a, b *MeshList) int { return cmp.Compare(a.self.ID, b.self.ID) })
	return met
}

func (m *Mesh) mutual(a, b cluster.NodeID) bool { return m.reach(a, b) && m.reach(b, a) }

// Join is List.Join.
func (l *MeshList) Join(_ context.Context, addrs []string) (int, error) {
	m := l.mesh
	m.mu.Lock()
	defer m.mu.Unlock()
	met := 0
	for _, addr := range addrs {
		id := cluster.NodeID(strings.TrimPrefix(addr, meshScheme))
		if m.mu.members[id] == nil || !m.mutual(l.self.ID, id) {
			continue
		}
		met++
		m.merge(l, id)
	}
	if met == 0 && len(addrs) > 0 {
		return 0, cluster.Fail("gossip.MeshList.Join", strings.Join(addrs, ","), cluster.KindUnavailable, "nobody answers")
	}
	return met, nil
}

// merge makes one group of two and tells everybody of the new ones.
func (m *Mesh) merge(l *MeshList, id cluster.NodeID) {
	mine, theirs := m.mu.group[l.self.ID], m.mu.group[id]
	if mine == theirs {
		return
	}
	before := make(map[*MeshList][]*MeshList)
	for _, o := range m.mu.members {
		before[o] = m.known(o)
	}
	for other, g := range m.mu.group {
		if g == mine {
			m.mu.group[other] = theirs
		}
	}
	for _, o := range m.mu.members {
		for _, p := range m.known(o) {
			if !slices.Contains(before[o], p) {
				o.events.put(event{joined, p.self})
			}
		}
	}
}

// Peers is List.Peers.
func (l *MeshList) Peers() []Peer {
	l.mesh.mu.Lock()
	defer l.mesh.mu.Unlock()
	if l.mesh.mu.members[l.self.ID] != l {
		return nil
	}
	var peers []Peer
	for _, o := range l.mesh.known(l) {
		peers = append(peers, o.self)
	}
	return peers
}

// Addr is List.Addr.
func (l *MeshList) Addr() string { return l.self.GossipAddr }

// Leave is List.Leave.
func (l *MeshList) Leave(context.Context) error {
	l.depart()
	return nil
}

// Stop is List.Stop; the others learn of it at once.
func (l *MeshList) Stop() error {
	l.depart()
	l.events.stop()
	return nil
}

func (l *MeshList) depart() {
	m := l.mesh
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.members[l.self.ID] != l {
		return
	}
	for _, o := range m.known(l) {
		o.events.put(event{left, l.self})
	}
	delete(m.mu.members, l.self.ID)
}
