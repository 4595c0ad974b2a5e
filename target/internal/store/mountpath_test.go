package store

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// quick has mountpaths checked all the time.
func quick(o *Options) { o.Health = 20 * time.Millisecond }

func (s *several) stateOf(id cluster.NodeID, mp cluster.MountpathID) cluster.MountpathState {
	n, _ := s.active().Node(id)
	for _, m := range n.Mountpaths {
		if m.ID == mp {
			return m.State
		}
	}
	return "unknown"
}

// wholeIn counts the slots of which a node has everything.
func (s *several) wholeIn(id cluster.NodeID) (slots int) {
	for _, st := range s.active().Slots {
		if h, _ := st.Holder(id); h.Whole() {
			slots++
		}
	}
	return slots
}

// spoil makes the path of a mountpath lead to something else, as when its disk is unmounted.
func (n *member) spoil(mp string) {
	if err := n.fs.Remove(mp + "/format.json"); err != nil {
		n.s.t.Fatal(err)
	}
}

// fillKeys writes keys of every sort of place through their owners, and returns what is in them.
func (s *several) fillKeys(count int) map[string][]byte {
	want := make(map[string][]byte)
	for i := range count {
		key := fmt.Sprintf("f%d", i)
		want[key] = pattern(i, sizes[i%len(sizes)])
		s.put(key, want[key])
	}
	return want
}

// TestMountpathLost: a mountpath vanishes under a target that owns slots and keeps copies. What others have is served by them, and
// brought back onto the mountpath that is left; nothing is told to be absent meanwhile, and the target stays.
func TestMountpathLost(t *testing.T) {
	s := newSeveral(t, 3, 2, quick)
	want, held := s.fillKeys(40), s.wholeIn("t1")
	for i := range 10 {
		s.put(fmt.Sprintf("gone%d", i), []byte("x"))
		s.remove(fmt.Sprintf("gone%d", i))
	}
	s.nodes["t1"].spoil("/mp2")
	s.eventually("the loss is known", func() bool { return s.stateOf("t1", "mp2") == cluster.MountpathFailed })
	if n := s.wholeIn("t1"); n != 0 {
		t.Fatalf("t1 is whole in %d slots", n)
	}
	for key := range want { // 503, or there
		p, call := s.at(key, "")
		_, err := p.store.Stat(context.Background(), &GetRequest{Call: call, Bucket: s.bucket, Key: cluster.ObjectKey(key)})
		if err != nil && !cluster.Is(err, cluster.KindUnavailable) {
			t.Fatalf("%s: %v", key, err)
		}
	}
	s.promote("t1", "")
	s.eventually("t1 has all that it holds", func() bool { return s.wholeIn("t1") == held })
	for i := range 20 { // written where the disk has failed, too
		key := fmt.Sprintf("f%d", i)
		want[key] = pattern(100+i, sizes[i%len(sizes)])
		s.put(key, want[key])
	}
	for _, id := range []cluster.NodeID{"t2", "t3"} {
		s.promote(id, "t1")
	}
	s.crash("t3")
	s.promote("t3", "")
	for key, data := range want {
		if owner, _ := s.active().Owner(s.slot(key)); owner == "t3" {
			continue
		}
		if got := s.get(key); !bytes.Equal(got, data) {
			t.Fatalf("%s: other bytes", key)
		}
	}
	for i := range 10 {
		if owner, _ := s.active().Owner(s.slot(fmt.Sprintf("gone%d", i))); owner != "t3" {
			s.wantAbsent(fmt.Sprintf("gone%d", i))
		}
	}
	if st := s.store("t1").Mountpaths(); st[0].Err != nil || st[1].Err == nil {
		t.Fatalf("%+v", st)
	}
}

// TestMountpathMissingAtStart: a target that starts without one of its mountpaths does not stay in sync.
func TestMountpathMissingAtStart(t *testing.T) {
	s := newSeveral(t, 2, 2, quick)
	want := s.fillKeys(20)
	s.crash("t1")
	s.promote("t1", "")
	s.nodes["t1"].spoil("/mp2")
	s.start("t1")
	s.eventually("the loss is known", func() bool { return s.stateOf("t1", "mp2") == cluster.MountpathFailed })
	s.admit("t1") // t2 may have accused it while it was down
	s.eventually("t1 is in sync again", func() bool { return s.allInSync("t1") })
	s.promote("t2", "t1")
	s.crash("t2")
	for key, data := range want {
		if got := s.get(key); !bytes.Equal(got, data) {
			t.Fatalf("%s: other bytes", key)
		}
	}
}

// TestOnlyCopyLost: where nobody else has what was on a mountpath, its keys are unavailable until it is back, and never absent.
func TestOnlyCopyLost(t *testing.T) {
	s := newSeveral(t, 1, 1, quick)
	want := s.fillKeys(20)
	s.stop("t1")
	if err := s.nodes["t1"].fs.Rename("/mp2/format.json", "/mp2/elsewhere"); err != nil {
		t.Fatal(err)
	}
	s.start("t1")
	s.eventually("the loss is known", func() bool { return s.stateOf("t1", "mp2") == cluster.MountpathFailed })
	lost := 0
	for key, data := range want {
		p, call := s.at(key, "")
		b := &bed{store: p.store, bucket: s.bucket}
		got, _, err := b.read(&GetRequest{Call: call, Bucket: s.bucket, Key: cluster.ObjectKey(key)})
		switch {
		case cluster.Is(err, cluster.KindUnavailable):
			lost++
		case err != nil || !bytes.Equal(got, data):
			t.Fatalf("%s: %v", key, err)
		}
	}
	if lost == 0 || lost == len(want) {
		t.Fatalf("%d of %d are unavailable", lost, len(want))
	}
	s.stop("t1")
	if err := s.nodes["t1"].fs.Rename("/mp2/elsewhere", "/mp2/format.json"); err != nil {
		t.Fatal(err)
	}
	s.start("t1")
	s.eventually("it is back", func() bool { return s.stateOf("t1", "mp2") == cluster.MountpathEnabled })
	for key, data := range want {
		if got := s.get(key); !bytes.Equal(got, data) {
			t.Fatalf("%s: other bytes", key)
		}
	}
	if h, _ := s.active().Slot(s.slot("f1")).Holder("t1"); !h.Whole() {
		t.Fatalf("%+v", h)
	}
}

// bend lets a test decide about each operation on the second mountpath of t1.
func bend(op *atomic.Pointer[func(errorfs.Op) error]) func(*Options) {
	return func(o *Options) {
		quick(o)
		o.HealthLimit = 1500 * time.Millisecond
		if o.Node != "t1" {
			return
		}
		o.FS = errorfs.Wrap(o.FS, errorfs.InjectorFunc(func(what errorfs.Op) error {
			if f := op.Load(); f != nil && strings.HasPrefix(what.Path, "/mp2") {
				return (*f)(what)
			}
			return nil
		}))
	}
}

// TestSickDisk: a disk that is mounted read-only, or does not answer, is taken out while its target lives on; what was on it comes
// from elsewhere.
func TestSickDisk(t *testing.T) {
	hang := make(chan struct{})
	for name, sick := range map[string]func(errorfs.Op) error{
		"read-only": func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
				return syscall.EROFS
			}
			return nil
		},
		"unreadable": func(errorfs.Op) error { return syscall.EIO },
		"stuck": func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
				<-hang
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			var op atomic.Pointer[func(errorfs.Op) error]
			s := newSeveral(t, 2, 2, bend(&op))
			s.dies = true
			want := s.fillKeys(20)
			op.Store(&sick)
			s.eventually("the loss is known", func() bool { return s.stateOf("t1", "mp2") == cluster.MountpathFailed })
			s.promote("t1", "")
			s.eventually("t1 is in sync", func() bool {
				if s.allInSync("t1") {
					return true
				}
				s.admit("t1") // a write may have accused it before it could say what has failed
				return false
			})
			for i := range 20 {
				key := fmt.Sprintf("f%d", i)
				want[key] = pattern(100+i, sizes[i%len(sizes)])
				s.put(key, want[key])
			}
			s.promote("t2", "t1")
			for key, data := range want {
				if got := s.get(key); !bytes.Equal(got, data) {
					t.Fatalf("%s: other bytes", key)
				}
			}
			if name == "stuck" {
				t.Cleanup(func() { close(hang) })
			}
		})
	}
}

// TestStoppedDuringCheck: a disk is not to blame when the process was stopped, or the machine slept, while it was checked.
func TestStoppedDuringCheck(t *testing.T) {
	var slept atomic.Int64
	begun, goOn := make(chan struct{}, 1), make(chan struct{})
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if slept.Load() < 0 && op.Kind == errorfs.OpCreate {
			select {
			case begun <- struct{}{}:
			default:
			}
			<-goOn
		}
		return nil
	}))
	start := time.Now()
	b := newBed(t, fs, 1, func(o *Options) {
		quick(o)
		o.Clock = func() time.Duration { return time.Since(start) + max(time.Duration(slept.Load()), 0) }
	})
	defer func() { b.close() }()
	slept.Store(-1)
	<-begun
	slept.Store(int64(time.Hour))
	time.Sleep(100 * time.Millisecond) // it is looked how long the check takes
	close(goOn)
	for b.store.mounted()[0].checking.Load() != 0 {
		time.Sleep(time.Millisecond)
	}
	if err := b.store.mounted()[0].err(); err != nil {
		t.Fatal(err)
	}
}

// TestFullHolder: a holder in sync that is full refuses a write before it is prepared anywhere, and nobody is taken out; deletes and reads
// go on. One that catches up is left out.
func TestFullHolder(t *testing.T) {
	full := &fullFS{}
	s := newSeveral(t, 3, 2, func(o *Options) {
		if o.Node == "t2" {
			full.FS = o.FS
			o.FS = full
		}
	})
	key := s.owned("t1", 0)
	s.put(key, []byte("small"))
	other := s.owned("t1", 1)
	s.put(other, pattern(1, 50_000))
	full.used.Store(99)
	for _, size := range []int{3000, 50_000, 3 << 20} {
		before := s.active().Version
		s.eventually("the disk is looked at", func() bool {
			_, err := s.tryPut(key, pattern(2, size), "")
			return cluster.Is(err, cluster.KindNoSpace)
		})
		if s.active().Version != before {
			t.Fatal("the map has changed")
		}
	}
	if got := s.get(other); !bytes.Equal(got, pattern(1, 50_000)) {
		t.Fatal("other bytes")
	}
	s.remove(other)
	s.wantAbsent(other)
	s.reshape(func(_ cluster.Slot, st *cluster.SlotState) bool { // t2 catches up
		for i, h := range st.Holders {
			if i > 0 && h.Node == "t2" {
				st.Holders[i] = cluster.Holder{Node: "t2"}
				return true
			}
		}
		return false
	})
	key = s.owned("t1", 2)
	s.put(key, pattern(3, 3000))
	if got := s.holders(key); len(got) != 1 {
		t.Fatalf("held by %v", got)
	}
	full.used.Store(1)
	s.admit("t2")
	s.eventually("t2 is in sync", func() bool {
		h, _ := s.active().Slot(s.slot(key)).Holder("t2")
		return h.InSync
	})
	s.eventually("there is space again", func() bool {
		_, err := s.tryPut(key, pattern(4, 50_000), "")
		return err == nil
	})
	s.wantCopies(key, meta.Current)
}

// TestFullHolderLeavesNothing: small bodies that one of several holders refuses for lack of space leave nothing at the others, in doubt
// or in memory; once that is known none is prepared anywhere, and the answer is definite.
func TestFullHolderLeavesNothing(t *testing.T) {
	full := &fullFS{}
	s := newSeveral(t, 3, 3, func(o *Options) {
		if o.Node == "t2" {
			full.FS = o.FS
			o.FS = full
		}
	})
	first := s.owned("t1", 0)
	s.put(first, []byte("old"))
	full.used.Store(99)
	s.eventually("the disk is looked at", func() bool {
		_, err := s.tryPut(first, []byte("new"), "")
		return cluster.Is(err, cluster.KindUnavailable) // others have it: it may go forward
	})
	var refused []string
	for i := range 20 {
		key := s.owned("t1", i+1)
		refused = append(refused, key)
		if _, err := s.tryPut(key, []byte("refused"), ""); !cluster.Is(err, cluster.KindNoSpace) {
			t.Fatalf("%s: %v", key, err)
		}
		for _, id := range []cluster.NodeID{"t1", "t3"} {
			if all, _ := s.records(id, key); len(all) > 0 {
				t.Fatalf("%s has %v", id, all[0].Ref)
			}
		}
	}
	s.eventually("what was given up is gone", func() bool {
		_, here := s.records("t1", first)
		_, there := s.records("t3", first)
		return here+there == 0 && s.store("t1").marks.Load() == 0
	})
	full.used.Store(1)
	s.eventually("there is space again", func() bool {
		_, err := s.tryPut(first, []byte("newest"), "")
		return err == nil
	})
	s.crash("t1")
	s.promote("t1", "t3")
	for _, key := range refused {
		s.wantAbsent(key)
	}
	if got := s.get(first); string(got) != "newest" {
		t.Fatalf("%q", got)
	}
}

// setStates says what the mountpaths of a node are, as an operator does.
func (s *several) setStates(id cluster.NodeID, states map[cluster.MountpathID]cluster.MountpathState) {
	s.t.Helper()
	var all []cluster.Mountpath
	for _, mp := range mountpaths(3) {
		if state, ok := states[mp.ID]; ok {
			mp.State = state
			all = append(all, mp)
		}
	}
	s.mu.Lock()
	p := s.nodes[id].process
	s.mu.Unlock()
	for {
		n, _ := s.active().Node(id)
		if err := s.remount(p, n.Remounted+1, all, false, nil); err == nil {
			return
		}
	}
}

// onThree gives every node a third mountpath, which the map does not know yet.
func onThree(o *Options) {
	quick(o)
	o.Mountpaths = mountpaths(3)
}

// where counts the keys with records on each mountpath of a node, and fails when one is on two.
func (s *several) where(id cluster.NodeID) map[cluster.MountpathID]int {
	s.t.Helper()
	st, counts, on := s.store(id), make(map[cluster.MountpathID]int), make(map[ident]cluster.MountpathID)
	defer st.hold()()
	for _, m := range st.mounted() {
		for _, kind := range meta.RecordKinds() {
			for r, err := range m.index.Scan(context.Background(), meta.Range{Kind: kind, AllBuckets: true}).All() {
				if err != nil {
					s.t.Fatal(err)
				}
				id := ident{bucket: r.Bucket, key: r.Key}
				if other, ok := on[id]; ok && other != m.ID {
					s.t.Fatalf("%s is on %s and %s", r.Key, other, m.ID)
				} else if !ok {
					on[id] = m.ID
					counts[m.ID]++
				}
			}
		}
	}
	return counts
}

// TestResilver: a mountpath is attached, another one drained, enabled again and detached, each in the end with the keys that belong there;
// everything is read, listed and written meanwhile. With one copy and with two.
func TestResilver(t *testing.T) {
	for copies := 1; copies <= 2; copies++ {
		s := newSeveral(t, copies, copies, onThree)
		want := s.fillKeys(60)
		for i := range 10 {
			s.put(fmt.Sprintf("gone%d", i), []byte("x"))
			s.remove(fmt.Sprintf("gone%d", i))
		}
		want["multi"] = s.upload("multi", 3)
		check := func() {
			t.Helper()
			for key, data := range want {
				if got := s.get(key); !bytes.Equal(got, data) {
					t.Fatalf("%s: other bytes", key)
				}
			}
			for i := range 10 {
				s.wantAbsent(fmt.Sprintf("gone%d", i))
			}
		}
		change := func(states, end map[cluster.MountpathID]cluster.MountpathState) {
			t.Helper()
			s.setStates("t1", states)
			check()
			for i := range 20 {
				key := fmt.Sprintf("f%d", i)
				want[key] = pattern(len(want[key])+i, sizes[(i+len(states))%len(sizes)])
				s.put(key, want[key])
			}
			s.eventually("the keys are where they belong", func() bool {
				n, _ := s.active().Node("t1")
				for _, mp := range n.Mountpaths {
					if state, ok := end[mp.ID]; !ok || state != mp.State {
						return false
					}
				}
				return len(n.Mountpaths) == len(end)
			})
			check()
		}
		type states = map[cluster.MountpathID]cluster.MountpathState
		change(states{"mp1": "", "mp2": "", "mp3": "filling"}, states{"mp1": "", "mp2": "", "mp3": ""})
		if on := s.where("t1"); on["mp3"] < 8 || on["mp1"] < 8 || on["mp2"] < 8 {
			t.Fatalf("%v", on)
		}
		change(states{"mp1": "draining", "mp2": "", "mp3": ""}, states{"mp1": "disabled", "mp2": "", "mp3": ""})
		if on := s.where("t1"); on["mp1"] != 0 {
			t.Fatalf("%v", on)
		}
		change(states{"mp1": "filling", "mp2": "detaching", "mp3": ""}, states{"mp1": "", "mp3": ""})
		if on := s.where("t1"); on["mp2"] != 0 || on["mp1"] < 8 {
			t.Fatalf("%v", on)
		}
		s.crash("t1")
		s.start("t1")
		if copies == 2 {
			s.promote("t2", "t1")
		}
		check()
	}
}

// TestResilverCrash cuts the power before, between and after the steps of a move, and goes on from what is on the disk then: every key
// is there, on one mountpath, and no delete is undone.
func TestResilverCrash(t *testing.T) {
	for n := range 5 {
		var clone atomic.Pointer[vfs.MemFS]
		var s *several
		calls := 0
		s = newSeveral(t, 1, 1, func(o *Options) {
			onThree(o)
			fs, _ := o.FS.(*vfs.MemFS)
			o.moving = func(string) {
				if calls++; calls == n+1 {
					clone.Store(fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(uint64(n), 1))}))
				}
			}
		})
		want := s.fillKeys(30)
		for i := range 10 {
			s.put(fmt.Sprintf("gone%d", i), []byte("x"))
			s.remove(fmt.Sprintf("gone%d", i))
		}
		s.setStates("t1", map[cluster.MountpathID]cluster.MountpathState{"mp1": "detaching", "mp2": "", "mp3": "filling"})
		s.eventually("a move was interrupted", func() bool { return clone.Load() != nil })
		s.stop("t1")
		s.nodes["t1"].fs = clone.Load()
		s.setMountpaths("t1", map[cluster.MountpathID]cluster.MountpathState{"mp1": "detaching", "mp2": "", "mp3": "filling"})
		s.start("t1")
		check := func() {
			t.Helper()
			for key, data := range want {
				if got := s.get(key); !bytes.Equal(got, data) {
					t.Fatalf("crash %d: %s: other bytes", n, key)
				}
			}
			for i := range 10 {
				s.wantAbsent(fmt.Sprintf("gone%d", i))
			}
			s.where("t1")
		}
		check()
		for i := range 10 {
			want[fmt.Sprintf("f%d", i)] = pattern(i+77, 5000)
			s.put(fmt.Sprintf("f%d", i), pattern(i+77, 5000))
		}
		s.eventually("the keys are where they belong", func() bool {
			return s.stateOf("t1", "mp1") == "unknown" && s.stateOf("t1", "mp3") == cluster.MountpathEnabled
		})
		check()
		if on := s.where("t1"); on["mp1"] != 0 || on["mp3"] == 0 {
			t.Fatalf("%v", on)
		}
	}
}

// setMountpaths sets what the map says while the node is down.
func (s *several) setMountpaths(id cluster.NodeID, states map[cluster.MountpathID]cluster.MountpathState) {
	m := s.active().Clone()
	n, _ := m.Node(id)
	n.Mountpaths = nil
	for _, mp := range mountpaths(3) {
		if state, ok := states[mp.ID]; ok {
			mp.State = state
			n.Mountpaths = append(n.Mountpaths, mp)
		}
	}
	m.Version++
	m.SetNode(n)
	s.publish(m)
}
