package raftnode

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/aisle-store/aisle/cluster"
)

// Member is one member of the replicated configuration. What it says of progress is known to the leader only.
type Member struct {
	ID    cluster.NodeID
	Voter bool
	// LastContact is how long ago the member last answered this leader, negative when it never did. It is zero for the
	// leader itself.
	LastContact time.Duration
	// LastIndex is the last index of the member's log at that time.
	LastIndex uint64
	// CaughtUp says that the member answered within a heartbeat timeout and that its log then reached the leader's commit
	// index, give or take what one message carries. Only such a member should be promoted.
	CaughtUp bool
}

// caughtUpSlack is how many committed entries a follower that keeps pace may lack at any moment.
const caughtUpSlack = 64

// Members returns the latest configuration in the order of the log, which may not yet be committed.
func (e *Engine) Members() []Member {
	servers := e.raft.GetConfiguration().Configuration().Servers
	leading := e.IsLeader()
	members := make([]Member, 0, len(servers))
	for _, s := range servers {
		m := Member{ID: cluster.NodeID(s.ID), Voter: s.Suffrage == raft.Voter, LastContact: -1}
		switch {
		case m.ID == e.id:
			m.LastContact, m.LastIndex, m.CaughtUp = e.LastContact(), e.LastIndex(), leading
		case leading:
			e.peers.describe(&m, e.timing.Heartbeat)
		}
		members = append(members, m)
	}
	return members
}

// AddVoter adds a voter, or promotes a non-voter. A voter that is down or far behind can cost the cluster its quorum: add
// as a non-voter first and wait for CaughtUp. It returns when the change is committed.
func (e *Engine) AddVoter(ctx context.Context, id cluster.NodeID) error {
	return e.change(ctx, "raftnode.AddVoter", id, func(t time.Duration) raft.Future {
		return e.raft.AddVoter(raft.ServerID(id), raft.ServerAddress(id), 0, t)
	})
}

// AddNonvoter adds a member that gets the log but has no vote. A voter stays a voter.
func (e *Engine) AddNonvoter(ctx context.Context, id cluster.NodeID) error {
	return e.change(ctx, "raftnode.AddNonvoter", id, func(t time.Duration) raft.Future {
		return e.raft.AddNonvoter(raft.ServerID(id), raft.ServerAddress(id), 0, t)
	})
}

// Demote takes a member's vote. Without a vote it does nothing.
func (e *Engine) Demote(ctx context.Context, id cluster.NodeID) error {
	return e.change(ctx, "raftnode.Demote", id, func(t time.Duration) raft.Future {
		return e.raft.DemoteVoter(raft.ServerID(id), 0, t)
	})
}

// Remove takes a member out. A leader that removes itself steps down.
func (e *Engine) Remove(ctx context.Context, id cluster.NodeID) error {
	return e.change(ctx, "raftnode.Remove", id, func(t time.Duration) raft.Future {
		return e.raft.RemoveServer(raft.ServerID(id), 0, t)
	})
}

func (e *Engine) change(ctx context.Context, op string, id cluster.NodeID, enqueue func(time.Duration) raft.Future) error {
	_, err := e.call(ctx, enqueue)
	if err = e.fail(op, err); err != nil {
		return cluster.E(op, string(id), cluster.KindOf(err), errors.Unwrap(err))
	}
	return nil
}

// TransferLeadership hands leadership to a voter, or to the most advanced one when the name is empty, and returns when
// this member no longer leads.
func (e *Engine) TransferLeadership(ctx context.Context, to cluster.NodeID) error {
	const op = "raftnode.TransferLeadership"
	_, err := e.call(ctx, func(time.Duration) raft.Future {
		if to == "" {
			return e.raft.LeadershipTransfer()
		}
		return e.raft.LeadershipTransferToServer(raft.ServerID(to), raft.ServerAddress(to))
	})
	return e.fail(op, err)
}

// peers stands between raft and its transport and notes what each follower answers, since raft does not tell. Heartbeats
// pass through it at least ten times in a heartbeat timeout.
type peers struct {
	*transport
	commitIndex func() uint64
	opened      func() // called when raft has read its stores and is about to run
	mu          struct {
		sync.Mutex
		started bool
		seen    map[raft.ServerID]sighting
	}
}

// sighting is the last answer of one follower.
type sighting struct {
	at       time.Time
	last     uint64
	caughtUp bool
}

func newPeers(t *transport, commitIndex func() uint64, opened func()) *peers {
	p := &peers{transport: t, commitIndex: commitIndex, opened: opened}
	p.mu.seen = make(map[raft.ServerID]sighting)
	return p
}

// start lets the notes begin; before it there is no raft to ask for a commit index.
func (p *peers) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.started = true
}

// SetHeartbeatHandler implements raft.Transport. Raft calls it last before it starts its goroutines.
func (p *peers) SetHeartbeatHandler(handle func(raft.RPC)) {
	p.opened()
	p.transport.SetHeartbeatHandler(handle)
}

// AppendEntries implements raft.Transport.
func (p *peers) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	err := p.transport.AppendEntries(id, target, args, resp)
	if err == nil && resp.Term <= args.Term {
		p.note(id, resp.LastLog)
	}
	return err
}

func (p *peers) note(id raft.ServerID, last uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.started {
		p.mu.seen[id] = sighting{at: time.Now(), last: last, caughtUp: last+caughtUpSlack >= p.commitIndex() && last > 0}
	}
}

func (p *peers) describe(m *Member, fresh time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.mu.seen[raft.ServerID(m.ID)]
	if !ok {
		return
	}
	m.LastContact = time.Since(s.at)
	m.LastIndex = s.last
	m.CaughtUp = s.caughtUp && m.LastContact <= fresh
}
