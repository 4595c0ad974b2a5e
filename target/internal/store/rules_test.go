package store

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// The rules of docs/consistency.md, "Writing to a slot", each with the bad history that it prevents.

// message is a prepare of an inline object, as the owner t1 of a key sends it to t2.
func (s *several) message(key string, counter uint64, data string) *PrepareRequest {
	slot := s.slot(key)
	m := s.active()
	_, epoch := m.Owner(slot)
	n, _ := m.Node("t2")
	g := cluster.Generation{Epoch: epoch, Counter: counter}
	r := &meta.Record{Ref: copyName(s.bucket.ID, cluster.ObjectKey(key)).ref(meta.Current)}
	r.Generation, r.Size, r.Inline = g, int64(len(data)), []byte(data)
	return &PrepareRequest{
		Sender: Sender{Node: "t1", Version: m.Version, Incarnation: n.Incarnation}, Slot: slot, Epoch: epoch, Generation: g, Records: []*meta.Record{r},
	}
}

func (s *several) prepareAt2(r *PrepareRequest) (*PrepareReply, error) {
	return s.store("t2").Prepare(context.Background(), r)
}

func (s *several) decideAt2(r *PrepareRequest, drop bool) {
	s.t.Helper()
	_, err := s.store("t2").Decide(context.Background(), &DecideRequest{Sender: r.Sender, Decisions: []Decision{{Refs: []meta.Ref{r.Records[0].Ref}, Drop: drop}}})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *several) wantPrepared(r *PrepareRequest) {
	s.t.Helper()
	reply, err := s.prepareAt2(r)
	if err != nil || reply.Refused || reply.Failed != "" || len(reply.Missing) > 0 {
		s.t.Fatalf("%+v, %v", reply, err)
	}
}

// TestWhoMayPrepare: a holder takes messages only of the owner, under the epoch of now, for the process that it is (R1, R7).
func TestWhoMayPrepare(t *testing.T) {
	s := newSeveral(t, 3, 2, nil)
	key := s.owned("t1", 0)
	if s.holders(key)[1] != "t2" {
		t.Fatal(s.holders(key))
	}
	f := func(what string, change func(*PrepareRequest)) {
		t.Helper()
		r := s.message(key, 1, "v")
		change(r)
		reply, err := s.prepareAt2(r)
		if err == nil && !reply.Refused {
			t.Errorf("%s: %+v", what, reply)
		}
		if all, _ := s.records("t2", key); len(all) > 0 {
			t.Errorf("%s: it was inserted", what)
		}
	}
	f("another sender", func(r *PrepareRequest) { r.Node = "t3" })
	f("an earlier process", func(r *PrepareRequest) { r.Incarnation++ })
	f("another epoch", func(r *PrepareRequest) {
		r.Epoch++
		r.Generation.Epoch++
		r.Records[0].Generation.Epoch++
	})
	f("a generation of another epoch", func(r *PrepareRequest) { r.Records[0].Generation.Epoch-- })
	f("a slot that is not held", func(r *PrepareRequest) {
		s.reshape(func(_ cluster.Slot, st *cluster.SlotState) bool {
			st.Holders = st.Holders[:1]
			return true
		})
		_, epoch := s.active().Owner(r.Slot)
		r.Epoch, r.Generation.Epoch, r.Records[0].Generation.Epoch = epoch, epoch, epoch
	})
}

// TestPreparedIsHidden: what a holder has is shown to nobody, whatever it is.
func TestPreparedIsHidden(t *testing.T) {
	s := newSeveral(t, 3, 2, nil)
	key := s.owned("t1", 0)
	s.wantPrepared(s.message(key, 1, "v"))
	_, epoch := s.active().Owner(s.slot(key))
	st := s.store("t2")
	_, err := st.Open(context.Background(), &GetRequest{Call: Call{Epoch: epoch}, Bucket: s.bucket, Key: cluster.ObjectKey(key)})
	wantKind(t, err, cluster.KindUnavailable)
	keys, err := st.listAll(context.Background(), s.bucket, s.active().Version)
	if err != nil || len(keys) > 0 {
		t.Fatal(keys, err)
	}
}

// TestSameGeneration (R10): a message that comes twice is answered twice; the same generation with other content is refused.
func TestSameGeneration(t *testing.T) {
	s := newSeveral(t, 3, 2, nil)
	key := s.owned("t1", 0)
	s.wantPrepared(s.message(key, 5, "one"))
	s.wantPrepared(s.message(key, 5, "one"))
	_, err := s.prepareAt2(s.message(key, 5, "two"))
	wantKind(t, err, cluster.KindConflict)
	all, _ := s.records("t2", key)
	if len(all) != 1 || string(all[0].Inline) != "one" {
		t.Fatalf("%d records", len(all))
	}
}

// TestLatePrepare: a prepare below what is visible is answered, not inserted; one below something in doubt is refused, for its turn
// has ended (R11).
func TestLatePrepare(t *testing.T) {
	s := newSeveral(t, 3, 2, nil)
	key := s.owned("t1", 0)
	five := s.message(key, 5, "five")
	s.wantPrepared(five)
	_, err := s.prepareAt2(s.message(key, 3, "three"))
	wantKind(t, err, cluster.KindConflict)
	s.wantPrepared(five)
	if all, doubts := s.records("t2", key); len(all) != 1 || doubts != 1 {
		t.Fatalf("%d records, %d in doubt", len(all), doubts)
	}
	s.decideAt2(five, false)
	if all, doubts := s.records("t2", key); len(all) != 1 || doubts != 0 {
		t.Fatalf("%d records, %d in doubt", len(all), doubts)
	}
	s.wantPrepared(s.message(key, 4, "four"))
	if all, doubts := s.records("t2", key); len(all) != 1 || doubts != 0 || string(all[0].Inline) != "five" {
		t.Fatalf("%d records, %d in doubt", len(all), doubts)
	}
}

// TestDecisionsDropOnlyBelow: what is visible removes older generations, never a newer one; a generation that is not here
// removes nothing; dropping removes one generation, and only while it is in doubt.
func TestDecisionsDropOnlyBelow(t *testing.T) {
	s := newSeveral(t, 3, 2, nil)
	key := s.owned("t1", 0)
	one, two, three := s.message(key, 1, "one"), s.message(key, 2, "two"), s.message(key, 3, "three")
	for _, r := range []*PrepareRequest{one, two, three} {
		s.wantPrepared(r)
	}
	s.decideAt2(s.message(key, 4, "four"), false)
	if all, doubts := s.records("t2", key); len(all) != 3 || doubts != 3 {
		t.Fatalf("a generation that is not here: %d records, %d in doubt", len(all), doubts)
	}
	s.decideAt2(two, false)
	if all, doubts := s.records("t2", key); len(all) != 2 || doubts != 1 || all[0].Generation != three.Generation {
		t.Fatalf("visible: %d records, %d in doubt", len(all), doubts)
	}
	s.decideAt2(two, true)
	s.decideAt2(three, true)
	if all, doubts := s.records("t2", key); len(all) != 1 || doubts != 0 || all[0].Generation != two.Generation {
		t.Fatalf("dropped: %d records, %d in doubt", len(all), doubts)
	}
}

// TestForgetTakesOlder (R6): the holder missed that a DELETE is visible; when its tombstone is forgotten, the older record
// must not stay, or it would be an object again. (R7): not in the tombstone's own epoch, and a late copy of the older prepare
// is refused afterwards.
func TestForgetTakesOlder(t *testing.T) {
	s := newSeveral(t, 3, 2, nil)
	key := s.owned("t1", 0)
	one := s.message(key, 1, "one")
	s.wantPrepared(one)
	s.decideAt2(one, false)
	grave := s.message(key, 2, "")
	grave.Records[0].Kind, grave.Records[0].Inline = meta.Tombstone, nil
	s.wantPrepared(grave)
	ctx := context.Background()
	forget := &ForgetRequest{Sender: grave.Sender, Refs: []meta.Ref{grave.Records[0].Ref}}
	if _, err := s.store("t2").Forget(ctx, forget); !cluster.Is(err, cluster.KindUnavailable) {
		t.Fatalf("forgotten in its own epoch: %v", err)
	}
	s.reshape(func(cluster.Slot, *cluster.SlotState) bool { return true })
	forget.Version = s.active().Version
	if st, err := s.store("t2").Forget(ctx, forget); err != nil || st.Refused {
		t.Fatal(st, err)
	}
	if all, doubts := s.records("t2", key); len(all) != 0 || doubts != 0 {
		t.Fatalf("%d records are left", len(all))
	}
	if reply, err := s.prepareAt2(one); err == nil && !reply.Refused {
		t.Fatal("a late copy of the prepare is taken")
	}
	if all, _ := s.records("t2", key); len(all) != 0 {
		t.Fatal("the DELETE is undone")
	}
}

// TestAnswerOfAnEarlierProcess (R1): a holder prepares, answers, crashes and comes back; the answer must not count.
func TestAnswerOfAnEarlierProcess(t *testing.T) {
	s := newSeveral(t, 2, 2, nil)
	key := s.owned("t1", 0)
	s.put(key, []byte("old"))
	before := s.active().Slot(s.slot(key)).Epoch
	once := false
	s.setLost(func(from, to cluster.NodeID, m string) error {
		if from == "t1" && m == "prepare" && !once {
			once = true
			s.setLost(nil)
			s.crash("t2")
			s.start("t2")
		}
		return nil
	})
	s.put(key, []byte("new"))
	all, _ := s.records("t2", key)
	if len(all) == 0 || all[0].Generation.Epoch <= before || string(all[0].Inline) != "new" {
		t.Fatalf("acknowledged on the word of a process that is gone: %v", all)
	}
	s.crash("t1")
	s.promote("t1", "t2")
	if got := s.get(key); string(got) != "new" {
		t.Fatalf("%q", got)
	}
}

// TestHolderAdmittedDuringWrite (R3): a holder that is admitted while a write is under way must have it before it is
// acknowledged, and under a generation of its admission or later (R4).
func TestHolderAdmittedDuringWrite(t *testing.T) {
	for _, shared := range []int{1, 2} {
		s := newSeveral(t, 3, shared, nil)
		key := s.owned("t1", 0)
		hook := func() {
			s.held = true
			s.admit("t3")
		}
		want := pattern(1, 10_000)
		p, call := s.at(key, "")
		info, err := p.store.Put(context.Background(), &PutRequest{
			Call: call, Bucket: s.bucket, Key: cluster.ObjectKey(key), Size: -1, Body: &admitting{Reader: bytes.NewReader(want), store: p.store, hook: hook, key: copyName(s.bucket.ID, cluster.ObjectKey(key))},
		})
		if cluster.Is(err, cluster.KindUnavailable) {
			continue // refused before anything was prepared: the gateway comes again
		}
		if err != nil {
			t.Fatal(err)
		}
		if h, _ := s.active().Slot(s.slot(key)).Holder("t3"); info.Generation.Epoch < h.Admitted {
			t.Fatalf("generation %s is older than the admission %d", info.Generation, h.Admitted)
		}
		if all, _ := s.records("t3", key); len(all) == 0 {
			t.Fatal("acknowledged without the new holder")
		}
	}
}

// admitting calls its hook when the body ends.
type admitting struct {
	*bytes.Reader
	store *Store
	hook  func()
	key   name
}

func (a *admitting) Read(p []byte) (int, error) {
	n, err := a.Reader.Read(p)
	if err != nil && a.hook != nil {
		a.hook()
		a.hook = nil
	}
	return n, err
}

// TestAdmittedBetweenPrepareAndVisible (R3): the map changes when all have prepared, before the owner looks.
func TestAdmittedBetweenPrepareAndVisible(t *testing.T) {
	s := newSeveral(t, 3, 2, nil)
	key := s.owned("t1", 0)
	s.setLost(func(from, _ cluster.NodeID, m string) error {
		if from == "t1" && m == "prepare" {
			s.setLost(nil)
			s.admit("t3")
		}
		return nil
	})
	want := pattern(1, 10_000)
	info := s.put(key, want)
	h, _ := s.active().Slot(s.slot(key)).Holder("t3")
	if all, _ := s.records("t3", key); len(all) == 0 || info.Generation.Epoch < h.Admitted {
		t.Fatalf("acknowledged by the holders of before: %s, admitted %d, %d records", info.Generation, h.Admitted, len(all))
	}
	s.wantCopies(key, meta.Current)
	s.eventually("t3 is in sync", func() bool {
		h, _ := s.active().Slot(s.slot(key)).Holder("t3")
		return h.InSync
	})
	s.promote("t1", "t3")
	if got := s.get(key); !bytes.Equal(got, want) {
		t.Fatal("the acknowledged write is lost")
	}
}

// TestPageFromBefore (R2, R4): a page is on its way to a node that catches up while a newer write is prepared there. The
// write stays, and is there when the node is in sync.
func TestPageFromBefore(t *testing.T) {
	s := newSeveral(t, 3, 2, nil)
	s.reshape(func(_ cluster.Slot, st *cluster.SlotState) bool {
		st.Holders = st.Holders[:1]
		return true
	})
	key, gone, fresh := s.owned("t1", 0), s.owned("t1", 1), s.owned("t1", 2)
	s.put(key, []byte("old"))
	s.put(gone, []byte("old"))
	since := s.owned("t1", 3)
	s.setFault(func(from, to cluster.NodeID, m string) error {
		if from == "t2" && to == "t1" && m == "pull" {
			s.setFault(nil)
			s.put(since, []byte("written since the admission"))
			s.wantCopies(since, meta.Current)
		}
		return nil
	})
	once := false
	s.setLost(func(from, to cluster.NodeID, m string) error {
		if from == "t2" && to == "t1" && m == "pull" && !once {
			once = true
			s.setLost(nil)
			s.remove(since)
			s.wantCopies(since, meta.Tombstone)
			s.put(key, []byte("new"))
			s.put(fresh, []byte("new"))
			s.remove(gone)
		}
		return nil
	})
	s.admit("t2")
	s.eventually("t2 is in sync", func() bool {
		h, _ := s.active().Slot(s.slot(key)).Holder("t2")
		return h.InSync
	})
	if !once {
		t.Fatal("no page came")
	}
	s.crash("t1")
	s.promote("t1", "t2")
	if got := s.get(key); string(got) != "new" {
		t.Fatalf("%q", got)
	}
	if got := s.get(fresh); string(got) != "new" {
		t.Fatalf("%q", got)
	}
	s.wantAbsent(gone)
	s.wantAbsent(since)
}

// TestHigherLeftover (R4): a node comes back with a prepared generation that was never acknowledged and is higher than what the
// owner shows. It is dropped.
func TestHigherLeftover(t *testing.T) {
	s := newSeveral(t, 2, 2, nil)
	key := s.owned("t1", 0)
	s.put(key, []byte("old"))
	s.wantCopies(key, meta.Current)
	s.setFault(func(from, _ cluster.NodeID, m string) error {
		if from == "t1" && m == "prepare" {
			return errNetwork
		}
		return nil
	})
	s.held = true
	p, call := s.at(key, "")
	done := make(chan error, 1)
	go func() {
		_, err := p.store.Put(context.Background(), &PutRequest{Call: call, Bucket: s.bucket, Key: cluster.ObjectKey(key), Body: bytes.NewReader([]byte("never")), Size: 5})
		done <- err
	}()
	s.eventually("it is durable here, and t2 does not answer", func() bool { return p.accused.Load() > 0 })
	s.crash("t1")
	<-done
	s.held = false
	s.promote("t1", "t2")
	s.setFault(nil)
	if got := s.get(key); string(got) != "old" {
		t.Fatalf("%q", got)
	}
	s.reshape(func(_ cluster.Slot, st *cluster.SlotState) bool {
		if st.Owner() != "t2" {
			return false
		}
		st.Holders = st.Holders[:1]
		return true
	})
	s.start("t1")
	s.admit("t1")
	s.eventually("t1 is in sync", func() bool { return s.allInSync("t1") })
	s.crash("t2") // nobody is left who could say that it was never acknowledged
	s.promote("t2", "t1")
	if got := s.get(key); string(got) != "old" {
		t.Fatalf("a write that was never acknowledged overtook: %q", got)
	}
}

// TestSettleAsks: a write is prepared at one of two other holders when the owner dies. What the next owner shows, the one after
// it must show, too.
func TestSettleAsks(t *testing.T) {
	s := newSeveral(t, 3, 3, nil)
	key := s.owned("t1", 0)
	s.put(key, []byte("old"))
	s.wantCopies(key, meta.Current)
	s.setFault(func(from, to cluster.NodeID, m string) error {
		if from == "t1" && to == "t3" && m == "prepare" {
			return errNetwork
		}
		return nil
	})
	s.held = true
	p, call := s.at(key, "")
	done := make(chan error, 1)
	go func() {
		_, err := p.store.Put(context.Background(), &PutRequest{Call: call, Bucket: s.bucket, Key: cluster.ObjectKey(key), Body: bytes.NewReader([]byte("new")), Size: 3})
		done <- err
	}()
	s.eventually("it is prepared at t2", func() bool {
		all, doubts := s.records("t2", key)
		return len(all) == 2 && doubts == 1
	})
	s.crash("t1")
	<-done
	s.held = false
	s.setFault(nil)
	s.promote("t1", "t2")
	shown := s.get(key)
	s.crash("t2")
	s.promote("t2", "t3")
	if got := s.get(key); !bytes.Equal(got, shown) {
		t.Fatalf("%q was shown, and then %q", shown, got)
	}
}

// TestPullDuringCommit (R3): a commit has found that all holders of its epoch have answered, and is about to become visible,
// when a holder is admitted. The write is acknowledged without it, so what it catches up from must have the write.
func TestPullDuringCommit(t *testing.T) {
	s := newSeveral(t, 3, 2, nil)
	key := s.owned("t1", 0)
	p, _ := s.at(key, "")
	admit := func() {
		s.admit("t3")
		for begun := time.Now(); time.Since(begun) < 300*time.Millisecond; time.Sleep(time.Millisecond) {
			if h, _ := s.active().Slot(s.slot(key)).Holder("t3"); h.InSync {
				return
			}
		}
	}
	s.setLost(func(from, _ cluster.NodeID, m string) error {
		if from == "t1" && m == "prepare" {
			s.setLost(nil)
			p.looked.Store(&admit)
		}
		return nil
	})
	s.put(key, []byte("new"))
	s.eventually("t3 is in sync", func() bool {
		h, _ := s.active().Slot(s.slot(key)).Holder("t3")
		return h.InSync
	})
	s.promote("t1", "t3")
	if got := s.get(key); string(got) != "new" {
		t.Fatalf("%q", got)
	}
}

// TestReadBeforeSettling: a read that begins at the next owner before that has settled, and ends when the slot is served, must
// not show what was before an acknowledged write.
func TestReadBeforeSettling(t *testing.T) {
	s := newSeveral(t, 3, 2, nil)
	key := s.owned("t1", 0)
	s.put(key, []byte("old"))
	s.wantCopies(key, meta.Current)
	next := s.holders(key)[1]
	s.setFault(func(_, _ cluster.NodeID, m string) error {
		if m == "decide" {
			return errNetwork // the other holder has the delete in doubt
		}
		return nil
	})
	s.remove(key)
	s.crash("t1")
	s.setFault(nil)
	st := s.store(next)
	_, epoch := s.active().Owner(s.slot(key))
	r := &GetRequest{Call: Call{Epoch: epoch + 1}, Bucket: s.bucket, Key: cluster.ObjectKey(key)}
	n := name{bucket: &r.Bucket, key: r.Key}
	slow := func(index *meta.Index, ref meta.Ref, hidden func(cluster.Generation) bool) (*meta.Record, error) {
		record, err := index.Get(ref, hidden)
		s.promote("t1", next)
		s.eventually("the slot is served", func() bool {
			_, epoch := s.active().Owner(s.slot(key))
			r.Epoch = epoch
			return st.check("test", n, s.slot(key), epoch) == nil
		})
		return record, err
	}
	if record, err := st.find("test", n, st.mountpath(n), slow, r); !cluster.Is(err, cluster.KindUnavailable) && !cluster.Is(err, cluster.KindObjectNotFound) {
		t.Fatalf("a read showed %+v after a delete: %v", record, err)
	}
}

// TestRepliesOfGivenUpChanges: what stood beside a change that was given up, the request that it was to replace, stays. It does
// not count as the change: a new owner that still has that in doubt drops it, as the others have.
func TestRepliesOfGivenUpChanges(t *testing.T) {
	s := newSeveral(t, 3, 3, nil)
	key := s.owned("t1", 0)
	first := s.put(key, []byte("first"))
	if _, err := s.tryPut(key, []byte("second"), ""); err != nil {
		t.Fatal(err)
	}
	m := s.active()
	prepare := func(to cluster.NodeID) *PrepareRequest {
		r := s.message(key, 1<<40, "given up")
		n, _ := m.Node(to)
		r.Incarnation = n.Incarnation
		beside := &meta.Record{Ref: copyName(s.bucket.ID, cluster.ObjectKey(key)).ref(meta.Replaced)}
		beside.Generation, beside.Upload, beside.ETag = r.Generation, "the request of the second", first.ETag
		r.Beside = []*meta.Record{beside}
		reply, err := s.store(to).Prepare(context.Background(), r)
		if err != nil || reply.Refused || len(reply.Missing) > 0 || len(reply.Doubts) > 0 {
			t.Fatalf("%+v, %v", reply, err)
		}
		return r
	}
	s.eventually("the others have heard of the second write", func() bool {
		_, at2 := s.records("t2", key)
		_, at3 := s.records("t3", key)
		return at2+at3 == 0
	})
	r := prepare("t2")
	prepare("t3")
	s.decideAt2(r, true)
	s.crash("t1")
	s.promote("t1", "t3")
	if got := s.get(key); string(got) != "second" {
		t.Fatalf("t3 shows %q, which t2 does not have", got)
	}
	s.wantCopies(key, meta.Current)
}
