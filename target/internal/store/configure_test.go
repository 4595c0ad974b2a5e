package store

import (
	"bytes"
	"context"
	"io"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aisle-store/aisle/cluster"
)

// hookReader calls a function when it has been read to its end.
type hookReader struct {
	io.Reader
	atEnd func()
}

func (r *hookReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err == io.EOF && r.atEnd != nil {
		r.atEnd()
		r.atEnd = nil
	}
	return n, err
}

// slowPut is a request whose body ends when during has returned.
func (b *bed) slowPut(key string, data []byte, during func()) *PutRequest {
	r := b.putRequest(key, data)
	r.Body = &hookReader{bytes.NewReader(data), during}
	return r
}

// wantVersion checks the bytes of one version.
func (b *bed) wantVersion(key string, id cluster.VersionID, want []byte) {
	b.t.Helper()
	r := b.getRequest(key)
	r.Version = id
	if got, _, err := b.read(r); err != nil || !bytes.Equal(got, want) {
		b.t.Fatalf("version %s: %d bytes of %d, %v", id, len(got), len(want), err)
	}
}

// TestWritesBeforeVersioning: what a write does to the version before it depends on how the bucket is configured when the write takes
// its turn, not on how it was when the request came: versions that were acknowledged meanwhile stay.
func TestWritesBeforeVersioning(t *testing.T) {
	b := newBed(t, vfs.NewMem(), 1, nil)
	defer func() { b.close() }()
	ctx := context.Background()
	before, first, late := pattern(1, 100_000), pattern(2, 100_000), pattern(3, 100_000)
	b.put("k", before)
	remove := &DeleteRequest{Call: b.call("k"), Bucket: b.bucket, Key: "k"}
	edit := &UpdateRequest{Call: b.call("k"), Bucket: b.bucket, Key: "k", Unversioned: true, Edit: func(md *Metadata) { md.User = nil }}
	var v1 *Info
	made, err := b.store.Put(ctx, b.slowPut("k", late, func() {
		b.versioning(cluster.VersioningEnabled)
		v1 = b.put("k", first)
	}))
	if err != nil || made.VersionID == nullVersion || made.VersionID == v1.VersionID {
		t.Fatal(made, err)
	}
	all := func() {
		t.Helper()
		b.drain()
		b.wantVersion("k", nullVersion, before)
		b.wantVersion("k", v1.VersionID, first)
		b.wantVersion("k", made.VersionID, late)
	}
	all()
	_, err = b.store.Update(ctx, edit)
	wantKind(t, err, cluster.KindConflict) // a copy onto itself that comes late makes a version, and edits none
	all()
	if r, err := b.store.Delete(ctx, remove); err != nil || !r.Marker {
		t.Fatal(r, err)
	}
	b.wantAbsent("k")
	all()

	// Suspended to enabled: the null version is not replaced any more.
	b.versioning(cluster.VersioningSuspended)
	null := b.put("n", first)
	made, err = b.store.Put(ctx, b.slowPut("n", late, func() { b.versioning(cluster.VersioningEnabled) }))
	if err != nil || null.VersionID != nullVersion || made.VersionID == nullVersion {
		t.Fatal(null, made, err)
	}
	b.drain()
	b.wantVersion("n", nullVersion, first)
	b.wantVersion("n", made.VersionID, late)
}

// TestDefaultRetentionWhileABodyComes: a version has the default retention that its bucket has when it is made.
func TestDefaultRetentionWhileABodyComes(t *testing.T) {
	b := newBed(t, vfs.NewMem(), 1, nil)
	defer b.close()
	b.versioning(cluster.VersioningEnabled)
	lock := func(days int) func() {
		return func() {
			b.configure(func(p *cluster.BucketProps) {
				p.Lock = cluster.BucketLock{Enabled: true, Mode: cluster.LockCompliance, Days: days}
			})
		}
	}
	retained := func(change func(*PutRequest), during func(), want func(made *Info) time.Time) {
		t.Helper()
		r := b.slowPut("k", pattern(1, 100_000), during)
		change(r)
		info, err := b.store.Put(context.Background(), r)
		if err != nil || info.Lock.Mode != cluster.LockCompliance || !info.Lock.Until.Equal(want(info)) {
			t.Fatalf("%+v, %v", info, err)
		}
	}
	after := func(days int) func(*Info) time.Time {
		return func(made *Info) time.Time { return cluster.BucketLock{Days: days}.Until(made.Modified) }
	}
	none := func(*PutRequest) {}
	retained(none, lock(2), after(2))
	retained(none, lock(5), after(5))
	own := time.Now().UTC().Truncate(time.Second).AddDate(0, 0, 1)
	retained(func(r *PutRequest) { r.Lock = Lock{Mode: cluster.LockCompliance, Until: own} }, lock(7), func(*Info) time.Time { return own })
}
