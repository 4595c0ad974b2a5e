package raftnode

import (
	"errors"
	"fmt"
	"sync"

	"github.com/hashicorp/raft"
)

// guard stands between raft and its stores. Raft panics when a vote cannot be stored or an entry cannot be read, which
// would take the whole process down, and it goes on after a failed append as if the next could be trusted. The guard
// makes the first failure final: the engine hears of it, and raft's goroutines that need the store wait until the member
// is cut off from the others, so that nothing is ever said of what was not stored.
type guard struct {
	raft.LogStore
	stable raft.StableStore
	failed chan struct{} // closed at the first failure
	parted chan struct{} // closed when the member is cut off
	mu     struct {
		sync.Mutex
		cause   error
		running bool // raft has started; before, errors simply go up
		parted  bool
	}
}

func newGuard(s *Stores) *guard {
	return &guard{LogStore: s.logs, stable: s.stable, failed: make(chan struct{}), parted: make(chan struct{})}
}

// start makes failures final from now on.
func (g *guard) start() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.running = true
}

// part lets raft go on, as if all were well: the member is cut off, and nobody will hear of what it does.
func (g *guard) part() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.mu.parted {
		g.mu.parted = true
		close(g.parted)
	}
}

// cause returns the first failure, or nil.
func (g *guard) cause() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mu.cause
}

// fail notes a failure and reports whether raft has started.
func (g *guard) fail(what string, err error) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.running && g.mu.cause == nil {
		g.mu.cause = fmt.Errorf("the store of the control plane cannot %s: %w", what, err)
		close(g.failed)
	}
	return g.mu.running
}

// settle deals with the outcome of an operation whose failure makes raft panic.
func (g *guard) settle(what string, err error) error {
	if err == nil {
		if err = g.cause(); err == nil {
			return nil
		}
	}
	if !g.fail(what, err) {
		return err
	}
	<-g.parted
	return nil
}

// GetLog implements raft.LogStore.
func (g *guard) GetLog(index uint64, log *raft.Log) error {
	err := g.LogStore.GetLog(index, log)
	if err == nil || errors.Is(err, raft.ErrLogNotFound) {
		return err
	}
	return g.settle("read its log", err)
}

// StoreLog implements raft.LogStore.
func (g *guard) StoreLog(log *raft.Log) error { return g.StoreLogs([]*raft.Log{log}) }

// StoreLogs implements raft.LogStore. After a failure nothing is stored, even if the disk would take it again: what is on
// disk is not known.
func (g *guard) StoreLogs(logs []*raft.Log) error {
	if err := g.cause(); err != nil {
		return err
	}
	err := g.LogStore.StoreLogs(logs)
	if err != nil {
		g.fail("append to its log", err)
	}
	return err
}

// DeleteRange implements raft.LogStore.
func (g *guard) DeleteRange(low, high uint64) error {
	if err := g.cause(); err != nil {
		return err
	}
	err := g.LogStore.DeleteRange(low, high)
	if err != nil {
		g.fail("shorten its log", err)
	}
	return err
}

// IsMonotonic implements raft.MonotonicLogStore.
func (g *guard) IsMonotonic() bool {
	m, ok := g.LogStore.(raft.MonotonicLogStore)
	return ok && m.IsMonotonic()
}

// Set implements raft.StableStore.
func (g *guard) Set(key, value []byte) error {
	return g.settle("store its vote", g.stable.Set(key, value))
}

// SetUint64 implements raft.StableStore.
func (g *guard) SetUint64(key []byte, value uint64) error {
	return g.settle("store its term", g.stable.SetUint64(key, value))
}

// Get implements raft.StableStore.
func (g *guard) Get(key []byte) ([]byte, error) { return g.stable.Get(key) }

// GetUint64 implements raft.StableStore.
func (g *guard) GetUint64(key []byte) (uint64, error) { return g.stable.GetUint64(key) }
