package control

import (
	"context"
	"errors"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// How a starting node asks to enter.
const (
	enterTimeout = time.Second // of one call
	enterPause   = time.Second // before it asks again, when its request was taken
)

// enter brings this process into the map: it forms the cluster, or asks until a map that names it is active here.
func (c *Control) enter(ctx context.Context) error {
	if !c.engine.Bootstrapped() && len(c.options.Join) == 0 {
		if err := c.bootstrap(ctx); err != nil {
			return err
		}
	}
	for !names(c.View().Map(), c.me()) {
		taken, err := c.askToEnter(ctx)
		if cluster.Is(err, cluster.KindDenied) || cluster.Is(err, cluster.KindConflict) {
			return err
		}
		pause := retryPause
		if taken {
			pause = enterPause
		}
		wait, cancel := context.WithTimeout(ctx, pause)
		entered := c.Wait(wait, func(v *View) bool { return names(v.Map(), c.me()) })
		cancel()
		if entered != nil && (ctx.Err() != nil || c.life.Err() != nil) {
			return errors.Join(entered, err)
		}
	}
	return nil
}

// bootstrap makes this node the only member; as the leader it then forms the cluster. A crash in between leaves a node
// that forms the cluster at its next start.
func (c *Control) bootstrap(ctx context.Context) error {
	if err := c.options.Keyring.Create(); err != nil {
		return err
	}
	return c.engine.Bootstrap(ctx)
}

// askToEnter tells one node after the other that this process is here, the leader first, until the leader has heard it.
func (c *Control) askToEnter(ctx context.Context) (taken bool, err error) {
	question := entering{Version: messageVersion, Node: c.options.Node}
	if leader := c.engine.Leader(); leader != "" {
		taken, err = c.askOne(ctx, func(ctx context.Context, answer *entered) error {
			return c.callNode(ctx, leader, methodEnter, question, answer)
		})
		if taken || cluster.Is(err, cluster.KindDenied) {
			return taken, err
		}
	}
	for _, addr := range c.knownAddresses() {
		taken, err = c.askOne(ctx, func(ctx context.Context, answer *entered) error {
			return c.callAddress(ctx, addr, methodEnter, question, answer)
		})
		if taken || cluster.Is(err, cluster.KindDenied) || ctx.Err() != nil {
			return taken, err
		}
	}
	return false, err
}

func (c *Control) askOne(ctx context.Context, call func(context.Context, *entered) error) (taken bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, enterTimeout)
	defer cancel()
	var answer entered
	if err := call(ctx, &answer); err != nil {
		return false, err
	}
	return answer.Taken, c.learn(ctx, answer)
}

// learn keeps what the answer of another node says.
func (c *Control) learn(ctx context.Context, answer entered) error {
	if answer.Node.ID != c.options.Node.ID {
		c.book.note(answer.Node)
	}
	c.joinGossip(ctx, append(answer.Members, answer.Node))
	if len(answer.ClusterKey) == 0 {
		return nil
	}
	return c.options.Keyring.Import(answer.ClusterKey)
}

// joinGossip lets gossip know of nodes.
func (c *Control) joinGossip(ctx context.Context, nodes []cluster.Node) {
	var addrs []string
	for _, n := range nodes {
		if n.GossipAddr != "" && n.ID != c.options.Node.ID {
			addrs = append(addrs, n.GossipAddr)
		}
	}
	if c.options.Gossip == nil || len(addrs) == 0 {
		return
	}
	if _, err := c.options.Gossip.Join(ctx, addrs); err != nil {
		c.log.Debug("cannot reach every node by gossip", "error", err)
	}
}

// knownAddresses are those that the user gave, and those of the latest map.
func (c *Control) knownAddresses() []string {
	var addrs []string
	add := func(addr string) {
		if addr != "" && addr != c.options.Node.IntraAddr {
			addrs = append(addrs, addr)
		}
	}
	for _, addr := range c.options.Join {
		add(addr)
	}
	for _, n := range c.View().Map().Nodes {
		if addr, err := c.resolve(n.ID); err == nil && n.ID != c.options.Node.ID {
			add(addr)
		}
	}
	return addrs
}

// handleEntering takes a request to enter, or hands it to the leader.
func (c *Control) handleEntering(ctx context.Context, q entering) (entered, error) {
	c.book.note(q.Node)
	answer := entered{Version: messageVersion, Node: c.options.Node, Members: c.View().Map().Nodes}
	if t := c.term.Load(); t != nil {
		return t.take(ctx, q.Node, answer)
	}
	if leader := c.engine.Leader(); leader != "" && leader != c.options.Node.ID && !q.Forwarded {
		q.Forwarded = true
		var further entered
		if err := c.callNode(ctx, leader, methodEnter, q, &further); err == nil || cluster.Is(err, cluster.KindDenied) {
			return further, err
		}
	}
	return answer, nil
}

// take queues a node for the next map, and completes the answer to it.
func (t *term) take(ctx context.Context, n cluster.Node, answer entered) (entered, error) {
	err := t.enter(ctx, n)
	if err == nil {
		answer.ClusterKey, err = t.options.Keyring.Export()
	}
	answer.Taken = err == nil
	if cluster.Is(err, cluster.KindDenied) {
		return answer, err
	}
	return answer, nil
}

// Leave takes this node out of the cluster for ever; its id is refused afterwards. It is refused with KindConflict while
// the node has slots that were written, and for the last node. Call Stop after it.
func (c *Control) Leave(ctx context.Context) error {
	const op = "control.Leave"
	question := leaving{Version: messageVersion, Node: c.options.Node.ID}
	for {
		err := c.tryLeave(ctx, question)
		if err != nil && c.engine.Leader() == "" {
			// Perhaps it is done, and only the answer was lost: then raft has nothing more to say to this node.
			if _, denied := c.askToEnter(ctx); cluster.Is(denied, cluster.KindDenied) {
				err = nil
			}
		}
		if err == nil {
			c.lease.drop()
			c.resign()
			return nil
		}
		if definite(err) || !sleep(ctx, retryPause) {
			return cluster.E(op, string(c.options.Node.ID), cluster.KindOther, err)
		}
	}
}

// tryLeave makes one attempt. A leader hands leadership over before it leaves, once another node can take it.
func (c *Control) tryLeave(ctx context.Context, question leaving) error {
	ctx, cancel := context.WithTimeout(ctx, 2*mapTimeout)
	defer cancel()
	if c.engine.IsLeader() && c.otherVoters() {
		if err := c.engine.TransferLeadership(ctx, ""); err != nil {
			return err
		}
	}
	return c.callLeader(ctx, methodLeave, question, &nothing{})
}
