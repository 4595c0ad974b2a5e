package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// index stands for the index: what was acknowledged, durable at once.
type index struct {
	mu   sync.Mutex
	data map[Place][]byte
}

func newIndex() *index { return &index{data: make(map[Place][]byte)} }

func (x *index) put(p Place, data []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.data[p] = data
}

func (x *index) remove(p Place) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.data, p)
}

func (x *index) copy() *index {
	x.mu.Lock()
	defer x.mu.Unlock()
	c := newIndex()
	for p, data := range x.data {
		c.data[p] = data
	}
	return c
}

func (x *index) places() (all []Place) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for p := range x.data {
		all = append(all, p)
	}
	return all
}

// keepOnly removes what other does not have.
func (x *index) keepOnly(other *index) {
	for p := range x.data {
		if _, both := other.data[p]; !both {
			delete(x.data, p)
		}
	}
}

// scenario writes, replaces and frees extents and blobs of every kind, and notes what was acknowledged. Every error it gets
// must have a kind and is passed over, as a server would.
func scenario(fs vfs.FS, x *index, o Options) error {
	d, err := Open(fs, testDir, o)
	if err != nil {
		return err
	}
	defer d.Close()
	if _, err := d.Recover(context.Background(), places(x.places()...)); err != nil {
		return err
	}
	var first error
	var last Place
	for i, size := range []int{100, 20 << 10, 50 << 10, 30 << 10, 30 << 10, 31 << 10, 70 << 10, 5, 28 << 10, 32 << 10} {
		data := content(uint64(i), size)
		declared := int64(size)
		if i%3 == 2 {
			declared = -1
		}
		p, err := put(d, data, declared, "record")
		if err != nil {
			first = errors.Join(first, err)
			continue
		}
		x.put(p, data)
		if got, err := read(d, p); err == nil && !bytes.Equal(got, data) {
			return fmt.Errorf("%s reads other bytes", p)
		}
		if i%2 == 1 && last.Kind != Nowhere {
			x.remove(last)
			d.Free(last)
		}
		last = p
	}
	return first
}

// overwriting replaces the same bytes again and again, so that segments die and their files become the next ones.
func overwriting(fs vfs.FS, x *index, o Options) error {
	o.PunchDelay = time.Hour
	d, err := Open(fs, testDir, o)
	if err != nil {
		return err
	}
	defer d.Close()
	if _, err := d.Recover(context.Background(), places(x.places()...)); err != nil {
		return err
	}
	var first error
	var last Place
	for i := range 14 {
		data := content(uint64(i), 30<<10)
		p, err := put(d, data, int64(len(data)), "record")
		if err != nil {
			first = errors.Join(first, err)
			continue
		}
		x.put(p, data)
		if last.Kind != Nowhere {
			x.remove(last)
			d.Free(last)
		}
		if got, err := read(d, p); err == nil && !bytes.Equal(got, data) {
			return fmt.Errorf("%s reads other bytes", p)
		}
		last = p
	}
	return first
}

// scenarios are what the tests of faults run.
var scenarios = []func(fs vfs.FS, x *index, o Options) error{scenario, overwriting}

// wantRecovered opens what a crash left, and checks that everything acknowledged is there, that nothing else is, and that a
// second start finds nothing to collect.
func wantRecovered(t testing.TB, fs vfs.FS, x *index) {
	t.Helper()
	for start := range 2 {
		d := opened(t, fs, testDir, smallOptions())
		found := recovered(t, d, x.places()...)
		if len(found.Missing) > 0 {
			t.Fatalf("missing: %v", found.Missing)
		}
		for p, data := range x.data {
			wantData(t, d, p, data)
			if err := d.Verify(context.Background(), p); err != nil {
				t.Fatal(err)
			}
		}
		if start == 1 && found.Orphans > 0 {
			t.Fatalf("the second start found %d orphans", found.Orphans)
		}
		wantOnly(t, d, x)
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// wantOnly checks that the disk holds no file that the index does not name.
func wantOnly(t testing.TB, d *Disk, x *index) {
	t.Helper()
	named := make(map[FileID]bool)
	for p := range x.data {
		named[p.File] = true
	}
	for _, s := range d.segments.all() {
		if !named[s.id] {
			t.Fatalf("segment %s stays", s.id)
		}
	}
	err := d.blobs.walk(func(id FileID, _ string) error {
		if !named[id] {
			return fmt.Errorf("blob %s stays", id)
		}
		return nil
	}, func(string) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
}

// TestEveryFailedOperation fails the n-th operation of the file system, for every n: the scenario ends with clean errors,
// and what it acknowledged survives a crash, alone.
func TestEveryFailedOperation(t *testing.T) {
	for _, scenario := range scenarios {
		for n, fired := int32(0), true; fired; n++ {
			mem := vfs.NewCrashableMem()
			formatted(t, mem, testDir)
			inject := errorfs.OnIndex(n)
			x := newIndex()
			err := scenario(errorfs.Wrap(mem, inject), x, smallOptions())
			fired = inject.Load() < 0
			if err != nil && !errors.Is(err, errorfs.ErrInjected) {
				t.Fatalf("operation %d: %v", n, err)
			}
			wantRecovered(t, mem.CrashClone(vfs.CrashCloneCfg{}), x)
			if !fired {
				t.Logf("%d operations", n)
			}
		}
	}
}

// TestCrashAtEveryOperation cuts the power before the n-th operation, for every n, and keeps nothing, all, or a part of what
// was not synced.
func TestCrashAtEveryOperation(t *testing.T) {
	for _, scenario := range scenarios {
		for _, keep := range []int{0, 50, 100} {
			for n := int64(0); crashAt(t, scenario, keep, n); n++ {
			}
		}
	}
}

// crashAt cuts the power before operation n, and reports false when the scenario ended before.
func crashAt(t *testing.T, scenario func(fs vfs.FS, x *index, o Options) error, keep int, n int64) bool {
	t.Helper()
	mem := vfs.NewCrashableMem()
	formatted(t, mem, testDir)
	x := newIndex()
	var count atomic.Int64
	var crashed *vfs.MemFS
	var then *index
	crash := errorfs.InjectorFunc(func(errorfs.Op) error {
		if count.Add(1) == n+1 {
			// Some operations run in the background, beside what goes on.
			then = x.copy()
			crashed = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: keep, RNG: rand.New(rand.NewPCG(uint64(n), 1))})
			then.keepOnly(x.copy())
		}
		return nil
	})
	if err := scenario(errorfs.Wrap(mem, crash), x, smallOptions()); err != nil {
		t.Fatal(err)
	}
	if crashed == nil {
		return false
	}
	wantRecovered(t, crashed, then)
	return true
}

// TestCrashesUnderManyWriters cuts the power while writers and frees go on at the same time.
func TestCrashesUnderManyWriters(t *testing.T) {
	for seed := range uint64(15) {
		mem := vfs.NewCrashableMem()
		formatted(t, mem, testDir)
		d := opened(t, mem, testDir, smallOptions())
		recovered(t, d)
		x := newIndex()
		var writers sync.WaitGroup
		for w := range 4 {
			writers.Go(func() {
				rng := rand.New(rand.NewPCG(seed, uint64(w)))
				for i := range 15 {
					data := content(uint64(w*100+i), 1+rng.IntN(40<<10))
					p, err := put(d, data, -1, "")
					if err != nil {
						t.Error(err)
						return
					}
					x.put(p, data)
					if rng.IntN(3) == 0 {
						x.remove(p)
						d.Free(p)
					}
				}
			})
		}
		rng := rand.New(rand.NewPCG(seed, 99))
		time.Sleep(time.Duration(rng.IntN(4000)) * time.Microsecond)
		// What is acknowledged before must be there; what is removed meanwhile may be.
		before := x.copy()
		crashed := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		after := x.copy()
		writers.Wait()
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		before.keepOnly(after)
		wantRecovered(t, crashed, before)
	}
}

// TestCrashesWhileSegmentsAreReused cuts the power while writers overwrite, so that segments die and their files become the
// next ones, and readers hold on to what was freed.
func TestCrashesWhileSegmentsAreReused(t *testing.T) {
	for seed := range uint64(15) {
		mem := vfs.NewCrashableMem()
		formatted(t, mem, testDir)
		o := smallOptions()
		o.PunchDelay = []time.Duration{time.Millisecond, time.Hour}[seed%2]
		var created, removed atomic.Int64
		o.Events.SegmentCreated, o.Events.SegmentRemoved = func(FileID) { created.Add(1) }, func(FileID) { removed.Add(1) }
		d := opened(t, mem, testDir, o)
		recovered(t, d)
		x := newIndex()
		var writers sync.WaitGroup
		for w := range 4 {
			writers.Go(func() {
				if err := overwriteAndRead(d, x, rand.New(rand.NewPCG(seed, uint64(w))), uint64(w)); err != nil {
					t.Error(err)
				}
			})
		}
		rng := rand.New(rand.NewPCG(seed, 99))
		time.Sleep(time.Duration(rng.IntN(10_000)) * time.Microsecond)
		before := x.copy()
		crashed := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		after := x.copy()
		writers.Wait()
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if created.Load() < 10 || removed.Load() < 5 {
			t.Fatalf("%d segments, of which %d died: the test proves nothing", created.Load(), removed.Load())
		}
		before.keepOnly(after)
		wantRecovered(t, crashed, before)
	}
}

// overwriteAndRead writes the same thing again and again. Some of what it frees it has open, and reads later.
func overwriteAndRead(d *Disk, x *index, rng *rand.Rand, writer uint64) error {
	type opened struct {
		r    *Reader
		data []byte
	}
	var held []opened
	check := func(o opened) error {
		defer o.r.Close()
		got := make([]byte, len(o.data))
		if _, err := o.r.ReadAt(got, 0); err != nil || !bytes.Equal(got, o.data) {
			return fmt.Errorf("a reader of freed bytes: %w, equal %t", err, bytes.Equal(got, o.data))
		}
		return nil
	}
	var last Place
	for i := range uint64(60) {
		data := content(writer*100+i, 1+rng.IntN(30<<10))
		p, err := put(d, data, -1, "")
		if err != nil {
			return err
		}
		x.put(p, data)
		if rng.IntN(4) == 0 {
			r, err := d.Open(p)
			if err != nil {
				return err
			}
			held = append(held, opened{r, data})
		}
		if last.Kind != Nowhere {
			x.remove(last)
			d.Free(last)
		}
		last = p
		if len(held) > 3 {
			if err := check(held[0]); err != nil {
				return err
			}
			held = held[1:]
		}
	}
	for _, o := range held {
		if err := check(o); err != nil {
			return err
		}
	}
	return nil
}

// TestPersistentFailureMarksTheDisk lets every write fail: writers get errors, and after a few the disk refuses.
func TestPersistentFailureMarksTheDisk(t *testing.T) {
	mem := vfs.NewMem()
	formatted(t, mem, testDir)
	var broken atomic.Bool
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return errorfs.ErrInjected
		}
		return nil
	}))
	d := opened(t, fs, testDir, smallOptions())
	recovered(t, d)
	data := content(1, 1000)
	p := mustPut(t, d, data, -1)
	broken.Store(true)
	for i := 0; d.Err() == nil; i++ {
		if i == 100 {
			t.Fatal("the disk does not count as failed")
		}
		if _, err := put(d, data, -1, ""); err == nil {
			t.Fatal("a write worked")
		}
	}
	if _, err := d.Create(context.Background(), 1); !cluster.Is(err, cluster.KindUnavailable) {
		t.Errorf("create on a failed disk: %v", err)
	}
	wantData(t, d, p, data)
	if st := d.Stats(); st.Errors < failuresInARow {
		t.Errorf("%d errors counted", st.Errors)
	}
	_ = d.Close() // its files cannot be closed properly
}

// TestFailedSyncIsForEver: after a sync that failed nothing more is written to the segment, and what waited for it fails.
func TestFailedSyncIsForEver(t *testing.T) {
	mem := vfs.NewCrashableMem()
	formatted(t, mem, testDir)
	var broken atomic.Bool
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && op.Kind == errorfs.OpFileSyncData {
			return errorfs.ErrInjected
		}
		return nil
	}))
	d := opened(t, fs, testDir, smallOptions())
	defer d.Close()
	recovered(t, d)
	before := mustPut(t, d, content(1, 1000), -1)
	broken.Store(true)
	var failed atomic.Int64
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			if _, err := put(d, content(2, 1000), -1, ""); errors.Is(err, errorfs.ErrInjected) {
				failed.Add(1)
			}
		})
	}
	writers.Wait()
	broken.Store(false)
	if failed.Load() != 4 {
		t.Errorf("%d of 4 writers failed", failed.Load())
	}
	after := mustPut(t, d, content(3, 1000), -1)
	if after.File == before.File {
		t.Errorf("%s was written to after its sync had failed", after.File)
	}
	wantData(t, d, before, content(1, 1000))
	wantData(t, d, after, content(3, 1000))
}

func TestFullDisk(t *testing.T) {
	mem := vfs.NewMem()
	formatted(t, mem, testDir)
	var full atomic.Bool
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch op.Kind {
		case errorfs.OpCreate, errorfs.OpFileWrite, errorfs.OpFileWriteAt, errorfs.OpFilePreallocate, errorfs.OpMkdirAll:
			if full.Load() {
				return syscall.ENOSPC
			}
		}
		return nil
	}))
	mem.TestingSetDiskUsage(vfs.DiskUsage{TotalBytes: 1000 << 20, AvailBytes: 900 << 20, UsedBytes: 100 << 20})
	var events []string
	o := smallOptions()
	o.Ballast = 1 << 20
	o.Events.Full = func(full bool) { events = append(events, fmt.Sprint("full ", full)) }
	o.Events.Ballast = func(held bool) { events = append(events, fmt.Sprint("ballast ", held)) }
	d := opened(t, fs, testDir, o)
	defer d.Close()
	recovered(t, d)
	extent, blob := mustPut(t, d, content(1, 1000), -1), mustPut(t, d, content(1, 100<<10), -1)

	full.Store(true)
	for _, size := range []int{31 << 10, 100 << 10, 31 << 10, 31 << 10, 31 << 10} {
		if _, err := put(d, content(2, size), int64(size), ""); err != nil && !cluster.Is(err, cluster.KindNoSpace) {
			t.Errorf("%d bytes on a full disk: %v", size, err)
		}
	}
	if _, err := d.Create(context.Background(), 10); !cluster.Is(err, cluster.KindNoSpace) {
		t.Errorf("create on a full disk: %v", err)
	}
	if err := d.CheckSpace(10); !cluster.Is(err, cluster.KindNoSpace) {
		t.Errorf("CheckSpace on a full disk: %v", err)
	}
	wantData(t, d, extent, content(1, 1000))
	full.Store(false)
	d.Free(blob) // looks again
	d.Free(extent)
	mustPut(t, d, content(3, 1000), -1)
	want := []string{"ballast true", "full true", "ballast false", "full false", "ballast true"}
	if !equalEvents(events, want) {
		t.Errorf("events %q, want %q", events, want)
	}
	if d.Err() != nil {
		t.Errorf("a full disk counts as failed: %v", d.Err())
	}
}

// equalEvents compares without regard to the order of neighbours.
func equalEvents(got, want []string) bool {
	if len(got) != len(want) {
		return false
	}
	seen := make(map[string]int)
	for i := range got {
		seen[got[i]]++
		seen[want[i]]--
	}
	for _, n := range seen {
		if n != 0 {
			return false
		}
	}
	return true
}

func TestHighWatermark(t *testing.T) {
	mem := vfs.NewMem()
	formatted(t, mem, testDir)
	usage := func(percent uint64) {
		const total = 10000 << 20
		mem.TestingSetDiskUsage(vfs.DiskUsage{TotalBytes: total, AvailBytes: total / 100 * (100 - percent), UsedBytes: total / 100 * percent})
	}
	usage(50)
	o := smallOptions()
	o.HighWatermark = 0.9
	d := opened(t, mem, testDir, o)
	defer d.Close()
	recovered(t, d)
	p := mustPut(t, d, content(1, 1000), -1)
	usage(91)
	d.space.look()
	if _, err := d.Create(context.Background(), 1); !cluster.Is(err, cluster.KindNoSpace) {
		t.Errorf("above the watermark: %v", err)
	}
	wantData(t, d, p, content(1, 1000))
	usage(89)
	d.Free(p)
	mustPut(t, d, content(1, 1000), -1)
	for _, n := range []int64{2000 << 20, math.MaxInt64} {
		if err := d.CheckSpace(1); err != nil {
			t.Error(err)
		}
		if err := d.CheckSpace(n); !cluster.Is(err, cluster.KindNoSpace) {
			t.Errorf("%d bytes, more than there are: %v", n, err)
		}
	}
}
