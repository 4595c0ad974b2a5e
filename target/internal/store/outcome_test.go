package store

import (
	"context"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aisle-store/aisle/cluster"
)

// deletes removes a version under a request id of its own, again and again until there is a definite answer.
func (l *leftovers) deletes(request cluster.RequestID, id cluster.VersionID) (DeleteResult, error) {
	return definite(l.t, func() (DeleteResult, error) {
		return l.tryDeleteVersion(&DeleteRequest{Call: Call{Request: request}, Key: cluster.ObjectKey(l.key), Version: id})
	})
}

// holds is deletes for the legal hold of a version.
func (l *leftovers) holds(request cluster.RequestID, id cluster.VersionID, hold cluster.LegalHold) {
	l.t.Helper()
	info, err := definite(l.t, func() (*Info, error) {
		p, call := l.at(l.key, request)
		if p == nil {
			return nil, errDown
		}
		return p.store.Update(context.Background(), &UpdateRequest{
			Call: call, Bucket: l.bucket, Key: cluster.ObjectKey(l.key), Version: id, Lock: &LockChange{Hold: hold}, KeepModified: true,
		})
	})
	if err != nil || info.VersionID != id {
		l.t.Fatalf("hold %s of version %s: %+v, %v", hold, id, info, err)
	}
}

// removeNewest makes the older version the current one.
func (l *leftovers) removeNewest() {
	l.t.Helper()
	if _, err := l.deletes("newest", l.versions[1]); err != nil {
		l.t.Fatal(err)
	}
}

func definite[T any](t *testing.T, try func() (T, error)) (T, error) {
	t.Helper()
	for begun := time.Now(); ; time.Sleep(time.Millisecond) {
		v, err := try()
		if !cluster.Is(err, cluster.KindUnavailable) {
			return v, err
		}
		if time.Since(begun) > 20*time.Second {
			t.Fatal(err)
		}
	}
}

// TestRepeatedChangeOfVersion: a change of a version that is not current, sent again when another one was acknowledged after it, is
// answered and not made again: by the same owner, by the next one, and by one whose doubts are settled one by one.
func TestRepeatedChangeOfVersion(t *testing.T) {
	for _, c := range []struct {
		name   string
		before func(*leftovers) // the second change
		after  func(*leftovers)
	}{
		{"same owner", func(*leftovers) {}, func(*leftovers) {}},
		{"next owner", (*leftovers).next, func(*leftovers) {}},
		{"next owner, behind both", func(*leftovers) {}, (*leftovers).next},
		{"current by then", (*leftovers).removeNewest, (*leftovers).next},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLeftovers(t)
			old := l.versions[0]
			l.holds("on", old, cluster.HoldOn)
			l.holds("off", old, cluster.HoldOff)
			l.holds("off", old, cluster.HoldOff)
			c.before(l)
			l.holds("on again", old, cluster.HoldOn)
			c.after(l)
			l.holds("off", old, cluster.HoldOff)
			if got, err := l.deletes("d", old); !cluster.Is(err, cluster.KindLocked) {
				t.Fatalf("a repeated request has taken a legal hold away: %+v, %v", got, err)
			}
		})
	}
}

// TestRepeatedChangeAmongThree: the note of a request is in doubt at the next owner, and the other holder has nothing else of its
// change any more: that counts, for it tells that the change was made.
func TestRepeatedChangeAmongThree(t *testing.T) {
	l := newLeftoversOf(t, 3, nil)
	old := l.versions[0]
	l.holds("on", old, cluster.HoldOn)
	l.holds("off", old, cluster.HoldOff)
	l.holds("on again", old, cluster.HoldOn)
	l.eventually("t3 has heard of all of it", func() bool {
		m := l.store("t3").mountpath(copyName(l.bucket.ID, cluster.ObjectKey(l.key)))
		doubts, err := m.doubts(context.Background(), func(slot cluster.Slot) bool { return slot == l.slot(l.key) })
		return err == nil && len(doubts) == 0
	})
	l.next()
	l.holds("off", old, cluster.HoldOff)
	if got, err := l.deletes("d", old); !cluster.Is(err, cluster.KindLocked) {
		t.Fatalf("a repeated request has taken a legal hold away: %+v, %v", got, err)
	}
}

// TestRepeatedPutBesideChange: that another version is changed does not change what a repeated PUT is told.
func TestRepeatedPutBesideChange(t *testing.T) {
	l := newLeftovers(t)
	put := func(request cluster.RequestID, data string) *Info {
		info, err := definite(t, func() (*Info, error) { return l.tryPut(l.key, []byte(data), request) })
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	made := put("x", "v2") // v1 is not current from here on
	put("y", "v3")
	l.holds("on", l.versions[1], cluster.HoldOn)
	if again := put("x", "v2"); again.VersionID != made.VersionID || again.ETag != made.ETag {
		t.Fatalf("a repeated PUT of %+v is told of %+v", made, again)
	}
}

// TestRepeatedDeleteOfVersion: a delete of a version whose first attempt was given up is carried out when it is sent again, or was
// already: what is answered as done is done.
func TestRepeatedDeleteOfVersion(t *testing.T) {
	for _, late := range []bool{false, true} {
		name := map[bool]string{false: " in doubt", true: " late"}[late]
		for then, next := range map[string]func(*leftovers){
			"same owner":     func(*leftovers) {},
			"next owner":     (*leftovers).next,
			"starts again":   func(l *leftovers) { l.crash("t1"); l.start("t1") },
			"not told of it": func(l *leftovers) { l.deletes("other", "00000000000000ff"); l.next() },
		} {
			t.Run(then+name, func(t *testing.T) {
				l := newLeftovers(t)
				l.givesUp(late, func() error {
					_, err := l.tryDeleteVersion(&DeleteRequest{Call: Call{Request: "d"}, Key: cluster.ObjectKey(l.key), Version: l.versions[0]})
					return err
				})
				next(l)
				if got, err := l.deletes("d", l.versions[0]); err != nil || !got.Existed {
					t.Fatalf("%+v, %v", got, err)
				}
				l.wantKindAt(l.versions[0], cluster.KindVersionNotFound)
				l.wantOpen("", "v1")
			})
		}
	}
}

// TestRepeatedDeleteOfMarker: whoever removes a delete marker by its id is told so each time.
func TestRepeatedDeleteOfMarker(t *testing.T) {
	b := newBed(t, vfs.NewMem(), 1, nil)
	defer func() { b.close() }()
	b.configure(func(p *cluster.BucketProps) { p.Versioning = cluster.VersioningEnabled })
	remove := func(id cluster.VersionID) *DeleteRequest {
		return &DeleteRequest{Call: b.call("k"), Bucket: b.bucket, Key: "k", Version: id}
	}
	b.put("k", []byte("v"))
	for _, current := range []bool{true, false} {
		made, err := b.store.Delete(context.Background(), remove(""))
		if err != nil || !made.Marker {
			t.Fatal(made, err)
		}
		if !current {
			b.put("k", []byte("later"))
		}
		r := remove(made.Version)
		for i := range 3 {
			if i == 2 {
				b.put("k", []byte("later still")) // what was current then is not any more
			}
			if got, err := b.store.Delete(context.Background(), r); err != nil || got != (DeleteResult{Existed: true, Version: made.Version, Marker: true}) {
				t.Fatalf("current %v: %+v, %v", current, got, err)
			}
		}
	}
}
