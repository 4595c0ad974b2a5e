package front

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/proxy/internal/access"
	"github.com/aisle-store/aisle/s3"
)

// TestConditionKeys: what conditions are judged by is what the request does, whatever way it takes.
func TestConditionKeys(t *testing.T) {
	now := time.Unix(1000, 0)
	signed := s3.Auth{AccessKey: "A", Time: now.Add(-time.Second)}
	f := func(c conditions, key string, want ...string) {
		t.Helper()
		c.who, c.now = access.Anonymous(), now
		if got := c.Lookup(key); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
	f(conditions{}, "s3:authtype")
	f(conditions{auth: signed}, "s3:authtype", "REST-HEADER") // of the native API, too
	f(conditions{auth: signed}, "s3:signatureage", "1000")
	f(conditions{auth: signed, form: true}, "s3:authtype", "POST")
	f(conditions{auth: s3.Auth{AccessKey: "A", Presigned: true}}, "s3:authtype", "REST-QUERY-STRING")
	old := conditions{auth: s3.Auth{AccessKey: "A", Version2: true}}
	f(old, "s3:signatureversion", "AWS")
	f(old, "s3:signatureage", fmt.Sprint(time.Duration(1<<63-1).Milliseconds()))

	f(conditions{req: &httpd.Request{}}, "s3:tlsversion")
	f(conditions{req: &httpd.Request{TLS: true, TLSVersion: tls.VersionTLS13}}, "s3:tlsversion", "1.3")
	f(conditions{}, "s3:resourceaccount", cluster.Account)
	f(conditions{}, "aws:viaawsservice", "false")
	f(conditions{call: &s3.Call{Op: s3.UploadPart}}, "s3:objectcreationoperation", "false")
	f(conditions{call: &s3.Call{Op: s3.CompleteMultipartUpload}}, "s3:objectcreationoperation", "true")

	call := func(path string, headers ...string) *s3.Call {
		req := httpd.NewRequest("PUT", path, nil, 0, append(headers, "Host", "h")...)
		c, err := s3.Granted(seen(req), "b", "k")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := conditions{call: call("/b/k?tagging&versionId=null")}
	f(c, "s3:versionid", "null")
	c.version = "of-source"
	f(c, "s3:versionid", "of-source")
	f(conditions{call: call("/b/k", s3.TaggingHeader, "class=public")}, "s3:requestobjecttag/class", "public")
	copied := []string{s3.TaggingHeader, "class=public", "x-amz-copy-source", "b/from"}
	f(conditions{call: call("/b/k", copied...)}, "s3:requestobjecttag/class")
	f(conditions{call: call("/b/k", append(copied, "x-amz-tagging-directive", "REPLACE")...)}, "s3:requestobjecttag/class", "public")
	both := conditions{who: access.Anonymous(), call: call("/b/k", s3.TaggingHeader, "class=public&CLASS=private")}
	if got := both.Lookup("s3:requestobjecttag/class"); len(got) != 2 || !slices.Contains(got, "public") || !slices.Contains(got, "private") {
		t.Errorf("of keys that differ in case: %q", got)
	}
}

// TestLoggedTarget: no log tells what would let its reader repeat a request, however its name is written.
func TestLoggedTarget(t *testing.T) {
	const secret = "SECRET"
	for _, name := range []string{
		"X-Amz-Signature", "x%2Damz-signature", "Signature", "X-Amz-Security-Token", "x-amz-server-side-encryption-customer-key",
		"x-amz-copy-source-server-side-encryption-customer-key",
	} {
		req := httpd.NewRequest("GET", "/b/k?versionId=v&"+name+"="+secret, nil, 0, "Host", "h")
		if got := loggedTarget(req); strings.Contains(got, secret) || !strings.Contains(got, "versionId=v") {
			t.Errorf("%s: %s", name, got)
		}
	}
}
