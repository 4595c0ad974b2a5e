package disk

import (
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// freedPlaces collects what Events.Freed says.
type freedPlaces struct {
	mu   sync.Mutex
	list []Place
}

func (f *freedPlaces) note(p Place) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, p)
}

func (f *freedPlaces) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.list)
}

// TestFreedExtentsWait checks when freed extents are punched out: after the delay, when the disk is nearly full, at the end;
// and not at all when their segment dies first.
func TestFreedExtentsWait(t *testing.T) {
	open := func(delay time.Duration) (*vfs.MemFS, *Disk, *freedPlaces) {
		freed := &freedPlaces{}
		o := smallOptions()
		o.PunchDelay, o.Events.Freed, o.HighWatermark = delay, freed.note, 0.9
		mem := vfs.NewMem()
		formatted(t, mem, testDir)
		d := opened(t, mem, testDir, o)
		recovered(t, d)
		return mem, d, freed
	}
	end := func(d *Disk) {
		t.Helper()
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	fill := func(d *Disk) (all []Place) {
		for i := range 8 {
			all = append(all, mustPut(t, d, content(uint64(i), 6<<10), -1))
		}
		return all
	}
	// unreadable demands that nothing at the place can be taken for a body.
	unreadable := func(d *Disk, p Place) {
		t.Helper()
		r := &Reader{d: d, place: p, base: p.Offset + headerSize}
		f, err := d.fs.Open(d.segments.get(p.File).path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r.file = f
		if _, err := r.footer(); err == nil {
			t.Errorf("%s is still there", p)
		}
	}

	_, d, freed := open(time.Millisecond)
	all := fill(d)
	for _, i := range []int{4, 1, 2, 6} { // neighbours among them
		d.Free(all[i])
	}
	d.background.Wait()
	if freed.count() != 4 {
		t.Errorf("after the delay %d are freed", freed.count())
	}
	for _, i := range []int{1, 2, 4, 6} {
		unreadable(d, all[i])
	}
	for _, i := range []int{0, 3, 5, 7} {
		wantData(t, d, all[i], content(uint64(i), 6<<10))
	}

	end(d)

	mem, d, freed := open(time.Hour)
	all = fill(d)
	d.Free(all[0])
	d.Free(all[3])
	if freed.count() != 0 {
		t.Errorf("%d are freed at once", freed.count())
	}
	mem.TestingSetDiskUsage(vfs.DiskUsage{TotalBytes: 1000 << 20, AvailBytes: 50 << 20, UsedBytes: 950 << 20})
	d.space.look()
	if freed.count() != 2 {
		t.Errorf("on a full disk %d are freed", freed.count())
	}
	unreadable(d, all[0])
	unreadable(d, all[3])

	end(d)

	_, d, freed = open(time.Hour)
	for _, p := range fill(d) {
		d.segments.retire(d.segments.get(p.File))
		d.Free(p)
	}
	if freed.count() == 0 {
		t.Error("dead segments are not unlinked at once")
	}
	end(d)
	if freed.count() != 8 {
		t.Errorf("of 8 in dead segments %d are freed", freed.count())
	}

	_, d, freed = open(time.Hour)
	all = fill(d)
	d.Free(all[0])
	path := d.segments.get(all[0].File).path
	end(d)
	if _, err := d.fs.Stat(path); freed.count() != 1 || err != nil {
		t.Errorf("at the end %d are freed, %v", freed.count(), err)
	}
}

// TestDeadSegmentIsUsedAgain overwrites all the time: the files of dead segments become the next ones, readers of what was
// freed keep their bytes, and a start finds everything.
func TestDeadSegmentIsUsedAgain(t *testing.T) {
	o := smallOptions()
	o.PunchDelay = time.Hour
	removed := 0
	o.Events.SegmentRemoved = func(FileID) { removed++ }
	mem := vfs.NewMem()
	formatted(t, mem, testDir)
	d := opened(t, mem, testDir, o)
	recovered(t, d)
	kept := mustPut(t, d, content(100, 20<<10), -1)
	var last Place
	var readers []*Reader
	for i := range 60 {
		p := mustPut(t, d, content(uint64(i), 20<<10), -1)
		if last.Kind != Nowhere {
			if i%10 == 3 {
				r, err := d.Open(last)
				if err != nil {
					t.Fatal(err)
				}
				readers = append(readers, r)
			}
			d.Free(last)
		}
		last = p
	}
	for i, r := range readers {
		got := make([]byte, 20<<10)
		if _, err := r.ReadAt(got, 0); err != nil || string(got) != string(content(uint64(10*i+2), 20<<10)) {
			t.Errorf("reader %d: %v", i, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	names, err := mem.List(d.segments.dir())
	if err != nil || removed < 3 || len(names) > 8 {
		t.Errorf("%d segments died, there are %d files: %v", removed, len(names), err)
	}
	wantData(t, d, kept, content(100, 20<<10))
	wantData(t, d, last, content(59, 20<<10))
	d = restarted(t, mem, d, o)
	recovered(t, d, kept, last)
	wantData(t, d, kept, content(100, 20<<10))
	wantData(t, d, last, content(59, 20<<10))
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}
