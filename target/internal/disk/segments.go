package disk

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const segmentSuffix = ".seg"

// segments are the segment files of a disk: the one being written, a spare, and all others.
type segments struct {
	d *Disk

	mu struct {
		sync.RWMutex
		byID map[FileID]*segment
		dead *segment // nothing in it is used any more; its file may become the next segment
	}

	// writing guards the change from one segment to the next.
	writing struct {
		sync.Mutex
		current *segment
		spare   *segment
		making  bool // a spare is being made in the background
		closed  bool
	}

	holes holes
}

func (g *segments) dir() string { return g.d.fs.PathJoin(g.d.dir, segmentsName) }

func (g *segments) get(id FileID) *segment {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.mu.byID[id]
}

func (g *segments) all() []*segment {
	g.mu.RLock()
	defer g.mu.RUnlock()
	list := make([]*segment, 0, len(g.mu.byID))
	for _, s := range g.mu.byID {
		list = append(list, s)
	}
	return list
}

// load notes the segment files that earlier boots left. They are sealed, and everything in them counts as live until
// Recover.
func (g *segments) load() (lastBoot uint32, err error) {
	g.mu.byID = make(map[FileID]*segment)
	names, err := g.d.fs.List(g.dir())
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		stem, ok := strings.CutSuffix(name, segmentSuffix)
		id, valid := parseFileID(stem)
		if !ok || !valid {
			continue
		}
		s := &segment{id: id, path: g.d.fs.PathJoin(g.dir(), name)}
		s.mu.sealed = true
		g.mu.byID[id] = s
		lastBoot = max(lastBoot, id.Boot())
	}
	return lastBoot, nil
}

// reserve finds room for an extent.
func (g *segments) reserve(span int64) (*segment, int64, error) {
	g.writing.Lock()
	defer g.writing.Unlock()
	if g.writing.closed {
		return nil, 0, ErrClosed
	}
	if s := g.writing.current; s != nil {
		if offset, ok := s.reserve(span); ok {
			g.prepare(s)
			return s, offset, nil
		}
		g.retireLocked(s)
	}
	s := g.writing.spare
	g.writing.spare = nil
	if s == nil {
		var err error
		if s, err = g.create(); err != nil {
			return nil, 0, err
		}
	}
	g.writing.current = s
	offset, ok := s.reserve(span)
	if !ok {
		return nil, 0, fmt.Errorf("an extent of %d bytes does not fit an empty segment", span)
	}
	return s, offset, nil
}

// prepare starts to make the next segment when the current one is half full, so that writers need not wait for it.
func (g *segments) prepare(current *segment) {
	current.mu.Lock()
	half := current.mu.tail > current.mu.size/2
	current.mu.Unlock()
	if !half || g.writing.making || g.writing.spare != nil {
		return
	}
	g.writing.making = true
	g.d.background.Go(func() {
		s, err := g.create()
		g.writing.Lock()
		defer g.writing.Unlock()
		g.writing.making = false
		switch {
		case err != nil: // reported; the writer that needs it tries again
		case g.writing.closed:
			g.retireLocked(s)
		default:
			g.writing.spare = s
		}
	})
}

// create makes an empty segment: preallocated, its name durable. The file of a dead one is used again: where blocks were
// written before, a sync need not touch the file system's journal. What is left in them names another file, so nobody takes
// it for a body.
func (g *segments) create() (*segment, error) {
	id := g.d.nextFile()
	path := g.d.fs.PathJoin(g.dir(), id.String()+segmentSuffix)
	f, err := g.newFile(path)
	if err != nil {
		return nil, g.d.failed("create segment", err)
	}
	if err := errors.Join(f.Preallocate(0, g.d.o.SegmentSize), syncDir(g.d.fs, g.dir())); err != nil {
		err = g.d.failed("create segment", err)
		return nil, errors.Join(err, f.Close(), g.d.fs.Remove(path))
	}
	s := &segment{id: id, path: path}
	s.sync = newGroupSync(f.SyncData)
	s.mu.file, s.mu.size, s.mu.accounted = f, g.d.o.SegmentSize, true
	g.mu.Lock()
	g.mu.byID[id] = s
	g.mu.Unlock()
	notify(g.d.o.Events.SegmentCreated, id)
	return s, nil
}

// newFile returns the file of a dead segment under a new name, or a new file.
func (g *segments) newFile(path string) (vfs.File, error) {
	if s := g.takeDead(); s != nil {
		err := g.d.fs.Rename(s.path, path)
		if err == nil {
			return g.d.fs.OpenReadWrite(path, category)
		}
		g.unlink(s)
	}
	return g.d.fs.Create(path, category)
}

// keep takes the file of a dead segment of this boot to be used again, if there is none.
func (g *segments) keep(s *segment) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.d.o.PunchDelay < 0 || !s.reusable() || s.id.Boot() != g.d.boot || g.mu.dead != nil {
		return false
	}
	g.mu.dead = s
	return true
}

func (g *segments) takeDead() *segment {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.mu.dead
	g.mu.dead = nil
	return s
}

func (g *segments) unlink(s *segment) {
	if err := g.d.fs.Remove(s.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		_ = g.d.failed("unlink segment", err) // the next start finds it empty
	}
}

// giveBack gives back all freed space that waits, and reports whether there was any.
func (g *segments) giveBack() bool {
	s := g.takeDead()
	if s != nil {
		g.unlink(s)
	}
	return g.punchHoles() || s != nil
}

// retire takes a segment out of use for writing: it is full, or a write to it failed.
func (g *segments) retire(s *segment) {
	g.writing.Lock()
	defer g.writing.Unlock()
	if g.writing.current == s {
		g.writing.current = nil
	}
	g.retireLocked(s)
}

func (g *segments) retireLocked(s *segment) {
	first, err := s.seal()
	if err != nil {
		_ = g.d.failed("seal segment", err) // what is in it was synced extent by extent
	}
	if first {
		notify(g.d.o.Events.SegmentSealed, s.id)
	}
	g.collect(s)
}

// close seals what is open. Spares are unlinked, since nothing is in them.
func (g *segments) close() {
	g.writing.Lock()
	defer g.writing.Unlock()
	g.writing.closed = true
	for _, s := range []*segment{g.writing.current, g.writing.spare} {
		if s != nil {
			g.retireLocked(s)
		}
	}
	g.writing.current, g.writing.spare = nil, nil
}

// reclaim has an extent that is neither live nor pinned punched out, or unlinks the whole segment when it was the last one.
func (g *segments) reclaim(s *segment, p Place) {
	switch {
	case g.collect(s):
		notify(g.d.o.Events.Freed, p)
	case g.d.o.PunchDelay < 0:
		g.punchSegment([]Place{p})
		notify(g.d.o.Events.Freed, p)
	default:
		g.addHole(p)
	}
}

// collect unlinks a segment without users, or keeps its file to be used again.
func (g *segments) collect(s *segment) bool {
	if !s.remove() {
		return false
	}
	g.d.handles.drop(s.id)
	if !g.keep(s) {
		g.unlink(s)
	}
	g.mu.Lock()
	delete(g.mu.byID, s.id)
	g.mu.Unlock()
	notify(g.d.o.Events.SegmentRemoved, s.id)
	return true
}

// parseFileID reads what FileID.String wrote.
func parseFileID(s string) (FileID, bool) {
	boot, sequence, ok := strings.Cut(s, "-")
	b, err1 := strconv.ParseUint(boot, 16, 24)
	n, err2 := strconv.ParseUint(sequence, 16, sequenceBits)
	if !ok || err1 != nil || err2 != nil || len(boot) != 6 || len(sequence) != 10 {
		return 0, false
	}
	return makeFileID(uint32(b), n), true
}

// notify calls an event's callback when there is one.
func notify[T any](callback func(T), value T) {
	if callback != nil {
		callback(value)
	}
}
