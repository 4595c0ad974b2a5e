package control

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/internal/state"
)

// changingModes asks for a change of the modes of nodes.
type changingModes struct {
	Version int               `json:"v"`
	Request cluster.RequestID `json:"request"`
	Nodes   []cluster.NodeID  `json:"nodes"`
	Mode    cluster.NodeMode  `json:"mode"` // NodeDecommission becomes NodeLost for a node that does not answer
	Force   bool              `json:"force,omitempty"`
}

// changedModes answers it: what the change costs, which was forced.
type changedModes struct {
	Version int      `json:"v"`
	Costs   []string `json:"costs,omitempty"`
}

// SetModes sets what an administrator wants of nodes, all at once. A change by which something could not be read or written any
// more, or would be lost, is refused with KindConflict and says what; with force it is made, and costs are returned. It returns
// when every node has heard of it; what follows from it goes on.
func (c *Control) SetModes(ctx context.Context, req cluster.RequestID, nodes []cluster.NodeID, mode cluster.NodeMode, force bool) (costs []string, err error) {
	const op = "control.SetModes"
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	var a changedModes
	question := changingModes{Version: messageVersion, Request: req, Nodes: nodes, Mode: mode, Force: force}
	err = c.insist(ctx, op, c.options.Lease*3/2, func(ctx context.Context) error {
		return c.callLeader(ctx, methodModes, question, &a)
	})
	return a.Costs, err
}

// handleModes carries it out on the leader. A copy of a request that was carried out is asked about again, and costs what it
// costs by then; it changes nothing.
func (c *Control) handleModes(ctx context.Context, q changingModes) (changedModes, error) {
	const op = "control.handleModes"
	t := c.term.Load()
	if t == nil {
		return changedModes{}, noLeader()
	}
	if q.Request == "" || !q.Mode.Valid() || len(q.Nodes) == 0 {
		return changedModes{}, cluster.Fail(op, string(q.Mode), cluster.KindInvalid, "a change of modes names a request, nodes and a mode")
	}
	m := t.View().Map()
	for _, id := range q.Nodes {
		if _, ok := m.Node(id); !ok {
			return changedModes{}, cluster.Fail(op, string(id), cluster.KindInvalid, "there is no such node; `aisle show smap` lists them")
		}
	}
	a := changedModes{Version: messageVersion}
	if q.Mode != cluster.NodeActive {
		costs, forbidden := t.costs(q.Nodes, q.Mode)
		if forbidden == "" && len(costs) > 0 && !q.Force {
			forbidden = strings.Join(costs, "; ") + ". To do it all the same: --force"
		}
		if forbidden != "" {
			return a, cluster.Fail(op, joinIDs(q.Nodes), cluster.KindConflict, forbidden)
		}
		a.Costs = costs
	}
	modes, serving := make(map[cluster.NodeID]cluster.NodeMode), t.servingNodes()
	for _, id := range q.Nodes {
		if modes[id] = q.Mode; q.Mode == cluster.NodeDecommission && !serving[id] {
			modes[id] = cluster.NodeLost // nobody can ask it for what it has
		}
	}
	result, err := t.propose(ctx, state.Command{Request: q.Request, SetModes: &state.SetModes{Modes: modes}})
	if err == nil {
		t.changed.raise()
		err = t.everywhere(ctx, result.Index)
	}
	if err == nil {
		err = result.Err(op)
	}
	return a, err
}

func joinIDs(ids []cluster.NodeID) string {
	var words []string
	for _, id := range ids {
		words = append(words, string(id))
	}
	return strings.Join(words, " ")
}

// costs says what a change of modes costs that takes nodes away, or why it is impossible.
func (t *term) costs(nodes []cluster.NodeID, mode cluster.NodeMode) (costs []string, forbidden string) {
	v := t.View()
	e := &effect{view: v, standings: t.standings(v.Map()), going: nodes, serving: t.servingNodes()}
	if mode.Parked() {
		return append(append(e.voters(), e.unreachable()...), e.refusedWrites()...), ""
	}
	if forbidden := e.tooFew(); forbidden != "" {
		return nil, forbidden
	}
	return append(e.stranded(), e.refusedWrites()...), ""
}

// servingNodes returns the nodes that hold leases.
func (t *term) servingNodes() map[cluster.NodeID]bool {
	now, m := t.clock.Now(), t.View().Map()
	t.mu.Lock()
	defer t.mu.Unlock()
	serving := make(map[cluster.NodeID]bool)
	for _, n := range m.Nodes {
		if _, leased := t.leasedProcess(processOf(n), now); leased {
			serving[n.ID] = true
		}
	}
	return serving
}

// effect is what a change of modes does to a cluster.
type effect struct {
	view      *View
	standings standings
	serving   map[cluster.NodeID]bool
	going     []cluster.NodeID
}

func (e *effect) goes(id cluster.NodeID) bool { return slices.Contains(e.going, id) }

// stays reports whether a node serves now and does not go.
func (e *effect) stays(n cluster.Node) bool {
	return e.serving[n.ID] && !n.Mode.Parked() && !n.Mode.Leaving() && !e.goes(n.ID)
}

// voters says whether too few nodes would be left to decide anything.
func (e *effect) voters() []string {
	m := e.view.Map()
	left := 0
	for _, n := range m.Nodes {
		if e.stays(n) {
			left++
		}
	}
	wanted := wantedVoters(len(m.Nodes))
	if 2*min(left, wanted) > wanted {
		return nil
	}
	return []string{fmt.Sprintf("%d of the cluster's %d voters would be left, no majority: nothing could be read, written or changed", min(left, wanted), wanted)}
}

// tooFew says why data cannot be moved away.
func (e *effect) tooFew() string {
	left := 0
	for _, n := range e.view.Map().Targets() {
		if n.Weight > 0 && e.stays(n) {
			left++
		}
	}
	for _, b := range e.view.state.Buckets {
		if layout := b.Props.Layout(); left < layout.Width() {
			return fmt.Sprintf("%d targets would be left, and bucket %s keeps %s of each object", left, b.Bucket, layout)
		}
	}
	if left == 0 && slices.ContainsFunc(e.going, e.view.Map().Holds) {
		return "no target would be left to take what they hold"
	}
	return ""
}

// refusedWrites names the buckets to which nobody could write.
func (e *effect) refusedWrites() []string {
	left := 0
	for _, n := range e.view.Map().Targets() {
		if n.Weight > 0 && e.stays(n) {
			left++
		}
	}
	var names []string
	for _, b := range e.view.state.Buckets {
		if left < b.Props.LeastCopies() {
			names = append(names, b.Bucket.String())
		}
	}
	if len(names) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%d targets would be left, too few for the min_copies of %s: writes would be refused", left, some(names))}
}

// unreachable says what could not be read or written while the nodes are away.
func (e *effect) unreachable() []string {
	return e.slots("are kept by nobody else: what is in them could not be read or written meanwhile (--rebalance moves it first)", func(h cluster.Holder) bool {
		n, _ := e.view.Map().Node(h.Node)
		return e.stays(n)
	})
}

// stranded says what cannot be moved away because those that keep it do not answer.
func (e *effect) stranded() []string {
	return e.slots("are kept by nobody that answers: what is in them would be lost; start a node that has them instead", func(h cluster.Holder) bool {
		return e.serving[h.Node]
	})
}

// slots counts, for each layout with buckets, the slots that the going nodes hold and of which too few copies or shards are with
// holders that count.
func (e *effect) slots(consequence string, counts func(cluster.Holder) bool) []string {
	m := e.view.Map()
	short := make([]int, len(m.Layouts))
	for i := range m.Slots {
		layout, holders := m.Layouts[cluster.Slot(i).Layout()], m.Slots[i].Holders
		if !slices.ContainsFunc(holders, func(h cluster.Holder) bool { return e.goes(h.Node) }) {
			continue
		}
		rest := slices.DeleteFunc(slices.Clone(holders), func(h cluster.Holder) bool { return !counts(h) })
		if layout.Whole(rest) < layout.Needed() {
			short[cluster.Slot(i).Layout()]++
		}
	}
	var costs []string
	for id, n := range short {
		var names []string
		for _, b := range e.view.state.Buckets {
			if int(b.ID.Layout()) == id {
				names = append(names, b.Bucket.String())
			}
		}
		if n > 0 && len(names) > 0 {
			costs = append(costs, fmt.Sprintf("%d of %d slots of %s %s", n, cluster.Slots, some(names), consequence))
		}
	}
	return costs
}

// some names the first of many.
func some(names []string) string {
	const shown = 5
	if len(names) > shown {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
	}
	return strings.Join(names, ", ")
}

// leavers returns the nodes that are to leave: those that ask for it themselves, and those that are decommissioned.
func (t *term) leavers(active *cluster.Map) []cluster.NodeID {
	var ids []cluster.NodeID
	for id := range t.mu.leaving {
		ids = append(ids, id)
	}
	for _, n := range active.Nodes {
		if n.Mode.Going() && !slices.Contains(ids, n.ID) {
			ids = append(ids, n.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

// shutdownWait is how long a node that is to shut down waits for others to take over what it owns.
const shutdownWait = 10 * time.Second

// AwaitShutdown returns nil when this process is to end, by NodeShutdown, and others have taken over what they can.
func (c *Control) AwaitShutdown(ctx context.Context) error {
	wanted := func(v *View) bool {
		n, ok := v.Map().Node(c.options.Node.ID)
		return ok && n.Incarnation == c.options.Node.Incarnation && n.Mode == cluster.NodeShutdown
	}
	if err := c.Wait(ctx, wanted); err != nil {
		return err
	}
	hand, cancel := context.WithTimeout(ctx, shutdownWait)
	defer cancel()
	_ = c.Wait(hand, func(v *View) bool {
		m, self := v.Map(), c.options.Node.ID
		return m.OwnedBy()[self] == m.SoleOwners()[self]
	}) // what nobody else has, stays
	return ctx.Err()
}
