package control

import (
	"github.com/aisle-store/aisle/cluster/internal/raftnode"
	"github.com/aisle-store/aisle/cluster/internal/state"
)

// machine fits the state machine to the engine: it publishes every state as a View.
//
// A view never goes back. Raft can: when a follower has compacted its log beyond what its leader knows it to have, since
// its answers were lost, the leader sends it a snapshot that is older than its state, and then all commands after it
// again. What was applied once was committed, so it is kept, and those commands are passed over.
type machine struct{ *Control }

// Apply implements raftnode.FSM. The result is a state.Result.
func (m machine) Apply(index uint64, data []byte) any {
	current := m.View().state
	if index <= current.Index {
		return state.Result{Stale: true}
	}
	next, result, err := current.Apply(index, data)
	if err != nil {
		return raftnode.Halt{Err: err}
	}
	m.publish(next)
	return result
}

// Snapshot implements raftnode.FSM.
func (m machine) Snapshot() ([]byte, error) { return m.View().state.Snapshot() }

// Restore implements raftnode.FSM.
func (m machine) Restore(data []byte) error {
	restored, err := state.Restore(data)
	if err != nil {
		return err
	}
	if restored.Index > m.View().Index() {
		m.publish(restored)
	}
	return nil
}

// newView returns the view of a state.
func (c *Control) newView(s *state.State) *View {
	return &View{state: s, open: c.openKey, derive: c.derive, unseal: c.unsealKey, clusterSealed: c.clusterSealed, next: make(chan struct{})}
}

// publish replaces the view, and only then lets leases count that name it.
func (c *Control) publish(s *state.State) {
	old := c.view.Swap(c.newView(s))
	c.lease.applied(s.Index)
	close(old.next)
	c.tell()
}

// tell makes the renewer report to the leader at once.
func (c *Control) tell() {
	select {
	case c.report <- struct{}{}:
	default:
	}
}

// derive returns what follows from the cluster key.
func (c *Control) derive(label string) ([]byte, error) { return c.options.Keyring.Derive(label) }

// openKey opens the sealed secret of an access key.
func (c *Control) openKey(k state.Key) (Key, bool) {
	plain, err := c.options.Keyring.Open(k.Sealed)
	if err != nil {
		c.log.Error("cannot open an access key", "key", string(k.ID), "error", err)
		return Key{}, false
	}
	key := keyOf(k)
	key.Secret = string(plain)
	return key, true
}
