package control

import (
	"errors"
	"log/slog"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/internal/raftnode"
	"github.com/aisle-store/aisle/cluster/internal/state"
)

// Position is how far the log of a node goes.
type Position = raftnode.Position

// Loss is what goes with nodes that are lost for ever, in slots.
type Loss = state.Loss

// Offline is the control state of a node that does not run.
type Offline struct {
	stores *raftnode.Stores
	log    *slog.Logger
	state  *state.State
	End    Position // of its log
	Voters []cluster.NodeID
}

// OpenOffline opens the directory of OnDisk. Close must follow.
func OpenOffline(dir string, log *slog.Logger) (*Offline, error) {
	const op = "control.OpenOffline"
	stores, err := raftnode.OpenDir(dir, log)
	if err != nil {
		return nil, cluster.E(op, dir, cluster.KindOther, err)
	}
	fsm := &replayed{state: state.New()}
	end, voters, err := raftnode.Replay(stores, fsm)
	if err == nil && !fsm.state.Formed() {
		err = cluster.Fail(op, dir, cluster.KindNotFound, "it holds no state of a cluster")
	}
	if err != nil {
		return nil, cluster.E(op, dir, cluster.KindOther, errors.Join(err, stores.Close()))
	}
	return &Offline{stores: stores, log: log, state: fsm.state, End: end, Voters: voters}, nil
}

// Close closes the directory.
func (o *Offline) Close() error { return o.stores.Close() }

// Map returns the active map as this node knows it.
func (o *Offline) Map() *cluster.Map { return o.state.Active }

// Loss returns what would go with some nodes.
func (o *Offline) Loss(dead []cluster.NodeID) (Loss, error) {
	_, loss, err := o.state.Recover(dead)
	return loss, err
}

// Recover lets the cluster go on with one node as its only voter and without some nodes for ever.
func (o *Offline) Recover(id cluster.NodeID, dead []cluster.NodeID) error {
	return raftnode.Recover(o.stores, id, &replayed{state: state.New(), dead: dead, recovers: true}, o.log)
}

// replayed is a state that is made from the log, without a Control.
type replayed struct {
	state    *state.State
	dead     []cluster.NodeID
	recovers bool
}

// Apply implements raftnode.FSM.
func (r *replayed) Apply(index uint64, data []byte) any {
	if index <= r.state.Index {
		return state.Result{Stale: true}
	}
	next, result, err := r.state.Apply(index, data)
	if err != nil {
		return raftnode.Halt{Err: err}
	}
	r.state = next
	return result
}

// Snapshot implements raftnode.FSM.
func (r *replayed) Snapshot() ([]byte, error) {
	s := r.state
	if r.recovers {
		var err error
		if s, _, err = r.state.Recover(r.dead); err != nil {
			return nil, err
		}
	}
	return s.Snapshot()
}

// Restore implements raftnode.FSM.
func (r *replayed) Restore(data []byte) (err error) {
	r.state, err = state.Restore(data)
	return err
}
