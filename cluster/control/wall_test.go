package control

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// TestWallClockOfCluster: the cluster's wall clock is what most nodes show; of two that differ neither is believed, and in the first
// moments of a term nothing is said.
func TestWallClockOfCluster(t *testing.T) {
	const at, year = int64(1_900_000_000_000_000_000), int64(365 * 24 * time.Hour)
	for _, c := range []struct {
		name  string
		walls []int64 // of the nodes that have renewed
		nodes int     // in the map
		want  int64
	}{
		{"alone", []int64{at + year}, 1, at + year},
		{"nobody told", nil, 3, 0},
		{"one is ahead", []int64{at + year, at, at + 2}, 3, at + 2},
		{"one is behind", []int64{at - year, at, at + 2}, 3, at},
		{"four, one is ahead", []int64{at, at + year, at, at + 2}, 4, at + 1},
		{"two differ", []int64{at, at + year}, 2, at + year/2},
		{"others are away", []int64{at, at + 4}, 7, at + 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &cluster.Map{Version: 1}
			for i := range c.nodes {
				m.SetNode(cluster.Node{ID: cluster.NodeID(rune('a' + i)), Incarnation: 1})
			}
			l := aloneTerm(m, nil)
			for i, w := range c.walls {
				now := l.clock.Now()
				l.note(process{cluster.NodeID(rune('a' + i)), 1}, renewal{Wall: w + int64(now)})
				l.mu.holders[process{cluster.NodeID(rune('a' + i)), 1}].wall = w // as if all came at once
			}
			l.note(process{"stranger", 1}, renewal{Wall: 1})
			if got := l.wallClock(l.View(), 5); got != 0 {
				t.Errorf("%d before a lease has passed", got)
			}
			if want := c.want + int64(time.Hour); c.want != 0 && l.wallClock(l.View(), time.Hour) != want {
				t.Errorf("%d, want %d", l.wallClock(l.View(), time.Hour), want)
			} else if c.want == 0 && l.wallClock(l.View(), time.Hour) != 0 {
				t.Error("a time of nobody")
			}
		})
	}
}

// TestWrongWallClock: a node whose wall clock is days ahead knows it, also when it leads, and when it was set after the node had
// begun; the others go on.
func TestWrongWallClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(1, flaw{})
		defer s.shutDown()
		if !s.form(3) {
			t.Fatal(s.checks.found())
		}
		time.Sleep(5 * time.Second)
		for _, wrong := range s.all() {
			for _, n := range s.all() {
				if err := n.running().control.CheckWall(); err != nil {
					t.Errorf("%s: %v", n.id, err)
				}
			}
			c := wrong.running().control
			wrong.clock.set(40 * time.Hour)
			if err := c.CheckWall(); !cluster.Is(err, cluster.KindUnavailable) {
				t.Errorf("%s believes its clock when it was set: %v", wrong.id, err)
			}
			time.Sleep(5 * time.Second)
			for _, n := range s.all() {
				if err := n.running().control.CheckWall(); (err != nil) != (n == wrong) {
					t.Errorf("%s is wrong, %s says %v", wrong.id, n.id, err)
				}
			}
			wrong.clock.set(0)
			time.Sleep(5 * time.Second)
		}
	})
}
