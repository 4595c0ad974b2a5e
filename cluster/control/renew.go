package control

import (
	"context"
	"time"
)

// keepLease renews the lease three times in its life, and whenever there is something to report.
func (c *Control) keepLease() {
	for c.renewal.Err() == nil {
		pause := c.options.Lease / 3
		if granted, err := c.sendRenewal(c.renewal, c.resigned()); err != nil || !granted {
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
		Applied: c.View().Index(), Ack: *c.ack.Load(), GiveUp: giveUp,
	}
	var answer renewed
	if err := c.callLeader(ctx, methodRenew, question, &answer); err != nil {
		return false, err
	}
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
