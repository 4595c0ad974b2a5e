package state

import (
	"slices"
	"testing"

	"github.com/aisle-store/aisle/cluster"
)

// Recover takes dead nodes out, gives their slots to holders in sync, and says what nobody has any more.
func TestRecover(t *testing.T) {
	s := New()
	m := &cluster.Map{Version: 5, ClusterID: "c", Removed: map[cluster.NodeID]bool{}}
	m.AddLayout(cluster.OneCopy())
	copies := m.AddLayout(cluster.Layout{Copies: 2})
	for _, id := range []cluster.NodeID{"a", "b", "x", "y"} {
		m.SetNode(cluster.Node{ID: id, Roles: cluster.Target, Mountpaths: make([]cluster.Mountpath, 1)})
	}
	in := func(id cluster.NodeID) cluster.Holder { return cluster.Holder{Node: id, InSync: true, Admitted: 1} }
	late := func(id cluster.NodeID) cluster.Holder { return cluster.Holder{Node: id, Admitted: 3} }
	for i := range m.Slots {
		m.Slots[i] = cluster.SlotState{Epoch: 3, Owned: 3, Holders: []cluster.Holder{in("a")}}
	}
	set := func(i int, holders ...cluster.Holder) cluster.Slot {
		slot := cluster.SlotIn(copies, i)
		m.Slots[slot].Holders = holders
		return slot
	}
	stays, heir, gone, old, lost := set(0, in("a"), in("x")), set(1, in("x"), late("a"), in("b")), set(2, in("x"), in("y")), set(3, in("x"), late("b")), cluster.Slot(7)
	m.Slots[lost].Holders = []cluster.Holder{in("y")} // of a layout that no bucket has
	s.Active, s.LastVersion, s.Pending = m, 9, m
	s.Buckets = []*cluster.BucketEntry{{ID: cluster.NewBucketID(copies, 1), Bucket: cluster.Native("b")}}
	if _, _, err := s.Recover([]cluster.NodeID{"nobody"}); err == nil {
		t.Fatal("a node that never was is dead")
	}
	if _, _, err := s.Recover([]cluster.NodeID{"a", "b", "x", "y"}); err == nil {
		t.Fatal("nobody is left")
	}
	next, loss, err := s.Recover([]cluster.NodeID{"x", "y"})
	if err != nil || loss != (Loss{Gone: 1, Doubtful: 1}) {
		t.Fatalf("%+v, %v", loss, err)
	}
	now := next.Active
	if now.Version != 10 || next.LastVersion != 10 || next.Pending != nil || len(now.Nodes) != 2 || !now.Removed["x"] || !now.Removed["y"] || s.Active.Version != 5 {
		t.Fatalf("%+v", next)
	}
	f := func(slot cluster.Slot, epoch, owned cluster.Epoch, holders ...cluster.Holder) {
		t.Helper()
		st := now.Slot(slot)
		if st.Epoch != epoch || st.Owned != owned || !slices.Equal(st.Holders, holders) {
			t.Errorf("%+v", st)
		}
	}
	f(stays, 4, 3, in("a"))
	f(heir, 4, 4, in("b"), late("a"))
	f(old, 4, 4, cluster.Holder{Node: "b", InSync: true, Admitted: 3})
	f(cluster.SlotIn(copies, 9), 3, 3, in("a"))
	for _, slot := range []cluster.Slot{gone, lost} {
		if st := now.Slot(slot); st.Epoch != 4 || st.Owned != 4 || len(st.Holders) != 1 || !st.Holders[0].InSync || st.Owner() != "a" && st.Owner() != "b" {
			t.Errorf("%+v", st)
		}
	}
	if _, err := next.Snapshot(); err != nil {
		t.Fatal(err)
	}
	if again, loss, err := next.Recover([]cluster.NodeID{"x", "y"}); err != nil || loss != (Loss{}) || len(again.Active.Nodes) != 2 {
		t.Fatalf("a second time: %+v, %v", loss, err)
	}
}
