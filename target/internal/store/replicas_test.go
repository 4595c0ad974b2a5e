package store

import (
	"bytes"
	"context"
	"fmt"
	"testing"

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
	id, err := p.store.CreateUpload(ctx, &CreateUploadRequest{Call: call, Bucket: s.bucket, Key: cluster.ObjectKey(key)})
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
	s := newSeveral(t, 3, 3, nil)
	key := s.owned("t1", 0)
	s.put(key, []byte("old"))
	for _, message := range []string{"prepare", "stage"} {
		s.setFault(func(_, to cluster.NodeID, m string) error {
			if to == "t3" && (m == message || m == "prepare") {
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
		break
	}
}

// TestBytesSentLater: bytes that did not arrive while they were received are sent from the owner's place.
func TestBytesSentLater(t *testing.T) {
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
	want := pattern(1, 300_000)
	s.put(key, want)
	if got := s.holders(key); len(got) != 2 {
		t.Fatalf("a holder was taken out: %v", got)
	}
	s.crash("t1")
	s.promote("t1", "t2")
	if got := s.get(key); !bytes.Equal(got, want) {
		t.Fatal("other bytes")
	}
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
