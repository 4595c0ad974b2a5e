package store

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// shardSizes are inline, whole at some holders, of one short stripe, of whole stripes, and of several.
var shardSizes = []int{0, 150, 900, 1001, 1400, 2800, 2801, 30_000}

// TestShards writes every sort of data, replaces, updates and deletes, and reads it, whole and in ranges, with each node down,
// at whoever becomes owner then.
func TestShards(t *testing.T) {
	for i, layout := range []cluster.Layout{{Data: 2, Parity: 1}, {Data: 4, Parity: 2}, {Data: 1, Parity: 2}, {Data: 2, Parity: 1}} {
		t.Run(fmt.Sprint(layout, i), func(t *testing.T) {
			s := newCoded(t, layout.Width(), layout.Data, layout.Parity, nil)
			s.encrypts = i == 3
			upload := s.writeAll()
			s.checkAll(upload)
			for i := range layout.Width() {
				id := cluster.NodeID(fmt.Sprintf("t%d", i+1))
				s.crash(id)
				s.promote(id, "")
				s.checkAll(upload)
				s.start(id)
			}
			s.checkAll(upload)
		})
	}
}

func (s *several) writeAll() (upload []byte) {
	s.t.Helper()
	for i, size := range shardSizes {
		key := fmt.Sprintf("k%d", i)
		s.put(key, []byte("before"))
		s.put(key, pattern(i, size))
		p, call := s.at(key, "")
		if _, err := p.store.Update(context.Background(), &UpdateRequest{
			Call: call, Bucket: s.bucket, Key: cluster.ObjectKey(key), Edit: func(m *Metadata) { m.User = []Pair{{Name: "a", Value: "b"}} },
		}); err != nil {
			s.t.Fatal(err)
		}
		s.put("gone"+key, pattern(i, size))
		s.remove("gone" + key)
	}
	upload = s.upload("multi", 3)
	for i := range shardSizes {
		s.wantCopies(fmt.Sprintf("k%d", i), meta.Current)
		s.wantCopies(fmt.Sprintf("gonek%d", i), meta.Tombstone)
	}
	s.wantCopies("multi", meta.Current)
	return upload
}

func (s *several) checkAll(upload []byte) {
	s.t.Helper()
	f := func(key string, want []byte) {
		s.t.Helper()
		if got := s.get(key); !bytes.Equal(got, want) {
			s.t.Fatalf("%s: other bytes", key)
		}
		for _, r := range [][2]int{{0, 1}, {len(want) / 2, len(want) / 3}, {len(want) - 1, 1}, {699, 3}} {
			if r[0] < 0 || r[1] == 0 || r[0]+r[1] > len(want) {
				continue
			}
			if got := s.getRange(key, r[0], r[1]); !bytes.Equal(got, want[r[0]:r[0]+r[1]]) {
				s.t.Fatalf("%s: other bytes from %d to %d", key, r[0], r[0]+r[1])
			}
		}
	}
	for i, size := range shardSizes {
		f(fmt.Sprintf("k%d", i), pattern(i, size))
		s.wantAbsent(fmt.Sprintf("gonek%d", i))
	}
	f("multi", upload)
}

func (s *several) getRange(key string, offset, length int) []byte {
	s.t.Helper()
	return again(s, func(cluster.RequestID) ([]byte, error) {
		p, call := s.at(key, "")
		if p == nil {
			return nil, errDown
		}
		o, err := p.store.Open(context.Background(), &GetRequest{
			Call: call, Bucket: s.bucket, Key: cluster.ObjectKey(key), Range: &Range{First: int64(offset), Last: int64(offset + length - 1)}, Keys: testKeys{},
		})
		if err != nil {
			return nil, err
		}
		defer o.Close()
		return io.ReadAll(o.Reader())
	})
}

// kill lets a process reach nobody any more. It may be called from within its messages; crash must follow.
func (s *several) kill(id cluster.NodeID) {
	s.mu.Lock()
	p := s.nodes[id].process
	s.mu.Unlock()
	if p != nil {
		p.mu.Lock()
		p.dead = true
		p.mu.Unlock()
	}
}

// TestWriteHole crashes the owner at every message of an overwrite, before and after it arrives, together with as many others
// as shards may be lost. Then the old object is whole or the new one, and the new one if it was acknowledged; and it stays so
// when everybody is back.
func TestWriteHole(t *testing.T) {
	f := func(data, parity, first, step int) {
		for n := first; ; n += step {
			for _, arrives := range []bool{false, true} {
				more := false
				t.Run(fmt.Sprintf("%d+%d message %d arrives %t", data, parity, n, arrives), func(t *testing.T) {
					more = writeHole(t, data, parity, n, arrives)
				})
				if !more {
					return
				}
			}
		}
	}
	f(2, 1, 0, 1)
	f(3, 2, 2, 5)
}

// writeHole reports whether there was a message n.
func writeHole(t *testing.T, data, parity, n int, arrives bool) bool {
	s := newCoded(t, data+parity, data, parity, nil)
	key := s.owned("t1", 0)
	before, after := pattern(1, 5000), pattern(2, 7000)
	s.put(key, before)
	s.wantCopies(key, meta.Current)
	var seen atomic.Int64
	crash := func(from, _ cluster.NodeID, _ string) error {
		if from == "t1" && seen.Add(1) == int64(n)+1 {
			s.kill("t1")
			return errNetwork
		}
		return nil
	}
	if arrives {
		s.setLost(crash)
	} else {
		s.setFault(crash)
	}
	_, err := s.tryPut(key, after, "")
	for begun := time.Now(); seen.Load() <= int64(n) && time.Since(begun) < 100*time.Millisecond; { // decisions come later
		time.Sleep(time.Millisecond)
	}
	if seen.Load() <= int64(n) {
		return false
	}
	s.setFault(nil)
	s.setLost(nil)
	s.crash("t1")
	lost := s.holders(key)[1:parity]
	for _, id := range lost {
		s.crash(id)
	}
	s.promote("t1", "")
	got := s.get(key)
	if !bytes.Equal(got, after) && (err == nil || !bytes.Equal(got, before)) {
		t.Fatalf("%d+%d, message %d: the put said %v, and then there is neither the old object nor the new one", data, parity, n, err)
	}
	if n%3 > 0 {
		return true
	}
	s.start("t1")
	for _, id := range lost {
		s.start(id)
	}
	for id := range s.nodes {
		s.admit(id)
	}
	s.eventually("everybody is in sync", func() bool { return s.allInSync("t1") })
	for _, id := range s.ids() { // with any other one gone
		if id == s.holders(key)[0] {
			continue
		}
		s.crash(id)
		if again := s.get(key); !bytes.Equal(again, got) {
			t.Fatalf("%d+%d, message %d: another object is there now", data, parity, n)
		}
		s.start(id)
	}
	return true
}

// TestLaneFails: the shard of a holder that did not get it with the body is made of the others.
func TestLaneFails(t *testing.T) {
	s := newCoded(t, 3, 2, 1, nil)
	for i, message := range []string{"data", "parity", "small"} {
		key := s.owned("t1", i)
		to := s.holders(key)[1+i%2]
		var failed atomic.Bool
		s.setFault(func(_, at cluster.NodeID, m string) error {
			if m == "stage" && at == to && failed.CompareAndSwap(false, true) {
				return errNetwork
			}
			return nil
		})
		want := pattern(i, map[string]int{"data": 9000, "parity": 10_001, "small": 800}[message])
		s.put(key, want)
		s.setFault(nil)
		if len(s.holders(key)) != 3 {
			t.Fatalf("%s: a holder was taken out: %v", message, s.holders(key))
		}
		s.wantCopies(key, meta.Current)
		s.wantShards(key, want)
	}
}

// wantShards reads an object from every set of shards that is enough, wherever they lie.
func (s *several) wantShards(key string, want []byte) {
	s.t.Helper()
	if n := s.scrub(); n != 0 {
		s.t.Fatalf("%d damages", n)
	}
	owner := s.holders(key)[0]
	for _, id := range s.holders(key)[1:] {
		s.setFault(func(from, to cluster.NodeID, m string) error {
			if m == "fetch" && from == owner && to == id {
				return errNetwork
			}
			return nil
		})
		if got := s.get(key); !bytes.Equal(got, want) {
			s.t.Fatalf("%s: other bytes without %s", key, id)
		}
	}
	s.setFault(nil)
}

// TestSourceFails: a holder that fails while an object is read is replaced by others, and the reader notices nothing.
func TestSourceFails(t *testing.T) {
	s := newCoded(t, 3, 2, 1, nil)
	key := s.owned("t1", 0)
	want := pattern(1, 40_000)
	s.put(key, want)
	for _, id := range s.holders(key)[1:] {
		var reads atomic.Int64
		s.setFault(func(_, to cluster.NodeID, m string) error {
			if m == "read" && to == id && reads.Add(1) > 5 {
				return errNetwork
			}
			return nil
		})
		if got := s.get(key); !bytes.Equal(got, want) {
			t.Fatalf("other bytes when %s fails", id)
		}
	}
	s.setFault(func(_, _ cluster.NodeID, m string) error {
		if m == "fetch" {
			return errNetwork
		}
		return nil
	})
	_, err := s.tryGet(key)
	wantKind(t, err, cluster.KindUnavailable) // never absent
	s.setFault(nil)
	if got := s.get(key); !bytes.Equal(got, want) {
		t.Fatal("other bytes")
	}
}

// TestShardsCatchUp: a holder that comes back gets its shards again, from whoever has them or made of others, and one that joins
// those of the holder that it replaces.
func TestShardsCatchUp(t *testing.T) {
	s := newCoded(t, 4, 2, 1, nil)
	upload := s.writeAll()
	for _, id := range []cluster.NodeID{"t3", "t2", "t1"} {
		s.crash(id)
		s.promote(id, "")
		for i := range 6 { // which accuse whoever is down
			s.put(fmt.Sprintf("meanwhile%d", i), pattern(i, 20_000))
		}
		s.start(id)
		for _, id := range s.ids() {
			s.admit(id)
		}
		s.eventually("everybody is in sync", func() bool { return s.allInSync("t1") && s.allInSync("t2") && s.allInSync("t3") && s.allInSync("t4") })
	}
	for _, id := range s.ids() {
		s.crash(id)
		s.promote(id, "")
		for i, size := range shardSizes[3:] {
			key := fmt.Sprintf("k%d", i+3)
			if got := s.get(key); !bytes.Equal(got, pattern(i+3, size)) {
				t.Fatalf("%s: other bytes without %s", key, id)
			}
		}
		for i := range 6 {
			if got := s.get(fmt.Sprintf("meanwhile%d", i)); !bytes.Equal(got, pattern(i, 20_000)) {
				t.Fatalf("other bytes without %s", id)
			}
		}
		if got := s.get("multi"); !bytes.Equal(got, upload) {
			t.Fatal("the upload has other bytes")
		}
		s.start(id)
	}
	if n := s.scrub(); n != 0 {
		t.Fatalf("%d damages", n)
	}
}

// TestDamagedShards: who reads does not notice a damaged shard, and it is made again.
func TestDamagedShards(t *testing.T) {
	s := newCoded(t, 3, 2, 1, nil)
	for i := range 3 {
		key := s.owned("t1", i)
		want := pattern(i, 9000)
		s.put(key, want)
		at := s.holders(key)[i]
		s.rotShard(at, key)
		if got := s.get(key); !bytes.Equal(got, want) {
			t.Fatalf("other bytes with the shard of holder %d damaged", i)
		}
	}
	if n := s.scrub(); n == 0 {
		t.Fatal("nothing was found")
	}
	s.wantWhole()
	if n := s.repaired(); n != 3 {
		t.Fatalf("%d of 3 were repaired", n)
	}
}

// rotShard changes a bit of what a node has of an object.
func (s *several) rotShard(id cluster.NodeID, key string) {
	s.t.Helper()
	all, _ := s.records(id, key)
	m := s.store(id).mountpath(copyName(s.bucket.ID, cluster.ObjectKey(key)))
	r, err := m.disk.Open(all[0].Place)
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Close()
	shard := make([]byte, r.Size())
	if _, err := r.ReadAt(shard, 0); err != nil {
		s.t.Fatal(err)
	}
	s.rot(id, shard)
}

// TestShardSpace: what lies on disks is (data+parity)/data of what was written.
func TestShardSpace(t *testing.T) {
	s := newCoded(t, 3, 2, 1, func(o *Options) { o.ShardBlock, o.ShardMin = 0, 0 })
	const objects, size = 8, 3 << 20
	before := s.placed()
	for i := range objects {
		s.put(fmt.Sprintf("k%d", i), pattern(i, size))
	}
	used, want := s.placed()-before, int64(objects*size)*3/2
	if used < want || used > want+want/50 {
		t.Fatalf("%d bytes of objects take %d, want about %d", objects*size, used, want)
	}
	t.Logf("%.3f bytes on disks for each byte", float64(used)/(objects*size))
}

// placed is how many bytes records name at all nodes.
func (s *several) placed() (n int64) {
	s.t.Helper()
	for _, id := range s.ids() {
		for _, m := range s.store(id).mounted() {
			for p, err := range m.index.Places(context.Background()) {
				if err != nil {
					s.t.Fatal(err)
				}
				n += p.Span
			}
		}
	}
	return n
}

// TestFewShards: with too few holders a write is refused, and what is there stays readable.
func TestFewShards(t *testing.T) {
	s := newCoded(t, 3, 2, 1, nil)
	s.configure(func(p *cluster.BucketProps) { p.MinCopies = 0 }) // 3: one more than are needed
	key := s.owned("t1", 0)
	want := pattern(1, 9000)
	s.put(key, want)
	s.crash("t3")
	_, err := s.tryPut(key, pattern(2, 9000), "")
	wantKind(t, err, cluster.KindUnavailable)
	if got := s.get(key); !bytes.Equal(got, want) {
		t.Fatal("other bytes")
	}
	s.crash("t2")
	_, err = s.tryGet(key)
	wantKind(t, err, cluster.KindUnavailable)
	s.start("t3")
	s.start("t2")
	for _, id := range s.ids() {
		s.admit(id)
	}
	if got := s.put(key, want); got.Size != 9000 {
		t.Fatal(got)
	}
}

// TestShardsStay: what is read stays at the other holders, whatever is written meanwhile, and goes when nobody reads it any more.
func TestShardsStay(t *testing.T) {
	s := newCoded(t, 3, 2, 1, nil)
	want := s.upload("k", 4)
	p, call := s.at("k", "")
	o, err := p.store.Open(context.Background(), &GetRequest{Call: call, Bucket: s.bucket, Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	first, err := o.Next()
	if err != nil {
		t.Fatal(err)
	}
	got := bytes.Clone(first)
	s.put("k", pattern(1, 5000))
	s.remove("k")
	s.put("k", pattern(2, 5000))
	if now := s.get("k"); !bytes.Equal(now, pattern(2, 5000)) {
		t.Fatal("other bytes")
	}
	time.Sleep(10 * tellLinger)
	rest, err := io.ReadAll(o.Reader())
	if err != nil || !bytes.Equal(append(got, rest...), want) {
		t.Fatalf("%d bytes instead of %d: %v", len(got)+len(rest), len(want), err)
	}
	_ = o.Close()
	s.wantCopies("k", meta.Current)
	for i := range p.store.shards {
		h := &p.store.shards[i]
		if len(h.reading) > 0 || len(h.untold) > 0 {
			t.Fatal("a reader is left")
		}
	}
}
