package control

import (
	"context"

	"github.com/aisle-store/aisle/cluster"
)

// latest tells how far a node must have applied to know what any node knew when it asked.
type latest struct {
	Version int    `json:"v"`
	Index   uint64 `json:"i"`
}

// Latest returns a view that reflects every change that any node had applied before the call, or KindUnavailable. Current may
// lack a change that is not acknowledged yet but shows elsewhere already: whoever is about to say that something does not
// exist asks here first. It costs a round through the leader's log.
func (c *Control) Latest(ctx context.Context) (*View, error) {
	const op = "control.Latest"
	ctx, cancel := context.WithTimeout(ctx, c.options.Lease)
	defer cancel()
	var a latest
	if err := c.callLeader(ctx, methodLatest, nothing{Version: messageVersion}, &a); err != nil {
		return nil, cluster.E(op, "", cluster.KindUnavailable, err)
	}
	if err := c.Wait(ctx, func(v *View) bool { return v.Index() >= a.Index }); err != nil {
		return nil, cluster.E(op, "", cluster.KindUnavailable, err)
	}
	return c.Current()
}

// handleLatest answers on the leader. A change that shows anywhere is committed; the barrier is committed behind it, which
// only the leader can do, and both are applied here when it returns.
func (c *Control) handleLatest(ctx context.Context, _ nothing) (latest, error) {
	t := c.term.Load()
	if t == nil {
		return latest{}, noLeader()
	}
	if err := t.engine.Barrier(ctx); err != nil {
		return latest{}, cluster.E("control.handleLatest", "", cluster.KindUnavailable, err)
	}
	return latest{Version: messageVersion, Index: t.View().Index()}, nil
}
