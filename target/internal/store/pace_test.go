package store

import (
	"testing"

	"github.com/aisle-store/aisle/cluster"
)

// TestEndangeredFirst: a holder that catches up begins with the slots that cannot stand another loss, and owner and joiner know
// the same ones.
func TestEndangeredFirst(t *testing.T) {
	m := &cluster.Map{}
	m.AddLayout(cluster.Layout{Copies: 2})
	m.AddLayout(cluster.Layout{Copies: 3})
	m.AddLayout(cluster.OneCopy())
	in, out := func(id cluster.NodeID) cluster.Holder { return cluster.Holder{Node: id, InSync: true} }, func(id cluster.NodeID) cluster.Holder { return cluster.Holder{Node: id} }
	set := func(layout cluster.LayoutID, i int, holders ...cluster.Holder) {
		m.Slots[cluster.SlotIn(layout, i)] = cluster.SlotState{Epoch: 7, Holders: holders}
	}
	set(0, 1, in("a"), out("n"))          // the only copy
	set(0, 2, in("a"), in("b"), out("n")) // n is to have it, too
	set(1, 1, in("a"), in("b"), out("n"))
	set(1, 2, in("a"), out("b"), out("n")) // the only copy
	set(2, 1, in("a"), out("n"))           // one is all there is to be
	set(0, 3, in("b"), in("a"), out("n"))
	f := func(owner cluster.NodeID, only func(cluster.Layout, []cluster.Holder) bool, want ...cluster.Slot) {
		t.Helper()
		if got, _ := catchUpSlots(m, "n", owner, only); !got.Equal(cluster.SetOf(want...)) {
			t.Errorf("slots of %s: %v, want %v", owner, got, want)
		}
	}
	f("a", endangered, cluster.SlotIn(0, 1), cluster.SlotIn(1, 2))
	f("a", anySlot, cluster.SlotIn(0, 1), cluster.SlotIn(0, 2), cluster.SlotIn(1, 1), cluster.SlotIn(1, 2), cluster.SlotIn(2, 1))
	f("b", endangered)
}
