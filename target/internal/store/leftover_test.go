package store

import (
	"bytes"
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// leftovers is a key with two versions, and an upload of another key, in slots of t1 that t2 holds, too, and t3 when there are three
// copies. What t1 decides does not arrive at t2.
type leftovers struct {
	*several
	t        *testing.T
	key      string
	versions []cluster.VersionID
	late     func() // sends the prepare of what was given up
	pass     int    // so many answers arrive of what is given up
}

func newLeftovers(t *testing.T) *leftovers { return newLeftoversOf(t, 2, nil) }

func newLeftoversOf(t *testing.T, copies int, change func(*Options)) *leftovers {
	s := newSeveral(t, 3, copies, change)
	s.configure(func(p *cluster.BucketProps) { p.Versioning = cluster.VersioningEnabled })
	l := &leftovers{several: s, t: t, key: s.owned("t1", 0)}
	if got := s.holders(l.key); !slices.Equal(got, []cluster.NodeID{"t1", "t2", "t3"}[:copies]) {
		t.Fatal(got)
	}
	s.setFault(func(_, to cluster.NodeID, m string) error {
		if m == "decide" && to == "t2" {
			return errNetwork
		}
		return nil
	})
	for _, v := range []string{"v0", "v1"} {
		l.versions = append(l.versions, s.put(l.key, []byte(v)).VersionID)
	}
	return l
}

// givesUp has a change given up when t2 has prepared it, or, late, before the message arrives there.
func (l *leftovers) givesUp(late bool, change func() error) {
	l.t.Helper()
	gives := func(_, _ cluster.NodeID, m string) error {
		switch m {
		case "prepare":
			if l.pass--; l.pass >= 0 {
				return nil
			}
			return cluster.Fail("network", "", cluster.KindConflict, "the write is given up")
		case "decide":
			return errNetwork
		}
		return nil
	}
	if late {
		l.setRepeat(func(again func()) { l.late = again })
		l.setFault(gives)
	} else {
		l.setLost(gives)
	}
	wantKind(l.t, change(), cluster.KindUnavailable)
	l.setRepeat(nil)
	l.setLost(nil)
	l.setFault(func(_, _ cluster.NodeID, m string) error {
		if m == "decide" {
			return errNetwork
		}
		return nil
	})
}

// next lets what is late arrive, and t2 become the owner.
func (l *leftovers) next() {
	l.t.Helper()
	if l.late != nil {
		l.late()
	}
	l.crash("t1")
	l.promote("t1", "t2")
}

func (l *leftovers) deleteVersion(id cluster.VersionID) error {
	_, err := l.tryDeleteVersion(&DeleteRequest{Key: cluster.ObjectKey(l.key), Version: id})
	return err
}

// open reads a version, or what is current.
func (l *leftovers) open(id cluster.VersionID) (string, error) {
	l.t.Helper()
	var none error
	got := again(l.several, func(cluster.RequestID) (string, error) {
		p, call := l.at(l.key, "")
		o, err := p.store.Open(context.Background(), &GetRequest{Call: call, Bucket: l.bucket, Key: cluster.ObjectKey(l.key), Version: id})
		if err != nil {
			if none = err; !cluster.Is(err, cluster.KindUnavailable) {
				err = nil
			}
			return "", err
		}
		defer o.Close()
		none = nil
		var all bytes.Buffer
		_, err = all.ReadFrom(o.Reader())
		return all.String(), err
	})
	return got, none
}

func (l *leftovers) wantOpen(id cluster.VersionID, want string) {
	l.t.Helper()
	if got, err := l.open(id); err != nil || got != want {
		l.t.Errorf("version %q: %q, %v, want %q", id, got, err, want)
	}
}

func (l *leftovers) wantKindAt(id cluster.VersionID, kind cluster.Kind) {
	l.t.Helper()
	if got, err := l.open(id); !cluster.Is(err, kind) {
		l.t.Errorf("version %q: %q, %v, want %s", id, got, err, kind)
	}
}

// TestGivenUpBeforeAnother: a change that was given up at the owner, and is in doubt at another holder, does not go forward in part
// when the next owner settles behind a later change that was acknowledged.
func TestGivenUpBeforeAnother(t *testing.T) {
	for _, late := range []bool{false, true} {
		name := map[bool]string{false: " in doubt", true: " late"}[late]
		t.Run("delete of a version"+name, func(t *testing.T) {
			l := newLeftovers(t)
			l.givesUp(late, func() error { return l.deleteVersion(l.versions[1]) })
			l.remove(l.key) // makes a marker
			l.next()
			l.wantOpen(l.versions[0], "v0")
			l.wantOpen(l.versions[1], "v1")
			l.wantKindAt("", cluster.KindObjectNotFound)
		})
		t.Run("put"+name, func(t *testing.T) {
			l := newLeftovers(t)
			l.givesUp(late, func() error {
				_, err := l.tryPut(l.key, []byte("v2"), "")
				return err
			})
			for _, id := range []cluster.VersionID{l.versions[1], l.versions[0]} {
				if err := l.deleteVersion(id); err != nil {
					t.Fatal(err)
				}
			}
			l.next()
			l.wantKindAt(l.versions[0], cluster.KindVersionNotFound)
			l.wantKindAt(l.versions[1], cluster.KindVersionNotFound)
			l.wantKindAt("", cluster.KindObjectNotFound)
		})
		t.Run("put, and the owner starts again"+name, func(t *testing.T) {
			l := newLeftovers(t)
			l.givesUp(late, func() error {
				_, err := l.tryPut(l.key, []byte("v2"), "")
				return err
			})
			if _, err := l.tryDelete("no " + l.key); err != nil && !cluster.Is(err, cluster.KindUnavailable) {
				t.Fatal(err)
			}
			if err := l.deleteVersion("00000000000000ff"); err != nil { // whose turn drops what was given up
				t.Fatal(err)
			}
			l.crash("t1")
			l.start("t1")
			if got, _ := l.active().Owner(l.slot(l.key)); got != "t1" {
				t.Fatal(got)
			}
			again(l.several, func(cluster.RequestID) (bool, error) { return true, l.deleteVersion(l.versions[1]) })
			l.next()
			l.wantKindAt(l.versions[1], cluster.KindVersionNotFound)
			l.wantOpen("", "v0")
		})
		t.Run("two that are given up"+name, func(t *testing.T) {
			l := newLeftovers(t)
			l.givesUp(late, func() error { return l.deleteVersion(l.versions[1]) })
			if !late {
				l.pass = 1 // that asks about the first
			}
			l.givesUp(false, func() error {
				_, err := l.tryPut(l.key, []byte("v2"), "")
				return err
			})
			l.next()
			l.wantOpen(l.versions[0], "v0") // nobody asked for its end
			l.wantOpen(l.versions[1], "v1")
		})
		t.Run("complete"+name, func(t *testing.T) {
			l := newLeftovers(t)
			l.configure(func(p *cluster.BucketProps) { p.Versioning = cluster.VersioningOff })
			l.key = l.owned("t1", 1)
			u := l.begin()
			first := u.part("one")
			l.givesUp(late, func() error { return u.complete(first) })
			p, call := l.at(l.key, "")
			if err := p.store.Abort(context.Background(), &AbortRequest{Call: call, Bucket: l.bucket, Key: cluster.ObjectKey(l.key), Upload: u.id}); err != nil {
				t.Fatal(err)
			}
			l.next()
			l.wantKindAt("", cluster.KindObjectNotFound)
		})
		t.Run("complete of an older part"+name, func(t *testing.T) {
			l := newLeftovers(t)
			l.configure(func(p *cluster.BucketProps) { p.Versioning = cluster.VersioningOff })
			l.key = l.owned("t1", 1)
			u := l.begin()
			first := u.part("one")
			l.givesUp(late, func() error { return u.complete(first) })
			second := u.part("two")
			l.next()
			again(l.several, func(cluster.RequestID) (bool, error) { return true, u.complete(second) })
			l.wantOpen("", "two")
		})
	}
}

// upOf is an upload of one part.
type upOf struct {
	l  *leftovers
	id cluster.UploadID
}

func (l *leftovers) begin() *upOf {
	l.t.Helper()
	p, call := l.at(l.key, "")
	id, err := p.store.CreateUpload(context.Background(), &CreateUploadRequest{Call: call, Bucket: l.bucket, Key: cluster.ObjectKey(l.key)})
	if err != nil {
		l.t.Fatal(err)
	}
	return &upOf{l, id}
}

func (u *upOf) part(data string) []CompletePart {
	u.l.t.Helper()
	p, call := u.l.at(u.l.key, "")
	info, err := p.store.PutPart(context.Background(), &PutPartRequest{
		Call: call, Bucket: u.l.bucket, Key: cluster.ObjectKey(u.l.key), Upload: u.id, Number: 1, Body: bytes.NewReader([]byte(data)), Size: int64(len(data)),
	})
	if err != nil {
		u.l.t.Fatal(err)
	}
	return []CompletePart{{Number: 1, ETag: info.ETag}}
}

func (u *upOf) complete(parts []CompletePart) error {
	p, call := u.l.at(u.l.key, "")
	_, err := p.store.Complete(context.Background(), &CompleteRequest{
		Call: call, Bucket: u.l.bucket, Key: cluster.ObjectKey(u.l.key), Upload: u.id, Parts: parts, Size: -1, SmallParts: true,
	})
	return err
}

// TestGivenUpIsNotForgotten (R6): the tombstone of a change that was given up hides nothing. While its owner stays, whatever becomes
// of the other holders, it does not have them forget what it would have replaced.
func TestGivenUpIsNotForgotten(t *testing.T) {
	var clock atomic.Int64
	begin := func(t *testing.T) *leftovers {
		clock.Store(int64(time.Hour))
		return newLeftoversOf(t, 2, func(o *Options) {
			o.Clock = func() time.Duration { return time.Duration(clock.Load()) }
			o.UploadGrace = time.Nanosecond
		})
	}
	// sweeps gives up a change that reaches nobody, has the time of its tombstones pass, and the other holder become the owner.
	sweeps := func(l *leftovers, change func() error) {
		l.t.Helper()
		l.givesUp(true, change)
		l.late = nil
		l.reshape(func(cluster.Slot, *cluster.SlotState) bool { return true })
		owner := l.store("t1")
		l.eventually("t1 serves under the new epoch", func() bool {
			_, epoch := l.active().Owner(l.slot(l.key))
			return owner.slots.serving.load(l.slot(l.key)) == uint64(epoch)
		})
		for range 3 {
			clock.Add(int64(owner.o.RetryWindow) + 1)
			owner.sweepOnce(context.Background())
		}
		l.next()
	}
	t.Run("delete", func(t *testing.T) {
		l := begin(t)
		l.configure(func(p *cluster.BucketProps) { p.Versioning = cluster.VersioningOff })
		l.key = l.owned("t1", 1)
		l.put(l.key, []byte("kept"))
		sweeps(l, func() error {
			_, err := l.tryDelete(l.key)
			return err
		})
		l.wantOpen("", "kept")
	})
	t.Run("delete of the current version", func(t *testing.T) {
		l := begin(t)
		sweeps(l, func() error { return l.deleteVersion(l.versions[1]) })
		l.wantOpen("", "v1")
		l.wantOpen(l.versions[0], "v0")
	})
	t.Run("delete of a delete marker", func(t *testing.T) {
		l := begin(t)
		marker, err := l.tryDeleteVersion(&DeleteRequest{Key: cluster.ObjectKey(l.key)})
		if err != nil {
			t.Fatal(err)
		}
		sweeps(l, func() error { return l.deleteVersion(marker.Version) })
		l.wantKindAt("", cluster.KindObjectNotFound)
		l.wantOpen(l.versions[1], "v1")
		l.wantOpen(l.versions[0], "v0")
	})
	t.Run("delete of an older version", func(t *testing.T) {
		l := begin(t)
		sweeps(l, func() error { return l.deleteVersion(l.versions[0]) })
		l.wantOpen("", "v1")
		l.wantOpen(l.versions[0], "v0")
	})
	for name, end := range map[string]func(*upOf, []CompletePart) error{"complete": (*upOf).complete, "abort": (*upOf).abort} {
		t.Run(name, func(t *testing.T) {
			l := begin(t)
			u := l.begin()
			first := u.part("one")
			sweeps(l, func() error { return end(u, first) })
			again(l.several, func(cluster.RequestID) (bool, error) { return true, u.complete(first) })
			l.wantOpen("", "one")
		})
	}
}

func (u *upOf) abort([]CompletePart) error {
	p, call := u.l.at(u.l.key, "")
	return p.store.Abort(context.Background(), &AbortRequest{Call: call, Bucket: u.l.bucket, Key: cluster.ObjectKey(u.l.key), Upload: u.id})
}
