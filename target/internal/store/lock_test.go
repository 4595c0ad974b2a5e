package store

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/s3/lifecycle"
)

// TestLockedVersionsStay: rules do not remove a version before its lock has ended, and afterwards they do.
func TestLockedVersionsStay(t *testing.T) {
	b, rules := newExpiryBed(t, vfs.NewMem(), 1)
	defer b.close()
	b.versioning(cluster.VersioningEnabled)
	b.configure(func(p *cluster.BucketProps) {
		p.Lock = cluster.BucketLock{Enabled: true, Mode: cluster.LockCompliance, Days: 10}
	})
	retained := b.put("k", pattern(1, 100_000))
	held := b.put("k", pattern(2, 100))
	b.put("k", pattern(3, 100))
	if _, err := b.store.Update(context.Background(), &UpdateRequest{
		Call: b.call("k"), Bucket: b.bucket, Key: "k", Version: held.VersionID, Lock: &LockChange{Hold: cluster.HoldOn},
	}); err != nil {
		t.Fatal(err)
	}
	rules.set(b.bucket, lifecycle.Rule{ID: "all", Filter: prefixed(""), Noncurrent: &lifecycle.Noncurrent{Days: 1}})
	has := func(v *Info, want bool) {
		t.Helper()
		r := b.getRequest("k")
		r.Version = v.VersionID
		if _, err := b.store.Stat(context.Background(), r); (err == nil) != want || !want && !cluster.Is(err, cluster.KindVersionNotFound) {
			t.Fatalf("version %s: %v, want it %t", v.VersionID, err, want)
		}
	}
	rules.pass(5 * testDay)
	b.store.expireNow(t)
	has(retained, true)
	has(held, true)
	rules.pass(7 * testDay)
	b.store.expireNow(t)
	has(retained, false)
	has(held, true)
}

// TestWrongClockEndsNothing: while the wall clock is known to be wrong no retention ends by it and nothing expires, whatever it shows;
// what was refused for that is done when it is sent again later.
func TestWrongClockEndsNothing(t *testing.T) {
	rules := newTestRules()
	var wrong atomic.Bool
	b := newBed(t, vfs.NewMem(), 1, func(o *Options) {
		o.Now, o.Lifecycle = rules.time, rules
		o.CheckWall = func() error {
			if wrong.Load() {
				return cluster.Fail("test", "", cluster.KindUnavailable, "the clock is wrong")
			}
			return nil
		}
	})
	defer b.close()
	b.versioning(cluster.VersioningEnabled)
	b.configure(func(p *cluster.BucketProps) {
		p.Lock = cluster.BucketLock{Enabled: true, Mode: cluster.LockCompliance, Days: 10}
	})
	first, second := b.put("k", pattern(1, 100)), b.put("k", pattern(2, 100))
	b.put("k", pattern(3, 100))
	rules.set(b.bucket, lifecycle.Rule{ID: "all", Filter: prefixed(""), Noncurrent: &lifecycle.Noncurrent{Days: 1}})
	wrong.Store(true)
	rules.pass(365 * testDay)
	remove := &DeleteRequest{Call: b.call("k"), Bucket: b.bucket, Key: "k", Version: first.VersionID}
	if got, err := b.store.Delete(context.Background(), remove); !cluster.Is(err, cluster.KindUnavailable) {
		t.Fatalf("a retained version is removed: %+v, %v", got, err)
	}
	end := &UpdateRequest{Call: b.call("k"), Bucket: b.bucket, Key: "k", Version: second.VersionID, Lock: &LockChange{Retention: &Lock{}}}
	if got, err := b.store.Update(context.Background(), end); !cluster.Is(err, cluster.KindUnavailable) {
		t.Fatalf("a retention is taken back: %+v, %v", got, err)
	}
	if err := b.store.mayExpire(); err == nil {
		t.Fatal("rules are carried out")
	}
	bucket, config := rules.Rules(b.bucket.ID)
	if _, err := b.store.beginExpiry("test", &Expiring{Bucket: bucket, Rules: config}, name{bucket: &b.bucket, key: "k"}); !cluster.Is(err, cluster.KindUnavailable) {
		t.Fatalf("a turn begins for what has expired: %v", err)
	}
	extend := &UpdateRequest{Call: b.call("k"), Bucket: b.bucket, Key: "k", Version: second.VersionID, Lock: &LockChange{
		Retention: &Lock{Mode: cluster.LockCompliance, Until: rules.time().Add(time.Hour)},
	}}
	if _, err := b.store.Update(context.Background(), extend); err != nil {
		t.Fatalf("a retention cannot be extended: %v", err)
	}
	rules.pass(testDay)
	wrong.Store(false)
	_, removed := b.store.Delete(context.Background(), remove)
	_, ended := b.store.Update(context.Background(), end)
	if err := errors.Join(removed, ended); err != nil {
		t.Fatal(err)
	}
	b.store.expireNow(t)
	r := b.getRequest("k")
	r.Version = second.VersionID
	if _, err := b.store.Stat(context.Background(), r); !cluster.Is(err, cluster.KindVersionNotFound) {
		t.Fatalf("what has expired is there: %v", err)
	}
}
