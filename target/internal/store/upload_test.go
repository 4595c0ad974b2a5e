package store

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// uploading is one upload of a test.
type uploading struct {
	*bed
	key string
	id  cluster.UploadID
}

func (b *bed) upload(key string, want ...cluster.ChecksumType) *uploading {
	b.t.Helper()
	id, err := b.store.CreateUpload(context.Background(), &CreateUploadRequest{
		Call: b.call(key), Bucket: b.bucket, Key: cluster.ObjectKey(key), Want: want, Owner: "owner",
		Metadata: Metadata{Headers: []Pair{{Name: "Content-Type", Value: "text/plain"}}},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return &uploading{bed: b, key: key, id: id}
}

func (u *uploading) partRequest(n int, data []byte, want ...cluster.ChecksumType) *PutPartRequest {
	return &PutPartRequest{
		Call: u.call(u.key), Bucket: u.bucket, Key: cluster.ObjectKey(u.key), Upload: u.id, Number: n,
		Body: bytes.NewReader(data), Size: int64(len(data)), Want: want,
	}
}

func (u *uploading) part(n int, data []byte, want ...cluster.ChecksumType) CompletePart {
	u.t.Helper()
	info, err := u.store.PutPart(context.Background(), u.partRequest(n, data, want...))
	if err != nil {
		u.t.Fatal(err)
	}
	return CompletePart{Number: n, ETag: info.ETag}
}

func (u *uploading) completeRequest(parts ...CompletePart) *CompleteRequest {
	return &CompleteRequest{Call: u.call(u.key), Bucket: u.bucket, Key: cluster.ObjectKey(u.key), Upload: u.id, Parts: parts, Size: -1}
}

func (u *uploading) uploads() (n int) {
	u.t.Helper()
	for _, err := range u.store.Uploads(context.Background(), u.listRequest()) {
		if err != nil {
			u.t.Fatal(err)
		}
		n++
	}
	return n
}

func TestMultipart(t *testing.T) {
	b := newBed(t, vfs.NewMem(), 2, nil)
	defer func() { b.close() }()
	ctx := context.Background()
	b.put("k", []byte("old"))
	u := b.upload("k", cluster.ChecksumCRC32C)
	one, two, three := pattern(1, MinPartSize), pattern(2, MinPartSize+1), pattern(3, 77)
	u.part(2, three, cluster.ChecksumCRC32C) // is replaced
	p3 := u.part(3, three, cluster.ChecksumCRC32C)
	p2 := u.part(2, two, cluster.ChecksumCRC32C)
	p1 := u.part(1, one, cluster.ChecksumCRC32C)
	u.part(9, two, cluster.ChecksumCRC32C) // is not used
	if got := b.get("k"); string(got) != "old" || u.uploads() != 1 {
		t.Fatalf("%s", got)
	}

	f := func(kind cluster.Kind, change func(*CompleteRequest)) {
		t.Helper()
		r := u.completeRequest(p1, p2, p3)
		change(r)
		_, err := b.store.Complete(ctx, r)
		wantKind(t, err, kind)
	}
	f(cluster.KindPartOrder, func(r *CompleteRequest) { slices.Reverse(r.Parts) })
	f(cluster.KindPartOrder, func(r *CompleteRequest) { r.Parts[1] = r.Parts[0] })
	f(cluster.KindPart, func(r *CompleteRequest) { r.Parts[1].ETag = p1.ETag })
	f(cluster.KindPart, func(r *CompleteRequest) { r.Parts[2].Number = 4 })
	f(cluster.KindPart, func(r *CompleteRequest) {
		r.Parts[2].Sums = Sums{{Type: cluster.ChecksumCRC32C, Value: []byte("1234")}}
	})
	f(cluster.KindInvalid, func(r *CompleteRequest) { r.Parts = nil })
	f(cluster.KindInvalid, func(r *CompleteRequest) { r.Size = 17 })
	f(cluster.KindPreconditionFailed, func(r *CompleteRequest) { r.If.NoneMatch.Any = true })
	f(cluster.KindUploadNotFound, func(r *CompleteRequest) { r.Upload = "none" })
	f(cluster.KindChecksum, func(r *CompleteRequest) {
		r.Expect = Sums{{Type: cluster.ChecksumCRC32C, Value: []byte("1234")}}
	})
	p4 := u.part(4, three, cluster.ChecksumCRC32C)
	f(cluster.KindPartTooSmall, func(r *CompleteRequest) { r.Parts = append(r.Parts, p4) })

	whole := slices.Concat(one, two, three)
	h := newHasher(cluster.ChecksumCRC32C, nil, nil)
	h.write(whole)
	r := u.completeRequest(p1, p2, p3)
	r.Expect, r.Size = h.sums(), int64(len(whole))
	info, err := b.store.Complete(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	var sums []byte
	for _, p := range [][]byte{one, two, three} {
		sum := md5.Sum(p)
		sums = append(sums, sum[:]...)
	}
	sum := md5.Sum(sums)
	if want := hex.EncodeToString(sum[:]) + "-3"; info.ETag != want || info.PartCount != 3 || info.Version != 2 || info.Owner != "owner" {
		t.Fatalf("%+v, want ETag %s", info, want)
	}
	check := func() {
		t.Helper()
		if got := b.get("k"); !bytes.Equal(got, whole) {
			t.Fatal("other bytes")
		}
		for _, rng := range []Range{{0, 0}, {MinPartSize - 1, MinPartSize}, {5, 2*MinPartSize + 10}, {-1, 80}, {2*MinPartSize + 1, -1}} {
			get := b.getRequest("k")
			get.Range = &rng
			offset, length, _ := rng.within(int64(len(whole)))
			got, _, err := b.read(get)
			if err != nil || !bytes.Equal(got, whole[offset:offset+length]) {
				t.Fatalf("range %+v: %d bytes, %v", rng, len(got), err)
			}
		}
		if u.uploads() != 0 {
			t.Fatal("the upload is still there")
		}
	}
	check()
	// The same request again, and another one, get the same answer.
	for range 2 {
		again, err := b.store.Complete(ctx, r)
		if err != nil || again.ETag != info.ETag {
			t.Fatal(again, err)
		}
		r.Call = b.call("k")
	}
	_, err = b.store.PutPart(ctx, u.partRequest(1, one))
	wantKind(t, err, cluster.KindUploadNotFound)
	wantKind(t, b.store.Abort(ctx, &AbortRequest{Call: b.call("k"), Bucket: b.bucket, Key: "k", Upload: u.id}), cluster.KindUploadNotFound)
	b.drain()
	b.restart()
	check()
	r.Call = b.call("k")
	if again, err := b.store.Complete(ctx, r); err != nil || again.ETag != info.ETag {
		t.Fatal(again, err)
	}
	b.delete("k")
	b.restart()
	b.wantAllFree()
}

// wantAllFree waits for what runs in the background and demands that no bytes are left.
func (b *bed) wantAllFree() {
	b.t.Helper()
	b.drain()
	for _, m := range b.store.mounted() {
		m.recovery.Wait()
		if stats := m.disk.Stats(); stats.Extents != 0 || stats.PendingFrees != 0 {
			b.t.Errorf("%s keeps %d extents, %d frees", m.ID, stats.Extents, stats.PendingFrees)
		}
		blobs := 0
		var walk func(dir string)
		walk = func(dir string) {
			names, err := b.fs.List(dir)
			if err != nil {
				return
			}
			for _, name := range names {
				path := b.fs.PathJoin(dir, name)
				if info, err := b.fs.Stat(path); err == nil && info.IsDir() {
					walk(path)
				} else if err == nil {
					blobs++
				}
			}
		}
		walk(b.fs.PathJoin(m.Path, "blobs"))
		if blobs != 0 {
			b.t.Errorf("%s keeps %d blobs", m.ID, blobs)
		}
	}
}

func TestAbort(t *testing.T) {
	b := newBed(t, vfs.NewMem(), 1, nil)
	defer func() { b.close() }()
	ctx := context.Background()
	u := b.upload("k")
	for n := range 20 {
		u.part(n+1, pattern(n, n*20_000))
	}
	page, err := b.store.Parts(ctx, &PartsRequest{Call: b.call("k"), Bucket: b.bucket, Key: "k", Upload: u.id, After: 3, Limit: 5})
	if err != nil || !page.More || len(page.Parts) != 5 || page.Parts[0].Number != 4 || page.Parts[4].Size != 7*20_000 || page.Upload.ID != u.id {
		t.Fatalf("%+v %v", page, err)
	}
	page, err = b.store.Parts(ctx, &PartsRequest{Call: b.call("k"), Bucket: b.bucket, Key: "k", Upload: u.id, After: 15, Limit: 5})
	if err != nil || page.More || len(page.Parts) != 5 {
		t.Fatalf("%+v %v", page, err)
	}
	abort := &AbortRequest{Call: b.call("k"), Bucket: b.bucket, Key: "k", Upload: u.id}
	for range 2 { // the second is a replay
		if err := b.store.Abort(ctx, abort); err != nil {
			t.Fatal(err)
		}
	}
	abort.Call = b.call("k")
	wantKind(t, b.store.Abort(ctx, abort), cluster.KindUploadNotFound)
	_, err = b.store.Parts(ctx, &PartsRequest{Call: b.call("k"), Bucket: b.bucket, Key: "k", Upload: u.id})
	wantKind(t, err, cluster.KindUploadNotFound)
	b.wantAbsent("k")
	b.wantAllFree()
	b.restart()
	b.wantAllFree()
}

// A replayed PutPart whose part was replaced since must not run again; a replayed CreateUpload returns the same upload.
func TestReplaysOfUploads(t *testing.T) {
	b := newBed(t, vfs.NewMem(), 1, nil)
	defer func() { b.close() }()
	ctx := context.Background()
	create := &CreateUploadRequest{Call: b.call("k"), Bucket: b.bucket, Key: "k"}
	id, err := b.store.CreateUpload(ctx, create)
	if err != nil {
		t.Fatal(err)
	}
	u := &uploading{bed: b, key: "k", id: id}
	first := u.partRequest(1, []byte("first"))
	before, err := b.store.PutPart(ctx, first)
	if err != nil {
		t.Fatal(err)
	}
	second := u.part(1, []byte("second"))
	for range 2 {
		create.Epoch = b.call("k").Epoch
		if again, err := b.store.CreateUpload(ctx, create); err != nil || again != id {
			t.Fatal(again, err)
		}
		first.Body, first.Epoch = bytes.NewReader([]byte("first")), create.Epoch
		if again, err := b.store.PutPart(ctx, first); err != nil || again.ETag != before.ETag {
			t.Fatal(again, err)
		}
		b.restart()
	}
	if _, err := b.store.Complete(ctx, u.completeRequest(second)); err != nil {
		t.Fatal(err)
	}
	if got := b.get("k"); string(got) != "second" {
		t.Fatalf("%s", got)
	}
}

// Parts are put side by side; completing, reading and deleting race with readers who keep what they opened.
func TestManyParts(t *testing.T) {
	b := newBed(t, vfs.NewMem(), 1, nil)
	defer func() { b.close() }()
	ctx := context.Background()
	u := b.upload("k")
	const count = 120
	parts := make([]CompletePart, count)
	var whole []byte
	var group sync.WaitGroup
	for n := range count {
		data := pattern(n, 5000+n)
		whole = append(whole, data...)
		group.Go(func() { parts[n] = u.part(n+1, data) })
	}
	group.Wait()
	r := u.completeRequest(parts...)
	r.SmallParts = true
	if _, err := b.store.Complete(ctx, r); err != nil {
		t.Fatal(err)
	}
	o, err := b.store.Open(ctx, b.getRequest("k"))
	if err != nil {
		t.Fatal(err)
	}
	info, err := b.store.Update(ctx, &UpdateRequest{
		Call: b.call("k"), Bucket: b.bucket, Key: "k",
		Edit: func(m *Metadata) { m.User = []Pair{{Name: "a", Value: "b"}} },
	})
	if err != nil || info.PartCount != count || len(info.User) != 1 || len(info.Headers) != 1 {
		t.Fatal(info, err)
	}
	b.drain()
	b.delete("k")
	b.drain()
	var got bytes.Buffer
	if _, err := got.ReadFrom(o.Reader()); err != nil || !bytes.Equal(got.Bytes(), whole) {
		t.Fatalf("an open object changed: %d bytes, %v", got.Len(), err)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	b.wantAllFree()
	if n := len(b.store.mounted()[0].pins.count); n != 0 {
		t.Fatalf("%d pins are left", n)
	}
}

func TestUploadLists(t *testing.T) {
	b := newBed(t, vfs.NewMem(), 3, nil)
	defer func() { b.close() }()
	var want []string
	for _, key := range []string{"a", "a", "b/1", "b/2", "c", "c", "c"} {
		u := b.upload(key)
		want = append(want, key+" "+string(u.id))
	}
	list := func(change func(*ListRequest)) (got []string) {
		r := b.listRequest()
		change(r)
		for e, err := range b.store.Uploads(context.Background(), r) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Prefix {
				got = append(got, string(e.Key))
			} else {
				got = append(got, fmt.Sprintf("%s %s", e.Key, e.UploadID))
			}
		}
		return got
	}
	f := func(want []string, change func(*ListRequest)) {
		t.Helper()
		if got := list(change); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f(want, func(*ListRequest) {})
	f([]string{want[0], want[1], "b/", want[4], want[5], want[6]}, func(r *ListRequest) { r.Delimiter = "/" })
	f(want[2:4], func(r *ListRequest) { r.Prefix = "b" })
	f(want[2:], func(r *ListRequest) { r.After = "a" })
	_, first, _ := bytes.Cut([]byte(want[4]), []byte(" "))
	f(want[5:], func(r *ListRequest) { r.After, r.AfterUpload = "c", cluster.UploadID(first) })
	f(want[4:], func(r *ListRequest) { r.After, r.AfterUpload = "b/2", "zzz" })
}

func TestCompositeSums(t *testing.T) {
	b := newBed(t, vfs.NewMem(), 1, nil)
	defer func() { b.close() }()
	ctx := context.Background()
	id, err := b.store.CreateUpload(ctx, &CreateUploadRequest{
		Call: b.call("k"), Bucket: b.bucket, Key: "k", Want: []cluster.ChecksumType{cluster.ChecksumSHA256}, Composite: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	u := &uploading{bed: b, key: "k", id: id}
	p := u.part(1, []byte("abc"), cluster.ChecksumSHA256)
	info, err := b.store.Complete(ctx, u.completeRequest(p))
	if err != nil {
		t.Fatal(err)
	}
	h := newHasher(cluster.ChecksumSHA256, nil, nil)
	h.write([]byte("abc"))
	inner := h.sums().Get(cluster.ChecksumSHA256)
	h = newHasher(cluster.ChecksumSHA256, nil, nil)
	h.write(inner)
	if !info.Composite || !bytes.Equal(info.Sums.Get(cluster.ChecksumSHA256), h.sums().Get(cluster.ChecksumSHA256)) {
		t.Fatalf("%+v", info)
	}
	_, err = b.store.CreateUpload(ctx, &CreateUploadRequest{Call: b.call("k"), Bucket: b.bucket, Key: "k", Want: []cluster.ChecksumType{cluster.ChecksumSHA256}})
	wantKind(t, err, cluster.KindInvalid)
}

// TestPartsOfOldVersionsStay: the records of an upload that goes late, when its end is settled, name bytes of the object that was made
// of its parts: also when that is not current any more.
func TestPartsOfOldVersionsStay(t *testing.T) {
	b := newBed(t, vfs.NewMem(), 1, nil)
	defer b.close()
	ctx := context.Background()
	b.versioning(cluster.VersioningEnabled)
	u := b.upload("k")
	part := u.part(1, pattern(1, 100_000))
	m := b.store.mounted()[0]
	late, err := uploadRecords(ctx, m.index, meta.Ref{Bucket: b.bucket.ID, Key: "k", Upload: u.id})
	if err != nil || len(late) != 2 {
		t.Fatal(late, err)
	}
	if _, err := b.store.Complete(ctx, u.completeRequest(part)); err != nil {
		t.Fatal(err)
	}
	b.put("k", pattern(2, 100))
	b.drain()
	if free, err := m.unnamed(late[0].Ref, late, nil); err != nil || len(free) != 0 {
		t.Fatalf("the bytes of a version would be freed: %v, %v", free, err)
	}
}
