package front

import (
	"net/url"
	"testing"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/s3"
)

func TestDialectOf(t *testing.T) {
	f := func(path string, want dialect) {
		t.Helper()
		if got := dialectOf(path); got != want {
			t.Errorf("dialectOf(%q) = %d, want %d", path, got, want)
		}
	}
	f("/", dialectS3)
	f("/bucket/key", dialectS3)
	f("/s3/bucket/key", dialectS3)
	f("/v1", dialectNative)
	f("/v1/buckets", dialectNative)
	f("/v11/key", dialectS3)
	f("/%761/buckets", dialectS3)
	f("/-/metrics", dialectSystem)
	f("/-", dialectSystem)
	f("/--/x", dialectS3)
	f("*", dialectS3)
}

func TestEveryOperationHasAPlace(t *testing.T) {
	for o := s3.ListBuckets; o.String() != s3.NoOperation.String(); o++ {
		if o.OnObject() == (s3Handlers[o] != nil) {
			t.Errorf("%v has a handler at the gateway and one at the owner, or none", o)
		}
	}
}

func TestRedirects(t *testing.T) {
	owner := cluster.Node{ID: "n2", PublicURL: "http://10.0.0.2:8080"}
	bucket := ""
	f := func(want bool, mode, method, agent string, pairs ...string) {
		t.Helper()
		req := httpd.NewRequest(method, "/b/k", nil, 0, append([]string{"User-Agent", agent}, pairs...)...)
		if got := redirects(mode, bucket, &intra.Grant{}, owner, req); got != want {
			t.Errorf("%s %s by %q %v in mode %s, of the bucket %q: %v", method, req.Path, agent, pairs, mode, bucket, got)
		}
	}
	f(true, "auto", "GET", "aws-sdk-go-v2/1.47.7 ua/2.1")
	f(true, "auto", "HEAD", "rclone/v1.76.0")
	f(true, "auto", "GET", "object_store/0.13.2")
	f(false, "auto", "HEAD", "object_store/0.13.2")
	f(false, "auto", "PUT", "aws-sdk-go-v2/1.47.7 ua/2.1")
	f(false, "auto", "GET", "Boto3/1.43.11 md/Botocore#1.43.11")
	f(false, "auto", "GET", "curl/7.88.1")
	f(false, "auto", "GET", "")
	f(true, "auto", "GET", "curl/7.88.1", HeaderRedirect, "always")
	f(true, "auto", "PUT", "curl/7.88.1", HeaderRedirect, "always")
	f(false, "auto", "GET", "rclone/v1.76.0", HeaderRedirect, "never")
	f(false, "never", "GET", "rclone/v1.76.0", HeaderRedirect, "always")
	f(true, "always", "PUT", "curl/7.88.1")
	f(false, "always", "POST", "curl/7.88.1")
	f(true, "auto", "GET", "aws-sdk-go-v2/1", "amz-sdk-request", "attempt=1; max=3")
	f(false, "auto", "GET", "aws-sdk-go-v2/1", "amz-sdk-request", "attempt=2; max=3")
	f(false, "always", "GET", "curl/7.88.1", HeaderRedirect, "auto")

	bucket = "always"
	f(true, "auto", "PUT", "curl/7.88.1")
	f(false, "never", "GET", "rclone/v1.76.0")
	f(false, "auto", "GET", "rclone/v1.76.0", HeaderRedirect, "never")
	f(false, "auto", "GET", "curl/7.88.1", HeaderRedirect, "auto")
	f(true, "auto", "GET", "curl/7.88.1", HeaderRedirect, "sometimes")
	bucket = "never"
	f(false, "always", "GET", "rclone/v1.76.0")
	f(true, "always", "GET", "rclone/v1.76.0", HeaderRedirect, "always")
	bucket = "auto"
	f(false, "always", "PUT", "curl/7.88.1")
	f(true, "always", "GET", "rclone/v1.76.0")

	secure := httpd.NewRequest("GET", "/b/k", nil, 0, "User-Agent", "rclone/1")
	secure.TLS = true
	get := httpd.NewRequest("GET", "/b/k", nil, 0)
	if !redirects("auto", "never", &intra.Grant{Redirect: "always"}, owner, get) || redirects("always", "always", &intra.Grant{Redirect: "never"}, owner, get) {
		t.Error("the bucket counts more than the key")
	}
	if redirects("always", "", &intra.Grant{}, owner, secure) {
		t.Error("a client of https is sent to http")
	}
	plain := httpd.NewRequest("GET", "/b/k", nil, 0, "User-Agent", "rclone/1")
	if redirects("always", "always", &intra.Grant{}, cluster.Node{}, plain) {
		t.Error("a client is sent to a node without a public URL")
	}
	streaming := &intra.Grant{Payload: intra.Payload{Mode: "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}}
	if redirects("always", "always", streaming, owner, httpd.NewRequest("PUT", "/b/k", nil, 0)) {
		t.Error("a streaming body is sent elsewhere")
	}
}

func TestNativeOperation(t *testing.T) {
	f := func(method, query string, length int64, want string) {
		t.Helper()
		q, _ := url.ParseQuery(query)
		r := &nativeRequest{req: &httpd.Request{Method: method, Length: length}, query: q}
		if got := nativeOperation(r); got != want {
			t.Errorf("%s ?%s: %q, want %q", method, query, got, want)
		}
	}
	f("PUT", "provider=ais", 5, nativePut)
	f("PUT", "object_to=ais/@%23/b/k", 0, nativeCopy)
	f("GET", "", 0, nativeGet)
	f("HEAD", "props=name,size", 0, nativeHead)
	f("DELETE", "", 0, nativeDelete)
	f("DELETE", "", 30, "") // with an action: evict
	f("GET", "archpath=x", 0, "")
	f("PUT", "append_type=append", 5, "")
	f("POST", "", 5, "")
	f("PATCH", "", 5, "")
	f("GET", "object_to=ais/@%23/b/k", 0, "")
}
