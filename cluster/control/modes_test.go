package control

import (
	"strings"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// setMode changes the mode of nodes through one of them.
func setMode(t *testing.T, s *sim, mode cluster.NodeMode, nodes ...*simNode) {
	t.Helper()
	if err := trySetMode(t, s, mode, false, nodes...); err != nil {
		t.Fatal(err)
	}
}

func trySetMode(t *testing.T, s *sim, mode cluster.NodeMode, force bool, nodes ...*simNode) error {
	t.Helper()
	var ids []cluster.NodeID
	for _, n := range nodes {
		ids = append(ids, n.id)
	}
	req := cluster.RequestID("mode " + joinIDs(ids) + string(mode) + time.Now().String())
	_, err := s.leader().running().control.SetModes(t.Context(), req, ids, mode, force)
	return err
}

func refusedMode(t *testing.T, s *sim, mode cluster.NodeMode, want string, nodes ...*simNode) {
	t.Helper()
	if err := trySetMode(t, s, mode, false, nodes...); !cluster.Is(err, cluster.KindConflict) || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: %v, want a refusal with %q", mode, err, want)
	}
}

// held counts what a node holds by the newest map, and what it owns.
func (s *sim) held(n *simNode) (holds, owns int) {
	m := s.checks.newestMap()
	return m.HeldBy()[n.id], m.OwnedBy()[n.id]
}

// Three copies on three of four: one that is in maintenance owns nothing, is not replaced, and fetches what it missed.
func TestMaintenance(t *testing.T) {
	inCluster(t, 4, func(t *testing.T, s *sim) {
		id := bucket(t, s, 3)
		k := simKey{bucket: id, key: "key"}
		put(t, s, k)
		n := s.leader() // the hardest case: it leads, too
		setMode(t, s, cluster.NodeMaintenance, n)
		eventually(t, "other owners", 10*time.Second, func() bool {
			for i, m := 0, s.checks.newestMap(); i < cluster.Slots; i++ {
				if m.Slot(cluster.SlotIn(1, i)).Owner() == n.id {
					return false
				}
			}
			return true
		})
		eventually(t, "another leader", 10*time.Second, func() bool { return s.leader() != nil && s.leader() != n })
		n.stop()
		put(t, s, k)
		time.Sleep(20 * time.Second) // well beyond the repair delay
		put(t, s, k)
		m := s.checks.newestMap()
		for i := range cluster.Slots {
			if st := m.Slot(cluster.SlotIn(1, i)); len(st.Holders) > 3 {
				t.Fatalf("somebody stands in for the node in maintenance: %+v", st)
			}
		}
		if err := n.start(time.Minute); err != nil {
			t.Fatal(err)
		}
		if n, _ := s.checks.newestMap().Node(n.id); n.Mode != cluster.NodeMaintenance {
			t.Errorf("after a restart the mode is %q", n.Mode)
		}
		setMode(t, s, cluster.NodeActive, n)
		eventually(t, "the return", 30*time.Second, func() bool {
			_, owns := s.held(n)
			return s.checks.whole() && owns > 0
		})
	})
}

// Two copies of which both must be written: somebody stands in.
func TestMaintenanceKeepsMinCopies(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, s *sim) {
		k := simKey{bucket: bucket(t, s, 2), key: "key"}
		n := put(t, s, k)
		setMode(t, s, cluster.NodeShutdown, n)
		eventually(t, "the others hold it", 10*time.Second, func() bool {
			st := s.checks.newestMap().Slot(k.slot())
			return st.Owner() != n.id && len(st.Holders) == 3
		})
		n.stop()
		put(t, s, k)
		if err := n.start(time.Minute); err != nil {
			t.Fatal(err)
		}
		if n, _ := s.checks.newestMap().Node(n.id); n.Mode != cluster.NodeActive {
			t.Errorf("after the restart of a node that was shut down its mode is %q", n.Mode)
		}
		eventually(t, "the return", 30*time.Second, s.checks.whole)
	})
}

func TestModesAreRefused(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, s *sim) {
		nodes := s.all()
		bucket(t, s, 1)
		refusedMode(t, s, cluster.NodeMaintenance, "kept by nobody else", nodes[0])
		refusedMode(t, s, cluster.NodeMaintenance, "no majority", nodes[0], nodes[1])
		refusedMode(t, s, cluster.NodeDecommission, "0 targets would be left", nodes...)
		bucket(t, s, 2)
		refusedMode(t, s, cluster.NodeShutdown, "min_copies of ais://bucket-2", nodes[0], nodes[1])
		refusedMode(t, s, cluster.NodeDrained, "1 targets would be left, and bucket ais://bucket-2 keeps 2 copies", nodes[1], nodes[2])
		if err := trySetMode(t, s, cluster.NodeMaintenance, true, nodes[1]); err != nil {
			t.Errorf("forced: %v", err)
		}
		refusedMode(t, s, cluster.NodeMaintenance, "no majority", nodes[2])
		setMode(t, s, cluster.NodeActive, nodes[1])
		if err := trySetMode(t, s, cluster.NodeMaintenance, false, &simNode{id: "n9"}); !cluster.Is(err, cluster.KindInvalid) {
			t.Errorf("a node that is not there: %v", err)
		}
		eventually(t, "all as before", 10*time.Second, s.checks.whole)
	})
}

// Two of five go at once, one of which is down; what they hold is with others first.
func TestDecommission(t *testing.T) {
	inCluster(t, 5, func(t *testing.T, s *sim) {
		k := simKey{bucket: bucket(t, s, 2), key: "key"}
		put(t, s, k)
		nodes := s.all()
		down, up := nodes[3], nodes[4]
		down.crash()
		eventually(t, "the copies of the lost one", time.Minute, func() bool { put(t, s, k); return s.checks.whole() })
		refusedMode(t, s, cluster.NodeDecommission, "", nodes...)
		setMode(t, s, cluster.NodeDecommission, down, up)
		eventually(t, "both have left", time.Minute, func() bool {
			m := s.checks.newestMap()
			return m.Removed[down.id] && m.Removed[up.id]
		})
		down.leftForEver()
		up.crash()
		up.leftForEver()
		put(t, s, k)
		eventually(t, "all copies", time.Minute, s.checks.whole)
	})
}

// A node is lost for ever with the only copy of something: that is said, and done only when it is forced.
func TestLostNode(t *testing.T) {
	inCluster(t, 4, func(t *testing.T, s *sim) {
		k := simKey{bucket: bucket(t, s, 1), key: "key"}
		lost := put(t, s, k)
		lost.crash()
		time.Sleep(10 * time.Second)
		refusedMode(t, s, cluster.NodeDecommission, "slots of ais://bucket-1 are kept by nobody that answers: what is in them would be lost", lost)
		s.checks.lose(k)
		if err := trySetMode(t, s, cluster.NodeDecommission, true, lost); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the node has left", 30*time.Second, func() bool { return s.checks.newestMap().Removed[lost.id] })
		if n := put(t, s, k); n == lost {
			t.Error("the lost node owns the key")
		}
		if err := lost.start(10 * time.Second); !cluster.Is(err, cluster.KindDenied) {
			t.Errorf("the lost node comes back: %v", err)
		}
		lost.crash()
		lost.leftForEver()
		eventually(t, "all copies", 30*time.Second, s.checks.whole)
	})
}

// The setting repair.delay takes effect at once.
func TestRepairDelay(t *testing.T) {
	inCluster(t, 4, func(t *testing.T, s *sim) {
		bucket(t, s, 2)
		set := func(delay string) {
			t.Helper()
			if err := s.leader().running().control.SetSettings(t.Context(), cluster.RequestID(delay), map[string]string{"repair.delay": delay}); err != nil {
				t.Fatal(err)
			}
		}
		standIns := func() (n int) {
			m := s.checks.newestMap()
			for i := range cluster.Slots {
				if len(m.Slot(cluster.SlotIn(1, i)).Holders) > 2 {
					n++
				}
			}
			return n
		}
		set("60s")
		leader := s.leader()
		s.member(func(n *simNode) bool { return n != leader && n.roles.Has(cluster.Target) }).crash()
		time.Sleep(20 * time.Second)
		if n := standIns(); n > 0 {
			t.Errorf("%d slots have somebody who stands in after 20 s, with a delay of 60 s", n)
		}
		set("1s")
		eventually(t, "others stand in", 5*time.Second, func() bool { return standIns() > 0 })
	})
}
