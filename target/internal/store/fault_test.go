package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/aisle-store/aisle/cluster"
)

// truth is what a client knows: the values that each key may have. One, once it was acknowledged or read; more, while an
// operation runs or when its outcome is unknown. A nil value is absence.
type truth struct {
	mu     sync.Mutex
	values map[string][]*value
}

type value struct {
	data []byte
	note string // a user metadata value
}

func (v *value) equal(w *value) bool {
	if v == nil || w == nil {
		return v == w
	}
	return v.note == w.note && bytes.Equal(v.data, w.data)
}

func (v *value) String() string {
	if v == nil {
		return "absent"
	}
	return fmt.Sprintf("%d bytes %x %q", len(v.data), v.data[:min(4, len(v.data))], v.note)
}

func newTruth() *truth { return &truth{values: make(map[string][]*value)} }

func (u *truth) of(key string) []*value {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.known(key)
}

func (u *truth) known(key string) []*value {
	if v, ok := u.values[key]; ok {
		return v
	}
	return []*value{nil}
}

// may notes that an operation which makes the key have that value has begun.
func (u *truth) may(key string, v *value) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.values[key] = append(slices.Clone(u.known(key)), v)
}

// is notes that the key was seen to have that value, or that a write of it was acknowledged.
func (u *truth) is(key string, v *value) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.values[key] = []*value{v}
}

func (u *truth) clone() *truth {
	u.mu.Lock()
	defer u.mu.Unlock()
	return &truth{values: maps.Clone(u.values)}
}

// try runs an operation that gives a key a value, and notes what is known after it.
func (u *truth) try(key string, v *value, op func() error) error {
	u.may(key, v)
	err := op()
	if err == nil {
		u.is(key, v)
	}
	return err
}

// look reads a key as a client does.
func (b *bed) look(key string) (*value, error) {
	data, info, err := b.read(b.getRequest(key))
	if cluster.Is(err, cluster.KindObjectNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	v := &value{data: data}
	for _, p := range info.User {
		v.note = p.Value
	}
	return v, nil
}

// check reads every key, demands that it has a value it may have, and that lists agree.
func (b *bed) check(u *truth) error {
	var present []string
	for _, key := range slices.Sorted(maps.Keys(u.values)) {
		got, err := b.look(key)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		if !slices.ContainsFunc(u.of(key), got.equal) {
			return fmt.Errorf("%s has %s, want one of %v", key, got, u.of(key))
		}
		u.is(key, got)
		if got != nil {
			present = append(present, key)
		}
	}
	listed, err := b.list(b.listRequest())
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	if !slices.Equal(listed, present) {
		return fmt.Errorf("list is %q, want %q", listed, present)
	}
	return nil
}

// script runs one of each write, over each sort of place. Errors are noted, not fatal: the next step goes on.
func (b *bed) script(u *truth) []error {
	var errs []error
	note := func(step string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", step, err))
		}
	}
	seed := 0
	put := func(key string, size int) {
		seed++
		v := &value{data: pattern(seed, size)}
		note("put "+key, u.try(key, v, func() error {
			_, err := b.store.Put(context.Background(), b.putRequest(key, v.data))
			return err
		}))
	}
	del := func(key string) {
		note("delete "+key, u.try(key, nil, func() error {
			_, err := b.store.Delete(context.Background(), &DeleteRequest{Call: b.call(key), Bucket: b.bucket, Key: cluster.ObjectKey(key)})
			return err
		}))
	}
	put("inline", 100)
	put("extent", 20_000)
	put("blob", 300_000)
	put("inline", 30_000)
	put("extent", 200)
	note("update", b.tryUpdate(u, "inline", "noted"))
	del("blob")
	put("blob", 290_000)
	del("extent")
	note("multipart", b.tryMultipart(u, "parts", &seed))
	put("parts", 10)
	note("multipart", b.tryMultipart(u, "inline", &seed))
	b.drainQuietly()
	return errs
}

func (b *bed) drainQuietly() {
	for _, m := range b.store.mounted() {
		if m.cleaner != nil && m.err() == nil {
			_ = m.cleaner.drain(context.Background())
		}
	}
}

func (b *bed) tryUpdate(u *truth, key, note string) error {
	known := u.of(key)
	if len(known) != 1 || known[0] == nil {
		return nil
	}
	return u.try(key, &value{data: known[0].data, note: note}, func() error {
		_, err := b.store.Update(context.Background(), &UpdateRequest{
			Call: b.call(key), Bucket: b.bucket, Key: cluster.ObjectKey(key),
			Edit: func(m *Metadata) { m.User = []Pair{{Name: "note", Value: note}} },
		})
		return err
	})
}

func (b *bed) tryMultipart(u *truth, key string, seed *int) error {
	ctx, k := context.Background(), cluster.ObjectKey(key)
	id, err := b.store.CreateUpload(ctx, &CreateUploadRequest{Call: b.call(key), Bucket: b.bucket, Key: k})
	if err != nil {
		return err
	}
	v := &value{}
	var parts []CompletePart
	for n, size := range []int{30_000, 280_000, 50, 999} {
		*seed++
		data := pattern(*seed, size)
		info, err := b.store.PutPart(ctx, &PutPartRequest{
			Call: b.call(key), Bucket: b.bucket, Key: k, Upload: id, Number: n + 1, Body: bytes.NewReader(data), Size: -1,
		})
		if err != nil {
			return err
		}
		if n != 3 { // the last one is not used
			parts = append(parts, CompletePart{Number: n + 1, ETag: info.ETag})
			v.data = append(v.data, data...)
		}
	}
	return u.try(key, v, func() error {
		_, err := b.store.Complete(ctx, &CompleteRequest{Call: b.call(key), Bucket: b.bucket, Key: k, Upload: id, Parts: parts, Size: -1, SmallParts: true})
		return err
	})
}

// ops calls a function for every operation on a file system, with its number.
type ops struct {
	count atomic.Int64
	on    atomic.Pointer[func(n int64, op errorfs.Op) error]
}

func (o *ops) MaybeError(op errorfs.Op) error {
	f := o.on.Load()
	if f == nil {
		return nil
	}
	return (*f)(o.count.Add(1), op)
}

func (o *ops) String() string { return "ops" }

func (o *ops) watch(f func(n int64, op errorfs.Op) error) {
	o.count.Store(0)
	if f == nil {
		o.on.Store(nil)
		return
	}
	o.on.Store(&f)
}

// changes reports whether an operation changes what a crash leaves.
func changes(op errorfs.Op) bool {
	switch op.Kind {
	case errorfs.OpCreate, errorfs.OpLink, errorfs.OpRemove, errorfs.OpRename, errorfs.OpReuseForWrite, errorfs.OpMkdirAll,
		errorfs.OpFileWrite, errorfs.OpFileWriteAt, errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo, errorfs.OpFileFlush,
		errorfs.OpFilePreallocate:
		return true
	}
	return false
}

// TestCrash crashes before every change of the file system that the script makes: what was acknowledged is there bit for
// bit, what was not is there whole or not at all, and it stays so.
func TestCrash(t *testing.T) {
	for _, unsynced := range []int{0, 50} {
		t.Run(fmt.Sprintf("unsynced %d", unsynced), func(t *testing.T) {
			step := int64(1)
			if testing.Short() {
				step = 7
			}
			n := int64(1)
			for ; crashAt(t, n, unsynced); n += step {
			}
			t.Logf("crashed before each of %d changes", n)
		})
	}
}

// crashAt returns false when the script ends before its n-th change.
func crashAt(t *testing.T, n int64, unsynced int) bool {
	mem, watch := vfs.NewCrashableMem(), &ops{}
	b := newBed(t, errorfs.Wrap(mem, watch), 2, nil)
	u := newTruth()
	var crashed *vfs.MemFS
	var known *truth
	var changed atomic.Int64
	watch.watch(func(_ int64, op errorfs.Op) error {
		if changes(op) && changed.Add(1) == n {
			known = u.clone()
			crashed = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: rand.New(rand.NewPCG(uint64(n), 1))})
		}
		return nil
	})
	if errs := b.script(u); len(errs) > 0 {
		t.Fatal(errs)
	}
	watch.watch(nil)
	b.close()
	if crashed == nil {
		return false
	}
	b.fs = crashed
	for i := range 2 {
		b.start()
		if err := b.check(known); err != nil {
			t.Fatalf("crash before change %d, start %d: %v", n, i+1, err)
		}
		if b.corrupt.Load() > 0 || b.failures.Load() > 0 {
			t.Fatalf("crash before change %d: %d corruptions, %d failures", n, b.corrupt.Load(), b.failures.Load())
		}
		b.close()
	}
	return true
}

// TestFailOperation fails the n-th operation of the file system for n = 1, 2, …: every step of the script ends well or with
// an error, what can be read is right at once, and after a restart.
func TestFailOperation(t *testing.T) {
	step := int64(1)
	if testing.Short() {
		step = 11
	}
	n := int64(1)
	for ; failAt(t, n); n += step {
	}
	t.Logf("failed each of %d operations", n)
}

func failAt(t *testing.T, n int64) bool {
	mem, watch := vfs.NewCrashableMem(), &ops{}
	b := newBed(t, errorfs.Wrap(mem, watch), 1, nil)
	b.dies = true
	u := newTruth()
	var failed atomic.Pointer[errorfs.Op]
	watch.watch(func(i int64, op errorfs.Op) error {
		if i == n {
			failed.Store(&op)
			return errorfs.ErrInjected
		}
		return nil
	})
	errs := b.script(u)
	watch.watch(nil)
	what := "nothing"
	if op := failed.Load(); op != nil {
		what = fmt.Sprintf("%v %s", op.Kind, op.Path)
	}
	if failed.Load() == nil && len(errs) > 0 {
		t.Fatalf("errors without a fault: %v", errs)
	}
	for _, err := range errs {
		if kind := cluster.KindOf(err); kind == cluster.KindObjectNotFound || kind == cluster.KindCorrupt {
			t.Fatalf("operation %d (%s) failed: %v", n, what, err)
		}
	}
	if err := b.check(u); err != nil && !errors.Is(err, errorfs.ErrInjected) && !cluster.Is(err, cluster.KindUnavailable) {
		t.Fatalf("operation %d (%s) failed: %v", n, what, err)
	}
	_ = b.store.Close() // may well fail: the index may be dead
	// As after kill -9: a process with a dead index holds its locks until it ends.
	b.fs = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
	b.start()
	if err := b.check(u); err != nil {
		t.Fatalf("operation %d (%s) failed, and after a restart: %v", n, what, err)
	}
	b.close()
	return failed.Load() != nil
}
