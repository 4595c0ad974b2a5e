package disk

import (
	"errors"
	"os"
	"sync"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	// lookEvery bounds how old a look at the file system's space may be when a write asks.
	lookEvery = 250 * time.Millisecond
	// hysteresis is by which share the use must fall below the high watermark before writes are accepted again.
	hysteresis = 0.005
)

// Usage is the space of a file system, in bytes.
type Usage struct {
	Total     int64
	Used      int64
	Available int64 // to this process; smaller than Total-Used where the file system reserves some
}

// share returns the part of the space that this process cannot use any more.
func (u Usage) share() float64 {
	if u.Total <= 0 {
		return 0
	}
	return 1 - float64(u.Available)/float64(u.Total)
}

// space refuses writes above the high watermark, and keeps the ballast: a file that reserves space while there is enough
// and is removed when there is none, so that the index can still write down deletes.
type space struct {
	d *Disk

	mu struct {
		sync.Mutex
		looked  time.Time
		known   bool // the file system tells its usage
		usage   Usage
		granted int64 // to writes since the last look
		full    bool
		ballast bool
	}
}

func (s *space) ballastPath() string { return s.d.fs.PathJoin(s.d.dir, ballastName) }

// open takes a first look, and over the ballast of an earlier boot.
func (s *space) open() {
	s.mu.Lock()
	_, err := s.d.fs.Stat(s.ballastPath())
	s.mu.ballast = err == nil
	s.mu.Unlock()
	s.look()
}

// Usage returns the space of the file system that the mountpath is on.
func (d *Disk) Usage() (Usage, error) {
	u, err := d.fs.GetDiskUsage(d.dir)
	if err != nil {
		return Usage{}, cluster.E("disk.Usage", d.dir, cluster.KindOther, err)
	}
	return Usage{Total: int64(u.TotalBytes), Used: int64(u.UsedBytes), Available: int64(u.AvailBytes)}, nil
}

// CheckSpace reports whether n more bytes may be written: nil, or cluster.KindNoSpace above the high watermark. Writers
// check by themselves; records with inline data need the caller to ask. Deletes must not ask.
func (d *Disk) CheckSpace(n int64) error {
	s := &d.space
	if _, stale := s.mustLook(); stale {
		s.look()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.full || s.mu.known && n > s.mu.usage.Available-s.mu.granted {
		return cluster.Fail("disk.CheckSpace", d.dir, cluster.KindNoSpace, "the disk is full")
	}
	s.mu.granted += n
	return nil
}

// freed is called when bytes were given back: it ends fullness at once, and notices lack of space where only deletes go on.
func (s *space) freed() {
	if full, stale := s.mustLook(); full || stale {
		s.look()
	}
}

// mustLook reports whether writes are refused, and whether the last look is too old.
func (s *space) mustLook() (full, stale bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.full, time.Since(s.mu.looked) > lookEvery
}

// look asks the file system and acts on the answer. What waits to be punched out does not make a disk full.
func (s *space) look() {
	u, err := s.d.Usage()
	full, _ := s.state()
	if err == nil && (full || u.share() >= s.d.o.HighWatermark-hysteresis) && s.d.segments.giveBack() {
		u, err = s.d.Usage()
	}
	if err != nil && !errors.Is(err, vfs.ErrUnsupported) {
		_ = s.d.failed("usage", err) // writes go on; the file system itself refuses them when it is full
	}
	s.mu.Lock()
	wasFull := s.mu.full
	s.mu.looked, s.mu.known, s.mu.usage, s.mu.granted = time.Now(), err == nil, u, 0
	switch share := u.share(); {
	case share >= s.d.o.HighWatermark:
		s.mu.full = true
	case share < s.d.o.HighWatermark-hysteresis:
		s.mu.full = false
	}
	full = s.mu.full
	s.mu.Unlock()
	if full != wasFull {
		notify(s.d.o.Events.Full, full)
	}
	s.keepBallast()
}

// keepBallast makes the ballast when there is space for it, and gives it up when there is hardly any.
func (s *space) keepBallast() {
	size := s.d.o.Ballast
	s.mu.Lock()
	held, known, full, available := s.mu.ballast, s.mu.known, s.mu.full, s.mu.usage.Available
	s.mu.Unlock()
	switch {
	case size < 0 || !known:
	case held && available < size/4:
		s.giveUpBallast()
	case !held && !full && available > 4*size:
		s.makeBallast(size)
	}
}

func (s *space) makeBallast(size int64) {
	s.mu.Lock()
	if s.mu.ballast {
		s.mu.Unlock()
		return
	}
	s.mu.ballast = true // claimed: nobody else makes it meanwhile
	s.mu.Unlock()
	f, err := s.d.fs.Create(s.ballastPath(), category)
	if err == nil {
		err = errors.Join(f.Preallocate(0, size), f.Sync(), f.Close())
	}
	if err != nil {
		s.giveUpBallast() // the next look tries again
		return
	}
	notify(s.d.o.Events.Ballast, true)
}

func (s *space) giveUpBallast() {
	s.mu.Lock()
	held := s.mu.ballast
	s.mu.ballast = false
	s.mu.Unlock()
	if !held {
		return
	}
	if err := s.d.fs.Remove(s.ballastPath()); err != nil && !errors.Is(err, os.ErrNotExist) {
		_ = s.d.failed("remove ballast", err)
	}
	notify(s.d.o.Events.Ballast, false)
}

// exhausted is called when the file system refused a write for lack of space.
func (s *space) exhausted() {
	s.mu.Lock()
	wasFull := s.mu.full
	s.mu.full = true
	s.mu.looked = time.Now()
	s.mu.Unlock()
	s.giveUpBallast()
	if !wasFull {
		notify(s.d.o.Events.Full, true)
	}
}

func (s *space) state() (full, ballast bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.full, s.mu.ballast
}
