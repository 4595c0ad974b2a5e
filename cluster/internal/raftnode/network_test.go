package raftnode_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/internal/raftnode"
)

func TestNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := raftnode.NewNetwork(1)
		// f sends a message that is given a second, and demands to know when it arrives, or that it does not.
		f := func(from, to cluster.NodeID, want time.Duration, arrives bool) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			err := n.Pass(ctx, from, to)
			if took := time.Since(began); took != want || arrives != (err == nil) {
				t.Fatalf("%s to %s: after %v: %v", from, to, took, err)
			}
			if err != nil && !errors.Is(err, raftnode.ErrUnreachable) {
				t.Fatalf("%s to %s: %v", from, to, err)
			}
		}
		f("a", "b", 0, true)
		n.DelayAll(3*time.Millisecond, 3*time.Millisecond)
		n.Delay("a", "b", time.Millisecond, time.Millisecond)
		f("a", "b", time.Millisecond, true)
		f("b", "a", 3*time.Millisecond, true)
		n.Cut("a", "b")
		f("a", "b", time.Second, false)
		f("b", "a", 3*time.Millisecond, true)
		n.Heal("a", "b")
		f("a", "b", time.Millisecond, true)
		n.Partition([]cluster.NodeID{"a"}, []cluster.NodeID{"b", "c"})
		f("a", "c", time.Second, false)
		f("c", "a", time.Second, false)
		f("b", "c", 3*time.Millisecond, true)
		n.HealAll()
		n.Pause("c")
		f("a", "c", time.Second, false)
		f("c", "a", time.Second, false)
		time.AfterFunc(300*time.Millisecond, func() { n.Resume("c") })
		f("a", "c", 300*time.Millisecond, true)
	})
}
