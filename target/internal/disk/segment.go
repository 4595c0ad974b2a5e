package disk

import (
	"errors"
	"fmt"
	"math/bits"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// segment is one preallocated file that many writers append extents to. Space is counted in units of Alignment.
type segment struct {
	id   FileID
	path string

	sync *groupSync // of the data; nil for segments of earlier boots

	mu struct {
		sync.Mutex
		file    vfs.File // open for writing until sealed and the last writer is done
		tail    int64    // where the next extent goes
		size    int64    // where it may end
		writers int      // extents that were reserved and are being written
		sealed  bool     // no more extents are reserved
		removed bool     // the file is unlinked or becomes another segment, or is about to
		spoilt  bool     // a write or sync failed: the file is never written to again
		punches int      // running: the file must stay what it is

		accounted bool           // live is right: always in this boot; for earlier ones after Recover
		live      bitmap         // by unit: an extent that is not freed begins here
		extents   int64          // how many
		bytes     int64          // their spans
		pins      map[int64]*pin // by unit: being read
	}
}

// pin counts the readers of one extent.
type pin struct {
	place   Place
	readers int
	doomed  int64 // the span to free when the last reader is gone; 0 when it was not freed
}

// bitmap is a set of small numbers.
type bitmap []uint64

func (b bitmap) has(i int64) bool { return i>>6 < int64(len(b)) && b[i>>6]&(1<<(i&63)) != 0 }

func (b *bitmap) set(i int64) {
	for int64(len(*b)) <= i>>6 {
		*b = append(*b, 0)
	}
	(*b)[i>>6] |= 1 << (i & 63)
}

func (b bitmap) clear(i int64) { b[i>>6] &^= 1 << (i & 63) }

func (b bitmap) count() int64 {
	n := 0
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return int64(n)
}

// reserve takes the next span bytes for an extent, or reports false when they do not fit.
func (s *segment) reserve(span int64) (offset int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.sealed || s.mu.tail+span > s.mu.size {
		return 0, false
	}
	offset = s.mu.tail
	s.mu.tail += span
	s.mu.writers++
	s.mu.live.set(offset / Alignment)
	s.mu.extents++
	s.mu.bytes += span
	return offset, true
}

// write puts the pieces of an extent at its offset and returns when they are durable. n is how many extents a sync that it
// ran has served.
func (s *segment) write(offset int64, pieces [][]byte) (n uint64, err error) {
	for _, p := range pieces {
		if _, err := s.mu.file.WriteAt(p, offset); err != nil { // the file stays open while there are writers
			return 0, fmt.Errorf("write: %w", err)
		}
		offset += int64(len(p))
	}
	n, err = s.sync.wait(s.sync.ticket())
	if err != nil {
		return n, fmt.Errorf("sync: %w", err)
	}
	return n, nil
}

// wrote ends a writer. The last one of a sealed segment closes the file.
func (s *segment) wrote() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.writers--
	return s.closeIfDone()
}

// seal lets no more extents in. It reports false when it was sealed before.
func (s *segment) seal() (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.sealed {
		return false, nil
	}
	s.mu.sealed = true
	return true, s.closeIfDone()
}

// closeIfDone gives the unused rest of the file back and closes it; mu is held.
func (s *segment) closeIfDone() error {
	if !s.mu.sealed || s.mu.writers > 0 || s.mu.file == nil {
		return nil
	}
	f := s.mu.file
	s.mu.file = nil
	return errors.Join(truncate(f, s.mu.tail), f.Close())
}

// open pins an extent.
func (s *segment) open(p Place) error {
	unit := p.Offset / Alignment
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.removed || s.mu.accounted && !s.mu.live.has(unit) {
		return ErrGone
	}
	if held := s.mu.pins[unit]; held != nil {
		held.readers++
		return nil
	}
	if s.mu.pins == nil {
		s.mu.pins = make(map[int64]*pin)
	}
	s.mu.pins[unit] = &pin{place: p, readers: 1}
	return nil
}

// unpin ends a reader and returns the span that must be punched out now, or 0.
func (s *segment) unpin(p Place) int64 {
	unit := p.Offset / Alignment
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.mu.pins[unit]
	held.readers--
	if held.readers > 0 {
		return 0
	}
	delete(s.mu.pins, unit)
	return held.doomed
}

// free takes an extent out of the live ones and returns the span that must be punched out now: 0 when it is pinned, or was
// not live.
func (s *segment) free(p Place) (span int64, freed bool) {
	unit := p.Offset / Alignment
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.mu.accounted || !s.mu.live.has(unit) {
		return 0, false
	}
	s.mu.live.clear(unit)
	s.mu.extents--
	s.mu.bytes -= p.Span
	if held := s.mu.pins[unit]; held != nil {
		held.doomed = p.Span
		return 0, true
	}
	return p.Span, true
}

// remove claims the segment for unlinking when nothing in it is used any more.
func (s *segment) remove() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.mu.sealed || !s.mu.accounted || s.mu.removed || s.mu.writers > 0 || s.mu.punches > 0 || s.mu.extents > 0 || len(s.mu.pins) > 0 {
		return false
	}
	s.mu.removed = true
	return true
}

// hold keeps the segment from being removed until release, or reports that it was.
func (s *segment) hold() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.removed {
		return false
	}
	s.mu.punches++
	return true
}

func (s *segment) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.punches--
}

// spoil notes that a write or sync failed.
func (s *segment) spoil() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.spoilt = true
}

// reusable reports whether the file of a removed segment may become another one.
func (s *segment) reusable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.mu.spoilt
}

// account gives the segment of an earlier boot its live extents. Those that are being read are live, too: their record was
// read before it went, and their free is still to come.
func (s *segment) account(acc *segmentAccount) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, held := range s.mu.pins {
		acc.add(held.place)
	}
	s.mu.live, s.mu.extents, s.mu.bytes = acc.live, acc.live.count(), acc.bytes
	s.mu.accounted = true
}

// usage returns the live extents and their spans.
func (s *segment) usage() (extents, bytes int64, pinned int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.extents, s.mu.bytes, len(s.mu.pins)
}
