package control

import (
	"context"
	"fmt"
	"log/slog"
	"net"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/internal/gossip"
	"github.com/aisle-store/aisle/cluster/internal/raftnode"
)

// Replication is how the control state is replicated: where a node keeps its log, and how its messages travel. It serves
// one Control once.
type Replication struct {
	stores *raftnode.Stores
	link   func(id cluster.NodeID, resolve func(cluster.NodeID) (string, error)) *raftnode.Link
	timing raftnode.Timing
	keep   raftnode.Retention
}

// OnDisk keeps the log in a directory and sends messages over streams that both ends have authenticated: listener gives
// those of others, dial opens one to an intra-cluster address. The Control closes the listener.
func OnDisk(dir string, listener net.Listener, dial func(ctx context.Context, addr string) (net.Conn, error), logger *slog.Logger) (*Replication, error) {
	stores, err := raftnode.OpenDir(dir, logger)
	if err != nil {
		return nil, cluster.E("control.OnDisk", dir, cluster.KindOther, err)
	}
	link := func(id cluster.NodeID, resolve func(cluster.NodeID) (string, error)) *raftnode.Link {
		return raftnode.NewStreams(raftnode.StreamOptions{ID: id, Listener: listener, Dial: dial, Resolve: resolve})
	}
	return &Replication{stores: stores, link: link}, nil
}

// OpenGossip listens for gossip. The key is derived from the cluster secret; with port 0 the address is the one that the
// result's Addr tells, and belongs into the node's GossipAddr.
func OpenGossip(n cluster.Node, listen string, key []byte, logger *slog.Logger) (*gossip.List, error) {
	self := gossip.Peer{ID: n.ID, IntraAddr: n.IntraAddr, Incarnation: n.Incarnation}
	return gossip.Start(gossip.Options{Self: self, Listen: listen, Advertise: n.GossipAddr, Key: key, Logger: logger})
}

// start starts the engine of a Control.
func (r *Replication) start(c *Control) (*raftnode.Engine, error) {
	id := c.options.Node.ID
	return raftnode.Start(raftnode.Options{
		ID: id, FSM: machine{c}, Stores: r.stores, Link: r.link(id, c.resolve), Timing: r.timing, Retention: r.keep, Logger: c.options.Logger,
	})
}

// resolve returns where a node is now, as far as anybody told.
func (c *Control) resolve(id cluster.NodeID) (string, error) {
	if addr, ok := c.book.heard(id); ok {
		return addr, nil
	}
	if c.options.Gossip != nil {
		for _, p := range c.options.Gossip.Peers() {
			if p.ID == id && p.IntraAddr != "" {
				return p.IntraAddr, nil
			}
		}
	}
	if addr, ok := c.book.last(id); ok {
		return addr, nil
	}
	v := c.View()
	if n, ok := v.Map().Node(id); ok && n.IntraAddr != "" {
		return n.IntraAddr, nil
	}
	if p := v.Pending(); p != nil {
		if n, ok := p.Node(id); ok && n.IntraAddr != "" {
			return n.IntraAddr, nil
		}
	}
	return "", cluster.Fail("control.resolve", string(id), cluster.KindUnavailable, fmt.Sprintf("nobody said where node %s is", id))
}
