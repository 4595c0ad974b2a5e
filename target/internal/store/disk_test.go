package store

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aisle-store/aisle/cluster"
)

// files returns every file below dir.
func files(t *testing.T, fs vfs.FS, dir string) (paths []string) {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	for _, name := range names {
		path := fs.PathJoin(dir, name)
		info, err := fs.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			paths = append(paths, files(t, fs, path)...)
		} else {
			paths = append(paths, path)
		}
	}
	return paths
}

// flip changes one bit where want stands in one of the files below dir, or at the middle of each when want is nil.
func flip(t *testing.T, fs vfs.FS, dir string, want []byte) (flipped int) {
	t.Helper()
	for _, path := range files(t, fs, dir) {
		f, err := fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		data := make([]byte, info.Size())
		if _, err := f.ReadAt(data, 0); err != nil && err != io.EOF {
			t.Fatal(err)
		}
		if at := strings.Index(string(data), string(want)); at >= 0 {
			at += len(want) / 2
			if _, err := f.WriteAt([]byte{data[at] ^ 1}, int64(at)); err != nil {
				t.Fatal(err)
			}
			flipped++
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return flipped
}

// A changed bit in an extent, in a blob or in the data of a record is found by whoever reads it, reported, and never served.
func TestCorruption(t *testing.T) {
	for name, size := range map[string]int{"record": 3000, "extent": 100_000, "blob": 600_000} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			b := newBed(t, fs, 1, nil)
			data := pattern(1, size)
			b.put("bad", data)
			for i := range 100 { // so that other records lie in other blocks of the table
				b.put(fmt.Sprintf("%c%d", 'a'+i%2*2, i), pattern(i+10, 3000))
			}
			b.put("good", []byte("good"))
			b.close()
			b.start() // the log is replayed into a table, which is where the record is corrupted
			b.close()
			if n := flip(t, fs, "/mp1", data[size/2-20:size/2+20]); n != 1 {
				t.Fatalf("the bytes stand in %d files", n)
			}
			b.start()
			defer func() { b.close() }()
			for range 2 {
				got, _, err := b.read(b.getRequest("bad"))
				wantKind(t, err, cluster.KindCorrupt)
				if len(got) >= size {
					t.Fatalf("%d bytes were served", len(got))
				}
			}
			if b.corrupt.Load() == 0 {
				t.Fatal("no event")
			}
			if got := b.get("good"); string(got) != "good" {
				t.Fatalf("%s", got)
			}
			if name != "record" { // a range that does not touch it is served
				r := b.getRequest("bad")
				r.Range = &Range{First: 0, Last: 100}
				if got, _, err := b.read(r); size > 2*65536 && (err != nil || len(got) != 101) {
					t.Fatal(len(got), err)
				}
				if !b.delete("bad") {
					t.Fatal("a corrupt object cannot be deleted")
				}
				b.wantAbsent("bad")
			} else if _, err := b.list(b.listRequest()); !cluster.Is(err, cluster.KindCorrupt) {
				t.Fatalf("a list passes over a corrupt record: %v", err)
			}
		})
	}
}

// keyOn returns a key that lies on the i-th mountpath.
func (b *bed) keyOn(i int) string {
	for n := 0; ; n++ {
		key := fmt.Sprintf("k%d", n)
		if cluster.PlaceMountpath(b.bucket.ID, cluster.ObjectKey(key), b.o.Mountpaths) == i {
			return key
		}
	}
}

// A mountpath that is missing, foreign or not formatted takes its keys with it: they are unavailable, never absent. The
// others serve. Lists, and the proof that a bucket is empty, fail rather than lie.
func TestMissingMountpath(t *testing.T) {
	for name, spoil := range map[string]func(fs vfs.FS) error{
		"missing":     func(fs vfs.FS) error { return fs.Rename("/mp2", "/elsewhere") },
		"unformatted": func(fs vfs.FS) error { return fs.Remove("/mp2/format.json") },
		"foreign": func(fs vfs.FS) error {
			if err := fs.MkdirAll("/other", 0o755); err != nil {
				return err
			}
			if err := Format(fs, "/other", "another cluster", testNode, "mp2"); err != nil {
				return err
			}
			return vfs.Copy(fs, "/other/format.json", "/mp2/format.json")
		},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			b := newBed(t, fs, 2, nil)
			ctx := context.Background()
			here, there := b.keyOn(0), b.keyOn(1)
			b.put(here, []byte("here"))
			b.put(there, []byte("there"))
			b.close()
			if err := spoil(fs); err != nil {
				t.Fatal(err)
			}
			b.start()
			defer func() { b.close() }()
			if got := b.get(here); string(got) != "here" {
				t.Fatalf("%s", got)
			}
			b.put(here, []byte("again"))
			_, _, err := b.read(b.getRequest(there))
			wantKind(t, err, cluster.KindUnavailable)
			_, err = b.store.Stat(ctx, b.getRequest(there))
			wantKind(t, err, cluster.KindUnavailable)
			_, err = b.store.Put(ctx, b.putRequest(there, nil))
			wantKind(t, err, cluster.KindUnavailable)
			_, err = b.store.Delete(ctx, &DeleteRequest{Call: b.call(there), Bucket: b.bucket, Key: cluster.ObjectKey(there)})
			wantKind(t, err, cluster.KindUnavailable)
			_, err = b.list(b.listRequest())
			wantKind(t, err, cluster.KindUnavailable)
			b.delete(here)
			_, err = b.store.SealBucket(ctx, b.bucket.ID)
			wantKind(t, err, cluster.KindUnavailable)
			if kept, err := b.store.Fence(ctx, b.moved("never")); err != nil || len(kept) != 1 {
				t.Fatalf("slots that may have been written there are given away: %v %v", kept, err)
			}
			status := b.store.Mountpaths()
			if status[0].Err != nil || status[1].Err == nil {
				t.Fatalf("%+v", status)
			}
		})
	}
}

// fullFS is a file system that says how much of it is used.
type fullFS struct {
	vfs.FS
	used atomic.Uint64 // percent
}

func (f *fullFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	used := f.used.Load() << 30
	return vfs.DiskUsage{TotalBytes: 100 << 30, UsedBytes: used, AvailBytes: 100<<30 - used}, nil
}

func (f *fullFS) Unwrap() vfs.FS { return f.FS }

// On a full disk writes are refused; reads, lists and deletes work.
func TestFullDisk(t *testing.T) {
	fs := &fullFS{FS: vfs.NewMem()}
	b := newBed(t, fs, 1, nil)
	ctx := context.Background()
	u := b.upload("up")
	part := u.part(1, pattern(1, 30_000))
	for i, size := range sizes {
		b.put(fmt.Sprintf("k%d", i), pattern(i, size))
	}
	b.close()
	fs.used.Store(99)
	b.start()
	defer func() { b.close() }()
	for i, size := range sizes {
		r := b.putRequest("new", pattern(i, size))
		_, err := b.store.Put(ctx, r)
		wantKind(t, err, cluster.KindNoSpace)
		r = b.putRequest("new", pattern(i, size))
		r.Size = -1
		_, err = b.store.Put(ctx, r)
		wantKind(t, err, cluster.KindNoSpace)
	}
	b.wantAbsent("new")
	_, err := b.store.PutPart(ctx, u.partRequest(2, pattern(1, 30_000)))
	wantKind(t, err, cluster.KindNoSpace)
	_, err = b.store.CreateUpload(ctx, &CreateUploadRequest{Call: b.call("k"), Bucket: b.bucket, Key: "k"})
	wantKind(t, err, cluster.KindNoSpace)
	_, err = b.store.Update(ctx, &UpdateRequest{Call: b.call("k1"), Bucket: b.bucket, Key: "k1", Edit: func(*Metadata) {}})
	wantKind(t, err, cluster.KindNoSpace)
	if _, err := b.store.Complete(ctx, u.completeRequest(part)); err != nil {
		t.Fatalf("what is already there cannot be completed: %v", err)
	}
	if listed, err := b.list(b.listRequest()); err != nil || len(listed) != len(sizes)+1 {
		t.Fatal(listed, err)
	}
	for i, size := range sizes {
		key := fmt.Sprintf("k%d", i)
		if got := b.get(key); len(got) != size {
			t.Fatalf("%s: %d bytes", key, len(got))
		}
		b.delete(key)
	}
	b.delete("up")
	b.wantAllFree()
}
