package raftnode

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/aisle-store/aisle/cluster"
)

var errDisk = errors.New("input/output error")

// broken is a memory store whose operations fail when told to.
type broken struct {
	*memory
	append, vote, read atomic.Bool
}

func (b *broken) StoreLogs(logs []*raft.Log) error {
	if b.append.Load() {
		return errDisk
	}
	return b.memory.StoreLogs(logs)
}

func (b *broken) SetUint64(key []byte, value uint64) error {
	if b.vote.Load() {
		return errDisk
	}
	return b.memory.SetUint64(key, value)
}

func (b *broken) GetLog(index uint64, log *raft.Log) error {
	if b.read.Load() {
		return errDisk
	}
	return b.memory.GetLog(index, log)
}

func openBroken(d *MemoryDisk) (*Stores, *broken) {
	s := d.Open()
	b := &broken{memory: s.logs.(*memory)}
	s.logs, s.stable = b, b
	return s, b
}

// nothing is a state machine without a state.
type nothing struct{ applied atomic.Int64 }

func (n *nothing) Apply(uint64, []byte) any  { n.applied.Add(1); return nil }
func (n *nothing) Snapshot() ([]byte, error) { return nil, nil }
func (n *nothing) Restore([]byte) error      { return nil }

// pair is a leader and a follower, both voters, each with a store that can break.
type pair struct {
	leader, follower           *Engine
	leaderStore, followerStore *broken
}

func withPair(t *testing.T, f func(t *testing.T, p *pair)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork(1)
		start := func(id cluster.NodeID) (*Engine, *broken) {
			s, b := openBroken(NewMemoryDisk())
			e, err := Start(Options{ID: id, FSM: &nothing{}, Stores: s, Link: n.Link(id)})
			if err != nil {
				t.Fatal(err)
			}
			return e, b
		}
		p := &pair{}
		p.leader, p.leaderStore = start("a")
		p.follower, p.followerStore = start("b")
		defer func() { p.leader.Stop(); p.follower.Stop() }()
		if err := p.leader.Bootstrap(t.Context()); err != nil {
			t.Fatal(err)
		}
		for !p.leader.IsLeader() {
			time.Sleep(10 * time.Millisecond)
		}
		if err := p.leader.AddVoter(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		f(t, p)
	})
}

// wantFatal waits for the engine to give up for the store's sake.
func wantFatal(t *testing.T, e *Engine, what string) {
	t.Helper()
	select {
	case err := <-e.Fatal():
		if !errors.Is(err, errDisk) || !strings.Contains(err.Error(), what) {
			t.Fatalf("gave up with %v, want %q", err, what)
		}
	case <-time.After(time.Minute):
		t.Fatal("goes on with a broken store")
	}
}

func TestLeaderCannotAppend(t *testing.T) {
	withPair(t, func(t *testing.T, p *pair) {
		p.leaderStore.append.Store(true)
		_, _, err := p.leader.Propose(t.Context(), []byte("x"))
		if !errors.Is(err, ErrUncertain) || !cluster.Is(err, cluster.KindUnavailable) {
			t.Fatalf("got %v", err)
		}
		wantFatal(t, p.leader, "append")
		p.leaderStore.append.Store(false)
		if _, _, err := p.leader.Propose(t.Context(), []byte("y")); err == nil {
			t.Fatal("goes on after a failed append")
		}
	})
}

func TestFollowerCannotAppend(t *testing.T) {
	withPair(t, func(t *testing.T, p *pair) {
		p.followerStore.append.Store(true)
		if _, _, err := p.leader.Propose(t.Context(), []byte("x")); !errors.Is(err, ErrUncertain) {
			t.Fatalf("committed without a quorum, or %v", err)
		}
		wantFatal(t, p.follower, "append")
	})
}

// TestCannotStoreTerm breaks the store of a follower that is about to stand for election, where raft alone would panic.
func TestCannotStoreTerm(t *testing.T) {
	withPair(t, func(t *testing.T, p *pair) {
		p.followerStore.vote.Store(true)
		p.leader.TransferLeadership(t.Context(), "b")
		wantFatal(t, p.follower, "store its term")
		if p.follower.IsLeader() {
			t.Fatal("a member without a store leads")
		}
	})
}

// TestCannotReadLog breaks the store of a follower that has to apply what it stored.
func TestCannotReadLog(t *testing.T) {
	withPair(t, func(t *testing.T, p *pair) {
		p.followerStore.read.Store(true)
		p.leader.Propose(t.Context(), []byte("x"))
		wantFatal(t, p.follower, "read its log")
	})
}

func TestStartOnBrokenStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := openBroken(NewMemoryDisk())
		b.vote.Store(true)
		e, err := Start(Options{ID: "a", FSM: &nothing{}, Stores: s, Link: NewNetwork(1).Link("a")})
		if err == nil {
			e.Stop()
			t.Fatal("started without a store")
		}
		if !strings.Contains(err.Error(), errDisk.Error()) {
			t.Fatalf("got %v", err)
		}
	})
}
