package disk

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/aisle-store/aisle/cluster"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const testDir = "/mp"

var testIdentity = Identity{Cluster: "c1", Node: "n1", Mountpath: "m1"}

// smallOptions make every case small: segments of 128 KiB, extents up to 32 KiB.
func smallOptions() Options {
	return Options{Identity: testIdentity, SegmentSize: 128 << 10, ExtentMax: 32 << 10, Ballast: -1, PunchDelay: -1}
}

func formatted(t testing.TB, fs vfs.FS, dir string) {
	t.Helper()
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Format(fs, dir, testIdentity); err != nil {
		t.Fatal(err)
	}
	if err := syncDir(fs, fs.PathDir(dir)); err != nil {
		t.Fatal(err)
	}
}

func opened(t testing.TB, fs vfs.FS, dir string, o Options) *Disk {
	t.Helper()
	d, err := Open(fs, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// fresh returns an open disk in memory, recovered.
func fresh(t testing.TB, o Options) (*vfs.MemFS, *Disk) {
	t.Helper()
	fs := vfs.NewCrashableMem()
	formatted(t, fs, testDir)
	d := opened(t, fs, testDir, o)
	recovered(t, d)
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return fs, d
}

func recovered(t testing.TB, d *Disk, live ...Place) Recovered {
	t.Helper()
	r, err := d.Recover(context.Background(), places(live...))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func places(live ...Place) iter.Seq2[Place, error] {
	return func(yield func(Place, error) bool) {
		for _, p := range live {
			if !yield(p, nil) {
				return
			}
		}
	}
}

// content returns n bytes that depend on seed.
func content(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), 1})
	_, _ = r.Read(b)
	return b
}

func put(d *Disk, data []byte, size int64, record string) (Place, error) {
	w, err := d.Create(context.Background(), size)
	if err != nil {
		return Place{}, err
	}
	defer w.Abort()
	if _, err := io.Copy(w, bytes.NewReader(data)); err != nil {
		return Place{}, err
	}
	return w.Seal(context.Background(), []byte(record))
}

func mustPut(t testing.TB, d *Disk, data []byte, size int64) Place {
	t.Helper()
	p, err := put(d, data, size, "record")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func read(d *Disk, p Place) ([]byte, error) {
	r, err := d.Open(p)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return readRange(r, 0, r.Size())
}

func readRange(r *Reader, off, n int64) ([]byte, error) {
	var all []byte
	for runs := r.Runs(off, n); ; {
		b, err := runs.Next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, b...)
	}
}

func wantData(t testing.TB, d *Disk, p Place, want []byte) {
	t.Helper()
	got, err := read(d, p)
	if err != nil {
		t.Fatalf("%s: %v", p, err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%s: %d other bytes", p, len(got))
	}
}

func TestRoundTrip(t *testing.T) {
	f := func(fs vfs.FS, dir string) {
		t.Helper()
		formatted(t, fs, dir)
		o := smallOptions()
		o.SegmentSize, o.ExtentMax = 1<<20, 200<<10
		d := opened(t, fs, dir, o)
		defer d.Close()
		recovered(t, d)
		sizes := []int{0, 1, 100, 4000, 4096, 16 << 10, 16<<10 - headerSize, 16<<10 - headerSize + 1, 65535, 65536, 65537,
			128 << 10, 200 << 10, 200<<10 + 1, 300 << 10, 3<<20 + 17}
		for _, n := range sizes {
			data := content(uint64(n), n)
			for _, declared := range []int64{int64(n), -1} {
				p := mustPut(t, d, data, declared)
				wantKind := Extent
				if n == 0 {
					wantKind = Nowhere
				} else if n > 200<<10 {
					wantKind = Blob
				}
				if p.Kind != wantKind || p.Length != int64(n) {
					t.Fatalf("%d bytes: %s", n, p)
				}
				wantData(t, d, p, data)
				if err := d.Verify(context.Background(), p); err != nil {
					t.Fatal(err)
				}
				wantRanges(t, d, p, data)
				if n == 0 {
					continue
				}
				if rec, err := d.Footer(p); err != nil || string(rec) != "record" {
					t.Fatalf("footer %q, %v", rec, err)
				}
			}
		}
	}
	f(vfs.NewMem(), testDir)
	f(vfs.Default, t.TempDir())
}

func wantRanges(t testing.TB, d *Disk, p Place, data []byte) {
	t.Helper()
	r, err := d.Open(p)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	rng := rand.New(rand.NewPCG(1, uint64(len(data))))
	for range 20 {
		if len(data) == 0 {
			break
		}
		off := rng.IntN(len(data))
		n := rng.IntN(len(data) - off + 1)
		got := make([]byte, n)
		if m, err := r.ReadAt(got, int64(off)); err != nil || m != n || !bytes.Equal(got, data[off:off+n]) {
			t.Fatalf("%s: range %d+%d: %d, %v", p, off, n, m, err)
		}
		if sent, err := readRange(r, int64(off), int64(n)); err != nil || !bytes.Equal(sent, data[off:off+n]) {
			t.Fatalf("%s: runs %d+%d differ: %v", p, off, n, err)
		}
	}
	if n, err := r.ReadAt(make([]byte, 1), int64(len(data))); n != 0 || err != io.EOF {
		t.Fatalf("read behind the end: %d, %v", n, err)
	}
}

func TestDeclaredSizeBinds(t *testing.T) {
	_, d := fresh(t, smallOptions())
	f := func(declared, sent int) {
		t.Helper()
		w, err := d.Create(context.Background(), int64(declared))
		if err != nil {
			t.Fatal(err)
		}
		defer w.Abort()
		_, err = io.Copy(w, bytes.NewReader(content(1, sent)))
		if err == nil {
			_, err = w.Seal(context.Background(), nil)
		}
		if !cluster.Is(err, cluster.KindInvalid) {
			t.Errorf("%d sent of %d: %v", sent, declared, err)
		}
		w2, err := d.Create(context.Background(), int64(declared))
		if err != nil {
			t.Fatal(err)
		}
		defer w2.Abort()
		if _, err := w2.Write(content(1, declared+1)); !cluster.Is(err, cluster.KindInvalid) {
			t.Errorf("write of %d of %d: %v", declared+1, declared, err)
		}
	}
	f(10, 9)
	f(10, 11)
	f(0, 1)
	f(100<<10, 100<<10-1)
	f(100<<10, 100<<10+1)
	if st := d.Stats(); st.Extents != 0 {
		t.Errorf("%d extents stay", st.Extents)
	}
}

func TestBodyErrorIsReturnedAsItIs(t *testing.T) {
	_, d := fresh(t, smallOptions())
	w, err := d.Create(context.Background(), -1)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	torn := errors.New("torn")
	if _, err := io.Copy(w, io.MultiReader(bytes.NewReader(content(1, 70<<10)), &failing{torn})); err != torn {
		t.Fatalf("got %v", err)
	}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

func TestManyWritersShareSyncs(t *testing.T) {
	_, d := fresh(t, smallOptions())
	const writers, each = 8, 10
	all := make([][]Place, writers)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for n := range each {
				p, err := put(d, content(uint64(i*each+n), 1000+i*3000), -1, "")
				if err != nil {
					t.Error(err)
					return
				}
				all[i] = append(all[i], p)
			}
		})
	}
	wg.Wait()
	seen := make(map[Place]bool)
	for i := range all {
		for n, p := range all[i] {
			wantData(t, d, p, content(uint64(i*each+n), 1000+i*3000))
			if seen[p] {
				t.Fatalf("%s twice", p)
			}
			seen[p] = true
		}
	}
	st := d.Stats()
	if st.Extents != writers*each || st.Synced != writers*each || st.Syncs > st.Synced {
		t.Errorf("stats %+v", st)
	}
	for p := range seen {
		d.Free(p)
		d.Free(p)
	}
	d.background.Wait()
	if st := d.Stats(); st.Extents != 0 || st.ExtentBytes != 0 || st.Segments > 2 {
		t.Errorf("after freeing all: %+v", st)
	}
}

func TestMemoryOfExtentsIsBounded(t *testing.T) {
	o := smallOptions()
	o.BufferBytes = smallBuffer
	_, d := fresh(t, o)
	w1, err := d.Create(context.Background(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w1.Write(content(1, 1000)); err != nil {
		t.Fatal(err)
	}
	p2 := mustPut(t, d, content(2, 1000), 1000)
	p1, err := w1.Seal(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if p1.Kind != Extent || p2.Kind != Blob {
		t.Errorf("%s, then %s: want an extent and a blob", p1, p2)
	}
	wantData(t, d, p1, content(1, 1000))
	wantData(t, d, p2, content(2, 1000))
	if held := d.buffers.held.Load(); held != 0 {
		t.Errorf("%d bytes of buffers are held", held)
	}
}

// TestLend: what is lent is what was written, and stays when the writer is sealed or aborted, also while others write.
func TestLend(t *testing.T) {
	_, d := fresh(t, smallOptions())
	ctx := context.Background()
	for _, size := range []int64{1, 1000, smallBuffer - headerSize, smallBuffer, largeBuffer} {
		if size > d.o.ExtentMax {
			continue
		}
		for _, seal := range []bool{true, false} {
			w, err := d.Create(ctx, size)
			if err != nil {
				t.Fatal(err)
			}
			want := content(uint64(size), int(size))
			if _, err := w.Write(want); err != nil {
				t.Fatal(err)
			}
			lent := w.Lend()
			if !w.Holds() || !bytes.Equal(bytes.Join(lent, nil), want) {
				t.Fatalf("of %d bytes others are lent", size)
			}
			if seal {
				p, err := w.Seal(ctx, []byte("record"))
				if err != nil {
					t.Fatal(err)
				}
				wantData(t, d, p, want)
			}
			w.Abort()
			mustPut(t, d, content(9, int(size)), size)
			if !bytes.Equal(bytes.Join(lent, nil), want) {
				t.Fatalf("%d lent bytes have changed", size)
			}
			w.Return()
			w.Return()
			if held := d.buffers.held.Load(); held != 0 {
				t.Fatalf("%d bytes of buffers are held", held)
			}
		}
	}
	for _, size := range []int64{0, -1, d.o.ExtentMax + 1} {
		w, err := d.Create(ctx, size)
		if err != nil {
			t.Fatal(err)
		}
		if w.Holds() != (size == 0) || w.Lend() != nil {
			t.Errorf("%d bytes: holds %v", size, w.Holds())
		}
		w.Abort()
		w.Return()
	}
}

func TestFreedBytesStayWhileTheyAreRead(t *testing.T) {
	var freed []Place
	o := smallOptions()
	o.Events.Freed = func(p Place) { freed = append(freed, p) }
	_, d := fresh(t, o)
	for _, size := range []int{10 << 10, 100 << 10} {
		data := content(3, size)
		p := mustPut(t, d, data, -1)
		r, err := d.Open(p)
		if err != nil {
			t.Fatal(err)
		}
		d.Free(p)
		if _, err := d.Open(p); !errors.Is(err, ErrGone) || !cluster.Is(err, cluster.KindNotFound) {
			t.Errorf("open after free: %v", err)
		}
		got := make([]byte, size)
		if _, err := r.ReadAt(got, 0); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: read after free: %v", p, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if len(freed) == 0 || freed[len(freed)-1] != p {
			t.Errorf("freed %v, want %s last", freed, p)
		}
	}
}

// TestCloseWhileRead: who reads when a disk is closed reads on; an extent as well as a blob.
func TestCloseWhileRead(t *testing.T) {
	fs := vfs.NewMem()
	formatted(t, fs, "mp")
	d := opened(t, fs, "mp", smallOptions())
	for _, n := range []int{10_000, 1 << 20} {
		data := content(uint64(n), n)
		r, err := d.Open(mustPut(t, d, data, int64(n)))
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if got, err := readRange(r, 0, int64(n)); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d of %d bytes behind the end of the disk: %v", len(got), n, err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}()
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}
