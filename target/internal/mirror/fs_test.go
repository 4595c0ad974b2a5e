package mirror

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/aisle-store/aisle/cluster"
)

// register is what is noted of the sides, outside of them.
type register struct {
	mu     sync.Mutex
	inStep []cluster.MountpathID
	err    error
}

func (r *register) note(ids []cluster.MountpathID) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.inStep = slices.Clone(ids)
	}
	return r.err
}

func (r *register) sides() []Side {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Side
	for _, id := range r.inStep {
		all = append(all, Side{ID: id, Dir: "/" + string(id) + "/m"})
	}
	return all
}

const dir = "/m"

// exists is a check of sides: the directory is there.
func exists(fs vfs.FS, s Side) error {
	_, err := fs.Stat(s.Dir)
	return err
}

// newSides returns a file system with two empty sides.
func newSides(t *testing.T, base vfs.FS) *register {
	t.Helper()
	r := &register{inStep: []cluster.MountpathID{"a", "b"}}
	for _, s := range r.sides() {
		if err := base.MkdirAll(s.Dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, d := range []string{"/", "/" + string(s.ID)} {
			if err := syncDir(base, d); err != nil {
				t.Fatal(err)
			}
		}
	}
	return r
}

func (r *register) open(base vfs.FS) (*FS, error) {
	return Open(Options{FS: base, Dir: dir, Sides: r.sides(), Note: r.note}, exists)
}

// failing fails the operations on a side from some point on.
type failing struct {
	side  atomic.Pointer[string]
	after atomic.Int64
	kind  atomic.Bool // only changes fail
}

func (f *failing) wrap(base vfs.FS) vfs.FS {
	return errorfs.Wrap(base, errorfs.InjectorFunc(func(op errorfs.Op) error {
		side := f.side.Load()
		if side == nil || !strings.HasPrefix(op.Path, *side+"/") || f.kind.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsRead {
			return nil
		}
		if f.after.Add(-1) >= 0 {
			return nil
		}
		return syscall.EIO
	}))
}

func (f *failing) begin(side string, after int64, changes bool) {
	f.after.Store(after)
	f.kind.Store(changes)
	f.side.Store(&side)
}

func openPebble(f *FS) (*pebble.DB, error) {
	return pebble.Open(dir+"/index", &pebble.Options{FS: f, MemTableSize: 64 << 10, MaxManifestFileSize: 1, Logger: quiet{}, FormatMajorVersion: pebble.FormatNewest})
}

type quiet struct{}

func (quiet) Infof(string, ...any)        {}
func (quiet) Errorf(string, ...any)       {}
func (quiet) Fatalf(f string, all ...any) { panic(fmt.Sprintf(f, all...)) }

// TestRandomDisks: a store lives on two sides, through crashes that lose what was not synced, the death of a side at any operation,
// and the return of dead sides with what they had. What was acknowledged is there as long as a side is left that was noted to be in
// step, and nothing is believed that a stale one has.
func TestRandomDisks(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { randomDisks(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func randomDisks(t *testing.T, rng *rand.Rand) {
	base := vfs.NewCrashableMem()
	r := newSides(t, base)
	acked, dead := make(map[string]string), false
	for life := range 6 {
		sick := &failing{}
		if len(r.sides()) == 2 && !dead && rng.IntN(3) == 0 {
			sick.begin([]string{"/a", "/b"}[rng.IntN(2)], int64(rng.IntN(300)), rng.IntN(2) == 0)
		}
		f, err := r.open(sick.wrap(base))
		if err != nil {
			if len(r.sides()) == 2 {
				t.Fatalf("life %d: %v", life, err)
			}
			return // the last side is gone
		}
		db, err := openPebble(f)
		if err != nil {
			if len(r.sides()) == 2 {
				t.Fatalf("life %d: %v, in step %v", life, err, f.InStep())
			}
			return
		}
		for key, want := range acked {
			got, closer, err := db.Get([]byte(key))
			if err != nil || string(got) != want {
				t.Fatalf("life %d: %s is %q, %v; want %q; in step %v", life, key, got, err, want, f.InStep())
			}
			closer.Close()
		}
		for i := range rng.IntN(120) {
			key, value := fmt.Sprintf("k%d", rng.IntN(30)), fmt.Sprintf("%d.%d.%s", life, i, strings.Repeat("x", rng.IntN(3000)))
			if err := db.Set([]byte(key), []byte(value), pebble.Sync); err != nil {
				t.Fatal(err)
			}
			acked[key] = value
		}
		stale := base.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng})
		for i := range rng.IntN(40) {
			key, value := fmt.Sprintf("k%d", rng.IntN(30)), fmt.Sprintf("later %d.%d", life, i)
			if err := db.Set([]byte(key), []byte(value), pebble.Sync); err != nil {
				t.Fatal(err)
			}
			acked[key] = value
		}
		next := base.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		sick.side.Store(nil)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		base, dead = next, false
		switch died := []string{"a", "b", ""}[rng.IntN(3)]; {
		case died == "":
		case len(r.sides()) == 2:
			dead = true
			if err := base.RemoveAll("/" + died + "/m"); err != nil {
				t.Fatal(err)
			}
		case cluster.MountpathID(died) != r.sides()[0].ID: // a stale side is back
			if err := base.RemoveAll("/" + died + "/m"); err != nil {
				t.Fatal(err)
			}
			if _, err := vfs.Clone(stale, base, "/"+died+"/m", "/"+died+"/m"); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestStaleAlone: a side that is out of step is not believed when it is the only one that comes back.
func TestStaleAlone(t *testing.T) {
	base := vfs.NewMem()
	r := newSides(t, base)
	f, err := r.open(base)
	if err != nil {
		t.Fatal(err)
	}
	if !f.Drop("a", errors.New("test")) || f.Drop("a", errors.New("again")) || f.Drop("b", errors.New("the last one")) {
		t.Fatal("Drop")
	}
	if err := base.RemoveAll("/b/m"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.open(base); err == nil {
		t.Fatal("the stale side is believed")
	}
}

// TestNotNoted: where nobody can note that a side is out, nothing is acknowledged any more.
func TestNotNoted(t *testing.T) {
	base, sick := vfs.NewMem(), &failing{}
	r := newSides(t, base)
	f, err := r.open(sick.wrap(base))
	if err != nil {
		t.Fatal(err)
	}
	file, err := f.Create(dir+"/x", "test")
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	r.err = errors.New("the state directory is gone")
	r.mu.Unlock()
	sick.begin("/a", 0, true)
	_, err = file.Write([]byte("x"))
	if err = errors.Join(err, file.Sync()); err == nil {
		t.Fatal("a sync that was done on one side is acknowledged")
	}
	if len(r.sides()) != 2 {
		t.Fatal("noted")
	}
	_ = file.Close()
}

// TestHangingSide: who waits for a disk that hangs goes on when the side is taken out.
func TestHangingSide(t *testing.T) {
	base, hang := vfs.NewMem(), make(chan struct{})
	r := newSides(t, base)
	var stuck atomic.Bool
	f, err := r.open(errorfs.Wrap(base, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if stuck.Load() && strings.HasPrefix(op.Path, "/b/") {
			<-hang
		}
		return nil
	})))
	if err != nil {
		t.Fatal(err)
	}
	file, err := f.Create(dir+"/x", "test")
	if err != nil {
		t.Fatal(err)
	}
	stuck.Store(true)
	done := make(chan error)
	go func() {
		_, err := file.Write([]byte("x"))
		done <- errors.Join(err, file.Sync(), file.Close())
	}()
	select {
	case <-done:
		t.Fatal("it did not wait")
	case <-time.After(20 * time.Millisecond):
	}
	f.Drop("b", errors.New("it does not answer"))
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := f.InStep(); !slices.Equal(got, []cluster.MountpathID{"a"}) {
		t.Fatalf("in step: %v", got)
	}
	close(hang)
}

// TestReadFromTheOther: what cannot be read on one side is read on the other, also in the middle of a file; what is not there is
// absent only when no side has it.
func TestReadFromTheOther(t *testing.T) {
	base, sick := vfs.NewMem(), &failing{}
	r := newSides(t, base)
	f, err := r.open(sick.wrap(base))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Open(dir + "/none"); !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	w, err := f.Create(dir+"/x", "test")
	if err == nil {
		_, err = w.Write([]byte("hello"))
	}
	if err = errors.Join(err, w.Sync(), w.Close()); err != nil {
		t.Fatal(err)
	}
	in, err := f.Open(dir + "/x")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	for _, side := range []string{"/a", "/b"} {
		sick.begin(side, 0, false)
		if got, err := io.ReadAll(io.NewSectionReader(in, 0, 5)); err != nil || string(got) != "hello" {
			t.Fatalf("%s: %q, %v", side, got, err)
		}
		if _, err := f.Stat(dir + "/x"); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Open(dir + "/none"); err == nil {
			t.Fatal("it is there")
		}
	}
	if got := f.InStep(); len(got) != 2 {
		t.Fatalf("a failed read took a side out: %v", got)
	}
	sick.side.Store(nil)
	if err := base.Remove("/a/m/x"); err != nil {
		t.Fatal(err)
	}
	again, err := f.Open(dir + "/x")
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

// write sets keys, synced, and returns what is in them.
func write(t *testing.T, db *pebble.DB, rng *rand.Rand, count int) map[string]string {
	t.Helper()
	acked := make(map[string]string)
	for i := range count {
		key, value := fmt.Sprintf("k%d", rng.IntN(30)), fmt.Sprintf("%d.%s", i, strings.Repeat("x", rng.IntN(4000)))
		if err := db.Set([]byte(key), []byte(value), pebble.Sync); err != nil {
			t.Fatal(err)
		}
		acked[key] = value
	}
	return acked
}

func wantAcked(t *testing.T, db *pebble.DB, acked map[string]string) {
	t.Helper()
	for key, want := range acked {
		got, closer, err := db.Get([]byte(key))
		if err != nil || string(got) != want {
			t.Fatalf("%s is %q, %v; want %q", key, got, err, want)
		}
		closer.Close()
	}
}

// TestCrashKeepsBoth: what a crash leaves different on the sides is made the same, and takes no side out. When that is interrupted
// anywhere, each side has still all that was acknowledged.
func TestCrashKeepsBoth(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 2))
			base := vfs.NewCrashableMem()
			r := newSides(t, base)
			f, err := r.open(base)
			if err != nil {
				t.Fatal(err)
			}
			db, err := openPebble(f)
			if err != nil {
				t.Fatal(err)
			}
			acked := write(t, db, rng, 60+rng.IntN(100))
			crashed := base.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng})
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			for n := range int64(40) {
				again := crashed.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rng})
				sick := &failing{}
				sick.begin("/b", n, true)
				interrupted := align(sick.wrap(again), "/a/m", "/b/m")
				again = again.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
				if err := again.RemoveAll("/a/m"); err != nil {
					t.Fatal(err)
				}
				alone := &register{inStep: []cluster.MountpathID{"b"}}
				f, err := alone.open(again)
				if err != nil {
					t.Fatal(err)
				}
				db, err := openPebble(f)
				if err != nil {
					t.Fatalf("interrupted at %d: %v", n, err)
				}
				wantAcked(t, db, acked)
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
				if interrupted == nil {
					break
				}
			}
			if f, err = r.open(crashed); err != nil {
				t.Fatal(err)
			}
			if db, err = openPebble(f); err != nil {
				t.Fatal(err)
			}
			wantAcked(t, db, acked)
			write(t, db, rng, 100)
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			if len(f.InStep()) != 2 {
				t.Fatal("a crash took a side out")
			}
		})
	}
}

// TestReaderLeavesSide: a file that is open for reading is read on a side in step, whatever it was opened on.
func TestReaderLeavesSide(t *testing.T) {
	base := vfs.NewMem()
	f, err := newSides(t, base).open(base)
	if err != nil {
		t.Fatal(err)
	}
	w, err := f.Create(dir+"/x", "test")
	if err != nil {
		t.Fatal(err)
	}
	in, err := f.Open(dir + "/x")
	if err != nil {
		t.Fatal(err)
	}
	f.Drop("a", errors.New("test"))
	if _, err := w.Write([]byte("later")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := in.ReadAt(got, 0); err != nil || string(got) != "later" {
		t.Fatalf("%q, %v", got, err)
	}
	if err := errors.Join(w.Sync(), w.Close(), in.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestNothingBesideMount: below a side that is not mounted nothing is made, where the next mount would hide it.
func TestNothingBesideMount(t *testing.T) {
	base := vfs.NewMem()
	f, err := newSides(t, base).open(base)
	if err != nil {
		t.Fatal(err)
	}
	if err := base.RemoveAll("/b/m"); err != nil {
		t.Fatal(err)
	}
	if err := f.MkdirAll(dir+"/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := base.Stat("/b/m"); !errors.Is(err, os.ErrNotExist) {
		t.Fatal("it was made")
	}
	if got := f.InStep(); !slices.Equal(got, []cluster.MountpathID{"a"}) {
		t.Fatal(got)
	}
}

// TestUnreadableSource: of two sides the first one cannot be read when they are opened. It is out, and not the one that can be.
func TestUnreadableSource(t *testing.T) {
	for _, kind := range []errorfs.OpKind{errorfs.OpOpen, errorfs.OpFileRead, errorfs.OpStat, errorfs.OpList} {
		base := vfs.NewMem()
		r := newSides(t, base)
		for _, s := range r.sides() {
			if err := put(base, s.Dir+"/x", "hello "+string(s.ID)); err != nil {
				t.Fatal(err)
			}
		}
		f, err := r.open(errorfs.Wrap(base, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind == kind && op.Path != "/a/m" == (kind != errorfs.OpList) && strings.HasPrefix(op.Path, "/a/") {
				return syscall.EIO
			}
			return nil
		})))
		if err != nil {
			t.Fatal(err)
		}
		if got := f.InStep(); !slices.Equal(got, []cluster.MountpathID{"b"}) || !slices.Equal(r.inStep, got) {
			t.Fatalf("%v: in step: %v, noted: %v", kind, got, r.inStep)
		}
		if got := content(t, f, dir+"/x"); got != "hello b" && got != "hello a" { // whole, one or the other
			t.Fatalf("%v: %q", kind, got)
		}
	}
}

// TestTurn: a file that is open is read on the side whose turn it is.
func TestTurn(t *testing.T) {
	base := vfs.NewMem()
	r := newSides(t, base)
	for _, s := range r.sides() {
		if err := put(base, s.Dir+"/x.sst", string(s.ID)); err != nil {
			t.Fatal(err)
		}
	}
	f, err := r.open(base)
	if err != nil {
		t.Fatal(err)
	}
	in, err := f.Open(dir + "/x.sst")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	for range 4 {
		got := make([]byte, 1)
		if _, err := in.ReadAt(got, 0); err != nil || string(got) != string(f.First()) {
			t.Fatalf("%q of %s, %v", got, f.First(), err)
		}
		f.Turn()
	}
}

// TestHangingRead: who reads on a disk that hangs gets what the other one has when the side is taken out.
func TestHangingRead(t *testing.T) {
	base, hang := vfs.NewMem(), make(chan struct{})
	r := newSides(t, base)
	for _, s := range r.sides() {
		if err := put(base, s.Dir+"/x", "hello"); err != nil {
			t.Fatal(err)
		}
	}
	var stuck atomic.Bool
	f, err := r.open(errorfs.Wrap(base, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if stuck.Load() && strings.HasPrefix(op.Path, "/a/") {
			<-hang
		}
		return nil
	})))
	if err != nil {
		t.Fatal(err)
	}
	in, err := f.Open(dir + "/x")
	if err != nil {
		t.Fatal(err)
	}
	stuck.Store(true)
	var work sync.WaitGroup
	work.Go(func() {
		got := make([]byte, 5)
		if _, err := in.ReadAt(got, 0); err != nil || string(got) != "hello" {
			t.Errorf("%q, %v", got, err)
		}
		if err := in.Close(); err != nil {
			t.Error(err)
		}
	})
	work.Go(func() {
		if names, err := f.List(dir); err != nil || !slices.Equal(names, []string{"x"}) {
			t.Errorf("%v, %v", names, err)
		}
	})
	time.Sleep(20 * time.Millisecond)
	f.Drop("a", errors.New("it does not answer"))
	work.Wait()
	close(hang)
}

func put(fs vfs.FS, name, text string) error {
	w, err := fs.Create(name, "test")
	if err != nil {
		return err
	}
	_, err = w.Write([]byte(text))
	return errors.Join(err, w.Sync(), w.Close())
}

func content(t *testing.T, fs vfs.FS, name string) string {
	t.Helper()
	in, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	got, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}
