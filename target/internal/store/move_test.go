package store

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aisle-store/aisle/cluster"
)

// complete completes an upload, and returns the id of the version that it made.
func (u *uploading) complete(parts ...CompletePart) *Info {
	u.t.Helper()
	r := u.completeRequest(parts...)
	r.SmallParts = true
	info, err := u.store.Complete(context.Background(), r)
	if err != nil {
		u.t.Fatal(err)
	}
	return info
}

func (u *uploading) abort() error {
	return u.store.Abort(context.Background(), &AbortRequest{Call: u.call(u.key), Bucket: u.bucket, Key: cluster.ObjectKey(u.key), Upload: u.id})
}

// versions returns the ids of all versions of a key, the newest first.
func (b *bed) versions(key string) (ids []string) {
	b.t.Helper()
	for e, err := range b.store.Versions(context.Background(), b.listRequest()) {
		if err != nil {
			b.t.Fatal(err)
		}
		if string(e.Key) == key {
			ids = append(ids, string(e.VersionID))
		}
	}
	return ids
}

// TestMoveUploads: an upload that is moved in the middle goes on with the parts that it has, and ends but once.
func TestMoveUploads(t *testing.T) {
	b := newBed(t, vfs.NewMem(), 2, nil)
	defer func() { b.close() }()
	ctx := context.Background()
	b.put("old", []byte("an object that an upload is to replace"))
	type running struct {
		*uploading
		parts []CompletePart
		data  []byte
	}
	begin := func(key string, sizes ...int) *running {
		u := &running{uploading: b.upload(key)}
		for i, size := range sizes {
			data := pattern(i+len(key), size)
			u.parts, u.data = append(u.parts, u.part(i+1, data)), append(u.data, data...)
		}
		return u
	}
	create := &CreateUploadRequest{Call: b.call("done"), Bucket: b.bucket, Key: "done"}
	started, err := b.store.CreateUpload(ctx, create)
	if err != nil {
		t.Fatal(err)
	}
	fresh, over, aborted := begin("fresh", 100, 70_000, 300_000), begin("old", 5000), begin("old", 6000, 1)
	done := begin("done", 9000)
	made := done.completeRequest(done.parts...)
	if _, err := b.store.Complete(ctx, made); err != nil {
		t.Fatal(err)
	}
	b.put("done", []byte("since"))
	part := fresh.partRequest(2, pattern(50, 80_000))
	info, err := b.store.PutPart(ctx, part)
	if err != nil {
		t.Fatal(err)
	}
	fresh.parts[1].ETag = info.ETag
	fresh.data = slices.Concat(pattern(5, 100), pattern(50, 80_000), pattern(7, 300_000))

	c := b.over(9)
	for !c.moveSome("fresh", 1) {
		if n := fresh.uploads(); n != 0 {
			t.Fatalf("%d uploads are shown while parts are being moved", n)
		}
		b.restart()
		c.begin()
	}
	for _, key := range []string{"old", "done"} {
		c.mustMove(key)
		c.mustMove(key)
	}
	if n := fresh.uploads(); n != 4 {
		t.Fatalf("%d uploads, want 4", n)
	}
	page, err := b.store.Parts(ctx, &PartsRequest{Call: b.call("fresh"), Bucket: b.bucket, Key: "fresh", Upload: fresh.id})
	if err != nil || len(page.Parts) != 3 || page.Parts[1].ETag != info.ETag || !page.Parts[1].Modified.Equal(info.Modified) {
		t.Fatalf("%+v, %v", page, err)
	}
	// What was sent before the conversion is not done again when it comes once more.
	again := *part
	again.Bucket, again.Epoch, again.Body = b.bucket, b.call("fresh").Epoch, bytes.NewReader(pattern(50, 80_000))
	if same, err := b.store.PutPart(ctx, &again); err != nil || !same.Modified.Equal(info.Modified) {
		t.Errorf("a part was written again: %+v, %v", same, err)
	}
	create.Bucket, create.Epoch = b.bucket, b.call("done").Epoch
	if id, err := b.store.CreateUpload(ctx, create); err != nil || id != started {
		t.Errorf("upload %s was begun again as %s, %v", started, id, err)
	}
	if err := b.store.Abort(ctx, &AbortRequest{Call: b.call("done"), Bucket: b.bucket, Key: "done", Upload: started}); err != nil {
		t.Error(err)
	}
	made.Bucket, made.Epoch = b.bucket, b.call("done").Epoch
	if again, err := b.store.Complete(ctx, made); err != nil || again.PartCount != 0 && again.Size != 9000 || string(b.get("done")) != "since" {
		t.Errorf("a second Complete: %+v, %v", again, err)
	}

	last := pattern(60, 10)
	fresh.parts, fresh.data = append(fresh.parts, fresh.part(4, last)), append(fresh.data, last...)
	if fresh.complete(fresh.parts...); !bytes.Equal(b.get("fresh"), fresh.data) {
		t.Error("the object has other bytes than its parts")
	}
	if err := aborted.abort(); err != nil {
		t.Error(err)
	}
	if over.complete(over.parts...); !bytes.Equal(b.get("old"), over.data) {
		t.Error("the object has other bytes than its part")
	}
	c.end()
	if !bytes.Equal(b.get("fresh"), fresh.data) || !bytes.Equal(b.get("old"), over.data) || fresh.uploads() != 0 {
		t.Error("the end of the conversion has changed something")
	}
	for _, key := range []string{"fresh", "old", "done"} {
		b.delete(key)
	}
	b.wantAllFree()
	b.restart()
	b.wantAllFree()
}

// TestMoveWhatGoesForward: what was in doubt under the frozen id may go forward there between two attempts to move a key. What the
// first has moved does not stay then (C7, C8).
func TestMoveWhatGoesForward(t *testing.T) {
	b := newBed(t, vfs.NewMem(), 1, nil)
	defer func() { b.close() }()
	ctx := context.Background()
	b.versioning(cluster.VersioningEnabled)
	remove := func(key string, id cluster.VersionID) {
		if _, err := b.store.Delete(ctx, &DeleteRequest{Call: b.call(key), Bucket: b.bucket, Key: cluster.ObjectKey(key), Version: id}); err != nil {
			t.Fatal(err)
		}
	}
	var ids []cluster.VersionID
	for i := range 4 {
		for _, key := range []string{"promoted", "removed", "changed", "written"} {
			ids = append(ids, b.put(key, pattern(i, 5000)).VersionID)
		}
	}
	id := func(key, version int) cluster.VersionID { return ids[4*version+key] }
	ended, completed, part := b.upload("ended"), b.upload("completed"), b.upload("part")
	ended.part(1, pattern(1, 5000))
	whole := completed.part(1, pattern(2, 5000))
	part.part(1, pattern(3, 5000))
	kept := part.part(2, pattern(4, 5000))

	c := b.over(9)
	for _, key := range []string{"promoted", "removed", "changed", "written", "ended", "completed", "part"} {
		limit := 3 // all pieces, and of the uploads too: only the last commit is missing
		f, _ := c.frozen(key)
		missing, err := c.store.Missing(ctx, &InsertRequest{Epoch: c.call(key).Epoch, Bucket: c.bucket, Key: cluster.ObjectKey(key), Frozen: f})
		if err != nil || len(missing) > limit {
			t.Fatalf("%s: %d are missing, %v", key, len(missing), err)
		}
		for _, p := range missing {
			piece, data := c.piece(key, p)
			if err := c.store.InsertPiece(ctx, &InsertRequest{
				Epoch: c.call(key).Epoch, Bucket: c.bucket, Key: cluster.ObjectKey(key), Frozen: piece, Body: bytes.NewReader(data),
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	stale, _ := c.frozen("removed")
	c.below(func() {
		remove("promoted", id(0, 3))
		remove("removed", id(1, 1))
		if _, err := b.store.Update(ctx, &UpdateRequest{
			Call: b.call("changed"), Bucket: b.bucket, Key: "changed", Version: id(2, 0), Edit: func(md *Metadata) { md.Tags = []Pair{{Name: "a", Value: "b"}} },
		}); err != nil {
			t.Fatal(err)
		}
		b.put("written", []byte("new"))
		if err := ended.abort(); err != nil {
			t.Fatal(err)
		}
		completed.complete(whole)
		part.part(1, pattern(5, 6000))
	})
	// Somebody who has read the key before cannot settle it by that.
	f, _ := c.frozen("removed")
	if err := c.move("removed"); err != nil {
		t.Fatal(err)
	}
	if len(f.versions) != len(stale.versions)-1 {
		t.Fatalf("%d versions, and %d before", len(f.versions), len(stale.versions))
	}
	for _, key := range []string{"promoted", "changed", "written", "ended", "completed", "part"} {
		c.mustMove(key)
	}
	text := func(ids ...cluster.VersionID) string { return fmt.Sprint(ids) }
	for key, want := range map[string]string{
		"promoted": text(id(0, 2), id(0, 1), id(0, 0)), "removed": text(id(1, 3), id(1, 2), id(1, 0)), "changed": text(id(2, 3), id(2, 2), id(2, 1), id(2, 0)),
	} {
		if got := fmt.Sprint(b.versions(key)); got != want {
			t.Errorf("%s has versions %s, want %s", key, got, want)
		}
	}
	if n := len(b.versions("written")); n != 5 || string(b.get("written")) != "new" {
		t.Errorf("%d versions, the newest is %q", n, b.get("written"))
	}
	r := b.getRequest("changed")
	r.Version = id(2, 0)
	if _, info, err := b.read(r); err != nil || len(info.Tags) != 1 {
		t.Errorf("%+v, %v", info, err)
	}
	wantKind(t, ended.abort(), cluster.KindUploadNotFound)
	if !bytes.Equal(b.get("completed"), pattern(2, 5000)) || b.upload("completed").uploads() != 2 {
		t.Error("what was completed is not")
	}
	page, err := b.store.Parts(ctx, &PartsRequest{Call: b.call("part"), Bucket: b.bucket, Key: "part", Upload: part.id})
	if err != nil || len(page.Parts) != 2 || page.Parts[0].Size != 6000 {
		t.Fatalf("%+v, %v", page, err)
	}
	part.complete(CompletePart{Number: 1, ETag: page.Parts[0].ETag}, kept)
	if !bytes.Equal(b.get("part"), slices.Concat(pattern(5, 6000), pattern(4, 5000))) {
		t.Error("the object has other bytes than its parts")
	}
	c.end()
	for _, key := range []string{"promoted", "removed", "changed", "written", "completed", "part"} {
		for _, id := range b.versions(key) {
			remove(key, cluster.VersionID(id))
		}
	}
	b.wantAllFree()
}

// wantVersions demands that a key has some versions below a delete marker.
func (s *several) wantVersions(key string, want map[cluster.VersionID][]byte) {
	s.t.Helper()
	again(s, func(cluster.RequestID) (bool, error) {
		at, call := s.at(key, "")
		n := 0
		for e, err := range at.store.Versions(context.Background(), &ListRequest{Bucket: s.bucket, Map: s.active().Version}) {
			if err != nil {
				return false, err
			}
			if n++; e.Marker != (n == 1) {
				s.t.Errorf("%+v", e)
			}
		}
		if n != len(want)+1 {
			s.t.Errorf("%d versions, want %d", n, len(want)+1)
		}
		for id, data := range want {
			o, err := at.store.Open(context.Background(), &GetRequest{Call: call, Bucket: s.bucket, Key: cluster.ObjectKey(key), Version: id})
			if err != nil {
				return false, err
			}
			got := new(bytes.Buffer)
			_, err = got.ReadFrom(o.Reader())
			if o.Close(); err != nil {
				return false, err
			}
			if !bytes.Equal(got.Bytes(), data) {
				s.t.Errorf("version %s has %d bytes, want %d", id, got.Len(), len(data))
			}
		}
		return true, nil
	})
}

// TestMoveManyToSeveral moves versions and parts to slots of several holders, which have other owners between the steps.
func TestMoveManyToSeveral(t *testing.T) {
	for name, shards := range map[string]int{"copies": 0, "shards": 2} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, vfs.NewMem(), 1, nil)
			defer b.close()
			b.versioning(cluster.VersioningEnabled)
			want := make(map[cluster.VersionID][]byte)
			for i, size := range []int{0, 10, 900, 5000, 300_000} {
				data := pattern(i, size)
				want[b.put("k", data).VersionID] = data
			}
			u := b.upload("k")
			p := []CompletePart{u.part(1, pattern(7, 30_000)), u.part(2, pattern(8, 100))}
			want[u.complete(p...).VersionID] = slices.Concat(pattern(7, 30_000), pattern(8, 100))
			b.delete("k")
			u = b.upload("k")
			p = []CompletePart{u.part(1, pattern(9, 20_000)), u.part(2, pattern(10, 50))}

			c := &conversion{bed: b, from: b.bucket}
			s := newSeveral(t, 3, 3, nil)
			if shards > 0 {
				s = newCoded(t, 4, shards, 1, nil)
			}
			s.configure(func(p *cluster.BucketProps) { p.Versioning = cluster.VersioningEnabled })
			for i, done := 0, false; !done; i++ {
				at, _ := s.at("k", "")
				done = again(s, func(cluster.RequestID) (bool, error) { // a slot is not served until it is settled
					p, call := s.at("k", "")
					if p == nil {
						return false, errDown
					}
					return c.inserts("k", 2, p.store, InsertRequest{Epoch: call.Epoch, Bucket: s.bucket})
				})
				switch i {
				case 0:
					s.promote(at.node.id, "")
				case 1:
					s.crash(at.node.id)
					s.promote(at.node.id, "")
					s.start(at.node.id)
				}
				s.heal()
			}
			for range 2 {
				s.wantVersions("k", want)
				at, _ := s.at("k", "")
				s.promote(at.node.id, "")
				s.heal()
			}
			made := again(s, func(request cluster.RequestID) (*Info, error) {
				at, call := s.at("k", request)
				return at.store.Complete(context.Background(), &CompleteRequest{
					Call: call, Bucket: s.bucket, Key: "k", Upload: u.id, Parts: p, Size: -1, SmallParts: true,
				})
			})
			if got := s.get("k"); made.PartCount != 2 || !bytes.Equal(got, slices.Concat(pattern(9, 20_000), pattern(10, 50))) {
				t.Errorf("%+v, and %d bytes", made, len(got))
			}
		})
	}
}
