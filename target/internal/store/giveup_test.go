package store

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/aisle-store/aisle/cluster"
)

// TestPartBehindGivenUpComplete: a Complete that was given up goes forward in the next epoch, unless something drops it before.
// A part that is replaced meanwhile must do so, for it frees bytes that the Complete names.
func TestPartBehindGivenUpComplete(t *testing.T) {
	watch := &ops{}
	b := newBed(t, errorfs.Wrap(vfs.NewMem(), watch), 1, nil)
	defer func() { b.close() }()
	ctx := context.Background()
	b.put("k", []byte("acknowledged"))
	u := b.upload("k")
	first := u.part(1, pattern(1, 20_000))
	onLogSync(watch, func() { b.authority.set(func(a *authority) { a.lease = errors.New("the lease ended") }) })
	_, err := b.store.Complete(ctx, u.completeRequest(first))
	wantKind(t, err, cluster.KindUnavailable)
	watch.watch(nil)
	b.authority.set(func(a *authority) { a.lease = nil })

	second := u.part(1, pattern(2, 20_000))
	b.drain()
	b.restart()
	if got := b.get("k"); string(got) != "acknowledged" {
		t.Fatalf("%d bytes in the place of an object that was acknowledged", len(got))
	}
	if info, err := b.store.Complete(ctx, u.completeRequest(second)); err != nil || info.Size != 20_000 {
		t.Fatal(info, err)
	}
	if got := b.get("k"); !slices.Equal(got, pattern(2, 20_000)) {
		t.Fatal("other bytes than those of the part")
	}
}

// TestFenceIsTriedAgain: a Fence that was broken off while a commit was in flight leaves nothing behind: the next one sees
// that the slot was written meanwhile, and keeps it.
func TestFenceIsTriedAgain(t *testing.T) {
	watch := &ops{}
	b := newBed(t, errorfs.Wrap(vfs.NewMem(), watch), 1, nil)
	defer func() { b.close() }()
	inSync, goOn := holdSync(watch)
	defer goOn()
	put := make(chan error, 1)
	go func() {
		_, err := b.store.Put(context.Background(), b.putRequest("k", []byte("v")))
		put <- err
	}()
	<-inSync
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := b.store.Fence(cancelled, b.moved("k"))
	wantKind(t, err, cluster.KindUnavailable)
	goOn()
	if err := <-put; err != nil {
		t.Fatal(err)
	}
	kept, err := b.store.Fence(context.Background(), b.moved("k"))
	if want := []cluster.Slot{cluster.SlotOf(b.bucket.ID, "k")}; err != nil || !slices.Equal(kept, want) {
		t.Fatalf("the slot of an acknowledged write is given away: kept %v, %v", kept, err)
	}
	if got, err := b.list(b.listRequest()); err != nil || !slices.Equal(got, []string{"k"}) {
		t.Fatal(got, err)
	}
}

// TestActivateIsTriedAgain: nothing is settled while a commit of an earlier epoch is in flight, also when an Activate was
// broken off before.
func TestActivateIsTriedAgain(t *testing.T) {
	b := newBed(t, vfs.NewMem(), 1, nil)
	defer func() { b.close() }()
	prepared, goOn := make(chan struct{}), make(chan struct{})
	var asked atomic.Int64
	b.authority.set(func(a *authority) {
		a.onOwner = func() {
			if asked.Add(1) == 3 { // before the body, in the turn, and when the record is prepared
				close(prepared)
				<-goOn
			}
		}
	})
	put := make(chan error, 1)
	go func() {
		_, err := b.store.Put(context.Background(), b.putRequest("k", []byte("v")))
		put <- err
	}()
	<-prepared
	next := b.m.Clone()
	next.Version++
	next.Slots[cluster.SlotOf(b.bucket.ID, "k")].Epoch++
	b.authority.set(func(a *authority) { a.m = next })
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	wantKind(t, b.store.Activate(cancelled, next), cluster.KindUnavailable)
	active := make(chan error, 1)
	go func() { active <- b.store.Activate(context.Background(), next) }()
	select {
	case err := <-active:
		t.Errorf("Activate did not wait for a commit in flight: %v", err)
		active <- err
	case <-time.After(50 * time.Millisecond):
	}
	close(goOn)
	wantKind(t, <-put, cluster.KindUnavailable)
	if err := <-active; err != nil {
		t.Fatal(err)
	}
}

// R5: a request that was replaced is remembered also when its slot is stopped at that very moment.
func TestReplacedWhileTheSlotStops(t *testing.T) {
	var now atomic.Int64
	b := newBed(t, vfs.NewMem(), 1, func(o *Options) {
		o.Clock = func() time.Duration { return time.Duration(now.Load()) }
	})
	defer func() { b.close() }()
	now.Add(int64(time.Minute))
	first := b.putRequest("k", nil)
	if _, err := b.store.Put(context.Background(), first); err != nil {
		t.Fatal(err)
	}
	serving, slot := &b.store.slots.serving, cluster.SlotOf(b.bucket.ID, "k")
	epoch := serving.load(slot)
	var asked atomic.Int64
	b.authority.set(func(a *authority) {
		a.onOwner = func() {
			if asked.Add(1) == 2 { // in the turn: the slot was found served
				serving.store(slot, 0)
			}
		}
	})
	second := b.put("k", []byte("second"))
	b.authority.set(func(a *authority) { a.onOwner = nil })
	serving.store(slot, epoch)
	if info, err := b.store.Put(context.Background(), first); err != nil || info.Version != 1 || second.Version != 2 {
		t.Fatalf("a repeated request made version %+v, %v", info, err)
	}
	if got := b.get("k"); string(got) != "second" {
		t.Fatalf("a repeated request undid an acknowledged one: %q", got)
	}
}
