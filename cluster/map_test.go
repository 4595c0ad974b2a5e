package cluster

import (
	"slices"
	"testing"
)

func TestMapMembers(t *testing.T) {
	m := &Map{Removed: map[NodeID]bool{}}
	m.AddLayout(OneCopy())
	for _, id := range []NodeID{"c", "a", "b"} {
		m.SetNode(Node{ID: id, Roles: Target})
	}
	m.SetNode(Node{ID: "b", Roles: Proxy})
	if n, ok := m.Node("b"); !ok || n.Roles != Proxy {
		t.Errorf("Node(b) = %v, %v", n, ok)
	}
	if len(m.Targets()) != 2 || len(m.Proxies()) != 1 {
		t.Errorf("targets %v, proxies %v", m.Targets(), m.Proxies())
	}
	clone := m.Clone()
	clone.RemoveNode("a")
	clone.Slots[5] = SlotState{Epoch: 2, Holders: []Holder{{Node: "c", InSync: true}}}
	if _, ok := clone.Node("a"); ok || !clone.Removed["a"] {
		t.Error("a removed node is still there or not refused")
	}
	if _, ok := m.Node("a"); !ok || m.Removed["a"] || m.Slots[5].Owner() != "" {
		t.Error("a change of the clone shows in the original")
	}
	if owner, epoch := clone.Owner(5); owner != "c" || epoch != 2 {
		t.Errorf("Owner(5) = %v, %v", owner, epoch)
	}
	if counts := clone.OwnedBy(); len(counts) != 1 || counts["c"] != 1 {
		t.Errorf("OwnedBy() = %v", counts)
	}
}

// Short counts the slots that miss a copy, also of layouts that were never used.
func TestShort(t *testing.T) {
	m := Map{Layouts: []Layout{OneCopy(), {Copies: 2}}, Slots: make(SlotTable, 2*Slots)}
	one, two, behind := []Holder{{Node: "a", InSync: true}}, []Holder{{Node: "a", InSync: true}, {Node: "b", InSync: true}}, []Holder{{Node: "a", InSync: true}, {Node: "b"}}
	for i := range Slots {
		m.Slots[i].Holders, m.Slots[Slots+i].Holders = one, two
	}
	if n := m.Short(); n != 0 {
		t.Errorf("%d slots are short of a whole map", n)
	}
	m.Slots[5].Holders, m.Slots[Slots+5].Holders, m.Slots[Slots+6].Holders = nil, one, behind
	if n := m.Short(); n != 3 {
		t.Errorf("%d slots are short, want 3", n)
	}
}

// Owners tells the owners of each layout apart: who lists a bucket must not wait for one that owns nothing of its layout.
func TestOwners(t *testing.T) {
	m := Map{Layouts: []Layout{OneCopy(), {Copies: 2}}, Slots: make(SlotTable, 2*Slots)}
	m.Slots[3].Holders, m.Slots[1].Holders, m.Slots[2].Holders = []Holder{{Node: "a"}}, []Holder{{Node: "c"}, {Node: "b"}}, []Holder{{Node: "a"}}
	m.Slots[Slots].Holders = []Holder{{Node: "b"}}
	if got := m.Owners(); len(got) != 2 || !slices.Equal(got[0], []NodeID{"a", "c"}) || !slices.Equal(got[1], []NodeID{"b"}) {
		t.Errorf("owners %v", got)
	}
}
