package meta

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// within fails the test when f does not return: a parked goroutine must never hold up a caller.
func within(t testing.TB, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		buf := make([]byte, 1<<20)
		t.Fatalf("%s does not return\n%s", what, buf[:runtime.Stack(buf, true)])
	}
}

// syncedDir makes the directory of an index durably.
func syncedDir(t testing.TB, fs vfs.FS) {
	t.Helper()
	if err := fs.MkdirAll(testDir, 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := fs.OpenDir("/")
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		t.Fatal(err)
	}
}

// commitKey writes one record and its in-doubt key, synced, and reports whether that was acknowledged.
func commitKey(x *Index, key string) error {
	b := x.NewBatch()
	defer b.Close()
	r := current(key, 1)
	if err := b.Put(r); err != nil {
		return err
	}
	b.Doubt(r.Ref)
	return b.Commit(true)
}

// wantAcknowledged checks on what a crash left that everything acknowledged is there, each record with its in-doubt key.
func wantAcknowledged(t testing.TB, fs vfs.FS, acknowledged []string) {
	t.Helper()
	x := opened(t, fs, testDir, Options{})
	defer x.Close()
	doubts := make(map[cluster.ObjectKey]bool)
	for ref, err := range x.Doubts(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		doubts[ref.Key] = true
	}
	found := make(map[cluster.ObjectKey]bool)
	for r, err := range x.Scan(context.Background(), Range{Kind: Current, Bucket: 1}).All() {
		if err != nil {
			t.Fatal(err)
		}
		found[r.Key] = true
		if !doubts[r.Key] {
			t.Fatalf("%s is there without its in-doubt key", r.Key)
		}
	}
	for _, key := range acknowledged {
		if !found[cluster.ObjectKey(key)] {
			t.Fatalf("%s was acknowledged and is lost", key)
		}
	}
}

// TestEveryFailedOperation fails the n-th operation of the file system, once or from then on, for every n, in a scenario of
// commits, a flush and reads: a commit that was acknowledged is there after a crash, and no call hangs.
func TestEveryFailedOperation(t *testing.T) {
	for _, forever := range []bool{false, true} {
		for n, fired := int32(0), true; fired; n += step(n) {
			mem := vfs.NewCrashableMem()
			inject := &failFrom{forever: forever}
			inject.left.Store(n)
			var acknowledged []string
			within(t, fmt.Sprint("operation ", n), func() { acknowledged = faultScenario(errorfs.Wrap(mem, inject)) })
			fired = inject.fired.Load()
			inject.off.Store(true)
			crashed := mem.CrashClone(vfs.CrashCloneCfg{})
			if exists(crashed) {
				wantAcknowledged(t, crashed, acknowledged)
			} else if len(acknowledged) > 0 {
				t.Fatalf("operation %d: %d acknowledged, and no index", n, len(acknowledged))
			}
		}
	}
}

// step lets every operation of the beginning fail, and then every third.
func step(n int32) int32 {
	if n < 60 || !testing.Short() {
		return 1
	}
	return 3
}

// exists reports whether a crash left an index that was complete once.
func exists(fs vfs.FS) bool {
	names, err := fs.List(testDir)
	if err != nil {
		return false
	}
	for _, name := range names {
		if strings.HasPrefix(name, "marker.manifest") {
			return true
		}
	}
	return false
}

// failFrom fails one operation, or all from one on.
type failFrom struct {
	left    atomic.Int32
	forever bool
	fired   atomic.Bool
	off     atomic.Bool
}

func (f *failFrom) String() string { return "fail from" }

func (f *failFrom) MaybeError(errorfs.Op) error {
	if f.off.Load() {
		return nil
	}
	left := f.left.Add(-1)
	if left < 0 && f.forever || left == -1 {
		f.fired.Store(true)
		return errorfs.ErrInjected
	}
	return nil
}

func faultScenario(fs vfs.FS) (acknowledged []string) {
	if err := fs.MkdirAll(testDir, 0o755); err != nil {
		return nil
	}
	if dir, err := fs.OpenDir("/"); err == nil {
		_ = dir.Sync()
		_ = dir.Close()
	}
	x, err := Open(fs, testDir, Options{MemTable: 64 << 10})
	if err != nil {
		return nil
	}
	for i := range 12 {
		key := fmt.Sprint("k", i)
		if commitKey(x, key) == nil {
			acknowledged = append(acknowledged, key)
		}
		if i == 6 {
			_ = x.call(func() error { _, err := x.db.AsyncFlush(); return err })
		}
		_, _ = x.Get(Ref{Kind: Current, Bucket: 1, Key: cluster.ObjectKey(key)}, nil)
	}
	_ = x.Close()
	return acknowledged
}

// TestLogFailsUnderManyWriters lets the log's sync fail while many commit: those who were told that it worked find their
// record after the crash, all others get a clear error, and later calls fail at once.
func TestLogFailsUnderManyWriters(t *testing.T) {
	for round := range 10 {
		mem := vfs.NewCrashableMem()
		var broken atomic.Bool
		fail := errorfs.InjectorFunc(func(op errorfs.Op) error {
			if broken.Load() && op.Kind == errorfs.OpFileSyncData && strings.HasSuffix(op.Path, ".log") {
				return errorfs.ErrInjected
			}
			return nil
		})
		syncedDir(t, mem)
		died := make(chan error, 1)
		x := opened(t, errorfs.Wrap(mem, fail), testDir, Options{Events: Events{Died: func(err error) { died <- err }}})
		var mu sync.Mutex
		var acknowledged []string
		var writers sync.WaitGroup
		for w := range 8 {
			writers.Go(func() {
				for i := 0; ; i++ {
					key := fmt.Sprintf("w%d-%d", w, i)
					if err := commitKey(x, key); err != nil {
						if !cluster.Is(err, cluster.KindUnavailable) {
							t.Errorf("commit: %v", err)
						}
						return
					}
					mu.Lock()
					acknowledged = append(acknowledged, key)
					mu.Unlock()
				}
			})
		}
		time.Sleep(time.Duration(round) * time.Millisecond)
		broken.Store(true)
		within(t, "a writer", writers.Wait)
		<-died
		crashed := mem.CrashClone(vfs.CrashCloneCfg{})
		within(t, "a call on a dead index", func() { wantDead(t, x) })
		wantAcknowledged(t, crashed, acknowledged)
	}
}

func wantDead(t *testing.T, x *Index) {
	t.Helper()
	f := func(what string, err error) {
		t.Helper()
		if !cluster.Is(err, cluster.KindUnavailable) {
			t.Errorf("%s on a dead index: %v", what, err)
		}
	}
	<-x.Dead()
	f("Err", x.Err())
	_, err := x.Get(Ref{Kind: Current, Bucket: 1, Key: "w0-0"}, nil)
	f("Get", err)
	_, err = x.Exact(Ref{Kind: Current, Bucket: 1, Key: "w0-0"})
	f("Exact", err)
	for _, err = range x.Scan(context.Background(), Range{Kind: Current, Bucket: 1}).All() {
	}
	f("Scan", err)
	for _, err = range x.Doubts(context.Background()) {
	}
	f("Doubts", err)
	for _, err = range x.Places(context.Background()) {
	}
	f("Places", err)
	_, err = x.WrittenSlots()
	f("WrittenSlots", err)
	f("Commit", commitKey(x, "late"))
	x.Metrics()
	if err := x.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// TestCrashes cuts the power at random moments while many commit, keeping a random part of what was not synced.
func TestCrashes(t *testing.T) {
	for seed := range uint64(20) {
		mem := vfs.NewCrashableMem()
		syncedDir(t, mem)
		x := opened(t, mem, testDir, Options{MemTable: 64 << 10})
		var mu sync.Mutex
		var acknowledged []string
		var writers sync.WaitGroup
		for w := range 4 {
			writers.Go(func() {
				for i := range 50 {
					key := fmt.Sprintf("w%d-%d", w, i)
					if err := commitKey(x, key); err != nil {
						t.Error(err)
					}
					mu.Lock()
					acknowledged = append(acknowledged, key)
					mu.Unlock()
				}
			})
		}
		rng := rand.New(rand.NewPCG(seed, 0))
		time.Sleep(time.Duration(rng.IntN(3000)) * time.Microsecond)
		mu.Lock()
		before := append([]string(nil), acknowledged...)
		mu.Unlock()
		crashed := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(100), RNG: rng})
		writers.Wait()
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
		wantAcknowledged(t, crashed, before)
	}
}

// TestCorruptRecord changes each byte of a stored value, and puts a value under another key.
func TestCorruptRecord(t *testing.T) {
	x := fresh(t)
	r := current("k", 4)
	r.Inline = []byte("data")
	putAll(t, x, r)
	key := r.appendKey(nil)
	value, closer, err := x.db.Get(key)
	if err != nil {
		t.Fatal(err)
	}
	good := append([]byte(nil), value...)
	if err := closer.Close(); err != nil {
		t.Fatal(err)
	}
	f := func(key, value []byte) {
		t.Helper()
		if err := x.db.Set(key, value, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
		ref, err := parseKey(key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x.Get(ref, nil); !cluster.Is(err, cluster.KindCorrupt) {
			t.Fatalf("Get: %v", err)
		}
		if _, err := x.Exact(ref); !cluster.Is(err, cluster.KindCorrupt) {
			t.Fatalf("Exact: %v", err)
		}
		var scanned, placed error
		for _, err := range x.Scan(context.Background(), Range{Kind: Current, Bucket: 1}).All() {
			scanned = err
		}
		for _, err := range x.Places(context.Background()) {
			placed = err
		}
		if !cluster.Is(scanned, cluster.KindCorrupt) || !cluster.Is(placed, cluster.KindCorrupt) {
			t.Fatalf("Scan: %v, Places: %v", scanned, placed)
		}
		if err := x.db.Delete(key, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	for i := range good {
		bad := append([]byte(nil), good...)
		bad[i] ^= 0x10
		f(key, bad)
		f(key, good[:i])
	}
	f(current("other", 4).appendKey(nil), good)
}

// TestCorruptTable changes bytes of a table on disk: reads say corrupt, and the process goes on.
func TestCorruptTable(t *testing.T) {
	mem := vfs.NewMem()
	x := opened(t, mem, testDir, Options{})
	for i := range 200 {
		putAll(t, x, current(fmt.Sprint("k", i), 1))
	}
	if err := x.db.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := mem.List(testDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if filepath.Ext(name) != ".sst" {
			continue
		}
		b, err := mem.UnsafeGetFileDataBuffer(filepath.Join(testDir, name))
		if err != nil {
			t.Fatal(err)
		}
		for i := range min(len(b), 4096) {
			b[i] ^= 0xff
		}
	}
	x = opened(t, mem, testDir, Options{})
	defer x.Close()
	if _, err := x.Get(current("k0", 1).Ref, nil); !cluster.Is(err, cluster.KindCorrupt) {
		t.Errorf("Get: %v", err)
	}
	if x.Err() != nil {
		t.Errorf("the index is dead: %v", x.Err())
	}
}
