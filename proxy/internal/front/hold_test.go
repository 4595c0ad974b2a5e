package front

import (
	"testing"

	"github.com/aisle-store/aisle/cluster"
)

// TestHeirs: a request is worth holding where somebody can take over from an owner that does not answer.
func TestHeirs(t *testing.T) {
	m := &cluster.Map{Version: 1}
	m.AddLayout(cluster.OneCopy())
	m.AddLayout(cluster.Layout{Copies: 2})
	at := func(layout cluster.LayoutID, in int, holders ...cluster.Holder) place {
		p := place{slot: cluster.SlotIn(layout, in)}
		p.bucket.ID = cluster.NewBucketID(layout, 7)
		m.Slots[p.slot] = cluster.SlotState{Epoch: 1, Holders: holders}
		if len(holders) > 0 {
			p.owner = holders[0].Node
		}
		return p
	}
	owner, other, behind := cluster.Holder{Node: "t1", InSync: true}, cluster.Holder{Node: "t2", InSync: true}, cluster.Holder{Node: "t2"}
	for i, c := range []struct {
		at   place
		want bool
	}{
		{at(0, 0, owner), false},
		{at(1, 0, owner, other), true},
		{at(1, 1, owner, behind), false},
		{at(1, 2, owner), false},
		{at(0, 3), false}, // a list
		{at(1, 3), true},
	} {
		if got := hasHeirs(m, c.at); got != c.want {
			t.Errorf("case %d: %v", i, got)
		}
	}
}
