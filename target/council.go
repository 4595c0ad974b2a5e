package target

import (
	"context"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/target/internal/replica"
	"github.com/aisle-store/aisle/target/internal/store"
)

// Shared is what a target asks of a control plane that lets slots have several holders. Without it a target is the only
// holder of every slot that it owns.
type Shared interface {
	Accuse(ctx context.Context, slot cluster.Slot, epoch cluster.Epoch, holders []cluster.NodeID) error
	SetMountpaths(ctx context.Context, serial uint64, mountpaths []cluster.Mountpath, lost bool, kept *cluster.SlotSet) error
	Synced(ctx context.Context, slots map[cluster.Epoch]*cluster.SlotSet) error
}

// council tells the store what the map says of other holders.
type council struct {
	Shared
	control Control
}

// Map implements store.Council.
func (c *council) Map() *cluster.Map { return c.control.Applied().Map() }

// share lets the store take part in slots with several holders.
func (o *Options) share(s *store.Options) {
	shared, ok := o.Control.(Shared)
	if !ok {
		return
	}
	c := &council{Shared: shared, control: o.Control}
	s.Council = c
	s.Peers = replica.NewClient(intra.Messenger{HTTP: o.Peers, Tickets: o.Tickets, Self: o.Node.ID}, c.Map)
}
