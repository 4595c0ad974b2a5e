package front

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/s3"
)

// TestCopy copies within a node and between two: keys fall on either.
func TestCopy(t *testing.T) {
	b := newBed(t, "n1", "n2")
	crossed := map[bool]int{}
	for i := range 12 {
		data := strings.Repeat(fmt.Sprint(i), 1+i*50000)
		from, to := fmt.Sprintf("a b+%d", i), fmt.Sprintf("copy%d", i)
		_, fromOwner := b.owner(from)
		_, toOwner := b.owner(to)
		crossed[fromOwner != toOwner]++
		b.do("PUT", "/bucket/a%20b+"+fmt.Sprint(i), data, "Content-Type", "text/x", "x-amz-meta-a", "\xff=?ü", "x-amz-checksum-crc32", crc32Base64(data)).want(t, 200)
		b.do("PUT", "/bucket/"+to, "", "x-amz-copy-source", "/bucket/a%20b%2B"+fmt.Sprint(i)).
			want(t, 200, "<CopyObjectResult", "&quot;"+md5Hex(data)+"&quot;", "<ChecksumCRC32>"+crc32Base64(data))
		got := b.do("GET", "/bucket/"+to, "", "x-amz-checksum-mode", "ENABLED").want(t, 200)
		if got.body != data {
			t.Fatalf("%d bytes, not %d", len(got.body), len(data))
		}
		source := b.do("HEAD", "/bucket/a%20b+"+fmt.Sprint(i), "")
		got.wantHeaders(t, "Content-Type", "text/x", "x-amz-meta-a", source.header("x-amz-meta-a"), "x-amz-checksum-crc32", crc32Base64(data))

		b.do("PUT", "/bucket/"+to, "", "x-amz-copy-source", "bucket/a%20b%2B"+fmt.Sprint(i), "x-amz-metadata-directive", "REPLACE",
			"x-amz-meta-new", "2", "x-amz-checksum-algorithm", "SHA256").want(t, 200, "<ChecksumSHA256>")
		b.do("GET", "/bucket/"+to, "").wantHeaders(t, "Content-Type", "binary/octet-stream", "x-amz-meta-a", "", "x-amz-meta-new", "2")
	}
	if crossed[true] == 0 || crossed[false] == 0 {
		t.Fatalf("copies between nodes: %v", crossed)
	}
}

func (b *bed) owner(key string) (cluster.Slot, cluster.NodeID) {
	slot := cluster.SlotOf(1, cluster.ObjectKey(key))
	owner, _ := b.state.m.Owner(slot)
	return slot, owner
}

func TestCopyRefusals(t *testing.T) {
	b := newBed(t, "n1", "n2")
	past, future := s3.FormatHTTPDate(time.Now().Add(-time.Hour)), s3.FormatHTTPDate(time.Now().Add(time.Hour))
	for i := range 6 { // sources on both nodes
		source := fmt.Sprint("s", i)
		b.do("PUT", "/bucket/"+source, "x").want(t, 200)
		f := func(status int, code string, pairs ...string) {
			t.Helper()
			b.do("PUT", "/bucket/d", "", append([]string{"x-amz-copy-source", "bucket/" + source}, pairs...)...).want(t, status, code)
		}
		etag := `"` + md5Hex("x") + `"`
		f(412, "PreconditionFailed", "x-amz-copy-source-if-match", `"no"`)
		f(412, "PreconditionFailed", "x-amz-copy-source-if-none-match", etag)
		f(412, "PreconditionFailed", "x-amz-copy-source-if-modified-since", future)
		f(412, "PreconditionFailed", "x-amz-copy-source-if-unmodified-since", past)
		b.do("GET", "/bucket/d", "").want(t, 404)
		f(200, "", "x-amz-copy-source-if-match", etag, "x-amz-copy-source-if-unmodified-since", past)
		f(412, "PreconditionFailed", "If-None-Match", "*")
		f(400, "InvalidArgument", "x-amz-metadata-directive", "BOTH")
		b.do("DELETE", "/bucket/d", "").want(t, 204)
	}
	b.do("PUT", "/bucket/d", "", "x-amz-copy-source", "bucket/none").want(t, 404, "NoSuchKey")
	b.do("PUT", "/bucket/d", "", "x-amz-copy-source", "nowhere/none").want(t, 404, "NoSuchBucket")
	b.do("PUT", "/bucket/d", "", "x-amz-copy-source", "nonsense").want(t, 400, "InvalidArgument")
	b.do("PUT", "/bucket/d", "", "x-amz-copy-source", "bucket/s0?versionId=1").want(t, 400, "InvalidArgument")
	b.do("PUT", "/bucket/d", "", "x-amz-copy-source", "bucket/s0?versionId=0000000000000001").want(t, 404, "NoSuchVersion")
	b.do("PUT", "/bucket/s0", "", "x-amz-copy-source", "bucket/s0").want(t, 400, "InvalidRequest")
}

func TestCopyOntoItself(t *testing.T) {
	b := newBed(t, "n1")
	b.do("PUT", "/bucket/k", "x", "x-amz-meta-a", "1", "Content-Type", "text/a").want(t, 200)
	b.do("PUT", "/bucket/k", "", "x-amz-copy-source", "bucket/k", "x-amz-metadata-directive", "REPLACE", "x-amz-meta-b", "2").want(t, 200)
	b.do("GET", "/bucket/k", "").want(t, 200, "x").wantHeaders(t, "x-amz-meta-a", "", "x-amz-meta-b", "2", "Content-Type", "binary/octet-stream")
	b.do("PUT", "/bucket/k", "", "x-amz-copy-source", "bucket/k", "x-amz-metadata-directive", "REPLACE", "x-amz-copy-source-if-match", `"no"`).want(t, 412)
	b.do("PUT", "/bucket/k", "", "x-amz-copy-source", "bucket/k", "x-amz-checksum-algorithm", "CRC32").want(t, 200, "ChecksumCRC32")
	b.do("GET", "/bucket/k", "").want(t, 200, "x").wantHeaders(t, "x-amz-meta-b", "2")
	b.do("PUT", "/bucket/none", "", "x-amz-copy-source", "bucket/none", "x-amz-metadata-directive", "REPLACE").want(t, 404)
}

// TestCopyOntoItselfBeforeVersioning: a copy onto itself that comes to its turn when the bucket has got versions makes a version, and
// leaves the one that it copies as it was.
func TestCopyOntoItselfBeforeVersioning(t *testing.T) {
	b := newBed(t, "n1")
	b.do("PUT", "/bucket/k", "x", "x-amz-meta-a", "1").want(t, 200)
	copied := b.attempts("PUT", "/bucket/k", "x-amz-copy-source", "bucket/k", "x-amz-metadata-directive", "REPLACE", "x-amz-meta-a", "2")
	b.state.beforeWrite = func() { b.state.buckets[0].Props.Versioning = cluster.VersioningEnabled }
	copied().want(t, 200)
	b.state.beforeWrite = nil
	b.do("GET", "/bucket/k", "").want(t, 200, "x").wantHeaders(t, "x-amz-meta-a", "2")
	b.do("GET", "/bucket/k?versionId=null", "").want(t, 200, "x").wantHeaders(t, "x-amz-meta-a", "1")
}

// attempts returns a function that makes attempts of one request without a body.
func (b *bed) attempts(method, target string, pairs ...string) func() answer {
	b.t.Helper()
	req := func() *httpd.Request {
		return httpd.NewRequest(method, target, nil, 0, append([]string{"Host", "h"}, pairs...)...)
	}
	g, err := b.grant(req())
	if err != nil {
		b.t.Fatal(err)
	}
	return func() answer { return b.serve(g, req()) }
}

// TestRefusedCopyOntoItself: a copy that was refused because the object was written all the time stays so.
func TestRefusedCopyOntoItself(t *testing.T) {
	b := newBed(t, "n1")
	b.do("PUT", "/bucket/k", "0").want(t, 200)
	copied := b.attempts("PUT", "/bucket/k", "x-amz-copy-source", "bucket/k", "x-amz-checksum-algorithm", "CRC32")
	asked, inside := 0, false
	b.state.beforeWrite = func() {
		if inside {
			return
		}
		// The other times are in turns: that which looks for earlier attempts, that of the write, and the last one.
		if asked++; asked%3 != 1 || asked > 3*selfCopyAttempts {
			return
		}
		inside = true
		b.do("PUT", "/bucket/k", strconv.Itoa(asked)).want(t, 200)
		inside = false
	}
	copied().want(t, 409)
	b.state.beforeWrite = nil
	copied().want(t, 409)
	if a := b.do("HEAD", "/bucket/k", "", "x-amz-checksum-mode", "ENABLED").want(t, 200); a.header("x-amz-checksum-crc32") != "" {
		t.Error("a copy that was refused was made")
	}
}

// TestPartCopyIsDoneOnce is TestCopyIsDoneOnce for parts.
func TestPartCopyIsDoneOnce(t *testing.T) {
	b := newBed(t, "n1", "n2")
	b.do("PUT", "/bucket/source", "old").want(t, 200)
	id := between(b.do("POST", "/bucket/k?uploads", "").want(t, 200).body, "<UploadId>", "</UploadId>")
	made := b.attempts("PUT", "/bucket/k?partNumber=1&uploadId="+id, "x-amz-copy-source", "bucket/source")
	made().want(t, 200, md5Hex("old"))
	b.do("DELETE", "/bucket/source", "").want(t, 204)
	made().want(t, 200, md5Hex("old"))

	refused := b.attempts("PUT", "/bucket/k?partNumber=1&uploadId="+id, "x-amz-copy-source", "bucket/source")
	refused().want(t, 404, "NoSuchKey")
	b.do("PUT", "/bucket/source", "new").want(t, 200)
	refused().want(t, 404, "NoSuchKey")
	b.do("GET", "/bucket/k?uploadId="+id, "").want(t, 200, md5Hex("old"))
}

// TestCopyIsDoneOnce: what a copy came to is what every later attempt is told, whatever has become of the source.
func TestCopyIsDoneOnce(t *testing.T) {
	b := newBed(t, "n1", "n2")
	attempts := func() func() answer {
		return b.attempts("PUT", "/bucket/copy", "x-amz-copy-source", "bucket/source")
	}
	b.do("PUT", "/bucket/source", "old").want(t, 200)
	made := attempts()
	made().want(t, 200, md5Hex("old"))
	b.do("DELETE", "/bucket/source", "").want(t, 204)
	made().want(t, 200, md5Hex("old"))
	b.do("PUT", "/bucket/copy", "other").want(t, 200)
	made().want(t, 200, md5Hex("old"))

	refused := attempts()
	refused().want(t, 404)
	b.do("PUT", "/bucket/source", "new").want(t, 200)
	refused().want(t, 404)
	b.do("GET", "/bucket/copy", "").want(t, 200, "other")
}
