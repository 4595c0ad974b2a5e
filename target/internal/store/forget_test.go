package store

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// TestForgetWhileCatchingUp: what may be forgotten only when all holders have it is not remembered while one of them catches up, and
// goes when that is in sync, also in the epoch that it is of.
func TestForgetWhileCatchingUp(t *testing.T) {
	var now atomic.Int64
	now.Store(int64(time.Hour))
	s := newSeveral(t, 3, 3, func(o *Options) {
		o.Clock = func() time.Duration { return time.Duration(now.Load()) }
		o.Sweep = time.Hour // by hand
	})
	s.setFault(func(_, _ cluster.NodeID, m string) error {
		if m == "pull" {
			return errNetwork
		}
		return nil
	})
	s.reshape(func(_ cluster.Slot, st *cluster.SlotState) bool {
		for i, h := range st.Holders {
			if i > 0 && h.Node == "t3" {
				st.Holders[i] = cluster.Holder{Node: "t3"}
				return true
			}
		}
		return false
	})
	key := s.owned("t1", 0)
	for i := range 20 {
		s.put(key, fmt.Append(nil, i))
	}
	owner := s.store("t1")
	pass := func() {
		now.Add(int64(owner.o.RetryWindow + time.Second))
		owner.sweepOnce(context.Background())
	}
	pass()
	pass()
	owner.sweeper.mu.Lock()
	due := len(owner.sweeper.due)
	owner.sweeper.mu.Unlock()
	if due > 0 || s.countKind("t1", meta.Replaced) != 19 {
		t.Fatalf("%d records wait in memory, %d are kept", due, s.countKind("t1", meta.Replaced))
	}
	epoch := s.active().Slot(s.slot(key)).Epoch
	s.setFault(nil)
	s.eventually("t3 is in sync", func() bool {
		h, _ := s.active().Slot(s.slot(key)).Holder("t3")
		return h.InSync
	})
	if s.active().Slot(s.slot(key)).Epoch != epoch {
		t.Fatal("the epoch is another one")
	}
	s.eventually("the replaced requests are gone", func() bool { // when all have applied the map
		pass()
		left := 0
		for _, id := range nodeIDs {
			left += s.countKind(id, meta.Replaced)
		}
		return left == 0
	})
	if got := s.get(key); string(got) != "19" {
		t.Fatalf("%q", got)
	}
}

// countKind counts the records of a kind that a node has.
func (s *several) countKind(id cluster.NodeID, kind meta.Kind) (n int) {
	s.t.Helper()
	for _, m := range s.store(id).mounted() {
		for _, err := range m.index.Scan(context.Background(), meta.Range{Kind: kind, AllBuckets: true}).All() {
			if err != nil {
				s.t.Fatal(err)
			}
			n++
		}
	}
	return n
}
