package s3

import (
	"maps"
	"slices"
	"strings"

	"github.com/aisle-store/aisle/cluster"
)

// Operation is an operation of the S3 API that Aisle has built, by AWS's name.
type Operation uint8

// The operations. Those from PutObject on act on one object or upload and run at its owner.
const (
	NoOperation Operation = iota
	ListBuckets
	CreateBucket
	HeadBucket
	DeleteBucket
	GetBucketLocation
	ListObjects
	ListObjectsV2
	ListMultipartUploads
	DeleteObjects
	GetBucketVersioning
	PutBucketVersioning
	ListObjectVersions
	PostObject
	GetBucketTagging
	PutBucketTagging
	DeleteBucketTagging
	GetBucketCors
	PutBucketCors
	DeleteBucketCors
	GetBucketLifecycleConfiguration
	PutBucketLifecycleConfiguration
	DeleteBucketLifecycle
	GetBucketRequestPayment
	PutBucketRequestPayment
	GetBucketAccelerateConfiguration
	GetBucketAnalyticsConfiguration
	ListBucketAnalyticsConfigurations
	GetBucketIntelligentTieringConfiguration
	ListBucketIntelligentTieringConfigurations
	GetBucketInventoryConfiguration
	ListBucketInventoryConfigurations
	GetBucketMetricsConfiguration
	ListBucketMetricsConfigurations
	GetBucketPolicy
	PutBucketPolicy
	DeleteBucketPolicy
	GetBucketPolicyStatus
	GetPublicAccessBlock
	PutPublicAccessBlock
	DeletePublicAccessBlock
	GetBucketOwnershipControls
	PutBucketOwnershipControls
	DeleteBucketOwnershipControls
	GetBucketACL
	PutBucketACL
	GetBucketLogging
	PutBucketLogging
	GetBucketNotificationConfiguration
	PutBucketNotificationConfiguration
	GetBucketWebsite
	PutBucketWebsite
	DeleteBucketWebsite
	GetObjectLockConfiguration
	PutObjectLockConfiguration
	GetBucketReplication
	PutBucketReplication
	DeleteBucketReplication
	GetBucketEncryption
	PutBucketEncryption
	DeleteBucketEncryption
	PutObject
	GetObject
	HeadObject
	DeleteObject
	CopyObject
	CreateMultipartUpload
	UploadPart
	UploadPartCopy
	ListParts
	CompleteMultipartUpload
	AbortMultipartUpload
	GetObjectTagging
	PutObjectTagging
	DeleteObjectTagging
	GetObjectAttributes
	GetObjectACL
	PutObjectACL
	GetObjectRetention
	PutObjectRetention
	GetObjectLegalHold
	PutObjectLegalHold
	operationEnd
)

var operationNames = [...]string{
	NoOperation:                                "Unknown",
	ListBuckets:                                "ListBuckets",
	CreateBucket:                               "CreateBucket",
	HeadBucket:                                 "HeadBucket",
	DeleteBucket:                               "DeleteBucket",
	GetBucketLocation:                          "GetBucketLocation",
	ListObjects:                                "ListObjects",
	ListObjectsV2:                              "ListObjectsV2",
	ListMultipartUploads:                       "ListMultipartUploads",
	PostObject:                                 "PostObject",
	DeleteObjects:                              "DeleteObjects",
	GetBucketVersioning:                        "GetBucketVersioning",
	PutBucketVersioning:                        "PutBucketVersioning",
	ListObjectVersions:                         "ListObjectVersions",
	GetBucketTagging:                           "GetBucketTagging",
	PutBucketTagging:                           "PutBucketTagging",
	DeleteBucketTagging:                        "DeleteBucketTagging",
	GetBucketCors:                              "GetBucketCors",
	PutBucketCors:                              "PutBucketCors",
	DeleteBucketCors:                           "DeleteBucketCors",
	GetBucketLifecycleConfiguration:            "GetBucketLifecycleConfiguration",
	PutBucketLifecycleConfiguration:            "PutBucketLifecycleConfiguration",
	DeleteBucketLifecycle:                      "DeleteBucketLifecycle",
	GetBucketRequestPayment:                    "GetBucketRequestPayment",
	PutBucketRequestPayment:                    "PutBucketRequestPayment",
	GetBucketAccelerateConfiguration:           "GetBucketAccelerateConfiguration",
	GetBucketAnalyticsConfiguration:            "GetBucketAnalyticsConfiguration",
	ListBucketAnalyticsConfigurations:          "ListBucketAnalyticsConfigurations",
	GetBucketIntelligentTieringConfiguration:   "GetBucketIntelligentTieringConfiguration",
	ListBucketIntelligentTieringConfigurations: "ListBucketIntelligentTieringConfigurations",
	GetBucketInventoryConfiguration:            "GetBucketInventoryConfiguration",
	ListBucketInventoryConfigurations:          "ListBucketInventoryConfigurations",
	GetBucketMetricsConfiguration:              "GetBucketMetricsConfiguration",
	ListBucketMetricsConfigurations:            "ListBucketMetricsConfigurations",
	PutObject:                                  "PutObject",
	GetObject:                                  "GetObject",
	HeadObject:                                 "HeadObject",
	DeleteObject:                               "DeleteObject",
	CopyObject:                                 "CopyObject",
	CreateMultipartUpload:                      "CreateMultipartUpload",
	UploadPart:                                 "UploadPart",
	UploadPartCopy:                             "UploadPartCopy",
	ListParts:                                  "ListParts",
	CompleteMultipartUpload:                    "CompleteMultipartUpload",
	AbortMultipartUpload:                       "AbortMultipartUpload",
	GetObjectTagging:                           "GetObjectTagging",
	PutObjectTagging:                           "PutObjectTagging",
	DeleteObjectTagging:                        "DeleteObjectTagging",
	GetObjectAttributes:                        "GetObjectAttributes",
	GetBucketPolicy:                            "GetBucketPolicy",
	PutBucketPolicy:                            "PutBucketPolicy",
	DeleteBucketPolicy:                         "DeleteBucketPolicy",
	GetBucketPolicyStatus:                      "GetBucketPolicyStatus",
	GetPublicAccessBlock:                       "GetPublicAccessBlock",
	PutPublicAccessBlock:                       "PutPublicAccessBlock",
	DeletePublicAccessBlock:                    "DeletePublicAccessBlock",
	GetBucketOwnershipControls:                 "GetBucketOwnershipControls",
	PutBucketOwnershipControls:                 "PutBucketOwnershipControls",
	DeleteBucketOwnershipControls:              "DeleteBucketOwnershipControls",
	GetBucketACL:                               "GetBucketAcl",
	PutBucketACL:                               "PutBucketAcl",
	GetBucketLogging:                           "GetBucketLogging",
	PutBucketLogging:                           "PutBucketLogging",
	GetBucketNotificationConfiguration:         "GetBucketNotificationConfiguration",
	PutBucketNotificationConfiguration:         "PutBucketNotificationConfiguration",
	GetBucketWebsite:                           "GetBucketWebsite",
	PutBucketWebsite:                           "PutBucketWebsite",
	DeleteBucketWebsite:                        "DeleteBucketWebsite",
	GetObjectLockConfiguration:                 "GetObjectLockConfiguration",
	PutObjectLockConfiguration:                 "PutObjectLockConfiguration",
	GetBucketReplication:                       "GetBucketReplication",
	PutBucketReplication:                       "PutBucketReplication",
	DeleteBucketReplication:                    "DeleteBucketReplication",
	GetObjectRetention:                         "GetObjectRetention",
	PutObjectRetention:                         "PutObjectRetention",
	GetObjectLegalHold:                         "GetObjectLegalHold",
	PutObjectLegalHold:                         "PutObjectLegalHold",
	GetBucketEncryption:                        "GetBucketEncryption",
	PutBucketEncryption:                        "PutBucketEncryption",
	DeleteBucketEncryption:                     "DeleteBucketEncryption",
	GetObjectACL:                               "GetObjectAcl",
	PutObjectACL:                               "PutObjectAcl",
}

// String returns AWS's name of the operation.
func (o Operation) String() string {
	if o < operationEnd {
		return operationNames[o]
	}
	return operationNames[NoOperation]
}

// OnObject reports whether the operation acts on one key and therefore runs at the key's owner.
func (o Operation) OnObject() bool { return o >= PutObject && o < operationEnd }

// Writes reports whether the operation changes anything.
func (o Operation) Writes() bool {
	switch o {
	case CreateBucket, DeleteBucket, DeleteObjects, PutBucketVersioning, PostObject, PutBucketTagging, DeleteBucketTagging, PutBucketCors, DeleteBucketCors, PutBucketLifecycleConfiguration, DeleteBucketLifecycle, PutBucketRequestPayment, PutObject, DeleteObject, CopyObject, CreateMultipartUpload,
		UploadPart, UploadPartCopy, CompleteMultipartUpload, AbortMultipartUpload, PutObjectTagging, DeleteObjectTagging,
		PutBucketPolicy, DeleteBucketPolicy, PutPublicAccessBlock, DeletePublicAccessBlock, PutBucketOwnershipControls, DeleteBucketOwnershipControls,
		PutBucketACL, PutObjectACL, PutBucketWebsite, DeleteBucketWebsite,
		PutBucketReplication, DeleteBucketReplication, PutObjectLockConfiguration, PutObjectRetention, PutObjectLegalHold, PutBucketEncryption, DeleteBucketEncryption, PutBucketNotificationConfiguration, PutBucketLogging:
		return true
	}
	return false
}

// ParseOperation returns the operation of that name, or NoOperation.
func ParseOperation(name string) Operation {
	for o, n := range operationNames {
		if n == name {
			return Operation(o)
		}
	}
	return NoOperation
}

// scope is what a path names.
type scope uint8

const (
	onService scope = iota
	onBucket
	onObject
)

// resource is one row of the table of sub-resources: a query name that turns a request into another operation. methods
// maps each method that S3 defines for it to what Aisle makes of it: an operation, or NoOperation for "known, not built".
type resource struct {
	name    string // as in the query
	title   string // AWS's ResourceType in errors
	methods map[string]Operation
}

func notBuilt(methods ...string) map[string]Operation {
	m := make(map[string]Operation, len(methods))
	for _, method := range methods {
		m[method] = NoOperation
	}
	return m
}

// readOnly is a kind of configuration of which a bucket can have several, and here has none: they can be asked for.
func readOnly(list Operation) map[string]Operation {
	return map[string]Operation{"GET": list, "PUT": NoOperation, "DELETE": NoOperation}
}

// singleConfiguration is what a request that lists configurations asks for when it names one.
var singleConfiguration = map[Operation]Operation{
	ListBucketAnalyticsConfigurations:          GetBucketAnalyticsConfiguration,
	ListBucketIntelligentTieringConfigurations: GetBucketIntelligentTieringConfiguration,
	ListBucketInventoryConfigurations:          GetBucketInventoryConfiguration,
	ListBucketMetricsConfigurations:            GetBucketMetricsConfiguration,
}

// bucketResources are the sub-resources of a bucket in AWS's API reference.
var bucketResources = []resource{
	{"abac", "ABAC", notBuilt("GET", "PUT")},
	{"accelerate", "ACCELERATE", map[string]Operation{"GET": GetBucketAccelerateConfiguration, "PUT": NoOperation}},
	{"acl", "ACL", map[string]Operation{"GET": GetBucketACL, "PUT": PutBucketACL}},
	{"analytics", "ANALYTICS", readOnly(ListBucketAnalyticsConfigurations)},
	{"cors", "CORS", map[string]Operation{"GET": GetBucketCors, "PUT": PutBucketCors, "DELETE": DeleteBucketCors}},
	{"delete", "MULTI_OBJECT_REQUEST", map[string]Operation{"POST": DeleteObjects}},
	{"encryption", "ENCRYPTION", map[string]Operation{"GET": GetBucketEncryption, "PUT": PutBucketEncryption, "DELETE": DeleteBucketEncryption}},
	{"intelligent-tiering", "INTELLIGENT_TIERING", readOnly(ListBucketIntelligentTieringConfigurations)},
	{"inventory", "INVENTORY", readOnly(ListBucketInventoryConfigurations)},
	{"lifecycle", "LIFECYCLE", map[string]Operation{
		"GET": GetBucketLifecycleConfiguration, "PUT": PutBucketLifecycleConfiguration, "DELETE": DeleteBucketLifecycle,
	}},
	{"location", "LOCATION", map[string]Operation{"GET": GetBucketLocation}},
	{"logging", "LOGGING_STATUS", map[string]Operation{"GET": GetBucketLogging, "PUT": PutBucketLogging}},
	{"metadataAnnotationTable", "METADATA_ANNOTATION_TABLE", notBuilt("PUT")},
	{"metadataConfiguration", "METADATA_CONFIGURATION", notBuilt("GET", "POST", "DELETE")},
	{"metadataInventoryTable", "METADATA_INVENTORY_TABLE", notBuilt("PUT")},
	{"metadataJournalTable", "METADATA_JOURNAL_TABLE", notBuilt("PUT")},
	{"metadataTable", "METADATA_TABLE", notBuilt("GET", "POST", "DELETE")},
	{"metrics", "METRICS", readOnly(ListBucketMetricsConfigurations)},
	{"notification", "NOTIFICATION", map[string]Operation{"GET": GetBucketNotificationConfiguration, "PUT": PutBucketNotificationConfiguration}},
	{"object-lock", "OBJECT_LOCK", map[string]Operation{"GET": GetObjectLockConfiguration, "PUT": PutObjectLockConfiguration}},
	{"ownershipControls", "OWNERSHIP_CONTROLS", map[string]Operation{
		"GET": GetBucketOwnershipControls, "PUT": PutBucketOwnershipControls, "DELETE": DeleteBucketOwnershipControls,
	}},
	{"policy", "POLICY", map[string]Operation{"GET": GetBucketPolicy, "PUT": PutBucketPolicy, "DELETE": DeleteBucketPolicy}},
	{"policyStatus", "POLICY_STATUS", map[string]Operation{"GET": GetBucketPolicyStatus}},
	{"publicAccessBlock", "PUBLIC_ACCESS_BLOCK", map[string]Operation{
		"GET": GetPublicAccessBlock, "PUT": PutPublicAccessBlock, "DELETE": DeletePublicAccessBlock,
	}},
	{"replication", "REPLICATION", map[string]Operation{"GET": GetBucketReplication, "PUT": PutBucketReplication, "DELETE": DeleteBucketReplication}},
	{"requestPayment", "REQUEST_PAYMENT", map[string]Operation{"GET": GetBucketRequestPayment, "PUT": PutBucketRequestPayment}},
	{"session", "SESSION", notBuilt("GET")},
	{"tagging", "TAGGING", map[string]Operation{"GET": GetBucketTagging, "PUT": PutBucketTagging, "DELETE": DeleteBucketTagging}},
	{"uploads", "UPLOADS", map[string]Operation{"GET": ListMultipartUploads}},
	{"versioning", "VERSIONING", map[string]Operation{"GET": GetBucketVersioning, "PUT": PutBucketVersioning}},
	{"versions", "VERSIONS", map[string]Operation{"GET": ListObjectVersions}},
	{"website", "WEBSITE", map[string]Operation{"GET": GetBucketWebsite, "PUT": PutBucketWebsite, "DELETE": DeleteBucketWebsite}},
}

// objectResources are the sub-resources of an object in AWS's API reference.
var objectResources = []resource{
	{"acl", "ACL", map[string]Operation{"GET": GetObjectACL, "PUT": PutObjectACL}},
	{"annotation", "ANNOTATION", notBuilt("GET", "PUT", "DELETE")},
	{"attributes", "ATTRIBUTES", map[string]Operation{"GET": GetObjectAttributes}},
	{"encryption", "ENCRYPTION", notBuilt("PUT")},
	{"legal-hold", "LEGAL_HOLD", map[string]Operation{"GET": GetObjectLegalHold, "PUT": PutObjectLegalHold}},
	{"renameObject", "RENAME", notBuilt("PUT")},
	{"restore", "RESTORE", notBuilt("POST")},
	{"retention", "RETENTION", map[string]Operation{"GET": GetObjectRetention, "PUT": PutObjectRetention}},
	{"select", "SELECT", notBuilt("POST")},
	{"tagging", "TAGGING", map[string]Operation{"GET": GetObjectTagging, "PUT": PutObjectTagging, "DELETE": DeleteObjectTagging}},
	{"torrent", "TORRENT", notBuilt("GET")},
	{"uploadId", "UPLOAD", map[string]Operation{
		"GET": ListParts, "PUT": UploadPart, "POST": CompleteMultipartUpload, "DELETE": AbortMultipartUpload,
	}},
	{"uploads", "UPLOADS", map[string]Operation{"POST": CreateMultipartUpload}},
}

// plain operations: what a method does to a path without a sub-resource.
var plainOperations = [...]map[string]Operation{
	onService: {"GET": ListBuckets},
	onBucket: {
		"GET": ListObjects, "HEAD": HeadBucket, "PUT": CreateBucket, "DELETE": DeleteBucket,
		"POST": PostObject, "OPTIONS": NoOperation, // a browser's form; CORS preflight
	},
	onObject: {
		"GET": GetObject, "HEAD": HeadObject, "PUT": PutObject, "DELETE": DeleteObject, "OPTIONS": NoOperation,
	},
}

// scopeTitles are AWS's ResourceType of a path without a sub-resource.
var scopeTitles = [...]string{onService: "SERVICE", onBucket: "BUCKET", onObject: "OBJECT"}

// responseOverrides are the query parameters of GET and HEAD that replace headers of the reply.
var responseOverrides = []Field{
	{"response-cache-control", "Cache-Control"},
	{"response-content-disposition", "Content-Disposition"},
	{"response-content-encoding", "Content-Encoding"},
	{"response-content-language", "Content-Language"},
	{"response-content-type", "Content-Type"},
	{"response-expires", "Expires"},
}

var overrideNames = func() []string {
	names := make([]string, len(responseOverrides))
	for i, o := range responseOverrides {
		names[i] = o.Name
	}
	return names
}()

// operationParams are the query names, beside its sub-resource, that an operation takes. A name that is neither here nor
// harmless is refused: it may be a sub-resource of a later S3, and such a request must not touch the object.
var operationParams = map[Operation][]string{
	ListBuckets:                       {"bucket-region", "continuation-token", "max-buckets", "prefix"},
	ListObjects:                       {"delimiter", "encoding-type", "marker", "max-keys", "prefix", "start-after", "continuation-token", "fetch-owner", "list-type"},
	ListObjectsV2:                     {"continuation-token", "delimiter", "encoding-type", "fetch-owner", "list-type", "marker", "max-keys", "prefix", "start-after"},
	ListMultipartUploads:              {"delimiter", "encoding-type", "key-marker", "max-uploads", "prefix", "upload-id-marker"},
	GetObject:                         slices.Concat(overrideNames, []string{"partNumber", "versionId"}),
	HeadObject:                        slices.Concat(overrideNames, []string{"partNumber", "versionId"}),
	DeleteObject:                      {"versionId"},
	GetObjectAttributes:               {"versionId"},
	GetObjectTagging:                  {"versionId"},
	PutObjectTagging:                  {"versionId"},
	DeleteObjectTagging:               {"versionId"},
	GetObjectACL:                      {"versionId"},
	PutObjectACL:                      {"versionId"},
	GetObjectRetention:                {"versionId"},
	PutObjectRetention:                {"versionId"},
	GetObjectLegalHold:                {"versionId"},
	PutObjectLegalHold:                {"versionId"},
	ListObjectVersions:                {"delimiter", "encoding-type", "key-marker", "max-keys", "prefix", "version-id-marker"},
	UploadPart:                        {"partNumber"},
	UploadPartCopy:                    {"partNumber"},
	GetBucketLifecycleConfiguration:   {"withUpdatedAt"}, // of mc: MinIO's own question, which it can do without an answer to
	ListBucketAnalyticsConfigurations: {"continuation-token"},
	ListBucketIntelligentTieringConfigurations: {"continuation-token"},
	ListBucketInventoryConfigurations:          {"continuation-token"},
	ListBucketMetricsConfigurations:            {"continuation-token"},
	GetBucketAnalyticsConfiguration:            {"id"},
	GetBucketIntelligentTieringConfiguration:   {"id"},
	GetBucketInventoryConfiguration:            {"id"},
	GetBucketMetricsConfiguration:              {"id"},
	ListParts:                                  {"encoding-type", "max-parts", "part-number-marker"},
}

// knownUnbuiltParams are query names of S3 that Aisle knows but has not built; the refusal can say so.
var knownUnbuiltParams = map[string]bool{"versionId": true, "partNumber": true}

// ignores reports whether a read goes on as if a name were not in its query, as on AWS: names that S3 does not know (it keeps
// those that begin with x- for whoever asks). A list refuses what another list knows: its pages would have no end.
func (o Operation) ignores(name string) bool {
	switch {
	case o.Writes() || knownUnbuiltParams[name] || subResources[name]:
		return false
	case o == GetObject || o == HeadObject:
		return true
	case o == ListBuckets: // other services are asked at the same place
		return len(name) > 2 && strings.EqualFold(name[:2], "x-")
	default:
		return !paramsOfAny[name]
	}
}

// subResources are the names of all sub-resources, paramsOfAny those that any operation takes beside them.
var subResources, paramsOfAny = func() (subs, params map[string]bool) {
	subs, params = make(map[string]bool), make(map[string]bool)
	for _, r := range slices.Concat(bucketResources, objectResources) {
		subs[r.name] = true
	}
	for _, names := range operationParams {
		for _, name := range names {
			params[name] = true
		}
	}
	return subs, params
}()

// harmless reports whether a query name never changes what a request means: signatures, and the operation's name that
// SDKs repeat in x-id.
func harmless(name string) bool {
	if name == "x-id" {
		return true
	}
	return len(name) > 6 && strings.EqualFold(name[:6], "x-amz-")
}

// route finds the operation of a call whose bucket, key and query are set.
func route(c *Call) (Operation, error) {
	const op = "s3.route"
	where, table := onService, []resource(nil)
	switch {
	case c.Key != "":
		where, table = onObject, objectResources
	case c.Bucket != "":
		where, table = onBucket, bucketResources
	}
	sub, err := subResource(c.Params, table)
	if err != nil {
		return NoOperation, err
	}
	methods, title := plainOperations[where], scopeTitles[where]
	if sub != nil {
		methods, title = sub.methods, sub.title
	}
	o, known := methods[c.Method]
	if !known {
		return NoOperation, cluster.E(op, "", cluster.KindMethod, &Fault{
			Code: MethodNotAllowed, Fields: []Field{{"Method", c.Method}, {"ResourceType", title}}, Allow: strings.Join(slices.Sorted(maps.Keys(methods)), ", "),
		})
	}
	if o == NoOperation {
		return NoOperation, notImplemented(op, "The operation "+c.Method+" "+title+" is not implemented.")
	}
	o = refine(o, c)
	if err := checkParams(o, sub, c.Params); err != nil {
		return NoOperation, err
	}
	if err := checkHeaders(c); err != nil {
		return NoOperation, err
	}
	return o, nil
}

// refine tells apart the operations that share method and sub-resource.
func refine(o Operation, c *Call) Operation {
	switch o {
	case ListObjects:
		if c.Params.Get("list-type") == "2" {
			return ListObjectsV2
		}
	case PutObject:
		if c.hasAmz("x-amz-copy-source") {
			return CopyObject
		}
	case UploadPart:
		if c.hasAmz("x-amz-copy-source") {
			return UploadPartCopy
		}
	}
	if single, ok := singleConfiguration[o]; ok && c.Params.Has("id") {
		return single
	}
	return o
}

// subResource returns the one sub-resource among the parameters, or nil.
func subResource(q Query, table []resource) (*resource, error) {
	const op = "s3.subResource"
	var found *resource
	for _, p := range q {
		for i := range table {
			if table[i].name != p.Name || found == &table[i] {
				continue
			}
			if found != nil {
				return nil, invalidArgument(op, "ResourceType", found.name,
					"Conflicting query string parameters: "+found.name+", "+p.Name)
			}
			found = &table[i]
		}
	}
	return found, nil
}

// checkParams refuses every query name that the operation does not take, unless it reads and may ignore it. ListDirectoryBuckets differs from ListBuckets
// by x-id only, and WriteGetObjectResponse from a form.
func checkParams(o Operation, sub *resource, q Query) error {
	const op = "s3.checkParams"
	v2 := isPresignedV2(q)
	if o == ListBuckets && q.Get("x-id") == "ListDirectoryBuckets" {
		return notImplemented(op, "The operation ListDirectoryBuckets is not implemented.")
	}
	if o == PostObject && q.Get("x-id") == "WriteGetObjectResponse" {
		return notImplemented(op, "The operation WriteGetObjectResponse is not implemented.")
	}
next:
	for _, p := range q {
		if harmless(p.Name) || sub != nil && sub.name == p.Name || v2 && slices.Contains(harmlessV2, p.Name) {
			continue
		}
		for _, name := range operationParams[o] {
			if name == p.Name {
				continue next
			}
		}
		if o.ignores(p.Name) {
			continue
		}
		if knownUnbuiltParams[p.Name] {
			return notImplemented(op, "The query parameter "+p.Name+" is not implemented for "+o.String()+".")
		}
		return notImplemented(op, "The query parameter "+p.Name+" is unknown to "+o.String()+".")
	}
	return nil
}

func notImplemented(op, message string, fields ...Field) error {
	return NewFault(op, NotImplemented, message, fields...)
}
