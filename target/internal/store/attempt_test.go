package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/aisle-store/aisle/cluster"
)

// relayed says of a request that it began at a time of the store's clock.
func (b *bed) relayed(r *PutRequest, began int64) *PutRequest {
	r.Aged, r.Began = true, time.Duration(began)
	return r
}

// later is a bed whose clock stands a while behind the beginning of its epochs.
func later(t *testing.T, fs vfs.FS) (*bed, *atomic.Int64) {
	now := new(atomic.Int64)
	b := newBed(t, fs, 1, func(o *Options) {
		o.Clock = func() time.Duration { return time.Duration(now.Load()) }
		o.Sweep = time.Hour
	})
	now.Add(int64(time.Hour))
	return b, now
}

// stuckAttempt is the history of an attempt that hangs in the network for longer than the retry window: PUT r0 is sent, and
// hangs; its second attempt is acknowledged; PUT r1 is acknowledged; all is forgotten; the first attempt arrives. It returns
// what the object is then.
func stuckAttempt(t *testing.T, checked bool) string {
	b, now := later(t, vfs.NewMem())
	defer b.close()
	ctx := context.Background()
	r0 := b.relayed(b.putRequest("k", []byte("r0")), now.Load())
	if _, err := b.store.Put(ctx, r0); err != nil {
		t.Fatal(err)
	}
	b.put("k", []byte("r1"))
	now.Add(int64(b.store.o.RetryWindow) + 1)
	b.drain()
	b.store.sweepOnce(ctx)
	b.put("k", []byte("r2")) // this one drives what the shard remembers out
	stuck := b.again(r0, []byte("r0"))
	stuck.Aged = checked
	_, err := b.store.Put(ctx, stuck)
	if checked {
		wantKind(t, err, cluster.KindUnavailable)
	}
	return string(b.get("k"))
}

func TestStuckAttempt(t *testing.T) {
	if got := stuckAttempt(t, true); got != "r2" {
		t.Fatalf("an attempt older than the retry window ran again: %q", got)
	}
}

// TestStuckAttemptIsCaught takes the check out: the history must then go wrong.
func TestStuckAttemptIsCaught(t *testing.T) {
	if got := stuckAttempt(t, false); got != "r0" {
		t.Fatalf("the history proves nothing: %q", got)
	}
}

// Every write that is too old is refused, and none that is answered from memory.
func TestOldAttempts(t *testing.T) {
	b, now := later(t, vfs.NewMem())
	defer b.close()
	ctx := context.Background()
	b.put("k", []byte("v"))
	u := b.upload("up")
	u.part(1, []byte("part"))
	old := func(key string) Call {
		c := b.call(key)
		c.Aged, c.Began = true, time.Duration(now.Load())-b.store.o.RetryWindow-1
		return c
	}
	f := func(what string, err error) {
		t.Helper()
		if !cluster.Is(err, cluster.KindUnavailable) {
			t.Errorf("an old %s: %v", what, err)
		}
	}
	_, err := b.store.Delete(ctx, &DeleteRequest{Call: old("k"), Bucket: b.bucket, Key: "k"})
	f("delete", err)
	_, err = b.store.Update(ctx, &UpdateRequest{Call: old("k"), Bucket: b.bucket, Key: "k", Edit: func(*Metadata) {}})
	f("update", err)
	_, err = b.store.CreateUpload(ctx, &CreateUploadRequest{Call: old("k"), Bucket: b.bucket, Key: "k"})
	f("creation of an upload", err)
	_, err = b.store.PutPart(ctx, &PutPartRequest{Call: old("up"), Bucket: b.bucket, Key: "up", Upload: u.id, Number: 1, Body: strings.NewReader("x"), Size: 1})
	f("part", err)
	err = b.store.Abort(ctx, &AbortRequest{Call: old("up"), Bucket: b.bucket, Key: "up", Upload: u.id})
	f("abort", err)
	_, err = b.store.Complete(ctx, &CompleteRequest{Call: old("up"), Bucket: b.bucket, Key: "up", Upload: u.id, Parts: []CompletePart{{Number: 1}}, Size: -1})
	f("complete", err)
	_, err = b.store.Repeated(old("k"), b.bucket, "k", errors.New("a failure"))
	f("failure", err)
	if got := b.get("k"); string(got) != "v" {
		t.Fatalf("%q", got)
	}
}

// While an attempt receives its body no other one of its request runs, and the one behind it gets its outcome.
func TestAttemptsOverlap(t *testing.T) {
	b, _ := later(t, vfs.NewMem())
	defer b.close()
	ctx := context.Background()
	reader, writer := io.Pipe()
	r := b.putRequest("k", nil)
	r.Body, r.Size = reader, 4
	type result struct {
		info *Info
		err  error
	}
	first := make(chan result, 1)
	go func() {
		info, err := b.store.Put(ctx, r)
		first <- result{info, err}
	}()
	if _, err := writer.Write([]byte("bo")); err != nil {
		t.Fatal(err)
	}
	_, err := b.store.Put(ctx, b.again(r, []byte("body")))
	wantKind(t, err, cluster.KindUnavailable)
	_, err = b.store.Repeated(r.Call, b.bucket, "k", errors.New("the source is gone"))
	wantKind(t, err, cluster.KindUnavailable)
	b.wantAbsent("k")
	if _, err := writer.Write([]byte("dy")); err != nil {
		t.Fatal(err)
	}
	_ = writer.Close()
	got := <-first
	if got.err != nil {
		t.Fatal(got.err)
	}
	again, err := b.store.Put(ctx, b.again(r, []byte("body")))
	if err != nil || again.Generation != got.info.Generation {
		t.Fatalf("%+v, %v; want %+v", again, err, got.info)
	}
}

// An attempt that failed before it did anything leaves its place to the next one.
func TestAttemptAfterABrokenOne(t *testing.T) {
	b, _ := later(t, vfs.NewMem())
	defer b.close()
	r := b.putRequest("k", nil)
	r.Body, r.Size = strings.NewReader("bo"), 4
	if _, err := b.store.Put(context.Background(), r); err == nil {
		t.Fatal("half a body was taken")
	}
	if _, err := b.store.Put(context.Background(), b.again(r, []byte("body"))); err != nil {
		t.Fatal(err)
	}
}

// A part that was made durable, and then given up, is not written again over the one that was acknowledged since.
func TestPartGivenUp(t *testing.T) {
	watch := &ops{}
	b, now := later(t, errorfs.Wrap(vfs.NewMem(), watch))
	defer func() { b.close() }()
	ctx := context.Background()
	u := b.upload("k")
	data := pattern(1, 9000)
	first := &PutPartRequest{Call: b.call("k"), Bucket: b.bucket, Key: "k", Upload: u.id, Number: 1, Body: bytes.NewReader(data), Size: 9000}
	first.Aged, first.Began = true, time.Duration(now.Load())
	onLogSync(watch, func() { b.authority.set(func(a *authority) { a.lease = errors.New("the lease ended") }) })
	_, err := b.store.PutPart(ctx, first)
	wantKind(t, err, cluster.KindUnavailable)
	watch.watch(nil)
	b.authority.set(func(a *authority) { a.lease = nil })

	second := u.part(1, pattern(2, 9000))
	first.Body = bytes.NewReader(data)
	if info, err := b.store.PutPart(ctx, first); err != nil || info.ETag == second.ETag {
		t.Errorf("the part again: %+v, %v", info, err)
	}
	if _, err := b.store.Complete(ctx, u.completeRequest(second)); err != nil {
		t.Fatalf("the part that was acknowledged last is another one: %v", err)
	}
	if got := b.get("k"); !slices.Equal(got, pattern(2, 9000)) {
		t.Fatal("other bytes than those of the part")
	}
}

// A repeated request gets the outcome of its first copy, also when that would not be possible any more.
func TestRepeatedAnswers(t *testing.T) {
	for _, when := range []string{"young epoch", "old epoch"} {
		t.Run(when, func(t *testing.T) {
			fs := &fullFS{FS: vfs.NewMem()}
			b, now := later(t, fs)
			defer func() { b.close() }()
			if when == "young epoch" {
				b.restart()
				now.Add(1)
			}
			testRepeatedAnswers(t, b, fs)
		})
	}
}

func testRepeatedAnswers(t *testing.T, b *bed, fs *fullFS) {
	ctx := context.Background()
	put := b.putRequest("k", pattern(1, 9000))
	first, err := b.store.Put(ctx, put)
	if err != nil {
		t.Fatal(err)
	}
	update := &UpdateRequest{Call: b.call("k"), Bucket: b.bucket, Key: "k", Edit: func(md *Metadata) { md.User = []Pair{{Name: "a", Value: "b"}} }}
	updated, err := b.store.Update(ctx, update)
	if err != nil {
		t.Fatal(err)
	}
	create := &CreateUploadRequest{Call: b.call("up"), Bucket: b.bucket, Key: "up"}
	id, err := b.store.CreateUpload(ctx, create)
	if err != nil {
		t.Fatal(err)
	}
	data := pattern(2, 9000)
	part := &PutPartRequest{Call: b.call("up"), Bucket: b.bucket, Key: "up", Upload: id, Number: 1, Body: bytes.NewReader(data), Size: 9000}
	sent, err := b.store.PutPart(ctx, part)
	if err != nil {
		t.Fatal(err)
	}
	complete := &CompleteRequest{
		Call: b.call("up"), Bucket: b.bucket, Key: "up", Upload: id, Parts: []CompletePart{{Number: 1, ETag: sent.ETag}}, Size: -1,
	}
	if _, err := b.store.Complete(ctx, complete); err != nil {
		t.Fatal(err)
	}
	b.drain()
	fs.used.Store(99)
	eventually(t, func() bool {
		_, err := b.store.Put(ctx, b.putRequest("other", nil))
		return cluster.Is(err, cluster.KindNoSpace)
	})
	if info, err := b.store.Put(ctx, b.again(put, pattern(1, 9000))); err != nil || info.ETag != first.ETag || info.Version != first.Version {
		t.Errorf("PUT again on a full disk: %+v, %v", info, err)
	}
	if info, err := b.store.Update(ctx, update); err != nil || info.Version != updated.Version {
		t.Errorf("an update again on a full disk: %+v, %v", info, err)
	}
	if got, err := b.store.CreateUpload(ctx, create); err != nil || got != id {
		t.Errorf("the creation of an upload again, on a full disk, after it was completed: %q, %v", got, err)
	}
	part.Body = bytes.NewReader(data)
	if info, err := b.store.PutPart(ctx, part); err != nil || info.ETag != sent.ETag || info.Number != 1 {
		t.Errorf("a part again, on a full disk, after its upload was completed: %+v, %v", info, err)
	}
	if got := b.get("up"); !slices.Equal(got, data) {
		t.Error("the object is another one")
	}
}

// What settling frees, readers of the epoch before may be about to open.
func TestSettleWaitsForReaders(t *testing.T) {
	watch := &ops{}
	b := newBed(t, errorfs.Wrap(vfs.NewMem(), watch), 1, nil)
	defer func() { b.close() }()
	b.put("k", pattern(1, 20_000))
	onLogSync(watch, func() { b.authority.set(func(a *authority) { a.lease = errors.New("the lease ended") }) })
	_, err := b.store.Put(context.Background(), b.putRequest("k", pattern(2, 20_000)))
	wantKind(t, err, cluster.KindUnavailable)
	watch.watch(nil)
	b.drain()
	reader := b.store.readers.enter()
	next := b.m.Clone()
	next.Version++
	for i := range next.Slots {
		next.Slots[i].Epoch++
	}
	b.authority.set(func(a *authority) { a.m, a.lease = next, nil })
	b.m = next
	if err := b.store.Activate(context.Background(), next); err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * cleanLinger)
	extents := func() int64 { return b.store.mounted()[0].disk.Stats().Extents }
	if n := extents(); n != 2 {
		t.Errorf("%d extents: what a reader has in hand was freed", n)
	}
	b.store.readers.leave(reader)
	b.drain()
	if n := extents(); n != 1 {
		t.Errorf("%d extents, want the one that stays", n)
	}
	if got := b.get("k"); !bytes.Equal(got, pattern(2, 20_000)) {
		t.Error("what was prepared did not go forward")
	}
}

// A recovery that failed is tried again, and leaves alone what a reader will come to, though no record names it any more.
func TestRecoveryIsTriedAgain(t *testing.T) {
	watch := &ops{}
	b := newBed(t, errorfs.Wrap(vfs.NewMem(), watch), 1, func(o *Options) { o.Sweep = 20 * time.Millisecond })
	defer func() { b.close() }()
	ctx := context.Background()
	want := slices.Concat(pattern(1, 50_000), pattern(2, 50_000), pattern(3, 50_000))
	u := b.upload("k")
	request := u.completeRequest(u.part(1, want[:50_000]), u.part(2, want[50_000:100_000]), u.part(3, want[100_000:]))
	request.SmallParts = true
	if _, err := b.store.Complete(ctx, request); err != nil {
		t.Fatal(err)
	}
	b.drain()
	b.close()
	var failed atomic.Int64
	watch.watch(func(_ int64, op errorfs.Op) error {
		if op.Kind == errorfs.OpOpen && strings.HasSuffix(op.Path, ".seg") {
			failed.Add(1)
			return errors.New("the test fails the recovery")
		}
		return nil
	})
	b.start()
	eventually(t, func() bool { return failed.Load() > 1 })
	watch.watch(nil)
	recovered := make(chan struct{})
	go func() {
		b.store.mounted()[0].recovery.Wait()
		close(recovered)
	}()
	o, err := b.store.Open(ctx, b.getRequest("k"))
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	b.delete("k")
	select {
	case <-recovered:
	case <-time.After(10 * time.Second):
		t.Fatal("it was not tried again")
	}
	b.drain()
	if got, err := io.ReadAll(o.Reader()); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("a reader that had begun got %d bytes, %v", len(got), err)
	}
	_ = o.Close()
	if n := b.store.mounted()[0].disk.Stats().Extents; n != 0 {
		t.Fatalf("%d extents are left", n)
	}
}

// eventually waits until ok.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not happen")
		}
	}
}
