package control

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// handleRenewal notes what a node reports, at once, and then answers its request for a lease.
func (c *Control) handleRenewal(ctx context.Context, q renewal) (renewed, error) {
	t := c.term.Load()
	if t == nil {
		return renewed{}, noLeader()
	}
	p := process{q.Node, q.Incarnation}
	t.note(p, q)
	if q.GiveUp {
		return renewed{Version: messageVersion}, nil
	}
	if t.options.bug != bugNoVerify {
		if err := t.verify(ctx); err != nil {
			return renewed{}, err
		}
	}
	return t.grant(p), nil
}

// note keeps a report. Reports can overtake each other; what is applied or acknowledged stays so.
func (t *term) note(p process, q renewal) {
	now := t.clock.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	v, h := t.View(), t.mu.holders[p]
	if h == nil {
		h = &holder{}
		t.mu.holders[p] = h
	}
	h.contact, h.met, h.gone = now, true, h.gone || q.Last
	h.applied = max(h.applied, q.Applied)
	h.full = q.Full
	if q.Wall != 0 {
		h.wall = q.Wall - int64(now)
	}
	if q.Ack.Map > h.ack.Map {
		h.ack = q.Ack
	}
	if q.GiveUp && (q.Last || isWithout(v.Pending(), p, q.Ack)) {
		h.grants = nil
	}
	t.changed.raise()
}

// isWithout reports whether the map that is pending is the one that a process acknowledged and is not in. While it is, nobody
// grants that process a lease: so a report that was long on its way cannot give up one that was granted since.
func isWithout(pending *cluster.Map, p process, ack acknowledgement) bool {
	return pending != nil && ack.Map == pending.Version && !names(pending, p)
}

// grant decides a request for a lease. That the leases are noted in the same critical section in which the view is loaded
// is what keeps a grant from slipping by a change: see docs/consistency.md.
func (t *term) grant(p process) renewed {
	now := t.clock.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	v, h := t.View(), t.mu.holders[p]
	granted, noted := mayHold(v, p, h), true
	if t.options.bug == bugRenewUnacknowledged && !granted && names(v.Map(), p) {
		granted, noted = true, false
	}
	if granted && noted {
		h.add(grant{until: t.leaseEnd(now), index: v.Index()}, now)
	}
	return renewed{Version: messageVersion, Granted: granted, Index: v.Index(), Wall: t.wallClock(v, now)}
}

// mayHold reports whether a process gets a lease: the active map names it, and it has acknowledged the pending one, which
// names it too. What still arrives from a process that has stopped was sent before.
func mayHold(v *View, p process, h *holder) bool {
	if h.gone || !names(v.Map(), p) {
		return false
	}
	pending := v.Pending()
	return pending == nil || names(pending, p) && h.ack.Map == pending.Version
}

// add notes a grant and forgets those that have ended. Of those with the same index the one that lasts longest stays, which
// need not be the last one: whoever read the clock first may come second.
func (h *holder) add(g grant, now time.Duration) {
	h.grants = slices.DeleteFunc(h.grants, func(old grant) bool {
		if old.index == g.index {
			g.until = max(g.until, old.until)
		}
		return old.until <= now || old.index == g.index
	})
	h.grants = append(h.grants, g)
}

// leased reports whether the process may hold a lease, and for how long yet.
func (h *holder) leased(now time.Duration) (time.Duration, bool) {
	var rest time.Duration
	for _, g := range h.grants {
		rest = max(rest, g.until-now)
	}
	return rest, rest > 0
}

// verify returns when a majority has confirmed, after the call, that this node leads in this term. All who wait share one
// round.
func (t *term) verify(ctx context.Context) error {
	answer := make(chan error, 1)
	t.mu.Lock()
	t.mu.unasked = append(t.mu.unasked, answer)
	t.mu.Unlock()
	t.changed.raise()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return cluster.E("control.verify", "", cluster.KindUnavailable, ctx.Err())
	case <-t.life.Done():
		return noLeader()
	}
}

// askMajority runs the rounds of verify.
func (t *term) askMajority() {
	for t.life.Err() == nil {
		news := t.changed.wait()
		t.mu.Lock()
		batch := t.mu.unasked
		t.mu.unasked = nil
		t.mu.Unlock()
		if len(batch) == 0 {
			select {
			case <-news:
			case <-t.life.Done():
			}
			continue
		}
		err := t.confirm()
		for _, answer := range batch {
			answer <- err
		}
	}
}

// confirm asks every voter for its term, and returns nil when a majority is still in this one: then nobody had been elected
// in a later term when the calls began, since who votes for a later term is in it from then on.
//
// Raft's VerifyLeader would not do. It takes answers to messages that it sent before the call, so a leader that was paused
// can be confirmed by answers that waited in its sockets; and it counts answers of members without a vote.
func (t *term) confirm() error {
	if t.options.bug == bugRaftVerify {
		return t.engine.VerifyLeader(t.life)
	}
	ctx, cancel := context.WithTimeout(t.life, t.options.Lease/4)
	defer cancel()
	voters := slices.DeleteFunc(t.engine.Members(), func(m memberType) bool { return !m.Voter })
	answers := make(chan bool, len(voters))
	for _, m := range voters {
		t.work.Go(func() {
			var a confirmed
			err := t.callNode(ctx, m.ID, methodConfirm, confirming{Version: messageVersion, Voter: m.ID}, &a)
			answers <- err == nil && a.Voter == m.ID && a.Term == t.number
		})
	}
	agree, silent := 0, len(voters)
	for ; 2*agree <= len(voters) && 2*(agree+silent) > len(voters); silent-- {
		if <-answers {
			agree++
		}
	}
	if 2*agree <= len(voters) {
		return cluster.Fail("control.confirm", "", cluster.KindUnavailable, "no majority confirms the leader")
	}
	return nil
}

// handleConfirming tells the leader which term this voter is in.
func (c *Control) handleConfirming(_ context.Context, q confirming) (confirmed, error) {
	self := c.options.Node.ID
	if q.Voter != self {
		return confirmed{}, cluster.Fail("control.handleConfirming", string(q.Voter), cluster.KindUnavailable, "this is node "+string(self))
	}
	return confirmed{Version: messageVersion, Voter: self, Term: c.engine.Term()}, nil
}

// handleStatus tells how the leader sees the cluster.
func (c *Control) handleStatus(ctx context.Context, _ nothing) (statusAnswer, error) {
	t := c.term.Load()
	if t == nil {
		return statusAnswer{}, noLeader()
	}
	if err := t.verify(ctx); err != nil {
		return statusAnswer{}, err
	}
	voters := make(map[cluster.NodeID]bool)
	for _, m := range t.engine.Members() {
		voters[m.ID] = m.Voter
	}
	s := Status{Leader: c.options.Node.ID, Term: t.number}
	now := t.clock.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range t.View().Map().Nodes {
		s.Nodes = append(s.Nodes, t.nodeStatus(n, voters[n.ID], now))
	}
	return statusAnswer{Version: messageVersion, Status: s}, nil
}

// nodeStatus is called with t.mu held.
func (t *term) nodeStatus(n cluster.Node, voter bool, now time.Duration) NodeStatus {
	s := NodeStatus{ID: n.ID, Incarnation: n.Incarnation, Voter: voter, Contact: -1}
	if h := t.mu.holders[processOf(n)]; h != nil && h.met {
		_, s.Serving = h.leased(now)
		s.Applied, s.Contact = h.applied, now-h.contact
	}
	return s
}

// forgetStrangers drops what is known of processes that neither map names and that hold no lease. It is called with t.mu
// held.
func (t *term) forgetStrangers(v *View, now time.Duration) {
	maps.DeleteFunc(t.mu.holders, func(p process, h *holder) bool {
		_, leased := h.leased(now)
		return !leased && now-h.contact > mapTimeout && !names(v.Map(), p) && (v.Pending() == nil || !names(v.Pending(), p))
	})
}
