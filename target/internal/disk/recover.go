package disk

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"sync"

	"github.com/aisle-store/aisle/cluster"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Recovered is what Recover found.
type Recovered struct {
	Places      int     // named by the index
	Missing     []Place // named by the index, but their file is not there
	Orphans     int     // files and ranges that were collected
	OrphanBytes int64
}

// recovery holds back frees of what earlier boots wrote until Recover has accounted it.
type recovery struct {
	mu struct {
		sync.Mutex
		done  bool
		frees []Place
	}
}

// postpone keeps a free for later, when it is of an earlier boot and Recover has not ended. Blobs need no accounts; they are
// noted only so that Recover does not miss them.
func (r *recovery) postpone(d *Disk, p Place) bool {
	if p.File.Boot() == d.boot {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.done {
		return false
	}
	r.mu.frees = append(r.mu.frees, p)
	return true
}

func (r *recovery) pending() int { return len(r.waiting()) }

// waiting returns the frees that are held back.
func (r *recovery) waiting() []Place {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.mu.frees)
}

// finish ends the holding back and returns what was held.
func (r *recovery) finish() []Place {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.done = true
	held := r.mu.frees
	r.mu.frees = nil
	return held
}

// Recover tells the disk which places the index names. It accounts the segments of earlier boots, removes the files and
// punches out the ranges of earlier boots that nothing names, and carries out the frees that came in meanwhile. Reads,
// writes and frees may go on at the same time; live must be a consistent view of the index that was taken after Open. When
// live yields an error nothing is collected: an unreadable record may name any place. Recover may then be called again.
func (d *Disk) Recover(ctx context.Context, live iter.Seq2[Place, error]) (Recovered, error) {
	const op = "disk.Recover"
	a := accounts{d: d, segments: make(map[FileID]*segmentAccount), blobs: make(map[FileID]*blobAccount)}
	for p, err := range live {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return Recovered{}, cluster.E(op, d.dir, cluster.KindOther, err)
		}
		a.name(p)
	}
	for _, p := range d.recovery.waiting() {
		a.name(p) // its record may have gone before live was taken, and readers may have it
	}
	if err := a.checkSegments(); err != nil {
		return Recovered{}, cluster.E(op, d.dir, cluster.KindOther, err)
	}
	if err := a.checkBlobs(); err != nil {
		return Recovered{}, cluster.E(op, d.dir, cluster.KindOther, err)
	}
	held := d.recovery.finish()
	for _, p := range held {
		d.free(p)
	}
	a.found.Missing = slices.DeleteFunc(a.found.Missing, func(p Place) bool { return freed(held, p) })
	return a.found, nil
}

// freed reports whether a place is among those that were given up while Recover ran.
func freed(held []Place, p Place) bool {
	return slices.ContainsFunc(held, func(h Place) bool { return h.Kind == p.Kind && h.File == p.File && h.Offset == p.Offset })
}

// accounts is what the index names, file by file.
type accounts struct {
	d        *Disk
	found    Recovered
	segments map[FileID]*segmentAccount
	blobs    map[FileID]*blobAccount // by the first blob id of a directory
}

// segmentAccount is what the index names in one segment.
type segmentAccount struct {
	live    bitmap // by unit: an extent begins here
	covered bitmap // by unit: an extent is here
	bytes   int64
}

// blobAccount is what the index names in one directory of blobs, by the lower bits of the sequence.
type blobAccount struct {
	live bitmap
	seen bitmap // of them: the file is there
}

// name notes one live place. Those of this boot are accounted already.
func (a *accounts) name(p Place) {
	if p.Kind == Nowhere || p.File.Boot() == a.d.boot {
		return
	}
	a.found.Places++
	switch p.Kind {
	case Blob:
		dir, bit := splitBlob(p.File)
		acc := a.blobs[dir]
		if acc == nil {
			acc = new(blobAccount)
			a.blobs[dir] = acc
		}
		acc.live.set(bit)
	case Extent:
		if a.d.segments.get(p.File) == nil {
			a.found.Missing = append(a.found.Missing, p)
			return
		}
		acc := a.segments[p.File]
		if acc == nil {
			acc = new(segmentAccount)
			a.segments[p.File] = acc
		}
		acc.add(p)
	}
}

// add notes one live extent.
func (acc *segmentAccount) add(p Place) {
	first := p.Offset / Alignment
	if acc.live.has(first) {
		return
	}
	acc.live.set(first)
	acc.bytes += p.Span
	for unit := first; unit < (p.Offset+p.Span)/Alignment; unit++ {
		acc.covered.set(unit)
	}
}

func splitBlob(id FileID) (dir FileID, bit int64) {
	const mask = 1<<blobDirBits - 1
	return id &^ mask, int64(id & mask)
}

// checkSegments gives the segments of earlier boots their accounts and collects what nothing names in them.
func (a *accounts) checkSegments() error {
	for _, s := range a.d.segments.all() {
		if s.id.Boot() == a.d.boot {
			continue
		}
		acc := a.segments[s.id]
		if acc == nil {
			acc = new(segmentAccount)
		}
		s.account(acc) // from here on, what is not live cannot be opened
		n, err := a.orphanRanges(s, acc)
		if err != nil {
			return err
		}
		if a.d.segments.collect(s) {
			a.orphan(s.path, n)
		}
	}
	return nil
}

// orphanRanges punches out what lies between the named extents of a segment, when the file occupies more than they need. It
// returns the bytes that the file occupied.
func (a *accounts) orphanRanges(s *segment, acc *segmentAccount) (int64, error) {
	f, err := a.d.fs.OpenReadWrite(s.path, category)
	if err != nil {
		return 0, err
	}
	defer f.Close() // what is punched out needs no sync: the next start would do it again
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	occupied := allocated(f)
	if acc.bytes == 0 || occupied >= 0 && occupied <= acc.bytes {
		return max(occupied, info.Size()), nil // it goes as a whole, or holds nothing else
	}
	end := alignUp(info.Size()) / Alignment
	for unit := int64(0); unit < end; {
		start := unit
		for unit < end && !acc.covered.has(unit) {
			unit++
		}
		if unit == start {
			unit++
			continue
		}
		if err := a.punchOrphan(f, s, start*Alignment, (unit-start)*Alignment); err != nil {
			return 0, err
		}
	}
	return occupied, truncate(f, info.Size())
}

// punchOrphan punches out a range that nothing names, unless there is nothing in it already.
func (a *accounts) punchOrphan(f vfs.File, s *segment, offset, length int64) error {
	raw := make([]byte, headerSize)
	if _, err := f.ReadAt(raw, offset); err != nil {
		return err
	}
	if err := punch(f, offset, length); err != nil {
		return err
	}
	if _, err := parseHeader(raw); err == nil {
		a.orphan(fmt.Sprintf("%s@%d", s.path, offset), length)
	}
	return nil
}

// checkBlobs unlinks the blobs of earlier boots that nothing names, and directories that are empty.
func (a *accounts) checkBlobs() error {
	d := a.d
	err := d.blobs.walk(func(id FileID, path string) error {
		if id.Boot() == d.boot {
			return nil
		}
		dir, bit := splitBlob(id)
		if acc := a.blobs[dir]; acc != nil && acc.live.has(bit) {
			acc.seen.set(bit)
			return nil
		}
		return a.unlinkOrphan(path)
	}, func(dir string) error {
		if names, err := d.fs.List(dir); err != nil || len(names) > 0 || d.blobs.using(dir) {
			return err
		}
		if err := d.fs.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	a.missingBlobs()
	return nil
}

func (a *accounts) unlinkOrphan(path string) error {
	var size int64
	if info, err := a.d.fs.Stat(path); err == nil {
		size = info.Size()
	}
	if err := a.d.fs.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	a.orphan(path, size)
	return nil
}

// missingBlobs notes the blobs that are named but have no file.
func (a *accounts) missingBlobs() {
	for dir, acc := range a.blobs {
		for i, word := range acc.live {
			var seen uint64
			if i < len(acc.seen) {
				seen = acc.seen[i]
			}
			for bit := int64(0); word != seen && bit < 64; bit++ {
				if (word&^seen)&(1<<bit) != 0 {
					a.found.Missing = append(a.found.Missing, Place{Kind: Blob, File: dir | FileID(int64(i)*64+bit)})
				}
			}
		}
	}
}

func (a *accounts) orphan(what string, n int64) {
	a.found.Orphans++
	a.found.OrphanBytes += n
	if a.d.o.Events.Orphan != nil {
		a.d.o.Events.Orphan(what, n)
	}
}
