package raftnode_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/internal/raftnode"
)

// journal is a state machine that remembers its commands.
type journal struct {
	mu      sync.Mutex
	entries []string
	gate    chan struct{} // when set, Apply waits for it
}

func (j *journal) Apply(index uint64, data []byte) any {
	if j.gate != nil {
		<-j.gate
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if string(data) == "from the future" {
		return raftnode.Halt{Err: errors.New("command version 9 is unknown to this build")}
	}
	j.entries = append(j.entries, string(data))
	return len(j.entries)
}

func (j *journal) Snapshot() ([]byte, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return json.Marshal(j.entries)
}

func (j *journal) Restore(data []byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = nil
	return json.Unmarshal(data, &j.entries)
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.entries)
}

// member is one simulated node.
type member struct {
	id      cluster.NodeID
	disk    *raftnode.MemoryDisk
	journal *journal
	*raftnode.Engine
}

// simulation is a cluster on a simulated network.
type simulation struct {
	t       *testing.T
	net     *raftnode.Network
	members []*member
}

func (s *simulation) start(m *member) {
	s.t.Helper()
	m.journal = &journal{}
	e, err := raftnode.Start(raftnode.Options{
		ID: m.id, FSM: m.journal, Stores: m.disk.Open(), Link: s.net.Link(m.id),
		Retention: raftnode.Retention{Interval: time.Hour, Threshold: 1 << 20, Trailing: 4},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	m.Engine = e
}

// newSimulation starts n members; the first three are voters.
func newSimulation(t *testing.T, n int) *simulation {
	t.Helper()
	s := &simulation{t: t, net: raftnode.NewNetwork(1)}
	s.net.DelayAll(time.Millisecond, 3*time.Millisecond)
	for i := range n {
		m := &member{id: cluster.NodeID(fmt.Sprintf("n%d", i+1)), disk: raftnode.NewMemoryDisk()}
		s.members = append(s.members, m)
		s.start(m)
	}
	ctx := t.Context()
	first := s.members[0]
	if err := first.Bootstrap(ctx); err != nil {
		t.Fatal(err)
	}
	s.leader()
	for i, m := range s.members[1:] {
		if err := first.AddNonvoter(ctx, m.id); err != nil {
			t.Fatal(err)
		}
		if i >= 2 {
			continue
		}
		s.until("caught up", func() bool {
			return slices.ContainsFunc(first.Members(), func(x raftnode.Member) bool { return x.ID == m.id && x.CaughtUp })
		})
		if err := first.AddVoter(ctx, m.id); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *simulation) stop() {
	for _, m := range s.members {
		if err := m.Stop(); err != nil {
			s.t.Error(err)
		}
	}
}

// until waits for at most a minute of simulated time.
func (s *simulation) until(what string, ok func() bool) {
	s.t.Helper()
	for range 6000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatalf("not in a minute: %s", what)
}

// leader waits for a member that leads and can prove it.
func (s *simulation) leader() *member {
	s.t.Helper()
	var found *member
	s.until("a leader", func() bool {
		for _, m := range s.members {
			if m.IsLeader() && m.VerifyLeader(s.t.Context()) == nil {
				found = m
				return true
			}
		}
		return false
	})
	return found
}

func (s *simulation) others(m *member) (ids []cluster.NodeID, rest []*member) {
	for _, o := range s.members {
		if o != m {
			ids, rest = append(ids, o.id), append(rest, o)
		}
	}
	return ids, rest
}

func (s *simulation) propose(m *member, command string) uint64 {
	s.t.Helper()
	_, index, err := m.Propose(s.t.Context(), []byte(command))
	if err != nil {
		s.t.Fatal(err)
	}
	return index
}

func (s *simulation) converged(want ...string) {
	s.t.Helper()
	s.until(fmt.Sprint("everybody has ", want), func() bool {
		return !slices.ContainsFunc(s.members, func(m *member) bool { return !slices.Equal(m.journal.all(), want) })
	})
}

// simulate runs a scenario in a bubble, which fails when a goroutine is left.
func simulate(t *testing.T, n int, f func(t *testing.T, s *simulation)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newSimulation(t, n)
		defer s.stop()
		f(t, s)
	})
}

func TestLeaderLoss(t *testing.T) {
	simulate(t, 5, func(t *testing.T, s *simulation) {
		old := s.leader()
		s.propose(old, "a")
		s.converged("a")
		old.Crash()
		leader := s.leader()
		if leader == old {
			t.Fatal("a crashed member leads")
		}
		s.propose(leader, "b")
		s.start(old)
		s.converged("a", "b")
	})
}

func TestFollowerRefuses(t *testing.T) {
	simulate(t, 3, func(t *testing.T, s *simulation) {
		leader := s.leader()
		_, rest := s.others(leader)
		_, _, err := rest[0].Propose(t.Context(), []byte("a"))
		var not *raftnode.NotLeaderError
		if !errors.As(err, &not) || not.Leader != leader.id || !cluster.Is(err, cluster.KindUnavailable) {
			t.Fatalf("got %v, want a NotLeaderError that names %s", err, leader.id)
		}
	})
}

func TestPartitionedLeader(t *testing.T) {
	simulate(t, 3, func(t *testing.T, s *simulation) {
		old := s.leader()
		ids, _ := s.others(old)
		s.net.Partition([]cluster.NodeID{old.id}, ids)
		_, _, err := old.Propose(t.Context(), []byte("lost"))
		if !errors.Is(err, raftnode.ErrUncertain) {
			t.Fatalf("got %v, want ErrUncertain", err)
		}
		leader := s.leader()
		s.propose(leader, "kept")
		s.net.HealAll()
		s.converged("kept")
	})
}

func TestContextBoundsPropose(t *testing.T) {
	simulate(t, 3, func(t *testing.T, s *simulation) {
		leader := s.leader()
		ids, _ := s.others(leader)
		s.net.Partition([]cluster.NodeID{leader.id}, ids)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		began := time.Now()
		_, _, err := leader.Propose(ctx, []byte("late"))
		if !errors.Is(err, raftnode.ErrUncertain) || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
		if took := time.Since(began); took != 100*time.Millisecond {
			t.Fatalf("took %v", took)
		}
	})
}

// TestOneWayCut cuts what the leader sends and leaves what it hears: it must step down, and the others go on.
func TestOneWayCut(t *testing.T) {
	simulate(t, 3, func(t *testing.T, s *simulation) {
		old := s.leader()
		ids, _ := s.others(old)
		for _, id := range ids {
			s.net.Cut(old.id, id)
		}
		s.until("another leader", func() bool { return s.leader() != old })
		s.propose(s.leader(), "a")
		s.net.HealAll()
		s.converged("a")
	})
}

// TestPausedFollower holds a follower's messages for a minute; they arrive late and do no harm.
func TestPausedFollower(t *testing.T) {
	simulate(t, 3, func(t *testing.T, s *simulation) {
		leader := s.leader()
		_, rest := s.others(leader)
		s.net.Pause(rest[0].id)
		s.propose(leader, "a")
		time.Sleep(time.Minute)
		s.propose(s.leader(), "b")
		s.net.Resume(rest[0].id)
		s.converged("a", "b")
	})
}

func TestRestartOfAll(t *testing.T) {
	simulate(t, 3, func(t *testing.T, s *simulation) {
		for i := range 20 {
			s.propose(s.leader(), fmt.Sprint(i))
		}
		want := s.members[0].journal.all()
		for _, m := range s.members {
			m.Crash()
		}
		for _, m := range slices.Backward(s.members) {
			s.start(m)
			if !m.Bootstrapped() {
				t.Fatalf("%s forgot that it is a member", m.id)
			}
		}
		leader := s.leader()
		if err := leader.Barrier(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.converged(want...)
	})
}

// TestSnapshotReachesJoiner compacts the log away, then adds a member, which can only be brought up by the snapshot.
func TestSnapshotReachesJoiner(t *testing.T) {
	simulate(t, 3, func(t *testing.T, s *simulation) {
		leader := s.leader()
		var want []string
		for i := range 50 {
			s.propose(leader, fmt.Sprint(i))
			want = append(want, fmt.Sprint(i))
		}
		if err := leader.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
		joiner := &member{id: "n4", disk: raftnode.NewMemoryDisk()}
		s.start(joiner)
		s.members = append(s.members, joiner)
		if err := leader.AddNonvoter(t.Context(), joiner.id); err != nil {
			t.Fatal(err)
		}
		s.converged(want...)
		if joiner.AppliedIndex() != leader.AppliedIndex() {
			t.Fatalf("joiner applied %d, leader %d", joiner.AppliedIndex(), leader.AppliedIndex())
		}
		joiner.Crash()
		s.start(joiner)
		s.converged(want...)
	})
}

func TestMembers(t *testing.T) {
	simulate(t, 4, func(t *testing.T, s *simulation) {
		leader := s.leader()
		s.propose(leader, "a")
		s.until("all caught up", func() bool {
			return !slices.ContainsFunc(leader.Members(), func(m raftnode.Member) bool { return !m.CaughtUp })
		})
		got := leader.Members()
		if len(got) != 4 || got[3].Voter || !got[0].Voter {
			t.Fatalf("members: %+v", got)
		}
		last := s.members[3]
		last.Crash()
		time.Sleep(5 * time.Second)
		if m := leader.Members()[3]; m.CaughtUp || m.LastContact < 4*time.Second {
			t.Fatalf("a member that is down: %+v", m)
		}
		ctx := t.Context()
		if err := leader.Demote(ctx, s.members[2].id); err != nil {
			t.Fatal(err)
		}
		if err := leader.Remove(ctx, last.id); err != nil {
			t.Fatal(err)
		}
		if got := leader.Members(); len(got) != 3 || got[2].Voter {
			t.Fatalf("members: %+v", got)
		}
	})
}

func TestTransferLeadership(t *testing.T) {
	simulate(t, 3, func(t *testing.T, s *simulation) {
		old := s.leader()
		_, rest := s.others(old)
		if err := old.TransferLeadership(t.Context(), rest[1].id); err != nil {
			t.Fatal(err)
		}
		if got := s.leader(); got != rest[1] {
			t.Fatalf("%s leads, want %s", got.id, rest[1].id)
		}
		if err := rest[1].TransferLeadership(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		if s.leader() == rest[1] {
			t.Fatal("still leads")
		}
	})
}

func TestLeadershipChannel(t *testing.T) {
	simulate(t, 3, func(t *testing.T, s *simulation) {
		old := s.leader()
		_, rest := s.others(old)
		old.Crash()
		var last raftnode.Leadership
		for l := range old.Leadership() {
			last = l
		}
		if last.Term == 0 {
			t.Fatalf("latest leadership: %+v", last)
		}
		leader := s.leader()
		for _, m := range rest {
			s.until("the channel tells", func() bool {
				select {
				case last = <-m.Leadership():
				default:
				}
				return last.Leader == leader.id && last.Leading == (m == leader) && last.Term == leader.Term()
			})
		}
		s.start(old)
	})
}

// TestHalt stops the members that meet a command they do not know; nothing after it is applied, and a build that knows
// the command could go on from the log.
func TestHalt(t *testing.T) {
	simulate(t, 3, func(t *testing.T, s *simulation) {
		leader := s.leader()
		s.propose(leader, "a")
		s.converged("a")
		_, _, err := leader.Propose(t.Context(), []byte("from the future"))
		if !errors.As(err, new(raftnode.Halt)) {
			t.Fatalf("got %v, want a Halt", err)
		}
		if err := <-leader.Fatal(); !errors.As(err, new(raftnode.Halt)) {
			t.Fatalf("fatal: %v", err)
		}
		if _, _, err = leader.Propose(t.Context(), []byte("b")); err == nil {
			t.Fatal("a halted member took a command")
		}
		if got := leader.journal.all(); !slices.Equal(got, []string{"a"}) {
			t.Fatalf("applied %v", got)
		}
	})
}

func TestStopAnswersEveryCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulation(t, 3)
		leader := s.leader()
		ids, _ := s.others(leader)
		s.net.Partition([]cluster.NodeID{leader.id}, ids)
		var calls sync.WaitGroup
		for range 20 {
			calls.Go(func() {
				_, _, err := leader.Propose(t.Context(), []byte("x"))
				if err == nil {
					t.Error("a leader without a quorum committed")
				}
			})
			calls.Go(func() { leader.VerifyLeader(t.Context()) })
			calls.Go(func() { leader.Barrier(t.Context()) })
			calls.Go(func() { leader.AddNonvoter(t.Context(), "n9") })
			calls.Go(func() { leader.TransferLeadership(t.Context(), ids[0]) })
		}
		time.Sleep(time.Millisecond)
		s.stop()
		calls.Wait()
		if err := leader.VerifyLeader(t.Context()); !errors.Is(err, raftnode.ErrStopped) {
			t.Fatalf("after Stop: %v", err)
		}
	})
}
