package access

import (
	"github.com/aisle-store/aisle/s3"
	"github.com/aisle-store/aisle/s3/policy"
)

// ACL is the access control list of a bucket, where those count.
type ACL struct {
	List         *s3.ACL
	Owner        string // canonical user id
	IgnorePublic bool
}

// bucketPermissions are what the list of a bucket has to grant for an action (AWS: "Mapping of ACL permissions and access policy
// permissions").
var bucketPermissions = map[policy.Action]s3.Permission{
	policy.ListBucket:                 s3.Read,
	policy.ListBucketVersions:         s3.Read,
	policy.ListBucketMultipartUploads: s3.Read,
	policy.PutObject:                  s3.Write,
	policy.DeleteObject:               s3.Write,
	policy.AbortMultipartUpload:       s3.Write,
	policy.ListMultipartUploadParts:   s3.Write,
	policy.GetBucketACL:               s3.ReadACP,
	policy.PutBucketACL:               s3.WriteACP,
}

// objectPermissions are what the list of an object has to grant.
var objectPermissions = map[policy.Action]s3.Permission{
	policy.GetObject:                  s3.Read,
	policy.GetObjectVersion:           s3.Read,
	policy.GetObjectAttributes:        s3.Read,
	policy.GetObjectVersionAttributes: s3.Read,
	policy.GetObjectACL:               s3.ReadACP,
	policy.GetObjectVersionACL:        s3.ReadACP,
	policy.PutObjectACL:               s3.WriteACP,
	policy.PutObjectVersionACL:        s3.WriteACP,
}

// Grants reports whether the list allows the action on the bucket, or on any object of it.
func (a *ACL) Grants(s *Subject, action policy.Action) bool {
	if a == nil {
		return false
	}
	return a.List.Allows(bucketPermissions[action], s3.Asker{Canonical: s.Principal.Canonical, Owner: a.Owner, IgnorePublic: a.IgnorePublic})
}
