package store

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// TestForgetInPart (R6): a holder has not heard that a DELETE is visible, so it has the object and a tombstone in doubt. Its owner
// forgets the tombstone, but that holder cannot be asked, or loses power when it has answered. Then it owns the slot.
func TestForgetInPart(t *testing.T) {
	for name, power := range map[string]bool{"cannot be asked": false, "loses power": true} {
		t.Run(name, func(t *testing.T) {
			var clock atomic.Int64
			clock.Store(int64(time.Hour))
			s := newSeveral(t, 3, 3, func(o *Options) { o.Clock = func() time.Duration { return time.Duration(clock.Load()) } })
			key := s.owned("t1", 0)
			s.put(key, []byte("old"))
			s.eventually("t3 was told of the object", func() bool {
				_, doubts := s.records("t3", key)
				return doubts == 0
			})
			s.setFault(func(_, to cluster.NodeID, message string) error {
				if to == "t3" && (message == "decide" || message == "forget" && !power) {
					return errNetwork
				}
				return nil
			})
			s.remove(key)
			s.eventually("t2 was told of the DELETE", func() bool {
				all, doubts := s.records("t2", key)
				return len(all) == 1 && doubts == 0
			})
			s.reshape(func(cluster.Slot, *cluster.SlotState) bool { return true })
			owner := s.store("t1")
			s.eventually("t1 serves under the new epoch", func() bool {
				_, epoch := s.active().Owner(s.slot(key))
				return owner.slots.serving.load(s.slot(key)) == uint64(epoch)
			})
			for range 3 {
				clock.Add(int64(owner.o.RetryWindow) + 1)
				owner.sweepOnce(context.Background())
			}
			if all, _ := s.records("t3", key); power != (len(all) == 0) {
				t.Fatalf("t3 has %d records", len(all))
			}
			if power {
				s.crash("t3")
				s.start("t3")
			}
			s.crash("t1")
			s.promote("t1", "t3")
			s.wantAbsent(key)
		})
	}
}
