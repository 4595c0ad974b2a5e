package store

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/aisle-store/aisle/target/internal/meta"
)

const (
	damagesKept   = 1024             // more are counted, and found again by the next scrub
	repairSoon    = time.Second      // before the second attempt of a repair; each later one waits twice as long
	repairLongest = 10 * time.Minute // between two attempts
	repairTick    = 500 * time.Millisecond
)

// Damage is something on a mountpath that cannot be believed, and is not repaired yet. What is damaged is refused to whoever
// reads it.
type Damage struct {
	Mountpath cluster.MountpathID
	Bucket    cluster.BucketID
	Key       cluster.ObjectKey // empty: what the index cannot tell
	Upload    cluster.UploadID  // of a part of an upload in progress
	Part      int
	Since     time.Time
	Error     string // what is wrong
	Copies    int    // other holders in sync: where a repair may find it
	Attempts  int    // since it was found, or everything was to be tried again
	Failed    string // why the last attempt did not repair it
}

// damages are what is damaged on all mountpaths.
type damages struct {
	mu       sync.Mutex
	all      map[spot]*damage // guarded by mu
	dropped  int64            // guarded by mu: found while the list was full
	repaired map[*mountpath]int64
	wake     chan struct{} // one token: there is something to repair
}

// spot is where something damaged lies: a place, or a record that has none or cannot be read.
type spot struct {
	m     *mountpath
	place disk.Place
	ref   meta.Ref // zero when there is a place
}

// damage is one of them.
type damage struct {
	spot
	ref   meta.Ref // a record that names the place, or the record itself
	piece int
	since time.Time
	err   error

	work sync.Mutex // one attempt at a time

	ended    bool          // guarded by damages.mu: repaired, or nothing names it any more
	next     time.Duration // guarded by damages.mu: when it may be tried again, by the store's clock
	attempts int           // guarded by damages.mu
	failed   error         // guarded by damages.mu: of the last attempt
}

func newDamages() damages {
	return damages{all: make(map[spot]*damage), repaired: make(map[*mountpath]int64), wake: make(chan struct{}, 1)}
}

// damaged notes that the bytes of a piece of a record do not have their checksum. It returns nil when too much is damaged to
// be noted.
func (s *Store) damaged(m *mountpath, ref meta.Ref, piece int, place disk.Place, err error) *damage {
	if m.isElsewhere(s.o.Events) {
		return nil // nothing is known of what is not there
	}
	return s.damages.add(&damage{spot: spot{m: m, place: place}, ref: ref, piece: piece, since: s.o.Now(), err: err})
}

// unreadableRecord notes that a record, or a part of the index, cannot be read.
func (s *Store) unreadableRecord(m *mountpath, ref meta.Ref, err error) {
	s.damages.add(&damage{spot: spot{m: m, ref: ref}, ref: ref, since: s.o.Now(), err: err})
}

// add takes a damage into the list, unless it is there; it returns the one that is.
func (g *damages) add(d *damage) *damage {
	g.mu.Lock()
	defer g.mu.Unlock()
	if known := g.all[d.spot]; known != nil {
		return known
	}
	if len(g.all) >= damagesKept {
		g.dropped++
		return nil
	}
	g.all[d.spot] = d
	select {
	case g.wake <- struct{}{}:
	default:
	}
	return d
}

// isFull reports whether so much is damaged that no more can be noted.
func (g *damages) isFull() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.all) >= damagesKept
}

// knows reports whether a place is known to be damaged.
func (g *damages) knows(m *mountpath, place disk.Place) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.all[spot{m: m, place: place}] != nil
}

// hurry lets everything be tried again now.
func (g *damages) hurry() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, d := range g.all {
		d.next, d.attempts = 0, 0
	}
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// end takes a damage out of the list.
func (g *damages) end(d *damage, repaired bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	d.ended = true
	if g.all[d.spot] == d {
		delete(g.all, d.spot)
	}
	if repaired {
		g.repaired[d.m]++
	}
}

func (g *damages) hasEnded(d *damage) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return d.ended
}

// postpone notes that an attempt failed.
func (g *damages) postpone(d *damage, err error, now time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	d.failed = err
	d.attempts++
	d.next = now + min(repairSoon<<min(d.attempts-1, 20), repairLongest)
}

// counts returns how much is damaged on a mountpath, and how much was repaired since the start.
func (g *damages) counts(m *mountpath) (damaged, repaired int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, d := range g.all {
		if d.m == m {
			damaged++
		}
	}
	return damaged, g.repaired[m]
}

// due returns what may be tried now, what has the fewest other copies first.
func (g *damages) due(now time.Duration, copies func(meta.Ref) int) []*damage {
	g.mu.Lock()
	defer g.mu.Unlock()
	var list []*damage
	left := make(map[*damage]int)
	for _, d := range g.all {
		if d.next <= now {
			list = append(list, d)
			left[d] = copies(d.ref)
		}
	}
	slices.SortFunc(list, func(a, b *damage) int {
		if by := left[a] - left[b]; by != 0 {
			return by
		}
		return a.since.Compare(b.since)
	})
	return list
}

// Damages returns what is damaged and not repaired yet, by name, and how much more was found than can be kept.
func (s *Store) Damages() (list []Damage, more int64) {
	s.damages.mu.Lock()
	defer s.damages.mu.Unlock()
	for _, d := range s.damages.all {
		entry := Damage{
			Mountpath: d.m.ID, Bucket: d.ref.Bucket, Key: d.ref.Key, Upload: d.ref.Upload, Part: int(d.ref.Part), Since: d.since,
			Error: d.err.Error(), Copies: len(s.elsewhereInSync(d.ref)), Attempts: d.attempts,
		}
		if d.failed != nil {
			entry.Failed = d.failed.Error()
		}
		list = append(list, entry)
	}
	slices.SortFunc(list, func(a, b Damage) int {
		if by := a.Copies - b.Copies; by != 0 {
			return by
		}
		return a.Since.Compare(b.Since)
	})
	return list, s.damages.dropped
}

// elsewhereInSync returns the other holders in sync of a record's slot.
func (s *Store) elsewhereInSync(ref meta.Ref) []cluster.NodeID {
	if s.council == nil || ref.Kind == 0 {
		return nil
	}
	return s.witnesses(s.council.Map(), ref.Slot())
}

// repairDamages repairs what is damaged, until the context ends.
func (s *Store) repairDamages(ctx context.Context) {
	tick := time.NewTicker(repairTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.damages.wake:
		case <-tick.C:
		}
		for {
			due := s.damages.due(s.o.Clock(), func(ref meta.Ref) int { return len(s.elsewhereInSync(ref)) })
			if len(due) == 0 || ctx.Err() != nil {
				break
			}
			if err := s.repair(ctx, due[0]); err != nil && ctx.Err() == nil && !errors.Is(err, errNoOtherCopy) {
				s.o.Events.background(due[0].m.ID, "repair of "+due[0].ref.String(), err)
			}
		}
	}
}
