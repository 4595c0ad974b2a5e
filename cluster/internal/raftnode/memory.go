package raftnode

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/hashicorp/raft"
)

// Stores is where one member keeps its log, its vote and its snapshots. It serves one Engine once.
type Stores struct {
	logs      raft.LogStore
	stable    raft.StableStore
	snapshots raft.SnapshotStore
	freeze    func()       // from now on store nothing; a crash
	close     func() error // idempotent
}

// Close closes stores that no Engine was started on.
func (s *Stores) Close() error { return s.close() }

// MemoryDisk keeps what a member has stored while its process is gone. It is for tests and simulations.
type MemoryDisk struct {
	mu struct {
		sync.Mutex
		kept *contents
		user *memory // who has it open
	}
}

// NewMemoryDisk returns an empty disk.
func NewMemoryDisk() *MemoryDisk {
	d := &MemoryDisk{}
	d.mu.kept = &contents{logs: make(map[uint64]*raft.Log), values: make(map[string][]byte)}
	return d
}

// Open returns the stores on the disk for a process that starts. A process that had them open before is dead: what it
// still writes is lost.
func (d *MemoryDisk) Open() *Stores {
	m := &memory{disk: d}
	d.mu.Lock()
	if d.mu.user != nil {
		d.mu.user.cutOff()
	}
	d.mu.user = m
	m.seen = d.mu.kept
	d.mu.Unlock()
	return &Stores{logs: m, stable: m, snapshots: m, freeze: m.freeze, close: func() error { m.freeze(); return nil }}
}

// contents are the things stored. Stored logs, values and snapshots are never changed in place.
type contents struct {
	logs        map[uint64]*raft.Log
	first, last uint64
	values      map[string][]byte
	snapshots   []storedSnapshot // oldest first
	sequence    uint64           // of snapshots
}

type storedSnapshot struct {
	meta raft.SnapshotMeta
	data []byte
}

func (c *contents) clone() *contents {
	copied := *c
	copied.logs = maps.Clone(c.logs)
	copied.values = maps.Clone(c.values)
	copied.snapshots = slices.Clone(c.snapshots)
	return &copied
}

// memory is one process's view of a MemoryDisk: all three stores of raft.
type memory struct {
	disk *MemoryDisk
	seen *contents // guarded by disk.mu; a copy of its own once the process is dead
}

// cutOff leaves the dead process with a copy: raft expects to read what it has written until it ends.
func (m *memory) cutOff() {
	m.seen = m.seen.clone()
	m.disk.mu.user = nil
}

func (m *memory) freeze() {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	if m.disk.mu.user == m {
		m.cutOff()
	}
}

// with runs f on what this process sees.
func (m *memory) with(f func(c *contents)) {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	f(m.seen)
}

// FirstIndex implements raft.LogStore.
func (m *memory) FirstIndex() (index uint64, err error) {
	m.with(func(c *contents) { index = c.first })
	return index, nil
}

// LastIndex implements raft.LogStore.
func (m *memory) LastIndex() (index uint64, err error) {
	m.with(func(c *contents) { index = c.last })
	return index, nil
}

// GetLog implements raft.LogStore.
func (m *memory) GetLog(index uint64, log *raft.Log) (err error) {
	m.with(func(c *contents) {
		stored, ok := c.logs[index]
		if !ok {
			err = raft.ErrLogNotFound
			return
		}
		*log = *stored
	})
	return err
}

// StoreLog implements raft.LogStore.
func (m *memory) StoreLog(log *raft.Log) error { return m.StoreLogs([]*raft.Log{log}) }

// StoreLogs implements raft.LogStore.
func (m *memory) StoreLogs(logs []*raft.Log) error {
	m.with(func(c *contents) {
		for _, log := range logs {
			stored := *log
			c.logs[log.Index] = &stored
			if c.first == 0 {
				c.first = log.Index
			}
			c.last = max(c.last, log.Index)
		}
	})
	return nil
}

// DeleteRange implements raft.LogStore.
func (m *memory) DeleteRange(low, high uint64) error {
	m.with(func(c *contents) {
		low, high := max(low, c.first), min(high, c.last)
		if low > high {
			return
		}
		for i := low; i <= high; i++ {
			delete(c.logs, i)
		}
		if low <= c.first {
			c.first = high + 1
		}
		if high >= c.last {
			c.last = low - 1
		}
		if c.first > c.last {
			c.first, c.last = 0, 0
		}
	})
	return nil
}

// Set implements raft.StableStore.
func (m *memory) Set(key, value []byte) error {
	m.with(func(c *contents) { c.values[string(key)] = bytes.Clone(value) })
	return nil
}

// errNoValue has the text by which raft knows a missing value.
var errNoValue = errors.New("not found")

// Get implements raft.StableStore.
func (m *memory) Get(key []byte) (value []byte, err error) {
	m.with(func(c *contents) {
		stored, ok := c.values[string(key)]
		if !ok {
			err = errNoValue
		}
		value = stored
	})
	return value, err
}

// SetUint64 implements raft.StableStore.
func (m *memory) SetUint64(key []byte, value uint64) error {
	return m.Set(key, fmt.Append(nil, value))
}

// GetUint64 implements raft.StableStore.
func (m *memory) GetUint64(key []byte) (value uint64, err error) {
	stored, err := m.Get(key)
	if err != nil {
		return 0, err
	}
	_, err = fmt.Sscan(string(stored), &value)
	return value, err
}

// Create implements raft.SnapshotStore.
func (m *memory) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	s := &memorySink{to: m, meta: raft.SnapshotMeta{
		Version: version, Index: index, Term: term,
		Configuration: configuration, ConfigurationIndex: configurationIndex,
	}}
	m.with(func(c *contents) {
		c.sequence++
		s.meta.ID = fmt.Sprintf("%d-%d-%d", term, index, c.sequence)
	})
	return s, nil
}

// List implements raft.SnapshotStore: newest first.
func (m *memory) List() (metas []*raft.SnapshotMeta, err error) {
	m.with(func(c *contents) {
		for _, s := range slices.Backward(c.snapshots) {
			meta := s.meta
			metas = append(metas, &meta)
		}
	})
	return metas, nil
}

// Open implements raft.SnapshotStore.
func (m *memory) Open(id string) (meta *raft.SnapshotMeta, data io.ReadCloser, err error) {
	err = fmt.Errorf("no snapshot %q", id)
	m.with(func(c *contents) {
		for _, s := range c.snapshots {
			if s.meta.ID == id {
				found := s.meta
				meta, data, err = &found, io.NopCloser(bytes.NewReader(s.data)), nil
			}
		}
	})
	return meta, data, err
}

// snapshotsKept is how many snapshots a store keeps.
const snapshotsKept = 2

// memorySink collects a snapshot, which exists once it is closed.
type memorySink struct {
	to   *memory
	meta raft.SnapshotMeta
	data bytes.Buffer
	done bool
}

// Write implements raft.SnapshotSink.
func (s *memorySink) Write(p []byte) (int, error) { return s.data.Write(p) }

// ID implements raft.SnapshotSink.
func (s *memorySink) ID() string { return s.meta.ID }

// Cancel implements raft.SnapshotSink.
func (s *memorySink) Cancel() error {
	s.done = true
	return nil
}

// Close implements raft.SnapshotSink.
func (s *memorySink) Close() error {
	if s.done {
		return nil
	}
	s.done = true
	s.meta.Size = int64(s.data.Len())
	s.to.with(func(c *contents) {
		c.snapshots = append(slices.Clone(c.snapshots), storedSnapshot{s.meta, s.data.Bytes()})
		if extra := len(c.snapshots) - snapshotsKept; extra > 0 {
			c.snapshots = c.snapshots[extra:]
		}
	})
	return nil
}
