package meta

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const testDir = "/index"

func opened(t testing.TB, fs vfs.FS, dir string, o Options) *Index {
	t.Helper()
	x, err := Open(fs, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// fresh returns an empty index in memory.
func fresh(t testing.TB) *Index {
	t.Helper()
	x := opened(t, vfs.NewMem(), testDir, Options{})
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	return x
}

func current(key string, counter uint64) *Record {
	return &Record{
		Ref: Ref{Kind: Current, Bucket: 1, Key: cluster.ObjectKey(key), Generation: cluster.Generation{Epoch: 1, Counter: counter}},
		Fields: Fields{
			Size: int64(counter), Modified: time.Unix(1e9, int64(counter)), ETag: "etag", Counter: 1,
			Sums:    []Sum{{cluster.ChecksumMD5, []byte("0123456789abcdef")}},
			Headers: []Pair{{"Content-Type", "text/plain"}},
			Request: cluster.RequestID(fmt.Sprint("r", counter)),
			Place:   disk.Place{Kind: disk.Extent, File: 1<<40 | 7, Offset: 4096, Length: int64(counter), Span: 8192, Sum: 0xdeadbeef},
		},
	}
}

func commit(t testing.TB, x *Index, change func(*Batch)) {
	t.Helper()
	b := x.NewBatch()
	defer b.Close()
	change(b)
	if err := b.Commit(true); err != nil {
		t.Fatal(err)
	}
}

func putAll(t testing.TB, x *Index, records ...*Record) {
	t.Helper()
	commit(t, x, func(b *Batch) {
		for _, r := range records {
			if err := b.Put(r); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func wantRecord(t testing.TB, got, want *Record) {
	t.Helper()
	if got == nil {
		t.Fatalf("no record, want %s", want.Ref)
	}
	if !got.Modified.Equal(want.Modified) {
		t.Fatalf("modified %v, want %v", got.Modified, want.Modified)
	}
	g, w := *got, *want
	g.Modified, w.Modified = time.Time{}, time.Time{}
	if !reflect.DeepEqual(g, w) {
		t.Fatalf("got %+v\nwant %+v", g, w)
	}
}

func TestGet(t *testing.T) {
	x := fresh(t)
	r1, r2, other := current("k", 1), current("k", 2), current("k\x00", 3)
	putAll(t, x, r1, r2, other)
	got, err := x.Get(Ref{Kind: Current, Bucket: 1, Key: "k"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantRecord(t, got, r2)
	if got, err = x.Get(r1.Ref, func(g cluster.Generation) bool { return g.Counter == 2 }); err != nil {
		t.Fatal(err)
	}
	wantRecord(t, got, r1)
	if got, err = x.Get(r1.Ref, func(cluster.Generation) bool { return true }); got != nil || err != nil {
		t.Fatalf("all hidden: %v, %v", got, err)
	}
	if got, err = x.Get(Ref{Kind: Current, Bucket: 1, Key: "nothing"}, nil); got != nil || err != nil {
		t.Fatalf("absent: %v, %v", got, err)
	}
	if got, err = x.Exact(r1.Ref); err != nil {
		t.Fatal(err)
	}
	wantRecord(t, got, r1)
	all, err := x.Generations(r1.Ref)
	if err != nil || len(all) != 2 {
		t.Fatalf("%d generations, %v", len(all), err)
	}
	wantRecord(t, all[0], r2)
	wantRecord(t, all[1], r1)
	if all, err = x.Generations(Ref{Kind: Tombstone, Bucket: 1, Key: "nothing"}, r1.Ref, Ref{Kind: Current, Bucket: 1, Key: "nothing"}, r1.Ref); err != nil || len(all) != 4 {
		t.Fatalf("%d generations of several records, %v", len(all), err)
	}
	wantRecord(t, all[2], r2)
	commit(t, x, func(b *Batch) { b.Delete(r2) })
	if got, err = x.Get(r1.Ref, nil); err != nil {
		t.Fatal(err)
	}
	wantRecord(t, got, r1)
}

func TestManifest(t *testing.T) {
	x := fresh(t)
	for _, n := range []int{1, partsInRecord, partsInRecord + 1, 3000} {
		r := current(fmt.Sprint("parts", n), 1)
		for i := range n {
			r.Parts = append(r.Parts, Part{Number: i + 1, Size: 5 << 20, ETag: "e", Place: disk.Place{Kind: disk.Blob, File: disk.FileID(i), Length: 5 << 20}})
		}
		putAll(t, x, r)
		got, err := x.Get(r.Ref, nil)
		if err != nil || got.PartCount != n || got.HasManifest != (n > partsInRecord) {
			t.Fatalf("%d parts: %+v, %v", n, got, err)
		}
		parts, err := x.Parts(got)
		if err != nil || !reflect.DeepEqual(parts, r.Parts) {
			t.Fatalf("%d parts: got %d, %v", n, len(parts), err)
		}
		places := 0
		for p, err := range x.Places(context.Background()) {
			if err != nil {
				t.Fatal(err)
			}
			if p.Kind == disk.Blob {
				places++
			}
		}
		if places != n {
			t.Errorf("%d blobs are named, want %d", places, n)
		}
		commit(t, x, func(b *Batch) { b.Delete(got) })
		for p := range x.Places(context.Background()) {
			t.Errorf("%s is still named", p)
		}
	}
}

func keysOf(t testing.TB, s *Scan, each func(*Record)) []string {
	t.Helper()
	var keys []string
	for r, err := range s.All() {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, string(r.Key))
		if each != nil {
			each(r)
		}
	}
	return keys
}

func TestScan(t *testing.T) {
	x := fresh(t)
	for i, key := range []string{"a", "a/1", "a/2", "a/3/x", "a0", "b", "b\x00", "b\x00c", "\xffz"} {
		putAll(t, x, current(key, uint64(i+1)))
	}
	putAll(t, x, current("b", 100))
	other := current("a", 1)
	other.Bucket = 2
	tomb := current("aa", 1)
	tomb.Kind = Tombstone
	putAll(t, x, other, tomb)
	f := func(r Range, want ...string) {
		t.Helper()
		r.Kind, r.Bucket = Current, 1
		if got := keysOf(t, x.Scan(context.Background(), r), nil); !reflect.DeepEqual(got, want) {
			t.Errorf("%+v: %q, want %q", r, got, want)
		}
	}
	none := func(Ref) bool { return false }
	f(Range{}, "a", "a/1", "a/2", "a/3/x", "a0", "b", "b", "b\x00", "b\x00c", "\xffz")
	f(Range{Hidden: none}, "a", "a/1", "a/2", "a/3/x", "a0", "b", "b\x00", "b\x00c", "\xffz")
	f(Range{Hidden: none, Prefix: "a/"}, "a/1", "a/2", "a/3/x")
	f(Range{Hidden: none, Prefix: "a/", From: "a/2"}, "a/2", "a/3/x")
	f(Range{Hidden: none, Prefix: "a/", From: "b"})
	f(Range{Hidden: none, Prefix: "b", From: "a"}, "b", "b\x00", "b\x00c")
	f(Range{Hidden: none, From: "b\x00"}, "b\x00", "b\x00c", "\xffz")
	f(Range{Hidden: none, Prefix: "\xff"}, "\xffz")
	f(Range{Key: "b"}, "b", "b")
	f(Range{Key: "b", Hidden: func(r Ref) bool { return r.Generation.Counter == 100 }}, "b")

	s := x.Scan(context.Background(), Range{Kind: Current, Bucket: 1, Hidden: none})
	got := keysOf(t, s, func(r *Record) {
		switch r.Key {
		case "a/1":
			s.SkipPast("a/")
		case "b":
			s.SkipTo("b\x00c")
		}
	})
	if want := []string{"a", "a/1", "a0", "b", "b\x00c", "\xffz"}; !reflect.DeepEqual(got, want) {
		t.Errorf("skipping: %q, want %q", got, want)
	}
	for range x.Scan(context.Background(), Range{Kind: Current, Bucket: 1}).All() {
		break
	}
}

func TestScanOfUploadsAndParts(t *testing.T) {
	x := fresh(t)
	upload := func(key, id string) *Record {
		r := current(key, 1)
		r.Kind, r.Upload = Upload, cluster.UploadID(id)
		return r
	}
	part := func(key, id string, n uint32) *Record {
		r := upload(key, id)
		r.Kind, r.Part = UploadPart, n
		return r
	}
	putAll(t, x, upload("k", "u1"), upload("k", "u2"), upload("k", "u3"), upload("l", "u0"))
	putAll(t, x, part("k", "u1", 1), part("k", "u2", 1), part("k", "u2", 2), part("k", "u2", 300), part("k", "u3", 1))
	f := func(r Range, want ...string) {
		t.Helper()
		r.Bucket = 1
		var got []string
		for rec, err := range x.Scan(context.Background(), r).All() {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%s %s %d", rec.Key, rec.Upload, rec.Part))
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%+v: %q, want %q", r, got, want)
		}
	}
	f(Range{Kind: Upload}, "k u1 0", "k u2 0", "k u3 0", "l u0 0")
	f(Range{Kind: Upload, From: "k", FromUpload: "u2"}, "k u2 0", "k u3 0", "l u0 0")
	f(Range{Kind: Upload, From: "k", FromUpload: "u2\x00"}, "k u3 0", "l u0 0")
	f(Range{Kind: Upload, From: "k\x00"}, "l u0 0")
	f(Range{Kind: UploadPart, Key: "k", Upload: "u2"}, "k u2 1", "k u2 2", "k u2 300")
	f(Range{Kind: UploadPart, Key: "k", Upload: "u2", FromPart: 2}, "k u2 2", "k u2 300")
	f(Range{Kind: UploadPart, Key: "k", Upload: "u2", FromPart: 301})
	got, err := x.Get(part("k", "u2", 300).Ref, nil)
	if err != nil || got == nil || got.Part != 300 {
		t.Errorf("part 300: %+v, %v", got, err)
	}
}

func TestDoubtsSlotsAndBuckets(t *testing.T) {
	x := fresh(t)
	r1, r2 := current("k\x00", 1), current("l", 2)
	r2.Bucket = 2
	commit(t, x, func(b *Batch) {
		for _, r := range []*Record{r1, r2} {
			if err := b.Put(r); err != nil {
				t.Fatal(err)
			}
			b.Doubt(r.Ref)
			b.MarkSlot(r.Slot(), 7)
		}
	})
	doubts := func() (refs []Ref) {
		for ref, err := range x.Doubts(context.Background()) {
			if err != nil {
				t.Fatal(err)
			}
			refs = append(refs, ref)
		}
		return refs
	}
	if got := doubts(); !reflect.DeepEqual(got, []Ref{r1.Ref, r2.Ref}) {
		t.Errorf("doubts %v", got)
	}
	slots, err := x.WrittenSlots()
	if want := map[cluster.Slot]cluster.Epoch{r1.Slot(): 7, r2.Slot(): 7}; err != nil || !reflect.DeepEqual(slots, want) {
		t.Errorf("slots %v, %v", slots, err)
	}
	commit(t, x, func(b *Batch) { b.Settle(r1.Ref) })
	if got := doubts(); !reflect.DeepEqual(got, []Ref{r2.Ref}) {
		t.Errorf("doubts %v", got)
	}
	commit(t, x, func(b *Batch) { b.DropBucket(2) })
	if got := doubts(); got != nil {
		t.Errorf("doubts %v", got)
	}
	if got, err := x.Get(r2.Ref, nil); got != nil || err != nil {
		t.Errorf("of a dropped bucket: %v, %v", got, err)
	}
	if got, err := x.Get(r1.Ref, nil); got == nil || err != nil {
		t.Errorf("of another bucket: %v, %v", got, err)
	}
}

func TestAccessTimes(t *testing.T) {
	x := fresh(t)
	at := time.Unix(1e9, 5)
	f := func(want time.Time) {
		t.Helper()
		if got, err := x.Accessed(1, "k"); err != nil || !got.Equal(want) {
			t.Errorf("accessed %v, %v; want %v", got, err, want)
		}
	}
	f(time.Time{})
	x.Touch(1, "k", at)
	f(at)
	if err := x.FlushAccess(); err != nil {
		t.Fatal(err)
	}
	f(at)
	x.Touch(1, "k", at.Add(1))
	f(at.Add(1))
	commit(t, x, func(b *Batch) { b.ForgetAccess(1, "k") })
	f(time.Time{})
}

func TestFooter(t *testing.T) {
	r := current("k\x00\xff", 9)
	b, err := EncodeFooter(r)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeFooter(b)
	if err != nil {
		t.Fatal(err)
	}
	wantRecord(t, got, r)
	for i := range b {
		b[i] ^= 1
		if _, err := DecodeFooter(b); err == nil {
			t.Fatalf("byte %d changed and nobody noticed", i)
		}
		b[i] ^= 1
	}
}

func TestInlineDataMustFit(t *testing.T) {
	x := fresh(t)
	f := func(size, inline int, ok bool) {
		t.Helper()
		r := current("k", 1)
		r.Size, r.Inline = int64(size), make([]byte, inline)
		b := x.NewBatch()
		defer b.Close()
		if err := b.Put(r); (err == nil) != ok {
			t.Errorf("%d bytes inline, size %d: %v", inline, size, err)
		}
	}
	f(10, 10, true)
	f(MaxInline, MaxInline, true)
	f(MaxInline+1, MaxInline+1, false)
	f(10, 9, false)
}

// Pebble counts memtables towards the cache; they must not leave the blocks without room.
func TestMemTablesLeaveRoomForBlocks(t *testing.T) {
	options := Options{MemTable: 8 << 20}
	cache := NewCache(1<<20, 1, options)
	options.Cache = cache
	x := opened(t, vfs.NewMem(), "index", options)
	defer cache.Close()
	defer x.Close()
	data := make([]byte, 4<<10)
	fill := func(bucket cluster.BucketID, n int) {
		for i := range n {
			r := current(fmt.Sprintf("key%08d", i), 1)
			r.Bucket, r.Inline, r.Size = bucket, data, int64(len(data))
			b := x.NewBatch()
			if err := errors.Join(b.Put(r), b.Commit(false)); err != nil {
				t.Fatal(err)
			}
			b.Close()
		}
	}
	fill(1, 10)
	if err := x.db.Flush(); err != nil {
		t.Fatal(err)
	}
	fill(2, 5000) // memtables grow to their full size
	for range 3 {
		before := x.Metrics().CacheMisses
		for i := range 10 {
			if r, err := x.Get(current(fmt.Sprintf("key%08d", i), 1).Ref, nil); err != nil || r == nil {
				t.Fatal(r, err)
			}
		}
		if x.Metrics().CacheMisses == before {
			return
		}
	}
	t.Fatal("blocks that were just read are not in the cache")
}

// A scan for a list gives what a list shows, also where fields and sums come and go between neighbours.
func TestListed(t *testing.T) {
	x := fresh(t)
	var want []*Record
	for i, key := range []string{"a", "b", "c", "d"} {
		r := &Record{Ref: current(key, 1).Ref}
		r.Size, r.Modified, r.Counter = int64(i), time.Unix(int64(i), 0), int64(i)
		want = append(want, r)
	}
	want[0].Owner, want[0].Sums = "owner", []Sum{{"md5", []byte{1}}, {"crc32", []byte{2, 3}}}
	want[1].ETag, want[1].Inline = "etag", []byte("x")
	want[2].Owner, want[2].Sums = "owner", []Sum{{"sha1", []byte{4, 5, 6}}}
	want[1].Want, want[1].Composite = []cluster.ChecksumType{cluster.ChecksumSHA256}, true
	want[3].Want, want[3].Owner, want[3].Sums = []cluster.ChecksumType{cluster.ChecksumCRC32}, "other", []Sum{{"md5", []byte{7}}, {"xxh3", []byte{}}, {"sha1", []byte{8}}}
	putAll(t, x, want...)
	s := x.Scan(context.Background(), Range{Kind: Current, Bucket: 1, Listed: true})
	defer s.Close()
	for _, w := range want {
		got, err := s.Next()
		if err != nil || got == nil {
			t.Fatal(got, err)
		}
		if got.Ref != w.Ref || got.Size != w.Size || got.ETag != w.ETag || got.Counter != w.Counter || got.Owner != w.Owner || !got.Modified.Equal(w.Modified) {
			t.Errorf("%+v, want %+v", got, w)
		}
		if fmt.Sprint(got.Sums, got.Want, got.Composite) != fmt.Sprint(w.Sums, w.Want, w.Composite) {
			t.Errorf("sums of %s: %v, %v, %v; want %v, %v, %v", w.Key, got.Sums, got.Want, got.Composite, w.Sums, w.Want, w.Composite)
		}
	}
	if got, err := s.Next(); got != nil || err != nil {
		t.Error(got, err)
	}
}

// The buckets of which anything is stored are found whatever it is, also when only an in-doubt key is left.
func TestBuckets(t *testing.T) {
	x := opened(t, vfs.NewMem(), testDir, Options{})
	defer x.Close()
	want := map[cluster.BucketID]bool{}
	batch := x.NewBatch()
	for i, kind := range recordKinds {
		id := cluster.NewBucketID(cluster.LayoutID(i%3), uint64(i+1)<<8-1)
		for _, key := range []cluster.ObjectKey{"a", "b"} {
			if err := batch.Put(&Record{Ref: Ref{Kind: kind, Bucket: id, Key: key, Upload: "u", Generation: cluster.Generation{Epoch: 1, Counter: 1}}}); err != nil {
				t.Fatal(err)
			}
		}
		want[id] = true
	}
	batch.Doubt(Ref{Kind: Current, Bucket: 1 << 40, Key: "k"})
	batch.Doubt(Ref{Kind: UploadTombstone, Bucket: 1<<64 - 1, Key: "k", Upload: "u"})
	want[1<<40], want[1<<64-1] = true, true
	if err := batch.Commit(true); err != nil {
		t.Fatal(err)
	}
	got, err := x.Buckets(context.Background())
	if err != nil || !maps.Equal(got, want) {
		t.Fatalf("%v, %v; want %v", got, err, want)
	}
}

// TestSize: what lies behind a record takes its part of the whole, once it is on the disk.
func TestSize(t *testing.T) {
	x := fresh(t)
	all := Range{Kind: Current, AllBuckets: true}
	if n, err := x.Size(all); err != nil || n != 0 {
		t.Fatalf("%d bytes of nothing: %v", n, err)
	}
	const records = 4000
	commit(t, x, func(b *Batch) {
		for i := range records {
			r := current(fmt.Sprintf("key-%06d", i), uint64(i+1))
			r.Place, r.Size = disk.Place{}, 200
			r.Inline = fmt.Appendf(nil, "%0200d", i*7919)
			if err := b.Put(r); err != nil {
				t.Fatal(err)
			}
		}
	})
	if err := x.db.Flush(); err != nil {
		t.Fatal(err)
	}
	whole, err := x.Size(all)
	if err != nil || whole < 10_000 {
		t.Fatalf("%d bytes of %d records: %v", whole, records, err)
	}
	all.After = &current(fmt.Sprintf("key-%06d", records*3/4), records*3/4+1).Ref
	if rest, err := x.Size(all); err != nil || rest < whole/5 || rest > whole/3 {
		t.Errorf("the last quarter takes %d of %d bytes: %v", rest, whole, err)
	}
	if n, err := x.Size(Range{Kind: Upload, AllBuckets: true}); err != nil || n != 0 {
		t.Errorf("%d bytes of uploads: %v", n, err)
	}
}
