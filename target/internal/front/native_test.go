package front

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/cluster/intra"
)

// native sends a request of the native API about a key of the bucket "native".
func (b *bed) native(operation, method, key, query, body string, pairs ...string) answer {
	b.t.Helper()
	target := api.ObjectPath(cluster.Native("native"), cluster.ObjectKey(key)) + "?" + query
	req := httpd.NewRequest(method, target, strings.NewReader(body), int64(len(body)), pairs...)
	b.next++
	g := &intra.Grant{
		Request: cluster.RequestID(fmt.Sprintf("n%d", b.next)), Identity: testKey, Dialect: intra.Native, Operation: operation,
		Bucket: cluster.Native("native"), Key: cluster.ObjectKey(key), Payload: intra.Payload{Length: req.Length},
	}
	if operation == "CopyObject" {
		var err error
		if g.Bucket, g.Key, err = api.ParseObjectTo(strings.TrimPrefix(query, "object_to=")); err != nil {
			b.t.Fatal(err)
		}
	}
	b.place(g)
	return b.serve(g, req)
}

func TestNative(t *testing.T) {
	b := newBed(t, "n1", "n2")
	const xxhashHello = "8c0c14c4d4f3b7c5"
	put := b.native("PutObject", "PUT", "a/ü k", "", "hello", "Ais-Custom-Md", "color=red", "Ais-Custom-Md", "n=1=2", "Content-Type", "application/json").want(t, 200)
	sum := put.header("Ais-Checksum-Value")
	put.wantHeaders(t, "Ais-Version", "1", "Ais-Checksum-Type", "xxhash")
	if len(sum) != 16 || put.header("Ais-Atime") == "" {
		t.Fatalf("checksum %q, atime %q", sum, put.header("Ais-Atime"))
	}
	b.native("PutObject", "PUT", "a/ü k", "", "hello", "Ais-Checksum-Type", "xxhash", "Ais-Checksum-Value", sum, "Ais-Custom-Md", "color=red").
		want(t, 200).wantHeaders(t, "Ais-Version", "2")
	b.native("PutObject", "PUT", "a/ü k", "", "hello", "Ais-Checksum-Type", "xxhash", "Ais-Checksum-Value", xxhashHello).want(t, 400, "ErrBadCksum")
	b.native("PutObject", "PUT", "a/ü k", "", "x", "Ais-Checksum-Type", "xxhash2", "Ais-Checksum-Value", "00").want(t, 501)
	b.native("PutObject", "PUT", "a/ü k", "", "x", "Ais-Checksum-Type", "md5", "Ais-Checksum-Value", "zz").want(t, 400)
	b.native("PutObject", "PUT", "a/ü k", "", "x", "Ais-Custom-Md", "novalue").want(t, 400)

	b.native("GetObject", "GET", "a/ü k", "", "").want(t, 200, "hello").
		wantHeaders(t, "Ais-Version", "2", "Ais-Checksum-Value", sum, "Ais-Custom-Md", "color=red", "Content-Type", "binary/octet-stream")
	b.native("GetObject", "GET", "a/ü k", "", "", "Range", "bytes=1-2").want(t, 206, "el").wantHeaders(t, "Content-Range", "bytes 1-2/5")
	b.native("GetObject", "GET", "none", "", "").want(t, 404, "ErrObjNotFound", "ais://native/none does not exist")

	head := b.native("HeadObject", "HEAD", "a/ü k", "", "").want(t, 200)
	head.wantHeaders(t, "Ais-Name", "a/ü k", "Ais-Bucket-Name", "native", "Ais-Bucket-Provider", "ais", "Ais-Mirror-Copies", "1", "Ais-Present", "true", "Ais-Version", "2")
	if head.header("ETag") == "" || head.header("Last-Modified") == "" || head.header("Content-Type") == "" {
		t.Fatal("no ETag, Last-Modified or Content-Type")
	}
	if head.rep.Length() != 5 || !strings.HasPrefix(head.header("Ais-Location"), "t[n") {
		t.Fatalf("length %d, location %q", head.rep.Length(), head.header("Ais-Location"))
	}
	two := b.native("HeadObject", "HEAD", "a/ü k", "props=size,checksum,etag,last-modified", "").want(t, 200)
	two.wantHeaders(t, "Ais-Checksum-Value", sum, "Ais-Name", "", "Ais-Version", "", "Ais-Custom-Md", "")
	if two.header("ETag") == "" || two.header("Last-Modified") == "" {
		t.Fatal("no ETag or Last-Modified")
	}
	missing := b.native("HeadObject", "HEAD", "none", "", "").want(t, 404)
	if missing.body != "" || !strings.Contains(missing.header("Hdr-Error"), "ErrObjNotFound") {
		t.Fatalf("%q %q", missing.body, missing.header("Hdr-Error"))
	}

	for i := range 6 {
		to := fmt.Sprint("copy", i)
		b.native("CopyObject", "PUT", "a/ü k", "object_to=ais/@#/native/"+to, "").want(t, 200)
		b.native("GetObject", "GET", to, "", "").want(t, 200, "hello").wantHeaders(t, "Ais-Custom-Md", "color=red", "Ais-Version", "1")
	}
	b.native("CopyObject", "PUT", "none", "object_to=ais/@#/native/x", "").want(t, 404)

	b.native("DeleteObject", "DELETE", "a/ü k", "", "").want(t, 200)
	b.native("DeleteObject", "DELETE", "a/ü k", "", "").want(t, 404, "does not exist")
	b.native("Rename", "POST", "a/ü k", "", "").want(t, 501)
}

// TestNode lists, deletes and stats as a gateway asks for.
func TestNode(t *testing.T) {
	b := newBed(t, "n1")
	ctx := context.Background()
	f := b.fronts["n1"]
	for _, key := range []string{"a", "b/1", "b/2", "c"} {
		b.do("PUT", "/bucket/"+key, key, "x-amz-checksum-crc32", crc32Base64(key)).want(t, 200)
	}
	g := &intra.Grant{Request: "R", Identity: testKey, Dialect: intra.Node, Bucket: cluster.Native("bucket"), BucketID: 1}
	list := func(in intra.ListRequest) *intra.ListReply {
		t.Helper()
		in.BucketID, in.MapVersion = 1, 1
		reply, err := f.List(ctx, g, &in)
		if err != nil {
			t.Fatal(err)
		}
		return reply
	}
	if r := list(intra.ListRequest{Delimiter: "/", Limit: 3}); len(r.Entries) != 3 || r.More || !r.Entries[1].Prefix || r.Entries[0].Additional != cluster.ChecksumSet(0).With(cluster.ChecksumCRC32) {
		t.Fatalf("%+v", r)
	}
	if r := list(intra.ListRequest{After: "a", Limit: 2, Details: true}); len(r.Entries) != 2 || !r.More || r.Entries[0].Key != "b/1" || r.Entries[0].Checksum != md5Hex("b/1") {
		t.Fatalf("%+v", r)
	}
	id := b.create("up", "x-amz-checksum-algorithm", "SHA256")
	composite := cluster.ChecksumSet(0).With(cluster.ChecksumSHA256) | cluster.CompositeChecksums
	if r := list(intra.ListRequest{Uploads: true, Limit: 2}); len(r.Entries) != 1 || string(r.Entries[0].UploadID) != id || r.Entries[0].Additional != composite {
		t.Fatalf("%+v", r)
	}
	for _, bad := range []intra.ListRequest{{BucketID: 1, MapVersion: 2, Limit: 1}, {BucketID: 1, MapVersion: 1, Limit: 0}, {BucketID: 2, MapVersion: 1, Limit: 1}} {
		if _, err := f.List(ctx, g, &bad); err == nil {
			t.Fatalf("%+v was answered", bad)
		}
	}
	entry := func(key string) intra.DeleteItem {
		_, epoch := b.state.m.Owner(cluster.SlotOf(1, cluster.ObjectKey(key)))
		return intra.DeleteItem{Key: cluster.ObjectKey(key), Request: cluster.RequestID("d-" + key), Epoch: epoch}
	}
	stale, conditional, size := entry("b/1"), entry("b/2"), int64(1)
	stale.Epoch++
	conditional.IfMatch = "no"
	sized := entry("b/2")
	sized.IfSize, sized.Request = &size, "d-sized"
	reply, err := f.Delete(ctx, g, &intra.DeleteRequest{BucketID: 1, Items: []intra.DeleteItem{entry("a"), entry("none"), stale, conditional, sized}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"", "", "unavailable", "precondition-failed", "precondition-failed"} {
		if reply.Results[i].Kind != want {
			t.Fatalf("item %d: %+v, want %q", i, reply.Results[i], want)
		}
	}
	b.do("GET", "/bucket/a", "").want(t, 404)
	b.do("GET", "/bucket/b/1", "").want(t, 200)
	stat, err := f.Stat(ctx, g, &intra.StatRequest{BucketID: 1, Key: "c", Epoch: 5})
	if err != nil || stat.Entry.Size != 1 || stat.Entry.Checksum != md5Hex("c") || stat.Entry.Version != 1 {
		t.Fatalf("%+v %v", stat, err)
	}
	if _, err := f.Stat(ctx, g, &intra.StatRequest{BucketID: 1, Key: "a", Epoch: 5}); !cluster.Is(err, cluster.KindObjectNotFound) {
		t.Fatal(err)
	}
}
