package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// again is the same request under the epoch of now: what a gateway sends when it got no reply.
func (b *bed) again(r *PutRequest, data []byte) *PutRequest {
	c := *r
	c.Epoch = b.call(string(r.Key)).Epoch
	c.Body = bytes.NewReader(data)
	return &c
}

func wantKind(t *testing.T, err error, kind cluster.Kind) {
	t.Helper()
	if !cluster.Is(err, kind) {
		t.Fatalf("error %v, want kind %s", err, kind)
	}
}

// R5: PUT r0 is visible, its reply is lost; PUT r1 is acknowledged; the replay of r0 must not run again.
func TestReplayOfReplacedWrite(t *testing.T) {
	b := newBed(t, vfs.NewMem(), 1, nil)
	defer func() { b.close() }()
	ctx := context.Background()
	r0 := b.putRequest("k", []byte("zero"))
	first, err := b.store.Put(ctx, r0)
	if err != nil {
		t.Fatal(err)
	}
	b.put("k", []byte("one"))
	replay := func(when string) {
		t.Helper()
		info, err := b.store.Put(ctx, b.again(r0, []byte("zero")))
		if err != nil || info.ETag != first.ETag || info.Version != first.Version {
			t.Fatalf("%s: replay returns %+v, %v; want the outcome %+v", when, info, err, first)
		}
	}
	replay("at once")
	if got := b.get("k"); string(got) != "one" {
		t.Fatalf("the replay put the value back: %s", got)
	}
	b.restart()
	replay("after a restart")
	if got := b.get("k"); string(got) != "one" {
		t.Fatalf("the replay put the value back: %s", got)
	}
	b.delete("k")
	replay("after a delete")
	b.wantAbsent("k")
	b.restart()
	replay("after a delete and a restart")
	b.wantAbsent("k")
}

// R9: an attempt under another epoch is refused; within an epoch every outcome is remembered, also those that wrote nothing.
func TestLateAttempts(t *testing.T) {
	b := newBed(t, vfs.NewMem(), 1, nil)
	defer func() { b.close() }()
	ctx := context.Background()
	b.put("k", []byte("there"))
	create := b.putRequest("k", []byte("created"))
	create.If.NoneMatch.Any = true
	_, err := b.store.Put(ctx, create)
	wantKind(t, err, cluster.KindPreconditionFailed)
	b.delete("k")
	_, err = b.store.Put(ctx, b.again(create, []byte("created")))
	wantKind(t, err, cluster.KindPreconditionFailed)
	b.wantAbsent("k")

	remove := &DeleteRequest{Call: b.call("k"), Bucket: b.bucket, Key: "k"}
	if r, err := b.store.Delete(ctx, remove); err != nil || r.Existed {
		t.Fatal(r, err)
	}
	b.put("k", []byte("later"))
	if r, err := b.store.Delete(ctx, remove); err != nil || r.Existed {
		t.Fatal(r, err)
	}
	if got := b.get("k"); string(got) != "later" {
		t.Fatalf("a replay of a delete that did nothing deleted: %s", got)
	}

	stuck := b.putRequest("k", []byte("stuck"))
	read := b.getRequest("k")
	b.restart()
	_, err = b.store.Put(ctx, stuck)
	wantKind(t, err, cluster.KindUnavailable)
	_, _, err = b.read(read)
	wantKind(t, err, cluster.KindUnavailable)
	if got := b.get("k"); string(got) != "later" {
		t.Fatalf("an attempt of an earlier epoch ran: %s", got)
	}
}

// onLogSync calls f whenever the log of an index is about to be synced.
func onLogSync(watch *ops, f func()) {
	watch.watch(func(_ int64, op errorfs.Op) error {
		sync := op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
		if sync && strings.HasSuffix(op.Path, ".log") {
			f()
		}
		return nil
	})
}

// holdSync holds up the next sync of a log. inSync tells when it has begun; goOn lets it go on.
func holdSync(watch *ops) (inSync chan struct{}, goOn func()) {
	inSync = make(chan struct{})
	held := make(chan struct{})
	var once sync.Once
	onLogSync(watch, func() {
		once.Do(func() {
			close(inSync)
			<-held
		})
	})
	return inSync, sync.OnceFunc(func() { close(held) })
}

// R10, and rule 4 of a write: a write that is given up after it was prepared is never shown in its epoch, its generation is
// never used again, and after a restart the highest prepared one counts.
func TestGivenUpWrite(t *testing.T) {
	for _, followed := range []bool{false, true} {
		t.Run(fmt.Sprintf("followed by another %v", followed), func(t *testing.T) {
			watch := &ops{}
			b := newBed(t, errorfs.Wrap(vfs.NewMem(), watch), 1, nil)
			defer func() { b.close() }()
			b.put("k", []byte("old"))
			b.drain()
			onLogSync(watch, func() { b.authority.set(func(a *authority) { a.lease = errors.New("the lease ended") }) })
			given := b.putRequest("k", pattern(1, 20_000))
			_, err := b.store.Put(context.Background(), given)
			wantKind(t, err, cluster.KindUnavailable)
			_, _, err = b.read(b.getRequest("k"))
			wantKind(t, err, cluster.KindUnavailable)
			watch.watch(nil)
			b.authority.set(func(a *authority) { a.lease = nil })

			if got := b.get("k"); string(got) != "old" {
				t.Fatalf("a write that was given up is visible: %d bytes", len(got))
			}
			if got, err := b.list(b.listRequest()); err != nil || !slices.Equal(got, []string{"k"}) {
				t.Fatal(got, err)
			}
			want := pattern(1, 20_000)
			if followed {
				create := b.putRequest("k", []byte("created"))
				create.If.NoneMatch.Any = true
				_, err := b.store.Put(context.Background(), create)
				wantKind(t, err, cluster.KindPreconditionFailed)
				before := b.put("k", []byte("new"))
				if before.Version != 2 {
					t.Fatalf("version %d counts the write that was given up", before.Version)
				}
				want = []byte("new")
				if got := b.get("k"); !bytes.Equal(got, want) {
					t.Fatalf("%d bytes", len(got))
				}
			}
			b.restart()
			if got := b.get("k"); !bytes.Equal(got, want) {
				t.Fatalf("after the restart: %d bytes, want %d", len(got), len(want))
			}
			generations, err := b.store.mounted()[0].index.Generations(meta.Ref{Kind: meta.Current, Bucket: b.bucket.ID, Key: "k"})
			if err != nil || len(generations) != 1 {
				t.Fatalf("%d generations are left after settling, %v", len(generations), err)
			}
		})
	}
}

// dirtyReads writes while the log's sync is held up, and returns what readers saw of writes that a crash would have undone.
// bug, when not nil, is done first: what a store would do that shows writes too early.
func dirtyReads(t *testing.T, bug func(*bed)) []string {
	watch := &ops{}
	b := newBed(t, errorfs.Wrap(vfs.NewMem(), watch), 1, nil)
	defer func() { b.close() }()
	b.put("replaced", []byte("old"))
	b.put("deleted", []byte("old"))
	upload, err := b.store.CreateUpload(context.Background(), &CreateUploadRequest{Call: b.call("created"), Bucket: b.bucket, Key: "created"})
	if err != nil {
		t.Fatal(err)
	}
	b.drain()
	var dirty []string
	look := func() {
		if bug != nil {
			bug(b)
		}
		for key, want := range map[string]*value{"replaced": {data: []byte("old")}, "deleted": {data: []byte("old")}, "created": nil} {
			if got, err := b.look(key); err != nil || !got.equal(want) {
				dirty = append(dirty, fmt.Sprintf("GET %s: %s %v", key, got, err))
			}
		}
		if got, err := b.list(b.listRequest()); err != nil || !slices.Equal(got, []string{"deleted", "replaced"}) {
			dirty = append(dirty, fmt.Sprintf("LIST %q %v", got, err))
		}
		var uploads int
		for _, err := range b.store.Uploads(context.Background(), b.listRequest()) {
			if uploads++; err != nil {
				dirty = append(dirty, err.Error())
			}
		}
		if uploads != 1 {
			dirty = append(dirty, fmt.Sprintf("%d uploads", uploads))
		}
	}
	during := func(kind meta.Kind, key string, write func() error) {
		t.Helper()
		var once sync.Once
		newest := func() (g cluster.Generation) {
			ref := meta.Ref{Kind: kind, Bucket: b.bucket.ID, Key: cluster.ObjectKey(key)}
			if kind == meta.UploadTombstone {
				ref.Upload = upload
			}
			all, err := b.store.mounted()[0].index.Generations(ref)
			if err != nil || len(all) == 0 {
				return g
			}
			return all[0].Generation
		}
		before := newest()
		onLogSync(watch, func() {
			once.Do(func() {
				for deadline := time.Now().Add(5 * time.Second); newest() == before && time.Now().Before(deadline); {
					time.Sleep(100 * time.Microsecond) // the index shows the batch while its sync runs
				}
				look()
			})
		})
		b.authority.set(func(a *authority) { a.lease = nil })
		err := write()
		watch.watch(nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := context.Background()
	during(meta.UploadTombstone, "created", func() error {
		err := b.store.Abort(ctx, &AbortRequest{Call: b.call("created"), Bucket: b.bucket, Key: "created", Upload: upload})
		if err == nil {
			upload, err = b.store.CreateUpload(ctx, &CreateUploadRequest{Call: b.call("created"), Bucket: b.bucket, Key: "created"})
		}
		return err
	})
	during(meta.Current, "created", func() error {
		_, err := b.store.Put(ctx, b.putRequest("created", []byte("new")))
		b.delete("created")
		return err
	})
	during(meta.Current, "replaced", func() error {
		_, err := b.store.Put(ctx, b.putRequest("replaced", []byte("new")))
		return err
	})
	b.put("replaced", []byte("old"))
	during(meta.Tombstone, "deleted", func() error {
		_, err := b.store.Delete(ctx, &DeleteRequest{Call: b.call("deleted"), Bucket: b.bucket, Key: "deleted"})
		return err
	})
	return dirty
}

func TestNoDirtyReads(t *testing.T) {
	if dirty := dirtyReads(t, nil); len(dirty) > 0 {
		t.Fatalf("readers saw what was not durable: %q", dirty)
	}
}

// TestDirtyReadsAreCaught plants the bug that TestNoDirtyReads is there for, visible before synced: it must fail with it.
func TestDirtyReadsAreCaught(t *testing.T) {
	bug := func(b *bed) {
		for i := range b.store.shards {
			h := &b.store.shards[i]
			h.mu.Lock()
			for id, m := range h.marks {
				m.floor, m.preparing = m.preparing, cluster.Generation{}
				h.marks[id] = m
			}
			h.mu.Unlock()
		}
	}
	dirty := strings.Join(dirtyReads(t, bug), "\n")
	for _, want := range []string{"GET replaced", "GET deleted", "GET created", "LIST", "uploads"} {
		if !strings.Contains(dirty, want) {
			t.Errorf("a store that shows writes before they are synced is not caught at %s: %q", want, dirty)
		}
	}
}

// The lease is asked after the read: what is written while a reader asks for it, the reader has not seen.
func TestLeaseAfterRead(t *testing.T) {
	b := newBed(t, vfs.NewMem(), 1, nil)
	defer func() { b.close() }()
	b.put("k", []byte("v"))
	whenAsked := func(times int64, f func()) {
		var asked atomic.Int64
		b.authority.set(func(a *authority) {
			a.onLease = func() {
				if asked.Add(1) == times {
					f()
				}
			}
		})
	}
	write := func() {
		b.put("k", []byte("newer"))
		b.put("absent", []byte("created"))
	}
	restore := func() {
		b.put("k", []byte("v"))
		b.delete("absent")
	}
	whenAsked(1, write)
	if got := b.get("k"); string(got) != "v" {
		t.Fatalf("a GET read %q after it had asked for the lease", got)
	}
	restore()
	whenAsked(1, write)
	b.wantAbsent("absent")
	restore()
	whenAsked(1, write)
	if info, err := b.store.Stat(context.Background(), b.getRequest("k")); err != nil || info.Size != 1 {
		t.Fatalf("a HEAD read after it had asked for the lease: %+v, %v", info, err)
	}
	restore()
	whenAsked(2, write) // a list asks before it reads, too
	if got, err := b.list(b.listRequest()); err != nil || !slices.Equal(got, []string{"k"}) {
		t.Fatalf("a LIST read after it had asked for the lease: %q, %v", got, err)
	}
	restore()
	b.authority.set(func(a *authority) { a.lease = cluster.Fail("", "", cluster.KindUnavailable, "ended") })
	for _, key := range []string{"k", "absent"} {
		_, _, err := b.read(b.getRequest(key))
		wantKind(t, err, cluster.KindUnavailable)
	}
	_, err := b.list(b.listRequest())
	wantKind(t, err, cluster.KindUnavailable)
}

// A lease that was lost and gained again while a read ran: the epoch tells, because it is asked after the lease.
func TestOwnerAfterLease(t *testing.T) {
	b := newBed(t, vfs.NewMem(), 1, nil)
	defer func() { b.close() }()
	b.put("k", []byte("v"))
	next := b.m.Clone()
	next.Version++
	next.Slots[cluster.SlotOf(b.bucket.ID, "k")].Epoch++
	read := b.getRequest("k")
	b.authority.set(func(a *authority) {
		a.onLease = func() { b.authority.set(func(a *authority) { a.m, a.onLease = next, nil }) }
	})
	_, _, err := b.read(read)
	wantKind(t, err, cluster.KindUnavailable)
}

func TestRacingCreators(t *testing.T) {
	b := newBed(t, vfs.NewMem(), 2, nil)
	defer func() { b.close() }()
	for round := range 5 {
		key := fmt.Sprintf("k%d", round)
		var won, lost atomic.Int64
		var group sync.WaitGroup
		for i := range 100 {
			r := b.putRequest(key, pattern(i, 50))
			r.If.NoneMatch.Any = true
			group.Go(func() {
				switch _, err := b.store.Put(context.Background(), r); {
				case err == nil:
					won.Add(1)
				case cluster.Is(err, cluster.KindPreconditionFailed):
					lost.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		group.Wait()
		if won.Load() != 1 || lost.Load() != 99 {
			t.Fatalf("%d creators won, %d lost", won.Load(), lost.Load())
		}
	}
}

// moved is the map in which another node owns the slot of a key.
func (b *bed) moved(keys ...string) *cluster.Map {
	m := b.m.Clone()
	m.Version++
	for _, key := range keys {
		slot := cluster.SlotOf(b.bucket.ID, cluster.ObjectKey(key))
		m.Slots[slot] = cluster.SlotState{Epoch: m.Slots[slot].Epoch + 1, Holders: []cluster.Holder{{Node: "other", InSync: true}}}
	}
	return m
}

func TestFence(t *testing.T) {
	b := newBed(t, vfs.NewMem(), 2, nil)
	defer func() { b.close() }()
	ctx := context.Background()
	b.put("written", []byte("v"))
	pending := b.moved("written", "never")
	kept, err := b.store.Fence(ctx, pending)
	if err != nil || !slices.Equal(kept, []cluster.Slot{cluster.SlotOf(b.bucket.ID, "written")}) {
		t.Fatal(kept, err)
	}
	b.put("written", []byte("w"))
	_, err = b.store.Put(ctx, b.putRequest("never", nil))
	wantKind(t, err, cluster.KindUnavailable)
	_, _, err = b.read(b.getRequest("never"))
	wantKind(t, err, cluster.KindUnavailable)
	_, err = b.list(b.listRequest())
	wantKind(t, err, cluster.KindUnavailable)

	// The pending map is given up: what was stopped goes on.
	if err := b.store.Activate(ctx, b.m); err != nil {
		t.Fatal(err)
	}
	b.wantAbsent("never")

	// It becomes active, but for the slot that was kept.
	if _, err = b.store.Fence(ctx, pending); err != nil {
		t.Fatal(err)
	}
	active := b.moved("never")
	b.authority.set(func(a *authority) { a.m = active })
	if err := b.store.Activate(ctx, active); err != nil {
		t.Fatal(err)
	}
	if got := b.get("written"); string(got) != "w" {
		t.Fatalf("%s", got)
	}
	_, _, err = b.read(b.getRequest("never"))
	wantKind(t, err, cluster.KindUnavailable)
	b.m = active
	if got, err := b.list(b.listRequest()); err != nil || !slices.Equal(got, []string{"written"}) {
		t.Fatal(got, err)
	}
}

// A list waits for the slots of its bucket's layout only.
func TestListWhileAnotherLayoutMoves(t *testing.T) {
	b := newBed(t, vfs.NewMem(), 1, nil)
	defer func() { b.close() }()
	ctx := context.Background()
	b.put("k", []byte("v"))
	m := b.moved()
	layout := m.AddLayout(cluster.Layout{Copies: 2})
	for i := range cluster.Slots {
		m.Slots[cluster.SlotIn(layout, i)] = m.Slots[i]
	}
	b.m = m
	b.authority.set(func(a *authority) { a.m = m })
	if err := b.store.Activate(ctx, m); err != nil {
		t.Fatal(err)
	}
	pending := b.moved()
	pending.Slots[cluster.SlotIn(layout, 7)].Holders = []cluster.Holder{{Node: "other", InSync: true}}
	if _, err := b.store.Fence(ctx, pending); err != nil {
		t.Fatal(err)
	}
	if got, err := b.list(b.listRequest()); err != nil || !slices.Equal(got, []string{"k"}) {
		t.Error(got, err)
	}
	pending.Slots[9].Holders = pending.Slots[cluster.SlotIn(layout, 7)].Holders
	if _, err := b.store.Fence(ctx, pending); err != nil {
		t.Fatal(err)
	}
	_, err := b.list(b.listRequest())
	wantKind(t, err, cluster.KindUnavailable)
}

// Fence waits for commits and never for bodies; a body that ends behind it finds no slot, and its bytes are freed.
func TestFenceAndWritesInFlight(t *testing.T) {
	watch := &ops{}
	b := newBed(t, errorfs.Wrap(vfs.NewMem(), watch), 1, nil)
	defer func() { b.close() }()
	ctx := context.Background()
	pending := b.moved("body", "commit")

	reader, writer := io.Pipe()
	defer func() { _ = writer.Close() }() // Close of the store waits for bodies
	body := b.putRequest("body", nil)
	body.Body, body.Size = reader, 50_000
	bodyDone := make(chan error, 1)
	go func() {
		_, err := b.store.Put(ctx, body)
		bodyDone <- err
	}()
	if _, err := writer.Write(pattern(1, 20_000)); err != nil {
		t.Fatal(err)
	}

	inSync, goOn := holdSync(watch)
	defer goOn()
	commitDone := make(chan error, 1)
	go func() {
		_, err := b.store.Put(ctx, b.putRequest("commit", []byte("v")))
		commitDone <- err
	}()
	<-inSync
	fenced := make(chan []cluster.Slot, 1)
	go func() {
		kept, err := b.store.Fence(ctx, pending)
		if err != nil {
			t.Error(err)
		}
		fenced <- kept
	}()
	select {
	case <-fenced:
		t.Fatal("Fence did not wait for a commit in flight")
	case <-time.After(20 * time.Millisecond):
	}
	goOn()
	if err := <-commitDone; err != nil {
		t.Fatal(err)
	}
	if kept := <-fenced; !slices.Equal(kept, []cluster.Slot{cluster.SlotOf(b.bucket.ID, "commit")}) {
		t.Fatalf("kept %v, want the slot that was written meanwhile", kept)
	}
	watch.watch(nil)
	go func() {
		_, _ = writer.Write(pattern(2, 30_000))
		_ = writer.Close()
	}()
	wantKind(t, <-bodyDone, cluster.KindUnavailable)
	if stats := b.store.mounted()[0].disk.Stats(); stats.Extents != 0 {
		t.Fatalf("%d extents are left", stats.Extents)
	}
}

// A slot that was written never comes back under an epoch of before: its counters would be used twice.
func TestEpochIsNeverReused(t *testing.T) {
	b := newBed(t, vfs.NewMem(), 1, nil)
	b.put("k", []byte("v"))
	b.close()
	for i := range b.m.Slots {
		b.m.Slots[i].Epoch-- // so that the next start gives the same epochs again
	}
	if err := b.tryStart(); !cluster.Is(err, cluster.KindUnavailable) {
		t.Fatalf("error %v, want a refusal", err)
	}
	b.start()
	if got := b.get("k"); string(got) != "v" {
		t.Fatalf("%s", got)
	}
	b.close()
}

// R7, R8: a tombstone goes when the retry window of the requests behind it is over. Where others hold the slot, too, it also
// waits for a later epoch.
func TestTombstones(t *testing.T) {
	for _, holders := range []int{1, 2} {
		t.Run(fmt.Sprintf("%d holders", holders), func(t *testing.T) { testTombstones(t, holders) })
	}
}

func testTombstones(t *testing.T, holders int) {
	var now atomic.Int64
	b := newBed(t, vfs.NewMem(), 1, func(o *Options) {
		o.Clock = func() time.Duration { return time.Duration(now.Load()) }
		o.Sweep = time.Hour
	})
	defer func() { b.close() }()
	for i := range b.m.Slots {
		for n := 1; n < holders; n++ {
			b.m.Slots[i].Holders = append(b.m.Slots[i].Holders, cluster.Holder{Node: "other", InSync: true})
		}
	}
	count := func(kind meta.Kind) (n int) {
		for _, err := range b.store.mounted()[0].index.Scan(context.Background(), meta.Range{Kind: kind, AllBuckets: true}).All() {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		return n
	}
	want := func(when string, tombstones, replaced int) {
		t.Helper()
		b.drain()
		b.store.sweepOnce(context.Background())
		if got := count(meta.Tombstone); got != tombstones {
			t.Fatalf("%s: %d tombstones, want %d", when, got, tombstones)
		}
		if got := count(meta.Replaced); got != replaced {
			t.Fatalf("%s: %d replaced requests, want %d", when, got, replaced)
		}
	}
	pass := func(d time.Duration) { now.Add(int64(d)) }
	pass(time.Hour)
	b.restart()
	pass(time.Hour)
	put := b.relayed(b.putRequest("k", []byte("v")), now.Load())
	if _, err := b.store.Put(context.Background(), put); err != nil {
		t.Fatal(err)
	}
	b.delete("k")
	want("after the delete", 1, 1)
	pass(b.store.o.RetryWindow - time.Second)
	want("in the retry window", 1, 1)
	if info, err := b.store.Put(context.Background(), b.again(put, []byte("v"))); err != nil || info.Version != 1 {
		t.Fatalf("a repeated PUT in the retry window: %+v, %v", info, err)
	}
	b.wantAbsent("k")
	pass(2 * time.Second)
	left := holders - 1
	want("after the retry window", left, 0)
	_, err := b.store.Put(context.Background(), b.again(put, []byte("v")))
	wantKind(t, err, cluster.KindUnavailable)
	b.wantAbsent("k")
	b.put("other", []byte("v"))
	b.put("other", []byte("v"))
	b.delete("gone with the next epoch")
	b.put("gone with the next epoch", []byte("v"))
	b.delete("gone with the next epoch")
	b.restart()
	want("in the next epoch", left+1, 2)
	pass(b.store.o.RetryWindow + 2*time.Second)
	want("after the retry window in the next epoch", 0, 0)
	b.wantAbsent("k")
	b.put("other", []byte("w"))
	want("a write that replaces an old one", 0, 0)
}

func TestSealAndDropBucket(t *testing.T) {
	b := newBed(t, vfs.NewMem(), 2, nil)
	defer func() { b.close() }()
	ctx := context.Background()
	for i := range 20 {
		b.put(fmt.Sprintf("k%d", i), pattern(i, i*2000))
	}
	refuse := cluster.Fail("authority.Writable", "", cluster.KindUnavailable, "the bucket is being deleted")
	b.authority.set(func(a *authority) { a.refuses[b.bucket.ID] = refuse })
	if empty, err := b.store.SealBucket(ctx, b.bucket.ID); err != nil || empty {
		t.Fatal(empty, err)
	}
	_, err := b.store.Put(ctx, b.putRequest("k", nil))
	wantKind(t, err, cluster.KindUnavailable)
	b.authority.set(func(a *authority) { delete(a.refuses, b.bucket.ID) })
	for i := range 20 {
		b.delete(fmt.Sprintf("k%d", i))
	}
	id, err := b.store.CreateUpload(ctx, &CreateUploadRequest{Call: b.call("up"), Bucket: b.bucket, Key: "up"})
	if err != nil {
		t.Fatal(err)
	}
	part := &PutPartRequest{Call: b.call("up"), Bucket: b.bucket, Key: "up", Upload: id, Number: 1, Body: bytes.NewReader(pattern(1, 9000)), Size: 9000}
	if _, err := b.store.PutPart(ctx, part); err != nil {
		t.Fatal(err)
	}
	b.authority.set(func(a *authority) { a.refuses[b.bucket.ID] = refuse })
	if empty, err := b.store.SealBucket(ctx, b.bucket.ID); err != nil || !empty {
		t.Fatal(empty, err)
	}
	for range 2 {
		if err := b.store.DropBucket(ctx, b.bucket.ID); err != nil {
			t.Fatal(err)
		}
	}
	b.drain()
	for _, m := range b.store.mounted() {
		if stats := m.disk.Stats(); stats.Extents != 0 {
			t.Errorf("%s keeps %d extents", m.ID, stats.Extents)
		}
	}
}

// A bucket that went while this target was down, or whose drop a crash cut off, goes soon after the start: with all its data,
// and only when it is certain.
func TestSweepOfGoneBuckets(t *testing.T) {
	b := newBed(t, vfs.NewMem(), 2, func(o *Options) { o.Sweep = time.Hour })
	defer func() { b.close() }()
	ctx := context.Background()
	if _, err := b.store.CreateUpload(ctx, &CreateUploadRequest{Call: b.call("up"), Bucket: b.bucket, Key: "up"}); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		b.put(fmt.Sprintf("k%d", i), pattern(i, 9000))
	}
	stays := b.bucket
	b.bucket.ID++
	b.put("newer", pattern(1, 9000))
	b.bucket = stays
	b.restart()
	verdict := func(kind cluster.Kind) {
		b.authority.set(func(a *authority) { a.refuses[b.bucket.ID] = cluster.Fail("", "", kind, "as the test wants") })
	}
	for _, m := range b.store.mounted() {
		m.recovery.Wait()
	}
	extents := func() (n int64) {
		b.drain()
		for _, m := range b.store.mounted() {
			n += m.disk.Stats().Extents
		}
		return n
	}
	verdict(cluster.KindUnavailable)
	b.store.sweepOnce(ctx)
	if n := extents(); n != 11 {
		t.Fatalf("%d extents are left of 11 while nothing is certain", n)
	}
	verdict(cluster.KindBucketNotFound)
	b.store.sweepOnce(ctx)
	if n := extents(); n != 1 {
		t.Fatalf("%d extents are left, want that of the other bucket", n)
	}
	for r, err := range b.store.Uploads(ctx, b.listRequest()) {
		t.Fatal(r, err)
	}
	if got, err := b.list(b.listRequest()); err != nil || len(got) > 0 {
		t.Fatal(got, err)
	}
	if b.failures.Load() > 0 {
		t.Fatal("that nothing is certain yet is no failure")
	}
}

// A write whose commit runs while the bucket is sealed is waited for, and counts.
func TestSealWaitsForCommits(t *testing.T) {
	watch := &ops{}
	b := newBed(t, errorfs.Wrap(vfs.NewMem(), watch), 1, nil)
	defer func() { b.close() }()
	ctx := context.Background()
	inSync, goOn := holdSync(watch)
	defer goOn()
	put := make(chan error, 1)
	go func() {
		_, err := b.store.Put(ctx, b.putRequest("k", []byte("v")))
		put <- err
	}()
	<-inSync
	b.authority.set(func(a *authority) {
		a.refuses[b.bucket.ID] = cluster.Fail("", "", cluster.KindUnavailable, "the bucket is being deleted")
	})
	type answer struct {
		empty bool
		err   error
	}
	sealed := make(chan answer, 1)
	go func() {
		empty, err := b.store.SealBucket(ctx, b.bucket.ID)
		sealed <- answer{empty, err}
	}()
	select {
	case got := <-sealed:
		t.Fatalf("sealed while a commit runs: %+v", got)
	case <-time.After(20 * time.Millisecond):
	}
	goOn()
	if err := <-put; err != nil {
		t.Fatal(err)
	}
	if got := <-sealed; got.err != nil || got.empty {
		t.Fatalf("%+v, want not empty", got)
	}
}

// A copy of an object onto itself must not bring back bytes that another write has replaced since they were read.
func TestCopyOntoItselfLosesToAWriteInBetween(t *testing.T) {
	b := newBed(t, vfs.NewMem(), 1, nil)
	defer b.close()
	ctx := context.Background()
	read := b.put("k", []byte("old"))
	b.put("k", []byte("new"))
	r := b.putRequest("k", []byte("old"))
	r.Base = read.Generation
	if _, err := b.store.Put(ctx, r); !cluster.Is(err, cluster.KindConflict) {
		t.Fatalf("the copy of what is gone: %v, want a conflict", err)
	}
	if got := b.get("k"); string(got) != "new" {
		t.Fatalf("got %q", got)
	}
	b.delete("k")
	if _, err := b.store.Put(ctx, b.again(r, []byte("old"))); !cluster.Is(err, cluster.KindConflict) {
		t.Fatalf("the copy of a deleted object: %v, want a conflict", err)
	}
	b.wantAbsent("k")
	fresh := b.putRequest("k", []byte("copy"))
	fresh.Base = b.put("k", []byte("source")).Generation
	first, err := b.store.Put(ctx, fresh)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := b.store.Put(ctx, b.again(fresh, []byte("copy"))); err != nil || second.Generation != first.Generation {
		t.Fatalf("the same request again: %v, %v; want %v", second, err, first)
	}
}
