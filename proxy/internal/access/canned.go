package access

import (
	"slices"
	"strings"

	"github.com/aisle-store/aisle/cluster"
)

// Canned is a policy that every cluster has. It cannot be changed.
type Canned struct {
	Name     cluster.PolicyName
	Help     string
	Document string
}

// cannedPath begins the ARN of every canned policy, as those that AWS manages.
const cannedPath = "arn:aws:iam::aws:policy/"

// ARN returns the policy's ARN.
func (c *Canned) ARN() string { return cannedPath + string(c.Name) }

func allow(actions string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":[` + actions + `],"Resource":"*"}]}`
}

// canned are the policies by names that users of other stores know, and some that AWS manages; ordered by name.
var canned = []Canned{
	{"AdministratorAccess", "everything", allow(`"*"`)},
	{"AmazonS3FullAccess", "everything in S3", allow(`"s3:*"`)},
	{"AmazonS3ReadOnlyAccess", "reads of S3", allow(`"s3:Get*","s3:List*"`)},
	{"IAMFullAccess", "everything about identities", allow(`"iam:*"`)},
	{"IAMReadOnlyAccess", "reads of identities", allow(`"iam:Get*","iam:List*"`)},
	{"consoleAdmin", "everything, as the root key", allow(`"s3:*","iam:*","sts:*","aisle:*"`)},
	{"diagnostics", "reads of the cluster's state and settings", allow(`"aisle:GetCluster"`)},
	{"ownbuckets", "making buckets, and everything in those that the user has made", `{"Version":"2012-10-17","Statement":[
	{"Effect":"Allow","Action":"s3:CreateBucket","Resource":"*"},
	{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringEquals":{"aisle:BucketOwner":"${aws:username}"}}}]}`},
	{"readonly", "reads of S3", allow(`"s3:Get*","s3:List*"`)},
	{"readwrite", "everything in S3", allow(`"s3:*"`)},
	{"writeonly", "writes of objects", allow(`"s3:PutObject","s3:AbortMultipartUpload","s3:ListMultipartUploadParts"`)},
}

// CannedPolicies returns the policies that every cluster has, ordered by name.
func CannedPolicies() []Canned { return slices.Clone(canned) }

// cannedByARN returns the canned policy of that ARN.
func cannedByARN(arn string) (Canned, bool) {
	name, ok := strings.CutPrefix(arn, cannedPath)
	if !ok {
		return Canned{}, false
	}
	return cannedByName(name)
}

func cannedByName(name string) (Canned, bool) {
	for _, c := range canned {
		if strings.EqualFold(string(c.Name), name) {
			return c, true
		}
	}
	return Canned{}, false
}
