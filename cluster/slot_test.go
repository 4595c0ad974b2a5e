package cluster

import (
	"fmt"
	"math"
	"testing"
)

func targets(n int) []Node {
	nodes := make([]Node, n)
	for i := range nodes {
		nodes[i] = Node{ID: NodeID(fmt.Sprintf("node-%d", i)), Roles: Target, Weight: 100}
	}
	return nodes
}

// The hash of a key to its slot is part of the format on disk: it must never change.
func TestSlotOfIsFixed(t *testing.T) {
	f := func(bucket BucketID, key ObjectKey, want Slot) {
		t.Helper()
		if got := SlotOf(bucket, key); got != want {
			t.Errorf("SlotOf(%d, %q) = %d, want %d", bucket, key, got, want)
		}
	}
	f(1, "a", 4884)
	f(2, "a", 14885)
	f(1, "dir/object.bin", 12396)
	f(1<<40, "\x00\xff", 9577)
}

func TestSlotsAreUniform(t *testing.T) {
	const keys = 1 << 18
	var counts [Slots]int
	for i := range keys {
		counts[SlotOf(7, ObjectKey(fmt.Sprintf("prefix/%d", i)))]++
	}
	mean := float64(keys) / Slots
	var chi float64
	for _, c := range counts {
		chi += (float64(c) - mean) * (float64(c) - mean) / mean
	}
	// Chi-squared with 16,383 degrees of freedom: mean 16,383, deviation 181. Six deviations are a broken hash.
	if math.Abs(chi-(Slots-1)) > 6*math.Sqrt(2*(Slots-1)) {
		t.Errorf("chi-squared %.0f is too far from %d", chi, Slots-1)
	}
}

func TestRankTargetsMovesOnlyToTheJoiner(t *testing.T) {
	three, four := targets(3), targets(4)
	moved := 0
	for s := range Slot(Slots) {
		before, after := RankTargets(s, three)[0], RankTargets(s, four)[0]
		if before == after {
			continue
		}
		if after != "node-3" {
			t.Fatalf("slot %d moved from %s to %s, which did not join", s, before, after)
		}
		moved++
	}
	if share := float64(moved) / Slots; share < 0.23 || share > 0.27 {
		t.Errorf("%.1f %% of the slots moved, want about 25 %%", 100*share)
	}
}

func TestRankTargetsFollowsWeights(t *testing.T) {
	nodes := targets(2)
	nodes[1].Weight = 300
	heavy := 0
	for s := range Slot(Slots) {
		if RankTargets(s, nodes)[0] == "node-1" {
			heavy++
		}
	}
	if share := float64(heavy) / Slots; share < 0.73 || share > 0.77 {
		t.Errorf("the target of three quarters of the weight has %.1f %% of the slots", 100*share)
	}
	nodes[0].Weight = 0
	if ids := RankTargets(0, nodes); len(ids) != 1 || ids[0] != "node-1" {
		t.Errorf("a target without weight is ranked: %v", ids)
	}
}

func TestRankTargetsSpreadsOverZones(t *testing.T) {
	nodes := targets(6)
	for i := range nodes {
		nodes[i].Zone = fmt.Sprintf("zone-%d", i/2)
	}
	zone := map[NodeID]string{}
	for _, n := range nodes {
		zone[n.ID] = n.Zone
	}
	for s := range Slot(256) {
		seen := map[string]bool{}
		for _, id := range RankTargets(s, nodes)[:3] {
			seen[zone[id]] = true
		}
		if len(seen) != 3 {
			t.Fatalf("slot %d: the first three targets share a zone", s)
		}
	}
}

func TestPlaceMountpath(t *testing.T) {
	mountpaths := []Mountpath{{ID: "m1", Weight: 1}, {ID: "m2", Weight: 1}, {ID: "m3", Weight: 2}}
	counts := make([]int, 3)
	const keys = 40000
	for i := range keys {
		counts[PlaceMountpath(1, ObjectKey(fmt.Sprint(i)), mountpaths)]++
	}
	for i, want := range []float64{0.25, 0.25, 0.5} {
		if share := float64(counts[i]) / keys; math.Abs(share-want) > 0.02 {
			t.Errorf("mountpath %d has %.3f of the keys, want %.2f", i, share, want)
		}
	}
	if got := PlaceMountpath(1, "k", []Mountpath{{ID: "m1"}}); got != -1 {
		t.Errorf("a mountpath without weight was chosen: %d", got)
	}
}
