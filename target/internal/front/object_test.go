package front

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/s3"
)

func md5Hex(s string) string { sum := md5.Sum([]byte(s)); return hex.EncodeToString(sum[:]) }

func md5Base64(s string) string {
	sum := md5.Sum([]byte(s))
	return base64.StdEncoding.EncodeToString(sum[:])
}

func sha256Hex(s string) string { sum := sha256.Sum256([]byte(s)); return hex.EncodeToString(sum[:]) }

func crc32Base64(s string) string {
	sum := crc32.ChecksumIEEE([]byte(s))
	return base64.StdEncoding.EncodeToString([]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
}

func TestObject(t *testing.T) {
	b := newBed(t, "n1")
	for _, size := range []int{0, 1, 5000, 1 << 20, 3 << 20} {
		data := strings.Repeat("0123456789", size/10+1)[:size]
		path := fmt.Sprintf("/bucket/dir/..%%2F%d", size)
		put := b.do("PUT", path, data, "Content-Type", "text/x", "Content-Encoding", "gzip,aws-chunked", "Cache-Control", "no-cache",
			"x-amz-meta-a", "1", "x-amz-meta-u", "=?UTF-8?B?w7w=?=", "Content-MD5", md5Base64(data)).want(t, 200)
		etag := `"` + md5Hex(data) + `"`
		put.wantHeaders(t, "ETag", etag)
		get := b.do("GET", path, "").want(t, 200)
		if get.body != data {
			t.Fatalf("%d bytes came back as %d", size, len(get.body))
		}
		for _, a := range []answer{get, b.do("HEAD", path, "").want(t, 200)} {
			a.wantHeaders(t, "ETag", etag, "Content-Type", "text/x", "Content-Encoding", "gzip", "Cache-Control", "no-cache",
				"x-amz-meta-a", "1", "x-amz-meta-u", "=?UTF-8?B?w7w=?=", "Accept-Ranges", "bytes")
			if a.rep.Length() != int64(size) && a.rep.Length() != 0 || a.header("Last-Modified") == "" {
				t.Fatalf("length %d", a.rep.Length())
			}
		}
		b.do("DELETE", path, "").want(t, 204)
		b.do("DELETE", path, "").want(t, 204)
		b.do("GET", path, "").want(t, 404, "<Code>NoSuchKey</Code>")
		if head := b.do("HEAD", path, "").want(t, 404); head.body != "" {
			t.Fatal("HEAD with a body")
		}
	}
	b.do("PUT", "/bucket/plain", "x").want(t, 200)
	b.do("GET", "/bucket/plain", "").wantHeaders(t, "Content-Type", "binary/octet-stream")
	b.do("GET", "/bucket/plain?response-content-type=text/html&response-content-disposition=attachment", "").
		wantHeaders(t, "Content-Type", "text/html", "Content-Disposition", "attachment")
}

func TestRanges(t *testing.T) {
	b := newBed(t, "n1")
	b.do("PUT", "/bucket/k", "0123456789").want(t, 200)
	f := func(value string, status int, body, contentRange string) {
		t.Helper()
		a := b.do("GET", "/bucket/k", "", "Range", value).want(t, status)
		if a.body != body && status < 300 {
			t.Fatalf("%s: %q", value, a.body)
		}
		a.wantHeaders(t, "Content-Range", contentRange)
		head := b.do("HEAD", "/bucket/k", "", "Range", value).want(t, status)
		if status < 300 && head.rep.Length() != int64(len(body)) {
			t.Fatalf("%s: HEAD says %d", value, head.rep.Length())
		}
	}
	f("bytes=0-0", 206, "0", "bytes 0-0/10")
	f("bytes=2-5", 206, "2345", "bytes 2-5/10")
	f("bytes=8-100", 206, "89", "bytes 8-9/10")
	f("bytes=7-", 206, "789", "bytes 7-9/10")
	f("bytes=-3", 206, "789", "bytes 7-9/10")
	f("bytes=-30", 206, "0123456789", "bytes 0-9/10")
	f("bytes=1-2,4-5", 200, "0123456789", "")
	f("nonsense", 200, "0123456789", "")
	f("bytes=10-", 416, "", "")
	f("bytes=-0", 416, "", "")
	b.do("GET", "/bucket/k", "", "Range", "bytes=10-").want(t, 416, "<ActualObjectSize>10</ActualObjectSize>", "<RangeRequested>bytes=10-</RangeRequested>")
	b.do("GET", "/bucket/k", "", "Range", "bytes=0-0", "If-Range", `"other"`).want(t, 200)
	b.do("GET", "/bucket/k", "", "Range", "bytes=0-0", "If-Range", `"`+md5Hex("0123456789")+`"`).want(t, 206)
}

func TestConditionalReads(t *testing.T) {
	b := newBed(t, "n1")
	b.do("PUT", "/bucket/k", "x", "Cache-Control", "max-age=1").want(t, 200)
	etag := `"` + md5Hex("x") + `"`
	past, future := s3.FormatHTTPDate(time.Now().Add(-time.Hour)), s3.FormatHTTPDate(time.Now().Add(time.Hour))
	f := func(status int, pairs ...string) {
		t.Helper()
		for _, method := range []string{"GET", "HEAD"} {
			a := b.do(method, "/bucket/k", "", pairs...).want(t, status)
			if status == 304 {
				a.wantHeaders(t, "ETag", etag, "Cache-Control", "max-age=1")
				if a.body != "" {
					t.Fatal("304 with a body")
				}
			}
		}
	}
	f(200, "If-Match", etag)
	f(200, "If-Match", "*")
	f(412, "If-Match", `"no"`)
	f(304, "If-None-Match", etag)
	f(304, "If-None-Match", "*")
	f(200, "If-None-Match", `"no"`)
	f(304, "If-Modified-Since", future)
	f(200, "If-Modified-Since", past)
	f(412, "If-Unmodified-Since", past)
	f(200, "If-Unmodified-Since", future)
	f(200, "If-Match", etag, "If-Unmodified-Since", past)
	f(200, "If-None-Match", `"no"`, "If-Modified-Since", future)
	b.do("GET", "/bucket/absent", "", "If-Match", etag).want(t, 404)
}

func TestConditionalWrites(t *testing.T) {
	b := newBed(t, "n1")
	b.do("PUT", "/bucket/k", "1", "If-Match", `"x"`).want(t, 404, "NoSuchKey")
	b.do("PUT", "/bucket/k", "1", "If-None-Match", "*").want(t, 200)
	b.do("PUT", "/bucket/k", "2", "If-None-Match", "*").want(t, 412, "<Code>PreconditionFailed</Code>")
	b.do("PUT", "/bucket/k", "2", "If-Match", `"`+md5Hex("2")+`"`).want(t, 412)
	b.do("PUT", "/bucket/k", "2", "If-Match", `"`+md5Hex("1")+`"`).want(t, 200)
	b.do("PUT", "/bucket/k", "3", "If-None-Match", `"x"`).want(t, 501)
	b.do("DELETE", "/bucket/k", "", "If-Match", `"x"`).want(t, 412)
	b.do("DELETE", "/bucket/k", "", "If-None-Match", "*").want(t, 501)
	b.do("GET", "/bucket/k", "").want(t, 200, "2")
	b.do("DELETE", "/bucket/k", "", "If-Match", md5Hex("2")).want(t, 204)
}

// TestStatedChecksums sends bodies that do not have what the request states of them: nothing may be stored.
func TestStatedChecksums(t *testing.T) {
	b := newBed(t, "n1")
	f := func(status int, code string, pairs ...string) {
		t.Helper()
		a := b.do("PUT", "/bucket/k", "hello", pairs...).want(t, status, code)
		if status != 200 {
			b.do("GET", "/bucket/k", "").want(t, 404)
			return
		}
		_ = a
		b.do("DELETE", "/bucket/k", "").want(t, 204)
	}
	f(200, "", "Content-MD5", md5Base64("hello"))
	f(400, "BadDigest", "Content-MD5", md5Base64("hallo"))
	f(400, "InvalidDigest", "Content-MD5", "x")
	f(200, "", "x-amz-checksum-crc32", crc32Base64("hello"), "x-amz-sdk-checksum-algorithm", "CRC32")
	f(400, "BadDigest", "x-amz-checksum-crc32", crc32Base64("hallo"))
	f(400, "InvalidRequest", "x-amz-checksum-crc32", "x")
	f(200, "", "x-amz-content-sha256", sha256Hex("hello"))
	f(400, "XAmzContentSHA256Mismatch", "x-amz-content-sha256", sha256Hex("hallo"))
	f(400, "MetadataTooLarge", "x-amz-meta-a", strings.Repeat("x", 3000))
}

func TestChecksumsComeBack(t *testing.T) {
	b := newBed(t, "n1")
	b.do("PUT", "/bucket/k", "hello", "x-amz-checksum-crc32", crc32Base64("hello")).want(t, 200).
		wantHeaders(t, "x-amz-checksum-crc32", crc32Base64("hello"), "x-amz-checksum-type", "FULL_OBJECT")
	b.do("GET", "/bucket/k", "").want(t, 200).wantHeaders(t, "x-amz-checksum-crc32", "")
	for _, method := range []string{"GET", "HEAD"} {
		b.do(method, "/bucket/k", "", "x-amz-checksum-mode", "ENABLED").want(t, 200).
			wantHeaders(t, "x-amz-checksum-crc32", crc32Base64("hello"), "x-amz-checksum-type", "FULL_OBJECT")
	}
	b.do("GET", "/bucket/k", "", "x-amz-checksum-mode", "ENABLED", "Range", "bytes=0-1").want(t, 206).wantHeaders(t, "x-amz-checksum-crc32", "")
}

// nvmeOf123456789 is the CRC64NVME of "123456789", as S3 writes it.
const nvmeOf123456789 = "rosUhgp5mIg="

// TestDefaultChecksum: who states no checksum gets a CRC64NVME of the whole object, unless it would tell of bytes that are secret.
func TestDefaultChecksum(t *testing.T) {
	b := newBed(t, "n1", "n2")
	told := []string{"x-amz-checksum-crc64nvme", nvmeOf123456789, "x-amz-checksum-type", "FULL_OBJECT"}
	shown := func(target string, want ...string) {
		t.Helper()
		for _, method := range []string{"GET", "HEAD"} {
			b.do(method, target, "", "x-amz-checksum-mode", "ENABLED").want(t, 200).wantHeaders(t, want...)
			b.do(method, target, "").want(t, 200).wantHeaders(t, "x-amz-checksum-crc64nvme", "")
		}
	}
	b.do("PUT", "/bucket/k", "123456789").want(t, 200).wantHeaders(t, told...)
	shown("/bucket/k", told...)
	b.do("GET", "/bucket/k?attributes", "", "x-amz-object-attributes", "Checksum").want(t, 200, "<ChecksumCRC64NVME>"+nvmeOf123456789+"</ChecksumCRC64NVME>", "<ChecksumType>FULL_OBJECT</ChecksumType>")
	b.do("PUT", "/bucket/md5", "123456789", "Content-MD5", md5Base64("123456789")).want(t, 200).wantHeaders(t, told...)
	b.do("PUT", "/bucket/crc32", "123456789", "x-amz-checksum-crc32", crc32Base64("123456789")).want(t, 200).wantHeaders(t, "x-amz-checksum-crc64nvme", "")
	shown("/bucket/crc32", "x-amz-checksum-crc64nvme", "", "x-amz-checksum-crc32", crc32Base64("123456789"))

	b.do("PUT", "/bucket/s3", "123456789", sseHeader, "AES256").want(t, 200).wantHeaders(t, told...)
	shown("/bucket/s3", told...)
	b.do("PUT", "/bucket/kms", "123456789", sseHeader, "aws:kms").want(t, 200).wantHeaders(t, "x-amz-checksum-crc64nvme", "")
	shown("/bucket/kms", "x-amz-checksum-crc64nvme", "", "x-amz-checksum-type", "")
	b.do("PUT", "/bucket/customer", "123456789", customer(sseHeader, 1)...).want(t, 200).wantHeaders(t, "x-amz-checksum-crc64nvme", "")

	// A copy has the kinds of its source, and the default of a source that has none.
	b.native("PutObject", "PUT", "old", "", "123456789").want(t, 200)
	b.do("PUT", "/bucket/of-none", "", "x-amz-copy-source", "bucket/kms").want(t, 200, "<ChecksumCRC64NVME>"+nvmeOf123456789+"</ChecksumCRC64NVME>")
	shown("/bucket/of-none", told...)
	b.do("PUT", "/bucket/of-native", "", "x-amz-copy-source", "native/old").want(t, 200, "<ChecksumCRC64NVME>"+nvmeOf123456789)
	b.do("PUT", "/bucket/of-crc32", "", "x-amz-copy-source", "bucket/crc32").want(t, 200, "<ChecksumCRC32>")
	shown("/bucket/of-crc32", "x-amz-checksum-crc64nvme", "")
}

func TestTrailer(t *testing.T) {
	b := newBed(t, "n1")
	f := func(sum string, status int) {
		t.Helper()
		body := "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:" + sum + "\r\n\r\n"
		b.do("PUT", "/bucket/k", body, "x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "x-amz-decoded-content-length", "5",
			"Content-Encoding", "aws-chunked", "x-amz-trailer", "x-amz-checksum-crc32", "x-amz-sdk-checksum-algorithm", "CRC32").want(t, status)
	}
	f(crc32Base64("hallo"), 400)
	b.do("GET", "/bucket/k", "").want(t, 404)
	f(crc32Base64("hello"), 200)
	b.do("GET", "/bucket/k", "", "x-amz-checksum-mode", "ENABLED").want(t, 200, "hello").
		wantHeaders(t, "x-amz-checksum-crc32", crc32Base64("hello"), "Content-Encoding", "")
}

// signedChunks frames data in signed chunks as the documentation describes.
func signedChunks(scope, date, seed string, chunks ...string) string {
	key := s3.DeriveKey(testSecret, scope)
	var out strings.Builder
	for _, data := range append(chunks, "") {
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "AWS4-HMAC-SHA256-PAYLOAD\n%s\n%s\n%s\n%s\n%s", date, scope, seed, sha256Hex(""), sha256Hex(data))
		seed = hex.EncodeToString(mac.Sum(nil))
		fmt.Fprintf(&out, "%x;chunk-signature=%s\r\n%s\r\n", len(data), seed, data)
	}
	return out.String()
}

func TestSignedChunks(t *testing.T) {
	b := newBed(t, "n1")
	scope, date, seed := "20260101/us-east-1/s3/aws4_request", "20260101T000000Z", strings.Repeat("0", 64)
	chunk := strings.Repeat("a", 10000)
	f := func(body string, identity cluster.AccessKeyID, status int, code string) {
		t.Helper()
		req := httpd.NewRequest("PUT", "/bucket/k", strings.NewReader(body), int64(len(body)), "x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
			"x-amz-decoded-content-length", "10003")
		g, err := b.grant(req)
		if err != nil {
			t.Fatal(err)
		}
		g.Identity = identity
		g.Payload.Scope, g.Payload.Date, g.Payload.Seed = scope, date, seed
		b.serve(g, req).want(t, status, code)
	}
	good := signedChunks(scope, date, seed, chunk, "end")
	f(strings.Replace(good, "end", "end"[:2]+"t", 1), testKey, 403, "SignatureDoesNotMatch")
	f(good, "NOBODY", 403, "InvalidAccessKeyId")
	f(good[:len(good)-100], testKey, 400, "")
	b.do("GET", "/bucket/k", "").want(t, 404)
	f(good, testKey, 200, "")
	b.do("GET", "/bucket/k", "").want(t, 200, chunk+"end")
}

func TestShortBody(t *testing.T) {
	b := newBed(t, "n1")
	req := httpd.NewRequest("PUT", "/bucket/k", strings.NewReader("hell"), 5)
	g, err := b.grant(req)
	if err != nil {
		t.Fatal(err)
	}
	b.serve(g, req).want(t, 400, "IncompleteBody")
	b.do("GET", "/bucket/k", "").want(t, 404)
}

// TestGrants shows that the owner does what was granted and nothing else.
func TestGrants(t *testing.T) {
	b := newBed(t, "n1")
	f := func(status int, change func(*intra.Grant)) {
		t.Helper()
		req := httpd.NewRequest("PUT", "/bucket/k", strings.NewReader("x"), 1)
		g, err := b.grant(req)
		if err != nil {
			t.Fatal(err)
		}
		change(g)
		b.serve(g, req).want(t, status)
	}
	f(200, func(*intra.Grant) {})
	f(403, func(g *intra.Grant) { g.Operation = "GetObject" })
	f(403, func(g *intra.Grant) { g.Dialect = intra.Node })
	f(503, func(g *intra.Grant) { g.Epoch++ })
	f(503, func(g *intra.Grant) { g.BucketID = 99 })
	f(503, func(g *intra.Grant) { g.Bucket = cluster.Native("other") })
	b.state.loseLease(cluster.Fail("test", "", cluster.KindUnavailable, "no lease"))
	a := b.do("GET", "/bucket/k", "").want(t, 503, "ServiceUnavailable")
	a.wantHeaders(t, "Retry-After", "1")
	b.do("PUT", "/bucket/k2", "x").want(t, 503)
	b.state.loseLease(nil)
	b.do("GET", "/bucket/k", "").want(t, 200)
}

// TestUnknownSubResources sends every sub-resource of S3 and some that do not exist, with every method, at an object:
// none may change it, and only a read with a name that is none of S3's shows it.
func TestUnknownSubResources(t *testing.T) {
	b := newBed(t, "n1")
	b.do("PUT", "/bucket/k", "precious", "x-amz-meta-a", "1").want(t, 200)
	strange := []string{"unknown", "append", "append&position=0", "TAGGING", "x", "x-y=z"}
	for _, name := range append([]string{"encryption", "renameObject", "restore", "select", "torrent", "cors", "policy", "lifecycle", "delete", "versions"}, strange...) {
		for _, method := range []string{"GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH"} {
			if slices.Contains(strange, name) && (method == "GET" || method == "HEAD") {
				b.do(method, "/bucket/k?"+name, "").want(t, 200)
				continue
			}
			a := b.do(method, "/bucket/k?"+name, "<xml/>")
			if a.status != 501 && a.status != 405 || strings.Contains(a.body, "precious") {
				t.Fatalf("%s ?%s: %d %s", method, name, a.status, a.body)
			}
		}
	}
	for _, method := range []string{"GET", "DELETE"} {
		b.do(method, "/bucket/k?versionId=abc", "").want(t, 400, "InvalidArgument")
		b.do(method, "/bucket/k?versionId=", "").want(t, 400, "InvalidArgument")
	}
	b.do("GET", "/bucket/k?versionId=0000000000000001", "").want(t, 404, "NoSuchVersion")
	b.do("DELETE", "/bucket/k?versionId=0000000000000001", "").want(t, 204)
	b.do("PUT", "/bucket/k?versionId=null", "x").want(t, 501)
	b.do("POST", "/bucket/k?versionId=null", "x").want(t, 405)
	b.do("GET", "/bucket/k?versionId=null", "").want(t, 200, "precious")
	b.do("GET", "/bucket/k?acl", "").want(t, 200)
	b.do("GET", "/bucket/none?acl", "").want(t, 404, "NoSuchKey")
	b.do("GET", "/bucket/k?attributes", "").want(t, 400, "InvalidArgument")
	b.do("GET", "/bucket/k?tagging", "").want(t, 200, "<TagSet></TagSet>")
	b.do("GET", "/bucket/none?tagging", "").want(t, 404, "NoSuchKey")
	b.do("HEAD", "/bucket/k?tagging", "").want(t, 405)
	b.do("POST", "/bucket/k?tagging", "<xml/>").want(t, 405, "MethodNotAllowed")
	b.do("PUT", "/bucket/k?tagging", "<xml/>").want(t, 400, "MalformedXML")
	b.do("GET", "/bucket/k?x-id=GetObject", "").want(t, 200, "precious").wantHeaders(t, "x-amz-meta-a", "1", "ETag", `"`+md5Hex("precious")+`"`)
}

func TestEveryKindHasXML(t *testing.T) {
	f := New(Options{Node: cluster.Node{ID: "n1"}})
	for _, kind := range cluster.Kinds() {
		err := cluster.E("outer", "", cluster.KindOther, cluster.Fail("inner", "ais://bucket/k", kind, "why"))
		rep := httpd.NewReply()
		req := httpd.NewRequest("GET", "/bucket/k", nil, 0)
		req.ID = "R"
		f.WriteNodeError(req, rep, err)
		if rep.Header(intra.HeaderKind) != kind.String() {
			t.Errorf("%s: the gateway is told %q", kind, rep.Header(intra.HeaderKind))
		}
		body, readErr := rep.ReadAll()
		if readErr != nil {
			t.Fatal(readErr)
		}
		if rep.StatusCode() != s3.StatusOf(err) {
			t.Errorf("%s: status %d", kind, rep.StatusCode())
		}
		if kind == cluster.KindNotModified {
			if len(body) > 0 {
				t.Errorf("304 with a body")
			}
			continue
		}
		if !strings.Contains(string(body), "<Code>"+string(s3.CodeOf(err))+"</Code>") || !strings.Contains(string(body), "<RequestId>R</RequestId>") {
			t.Errorf("%s: %s", kind, body)
		}
		if rep.Header("Content-Type") != "application/xml" {
			t.Errorf("%s: %s", kind, rep.Header("Content-Type"))
		}
	}
}
