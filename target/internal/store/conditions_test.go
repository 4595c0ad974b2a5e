package store

import (
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

func TestConditions(t *testing.T) {
	at := time.Date(2024, 5, 6, 7, 8, 9, 500, time.UTC)
	there := state{exists: true, etag: "e", modified: at}
	tags := func(tags ...string) ETags { return ETags{Tags: tags} }
	anyTag := ETags{Any: true}
	earlier, same, later := at.Add(-time.Minute), at.Truncate(time.Second), at.Add(time.Minute)
	f := func(c Conditions, s state, read, write cluster.Kind) {
		t.Helper()
		n := name{bucket: &cluster.BucketEntry{Bucket: cluster.Native("b")}, key: "k"}
		if got := cluster.KindOf(c.forRead("op", n, s)); got != read {
			t.Errorf("read %+v: %s, want %s", c, got, read)
		}
		if got := cluster.KindOf(c.forWrite("op", n, s)); got != write {
			t.Errorf("write %+v: %s, want %s", c, got, write)
		}
	}
	const ok, absent, failed, unmodified = cluster.KindOther, cluster.KindObjectNotFound, cluster.KindPreconditionFailed, cluster.KindNotModified
	f(Conditions{}, there, ok, ok)
	f(Conditions{}, state{}, absent, ok)
	f(Conditions{Match: tags("e")}, there, ok, ok)
	f(Conditions{Match: tags("x", "e")}, there, ok, ok)
	f(Conditions{Match: tags("x")}, there, failed, failed)
	f(Conditions{Match: anyTag}, there, ok, ok)
	f(Conditions{Match: anyTag}, state{}, failed, failed)
	f(Conditions{Match: tags("e")}, state{}, absent, absent)
	f(Conditions{NoneMatch: tags("e")}, there, unmodified, failed)
	f(Conditions{NoneMatch: tags("x")}, there, ok, ok)
	f(Conditions{NoneMatch: anyTag}, there, unmodified, failed)
	f(Conditions{NoneMatch: anyTag}, state{}, absent, ok)
	f(Conditions{UnmodifiedSince: earlier}, there, failed, failed)
	f(Conditions{UnmodifiedSince: same}, there, ok, ok)
	f(Conditions{UnmodifiedSince: earlier}, state{}, absent, ok)
	f(Conditions{ModifiedSince: earlier}, there, ok, ok)
	f(Conditions{ModifiedSince: same}, there, unmodified, failed)
	f(Conditions{ModifiedSince: later}, there, unmodified, failed)
	// RFC 9110, 13.2.2: a date counts only where the ETag condition of its step is absent.
	f(Conditions{Match: tags("e"), UnmodifiedSince: earlier}, there, ok, ok)
	f(Conditions{Match: tags("x"), UnmodifiedSince: later}, there, failed, failed)
	f(Conditions{NoneMatch: tags("x"), ModifiedSince: later}, there, ok, ok)
	f(Conditions{NoneMatch: tags("e"), ModifiedSince: earlier}, there, unmodified, failed)
	f(Conditions{Match: tags("x"), NoneMatch: tags("e")}, there, failed, failed)
	f(Conditions{Match: tags("e"), NoneMatch: tags("e")}, there, unmodified, failed)
}

func TestRange(t *testing.T) {
	f := func(first, last, size, offset, length int64, ok bool) {
		t.Helper()
		if o, l, k := (Range{first, last}).within(size); k != ok || ok && (o != offset || l != length) {
			t.Errorf("%d-%d of %d: %d+%d %v, want %d+%d %v", first, last, size, o, l, k, offset, length, ok)
		}
	}
	f(0, 0, 10, 0, 1, true)
	f(0, 9, 10, 0, 10, true)
	f(0, 100, 10, 0, 10, true)
	f(5, -1, 10, 5, 5, true)
	f(9, -1, 10, 9, 1, true)
	f(10, -1, 10, 0, 0, false)
	f(10, 12, 10, 0, 0, false)
	f(5, 4, 10, 0, 0, false)
	f(-1, 3, 10, 7, 3, true)
	f(-1, 30, 10, 0, 10, true)
	f(-1, 0, 10, 0, 0, false)
	f(0, -1, 0, 0, 0, false)
	f(-1, 5, 0, 0, 0, false)
}

func TestIfRange(t *testing.T) {
	at := time.Unix(1000, 7)
	s := state{exists: true, etag: "e", modified: at}
	f := func(c Conditions, want bool) {
		t.Helper()
		if got := c.keepsRange(s); got != want {
			t.Errorf("%+v: %v, want %v", c, got, want)
		}
	}
	f(Conditions{}, true)
	f(Conditions{RangeETag: "e"}, true)
	f(Conditions{RangeETag: "x"}, false)
	f(Conditions{RangeModified: time.Unix(1000, 0)}, true)
	f(Conditions{RangeModified: time.Unix(999, 0)}, false)
	f(Conditions{RangeModified: time.Unix(1001, 0)}, false)
}
