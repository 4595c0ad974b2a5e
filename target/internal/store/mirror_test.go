package store

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/aisle-store/aisle/cluster"
)

// mirrorNotes is what a node keeps of its mirrors: as its state directory does.
type mirrorNotes struct {
	mu     sync.Mutex
	all    []cluster.Mountpath                           // guarded by mu
	inStep map[cluster.MountpathID][]cluster.MountpathID // guarded by mu
	listed map[cluster.MountpathID]bool                  // guarded by mu: the map has had it
	gone   map[cluster.MountpathID]bool                  // guarded by mu: ... and has it no more

	crashed bool // guarded by mu: nothing is kept any more
}

// next is what the next process finds.
func (r *mirrorNotes) next() *mirrorNotes {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := &mirrorNotes{
		inStep: make(map[cluster.MountpathID][]cluster.MountpathID), listed: make(map[cluster.MountpathID]bool), gone: make(map[cluster.MountpathID]bool),
	}
	for _, mp := range r.all {
		if !r.gone[mp.ID] {
			c.all, c.inStep[mp.ID], c.listed[mp.ID] = append(c.all, mp), r.inStep[mp.ID], r.listed[mp.ID]
		}
	}
	return c
}

func (r *mirrorNotes) unlisted(known []cluster.Mountpath) []cluster.Mountpath {
	var fresh []cluster.Mountpath
	for _, mp := range r.all {
		if !slices.ContainsFunc(known, func(k cluster.Mountpath) bool { return k.ID == mp.ID }) {
			mp.State = cluster.MountpathFilling
			fresh = append(fresh, mp)
		}
	}
	return fresh
}

func (r *mirrorNotes) follow(now []cluster.Mountpath) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, mp := range r.all {
		in := slices.ContainsFunc(now, func(k cluster.Mountpath) bool { return k.ID == mp.ID })
		r.gone[mp.ID] = r.gone[mp.ID] || r.listed[mp.ID] && !in
		r.listed[mp.ID] = r.listed[mp.ID] || in
	}
}

func (r *mirrorNotes) Sides(id cluster.MountpathID) []cluster.MountpathID {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone[id] {
		return nil
	}
	return r.inStep[id]
}

func (r *mirrorNotes) SetSides(id cluster.MountpathID, inStep []cluster.MountpathID) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.crashed {
		return nil
	}
	r.inStep[id] = slices.Clone(inStep)
	return nil
}

func (r *mirrorNotes) Add(mp cluster.Mountpath) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.crashed {
		return nil
	}
	r.all = append(r.all, mp)
	r.inStep[mp.ID] = mp.SideIDs()
	return nil
}

func failedOf(mirror int) func(cluster.Mountpath) bool {
	return func(mp cluster.Mountpath) bool { return mp.Mirror == mirror && mp.State == cluster.MountpathFailed }
}

func newlyFailed(mirror int, before, now []cluster.Mountpath) bool {
	return slices.ContainsFunc(now, func(mp cluster.Mountpath) bool {
		at := slices.IndexFunc(before, func(b cluster.Mountpath) bool { return b.ID == mp.ID })
		return failedOf(mirror)(mp) && (at < 0 || before[at].State != cluster.MountpathFailed)
	})
}

// newMirrored starts nodes that keep each object on two of their disks.
func newMirrored(t testing.TB, n, copies, disks int, change func(*Options)) *several {
	t.Helper()
	s := newSeveralOn(t, n, disks, cluster.Layout{Copies: copies, Mirror: 2}, func(o *Options) {
		quick(o)
		if change != nil {
			change(o)
		}
	})
	for id := range s.nodes {
		s.wholeMirrors(id)
	}
	return s
}

// mirrors returns the mirrors that the map has of a node.
func (s *several) mirrors(id cluster.NodeID) []cluster.Mountpath {
	n, _ := s.active().Node(id)
	return slices.DeleteFunc(slices.Clone(n.Mountpaths), func(mp cluster.Mountpath) bool { return mp.Mirror == 0 })
}

// wholeMirrors waits until the mirrors of a node are what its disks allow, and nothing is moved any more.
func (s *several) wholeMirrors(id cluster.NodeID) {
	s.t.Helper()
	s.eventually("the mirrors are whole", func() bool {
		all := s.mirrors(id)
		for _, mp := range all {
			if mp.State != cluster.MountpathEnabled || !s.store(id).isWhole(mp) {
				return false
			}
		}
		return len(all) > 0
	})
}

// lose takes the disk of a mountpath away with all that is on it.
func (n *member) lose(mp string) {
	err := n.fs.RemoveAll(mp)
	if err == nil {
		err = makeDirs(n.fs, n.fs.PathDir(mp), n.fs.PathDir(mp)) // it is gone behind a crash, too
	}
	if err != nil {
		n.s.t.Fatal(err)
	}
}

func (s *several) wantAll(want map[string][]byte) {
	s.t.Helper()
	for key, data := range want {
		if data == nil {
			s.wantAbsent(key)
			continue
		}
		if got := s.get(key); !bytes.Equal(got, data) {
			s.t.Fatalf("%s: other bytes", key)
		}
	}
}

func (s *several) wantNotPartial(id cluster.NodeID) {
	s.t.Helper()
	for i := sharedLayout * cluster.Slots; i < len(s.active().Slots); i++ {
		if h, _ := s.active().Slots[i].Holder(id); h.Partial {
			s.t.Fatalf("%s is partial in slot %d", id, i)
		}
	}
}

// TestMirrorLosesDisk: of two disks with the only copies one dies. All is there, and goes on; when the disk comes back with what it
// had, nothing of that is believed, and all gets its second copy again; then the other disk dies.
func TestMirrorLosesDisk(t *testing.T) {
	s := newMirrored(t, 1, 1, 2, nil)
	want := s.fillKeys(40)
	for i := range 10 {
		want[fmt.Sprintf("gone%d", i)] = nil
		s.put(fmt.Sprintf("gone%d", i), []byte("x"))
	}
	stale := s.nodes["t1"].fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 2))})
	s.nodes["t1"].lose("/mp2")
	for key, data := range want {
		if data == nil {
			s.remove(key)
		}
	}
	for i := range 20 {
		key := fmt.Sprintf("f%d", i)
		want[key] = pattern(100+i, sizes[i%len(sizes)])
		s.put(key, want[key])
	}
	s.wantAll(want)
	s.eventually("the loss is known", func() bool { return s.stateOf("t1", "mp2") == cluster.MountpathFailed })
	s.wantNotPartial("t1")
	s.wantAll(want)
	before := s.mirrors("t1")
	s.crash("t1")
	if _, err := vfs.Clone(stale, s.nodes["t1"].fs, "/mp2", "/mp2"); err != nil {
		t.Fatal(err)
	}
	s.start("t1")
	s.wantAll(want)
	s.wholeMirrors("t1")
	if now := s.mirrors("t1"); len(now) != 1 || now[0].ID == before[0].ID {
		t.Fatalf("mirrors %+v, before %+v", now, before)
	}
	s.wantAll(want)
	s.nodes["t1"].lose("/mp1")
	s.wantAll(want)
	s.crash("t1")
	s.start("t1")
	s.wantAll(want)
	s.wantNotPartial("t1")
}

// TestMirrorOnThirdDisk: with a third disk, what has lost its second copy gets another one there, so that a second disk may die.
func TestMirrorOnThirdDisk(t *testing.T) {
	s := newMirrored(t, 1, 1, 3, nil)
	if all := s.mirrors("t1"); len(all) != 3 {
		t.Fatalf("%+v", all)
	}
	want := s.fillKeys(60)
	for _, mp := range []string{"/mp1", "/mp3"} {
		s.nodes["t1"].lose(mp)
		for i := range 20 {
			key := fmt.Sprintf("f%d", i)
			want[key] = pattern(len(mp)+i, sizes[i%len(sizes)])
			s.put(key, want[key])
		}
		if mp == "/mp1" {
			s.wholeMirrors("t1")
		}
		s.wantAll(want)
	}
	s.crash("t1")
	s.start("t1")
	s.wantAll(want)
	s.wantNotPartial("t1")
}

// TestMirrorBothLost: when both disks of a mirror are gone, its keys are unavailable, never absent; with one of them back they are there.
func TestMirrorBothLost(t *testing.T) {
	s := newMirrored(t, 1, 1, 2, nil)
	want := s.fillKeys(20)
	s.stop("t1")
	both := s.nodes["t1"].fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 2))})
	id := s.mirrors("t1")[0].ID
	for _, mp := range []string{"/mp1", "/mp2"} {
		s.nodes["t1"].lose(mp + "/mirrors/" + string(id))
	}
	s.start("t1")
	s.eventually("the loss is known", func() bool { return s.stateOf("t1", id) == cluster.MountpathFailed })
	for key := range want {
		p, call := s.at(key, "")
		_, err := p.store.Stat(context.Background(), &GetRequest{Call: call, Bucket: s.bucket, Key: cluster.ObjectKey(key)})
		if !cluster.Is(err, cluster.KindUnavailable) {
			t.Fatalf("%s: %v", key, err)
		}
	}
	s.stop("t1")
	if _, err := vfs.Clone(both, s.nodes["t1"].fs, "/mp2/mirrors/"+string(id), "/mp2/mirrors/"+string(id)); err != nil {
		t.Fatal(err)
	}
	s.start("t1")
	s.eventually("it is back", func() bool { return s.stateOf("t1", id) != cluster.MountpathFailed })
	s.wantAll(want)
	s.wholeMirrors("t1")
	s.wantAll(want)
}

// TestMirrorDiskFailsAnywhere: a disk fails with the n-th operation on it, for each n; what was acknowledged is there without that disk,
// behind a crash, too.
func TestMirrorDiskFailsAnywhere(t *testing.T) {
	for after := range int64(40) {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			t.Parallel()
			var left atomic.Int64
			left.Store(1 << 40)
			s := newMirrored(t, 1, 1, 2, func(o *Options) {
				o.FS = errorfs.Wrap(o.FS, errorfs.InjectorFunc(func(op errorfs.Op) error {
					if !strings.HasPrefix(op.Path, "/mp2/") || left.Add(-1) >= 0 {
						return nil
					}
					return syscall.EIO
				}))
			})
			s.dies = true
			want := s.fillKeys(6)
			left.Store(after * after / 4)
			for i := range 12 {
				key := fmt.Sprintf("f%d", i%9)
				want[key] = pattern(100+i, sizes[i%len(sizes)])
				if s.put(key, want[key]); i%4 == 3 {
					want[key] = nil
					s.remove(key)
				}
			}
			s.wantAll(want)
			s.crash("t1")
			if left.Load() < 0 { // the disk is gone for good
				s.nodes["t1"].lose("/mp2")
			}
			left.Store(1 << 40)
			s.start("t1")
			s.wantAll(want)
			s.wantNotPartial("t1")
		})
	}
}

// TestMirrorScrubbed: what is damaged on one disk of a mirror is found on either, and repaired from the other one.
func TestMirrorScrubbed(t *testing.T) {
	s := newMirrored(t, 1, 1, 2, nil)
	first, second := pattern(1, 100_000), pattern(2, 3<<20)
	s.put("first", first)
	s.put("second", second)
	rot := func(mp string, data []byte) {
		t.Helper()
		middle := len(data) / 2
		if n := flip(t, s.nodes["t1"].fs, mp, data[middle-20:middle+20]); n != 1 {
			t.Fatalf("%d places", n)
		}
	}
	rot("/mp1", first)
	rot("/mp2", second)
	s.store("t1").StartScrub()
	s.eventually("both are repaired", func() bool {
		repaired := int64(0)
		for _, mp := range s.store("t1").Mountpaths() {
			repaired += mp.Repaired
		}
		return repaired == 2
	})
	want := map[string][]byte{"first": first, "second": second}
	s.wantAll(want)
	rot("/mp1", first) // and by who reads it
	rot("/mp2", second)
	s.wantAll(want)
	for range 2 {
		s.wantAll(want)
		for _, m := range s.store("t1").mounted() {
			if m.mirror != nil {
				m.mirror.Turn()
			}
		}
	}
	if all := s.mirrors("t1"); !s.store("t1").isWhole(all[0]) {
		t.Fatal("a damaged block took a disk out")
	}
}

// TestMirrorLinearizable lets clients race while disks drop out of mirrors, which are made anew, in the middle of all else that goes wrong.
func TestMirrorLinearizable(t *testing.T) {
	seeds, _ := strconv.Atoi(os.Getenv("AISLE_STORE_SEEDS"))
	for seed := range uint64(max(seeds, 1)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := newMirrored(t, 3, 3, 2, nil)
			s.also = (*several).dropSide
			wantLinear(t, seed, raceSeveral(s, seed))
		})
		t.Run(fmt.Sprintf("%d/alone", seed), func(t *testing.T) {
			s := newMirrored(t, 3, 1, 2, nil)
			s.also = (*several).dropSide
			wantLinear(t, seed, raceSeveral(s, seed))
		})
	}
}

// dropSide has a disk drop out of a mirror, and what was on it gone.
func (s *several) dropSide(r *rand.Rand) {
	s.mu.Lock()
	n := s.nodes[nodeIDs[r.IntN(3)]]
	p := n.process
	s.mu.Unlock()
	if p == nil || p.CheckLease() != nil {
		return
	}
	for _, m := range p.store.mounted() {
		if m.mirror == nil || r.IntN(2) == 0 {
			continue
		}
		id := m.SideIDs()[r.IntN(2)]
		if m.mirror.Drop(id, syscall.EIO) {
			_ = n.fs.RemoveAll("/" + string(id) + "/mirrors/" + string(m.ID))
		}
	}
}

// TestMirrorSettings: what a node says of its mirrors when it has been started anew, and what an operator may not do with them.
func TestMirrorSettings(t *testing.T) {
	s := newMirrored(t, 1, 1, 2, nil)
	ctx := context.Background()
	st, mp := s.store("t1"), s.mirrors("t1")[0]
	for _, err := range []error{st.Detach(ctx, mp.Path, true), st.Disable(ctx, mp.Path), st.Enable(ctx, mp.Path)} {
		if !cluster.Is(err, cluster.KindInvalid) {
			t.Fatal(err)
		}
	}
	if err := st.Detach(ctx, "/mp1", false); !cluster.Is(err, cluster.KindConflict) {
		t.Fatal(err)
	}
	s.stop("t1")
	s.start("t1")
	s.wholeMirrors("t1")
	if now := s.mirrors("t1"); len(now) != 1 || now[0].ID != mp.ID {
		t.Fatalf("%+v", now)
	}
}

// TestMirrorsOf: on which disks mirrors are made.
func TestMirrorsOf(t *testing.T) {
	for _, c := range []struct {
		disks  string
		copies int
		want   string
	}{
		{"", 2, ""},
		{"a", 2, "a"},
		{"a b", 2, "a,b"},
		{"a b c", 2, "a,b b,c a,c"},
		{"a b c d", 2, "a,b b,c c,d a,d"},
		{"a b", 3, "a,b"},
		{"a b c", 3, "a,b,c"},
		{"a b c d", 3, "a,b,c b,c,d a,c,d a,b,d"},
	} {
		var ids []cluster.MountpathID
		for id := range strings.FieldsSeq(c.disks) {
			ids = append(ids, cluster.MountpathID(id))
		}
		if got := strings.Join(mirrorsOf(ids, c.copies), " "); got != c.want {
			t.Errorf("%s by %d: %s, want %s", c.disks, c.copies, got, c.want)
		}
	}
}
