package cluster

import "testing"

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
