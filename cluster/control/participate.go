package control

import (
	"context"

	"github.com/aisle-store/aisle/cluster"
)

// participate leads the participant through the maps, one step at a time, and acknowledges pending ones.
func (c *Control) participate() {
	p := &participation{Control: c, buckets: c.View().state.Buckets}
	for c.life.Err() == nil {
		v := c.View()
		p.dropRemoved(v)
		done, err := p.step(v)
		switch {
		case err != nil:
			c.log.Warn("cannot follow a map change; trying again", "error", err)
			sleep(c.life, retryPause)
		case done:
			select {
			case <-v.next:
			case <-c.life.Done():
			}
		}
	}
}

// participation is how far the participant has been led.
type participation struct {
	*Control
	active  cluster.MapVersion // activated last
	fenced  bool               // by a pending map that has neither become active nor been seen cancelled
	buckets []*cluster.BucketEntry
}

// step does the next thing that a view asks for, and says whether it was the last.
func (p *participation) step(v *View) (done bool, err error) {
	active, pending := v.Map(), v.Pending()
	named := names(active, p.me())
	switch {
	case named && (active.Version != p.active || p.fenced && pending == nil):
		return false, p.activate(active)
	case pending != nil && p.ack.Load().Map != pending.Version:
		return false, p.acknowledge(pending, named)
	}
	return true, nil
}

// activate lets the participant serve what the active map gives.
func (p *participation) activate(m *cluster.Map) error {
	if p.participant != nil {
		if err := p.participant.Activate(p.life, m); err != nil {
			return cluster.E("control.activate", m.String(), cluster.KindOther, err)
		}
	}
	p.active, p.fenced = m.Version, false
	p.serving.Store(true)
	return nil
}

// acknowledge has the participant stop what the pending map takes, and tells the leader. A process that the active map
// does not name serves nothing, so it has nothing to stop.
func (p *participation) acknowledge(pending *cluster.Map, named bool) error {
	var kept []cluster.Slot
	if p.participant != nil && named {
		ctx, cancel := p.while(func(v *View) bool { return v.Pending() != nil && v.Pending().Version == pending.Version })
		defer cancel()
		p.fenced = true
		var err error
		kept, err = p.participant.Fence(ctx, pending)
		if ctx.Err() != nil {
			return nil // the change is over
		}
		if err != nil {
			return cluster.E("control.acknowledge", pending.String(), cluster.KindOther, err)
		}
	}
	p.ack.Store(&acknowledgement{Map: pending.Version, Kept: cluster.SetOf(kept...)})
	p.tell()
	return nil
}

// while returns a context that ends when ok is no longer true of the view.
func (c *Control) while(ok func(*View) bool) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(c.life)
	c.work.Go(func() {
		defer cancel()
		for v := c.View(); ok(v); v = c.View() {
			select {
			case <-v.next:
			case <-ctx.Done():
				return
			}
		}
	})
	return ctx, cancel
}

// dropRemoved has the participant free what removed buckets leave.
func (p *participation) dropRemoved(v *View) {
	before := p.buckets
	p.buckets = v.state.Buckets
	if p.participant == nil {
		return
	}
	for _, e := range before {
		for _, id := range []cluster.BucketID{e.ID, e.Under} {
			if id == 0 || exists(v, id) {
				continue
			}
			if err := p.participant.DropBucket(p.life, id); err != nil {
				p.log.Warn("cannot free a removed bucket", "bucket", e.Bucket.String(), "error", err)
			}
		}
	}
}

// exists reports whether a bucket has an id, or has it under its own.
func exists(v *View, id cluster.BucketID) bool {
	_, ok := v.state.BucketByID(id)
	_, over := v.state.BucketOver(id)
	return ok || over
}

// handleSealing asks the participant whether a deleting bucket is empty.
func (c *Control) handleSealing(ctx context.Context, q sealing) (sealed, error) {
	const op = "control.handleSealing"
	if err := c.mayAsk(ctx, op, q); err != nil {
		return sealed{}, err
	}
	empty, err := c.participant.SealBucket(ctx, q.Bucket)
	if err != nil {
		return sealed{}, cluster.E(op, "", cluster.KindOther, err)
	}
	return sealed{Version: messageVersion, Empty: empty}, nil
}

// handleFreezing has the participant end the writes of a bucket that is being frozen.
func (c *Control) handleFreezing(ctx context.Context, q sealing) (frozen, error) {
	const op = "control.handleFreezing"
	if err := c.mayAsk(ctx, op, q); err != nil {
		return frozen{}, err
	}
	if err := c.participant.FreezeBucket(ctx, q.Bucket); err != nil {
		return frozen{}, cluster.E(op, "", cluster.KindOther, err)
	}
	return frozen{Version: messageVersion}, nil
}

// handleMoving has the participant move objects of a frozen id.
func (c *Control) handleMoving(ctx context.Context, q sealing) (moved, error) {
	const op = "control.handleMoving"
	if err := c.mayAsk(ctx, op, q); err != nil {
		return moved{}, err
	}
	objects, done, err := c.participant.MoveBucket(ctx, q.Bucket)
	if err != nil {
		return moved{}, cluster.E(op, "", cluster.KindOther, err)
	}
	return moved{Version: messageVersion, Objects: objects, Done: done}, nil
}

// mayAsk returns nil when the participant can be asked what the leader wants to know, by the state that the leader knows.
func (c *Control) mayAsk(ctx context.Context, op string, q sealing) error {
	if err := c.Wait(ctx, func(v *View) bool { return v.Index() >= q.Index }); err != nil {
		return err
	}
	switch {
	case q.Incarnation != c.options.Node.Incarnation:
		return cluster.Fail(op, string(c.options.Node.ID), cluster.KindUnavailable, "this node has started again since")
	case c.participant == nil || !c.serving.Load():
		return cluster.Fail(op, string(c.options.Node.ID), cluster.KindUnavailable, "this node serves no slots")
	}
	return nil
}
