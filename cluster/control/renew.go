package control

import (
	"context"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// lostAfter is how long a node goes on without any leader before it asks around what has become of the cluster, or of
// itself.
const lostAfter = 5 * time.Second

// keepLease renews the lease three times in its life, and whenever there is something to report.
func (c *Control) keepLease() {
	heard := time.Now() // of a leader
	for c.renewal.Err() == nil {
		pause := c.options.Lease / 3
		granted, err := c.sendRenewal(c.renewal, c.resigned())
		switch {
		case err == nil:
			heard = time.Now()
		case time.Since(heard) > lostAfter:
			heard = time.Now()
			c.askAround()
		}
		if err != nil || !granted {
			pause = retryPause
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-c.report:
		case <-c.renewal.Done():
		}
		t.Stop()
	}
}

// askAround tells everybody where this node is and learns where they are. Raft says nothing to a member that it has
// removed, so this is also how a node hears that it left the cluster for ever, when the answer to its Leave was lost.
func (c *Control) askAround() {
	_, err := c.askToEnter(c.renewal)
	if !cluster.Is(err, cluster.KindDenied) {
		return
	}
	c.lease.drop()
	select {
	case c.fatal <- err:
	default: // told already
	}
}

// sendRenewal reports to the leader and, unless it gives the lease up, asks for another.
func (c *Control) sendRenewal(ctx context.Context, giveUp bool) (granted bool, err error) {
	if giveUp {
		c.lease.drop()
	}
	ctx, cancel := context.WithTimeout(ctx, c.options.Lease/3)
	defer cancel()
	sent := c.clock.Now()
	question := renewal{
		Version: messageVersion, Node: c.options.Node.ID, Incarnation: c.options.Node.Incarnation,
		Applied: c.View().Index(), Ack: *c.ack.Load(), GiveUp: giveUp, Last: giveUp && c.renewal.Err() != nil,
		Full: c.options.Full != nil && c.options.Full(), Wall: c.options.Wall().UnixNano(),
	}
	var answer renewed
	if err := c.callLeader(ctx, methodRenew, question, &answer); err != nil {
		return false, err
	}
	c.heardWall(answer.Wall, sent)
	if answer.Granted && !giveUp {
		c.lease.granted(sent, answer.Index)
	}
	return answer.Granted, nil
}

// resigned reports whether this node has done its part in a map change that is without it.
func (c *Control) resigned() bool {
	pending := c.View().Pending()
	return pending != nil && !names(pending, c.me()) && c.ack.Load().Map == pending.Version
}
