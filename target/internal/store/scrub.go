package store

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/aisle-store/aisle/target/internal/meta"
	"github.com/aisle-store/aisle/xact"
)

// The scrub of a mountpath reads every entry of its index and every place that one names, in the order of the index, at a
// bounded rate; then it rests until the next pass is due. How far it has come is kept in the index, so it goes on there after
// a restart. What it finds is repaired (see repair.go).

const (
	scrubNote    = "scrub"     // the name of the state in the index
	scrubEntries = 256         // of the index at a time
	scrubRange   = 64 << 20    // of a place that is pinned at a time
	scrubTick    = time.Second // how often it is looked whether a pass is due
	scrubSave    = 10 * time.Second
	scrubPlace   = 4 << 10 // what it costs to come to a place, in bytes
	scrubLinger  = 10 * time.Millisecond
)

// ScrubSettings say how what is stored is verified.
type ScrubSettings struct {
	Rate     int64         // bytes a second that are read of each mountpath
	Interval time.Duration // from the beginning of one pass to that of the next; zero: only when it is asked for
}

// Scrub is how far the verification of one mountpath has come.
type Scrub struct {
	Mountpath cluster.Mountpath `json:"-"`
	Asked     bool              `json:"-"` // a pass is about to begin
	Running   bool              `json:"-"`
	Err       error             `json:"-"` // why nothing can be verified
	Damaged   int64             `json:"-"` // not repaired yet, whoever found it
	Repaired  int64             `json:"-"` // since the process started
	Read      int64             `json:"-"` // bytes verified since the process started

	Pass     int64     `json:"pass"`               // number of the pass that runs, or ran last; the first is 1
	Began    time.Time `json:"began,omitzero"`     // that pass
	Ended    time.Time `json:"ended,omitzero"`     // that pass; zero while it runs
	Entries  int64     `json:"entries,omitempty"`  // of the index, verified in that pass
	Bytes    int64     `json:"bytes,omitempty"`    // verified in that pass
	Found    int64     `json:"found,omitempty"`    // damages in that pass
	Previous int64     `json:"previous,omitempty"` // bytes of the last complete pass before
	Cursor   []byte    `json:"cursor,omitempty"`   // where the pass goes on
}

// scrubber is the scrub of one mountpath.
type scrubber struct {
	mu    sync.Mutex
	state Scrub // guarded by mu
	owed  int64 // guarded by mu: bytes that were read and not waited for
	wake  chan struct{}
	saved time.Time // of the state, by its only user
}

func newScrubber() *scrubber { return &scrubber{wake: make(chan struct{}, 1)} }

func (c *scrubber) snapshot() Scrub {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

func (c *scrubber) update(change func(*Scrub)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.state)
}

// Scrubs returns how far the verification of each mountpath that can be read has come.
func (s *Store) Scrubs() []Scrub {
	var all []Scrub
	for _, m := range s.mounted() {
		if m.scrubber == nil {
			continue
		}
		state := m.scrubber.snapshot()
		state.Mountpath, state.Err = m.Mountpath, m.err()
		state.Damaged, state.Repaired = s.damages.counts(m)
		all = append(all, state)
	}
	return all
}

// StartScrub begins a pass over every mountpath where none runs, or goes on with one that was interrupted, and has everything
// that could not be repaired tried again.
func (s *Store) StartScrub() {
	s.damages.hurry()
	for _, m := range s.mounted() {
		if c := m.scrubber; c != nil {
			c.update(func(state *Scrub) { state.Asked = !state.Running })
			select {
			case c.wake <- struct{}{}:
			default:
			}
		}
	}
}

// scrub verifies a mountpath whenever it is due, until the context ends or the index dies.
func (s *Store) scrub(ctx context.Context, m *mountpath) {
	c := m.scrubber
	if err := c.load(m.index); err != nil {
		s.o.Events.background(m.ID, "scrub", err) // it begins anew
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.index.Dead():
			return
		case <-c.wake:
		case <-time.After(scrubTick):
		}
		if m.unreadable.Swap(false) {
			if err := s.checkIndex(ctx, m); err != nil && ctx.Err() == nil {
				s.o.Events.background(m.ID, "check the index", err)
			}
		}
		if !c.isDue(s.o.Now(), s.scrubSettings().Interval) {
			continue
		}
		if err := s.scrubPass(ctx, m); err != nil && ctx.Err() == nil {
			s.o.Events.background(m.ID, "scrub", err)
			if !pause(ctx, scrubTick) {
				return
			}
		}
	}
}

func (s *Store) scrubSettings() ScrubSettings {
	if s.o.Scrub == nil {
		return ScrubSettings{Rate: 64 << 20}
	}
	return s.o.Scrub()
}

// load takes up the state that an earlier process has kept.
func (c *scrubber) load(index *meta.Index) error {
	text, err := index.Note(scrubNote)
	if err != nil || text == nil {
		return err
	}
	var state Scrub
	if err := json.Unmarshal(text, &state); err != nil {
		return err
	}
	c.update(func(now *Scrub) { *now = state })
	return nil
}

// save keeps the state. It is not synced: a crash costs a little of the way.
func (c *scrubber) save(index *meta.Index) error {
	text, err := json.Marshal(c.snapshot())
	if err != nil {
		return err
	}
	batch := index.NewBatch()
	batch.SetNote(scrubNote, text)
	c.saved = time.Now()
	return batch.Commit(false)
}

// isDue reports whether a pass is to begin or to go on. A clock that was set back makes it due, too: it began in the future.
func (c *scrubber) isDue(now time.Time, interval time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.state.Asked, c.state.Cursor != nil && interval > 0:
		return true
	case interval <= 0:
		return false
	}
	since := now.Sub(c.state.Began)
	return c.state.Began.IsZero() || since >= interval || since < -time.Hour
}

// begin begins a pass, or goes on with the one that was interrupted.
func (c *scrubber) begin(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.Asked, c.state.Running = false, true
	if c.state.Cursor != nil {
		return
	}
	previous := c.state.Previous
	if !c.state.Ended.IsZero() {
		previous = c.state.Bytes
	}
	c.state = Scrub{Running: true, Read: c.state.Read, Pass: c.state.Pass + 1, Began: now, Previous: previous}
}

// scrubPass goes over the mountpath, or what is left of it.
func (s *Store) scrubPass(ctx context.Context, m *mountpath) error {
	c := m.scrubber
	c.begin(s.o.Now())
	if m.mirror != nil {
		m.mirror.Turn() // the index is read on another disk in each pass
	}
	job := s.o.Jobs.Start(xact.Scrub, m.Path)
	job.Expect(0, c.snapshot().Previous)
	err := s.scrubOn(ctx, m, job)
	job.End(err)
	c.update(func(state *Scrub) { state.Running = false })
	return err
}

// scrubOn goes on with a pass until its end.
func (s *Store) scrubOn(ctx context.Context, m *mountpath, job *xact.Run) error {
	c := m.scrubber
	for {
		before := c.snapshot()
		if err := m.err(); err != nil {
			return err
		}
		page, err := m.index.Verify(ctx, before.Cursor, scrubEntries)
		if err != nil && !cluster.Is(err, cluster.KindCorrupt) {
			return err
		}
		if spent := s.scrubPage(ctx, m, page); spent != nil {
			return spent
		}
		c.update(func(state *Scrub) {
			state.Entries, state.Cursor = state.Entries+int64(page.Count), page.Next
			if err != nil {
				state.Found++
			}
		})
		job.Add(int64(page.Count), c.snapshot().Bytes-before.Bytes)
		if err != nil {
			s.indexDamaged(ctx, m, err) // behind it nothing can be found: the pass is over
		} else if page.Next == nil {
			s.damages.endIndex(m)
		}
		if page.Next == nil {
			c.update(func(state *Scrub) { state.Ended = s.o.Now() })
			return c.save(m.index)
		}
		if time.Since(c.saved) > scrubSave {
			if err := c.save(m.index); err != nil {
				return err
			}
		}
	}
}

// checkIndex reads the index from end to end, since somebody met a block that cannot be read.
func (s *Store) checkIndex(ctx context.Context, m *mountpath) error {
	defer m.unreadable.Store(false) // what was met here is met no more
	err := m.readIndex(ctx)
	if cluster.Is(err, cluster.KindCorrupt) {
		s.indexDamaged(ctx, m, err)
		return nil
	}
	return err
}

// indexDamaged notes that a part of an index cannot be read. Nobody can tell what was in it, so where other targets hold anything of
// what this one does, the mountpath counts as failed: they take over, and give back what it had onto other mountpaths. What nobody
// else has is still read, where it can be.
func (s *Store) indexDamaged(ctx context.Context, m *mountpath, err error) {
	if m.mirror != nil && s.isElsewhereWhole(ctx, m, err) {
		return
	}
	s.unreadableRecord(m, meta.Ref{}, err)
	if s.council == nil || m.disk.Err() != nil {
		return
	}
	now := s.council.Map()
	for i := range now.Slots {
		if _, holds := now.Slots[i].Holder(s.o.Node); !holds || len(now.Slots[i].Holders) == 1 {
			continue
		}
		m.disk.GiveUp(err)
		if s.o.Events.MountpathFailed != nil {
			s.o.Events.MountpathFailed(m.ID, err)
		}
		return
	}
}

// isElsewhereWhole takes the disk of a mirror on which the index cannot be read out of it, if it can be read on another one.
func (s *Store) isElsewhereWhole(ctx context.Context, m *mountpath, cause error) bool {
	bad := m.mirror.First()
	for range len(m.mirror.InStep()) - 1 {
		m.mirror.Turn()
		if m.readIndex(ctx) == nil {
			return m.mirror.Drop(bad, cause)
		}
	}
	return ctx.Err() != nil
}

// readIndex reads the index from end to end.
func (m *mountpath) readIndex(ctx context.Context) error {
	for from, last := []byte(nil), false; !last; {
		page, err := m.index.Verify(ctx, from, scrubEntries)
		if err != nil {
			return err
		}
		from, last = page.Next, page.Next == nil
	}
	return nil
}

// endIndex notes that all of an index can be read.
func (g *damages) endIndex(m *mountpath) {
	g.mu.Lock()
	d := g.all[spot{m: m}]
	g.mu.Unlock()
	if d != nil {
		g.end(d, false)
	}
}

// scrubPage verifies what a page of entries names.
func (s *Store) scrubPage(ctx context.Context, m *mountpath, page *meta.CheckedPage) error {
	if err := s.scrubbed(ctx, m, page.Bytes); err != nil {
		return err
	}
	for i := range page.Entries {
		entry := &page.Entries[i]
		if entry.Err != nil {
			s.o.Events.corrupt(m.ID, entry.Ref.Bucket, entry.Ref.Key, entry.Err)
			m.scrubber.update(func(state *Scrub) { state.Found++ })
			s.unreadableRecord(m, entry.Ref, entry.Err)
			continue
		}
		for j, place := range entry.Places {
			if err := s.scrubOne(ctx, m, entry.Ref, entry.Pieces[j], place); err != nil {
				return err
			}
		}
	}
	return nil
}

// scrubbed accounts bytes that were read, and waits until as many may be read again.
func (s *Store) scrubbed(ctx context.Context, m *mountpath, n int64) error {
	rate := max(s.scrubSettings().Rate, 1)
	wait := m.scrubber.account(n, rate)
	if wait > 0 && !pause(ctx, wait) {
		return context.Cause(ctx)
	}
	return nil
}

// account notes bytes that were read, and returns how long to wait: nothing, until it is worth it.
func (c *scrubber) account(n, rate int64) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.Bytes, c.state.Read, c.owed = c.state.Bytes+n, c.state.Read+n, c.owed+n
	wait := time.Duration(float64(c.owed) / float64(rate) * float64(time.Second))
	if wait < scrubLinger {
		return 0
	}
	c.owed = 0
	return wait
}

// scrubOne verifies a place, range by range. One that is bad, or gone, while a record still names it, is damaged.
func (s *Store) scrubOne(ctx context.Context, m *mountpath, ref meta.Ref, piece int, place disk.Place) error {
	for at := int64(0); at < place.Length; at += scrubRange {
		n := min(scrubRange, place.Length-at)
		read, err := m.verifyRange(ctx, place, at, n)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, disk.ErrGone), cluster.Is(err, cluster.KindCorrupt):
			return s.scrubFound(ctx, m, ref, piece, place)
		case err != nil:
			s.o.Events.background(m.ID, "scrub of "+ref.String(), err)
			return nil
		}
		if err := s.scrubbed(ctx, m, read+scrubPlace); err != nil {
			return err
		}
	}
	return nil
}

// scrubFound notes a damage, unless the place was given up since its record was read, or is about to be. While more is damaged than can be noted,
// the scrub waits: what it passed over now would be found again only in its next pass.
func (s *Store) scrubFound(ctx context.Context, m *mountpath, ref meta.Ref, piece int, place disk.Place) error {
	_, bad, err := s.verifyNamed(ctx, m, ref, piece, place)
	if err != nil || bad == nil || m.isBehind(ref) {
		return nil //nolint:nilerr // it is not known to be damaged, or goes
	}
	m.scrubber.update(func(state *Scrub) { state.Found++ })
	s.o.Events.corrupt(m.ID, ref.Bucket, ref.Key, bad)
	s.damaged(m, ref, piece, place, bad)
	for wait := 0; s.damages.isFull() && wait < scrubFullWaits; wait++ {
		if !pause(ctx, scrubTick) {
			return context.Cause(ctx)
		}
	}
	return nil
}

// isBehind reports whether a later generation of the same line is here, in doubt or not.
func (m *mountpath) isBehind(ref meta.Ref) bool {
	line, err := m.line(ref)
	return err == nil && len(line) > 0 && ref.Generation.Less(line[0].Generation)
}

const scrubFullWaits = 10 // then it goes on: what cannot be repaired must not keep the rest from being verified
