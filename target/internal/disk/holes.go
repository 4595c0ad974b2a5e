package disk

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// holes are freed extents that are still to be punched out. They wait for a while: neighbours are then punched out together,
// and nothing is punched out of a segment that dies meanwhile, which is what becomes of objects that are overwritten all the
// time. A crash forgets them; the next start finds them as orphans.
type holes struct {
	mu      sync.Mutex
	places  []Place       // guarded by mu
	waiting bool          // guarded by mu: a goroutine will punch
	stop    chan struct{} // closed by Disk.Close: do not wait any longer
}

// add takes a freed extent, and punches it out after the delay.
func (g *segments) addHole(p Place) {
	h := &g.holes
	h.mu.Lock()
	defer h.mu.Unlock()
	h.places = append(h.places, p)
	if h.waiting {
		return
	}
	h.waiting = true
	g.d.background.Go(func() {
		timer := time.NewTimer(g.d.o.PunchDelay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-h.stop:
		}
		h.mu.Lock()
		h.waiting = false
		h.mu.Unlock()
		g.punchHoles()
	})
}

// punchHoles punches out everything that waits, and reports whether there was anything.
func (g *segments) punchHoles() bool {
	h := &g.holes
	h.mu.Lock()
	places := h.places
	h.places = nil
	h.mu.Unlock()
	slices.SortFunc(places, func(a, b Place) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Offset, b.Offset))
	})
	for rest := places; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].File == rest[0].File {
			n++
		}
		g.punchSegment(rest[:n])
		rest = rest[n:]
	}
	for _, p := range places {
		notify(g.d.o.Events.Freed, p)
	}
	return len(places) > 0
}

// punchSegment punches out places of one segment, in their order, unless the segment is gone.
func (g *segments) punchSegment(places []Place) {
	s := g.get(places[0].File)
	if s == nil || !s.hold() {
		return
	}
	f, err := g.d.fs.OpenReadWrite(s.path, category)
	if err == nil {
		err = errors.Join(punchAll(f, places), f.Close())
	}
	if err != nil {
		_ = g.d.failed("punch", err) // the next start finds the range as an orphan
	}
	s.release()
	g.collect(s) // its last extent may have been freed meanwhile
}

// punchAll punches out places of one file, neighbours together.
func punchAll(f vfs.File, places []Place) error {
	for len(places) > 0 {
		n, end := 1, places[0].Offset+places[0].Span
		for n < len(places) && places[n].Offset == end {
			end += places[n].Span
			n++
		}
		if err := punchRun(f, places[:n], end); err != nil {
			return err
		}
		places = places[n:]
	}
	return nil
}

// punchRun punches out places that lie side by side and end at end.
func punchRun(f vfs.File, run []Place, end int64) error {
	done, err := punchHole(f, run[0].Offset, end-run[0].Offset)
	if done || err != nil {
		return err
	}
	for _, p := range run { // each has a header that nobody must take for a body any more
		if err := punch(f, p.Offset, p.Span); err != nil {
			return err
		}
	}
	return nil
}
