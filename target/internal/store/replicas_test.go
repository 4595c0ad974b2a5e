package store

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/meta"
)

var errNetwork = cluster.Fail("network", "", cluster.KindUnavailable, "the message is lost")

// holders are the nodes that hold a key, the owner first.
func (s *several) holders(key string) []cluster.NodeID {
	var ids []cluster.NodeID
	for _, h := range s.active().Slot(s.slot(key)).Holders {
		ids = append(ids, h.Node)
	}
	return ids
}

// wantCopies waits until every holder has exactly one generation of a key, decided, the same everywhere.
func (s *several) wantCopies(key string, kind meta.Kind) {
	s.t.Helper()
	var want cluster.Generation
	for _, id := range s.holders(key) {
		s.eventually(fmt.Sprintf("%s at %s is decided", key, id), func() bool {
			all, doubts := s.records(id, key)
			if len(all) != 1 || doubts != 0 || all[0].Kind != kind {
				return false
			}
			if want.IsZero() {
				want = all[0].Generation
			}
			return all[0].Generation == want
		})
	}
}

// TestCopies writes every sort of place, replaces, updates and deletes, and reads it from each holder when it becomes owner.
func TestCopies(t *testing.T) {
	s := newSeveral(t, 3, 3, nil)
	for i, size := range sizes {
		key := fmt.Sprintf("k%d", i)
		s.put(key, []byte("before"))
		s.put(key, pattern(i, size))
		p, call := s.at(key, "")
		if _, err := p.store.Update(context.Background(), &UpdateRequest{
			Call: call, Bucket: s.bucket, Key: cluster.ObjectKey(key), Edit: func(m *Metadata) { m.User = []Pair{{Name: "a", Value: "b"}} },
		}); err != nil {
			t.Fatal(err)
		}
		s.put("gone"+key, pattern(i, size))
		s.remove("gone" + key)
	}
	upload := s.upload("multi", 3)
	for i := range sizes {
		s.wantCopies(fmt.Sprintf("k%d", i), meta.Current)
		s.wantCopies(fmt.Sprintf("gonek%d", i), meta.Tombstone)
	}
	s.wantCopies("multi", meta.Current)
	for range 3 {
		for i, size := range sizes {
			key := fmt.Sprintf("k%d", i)
			if got := s.get(key); !bytes.Equal(got, pattern(i, size)) {
				t.Fatalf("%s: other bytes", key)
			}
			s.wantAbsent("gone" + key)
		}
		if got := s.get("multi"); !bytes.Equal(got, upload) {
			t.Fatal("the uploaded object has other bytes")
		}
		for _, id := range []cluster.NodeID{"t1", "t2", "t3"} {
			s.promote(id, map[cluster.NodeID]cluster.NodeID{"t1": "t2", "t2": "t3", "t3": "t1"}[id])
		}
		_ = s.put("turn", []byte("x"))
	}
}

// upload makes an object of some parts and returns its bytes.
func (s *several) upload(key string, parts int) []byte {
	s.t.Helper()
	ctx := context.Background()
	p, call := s.at(key, "")
	id, err := p.store.CreateUpload(ctx, &CreateUploadRequest{Call: call, Bucket: s.bucket, Key: cluster.ObjectKey(key), Encryption: s.encryption()})
	if err != nil {
		s.t.Fatal(err)
	}
	var whole []byte
	var named []CompletePart
	for n := 1; n <= parts; n++ {
		for try := range 2 { // each is replaced once
			data := pattern(n*10+try, 3000*n)
			_, call := s.at(key, "")
			info, err := p.store.PutPart(ctx, &PutPartRequest{
				Call: call, Bucket: s.bucket, Key: cluster.ObjectKey(key), Upload: id, Number: n, Body: bytes.NewReader(data), Size: int64(len(data)),
				Encrypt: s.encryptPart,
			})
			if err != nil {
				s.t.Fatal(err)
			}
			if try == 1 {
				whole = append(whole, data...)
				named = append(named, CompletePart{Number: n, ETag: info.ETag})
			}
		}
	}
	_, call = s.at(key, "")
	_, err = p.store.Complete(ctx, &CompleteRequest{
		Call: call, Bucket: s.bucket, Key: cluster.ObjectKey(key), Upload: id, Parts: named, Size: -1, SmallParts: true,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return whole
}

// TestSilentHolder: a holder that does not answer is taken out, and the write goes on without it.
func TestSilentHolder(t *testing.T) {
	for _, message := range []string{"prepare", "stage"} {
		t.Run(message, func(t *testing.T) { silentHolder(t, message) })
	}
}

func silentHolder(t *testing.T, message string) {
	s := newSeveral(t, 3, 3, nil)
	key := s.owned("t1", 0)
	s.put(key, []byte("old"))
	s.setFault(func(_, to cluster.NodeID, m string) error {
		if to == "t3" && m == message {
			return errNetwork
		}
		return nil
	})
	want := pattern(1, 50_000)
	s.put(key, want)
	if got := s.holders(key); len(got) != 2 {
		t.Fatalf("held by %v", got)
	}
	s.wantCopies(key, meta.Current)
	s.crash("t1")
	s.promote("t1", "")
	if got := s.get(key); !bytes.Equal(got, want) {
		t.Fatal("an acknowledged write is lost")
	}
}

// TestFewestCopies: with fewer holders than the bucket asks for, a write is refused before anything is prepared.
func TestFewestCopies(t *testing.T) {
	s := newSeveral(t, 2, 2, nil)
	s.configure(func(p *cluster.BucketProps) { p.MinCopies = 2 })
	key := s.owned("t1", 0)
	s.put(key, []byte("two"))
	s.reshape(func(_ cluster.Slot, st *cluster.SlotState) bool {
		st.Holders = st.Holders[:1]
		return true
	})
	_, err := s.tryPut(key, pattern(1, 10_000), "")
	wantKind(t, err, cluster.KindUnavailable)
	if got := s.get(key); string(got) != "two" {
		t.Fatalf("%q", got)
	}
	s.admit("t2")
	if got := s.put(key, []byte("again")); got.Size != 5 {
		t.Fatal(got)
	}
}

// TestUploadMoves: an upload goes on at the next owner, also when that one got its parts by catching up.
func TestUploadMoves(t *testing.T) {
	s := newSeveral(t, 3, 2, nil)
	ctx := context.Background()
	key := s.owned("t1", 0)
	p, call := s.at(key, "")
	id, err := p.store.CreateUpload(ctx, &CreateUploadRequest{Call: call, Bucket: s.bucket, Key: cluster.ObjectKey(key)})
	if err != nil {
		t.Fatal(err)
	}
	var whole []byte
	var named []CompletePart
	for n, next := range []cluster.NodeID{"t2", "t3", "t1"} {
		data := pattern(n, 2000*(n+1)) // in the record, and in a place
		p, call := s.at(key, "")
		info, err := p.store.PutPart(ctx, &PutPartRequest{
			Call: call, Bucket: s.bucket, Key: cluster.ObjectKey(key), Upload: id, Number: n + 1, Body: bytes.NewReader(data), Size: -1,
		})
		if err != nil {
			t.Fatal(err)
		}
		whole = append(whole, data...)
		named = append(named, CompletePart{Number: n + 1, ETag: info.ETag})
		s.admit(next)
		s.eventually("in sync", func() bool {
			h, ok := s.active().Slot(s.slot(key)).Holder(next)
			return ok && h.InSync
		})
		before := s.holders(key)[0]
		s.promote(before, next)
		s.reshape(func(_ cluster.Slot, st *cluster.SlotState) bool { // only the new owner has it now
			if st.Owner() != next {
				return false
			}
			st.Holders = st.Holders[:1]
			return true
		})
	}
	p, call = s.at(key, "")
	_, err = p.store.Complete(ctx, &CompleteRequest{
		Call: call, Bucket: s.bucket, Key: cluster.ObjectKey(key), Upload: id, Parts: named, Size: -1, SmallParts: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.get(key); !bytes.Equal(got, whole) {
		t.Fatal("other bytes")
	}
}

// TestBytesSentLater: bytes that did not arrive while they were received are sent from the owner's place.
func TestBytesSentLater(t *testing.T) {
	for _, size := range []int{50_000, 300_000} { // sent when it is whole, and while it comes
		t.Run(fmt.Sprint(size), func(t *testing.T) { bytesSentLater(t, size) })
	}
}

func bytesSentLater(t *testing.T, size int) {
	s := newSeveral(t, 2, 2, nil)
	key := s.owned("t1", 0)
	failed := false
	s.setFault(func(_, _ cluster.NodeID, m string) error {
		if m == "stage" && !failed {
			failed = true
			return errNetwork
		}
		return nil
	})
	want := pattern(1, size)
	s.put(key, want)
	if got := s.holders(key); len(got) != 2 || !failed {
		t.Fatalf("a holder was taken out: %v", got)
	}
	s.crash("t1")
	s.promote("t1", "t2")
	if got := s.get(key); !bytes.Equal(got, want) {
		t.Fatal("other bytes")
	}
}

// TestSentOnce: a body goes to each other holder once, and one that lies in memory does not when it is refused.
func TestSentOnce(t *testing.T) {
	s := newSeveral(t, 3, 3, nil)
	key := s.owned("t1", 0)
	var stages, prepares atomic.Int64
	s.setFault(func(_, _ cluster.NodeID, m string) error {
		switch m {
		case "stage":
			stages.Add(1)
		case "prepare":
			prepares.Add(1)
		}
		return nil
	})
	for _, size := range []int{50_000, 100_000, 300_000} {
		stages.Store(0)
		prepares.Store(0)
		p, call := s.at(key, "")
		r := &PutRequest{Call: call, Bucket: s.bucket, Key: cluster.ObjectKey(key), Body: bytes.NewReader(pattern(1, size)), Size: int64(size)}
		r.Expect = Sums{{Type: cluster.ChecksumMD5, Value: make([]byte, 16)}}
		if _, err := p.store.Put(context.Background(), r); !cluster.Is(err, cluster.KindChecksum) {
			t.Fatalf("%d bytes that are not those: %v", size, err)
		}
		if n := stages.Load(); size <= 100_000 && n > 0 || prepares.Load() > 0 {
			t.Errorf("%d bytes that are refused were sent %d times", size, n)
		}
		stages.Store(0)
		s.put(key, pattern(2, size))
		if n := stages.Load(); n != 2 || prepares.Load() != 2 {
			t.Errorf("%d bytes were sent %d times, and prepared %d times, to two holders", size, n, prepares.Load())
		}
	}
	s.wantCopies(key, meta.Current)
}

// TestOwnerDies crashes the owner at every message of a write: what was acknowledged is there, what was not is there whole or
// not at all, and both holders agree.
func TestOwnerDies(t *testing.T) {
	for _, message := range []string{"stage", "prepare", "prepared", "decide"} {
		for _, op := range []string{"put", "delete", "create"} {
			t.Run(message+" "+op, func(t *testing.T) {
				s := newSeveral(t, 3, 3, nil)
				key := s.owned("t1", 0)
				if op != "create" {
					s.put(key, []byte("old"))
					s.wantCopies(key, meta.Current)
				}
				kill := func(from, to cluster.NodeID, m string) error {
					if from == "t1" && to == "t2" && m+"d" == message || from == "t1" && m == message {
						p := s.nodes["t1"].process
						p.mu.Lock()
						p.dead = true
						p.mu.Unlock()
						return errNetwork
					}
					return nil
				}
				if message == "prepared" {
					s.setLost(func(from, to cluster.NodeID, m string) error { return kill(from, to, m) })
				} else {
					s.setFault(kill)
				}
				want := pattern(3, 20_000)
				var err error
				if op == "delete" {
					_, err = s.tryDelete(key)
				} else {
					_, err = s.tryPut(key, want, "")
				}
				acknowledged := err == nil
				s.setFault(nil)
				s.setLost(nil)
				s.crash("t1")
				s.promote("t1", "")
				var got []byte
				s.eventually("an answer", func() bool {
					got, err = s.tryGet(key)
					return err == nil || cluster.Is(err, cluster.KindObjectNotFound)
				})
				done := op == "delete" && err != nil || op != "delete" && bytes.Equal(got, want)
				undone := op == "create" && err != nil || string(got) == "old"
				if !done && (acknowledged || !undone) {
					t.Fatalf("acknowledged %v: %d bytes, %v", acknowledged, len(got), err)
				}
				s.put(key, []byte("new"))
				s.wantCopies(key, meta.Current)
			})
		}
	}
}

// allInSync reports whether a node holds every slot in sync.
func (s *several) allInSync(id cluster.NodeID) bool {
	for i, st := range s.active().Slots {
		if cluster.Slot(i).Layout() != sharedLayout {
			continue
		}
		if h, ok := st.Holder(id); !ok || !h.InSync {
			return false
		}
	}
	return true
}

// TestCatchUp: a node that was taken out misses writes of every kind, comes back, catches up while writes go on, and is then
// all that is left.
func TestCatchUp(t *testing.T) {
	s := newSeveral(t, 3, 3, func(o *Options) { o.RetryWindow = time.Hour }) // a slow machine must not outlive it
	ctx := context.Background()
	for i, size := range sizes {
		s.put(fmt.Sprintf("k%d", i), pattern(i, size))
		s.put(fmt.Sprintf("gone%d", i), pattern(i, size))
		s.put(fmt.Sprintf("stays%d", i), pattern(i, size))
	}
	moved := s.owned("t3", 40)
	s.put(moved, []byte("owned by t3"))
	replayed := s.owned("t1", 30)
	r0 := again(s, func(r cluster.RequestID) (cluster.RequestID, error) {
		_, err := s.tryPut(replayed, []byte("zero"), r)
		return r, err
	})
	s.crash("t3")
	s.promote("t3", "")
	for i, size := range sizes {
		s.put(fmt.Sprintf("k%d", i), pattern(i+100, size))
		s.remove(fmt.Sprintf("gone%d", i))
		s.put(fmt.Sprintf("new%d", i), pattern(i+200, size))
	}
	s.put(replayed, []byte("one"))
	whole := s.upload("multi", 12)
	for _, n := range s.holders("k0") {
		if n == "t3" {
			t.Fatal("the silent holder is still one")
		}
	}
	s.start("t3")
	s.admit("t3")
	n, stop := 0, make(chan struct{})
	written := make(chan struct{})
	go func() {
		defer close(written) // also when a put fails the test, which ends this goroutine
		for ; ; n++ {
			select {
			case <-stop:
				return
			default:
				s.put(fmt.Sprintf("during%d", n%20), pattern(n, 5000))
			}
		}
	}()
	s.eventually("t3 is in sync", func() bool { return s.allInSync("t3") })
	close(stop)
	<-written
	if t.Failed() {
		return
	}
	if n == 0 {
		t.Fatal("nothing was written meanwhile")
	}
	for _, id := range []cluster.NodeID{"t1", "t2"} {
		s.promote(id, "t3")
	}
	s.crash("t1")
	s.crash("t2")
	for i, size := range sizes {
		for key, want := range map[string][]byte{"k": pattern(i+100, size), "new": pattern(i+200, size), "stays": pattern(i, size)} {
			if got := s.get(fmt.Sprintf("%s%d", key, i)); !bytes.Equal(got, want) {
				t.Fatalf("%s%d: other bytes", key, i)
			}
		}
		s.wantAbsent(fmt.Sprintf("gone%d", i))
	}
	if got := s.get("multi"); !bytes.Equal(got, whole) {
		t.Fatal("the uploaded object has other bytes")
	}
	if got := s.get(moved); string(got) != "owned by t3" {
		t.Fatalf("%q", got)
	}
	// R5: the replay of what was replaced finds itself answered, at a holder that got it by catching up.
	if _, err := s.tryPut(replayed, []byte("zero"), r0); err != nil && !cluster.Is(err, cluster.KindUnavailable) {
		t.Fatal(err)
	}
	if got := s.get(replayed); string(got) != "one" {
		t.Fatalf("a replay put the value back: %q", got)
	}
	for i := max(0, n-20); i < n; i++ {
		if got := s.get(fmt.Sprintf("during%d", i%20)); !bytes.Equal(got, pattern(i, 5000)) {
			t.Fatalf("what was written while t3 caught up: during%d has other bytes", i%20)
		}
	}
	all, err := s.store("t3").listAll(ctx, s.bucket, s.active().Version)
	if err != nil || len(all) != 3*len(sizes)+3+min(n, 20) {
		t.Fatalf("%d objects in the list, %v: %v", len(all), err, all)
	}
}

// listAll returns the keys that a node shows.
func (s *Store) listAll(ctx context.Context, bucket cluster.BucketEntry, version cluster.MapVersion) (keys []string, err error) {
	for e, err := range s.List(ctx, &ListRequest{Bucket: bucket, Map: version}) {
		if err != nil {
			return keys, err
		}
		keys = append(keys, string(e.Key))
	}
	return keys, nil
}

// TestListsOfOwners: each object is in the list of its owner and in no other.
func TestListsOfOwners(t *testing.T) {
	s := newSeveral(t, 3, 3, nil)
	want := 60
	for i := range want {
		s.put(fmt.Sprintf("k%03d", i), []byte("v"))
	}
	seen := make(map[string]cluster.NodeID)
	for _, id := range []cluster.NodeID{"t1", "t2", "t3"} {
		keys, err := s.store(id).listAll(context.Background(), s.bucket, s.active().Version)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			if seen[key] != "" || s.holders(key)[0] != id {
				t.Fatalf("%s is in the lists of %s and %s", key, seen[key], id)
			}
			seen[key] = id
		}
		if empty, err := s.store(id).SealBucket(context.Background(), s.bucket.ID); empty || err != nil {
			t.Fatalf("%s says that the bucket is empty: %v", id, err)
		}
	}
	if len(seen) != want {
		t.Fatalf("%d objects in lists", len(seen))
	}
	for key := range seen {
		s.remove(key)
	}
	for _, id := range []cluster.NodeID{"t1", "t2", "t3"} {
		s.eventually("empty", func() bool {
			empty, err := s.store(id).SealBucket(context.Background(), s.bucket.ID)
			return empty && err == nil
		})
	}
}

// TestSurplus: what is not held any more is freed.
func TestSurplus(t *testing.T) {
	s := newSeveral(t, 3, 3, nil)
	key := s.owned("t1", 0)
	s.put(key, pattern(1, 50_000))
	s.wantCopies(key, meta.Current)
	s.reshape(func(_ cluster.Slot, st *cluster.SlotState) bool {
		st.Holders = st.Holders[:2]
		return true
	})
	s.eventually("the copy is gone", func() bool {
		all, doubts := s.records("t3", key)
		return len(all) == 0 && doubts == 0
	})
	m := s.store("t3").mountpath(copyName(s.bucket.ID, cluster.ObjectKey(key)))
	if st := m.disk.Stats(); st.Extents != 0 {
		t.Fatalf("%d extents are left", st.Extents)
	}
	if got := s.get(key); !bytes.Equal(got, pattern(1, 50_000)) {
		t.Fatal("other bytes")
	}
}
