package store

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aisle-store/aisle/cluster"
)

// tell is what tests have told of every change.
func tell(event string) Notices {
	return func(_ *Info, marker bool) []Notice {
		if marker {
			event += " marker"
		}
		return []Notice{{To: "hook", Rule: "rule", Event: event, Remote: "10.0.0.1"}}
	}
}

// told returns the notices that a store would send.
func (s *Store) told(t testing.TB) []*Told {
	t.Helper()
	var all []*Told
	if err := s.Notices(context.Background(), func(ref NoticeRef, to string, at time.Time) bool {
		n, err := s.Notice(ref)
		if err != nil || to != "hook" || n != nil && !at.Equal(n.About.Modified) {
			t.Fatal(to, err)
		}
		if n != nil {
			all = append(all, n)
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestNotices tells changes of one node, over restarts, until they are sent.
func TestNotices(t *testing.T) {
	var noticed []NoticeRef
	serves := 0
	b := newBed(t, vfs.NewMem(), 2, func(o *Options) {
		o.Events.Noticed = func(ref NoticeRef, to string) { noticed = append(noticed, ref) }
		o.Events.Serves = func() { serves++ }
	})
	defer func() { b.close() }()
	put := b.putRequest("a", pattern(1, 6000))
	put.Notices, put.Owner = tell("put"), "key1"
	info, err := b.store.Put(context.Background(), put)
	if err != nil {
		t.Fatal(err)
	}
	again := *put
	again.Body = bytes.NewReader(pattern(1, 6000))
	if _, err := b.store.Put(context.Background(), &again); err != nil { // the same request: nothing new to tell
		t.Fatal(err)
	}
	for key, notices := range map[string]Notices{"silent": nil, "nobody": func(*Info, bool) []Notice { return nil }} {
		r := b.putRequest(key, nil)
		r.Notices = notices
		if _, err := b.store.Put(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
	for _, existed := range []bool{true, false} {
		r, err := b.store.Delete(context.Background(), &DeleteRequest{Call: b.call("a"), Bucket: b.bucket, Key: "a", Owner: "key2", Notices: tell("delete")})
		if err != nil || r.Existed != existed {
			t.Fatal(r, err)
		}
	}
	b.restart()
	all := b.store.told(t)
	slices.SortFunc(all, func(x, y *Told) int { return int(x.Ref.Generation.Counter) - int(y.Ref.Generation.Counter) })
	if len(all) != 2 || len(noticed) != 2 || serves != 2 {
		t.Fatalf("%d notices, %d told at once, slots served %d times", len(all), len(noticed), serves)
	}
	first, second := all[0], all[1]
	if first.Event != "put" || first.Rule != "rule" || first.Remote != "10.0.0.1" || first.Request != put.Request || first.Removed || first.About.Size != 6000 ||
		first.About.ETag != info.ETag || first.About.Owner != "key1" || first.About.Key != "a" {
		t.Errorf("%+v", first)
	}
	if second.Event != "delete" || !second.Removed || second.About.Owner != "key2" {
		t.Errorf("%+v", second)
	}
	if err := b.store.Noticed(context.Background(), []NoticeRef{first.Ref}); err != nil {
		t.Fatal(err)
	}
	if n, err := b.store.Notice(first.Ref); n != nil || err != nil {
		t.Errorf("sent, and still there: %+v, %v", n, err)
	}
	b.restart()
	if left := b.store.told(t); len(left) != 1 || left[0].Ref != second.Ref {
		t.Errorf("%+v", left)
	}
}

// TestSeveralNotices writes and deletes while owners crash, come back, catch up and move; whoever owns a slot sends what is to be told.
// Every change that was acknowledged must be told at least once.
func TestSeveralNotices(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := newSeveral(t, 3, 3, nil)
			if seed == 2 {
				s.configure(func(p *cluster.BucketProps) { p.Versioning = cluster.VersioningEnabled })
			}
			var mu sync.Mutex
			sent, acknowledged := make(map[string]int), make(map[string]bool)
			sending := func(r *rand.Rand) {
				for _, p := range s.running() {
					_ = p.store.Notices(context.Background(), func(ref NoticeRef, _ string, _ time.Time) bool {
						n, err := p.store.Notice(ref)
						if err != nil || n == nil || r.IntN(3) == 0 || p.CheckLease() != nil {
							return true
						}
						mu.Lock()
						sent[n.Event]++
						mu.Unlock()
						if r.IntN(4) > 0 { // else it has crashed in between
							_ = p.store.Noticed(context.Background(), []NoticeRef{ref})
						}
						return true
					})
				}
			}
			stop := make(chan struct{})
			var work sync.WaitGroup
			work.Go(func() {
				for r := rand.New(rand.NewPCG(seed, 3)); ; {
					select {
					case <-stop:
						return
					case <-time.After(10 * time.Millisecond):
						sending(r)
					}
				}
			})
			work.Go(func() {
				r := rand.New(rand.NewPCG(seed, 4))
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					key, event := fmt.Sprintf("k%d", r.IntN(5)), fmt.Sprintf("change %d", i)
					size := []int{10, 6000}[r.IntN(2)]
					wrote := again(s, func(request cluster.RequestID) (bool, error) {
						return s.tryChange(key, event, request, i%4 == 3, pattern(i, size))
					})
					mu.Lock()
					if wrote {
						acknowledged[event] = true
					}
					mu.Unlock()
				}
			})
			late := s.disturb(rand.New(rand.NewPCG(seed, 77)), 2*time.Second)
			s.heal()
			close(stop)
			work.Wait()
			late.Wait()
			r := rand.New(rand.NewPCG(seed, 5))
			for _, id := range nodeIDs { // each is the owner once
				sending(r)
				s.promote(id, "")
			}
			s.eventually("everything is told", func() bool {
				sending(r)
				left := 0
				for _, p := range s.running() {
					left += len(p.store.told(t))
				}
				return left == 0
			})
			twice := 0
			for event := range acknowledged {
				n := sent[event]
				if versioned := sent[event+" marker"]; n+versioned == 0 {
					t.Errorf("%s was acknowledged and never told", event)
				}
				if n > 1 {
					twice++
				}
			}
			t.Logf("%d changes, %d told more than once", len(acknowledged), twice)
		})
	}
}

// tryChange puts or deletes an object, and has that told. It reports whether anything was written.
func (s *several) tryChange(key, event string, request cluster.RequestID, remove bool, data []byte) (bool, error) {
	p, call := s.at(key, request)
	if p == nil {
		return false, errDown
	}
	var err error
	wrote := true
	if remove {
		var r DeleteResult
		r, err = p.store.Delete(context.Background(), &DeleteRequest{Call: call, Bucket: s.bucket, Key: cluster.ObjectKey(key), Notices: tell(event)})
		wrote = r.Existed
	} else {
		_, err = p.store.Put(context.Background(), &PutRequest{
			Call: call, Bucket: s.bucket, Key: cluster.ObjectKey(key), Body: bytes.NewReader(data), Size: int64(len(data)), Notices: tell(event),
		})
	}
	if err == nil && p.CheckLease() != nil {
		return false, errDown
	}
	return wrote, err
}
