package control

import (
	"context"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/internal/state"
)

// SetMountpaths tells the cluster what the mountpaths of this node are; serial is one more than Node.Remounted of the map that it goes by. After a loss the holders of its slots change: see
// docs/consistency.md, "Mountpaths". kept are the slots of which a mountpath that is back has kept what it had; KindConflict says
// that other targets have what some of them had by now, or that the mountpaths were changed meanwhile. It returns nil when that is decided and applied here.
func (c *Control) SetMountpaths(ctx context.Context, serial uint64, mountpaths []cluster.Mountpath, lost bool, kept *cluster.SlotSet) error {
	const op = "control.SetMountpaths"
	question := mounting{Version: messageVersion, Set: state.SetMountpaths{
		Node: c.options.Node.ID, Incarnation: c.options.Node.Incarnation, Serial: serial, Mountpaths: mountpaths, Lost: lost, Kept: kept,
	}}
	var answer latest
	for {
		err := c.tryMounting(ctx, question, &answer)
		if err == nil {
			err = c.Wait(ctx, func(v *View) bool { return v.Index() >= answer.Index })
		}
		if err == nil {
			return nil
		}
		if definite(err) {
			return cluster.E(op, "", cluster.KindOther, err)
		}
		if !sleep(ctx, retryPause) {
			return cluster.E(op, "", cluster.KindUnavailable, err)
		}
	}
}

func (c *Control) tryMounting(ctx context.Context, question mounting, answer *latest) error {
	ctx, cancel := context.WithTimeout(ctx, c.options.Lease)
	defer cancel()
	return c.callLeader(ctx, methodDisks, question, answer)
}

// handleMounting makes the change. It does not wait for the pending map: it cancels it.
func (c *Control) handleMounting(ctx context.Context, q mounting) (latest, error) {
	const op = "control.handleMounting"
	t := c.term.Load()
	if t == nil {
		return latest{}, noLeader()
	}
	result, err := t.propose(ctx, state.Command{SetMountpaths: &q.Set})
	if err != nil {
		return latest{}, err
	}
	if result.Refused() {
		return latest{}, result.Err(op)
	}
	if q.Set.Lost {
		t.log.Warn("a target has lost a mountpath", "target", string(q.Set.Node))
	}
	t.changed.raise()
	return latest{Version: messageVersion, Index: t.View().Index()}, nil
}
