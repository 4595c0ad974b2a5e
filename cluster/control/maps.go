package control

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/internal/state"
)

// How long the leader waits in map changes.
const (
	mapTimeout    = 10 * time.Second // for a node that joins or leaves to acknowledge
	candidateLife = 5 * time.Second  // after which a node that wanted to enter must have said so again
	gatherTime    = time.Second      // for the others, when a whole cluster starts again
)

// candidate is a process that wants to enter.
type candidate struct {
	node        cluster.Node
	first, last time.Duration // clock times at which it asked
}

// enter makes a node a member of raft, so that it gets the log, and queues it for the next map.
func (t *term) enter(ctx context.Context, n cluster.Node) error {
	const op = "control.enter"
	v := t.View()
	switch {
	case !v.state.Formed():
		return cluster.Fail(op, string(n.ID), cluster.KindUnavailable, "the cluster is not formed yet")
	case v.Map().Removed[n.ID], isLost(v.Map(), n.ID):
		return cluster.Fail(op, string(n.ID), cluster.KindDenied, "this node has left the cluster for ever; start it with an empty directory to get a new id")
	case names(v.Map(), processOf(n)):
		return nil
	}
	if _, ok := t.member(n.ID); !ok {
		if err := t.engine.AddNonvoter(ctx, n.ID); err != nil {
			return cluster.E(op, string(n.ID), cluster.KindOther, err)
		}
	}
	now := t.clock.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	queued, ok := t.mu.entering[n.ID]
	if !ok || queued.node.Incarnation != n.Incarnation {
		queued.first = now
	}
	queued.node, queued.last = n, now
	t.mu.entering[n.ID] = queued
	t.changed.raise()
	return nil
}

// handleLeaving takes a node out of the cluster: its vote first, then its place in the map, then its membership in raft.
// It returns when all is done.
func (c *Control) handleLeaving(ctx context.Context, q leaving) (nothing, error) {
	const op = "control.handleLeaving"
	t := c.term.Load()
	if t == nil {
		return nothing{}, noLeader()
	}
	if m := t.View().Map(); len(m.Nodes) == 1 && m.Nodes[0].ID == q.Node {
		return nothing{}, cluster.Fail(op, string(q.Node), cluster.KindConflict, "the last node cannot leave")
	}
	t.mu.Lock()
	t.mu.leaving[q.Node] = leaver{asked: t.clock.Now()}
	t.mu.Unlock()
	t.changed.raise()
	if q.Node == c.options.Node.ID {
		return nothing{}, cluster.Fail(op, string(q.Node), cluster.KindUnavailable, "the leader hands leadership over before it leaves")
	}
	for {
		news := t.changed.wait()
		_, inMap := t.View().Map().Node(q.Node)
		if _, inRaft := t.member(q.Node); !inMap && !inRaft {
			return nothing{Version: messageVersion}, nil
		}
		if refused := t.stillAsks(q.Node); refused != nil {
			return nothing{}, refused
		}
		if err := t.pause(ctx, news, votersPause); err != nil {
			return nothing{}, err
		}
	}
}

// leaver is a node that wants to leave.
type leaver struct {
	asked   time.Duration // clock time at which it last wanted to
	refused error         // why it cannot, once that is decided
}

// stillAsks notes that a node waits to leave, and returns why it cannot.
func (t *term) stillAsks(id cluster.NodeID) error {
	now := t.clock.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.mu.leaving[id]
	l.asked = max(l.asked, now)
	t.mu.leaving[id] = l
	return l.refused
}

// isLost reports whether a node was given up.
func isLost(m *cluster.Map, id cluster.NodeID) bool {
	n, _ := m.Node(id)
	return n.Mode == cluster.NodeLost
}

// member returns what raft says of a node, if it is a member.
func (t *term) member(id cluster.NodeID) (memberType, bool) {
	members := t.engine.Members()
	i := slices.IndexFunc(members, func(m memberType) bool { return m.ID == id })
	if i < 0 {
		return memberType{}, false
	}
	return members[i], true
}

// driveMaps forms the cluster, and makes one map change after the other while there is something to change.
func (t *term) driveMaps() {
	var since time.Duration // clock time since which the pending map waits in this term
	var version cluster.MapVersion
	for t.life.Err() == nil {
		news, v := t.changed.wait(), t.View()
		if p := v.Pending(); p != nil && p.Version != version {
			since, version = t.clock.Now(), p.Version
		}
		cmd, wait := t.nextCommand(v, t.planned(v), since)
		if t.options.instead != nil {
			cmd = t.options.instead(t, v, cmd)
		}
		if cmd != nil {
			t.proposeMap(*cmd)
			continue
		}
		timer := time.NewTimer(max(wait, time.Millisecond))
		select {
		case <-news:
		case <-v.next:
		case <-timer.C:
		case <-t.life.Done():
		}
		timer.Stop()
	}
}

// nextCommand decides what is to be done about the map now, or after which time to look again.
func (t *term) nextCommand(v *View, p plan, since time.Duration) (*state.Command, time.Duration) {
	now := t.clock.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forgetStrangers(v, now)
	switch {
	case !v.state.Formed():
		return t.formCommand()
	case v.Pending() != nil:
		return t.settlePending(v, since, now)
	}
	return t.proposal(v, p, now)
}

func (t *term) proposeMap(cmd state.Command) {
	ctx, cancel := context.WithTimeout(t.life, mapTimeout)
	defer cancel()
	result, err := t.propose(ctx, cmd)
	switch {
	case err != nil:
		t.log.Info("cannot change the map now", "error", err)
		sleep(t.life, retryPause)
	case result.Refused():
		t.log.Warn("a map change was refused", "reason", result.Message)
		t.refuseLeave(cmd, result)
		sleep(t.life, retryPause)
	}
	t.changed.raise()
}

// refuseLeave tells who wanted to leave that the state machine refused it.
func (t *term) refuseLeave(cmd state.Command, result state.Result) {
	if cmd.Propose == nil || cmd.Propose.Leave == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.leaving[cmd.Propose.Leave] = leaver{asked: t.mu.leaving[cmd.Propose.Leave].asked, refused: result.Err("control.Leave")}
}

// formCommand forms the cluster of this one node.
func (t *term) formCommand() (*state.Command, time.Duration) {
	sealed, err := t.options.Keyring.Seal([]byte(t.options.Root.Secret))
	if err != nil {
		t.log.Error("cannot form the cluster", "error", err)
		return nil, time.Second
	}
	root := state.Key{ID: t.options.Root.ID, Sealed: sealed, Root: true}
	return &state.Command{Form: &state.Form{
		ClusterID: rand.Text(), Format: state.Format, Node: t.options.Node, Keys: []state.Key{root}, Settings: t.options.Settings,
	}}, 0
}

// proposal makes a pending map of what is queued.
func (t *term) proposal(v *View, p plan, now time.Duration) (*state.Command, time.Duration) {
	active := v.Map()
	maps.DeleteFunc(t.mu.leaving, func(_ cluster.NodeID, l leaver) bool { return now-l.asked > candidateLife })
	maps.DeleteFunc(t.mu.entering, func(_ cluster.NodeID, q candidate) bool {
		return now-q.last > candidateLife || names(active, processOf(q.node))
	})
	if len(t.mu.entering) > 0 {
		if wait := t.gather(active, now); wait > 0 {
			return nil, wait
		}
		nodes := make([]cluster.Node, 0, len(t.mu.entering))
		for _, id := range slices.Sorted(maps.Keys(t.mu.entering)) {
			nodes = append(nodes, t.mu.entering[id].node)
		}
		return &state.Command{Propose: &state.Propose{Base: active.Version, Nodes: nodes, Moves: state.Moves(active, nodes, t.options.rank)}}, 0
	}
	if id := t.readyToLeave(active); id != "" {
		return &state.Command{Propose: &state.Propose{Base: active.Version, Leave: id}}, 0
	}
	if cmd := t.shape(p, now); cmd != nil {
		return cmd, 0
	}
	return nil, votersPause
}

// readyToLeave returns a node that wants to leave and holds nothing any more, if there is one, and refuses those that never
// will come so far.
func (t *term) readyToLeave(active *cluster.Map) cluster.NodeID {
	for _, id := range t.leavers(active) {
		l, asks := t.mu.leaving[id]
		n, inMap := active.Node(id)
		if m, _ := t.member(id); !inMap || m.Voter || l.refused != nil {
			continue
		}
		if !n.Roles.Has(cluster.Target) || !active.Holds(id) {
			return id
		}
		if !asks {
			continue // it goes when it has been freed of everything
		}
		if l.refused = t.needed(active, id); l.refused != nil {
			t.mu.leaving[id] = l
			t.changed.raise()
		}
	}
	return ""
}

// needed says why a target cannot leave: too few would be left to hold what there is.
func (t *term) needed(active *cluster.Map, id cluster.NodeID) error {
	others := weighed(slices.DeleteFunc(active.Targets(), func(n cluster.Node) bool {
		l, leaving := t.mu.leaving[n.ID]
		return n.ID == id || leaving && l.refused == nil
	}))
	for _, layout := range active.Layouts {
		if others < layout.Width() {
			return cluster.Fail("control.Leave", string(id), cluster.KindConflict,
				fmt.Sprintf("%d targets would be left, and there are buckets with %s of each object", others, layout))
		}
	}
	return nil
}

// gather gives the other nodes a moment to come back when a whole cluster starts again, so that one change brings all of
// them. It returns how long to wait yet.
func (t *term) gather(active *cluster.Map, now time.Duration) time.Duration {
	first := now
	for _, q := range t.mu.entering {
		first = min(first, q.first)
	}
	for _, n := range active.Nodes {
		_, back := t.mu.entering[n.ID]
		h := t.mu.holders[processOf(n)]
		if !back && (h == nil || !h.met) {
			return first + gatherTime - now
		}
	}
	return 0
}

// settlePending activates or cancels the pending map, if it is time.
func (t *term) settlePending(v *View, since, now time.Duration) (*state.Command, time.Duration) {
	active, pending := v.Map(), v.Pending()
	late := now-since > mapTimeout
	if id, reason, refused := t.stays(active, pending, late); refused {
		t.mu.leaving[id] = leaver{asked: now, refused: reason}
		return &state.Command{Cancel: &state.Cancel{Version: pending.Version}}, 0
	}
	if missing, lost := t.unacknowledged(active, pending, now); len(missing) > 0 {
		if !late && !lost {
			return nil, since + mapTimeout - now
		}
		for _, id := range missing {
			delete(t.mu.entering, id) // unless it asks again
		}
		return &state.Command{Cancel: &state.Cancel{Version: pending.Version}}, 0
	}
	if wait, held := t.heldUp(pending, now); held {
		return nil, wait
	}
	return &state.Command{Activate: &state.Activate{Version: pending.Version, Kept: t.keptSlots(active, pending)}}, 0
}

// stays reports whether a node that wants to leave cannot, and why.
func (t *term) stays(active, pending *cluster.Map, late bool) (id cluster.NodeID, reason error, refused bool) {
	const op = "control.Leave"
	for _, n := range active.Nodes {
		if _, ok := pending.Node(n.ID); ok {
			continue
		}
		h := t.mu.holders[processOf(n)]
		acknowledged := h != nil && h.ack.Map == pending.Version
		switch {
		case !active.Holds(n.ID):
			return "", nil, false // there is nothing that it could take away; its lease has to end
		case acknowledged && h.ack.Kept.Len() > 0:
			return n.ID, cluster.Fail(op, string(n.ID), cluster.KindConflict,
				fmt.Sprintf("the node holds the only copy of what is in %d slots, which would be lost", h.ack.Kept.Len())), true
		case !acknowledged && late:
			return n.ID, cluster.Fail(op, string(n.ID), cluster.KindConflict, "the node did not say what it would take away"), true
		case !acknowledged:
			return "", nil, false
		}
	}
	return "", nil, false
}

// unacknowledged returns the nodes whose word must be waited for: those that are in the change as joining, coming back or
// leaving, and those that are to own slots in the place of others. The lease of any other can end. It also tells whether one
// of those that are to own slots has lost its own.
func (t *term) unacknowledged(active, pending *cluster.Map, now time.Duration) (missing []cluster.NodeID, lost bool) {
	wants := func(n cluster.Node) bool {
		h := t.mu.holders[processOf(n)]
		if h != nil && h.ack.Map == pending.Version {
			return false
		}
		missing = append(missing, n.ID)
		return true
	}
	for _, id := range t.promoted(active, pending) {
		n, _ := pending.Node(id)
		if names(active, processOf(n)) && wants(n) {
			_, leased := t.leasedProcess(processOf(n), now)
			lost = lost || !leased
		}
	}
	for _, n := range pending.Nodes {
		if !names(active, processOf(n)) {
			wants(n)
		}
	}
	for _, n := range active.Nodes {
		if _, ok := pending.Node(n.ID); !ok && active.Holds(n.ID) {
			wants(n)
		}
	}
	return missing, lost
}

// promoted returns the nodes that the pending map makes owners in the place of others, where they are in sync.
func (t *term) promoted(active, pending *cluster.Map) []cluster.NodeID {
	if t.heirs.pending == pending.Version && t.heirs.active == active.Version {
		return t.heirs.nodes
	}
	t.heirs.pending, t.heirs.active, t.heirs.nodes = pending.Version, active.Version, nil
	for i := range active.Slots {
		owner := pending.Slots[i].Owner()
		if owner != active.Slots[i].Owner() && !slices.Contains(t.heirs.nodes, owner) && active.Promotes(pending, cluster.Slot(i)) {
			t.heirs.nodes = append(t.heirs.nodes, owner)
		}
	}
	return t.heirs.nodes
}

// heldUp reports whether a lease still lasts whose holder has not acknowledged the pending map, or is not in it.
func (t *term) heldUp(pending *cluster.Map, now time.Duration) (wait time.Duration, held bool) {
	for p, h := range t.mu.holders {
		rest, leased := h.leased(now)
		if leased && (h.ack.Map != pending.Version || !names(pending, p)) {
			wait, held = max(wait, rest), true
		}
	}
	return wait, held
}

// keptSlots are those that stay: what the owners keep, and all that an owner did not acknowledge to lose, but for those that
// go to a holder which is in sync, and what is lost with its owner.
func (t *term) keptSlots(active, pending *cluster.Map) *cluster.SlotSet {
	var kept cluster.SlotSet
	for _, n := range active.Targets() {
		h := t.mu.holders[processOf(n)]
		taken := state.Taken(active, pending, n.ID)
		switch {
		case h != nil && h.ack.Map == pending.Version:
			for slot := range h.ack.Kept.All() {
				if taken.Has(slot) {
					kept.Add(slot)
				}
			}
		case t.options.bug != bugMoveUnacknowledged:
			for slot := range taken.All() {
				if n.Mode != cluster.NodeLost && !active.Promotes(pending, slot) {
					kept.Add(slot)
				}
			}
		}
	}
	return &kept
}
