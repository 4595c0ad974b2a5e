package s3

import (
	"strings"
	"testing"

	"github.com/aisle-store/aisle/cluster"
)

func parse(method, target string, pairs ...string) (*Call, error) {
	path, query, _ := strings.Cut(target, "?")
	return new(Router).Parse(Request{Method: method, Path: path, Query: query, Host: "h", Header: fields{}.with(pairs...)})
}

func TestRoute(t *testing.T) {
	f := func(want Operation, method, target string, pairs ...string) {
		t.Helper()
		c, err := parse(method, target, pairs...)
		if err != nil {
			t.Fatalf("%s %s: %v", method, target, err)
		}
		if c.Op != want {
			t.Fatalf("%s %s: %s, want %s", method, target, c.Op, want)
		}
	}
	f(ListBuckets, "GET", "/")
	f(ListBuckets, "GET", "/s3")
	f(ListBuckets, "GET", "/s3/?x-id=ListBuckets")
	f(CreateBucket, "PUT", "/b")
	f(CreateBucket, "PUT", "/s3/b/")
	f(HeadBucket, "HEAD", "/b")
	f(DeleteBucket, "DELETE", "/b/")
	f(GetBucketLocation, "GET", "/b?location")
	f(GetBucketLocation, "GET", "/b/?location=")
	f(ListObjects, "GET", "/b")
	f(ListObjects, "GET", "/b?prefix=a&delimiter=/&marker=x&max-keys=3&encoding-type=url")
	f(ListObjectsV2, "GET", "/b?list-type=2&prefix=a&fetch-owner=true&start-after=x&continuation-token=y")
	f(ListMultipartUploads, "GET", "/b?uploads&max-uploads=1")
	f(DeleteObjects, "POST", "/b?delete")
	f(PutObject, "PUT", "/b/k?x-id=PutObject")
	f(PutObject, "PUT", "/b/k", "x-amz-acl", "private", "x-amz-storage-class", "STANDARD")
	f(PutObject, "PUT", "/b/k", "x-amz-storage-class", "STANDARD_IA")
	f(GetObject, "GET", "/b/k?response-content-type=text/plain&X-Amz-Signature=x&X-Amz-Whatever=y")
	f(GetObject, "GET", "/s3/b/k")
	f(GetObject, "GET", "/b//")
	f(HeadObject, "HEAD", "/b/k")
	f(GetObject, "GET", "/b/k?v=3&utm_source=x&x-custom&TAGGING&id=1")
	f(HeadObject, "HEAD", "/b/k?v=3&x-custom=a")
	f(ListObjects, "GET", "/b?v=3&x-custom")
	f(ListObjectsV2, "GET", "/b?list-type=2&unheard-of")
	f(ListBuckets, "GET", "/?x-custom=1")
	f(HeadBucket, "HEAD", "/b?v=3")
	f(ListParts, "GET", "/b/k?uploadId=u&x-custom")
	f(GetObjectTagging, "GET", "/b/k?tagging&x-custom")
	f(DeleteObject, "DELETE", "/b/k")
	f(CopyObject, "PUT", "/b/k", "x-amz-copy-source", "/b/o")
	f(CopyObject, "PUT", "/b/k", "X-Amz-Copy-Source", "") // whose source is refused, and no write of nothing
	f(CreateMultipartUpload, "POST", "/b/k?uploads")
	f(UploadPart, "PUT", "/b/k?partNumber=1&uploadId=u")
	f(UploadPartCopy, "PUT", "/b/k?partNumber=1&uploadId=u", "x-amz-copy-source", "b/o")
	f(ListParts, "GET", "/b/k?uploadId=u&max-parts=3&part-number-marker=2")
	f(CompleteMultipartUpload, "POST", "/b/k?uploadId=u")
	f(AbortMultipartUpload, "DELETE", "/b/k?uploadId=u")
	f(GetObjectTagging, "GET", "/b/k?tagging")
	f(PutObjectTagging, "PUT", "/b/k?tagging")
	f(DeleteObjectTagging, "DELETE", "/b/k?tagging")
}

// TestEverySubResource walks all of S3's sub-resources, on bucket and object, with every method: each is the operation
// that the table names, 501 or 405, and never an operation on the object or bucket itself.
func TestEverySubResource(t *testing.T) {
	methods := []string{"GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "TRACE", "get"}
	for path, table := range map[string][]resource{"/b": bucketResources, "/b/k": objectResources} {
		for i := range table {
			sub := &table[i]
			for _, method := range methods {
				for _, form := range []string{sub.name, sub.name + "=", sub.name + "=1&x-id=Z", "x-id=Z&" + sub.name} {
					c, err := parse(method, path+"?"+form)
					want, known := sub.methods[method]
					switch {
					case known && want != NoOperation:
						if err != nil || c.Op != want {
							t.Fatalf("%s %s?%s: %s, %v, want %s", method, path, form, c.Op, err, want)
						}
					case known:
						wantCode(t, err, NotImplemented)
					default:
						wantCode(t, err, MethodNotAllowed)
					}
				}
			}
		}
	}
}

func TestRefusedRequests(t *testing.T) {
	f := func(code Code, method, target string, pairs ...string) {
		t.Helper()
		c, err := parse(method, target, pairs...)
		wantCode(t, err, code)
		if c == nil || c.Op != NoOperation {
			t.Fatalf("%s %s: a refused request must have no operation", method, target)
		}
	}
	for _, method := range []string{"PUT", "DELETE"} {
		for _, name := range []string{"unknown", "Acl", "TAGGING", "acls", "tagging2=x", "%61cl2"} {
			f(NotImplemented, method, "/b/k?"+name)
		}
	}
	f(NotImplemented, "PUT", "/b/k?x-custom=1")
	f(NotImplemented, "GET", "/b/k?policy")
	f(NotImplemented, "HEAD", "/b/k?lifecycle")
	f(NotImplemented, "GET", "/b?torrent")
	f(NotImplemented, "GET", "/?Action=ListUsers")
	f(NotImplemented, "GET", "/b?versionId=null")
	f(NotImplemented, "GET", "/b?list-type=2&key-marker=a")
	f(NotImplemented, "GET", "/b/k?tagging&partNumber=1")
	f(NotImplemented, "PUT", "/b/k?versionId=null")
	f(NotImplemented, "PUT", "/b/k?partNumber=1") // without an upload
	f(NotImplemented, "DELETE", "/b/k?partNumber=1")
	f(NotImplemented, "GET", "/b/k?uploadId=u&partNumber=1")
	f(NotImplemented, "GET", "/b/k?attributes&partNumber=1")
	f(MethodNotAllowed, "PUT", "/b/k?attributes")
	f(NotImplemented, "POST", "/b/k?%72estore") // an escaped name is the same name
	f(NotImplemented, "PUT", "/b/k?response-content-type=x")
	f(NotImplemented, "DELETE", "/b?unknown")
	f(NotImplemented, "GET", "/b?versions&marker=a")

	f(NotImplemented, "OPTIONS", "/b/k")
	f(MethodNotAllowed, "POST", "/b/k")
	f(MethodNotAllowed, "PATCH", "/b/k")
	f(MethodNotAllowed, "PUT", "/")
	f(MethodNotAllowed, "POST", "/")
	f(InvalidArgument, "GET", "/b/k?acl&tagging")
	f(InvalidArgument, "PUT", "/b?acl&policy")
	f(InvalidURI, "GET", "/b/%zz")
	f(InvalidURI, "GET", "/b/k?a=%g")
	f(InvalidURI, "GET", "/b/%ff")
	f(InvalidURI, "GET", "/b/k?"+strings.Repeat("x-id&", maxParams))
	f(InvalidURI, "GET", "//k")
	f(InvalidURI, "GET", "b/k")
	f(KeyTooLong, "GET", "/b/"+strings.Repeat("k", 1025))
	f(InvalidArgument, "PUT", "/b/k", "x-amz-acl", "everybody")
	f(InvalidArgument, "PUT", "/b/k?X-Amz-Acl=everybody")
	f(InvalidArgument, "PUT", "/b", "x-amz-object-ownership", "Mine")
	f(NotImplemented, "PUT", "/b/k", "x-amz-server-side-encryption-else", "x")
	f(NotImplemented, "PUT", "/b/k", "x-amz-write-offset-bytes", "0")
	f(NotImplemented, "PUT", "/b/k", "x-amz-storage-class", "GLACIER")
	f(NotImplemented, "PUT", "/b/k", "x-amz-checksum-sha512", "AAAA")
	f(NotImplemented, "PUT", "/b/k", "x-amz-checksum-xxhash64", "AAAA")
	f(NotImplemented, "GET", "/?x-id=ListDirectoryBuckets")
	f(NotImplemented, "POST", "/WriteGetObjectResponse?x-id=WriteGetObjectResponse")
	f(InvalidStorageClass, "PUT", "/b/k", "x-amz-storage-class", "standard")
}

func TestResource(t *testing.T) {
	f := func(domain, host, path, bucket, key string) {
		t.Helper()
		r := Router{Domains: strings.Fields(domain)}
		c := &Call{Request: Request{Path: path, Host: host}}
		if err := r.resource(c); err != nil {
			t.Fatalf("%s %s: %v", host, path, err)
		}
		if string(c.Bucket) != bucket || string(c.Key) != key {
			t.Fatalf("%s %s: %q %q", host, path, c.Bucket, c.Key)
		}
	}
	f("", "b.s3.test", "/b/k", "b", "k")
	f("", "h", "/b/a/../b", "b", "a/../b")
	f("", "h", "/b/%2e%2e/x", "b", "../x")
	f("", "h", "/b//x/", "b", "/x/")
	f("", "h", "/b/a+b%20c", "b", "a+b c")
	f("", "h", "/b/%00%01", "b", "\x00\x01")
	f("", "h", "/s3/b/s3/x", "b", "s3/x")
	f("", "h", "/s3b/x", "s3b", "x")
	f("", "h", "/", "", "")
	f("s3.test", "b.s3.test:8080", "/k/x", "b", "k/x")
	f("s3.test", "B.S3.Test", "/", "b", "")
	f("s3.test", "dotted.name.s3.test", "/k", "dotted.name", "k")
	f("s3.test", "s3.test", "/b/k", "b", "k")
	f("s3.test", "[::1]:80", "/b/k", "b", "k")
	f("s3.test", "b.s3.test", "/s3/k", "b", "s3/k")
	f("s3.test", "b.s3.test", "/v1/objects/k", "b", "v1/objects/k")
	f("test s3.test localhost", "b.s3.test", "/k", "b", "k")
	f("s3.test test", "s3.test", "/b/k", "b", "k")
	f("test localhost", "b.localhost:9000", "/k", "b", "k")
	f("test", "nottest", "/b/k", "b", "k")
}

// TestParametersOfRefusedPath checks that a path which is refused does not hide the parameters: the signature covers them,
// and has to hold before anybody is told what is wrong with the path.
func TestParametersOfRefusedPath(t *testing.T) {
	c, err := parse("PUT", "/b/"+strings.Repeat("k", 1025)+"?x-id=PutObject")
	wantCode(t, err, KeyTooLong)
	if c.Params.Get("x-id") != "PutObject" {
		t.Fatalf("%+v", c.Params)
	}
}

func TestOperations(t *testing.T) {
	for o := ListBuckets; o < operationEnd; o++ {
		if o.String() == "" || ParseOperation(o.String()) != o {
			t.Fatalf("operation %d has no name of its own", o)
		}
	}
	if ParseOperation("Nonsense") != NoOperation || Operation(200).String() != "Unknown" {
		t.Fatal("an unknown name must be no operation")
	}
	if !CopyObject.OnObject() || DeleteObjects.OnObject() || !DeleteObjects.Writes() || GetObject.Writes() {
		t.Fatal("wrong class")
	}
}

func TestHoistedHeaders(t *testing.T) {
	c, err := parse("PUT", "/b/k?X-Amz-Meta-A=1&x-amz-checksum-crc32=NhCmhg%3D%3D")
	if err != nil {
		t.Fatal(err)
	}
	meta, err := ReadUserMetadata(c)
	if err != nil || len(meta) != 1 || meta[0] != (Field{"a", "1"}) {
		t.Fatalf("%v %v", meta, err)
	}
	if _, sum, err := RequestChecksums(c); err != nil || sum == nil || sum.Algorithm != CRC32 {
		t.Fatalf("%v %v", sum, err)
	}
}

func TestErrorTable(t *testing.T) {
	for _, kind := range cluster.Kinds() {
		code, ok := kindCodes[kind]
		if !ok {
			t.Errorf("kind %s has no code", kind)
			continue
		}
		err := cluster.Fail("test", "b/k", kind, "secret detail of the inside")
		r := ErrorReply(err, ErrorContext{Method: "GET", Resource: "/b/k", RequestID: "R1", HostID: "n1", Bucket: "b", Key: "k"})
		if r.Status != codes[code].status || r.Status < 300 {
			t.Errorf("%s: status %d", kind, r.Status)
		}
		body := string(r.Body)
		if r.Status == 304 {
			if body != "" {
				t.Errorf("304 with a body")
			}
			continue
		}
		for _, want := range []string{"<Code>" + string(code) + "</Code>", "<Resource>/b/k</Resource>", "<RequestId>R1</RequestId>", "<HostId>n1</HostId>"} {
			if !strings.Contains(body, want) {
				t.Errorf("%s: no %s in %s", kind, want, body)
			}
		}
		if kind != cluster.KindInvalid && strings.Contains(body, "secret") {
			t.Errorf("%s shows the inside: %s", kind, body)
		}
		if head := ErrorReply(err, ErrorContext{Method: "HEAD"}); len(head.Body) > 0 || head.Status != r.Status {
			t.Errorf("%s: HEAD with a body", kind)
		}
	}
	for code, info := range codes {
		if info.status == 0 || info.message == "" {
			t.Errorf("%s has no status or message", code)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	err := &cluster.Error{Kind: cluster.KindUnavailable, RetryAfter: 2500e6}
	r := ErrorReply(err, ErrorContext{Method: "GET"})
	if r.Status != 503 || r.Header[0] != (Field{"Retry-After", "3"}) {
		t.Fatalf("%+v", r)
	}
}

func TestAllow(t *testing.T) {
	_, err := parse("POST", "/b/k?acl")
	if r := ErrorReply(err, ErrorContext{Method: "POST"}); r.Status != 405 || r.Header[0] != (Field{"Allow", "GET, PUT"}) {
		t.Fatalf("%+v", r)
	}
}

func TestErrorFields(t *testing.T) {
	err := cluster.E("outer", "", cluster.KindOther, NewFault("op", NoSuchKey, "", Field{"Extra", "<&>"}))
	body := string(ErrorReply(err, ErrorContext{Method: "GET", Key: "a\x01b"}).Body)
	for _, want := range []string{"<Extra>&lt;&amp;&gt;</Extra>", "<Key>a&#x1;b</Key>", "<Message>The specified key does not exist.</Message>"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in %s", want, body)
		}
	}
}
