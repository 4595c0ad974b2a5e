package store

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

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
			s.eventually("t1 is in sync", func() bool { return s.allInSync("t1") })
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
