package disk

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/aisle-store/aisle/cluster"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// restarted closes a disk and opens it again, not yet recovered.
func restarted(t *testing.T, fs vfs.FS, d *Disk, o Options) *Disk {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return opened(t, fs, d.dir, o)
}

func TestRecoverCollectsWhatNothingNames(t *testing.T) {
	fs := vfs.NewMem()
	formatted(t, fs, testDir)
	d := opened(t, fs, testDir, smallOptions())
	recovered(t, d)
	keptExtent, lostExtent := mustPut(t, d, content(1, 9000), -1), mustPut(t, d, content(2, 9000), -1)
	keptBlob, lostBlob := mustPut(t, d, content(3, 90<<10), -1), mustPut(t, d, content(4, 90<<10), -1)
	d = restarted(t, fs, d, smallOptions())
	defer func() { _ = d.Close() }()
	wantData(t, d, lostExtent, content(2, 9000)) // until Recover, everything counts as live
	fresh := mustPut(t, d, content(5, 9000), -1)
	found := recovered(t, d, keptExtent, keptBlob)
	if found.Places != 2 || found.Orphans != 2 || len(found.Missing) != 0 || found.OrphanBytes < 90<<10+9000 {
		t.Errorf("found %+v", found)
	}
	wantData(t, d, keptExtent, content(1, 9000))
	wantData(t, d, keptBlob, content(3, 90<<10))
	wantData(t, d, fresh, content(5, 9000))
	for _, p := range []Place{lostExtent, lostBlob} {
		if _, err := d.Open(p); !errors.Is(err, ErrGone) {
			t.Errorf("%s: %v", p, err)
		}
	}
	if again := recovered(t, d, keptExtent, keptBlob, fresh); again.Orphans != 0 {
		t.Errorf("a second Recover found %+v", again)
	}
}

func TestRecoverCollectsNothingWhenARecordCannotBeRead(t *testing.T) {
	fs := vfs.NewMem()
	formatted(t, fs, testDir)
	d := opened(t, fs, testDir, smallOptions())
	recovered(t, d)
	extent, blob := mustPut(t, d, content(1, 9000), -1), mustPut(t, d, content(2, 90<<10), -1)
	d = restarted(t, fs, d, smallOptions())
	defer func() { _ = d.Close() }()
	unreadable := errors.New("unreadable")
	_, err := d.Recover(context.Background(), func(yield func(Place, error) bool) {
		_ = yield(extent, nil) && yield(Place{}, unreadable)
	})
	if !errors.Is(err, unreadable) {
		t.Fatal(err)
	}
	d.Free(extent) // waits for a Recover that works
	wantData(t, d, extent, content(1, 9000))
	wantData(t, d, blob, content(2, 90<<10))
	if st := d.Stats(); st.PendingFrees != 1 {
		t.Errorf("stats %+v", st)
	}
	recovered(t, d, extent, blob)
	if _, err := d.Open(extent); !errors.Is(err, ErrGone) {
		t.Errorf("freed meanwhile: %v", err)
	}
	wantData(t, d, blob, content(2, 90<<10))
}

func TestRecoverReportsWhatIsMissing(t *testing.T) {
	fs := vfs.NewMem()
	formatted(t, fs, testDir)
	d := opened(t, fs, testDir, smallOptions())
	recovered(t, d)
	extent, blob := mustPut(t, d, content(1, 9000), -1), mustPut(t, d, content(2, 90<<10), -1)
	segment := d.segments.get(extent.File).path
	for _, path := range []string{segment, d.blobs.path(blob.File)} {
		if err := fs.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	d = restarted(t, fs, d, smallOptions())
	defer func() { _ = d.Close() }()
	found := recovered(t, d, extent, blob)
	if len(found.Missing) != 2 {
		t.Errorf("found %+v", found)
	}
	for _, p := range []Place{extent, blob} {
		if _, err := d.Open(p); !errors.Is(err, ErrGone) {
			t.Errorf("%s: %v", p, err)
		}
		d.Free(p) // nothing to do, and no harm
	}
}

// TestSpaceComesBack checks on the real file system that freed extents are punched out, that a segment without live extents
// is unlinked, and that start-up punches out what a crash left between live extents.
func TestSpaceComesBack(t *testing.T) {
	dir := t.TempDir()
	formatted(t, vfs.Default, dir)
	o := smallOptions()
	o.SegmentSize, o.ExtentMax = 4<<20, 512<<10
	d := opened(t, vfs.Default, dir, o)
	recovered(t, d)
	var all []Place
	for i := range 9 { // two segments
		all = append(all, mustPut(t, d, content(uint64(i), 500<<10), -1))
	}
	d.background.Wait()
	first, second := d.segments.get(all[0].File), d.segments.get(all[8].File)
	if first == second {
		t.Fatal("all in one segment")
	}
	before := occupied(t, first.path)
	d.Free(all[1])
	if got := before - occupied(t, first.path); got < 500<<10 {
		t.Fatalf("%d bytes came back", got)
	}
	wantData(t, d, all[0], content(0, 500<<10))
	wantData(t, d, all[2], content(2, 500<<10))
	d = restarted(t, vfs.Default, d, o)
	defer func() { _ = d.Close() }()
	before = occupied(t, first.path)
	found := recovered(t, d, all[0], all[2], all[8]) // 3, 4, ... are orphans
	if got := before - occupied(t, first.path); got < 3*500<<10 {
		t.Errorf("start-up gave %d bytes back: %+v", got, found)
	}
	for _, i := range []int{0, 2, 8} {
		wantData(t, d, all[i], content(uint64(i), 500<<10))
	}
	d.Free(all[0])
	d.Free(all[2])
	if _, err := os.Stat(first.path); !os.IsNotExist(err) {
		t.Errorf("the segment is still there: %v", err)
	}
	wantData(t, d, all[8], content(8, 500<<10))
}

// occupied returns the bytes that a file has on the disk.
func occupied(t *testing.T, path string) int64 {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

// TestCorruption changes one byte after the other, everywhere in a body, on the disk: what reads it says so, and never
// returns other bytes than were written.
func TestCorruption(t *testing.T) {
	dir := t.TempDir()
	formatted(t, vfs.Default, dir)
	var reported int
	o := smallOptions()
	o.Events.Corrupt = func(Place, error) { reported++ }
	d := opened(t, vfs.Default, dir, o)
	defer d.Close()
	recovered(t, d)
	for _, size := range []int{10, 30 << 10, 200 << 10} {
		data := content(1, size)
		p := mustPut(t, d, data, -1)
		path := filepath.Join(dir, segmentsName, p.File.String()+segmentSuffix)
		if p.Kind == Blob {
			path = d.blobs.path(p.File)
		}
		body := bodySize(p.Kind, p.Length, int64(len("record")))
		step := max(1, body/97)
		for at := int64(0); at < body; at += step {
			if p.Kind == Blob && at >= headerSize && at < blobDataStart {
				continue // padding
			}
			flip(t, path, p.Offset+at)
			before := reported
			if err := d.Verify(context.Background(), p); !cluster.Is(err, cluster.KindCorrupt) {
				t.Fatalf("%s: byte %d of %d changed: %v", p, at, body, err)
			}
			if reported == before {
				t.Fatal("nobody was told")
			}
			if got, err := read(d, p); err == nil {
				if string(got) != string(data) {
					t.Fatalf("%s: byte %d changed, and other data was served", p, at)
				}
			} else if !cluster.Is(err, cluster.KindCorrupt) {
				t.Fatal(err)
			}
			flip(t, path, p.Offset+at)
		}
		if err := d.Verify(context.Background(), p); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, p.Offset+body-5); err != nil {
			t.Fatal(err)
		}
		if err := d.Verify(context.Background(), p); !cluster.Is(err, cluster.KindCorrupt) {
			t.Errorf("cut short: %v", err)
		}
		d.Free(p)
	}
	if st := d.Stats(); st.Corruptions == 0 || st.Errors != 0 {
		t.Errorf("stats %+v", st)
	}
}

func flip(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x40
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}

// TestBytesOfAnotherBody puts a whole, valid body in the place of another: a lost or misdirected write.
func TestBytesOfAnotherBody(t *testing.T) {
	fs := vfs.NewMem()
	formatted(t, fs, testDir)
	d := opened(t, fs, testDir, smallOptions())
	defer d.Close()
	recovered(t, d)
	a, b := mustPut(t, d, content(1, 5000), -1), mustPut(t, d, content(2, 5000), -1)
	buf, err := fs.UnsafeGetFileDataBuffer(d.segments.get(a.File).path)
	if err != nil {
		t.Fatal(err)
	}
	copy(buf[a.Offset:a.Offset+headerSize+5000+4], buf[b.Offset:])
	if _, err := read(d, a); !cluster.Is(err, cluster.KindCorrupt) {
		t.Errorf("read: %v", err)
	}
	if err := d.Verify(context.Background(), a); !cluster.Is(err, cluster.KindCorrupt) {
		t.Errorf("verify: %v", err)
	}
}

func FuzzParseHeader(f *testing.F) {
	h := header{kind: Extent, file: makeFileID(1, 2), offset: 4096, length: 100, recordLength: 6, tableSum: 7, recordSum: 8}
	f.Add(h.append(nil))
	h.kind = Blob
	f.Add(h.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := parseHeader(b)
		if err != nil {
			return
		}
		if again, err := parseHeader(got.append(nil)); err != nil || again != got {
			t.Fatalf("%+v became %+v, %v", got, again, err)
		}
		if p := got.place(); p.Span < p.Length || p.Span%Alignment != 0 {
			t.Fatalf("%+v: span %d", got, p.Span)
		}
	})
}

// TestRecoverLeavesWhatIsBeingRead: a reader has an extent whose record went before Recover looked, freed or about to be.
func TestRecoverLeavesWhatIsBeingRead(t *testing.T) {
	for _, freedBefore := range []bool{true, false} {
		fs := vfs.NewMem()
		formatted(t, fs, testDir)
		d := opened(t, fs, testDir, smallOptions())
		recovered(t, d)
		kept, going := mustPut(t, d, content(1, 9000), -1), mustPut(t, d, content(2, 9000), -1)
		d = restarted(t, fs, d, smallOptions())
		r, err := d.Open(going)
		if err != nil {
			t.Fatal(err)
		}
		if freedBefore {
			d.Free(going)
		}
		recovered(t, d, kept)
		if !freedBefore {
			d.Free(going)
		}
		if got, err := readRange(r, 0, 9000); err != nil || string(got) != string(content(2, 9000)) {
			t.Errorf("freed before: %v: %v", freedBefore, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if st := d.Stats(); st.Extents != 1 || st.Pinned != 0 {
			t.Errorf("stats %+v", st)
		}
		if _, err := d.Open(going); !errors.Is(err, ErrGone) {
			t.Errorf("afterwards: %v", err)
		}
		wantData(t, d, kept, content(1, 9000))
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
