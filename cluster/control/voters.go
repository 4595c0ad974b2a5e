package control

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/internal/raftnode"
)

// How the leader looks after raft's members.
const (
	votersPause   = 500 * time.Millisecond // between two looks
	votersTimeout = 5 * time.Second        // of one change
	deadAfter     = 10 * time.Second       // without contact, a voter is replaced
	strangerLife  = time.Minute            // after which a member is removed that never got into the map
)

// memberType shortens the name of what the engine says of a member.
type memberType = raftnode.Member

// keepVoters makes one change after the other until the right nodes have votes. Raft changes one member at a time, and with an even
// number of votes it stands no more losses than with one vote less, of more nodes: so the next change follows at once.
func (t *term) keepVoters() {
	for sleep(t.life, votersPause) {
		for t.life.Err() == nil {
			a := planVoters(t.candidates(), t.options.Node.ID)
			if a.kind == keepAsIs || !t.changeVoters(a) {
				break
			}
		}
	}
}

// changeVoters reports whether the change was made.
func (t *term) changeVoters(a voterAction) bool {
	t.changed.raise()
	ctx, cancel := context.WithTimeout(t.life, votersTimeout)
	defer cancel()
	err := t.carryOut(ctx, a)
	if err != nil {
		t.log.Info("cannot change the voters now", "node", string(a.node), "error", err)
	}
	return err == nil
}

func (t *term) carryOut(ctx context.Context, a voterAction) error {
	switch a.kind {
	case addVoter:
		t.log.Info("a node gets a vote", "node", string(a.node))
		return t.engine.AddVoter(ctx, a.node)
	case handOver:
		t.log.Info("another node is to lead, since this one leaves")
		return t.engine.TransferLeadership(ctx, "")
	case demoteVoter:
		t.log.Info("a node loses its vote", "node", string(a.node))
		return t.engine.Demote(ctx, a.node)
	}
	t.log.Info("a node is taken out of raft", "node", string(a.node))
	return t.engine.Remove(ctx, a.node)
}

// voterCandidate is a member as planVoters sees it.
type voterCandidate struct {
	id       cluster.NodeID
	voter    bool
	alive    bool // heard of lately
	caughtUp bool // it may get a vote
	zone     string
	proxy    bool
	inMap    bool // and not about to leave
	leaving  bool // or about to
	parked   bool // in maintenance: it may go at any time
	gone     bool // it left for ever, or never got into the map
}

// candidates are raft's members, with what the map says of them.
func (t *term) candidates() []voterCandidate {
	v, age := t.View(), t.clock.Now()-t.began
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []voterCandidate
	for _, m := range t.engine.Members() {
		n, ok := v.Map().Node(m.ID)
		silence := m.LastContact
		if silence < 0 {
			silence = age // never in this term, which may be young
		}
		_, entering := t.mu.entering[m.ID]
		l, leaving := t.mu.leaving[m.ID]
		leaving = leaving && l.refused == nil || v.Map().Removed[m.ID] || n.Mode.Going()
		all = append(all, voterCandidate{
			id: m.ID, voter: m.Voter, caughtUp: m.CaughtUp, zone: n.Zone, proxy: n.Roles.Has(cluster.Proxy), inMap: ok && !leaving, leaving: leaving,
			parked: n.Mode.Parked(),
			alive:  m.ID == t.options.Node.ID || silence < deadAfter,
			gone:   v.Map().Removed[m.ID] || !ok && v.Pending() == nil && !entering && silence > strangerLife,
		})
	}
	return all
}

// voterAction is one change of raft's members.
type voterAction struct {
	kind voterActionKind
	node cluster.NodeID
}

type voterActionKind int

const (
	keepAsIs voterActionKind = iota
	addVoter
	demoteVoter
	removeMember
	handOver
)

// wantedVoters is how many of n nodes have votes: an odd number, at least 3 when there are 3, at most 5.
func wantedVoters(n int) int {
	switch {
	case n >= 5:
		return 5
	case n >= 3:
		return 3
	}
	return 1
}

// planVoters returns the next change: whoever left goes; whoever should vote and does not gets a vote, unless that would make their
// number even with nobody to follow; a leader that leaves hands over; then whoever votes and should not loses it, those that leave and dead ones first. Votes are only taken while
// enough remain.
func planVoters(all []voterCandidate, leader cluster.NodeID) voterAction {
	nodes, voters := 0, 0
	for _, m := range all {
		if m.gone && m.id != leader {
			return voterAction{removeMember, m.id}
		}
		if m.inMap {
			nodes++
		}
		if m.voter {
			voters++
		}
	}
	wanted := wantedVoters(nodes)
	ideal := idealVoters(all, leader, wanted)
	waits := voters%2 == 1 && len(ideal) == voters+1 // for one more that is ready: an even number is worse
	for _, m := range ideal {
		if !m.voter && !waits {
			return voterAction{addVoter, m.id}
		}
	}
	if slices.ContainsFunc(all, func(m voterCandidate) bool {
		return m.id == leader && (m.leaving || m.parked && othersAwake(all, leader))
	}) && len(ideal) > 0 {
		return voterAction{handOver, leader}
	}
	if voters <= wanted {
		return voterAction{}
	}
	rest := slices.DeleteFunc(slices.Clone(all), func(m voterCandidate) bool {
		return !m.voter || m.id == leader || slices.ContainsFunc(ideal, func(i voterCandidate) bool { return i.id == m.id })
	})
	if len(rest) == 0 {
		return voterAction{}
	}
	slices.SortFunc(rest, func(a, b voterCandidate) int {
		return cmp.Or(compareBool(b.leaving, a.leaving), compareBool(a.alive, b.alive), cmp.Compare(b.id, a.id))
	})
	return voterAction{demoteVoter, rest[0].id}
}

// othersAwake reports whether somebody else could lead who is not in maintenance.
func othersAwake(all []voterCandidate, leader cluster.NodeID) bool {
	return slices.ContainsFunc(all, func(m voterCandidate) bool { return m.id != leader && m.voter && m.alive && m.inMap && !m.parked })
}

// idealVoters chooses among the nodes that are alive: the leader, then always the best of the rest, which is one
// that is not in maintenance, in a zone without a voter yet, a proxy, one that votes already.
func idealVoters(all []voterCandidate, leader cluster.NodeID, wanted int) []voterCandidate {
	var chosen []voterCandidate
	rest := slices.DeleteFunc(slices.Clone(all), func(m voterCandidate) bool {
		return !m.inMap || !m.alive || !m.voter && !m.caughtUp
	})
	zones := make(map[string]bool)
	fresh := func(m voterCandidate) bool { return m.zone == "" || !zones[m.zone] }
	for len(chosen) < wanted && len(rest) > 0 {
		best := slices.MinFunc(rest, func(a, b voterCandidate) int {
			return cmp.Or(
				compareBool(b.id == leader, a.id == leader), compareBool(a.parked, b.parked), compareBool(fresh(b), fresh(a)),
				compareBool(b.proxy, a.proxy), compareBool(b.voter, a.voter), cmp.Compare(a.id, b.id),
			)
		})
		zones[best.zone] = true
		chosen = append(chosen, best)
		rest = slices.DeleteFunc(rest, func(m voterCandidate) bool { return m.id == best.id })
	}
	return chosen
}

// compareBool orders false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
