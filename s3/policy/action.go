package policy

import "strings"

// Action is something that a policy can allow or deny, by a number of this build. Documents name actions by patterns; each
// is compiled into a set of these.
type Action uint16

// Target is what an action is done to, which decides the form of the resource that a request names.
type Target uint8

const (
	OnService Target = iota // the resource is "*"
	OnBucket
	OnObject
	OnIdentity // an ARN of IAM
)

// The actions that requests to this cluster need. Others of AWS are known by name, so that documents that list them are
// taken: see otherActions.
const (
	NoAction Action = iota
	AbortMultipartUpload
	BypassGovernanceRetention
	CreateBucket
	DeleteBucket
	DeleteBucketPolicy
	DeleteBucketWebsite
	DeleteObject
	DeleteObjectTagging
	DeleteObjectVersion
	DeleteObjectVersionTagging
	GetBucketACL
	GetAccelerateConfiguration
	GetAnalyticsConfiguration
	GetIntelligentTieringConfiguration
	GetInventoryConfiguration
	GetMetricsConfiguration
	GetBucketCORS
	GetBucketLocation
	GetBucketLogging
	GetBucketNotification
	GetBucketObjectLockConfiguration
	GetBucketOwnershipControls
	GetBucketPolicy
	GetBucketPolicyStatus
	GetBucketPublicAccessBlock
	GetBucketRequestPayment
	GetBucketTagging
	GetBucketVersioning
	GetBucketWebsite
	GetEncryptionConfiguration
	GetLifecycleConfiguration
	GetObject
	GetObjectACL
	GetObjectAttributes
	GetObjectLegalHold
	GetObjectRetention
	GetObjectTagging
	GetObjectVersion
	GetObjectVersionACL
	GetObjectVersionAttributes
	GetObjectVersionTagging
	GetReplicationConfiguration
	ListAllMyBuckets
	ListBucket
	ListBucketMultipartUploads
	ListBucketVersions
	ListMultipartUploadParts
	PutBucketACL
	PutBucketCORS
	PutBucketLogging
	PutBucketNotification
	PutBucketObjectLockConfiguration
	PutBucketOwnershipControls
	PutBucketPolicy
	PutBucketPublicAccessBlock
	PutBucketRequestPayment
	PutBucketTagging
	PutBucketVersioning
	PutBucketWebsite
	PutEncryptionConfiguration
	PutLifecycleConfiguration
	PutObject
	PutObjectACL
	PutObjectLegalHold
	PutObjectRetention
	PutObjectTagging
	PutObjectVersionACL
	PutObjectVersionTagging
	PutReplicationConfiguration

	GetCluster    // maps, status and settings of the cluster, by the native API
	ManageCluster // changes of them
	AdminBucket   // properties of a bucket that only the native API has

	actionEnd
)

// info is what is known of an action.
type info struct {
	name string
	on   Target
}

var actions = [actionEnd]info{
	AbortMultipartUpload:               {"s3:AbortMultipartUpload", OnObject},
	BypassGovernanceRetention:          {"s3:BypassGovernanceRetention", OnObject},
	CreateBucket:                       {"s3:CreateBucket", OnBucket},
	DeleteBucket:                       {"s3:DeleteBucket", OnBucket},
	DeleteBucketPolicy:                 {"s3:DeleteBucketPolicy", OnBucket},
	DeleteBucketWebsite:                {"s3:DeleteBucketWebsite", OnBucket},
	DeleteObject:                       {"s3:DeleteObject", OnObject},
	DeleteObjectTagging:                {"s3:DeleteObjectTagging", OnObject},
	DeleteObjectVersion:                {"s3:DeleteObjectVersion", OnObject},
	DeleteObjectVersionTagging:         {"s3:DeleteObjectVersionTagging", OnObject},
	GetBucketACL:                       {"s3:GetBucketAcl", OnBucket},
	GetAccelerateConfiguration:         {"s3:GetAccelerateConfiguration", OnBucket},
	GetAnalyticsConfiguration:          {"s3:GetAnalyticsConfiguration", OnBucket},
	GetIntelligentTieringConfiguration: {"s3:GetIntelligentTieringConfiguration", OnBucket},
	GetInventoryConfiguration:          {"s3:GetInventoryConfiguration", OnBucket},
	GetMetricsConfiguration:            {"s3:GetMetricsConfiguration", OnBucket},
	GetBucketCORS:                      {"s3:GetBucketCORS", OnBucket},
	GetBucketLocation:                  {"s3:GetBucketLocation", OnBucket},
	GetBucketLogging:                   {"s3:GetBucketLogging", OnBucket},
	GetBucketNotification:              {"s3:GetBucketNotification", OnBucket},
	GetBucketObjectLockConfiguration:   {"s3:GetBucketObjectLockConfiguration", OnBucket},
	GetBucketOwnershipControls:         {"s3:GetBucketOwnershipControls", OnBucket},
	GetBucketPolicy:                    {"s3:GetBucketPolicy", OnBucket},
	GetBucketPolicyStatus:              {"s3:GetBucketPolicyStatus", OnBucket},
	GetBucketPublicAccessBlock:         {"s3:GetBucketPublicAccessBlock", OnBucket},
	GetBucketRequestPayment:            {"s3:GetBucketRequestPayment", OnBucket},
	GetBucketTagging:                   {"s3:GetBucketTagging", OnBucket},
	GetBucketVersioning:                {"s3:GetBucketVersioning", OnBucket},
	GetBucketWebsite:                   {"s3:GetBucketWebsite", OnBucket},
	GetEncryptionConfiguration:         {"s3:GetEncryptionConfiguration", OnBucket},
	GetLifecycleConfiguration:          {"s3:GetLifecycleConfiguration", OnBucket},
	GetObject:                          {"s3:GetObject", OnObject},
	GetObjectACL:                       {"s3:GetObjectAcl", OnObject},
	GetObjectAttributes:                {"s3:GetObjectAttributes", OnObject},
	GetObjectLegalHold:                 {"s3:GetObjectLegalHold", OnObject},
	GetObjectRetention:                 {"s3:GetObjectRetention", OnObject},
	GetObjectTagging:                   {"s3:GetObjectTagging", OnObject},
	GetObjectVersion:                   {"s3:GetObjectVersion", OnObject},
	GetObjectVersionACL:                {"s3:GetObjectVersionAcl", OnObject},
	GetObjectVersionAttributes:         {"s3:GetObjectVersionAttributes", OnObject},
	GetObjectVersionTagging:            {"s3:GetObjectVersionTagging", OnObject},
	GetReplicationConfiguration:        {"s3:GetReplicationConfiguration", OnBucket},
	ListAllMyBuckets:                   {"s3:ListAllMyBuckets", OnService},
	ListBucket:                         {"s3:ListBucket", OnBucket},
	ListBucketMultipartUploads:         {"s3:ListBucketMultipartUploads", OnBucket},
	ListBucketVersions:                 {"s3:ListBucketVersions", OnBucket},
	ListMultipartUploadParts:           {"s3:ListMultipartUploadParts", OnObject},
	PutBucketACL:                       {"s3:PutBucketAcl", OnBucket},
	PutBucketCORS:                      {"s3:PutBucketCORS", OnBucket},
	PutBucketLogging:                   {"s3:PutBucketLogging", OnBucket},
	PutBucketNotification:              {"s3:PutBucketNotification", OnBucket},
	PutBucketObjectLockConfiguration:   {"s3:PutBucketObjectLockConfiguration", OnBucket},
	PutBucketOwnershipControls:         {"s3:PutBucketOwnershipControls", OnBucket},
	PutBucketPolicy:                    {"s3:PutBucketPolicy", OnBucket},
	PutBucketPublicAccessBlock:         {"s3:PutBucketPublicAccessBlock", OnBucket},
	PutBucketRequestPayment:            {"s3:PutBucketRequestPayment", OnBucket},
	PutBucketTagging:                   {"s3:PutBucketTagging", OnBucket},
	PutBucketVersioning:                {"s3:PutBucketVersioning", OnBucket},
	PutBucketWebsite:                   {"s3:PutBucketWebsite", OnBucket},
	PutEncryptionConfiguration:         {"s3:PutEncryptionConfiguration", OnBucket},
	PutLifecycleConfiguration:          {"s3:PutLifecycleConfiguration", OnBucket},
	PutObject:                          {"s3:PutObject", OnObject},
	PutObjectACL:                       {"s3:PutObjectAcl", OnObject},
	PutObjectLegalHold:                 {"s3:PutObjectLegalHold", OnObject},
	PutObjectRetention:                 {"s3:PutObjectRetention", OnObject},
	PutObjectTagging:                   {"s3:PutObjectTagging", OnObject},
	PutObjectVersionACL:                {"s3:PutObjectVersionAcl", OnObject},
	PutObjectVersionTagging:            {"s3:PutObjectVersionTagging", OnObject},
	PutReplicationConfiguration:        {"s3:PutReplicationConfiguration", OnBucket},
	GetCluster:                         {"aisle:GetCluster", OnService},
	ManageCluster:                      {"aisle:ManageCluster", OnService},
	AdminBucket:                        {"aisle:AdminBucket", OnBucket},
}

// otherActions are numbered from actionEnd on: of S3, what nothing here asks for; of IAM and STS, the names of their
// operations.
var otherActions = []info{
	{"s3:CreateBucketMetadataTableConfiguration", OnBucket},
	{"s3:DeleteBucketMetadataTableConfiguration", OnBucket},
	{"s3:DeleteBucketOwnershipControls", OnBucket},
	{"s3:GetAccountPublicAccessBlock", OnService},
	{"s3:GetBucketAbac", OnBucket},
	{"s3:GetBucketMetadataTableConfiguration", OnBucket},
	{"s3:GetObjectTorrent", OnObject},
	{"s3:GetObjectVersionForReplication", OnObject},
	{"s3:GetObjectVersionTorrent", OnObject},
	{"s3:InitiateReplication", OnObject},
	{"s3:ListBucketVersion", OnBucket},
	{"s3:ListTagsForResource", OnBucket},
	{"s3:ObjectOwnerOverrideToBucketOwner", OnObject},
	{"s3:PauseReplication", OnBucket},
	{"s3:PutAccelerateConfiguration", OnBucket},
	{"s3:PutAccountPublicAccessBlock", OnService},
	{"s3:PutAnalyticsConfiguration", OnBucket},
	{"s3:PutBucketAbac", OnBucket},
	{"s3:PutIntelligentTieringConfiguration", OnBucket},
	{"s3:PutInventoryConfiguration", OnBucket},
	{"s3:PutMetricsConfiguration", OnBucket},
	{"s3:ReplicateDelete", OnObject},
	{"s3:ReplicateObject", OnObject},
	{"s3:ReplicateTags", OnObject},
	{"s3:RestoreObject", OnObject},
	{"s3:TagResource", OnBucket},
	{"s3:UntagResource", OnBucket},
	{"s3:UpdateBucketMetadataInventoryTableConfiguration", OnBucket},
	{"s3:UpdateBucketMetadataJournalTableConfiguration", OnBucket},
	{"iam:AddClientIDToOpenIDConnectProvider", OnIdentity},
	{"iam:AddUserToGroup", OnIdentity},
	{"iam:AttachGroupPolicy", OnIdentity},
	{"iam:AttachRolePolicy", OnIdentity},
	{"iam:AttachUserPolicy", OnIdentity},
	{"iam:CreateAccessKey", OnIdentity},
	{"iam:CreateGroup", OnIdentity},
	{"iam:CreateOpenIDConnectProvider", OnIdentity},
	{"iam:CreatePolicy", OnIdentity},
	{"iam:CreatePolicyVersion", OnIdentity},
	{"iam:CreateRole", OnIdentity},
	{"iam:CreateUser", OnIdentity},
	{"iam:DeleteAccessKey", OnIdentity},
	{"iam:DeleteGroup", OnIdentity},
	{"iam:DeleteGroupPolicy", OnIdentity},
	{"iam:DeleteOpenIDConnectProvider", OnIdentity},
	{"iam:DeletePolicy", OnIdentity},
	{"iam:DeletePolicyVersion", OnIdentity},
	{"iam:DeleteRole", OnIdentity},
	{"iam:DeleteRolePolicy", OnIdentity},
	{"iam:DeleteUser", OnIdentity},
	{"iam:DeleteUserPolicy", OnIdentity},
	{"iam:DetachGroupPolicy", OnIdentity},
	{"iam:DetachRolePolicy", OnIdentity},
	{"iam:DetachUserPolicy", OnIdentity},
	{"iam:GetAccessKeyLastUsed", OnIdentity},
	{"iam:GetAccountSummary", OnIdentity},
	{"iam:GetGroup", OnIdentity},
	{"iam:GetGroupPolicy", OnIdentity},
	{"iam:GetOpenIDConnectProvider", OnIdentity},
	{"iam:GetPolicy", OnIdentity},
	{"iam:GetPolicyVersion", OnIdentity},
	{"iam:GetRole", OnIdentity},
	{"iam:GetRolePolicy", OnIdentity},
	{"iam:GetUser", OnIdentity},
	{"iam:GetUserPolicy", OnIdentity},
	{"iam:ListAccessKeys", OnIdentity},
	{"iam:ListAccountAliases", OnIdentity},
	{"iam:ListAttachedGroupPolicies", OnIdentity},
	{"iam:ListAttachedRolePolicies", OnIdentity},
	{"iam:ListAttachedUserPolicies", OnIdentity},
	{"iam:ListEntitiesForPolicy", OnIdentity},
	{"iam:ListGroupPolicies", OnIdentity},
	{"iam:ListGroups", OnIdentity},
	{"iam:ListGroupsForUser", OnIdentity},
	{"iam:ListOpenIDConnectProviders", OnIdentity},
	{"iam:ListPolicies", OnIdentity},
	{"iam:ListPolicyTags", OnIdentity},
	{"iam:ListPolicyVersions", OnIdentity},
	{"iam:ListRolePolicies", OnIdentity},
	{"iam:ListRoleTags", OnIdentity},
	{"iam:ListRoles", OnIdentity},
	{"iam:ListUserPolicies", OnIdentity},
	{"iam:ListUserTags", OnIdentity},
	{"iam:ListUsers", OnIdentity},
	{"iam:PutGroupPolicy", OnIdentity},
	{"iam:PutRolePolicy", OnIdentity},
	{"iam:PutUserPolicy", OnIdentity},
	{"iam:RemoveClientIDFromOpenIDConnectProvider", OnIdentity},
	{"iam:RemoveUserFromGroup", OnIdentity},
	{"iam:SetDefaultPolicyVersion", OnIdentity},
	{"iam:TagPolicy", OnIdentity},
	{"iam:TagRole", OnIdentity},
	{"iam:TagUser", OnIdentity},
	{"iam:UntagPolicy", OnIdentity},
	{"iam:UntagRole", OnIdentity},
	{"iam:UntagUser", OnIdentity},
	{"iam:UpdateAccessKey", OnIdentity},
	{"iam:UpdateAssumeRolePolicy", OnIdentity},
	{"iam:UpdateGroup", OnIdentity},
	{"iam:UpdateOpenIDConnectProviderThumbprint", OnIdentity},
	{"iam:UpdateRole", OnIdentity},
	{"iam:UpdateRoleDescription", OnIdentity},
	{"iam:UpdateUser", OnIdentity},
	{"sts:AssumeRole", OnIdentity},
	{"sts:AssumeRoleWithWebIdentity", OnIdentity},
	{"sts:GetCallerIdentity", OnIdentity},
	{"sts:GetSessionToken", OnIdentity},
	{"sts:SetSourceIdentity", OnIdentity},
	{"sts:TagSession", OnIdentity},
}

// actionWords is the size of a set of actions, in words of 64 bits; there is room for 256.
const actionWords = 4

// actionSet is a set of actions.
type actionSet [actionWords]uint64

func (s *actionSet) has(a Action) bool { return s[a/64]&(1<<(a%64)) != 0 }
func (s *actionSet) add(a Action)      { s[a/64] |= 1 << (a % 64) }

func (s *actionSet) union(t actionSet) {
	for i := range s {
		s[i] |= t[i]
	}
}

// all yields every action with what is known of it.
func all(yield func(Action, info) bool) {
	for i, a := range actions {
		if a.name != "" && !yield(Action(i), a) {
			return
		}
	}
	for i, a := range otherActions {
		if !yield(actionEnd+Action(i), a) {
			return
		}
	}
}

// String returns the name of the action, as documents have it.
func (a Action) String() string {
	switch {
	case a < actionEnd:
		return actions[a].name
	case int(a-actionEnd) < len(otherActions):
		return otherActions[a-actionEnd].name
	}
	return ""
}

// On returns what the action is done to.
func (a Action) On() Target {
	switch {
	case a < actionEnd:
		return actions[a].on
	case int(a-actionEnd) < len(otherActions):
		return otherActions[a-actionEnd].on
	}
	return OnService
}

// ActionOf returns the action of that name, in whatever case, or NoAction.
func ActionOf(name string) Action {
	for a, i := range all {
		if strings.EqualFold(i.name, name) {
			return a
		}
	}
	return NoAction
}

// actionsLike returns the known actions that a pattern fits. Names of actions compare without case.
func actionsLike(p string) (set actionSet, any bool) {
	like := newGlob(strings.ToLower(p))
	for a, i := range all {
		if like.match(strings.ToLower(i.name), nil) {
			set.add(a)
			any = true
		}
	}
	return set, any
}
