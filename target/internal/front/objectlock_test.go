package front

import (
	"strings"
	"testing"

	"github.com/aisle-store/aisle/cluster"
)

// TestObjectLock: what the owner of a key answers about locks; who may what is judged by gateways before.
func TestObjectLock(t *testing.T) {
	b := newBed(t, "n1", "n2")
	retention := func(mode, until string) string {
		return "<Retention><Mode>" + mode + "</Mode><RetainUntilDate>" + until + "</RetainUntilDate></Retention>"
	}
	const far, hold = "2090-01-01T00:00:00Z", "<LegalHold><Status>ON</Status></LegalHold>"
	b.do("PUT", "/bucket/k", "x").want(t, 200)
	b.do("GET", "/bucket/k?retention", "").want(t, 400, "InvalidRequest", "Bucket is missing Object Lock Configuration")
	b.do("PUT", "/bucket/k?retention", retention("GOVERNANCE", far)).want(t, 400, "InvalidRequest")
	b.do("GET", "/bucket/k?legal-hold", "").want(t, 400, "InvalidRequest")
	b.do("PUT", "/bucket/k?legal-hold", hold).want(t, 400, "InvalidRequest")
	b.do("PUT", "/bucket/k", "y", "x-amz-object-lock-legal-hold", "ON").want(t, 400, "InvalidRequest")
	b.do("PUT", "/bucket/k", "y", "x-amz-object-lock-mode", "GOVERNANCE").want(t, 400, "InvalidArgument")
	b.do("GET", "/bucket/k", "").want(t, 200, "x")

	for i := range b.state.buckets {
		b.state.buckets[i].Props.Versioning = cluster.VersioningEnabled
		b.state.buckets[i].Props.Lock = cluster.BucketLock{Enabled: true}
	}
	b.do("GET", "/bucket/k?retention", "").want(t, 404, "NoSuchObjectLockConfiguration")
	b.do("GET", "/bucket/k?legal-hold", "").want(t, 404, "NoSuchObjectLockConfiguration")
	b.do("PUT", "/bucket/none?legal-hold", hold).want(t, 404, "NoSuchKey")
	b.do("PUT", "/bucket/k?legal-hold", strings.ToLower(hold)).want(t, 400, "MalformedXML")
	b.do("PUT", "/bucket/k?retention", retention("GOVERNANCE", "soon")).want(t, 400, "MalformedXML")
	b.do("PUT", "/bucket/k?retention", retention("GOVERNANCE", far)).want(t, 200)
	b.do("PUT", "/bucket/k?retention", retention("GOVERNANCE", "2089-12-31")).want(t, 403, "AccessDenied", "protected by object lock")
	b.do("PUT", "/bucket/k?retention", "<Retention/>").want(t, 403, "AccessDenied")
	b.do("GET", "/bucket/k?retention", "").want(t, 200, "<Mode>GOVERNANCE</Mode><RetainUntilDate>2090-01-01T00:00:00.000Z</RetainUntilDate>")
	b.do("GET", "/bucket/k", "").want(t, 200, "x").wantHeaders(t, "x-amz-object-lock-mode", "") // a grant without the right to see it
	b.do("DELETE", "/bucket/k?versionId=null", "", "x-amz-bypass-governance-retention", "true").want(t, 403, "AccessDenied")
	b.do("PUT", "/bucket/k", "z", "x-amz-object-lock-legal-hold", "ON").want(t, 200)
	b.do("GET", "/bucket/k?legal-hold", "").want(t, 200, "<Status>ON</Status>")
	b.do("PUT", "/bucket/copy", "", "x-amz-copy-source", "/bucket/k").want(t, 200)
	b.do("GET", "/bucket/copy?legal-hold", "").want(t, 404, "NoSuchObjectLockConfiguration")
}
