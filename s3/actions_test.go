package s3

import (
	"slices"
	"testing"

	"github.com/aisle-store/aisle/s3/policy"
)

// TestOperationActions: no operation is without an action, and each is of the kind of resource that the request names.
func TestOperationActions(t *testing.T) {
	for o := NoOperation + 1; o < operationEnd; o++ {
		want := policy.OnBucket
		switch {
		case o == ListBuckets:
			want = policy.OnService
		case o.OnObject(), o == DeleteObjects, o == PostObject:
			want = policy.OnObject
		}
		if a := o.Action(); a == policy.NoAction || a.On() != want {
			t.Errorf("%s needs %q, which is of another kind", o, a)
		}
	}
}

// TestNeeds: what the headers of a request ask for besides has to be allowed, too.
func TestNeeds(t *testing.T) {
	f := func(o Operation, headers fields, want ...Need) {
		t.Helper()
		path := "/b/k"
		if !o.OnObject() {
			path = "/b"
		}
		c := newCall(t, "PUT", path, "h", 0, headers)
		c.Op = o
		needs, err := c.Needs()
		if err != nil || !slices.Equal(needs, want) {
			t.Errorf("%s with %v needs %v, %v, want %v", o, headers, needs, err, want)
		}
	}
	of := func(a policy.Action) Need { return Need{Action: a, Bucket: "b", Key: "k"} }
	own := func(a policy.Action) Need { return Need{Action: a, Bucket: "b", Key: "k", Own: true} }
	on := func(a policy.Action) Need { return Need{Action: a, Bucket: "b"} }
	source := Need{Action: policy.GetObject, Bucket: "from", Key: "some key", Source: true}
	f(PutObject, nil)
	f(PutObject, fields{{"x-amz-acl", "private"}})
	f(PutObject, fields{{"x-amz-acl", "public-read"}}, own(policy.PutObjectACL))
	f(PutObject, fields{{"x-amz-grant-read", `id="x"`}, {TaggingHeader, "a=b"}}, own(policy.PutObjectACL), of(policy.PutObjectTagging))
	f(CreateMultipartUpload, fields{{"x-amz-acl", "bucket-owner-full-control"}}, own(policy.PutObjectACL))
	f(CopyObject, fields{{"x-amz-copy-source", "from/some%20key"}}, source)
	f(CopyObject, fields{{"x-amz-copy-source", "from/some%20key"}, {TaggingHeader, "a=b"}}, source) // the source's tags are carried
	f(CopyObject, fields{{"x-amz-copy-source", "from/some%20key"}, {TaggingHeader, "a=b"}, {"x-amz-tagging-directive", "REPLACE"}}, source, of(policy.PutObjectTagging))
	f(CopyObject, fields{{"x-amz-copy-source", "from/some%20key"}, {"x-amz-acl", "public-read"}}, source, own(policy.PutObjectACL))
	f(UploadPartCopy, fields{{"x-amz-copy-source", "from/some%20key?versionId=null"}},
		Need{Action: policy.GetObjectVersion, Bucket: "from", Key: "some key", Source: true, Version: "null"})
	f(CreateBucket, nil)
	f(CreateBucket, fields{{"x-amz-acl", "public-read-write"}, {OwnershipHeader, "ObjectWriter"}}, Need{Action: policy.PutBucketACL, Bucket: "b", Own: true}, on(policy.PutBucketOwnershipControls))
	f(CreateBucket, fields{{"x-amz-bucket-object-lock-enabled", "true"}}, on(policy.PutBucketObjectLockConfiguration), on(policy.PutBucketVersioning))
}
