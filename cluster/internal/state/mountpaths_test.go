package state

import (
	"testing"

	"github.com/aisle-store/aisle/cluster"
)

// TestLossByMirror: a disk that fails is a loss to what lies on disks; a mirror that fails, to what lies on mirrors. Each is made good
// by itself.
func TestLossByMirror(t *testing.T) {
	m := &cluster.Map{Version: 1, ClusterID: "c", Removed: map[cluster.NodeID]bool{}}
	m.AddLayout(cluster.OneCopy())
	m.AddLayout(cluster.Layout{Copies: 1, Mirror: 2})
	disk := func(id string, state cluster.MountpathState) cluster.Mountpath {
		return cluster.Mountpath{ID: cluster.MountpathID(id), Path: "/" + id, Weight: 100, State: state}
	}
	mirror := func(state cluster.MountpathState) cluster.Mountpath {
		return cluster.Mountpath{ID: "m", Weight: 100, Mirror: 2, Sides: "a,b", State: state}
	}
	m.SetNode(cluster.Node{
		ID: "t1", Roles: cluster.Target, Incarnation: 1, Weight: 100, Mountpaths: []cluster.Mountpath{disk("a", ""), disk("b", ""), mirror("")},
	})
	for i := range m.Slots {
		m.Slots[i] = cluster.SlotState{Epoch: 1, Owned: 1, Holders: []cluster.Holder{{Node: "t1", InSync: true, Admitted: 1}}}
	}
	s := &State{Active: m}
	serial := uint64(0)
	set := func(what string, lost, onDisks, onMirrors bool, all ...cluster.Mountpath) {
		t.Helper()
		serial++
		r := s.setMountpaths(SetMountpaths{Node: "t1", Incarnation: 1, Serial: serial, Mountpaths: all, Lost: lost})
		if r.Refused() {
			t.Fatalf("%s: %+v", what, r)
		}
		for layout, want := range []bool{onDisks, onMirrors} {
			slot := s.Active.Slot(cluster.SlotIn(cluster.LayoutID(layout), 5))
			if slot.Holders[0].Partial != want {
				t.Errorf("%s: partial in slots of layout %d: %t", what, layout, !want)
			}
		}
	}
	failed := cluster.MountpathFailed
	set("a disk is lost", true, true, false, disk("a", failed), disk("b", ""), mirror(""))
	set("a mirror is being emptied", false, true, false, disk("a", failed), disk("b", ""), mirror(cluster.MountpathDetaching))
	set("the mirror is lost, too", true, true, true, disk("a", failed), disk("b", ""), mirror(failed))
	set("the disk is back", false, false, true, disk("a", ""), disk("b", ""), mirror(failed))
	set("the mirror is lost no more", false, false, false, disk("a", ""), disk("b", ""), mirror(""))
	set("the mirror alone is lost", true, false, true, disk("a", ""), disk("b", ""), mirror(failed))
}

// TestTooFewDisks: a bucket that is to be on more mountpaths than a target has is refused; mirrors do not count.
func TestTooFewDisks(t *testing.T) {
	m := &cluster.Map{Version: 1}
	m.SetNode(cluster.Node{ID: "t1", Roles: cluster.Target, Weight: 100, Mountpaths: []cluster.Mountpath{{ID: "a"}, {ID: "b"}, {ID: "m", Mirror: 2}}})
	for mirror, short := range map[int]bool{0: false, 2: false, 3: true} {
		if _, got := m.TooFewDisks(cluster.Layout{Copies: 1, Mirror: mirror}); got != short {
			t.Errorf("%d: %t", mirror, got)
		}
	}
}
