package s3

import (
	"slices"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/s3/policy"
)

// operationActions is what each operation needs to be allowed, on the bucket or object that the request names (AWS:
// "Required permissions for Amazon S3 API operations"). What a request needs beside that is in Needs. DeleteObjects is
// judged key by key.
var operationActions = [operationEnd]policy.Action{
	ListBuckets:                                policy.ListAllMyBuckets,
	CreateBucket:                               policy.CreateBucket,
	HeadBucket:                                 policy.ListBucket,
	DeleteBucket:                               policy.DeleteBucket,
	GetBucketLocation:                          policy.GetBucketLocation,
	ListObjects:                                policy.ListBucket,
	ListObjectsV2:                              policy.ListBucket,
	ListMultipartUploads:                       policy.ListBucketMultipartUploads,
	DeleteObjects:                              policy.DeleteObject,
	GetBucketVersioning:                        policy.GetBucketVersioning,
	PutBucketVersioning:                        policy.PutBucketVersioning,
	ListObjectVersions:                         policy.ListBucketVersions,
	GetBucketTagging:                           policy.GetBucketTagging,
	PutBucketTagging:                           policy.PutBucketTagging,
	DeleteBucketTagging:                        policy.PutBucketTagging,
	GetBucketCors:                              policy.GetBucketCORS,
	PutBucketCors:                              policy.PutBucketCORS,
	DeleteBucketCors:                           policy.PutBucketCORS,
	GetBucketLifecycleConfiguration:            policy.GetLifecycleConfiguration,
	PutBucketLifecycleConfiguration:            policy.PutLifecycleConfiguration,
	DeleteBucketLifecycle:                      policy.PutLifecycleConfiguration,
	GetBucketRequestPayment:                    policy.GetBucketRequestPayment,
	PutBucketRequestPayment:                    policy.PutBucketRequestPayment,
	GetBucketAccelerateConfiguration:           policy.GetAccelerateConfiguration,
	GetBucketAnalyticsConfiguration:            policy.GetAnalyticsConfiguration,
	ListBucketAnalyticsConfigurations:          policy.GetAnalyticsConfiguration,
	GetBucketIntelligentTieringConfiguration:   policy.GetIntelligentTieringConfiguration,
	ListBucketIntelligentTieringConfigurations: policy.GetIntelligentTieringConfiguration,
	GetBucketInventoryConfiguration:            policy.GetInventoryConfiguration,
	ListBucketInventoryConfigurations:          policy.GetInventoryConfiguration,
	GetBucketMetricsConfiguration:              policy.GetMetricsConfiguration,
	ListBucketMetricsConfigurations:            policy.GetMetricsConfiguration,
	PostObject:                                 policy.PutObject,
	GetObjectLockConfiguration:                 policy.GetBucketObjectLockConfiguration,
	PutObjectLockConfiguration:                 policy.PutBucketObjectLockConfiguration,
	GetBucketReplication:                       policy.GetReplicationConfiguration,
	PutBucketReplication:                       policy.PutReplicationConfiguration,
	DeleteBucketReplication:                    policy.PutReplicationConfiguration,
	GetObjectRetention:                         policy.GetObjectRetention,
	PutObjectRetention:                         policy.PutObjectRetention,
	GetObjectLegalHold:                         policy.GetObjectLegalHold,
	PutObjectLegalHold:                         policy.PutObjectLegalHold,
	PutObject:                                  policy.PutObject,
	GetObject:                                  policy.GetObject,
	HeadObject:                                 policy.GetObject,
	DeleteObject:                               policy.DeleteObject,
	CopyObject:                                 policy.PutObject,
	CreateMultipartUpload:                      policy.PutObject,
	UploadPart:                                 policy.PutObject,
	UploadPartCopy:                             policy.PutObject,
	ListParts:                                  policy.ListMultipartUploadParts,
	CompleteMultipartUpload:                    policy.PutObject,
	AbortMultipartUpload:                       policy.AbortMultipartUpload,
	GetObjectTagging:                           policy.GetObjectTagging,
	PutObjectTagging:                           policy.PutObjectTagging,
	DeleteObjectTagging:                        policy.DeleteObjectTagging,
	GetObjectAttributes:                        policy.GetObject,
	GetBucketPolicy:                            policy.GetBucketPolicy,
	PutBucketPolicy:                            policy.PutBucketPolicy,
	DeleteBucketPolicy:                         policy.DeleteBucketPolicy,
	GetBucketPolicyStatus:                      policy.GetBucketPolicyStatus,
	GetPublicAccessBlock:                       policy.GetBucketPublicAccessBlock,
	PutPublicAccessBlock:                       policy.PutBucketPublicAccessBlock,
	DeletePublicAccessBlock:                    policy.PutBucketPublicAccessBlock,
	GetBucketOwnershipControls:                 policy.GetBucketOwnershipControls,
	PutBucketOwnershipControls:                 policy.PutBucketOwnershipControls,
	DeleteBucketOwnershipControls:              policy.PutBucketOwnershipControls,
	GetBucketACL:                               policy.GetBucketACL,
	PutBucketACL:                               policy.PutBucketACL,
	GetBucketLogging:                           policy.GetBucketLogging,
	PutBucketLogging:                           policy.PutBucketLogging,
	GetBucketNotificationConfiguration:         policy.GetBucketNotification,
	PutBucketNotificationConfiguration:         policy.PutBucketNotification,
	GetBucketWebsite:                           policy.GetBucketWebsite,
	PutBucketWebsite:                           policy.PutBucketWebsite,
	DeleteBucketWebsite:                        policy.DeleteBucketWebsite,
	GetBucketEncryption:                        policy.GetEncryptionConfiguration,
	PutBucketEncryption:                        policy.PutEncryptionConfiguration,
	DeleteBucketEncryption:                     policy.PutEncryptionConfiguration,
	GetObjectACL:                               policy.GetObjectACL,
	PutObjectACL:                               policy.PutObjectACL,
}

// Action returns what the operation needs to be allowed on what its request names.
func (o Operation) Action() policy.Action {
	if o < operationEnd {
		return operationActions[o]
	}
	return policy.NoAction
}

// versionActions is what is needed in place of an operation's action when the request names a version.
var versionActions = map[policy.Action]policy.Action{
	policy.GetObject:           policy.GetObjectVersion,
	policy.DeleteObject:        policy.DeleteObjectVersion,
	policy.GetObjectTagging:    policy.GetObjectVersionTagging,
	policy.PutObjectTagging:    policy.PutObjectVersionTagging,
	policy.DeleteObjectTagging: policy.DeleteObjectVersionTagging,
	policy.GetObjectAttributes: policy.GetObjectVersionAttributes,
	policy.GetObjectACL:        policy.GetObjectVersionACL,
	policy.PutObjectACL:        policy.PutObjectVersionACL,
}

// OfVersion returns the action in whose place a is needed when a version is named.
func OfVersion(a policy.Action, v cluster.VersionID) policy.Action {
	if of, ok := versionActions[a]; ok && v != "" {
		return of
	}
	return a
}

// Action returns what the call needs to be allowed on what it names.
func (c *Call) Action() policy.Action {
	return OfVersion(c.Op.Action(), cluster.VersionID(c.Params.Get("versionId")))
}

// Need is a right that a request needs: to do something to a bucket, or to an object.
type Need struct {
	Action policy.Action
	Bucket cluster.BucketName
	Key    cluster.ObjectKey // "" when it is about the bucket

	Own bool // to give an access control list to what the request makes

	// Of the object that a copy reads.
	Source  bool
	Version cluster.VersionID // "" when none is named
}

// Needs returns what a call needs beside its operation's action: for most, nothing.
func (c *Call) Needs() ([]Need, error) {
	switch c.Op {
	case CreateBucket:
		return c.bucketNeeds()
	case PutObject, CreateMultipartUpload:
		needs := append(c.lockNeeds(), c.listNeeds(policy.PutObjectACL)...)
		if c.Get(TaggingHeader) != "" {
			needs = append(needs, Need{Action: policy.PutObjectTagging, Bucket: c.Bucket, Key: c.Key})
		}
		return needs, nil
	case CopyObject, UploadPartCopy:
		from, err := ParseCopySource(c.Get("x-amz-copy-source"))
		if err != nil {
			return nil, err
		}
		needs := []Need{{Action: OfVersion(policy.GetObject, from.Version), Bucket: from.Bucket, Key: from.Key, Source: true, Version: from.Version}}
		if c.Op == UploadPartCopy {
			return needs, nil
		}
		if c.GivesTags() {
			needs = append(needs, Need{Action: policy.PutObjectTagging, Bucket: c.Bucket, Key: c.Key})
		}
		return slices.Concat(needs, c.lockNeeds(), c.listNeeds(policy.PutObjectACL)), nil
	case GetObjectAttributes:
		return []Need{{Action: OfVersion(policy.GetObjectAttributes, cluster.VersionID(c.Params.Get("versionId"))), Bucket: c.Bucket, Key: c.Key}}, nil
	}
	return nil, nil
}

// bucketNeeds is what CreateBucket needs for what its headers make of the bucket.
func (c *Call) bucketNeeds() ([]Need, error) {
	needs := c.listNeeds(policy.PutBucketACL)
	if c.Get(OwnershipHeader) != "" {
		needs = append(needs, Need{Action: policy.PutBucketOwnershipControls, Bucket: c.Bucket})
	}
	locked, err := AsksForLock(c)
	if locked {
		needs = append(needs, Need{Action: policy.PutBucketObjectLockConfiguration, Bucket: c.Bucket}, Need{Action: policy.PutBucketVersioning, Bucket: c.Bucket})
	}
	return needs, err
}

// listNeeds is what a request needs that gives an access control list to what it makes, other than the private one.
func (c *Call) listNeeds(action policy.Action) []Need {
	if !HasACL(c) || CannedACL(c) == "private" {
		return nil
	}
	return []Need{{Action: action, Bucket: c.Bucket, Key: c.Key, Own: true}}
}

// GivesTags reports whether the tags in the header of a call become those of the object: of a copy, only when it says so.
func (c *Call) GivesTags() bool {
	if c.Get(TaggingHeader) == "" {
		return false
	}
	if c.Op != CopyObject {
		return true
	}
	directive, err := TaggingDirective(c)
	return err == nil && directive == ReplaceMetadata
}

// lockNeeds is what a write needs that locks the version which it makes.
func (c *Call) lockNeeds() []Need {
	var needs []Need
	if !c.hasLock() {
		return nil
	}
	if c.Get(lockModeHeader) != "" || c.Get(lockUntilHeader) != "" {
		needs = append(needs, Need{Action: policy.PutObjectRetention, Bucket: c.Bucket, Key: c.Key})
	}
	if c.Get(lockHoldHeader) != "" {
		needs = append(needs, Need{Action: policy.PutObjectLegalHold, Bucket: c.Bucket, Key: c.Key})
	}
	return needs
}
