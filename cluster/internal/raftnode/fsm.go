package raftnode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// FSM is the state machine that the engine drives. Its methods are called by one goroutine at a time, in the order of
// the log. None may read a clock, a random source or anything else outside of its arguments.
type FSM interface {
	// Apply takes the committed command at index and returns its result, which Propose hands to its caller. A result of
	// type Halt stops the engine: the command, and all that follow, stay unapplied.
	Apply(index uint64, data []byte) any
	// Snapshot returns the whole state, as Restore takes it.
	Snapshot() ([]byte, error)
	// Restore replaces the whole state. An error stops the engine.
	Restore(data []byte) error
}

// Halt is the result of a command that this build cannot apply, such as one of a later version. Skipping it would let
// this member's state differ from the others', so the engine stops instead.
type Halt struct{ Err error }

// Error says why the state machine stopped.
func (h Halt) Error() string { return "state machine halted: " + h.Err.Error() }

// Unwrap returns the cause.
func (h Halt) Unwrap() error { return h.Err }

// errClosed answers what raft still asks of the state machine of a member that was crashed.
var errClosed = errors.New("the member has stopped")

// machine fits an FSM to raft: it keeps the applied index, which raft itself counts before the command is applied, puts
// it into snapshots, and stops for ever at the first Halt.
type machine struct {
	fsm     FSM
	applied atomic.Uint64
	halted  chan struct{} // closed when cause is set
	mu      struct {
		sync.Mutex
		cause  error
		closed bool // a crashed member applies nothing more
	}
}

func newMachine(fsm FSM) *machine {
	return &machine{fsm: fsm, halted: make(chan struct{})}
}

// Apply implements raft.FSM.
func (m *machine) Apply(log *raft.Log) any {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.refuse(); err != nil {
		return err
	}
	result := m.fsm.Apply(log.Index, log.Data)
	if h, ok := result.(Halt); ok {
		return m.halt(Halt{fmt.Errorf("command at index %d: %w", log.Index, h.Err)})
	}
	m.applied.Store(log.Index)
	return result
}

// Restore implements raft.FSM.
func (m *machine) Restore(source io.ReadCloser) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.refuse(); err != nil {
		return err
	}
	raw, err := io.ReadAll(source)
	if err != nil {
		return err
	}
	index, data, err := openSnapshot(raw)
	if err != nil {
		return m.halt(Halt{err})
	}
	if err := m.fsm.Restore(data); err != nil {
		return m.halt(Halt{fmt.Errorf("snapshot of index %d: %w", index, err)})
	}
	m.applied.Store(index)
	return nil
}

// Snapshot implements raft.FSM. A halted machine gives none: its log must stay for a build that understands it.
func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.refuse(); err != nil {
		return nil, err
	}
	data, err := m.fsm.Snapshot()
	if err != nil {
		return nil, err
	}
	return snapshot(sealSnapshot(m.applied.Load(), data)), nil
}

func (m *machine) refuse() error {
	if m.mu.closed {
		return errClosed
	}
	return m.mu.cause
}

func (m *machine) halt(h Halt) Halt {
	m.mu.cause = h
	close(m.halted)
	return h
}

// cause returns why the machine halted, or nil.
func (m *machine) cause() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.cause
}

// close makes the machine ignore whatever raft still commits.
func (m *machine) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.closed = true
}

// snapshotMagic opens every snapshot; its last digit is the format number.
const snapshotMagic = "aislefs1"

func sealSnapshot(index uint64, data []byte) []byte {
	raw := make([]byte, 0, len(snapshotMagic)+8+len(data))
	raw = append(raw, snapshotMagic...)
	raw = binary.BigEndian.AppendUint64(raw, index)
	return append(raw, data...)
}

func openSnapshot(raw []byte) (index uint64, data []byte, err error) {
	n := len(snapshotMagic)
	if len(raw) < n+8 || string(raw[:n]) != snapshotMagic {
		return 0, nil, errors.New("the snapshot has a format that this build does not know")
	}
	return binary.BigEndian.Uint64(raw[n:]), raw[n+8:], nil
}

// snapshot is a state that waits to be written.
type snapshot []byte

// Persist implements raft.FSMSnapshot.
func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := sink.Write(s); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot.
func (s snapshot) Release() {}
