package front

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/s3"
)

// TestExpirationHeaders asks for objects and uploads in a bucket with rules.
func TestExpirationHeaders(t *testing.T) {
	b := newBed(t, "n1")
	rules := &cluster.BucketConfig{Kind: s3.LifecycleDocument, Value: []byte(`{"Rules":[
		{"ID":"logs","Filter":{"Prefix":"logs/"},"Expiration":{"Days":3}},
		{"ID":"tagged","Filter":{"Tags":[{"Name":"a","Value":"b"}]},"Expiration":{"Date":"2040-01-01T00:00:00Z"}},
		{"ID":"uploads","Filter":{"Prefix":"up/"},"AbortDays":1}]}`)}
	b.do("PUT", "/bucket/logs/a", "x").want(t, 200).wantHeaders(t, "x-amz-expiration", "")
	b.state.configs = map[string]*cluster.BucketConfig{s3.LifecycleDocument: rules}

	expires := func(a answer, id string) {
		t.Helper()
		text := a.want(t, 200).header("x-amz-expiration")
		at, err := http.ParseTime(between(text, `expiry-date="`, `"`))
		if err != nil || !strings.HasSuffix(text, `, rule-id="`+id+`"`) {
			t.Fatalf("%q: %v", text, err)
		}
		if days := time.Until(at).Hours() / 24; id == "logs" && (days < 2.9 || days > 4) {
			t.Errorf("%q is %.1f days away", text, days)
		}
	}
	expires(b.do("PUT", "/bucket/logs/a", "x"), "logs")
	expires(b.do("GET", "/bucket/logs/a", ""), "logs")
	expires(b.do("HEAD", "/bucket/logs/a", ""), "logs")
	expires(b.do("PUT", "/bucket/k", "x", "x-amz-tagging", "a=b"), "tagged")
	expires(b.do("HEAD", "/bucket/k", ""), "tagged")
	expires(b.do("PUT", "/bucket/logs/b", "", "x-amz-copy-source", "/bucket/k", "x-amz-tagging-directive", "REPLACE"), "logs")
	b.do("PUT", "/bucket/else", "x").want(t, 200).wantHeaders(t, "x-amz-expiration", "")
	b.do("GET", "/bucket/logs/a?versionId=null", "").want(t, 200).wantHeaders(t, "x-amz-expiration", "")

	made := b.do("POST", "/bucket/up/a?uploads", "").want(t, 200)
	at, err := http.ParseTime(made.header("x-amz-abort-date"))
	if hours := time.Until(at).Hours(); err != nil || hours < 23 || hours > 48 || made.header("x-amz-abort-rule-id") != "uploads" {
		t.Errorf("%s by %s", made.header("x-amz-abort-date"), made.header("x-amz-abort-rule-id"))
	}
	id := between(made.body, "<UploadId>", "</UploadId>")
	b.do("GET", "/bucket/up/a?uploadId="+id, "").want(t, 200).wantHeaders(t, "x-amz-abort-date", made.header("x-amz-abort-date"), "x-amz-abort-rule-id", "uploads")
	b.do("POST", "/bucket/else?uploads", "").want(t, 200).wantHeaders(t, "x-amz-abort-date", "")
	id = between(b.do("POST", "/bucket/logs/mp?uploads", "").want(t, 200).body, "<UploadId>", "</UploadId>")
	part := b.do("PUT", "/bucket/logs/mp?partNumber=1&uploadId="+id, "part").want(t, 200)
	expires(b.do("POST", "/bucket/logs/mp?uploadId="+id, "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"+part.header("ETag")+
		"</ETag></Part></CompleteMultipartUpload>"), "logs")
}
