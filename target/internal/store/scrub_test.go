package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// rot changes one bit of what a node has of some bytes.
func (s *several) rot(id cluster.NodeID, data []byte) {
	s.t.Helper()
	t, ok := s.t.(*testing.T)
	if !ok {
		s.t.Fatal("not in a test")
	}
	middle := len(data) / 2
	if n := flip(t, s.nodes[id].fs, "/", data[middle-20:middle+20]); n != 1 {
		s.t.Fatalf("the bytes stand in %d files of %s", n, id)
	}
}

// scrub lets every node verify everything, and returns how much it found in that pass.
func (s *several) scrub() (found int64) {
	s.t.Helper()
	for _, id := range s.ids() {
		st := s.store(id)
		before := make(map[cluster.MountpathID]int64)
		for _, c := range st.Scrubs() {
			before[c.Mountpath.ID] = c.Pass
		}
		st.StartScrub()
		s.eventually("the scrub of "+string(id), func() bool {
			return !slices.ContainsFunc(st.Scrubs(), func(c Scrub) bool { return c.Pass == before[c.Mountpath.ID] || c.Ended.IsZero() })
		})
		for _, c := range st.Scrubs() {
			found += c.Found
		}
	}
	return found
}

func (s *several) ids() []cluster.NodeID {
	var ids []cluster.NodeID
	for id := range s.nodes {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func (s *several) wantWhole() {
	s.t.Helper()
	for _, id := range s.ids() {
		s.eventually("repairs at "+string(id), func() bool {
			list, more := s.store(id).Damages()
			return len(list) == 0 && more == 0
		})
	}
	if n := s.scrub(); n != 0 {
		s.t.Fatalf("%d damages are left after the repair", n)
	}
}

func (s *several) repaired() (n int64) {
	for _, id := range s.ids() {
		for _, c := range s.store(id).Scrubs() {
			n += c.Repaired
		}
	}
	return n
}

// A scrub finds what is damaged at owners and at other holders, and it is repaired from elsewhere: objects in segments and in
// blobs, the parts of an object, and parts of an upload in progress.
func TestScrubRepairs(t *testing.T) {
	s := newSeveral(t, 3, 2, nil)
	extent, blob := pattern(1, 100_000), pattern(2, 600_000)
	s.put("extent", extent)
	s.put("blob", blob)
	whole := s.upload("multi", 2)
	for i := range 20 {
		s.put(fmt.Sprintf("good%d", i), pattern(10+i, 20_000))
	}
	part := pattern(5, 90_000)
	p, call := s.at("open", "")
	upload, err := p.store.CreateUpload(context.Background(), &CreateUploadRequest{Call: call, Bucket: s.bucket, Key: "open"})
	if err != nil {
		t.Fatal(err)
	}
	p, call = s.at("open", "")
	if _, err := p.store.PutPart(context.Background(), &PutPartRequest{
		Call: call, Bucket: s.bucket, Key: "open", Upload: upload, Number: 1, Body: bytes.NewReader(part), Size: int64(len(part)),
	}); err != nil {
		t.Fatal(err)
	}
	if n := s.scrub(); n != 0 {
		t.Fatalf("%d damages before anything is damaged", n)
	}
	s.rot(s.holders("extent")[0], extent)
	s.rot(s.holders("blob")[1], blob)
	s.rot(s.holders("multi")[0], whole[4000:8000])
	s.rot(s.holders("open")[1], part)
	if n := s.scrub(); n != 4 {
		t.Fatalf("%d of 4 damages were found", n)
	}
	s.wantWhole()
	if n := s.repaired(); n != 4 {
		t.Fatalf("%d of 4 were repaired", n)
	}
	for _, key := range []string{"extent", "blob", "multi"} {
		s.wantCopies(key, meta.Current)
		s.promote(s.holders(key)[0], s.holders(key)[1])
	}
	for key, want := range map[string][]byte{"extent": extent, "blob": blob, "multi": whole} {
		if !bytes.Equal(s.get(key), want) {
			t.Fatalf("%s has other bytes at its next owner", key)
		}
	}
}

// A GET that meets damaged bytes at the owner is answered with the right ones, also in the middle of an object. The repair is
// durable when the answer is there.
func TestReadRepairs(t *testing.T) {
	s := newSeveral(t, 2, 2, nil)
	want := map[string][]byte{"extent": pattern(1, 100_000), "blob": pattern(2, 900_000)}
	for key, data := range want {
		s.put(key, data)
	}
	want["multi"] = s.upload("multi", 2)
	for key, data := range want {
		s.get(key) // the owner has settled
		s.rot(s.holders(key)[0], data[max(0, len(data)-70_000):len(data)-1000])
		if got, err := s.tryGet(key); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%s: %d bytes, %v", key, len(got), err)
		}
		owner := s.holders(key)[0]
		s.crash(owner)
		s.start(owner)
		if !bytes.Equal(s.get(key), data) {
			t.Fatalf("%s has other bytes after a crash", key)
		}
	}
	s.wantWhole()
}

// While the other holder cannot be reached, damaged bytes are KindUnavailable: later they are served.
func TestReadOfDamageWaits(t *testing.T) {
	s := newSeveral(t, 2, 2, nil)
	data := pattern(1, 100_000)
	s.put("k", data)
	s.rot(s.holders("k")[0], data)
	s.setFault(func(_, _ cluster.NodeID, message string) error {
		if message == "fetch" {
			return errNetwork
		}
		return nil
	})
	if _, err := s.tryGet("k"); !cluster.Is(err, cluster.KindUnavailable) {
		t.Fatal(err)
	}
	s.setFault(nil)
	if !bytes.Equal(s.get("k"), data) {
		t.Fatal("other bytes")
	}
	s.wantWhole()
}

// What is damaged everywhere is refused and listed by name. Metadata can be changed, and it can be replaced or deleted: then
// nothing is damaged any more.
func TestDamageEverywhere(t *testing.T) {
	s := newSeveral(t, 2, 2, nil)
	for i, key := range []string{"a", "b", "c"} {
		data := pattern(i+1, 100_000)
		s.put(key, data)
		s.rot("t1", data)
		s.rot("t2", data)
	}
	s.scrub()
	for _, id := range s.ids() {
		s.eventually("attempts", func() bool {
			list, _ := s.store(id).Damages()
			return len(list) == 3 && !slices.ContainsFunc(list, func(d Damage) bool { return d.Attempts == 0 || d.Copies != 1 || d.Failed == "" })
		})
	}
	if _, err := s.tryGet("a"); !cluster.Is(err, cluster.KindCorrupt) {
		t.Fatal(err)
	}
	p, call := s.at("c", "")
	if _, err := p.store.Update(context.Background(), &UpdateRequest{
		Call: call, Bucket: s.bucket, Key: "c", Edit: func(m *Metadata) { m.User = []Pair{{Name: "a", Value: "b"}} },
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.tryGet("c"); !cluster.Is(err, cluster.KindCorrupt) {
		t.Fatal(err)
	}
	s.put("a", []byte("new"))
	s.remove("b")
	s.put("c", []byte("new"))
	for _, key := range []string{"a", "c"} {
		if string(s.get(key)) != "new" {
			t.Fatal(key)
		}
	}
	s.wantAbsent("b")
	for _, id := range s.ids() {
		s.store(id).StartScrub()
	}
	s.wantWhole()
}

// One damaged object at the only holder keeps no other from being copied. It is damaged at the newcomer, too, until somebody
// has it; the copy of a third holder repairs both.
func TestCatchUpPastDamage(t *testing.T) {
	s := newSeveral(t, 3, 1, func(o *Options) { o.Sweep = 50 * time.Millisecond })
	var keys []string
	for i := range 10 {
		keys = append(keys, s.owned("t1", i))
		s.put(keys[i], pattern(i+1, 50_000))
	}
	bad := pattern(1, 50_000)
	s.rot("t1", bad)
	s.admit("t2")
	s.eventually("t2 is in sync", func() bool {
		h, _ := s.active().Slot(s.slot(keys[0])).Holder("t2")
		return h.InSync
	})
	for _, id := range []cluster.NodeID{"t1", "t2"} {
		list, _ := s.store(id).Damages()
		if len(list) != 1 || list[0].Key != cluster.ObjectKey(keys[0]) {
			t.Fatalf("%s: %+v", id, list)
		}
	}
	s.promote("t1", "t2")
	for i, key := range keys[1:] {
		if !bytes.Equal(s.get(key), pattern(i+2, 50_000)) {
			t.Fatalf("%s has other bytes", key)
		}
	}
	if _, err := s.tryGet(keys[0]); !cluster.Is(err, cluster.KindCorrupt) {
		t.Fatal(err)
	}
	s.rot("t1", flipped(bad)) // the bit comes back
	s.store("t1").StartScrub()
	s.eventually("t1 finds it whole", func() bool { list, _ := s.store("t1").Damages(); return len(list) == 0 })
	if got, err := s.tryGet(keys[0]); err != nil || !bytes.Equal(got, bad) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
}

// flipped returns data as rot leaves it.
func flipped(data []byte) []byte {
	data = slices.Clone(data)
	data[len(data)/2] ^= 1
	return data
}

// A scrub goes on where it was when the process ended.
func TestScrubResumes(t *testing.T) {
	fs := vfs.NewMem()
	rate := int64(200_000)
	change := func(o *Options) {
		o.Scrub = func() ScrubSettings { return ScrubSettings{Rate: rate, Interval: time.Hour} }
	}
	b := newBed(t, fs, 1, change)
	for i := range 400 {
		b.put(fmt.Sprintf("k%03d", i), pattern(i, 5000))
	}
	s := b.store
	s.StartScrub()
	for begun := time.Now(); ; time.Sleep(time.Millisecond) {
		if c := s.Scrubs()[0]; c.Entries >= 256 && c.Ended.IsZero() {
			break
		} else if time.Since(begun) > 20*time.Second {
			t.Fatalf("%+v", c)
		}
	}
	if err := s.mounted()[0].scrubber.save(s.mounted()[0].index); err != nil {
		t.Fatal(err)
	}
	b.close()
	rate = 1 << 40
	b.start()
	defer b.close()
	s = b.store
	for begun := time.Now(); s.Scrubs()[0].Ended.IsZero(); time.Sleep(time.Millisecond) {
		if time.Since(begun) > 20*time.Second {
			t.Fatalf("%+v", s.Scrubs()[0])
		}
	}
	if c := s.Scrubs()[0]; c.Read >= c.Bytes || c.Bytes < 400*5000 {
		t.Fatalf("the second process read %d of %d bytes", c.Read, c.Bytes)
	}
}

// Places are replaced while the same keys are written, deleted and updated: nothing that was removed comes back, and nothing
// that is there loses its bytes.
func TestReplacePlaceRaces(t *testing.T) {
	s := newSeveral(t, 2, 2, nil)
	const keys, size = 3, 9000
	var writers, repairs sync.WaitGroup
	stop := make(chan struct{})
	var failed sync.Map
	last := make([][]byte, keys)
	for k := range keys {
		key := fmt.Sprintf("k%d", k)
		writers.Go(func() {
			for i := range 21 {
				data := pattern(k*1000+i, size)
				if _, err := s.tryPut(key, data, ""); err != nil {
					failed.Store(key, err)
					return
				}
				last[k] = data
				if i%3 == 2 {
					if _, err := s.tryDelete(key); err != nil {
						failed.Store(key, err)
						return
					}
					last[k] = nil
				}
			}
		})
		for _, id := range s.ids() {
			st := s.store(id)
			repairs.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if err := movePlaces(st, copyName(s.bucket.ID, cluster.ObjectKey(key))); err != nil {
						failed.Store(key, err)
						return
					}
				}
			})
		}
	}
	writers.Wait()
	close(stop)
	repairs.Wait()
	failed.Range(func(key, err any) bool {
		t.Errorf("%v: %v", key, err)
		return true
	})
	if t.Failed() {
		return
	}
	for k := range keys {
		key := fmt.Sprintf("k%d", k)
		if last[k] == nil {
			s.wantAbsent(key)
			s.wantCopies(key, meta.Tombstone)
		} else {
			s.wantCopies(key, meta.Current)
			if !bytes.Equal(s.get(key), last[k]) {
				t.Errorf("%s has other bytes", key)
			}
		}
	}
	s.wantWhole()
}

// movePlaces gives every place of a key's records new places with the same bytes.
func movePlaces(s *Store, n name) error {
	m := s.mountpath(n)
	records, err := m.line(n.ref(meta.Current))
	if err != nil {
		return err
	}
	for _, r := range records {
		if r.Place.Kind == disk.Nowhere {
			continue
		}
		fresh, err := copyPlace(m, r.Place)
		if err != nil || fresh.Kind == disk.Nowhere {
			return err
		}
		replaced, err := s.replacePlace(context.Background(), n, m, r.Place, fresh)
		if !replaced {
			m.free(fresh)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// copyPlace writes the bytes of a place a second time; Nowhere when they are gone.
func copyPlace(m *mountpath, p disk.Place) (disk.Place, error) {
	in, err := m.disk.Open(p)
	if errors.Is(err, disk.ErrGone) {
		return disk.Place{}, nil
	}
	if err != nil {
		return disk.Place{}, err
	}
	defer in.Close()
	data := make([]byte, p.Length)
	if _, err := in.ReadAt(data, 0); err != nil {
		return disk.Place{}, err
	}
	w, err := m.disk.Create(context.Background(), p.Length)
	if err != nil {
		return disk.Place{}, err
	}
	defer w.Abort()
	if _, err := w.Write(data); err != nil {
		return disk.Place{}, err
	}
	return w.Seal(context.Background(), nil)
}

// An owner whose own bytes are damaged before a holder that lacks them has asked for them fails the write, and accuses nobody.
func TestDamageIsNotTheHoldersFault(t *testing.T) {
	s := newSeveral(t, 2, 2, nil)
	data := pattern(1, 100_000)
	owner := s.holders("k")[0]
	var once sync.Once
	s.setFault(func(from, _ cluster.NodeID, message string) error {
		damaged := false
		once.Do(func() { damaged = true })
		switch {
		case message == "stage" && damaged:
			return errNetwork
		case message == "prepare" && from == owner && damaged:
			t.Error("the bytes were not staged before")
		}
		return nil
	})
	p, _ := s.at("k", "")
	hook := func() { s.rot(owner, data) }
	rotten := false
	s.setLost(func(_, _ cluster.NodeID, message string) error {
		if message == "prepare" && !rotten {
			rotten = true
			hook()
		}
		return nil
	})
	if _, err := s.tryPut("k", data, ""); err == nil || p.accused.Load() != 0 {
		t.Fatalf("%v, and %d accusations", err, p.accused.Load())
	}
}

// A block of an owner's index that cannot be read takes its mountpath out: another holder takes over, and what was in the block is
// served again.
func TestDamagedIndexBlock(t *testing.T) {
	s := newSeveral(t, 2, 2, quick)
	marked := pattern(1, 3000)
	keys := make(map[string][]byte)
	for i := range 60 {
		keys[fmt.Sprintf("k%d", i)] = pattern(i+2, 2000)
	}
	bad := s.owned("t1", 3)
	keys[bad] = marked
	for key, data := range keys {
		s.put(key, data)
		s.wantCopies(key, meta.Current)
	}
	for range 2 { // the log is replayed into a table
		s.stop("t1")
		s.start("t1")
	}
	s.get(s.owned("t1", 0))
	s.stop("t1")
	s.rot("t1", marked)
	s.start("t1")
	var failed cluster.MountpathID
	s.eventually("the mountpath is taken out", func() bool {
		if data, err := s.tryGet(bad); err == nil && !bytes.Equal(data, marked) {
			t.Fatal("other bytes")
		}
		n, _ := s.active().Node("t1")
		for _, mp := range n.Mountpaths {
			if mp.State == cluster.MountpathFailed {
				failed = mp.ID
			}
		}
		return failed != ""
	})
	s.promote("t1", "t2")
	for key, data := range keys {
		if !bytes.Equal(s.get(key), data) {
			t.Fatalf("%s has other bytes", key)
		}
	}
}
