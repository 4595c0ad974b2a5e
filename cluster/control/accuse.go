package control

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/internal/state"
)

// How long an accusation is held against the accused, or against the accuser.
const (
	accuseWindow = 10 * time.Second // while it counts; the accused is not admitted anywhere meanwhile
	suspectFor   = 30 * time.Second // for which a node that accused too many gets nothing
)

// Accuse tells the leader that some holders of a slot did not answer what its owner, this node, sent them under an epoch. It
// returns nil when none of them is a holder of the slot any more by the map that is applied here, or the slot has another
// epoch or owner: then the caller goes by the map that is applied now. KindConflict says that the leader rather doubts the
// accuser.
func (c *Control) Accuse(ctx context.Context, slot cluster.Slot, epoch cluster.Epoch, holders []cluster.NodeID) error {
	const op = "control.Accuse"
	question := accusing{
		Version: messageVersion, Node: c.options.Node.ID, Incarnation: c.options.Node.Incarnation, Slot: slot, Epoch: epoch, Accused: holders,
	}
	over := func(v *View) bool { return len(accused(v.Map(), question)) == 0 }
	return c.insist(ctx, op, c.options.Lease, func(ctx context.Context) error {
		if over(c.View()) {
			return nil
		}
		if err := c.callLeader(ctx, methodAccuse, question, &nothing{}); err != nil {
			return err
		}
		wait, cancel := context.WithTimeout(ctx, c.options.Lease/3)
		defer cancel()
		return c.Wait(wait, over)
	})
}

// accused returns those of the accused that the accuser still has to wait for by a map.
func accused(m *cluster.Map, q accusing) []cluster.NodeID {
	s := m.Slot(q.Slot)
	if len(s.Holders) == 0 || s.Owner() != q.Node || s.Epoch != q.Epoch {
		return nil
	}
	var ids []cluster.NodeID
	for _, h := range s.Holders[1:] {
		if slices.Contains(q.Accused, h.Node) {
			ids = append(ids, h.Node)
		}
	}
	return ids
}

// Synced tells the leader that this node, which catches up, has all that the owners had in these slots under these epochs, and
// has taken every write since. It returns nil when that is decided and applied here: slots that had another epoch by then are
// passed over.
func (c *Control) Synced(ctx context.Context, slots map[cluster.Epoch]*cluster.SlotSet) error {
	const op = "control.Synced"
	question := syncing{Version: messageVersion, Node: c.options.Node.ID, Incarnation: c.options.Node.Incarnation, Slots: slots}
	var answer latest
	err := c.insist(ctx, op, c.options.Lease, func(ctx context.Context) error {
		return c.callLeader(ctx, methodSynced, question, &answer)
	})
	if err != nil {
		return err
	}
	return c.Wait(ctx, func(v *View) bool { return v.Index() >= answer.Index })
}

// handleSyncing marks a holder in sync. While a map is pending it has to wait: that map was made from the one it would change.
func (c *Control) handleSyncing(ctx context.Context, q syncing) (latest, error) {
	const op = "control.handleSyncing"
	t := c.term.Load()
	if t == nil {
		return latest{}, noLeader()
	}
	if !names(t.View().Map(), process{q.Node, q.Incarnation}) {
		return latest{}, cluster.Fail(op, string(q.Node), cluster.KindConflict, "the map does not name this process")
	}
	cmd := state.Command{InSync: &state.InSync{Node: q.Node, Incarnation: q.Incarnation, Slots: q.Slots}}
	err := t.proposeSteady(ctx, func(*cluster.Map) *state.Command { return &cmd })
	return latest{Version: messageVersion, Index: t.View().Index()}, err
}

// proposeSteady proposes a command on the active map while none is pending: see proposeWhen.
func (t *term) proposeSteady(ctx context.Context, command func(*cluster.Map) *state.Command) error {
	return t.proposeWhen(ctx, func(v *View) bool { return v.Pending() == nil }, command)
}

// proposeActive proposes a command that does not wait for the pending map, but cancels it: see proposeWhen.
func (t *term) proposeActive(ctx context.Context, command func(*cluster.Map) *state.Command) error {
	return t.proposeWhen(ctx, func(*View) bool { return true }, command)
}

// proposeWhen proposes a command on the active map when a view is ready for it, again when another one came first. The command
// is made for the map that is active; none is needed any more when it is nil.
func (t *term) proposeWhen(ctx context.Context, ready func(*View) bool, command func(*cluster.Map) *state.Command) error {
	const op = "control.propose"
	for {
		if err := t.Wait(ctx, ready); err != nil {
			return err
		}
		cmd := command(t.View().Map())
		if cmd == nil {
			return nil
		}
		result, err := t.propose(ctx, *cmd)
		if err != nil {
			return err
		}
		if !result.Refused() {
			t.changed.raise()
			return nil
		}
		if cluster.ParseKind(result.Kind) != cluster.KindConflict {
			return result.Err(op)
		}
		if !sleep(ctx, retryPause/4) {
			return cluster.E(op, "", cluster.KindUnavailable, ctx.Err()) // another map came first each time
		}
	}
}

// handleAccusing demotes holders that do not answer an owner, or doubts the owner.
func (c *Control) handleAccusing(ctx context.Context, q accusing) (nothing, error) {
	const op = "control.handleAccusing"
	t := c.term.Load()
	if t == nil {
		return nothing{}, noLeader()
	}
	v, p := t.View(), process{q.Node, q.Incarnation}
	if !names(v.Map(), p) {
		return nothing{}, cluster.Fail(op, string(q.Node), cluster.KindConflict, "the map does not name this process")
	}
	ids := accused(v.Map(), q)
	if len(ids) == 0 {
		return nothing{Version: messageVersion}, nil
	}
	doubted, err := t.judge(v.Map(), p, ids)
	if err != nil {
		return nothing{}, err
	}
	if doubted && t.heirOf(v.Map().Slot(q.Slot)) != "" {
		t.changed.raise()
		return nothing{}, cluster.Fail(op, string(q.Node), cluster.KindConflict, "this node accuses holders that nobody else accuses")
	}
	return nothing{Version: messageVersion}, t.demote(ctx, q, doubted)
}

// judge notes an accusation and decides whom it speaks against. It counts against the accuser when it, alone, has accused two
// nodes or more that hold leases.
func (t *term) judge(m *cluster.Map, accuser process, ids []cluster.NodeID) (doubted bool, err error) {
	now := t.clock.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, leased := t.leasedProcess(accuser, now); !leased {
		return false, cluster.Fail("control.judge", string(accuser.node), cluster.KindUnavailable, "this node holds no lease")
	}
	for _, id := range ids {
		n, _ := m.Node(id)
		t.mu.accusations = append(t.mu.accusations, accusation{accuser: accuser, accused: processOf(n), at: now})
	}
	maps.DeleteFunc(t.mu.suspects, func(_ process, until time.Duration) bool { return until <= now })
	t.mu.accusations = slices.DeleteFunc(t.mu.accusations, func(a accusation) bool { return now-a.at > accuseWindow })
	alone := make(map[process]bool)
	for _, a := range t.mu.accusations {
		if _, leased := t.leasedProcess(a.accused, now); leased && a.accuser == accuser {
			alone[a.accused] = true
		}
	}
	for _, a := range t.mu.accusations {
		if a.accuser != accuser {
			delete(alone, a.accused)
		}
	}
	doubted = len(alone) > 1
	if doubted {
		t.mu.suspects[accuser] = now + suspectFor
	}
	return doubted, nil
}

// accusation is the word of an owner that a holder does not answer it.
type accusation struct {
	accuser, accused process
	at               time.Duration // clock time
}

// leasedProcess reports whether a process may hold a lease. It is called with t.mu held.
func (t *term) leasedProcess(p process, now time.Duration) (time.Duration, bool) {
	h := t.mu.holders[p]
	if h == nil {
		return 0, false
	}
	return h.leased(now)
}

// heirOf returns who could own a slot in the place of its owner, or nobody.
func (t *term) heirOf(s cluster.SlotState) cluster.NodeID {
	standing := t.standings(t.View().Map())
	return standing.heir(s.Holders)
}

// demote takes the accused out of all slots that the accuser owns, with others in their place. Of an accuser that is doubted
// itself it is done only for those of its slots that nobody else could own.
//
// In the slots of others the accused stay: their owners accuse on their own, when they write. An owner that has died writes
// nothing, so the accused miss nothing there, and may have the only copy that is left.
//
// KindConflict says that too few holders in sync would be left in the slot.
func (t *term) demote(ctx context.Context, q accusing, doubted bool) error {
	var few error
	err := t.proposeActive(ctx, func(m *cluster.Map) *state.Command {
		ids := accused(m, q)
		if len(ids) == 0 {
			return nil
		}
		standing := t.standings(m)
		changes := t.ranking(m, standing).without(ids, func(s cluster.SlotState) bool {
			return s.Owner() == q.Node && (!doubted || standing.heir(s.Holders) == "")
		})
		if !slices.ContainsFunc(changes, func(p state.Placement) bool { return p.Slots.Has(q.Slot) }) {
			few = cluster.Fail("control.demote", string(q.Node), cluster.KindConflict, "without the accused too little of the slot would be left")
			return nil
		}
		t.log.Info("holders do not answer", "accuser", string(q.Node), "accused", ids)
		return &state.Command{Reshape: &state.Reshape{Base: m.Version, Changes: changes}}
	})
	if err != nil {
		return err
	}
	return few
}
