package store

import (
	"context"
	"testing"

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
