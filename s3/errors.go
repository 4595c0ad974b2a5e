package s3

import (
	"errors"
	"strconv"

	"github.com/aisle-store/aisle/cluster"
)

// Code is an error code of S3, as clients compare it.
type Code string

// The codes that Aisle answers with.
const (
	AccessDenied                      Code = "AccessDenied"
	AuthorizationHeaderMalformed      Code = "AuthorizationHeaderMalformed"
	AuthorizationQueryParametersError Code = "AuthorizationQueryParametersError"
	BadDigest                         Code = "BadDigest"
	BucketAlreadyExists               Code = "BucketAlreadyExists"
	BucketAlreadyOwnedByYou           Code = "BucketAlreadyOwnedByYou"
	BucketNotEmpty                    Code = "BucketNotEmpty"
	ConditionalRequestConflict        Code = "ConditionalRequestConflict"
	EntityTooLarge                    Code = "EntityTooLarge"
	EntityTooSmall                    Code = "EntityTooSmall"
	IllegalLocationConstraint         Code = "IllegalLocationConstraintException"
	IncompleteBody                    Code = "IncompleteBody"
	InsufficientStorage               Code = "InsufficientStorage"
	InternalError                     Code = "InternalError"
	InvalidAccessKeyID                Code = "InvalidAccessKeyId"
	InvalidArgument                   Code = "InvalidArgument"
	InvalidBucketName                 Code = "InvalidBucketName"
	InvalidChunkSize                  Code = "InvalidChunkSizeError"
	InvalidDigest                     Code = "InvalidDigest"
	InvalidLocationConstraint         Code = "InvalidLocationConstraint"
	InvalidEncryptionAlgorithm        Code = "InvalidEncryptionAlgorithmError"
	KMSKeyNotFound                    Code = "KMS.NotFoundException"
	NoBucketEncryption                Code = "ServerSideEncryptionConfigurationNotFoundError"
	InvalidPart                       Code = "InvalidPart"
	InvalidPartOrder                  Code = "InvalidPartOrder"
	InvalidPartNumber                 Code = "InvalidPartNumber"
	InvalidRange                      Code = "InvalidRange"
	InvalidRequest                    Code = "InvalidRequest"
	InvalidStorageClass               Code = "InvalidStorageClass"
	InvalidTag                        Code = "InvalidTag"
	InvalidTargetBucketForLogging     Code = "InvalidTargetBucketForLogging"
	InvalidToken                      Code = "InvalidToken"
	InvalidRedirectLocation           Code = "InvalidRedirectLocation"
	ExpiredToken                      Code = "ExpiredToken"
	InvalidURI                        Code = "InvalidURI"
	KeyTooLong                        Code = "KeyTooLongError"
	MalformedTrailer                  Code = "MalformedTrailerError"
	MalformedXML                      Code = "MalformedXML"
	MaxMessageLengthExceeded          Code = "MaxMessageLengthExceeded"
	MetadataTooLarge                  Code = "MetadataTooLarge"
	MethodNotAllowed                  Code = "MethodNotAllowed"
	MissingContentLength              Code = "MissingContentLength"
	MissingRequestBody                Code = "MissingRequestBodyError"
	NoSuchBucket                      Code = "NoSuchBucket"
	NoSuchConfiguration               Code = "NoSuchConfiguration"
	NoSuchKey                         Code = "NoSuchKey"
	NoSuchUpload                      Code = "NoSuchUpload"
	NoSuchVersion                     Code = "NoSuchVersion"
	IllegalVersioningConfiguration    Code = "IllegalVersioningConfigurationException"
	AccessForbidden                   Code = "AccessForbidden"
	BadRequest                        Code = "BadRequest"
	NoSuchCORSConfiguration           Code = "NoSuchCORSConfiguration"
	NoSuchLifecycleConfiguration      Code = "NoSuchLifecycleConfiguration"
	NoSuchTagSet                      Code = "NoSuchTagSet"
	NoSuchWebsiteConfiguration        Code = "NoSuchWebsiteConfiguration"
	InvalidPolicyDocument             Code = "InvalidPolicyDocument"
	MalformedPOSTRequest              Code = "MalformedPOSTRequest"
	MaxPostPreDataLengthExceeded      Code = "MaxPostPreDataLengthExceededError"
	NoSuchBucketPolicy                Code = "NoSuchBucketPolicy"
	MalformedPolicy                   Code = "MalformedPolicy"
	NoSuchPublicAccessBlock           Code = "NoSuchPublicAccessBlockConfiguration"
	NoOwnershipControls               Code = "OwnershipControlsNotFoundError"
	ACLNotSupported                   Code = "AccessControlListNotSupported"
	InvalidACLWithOwnership           Code = "InvalidBucketAclWithObjectOwnership"
	InvalidBucketState                Code = "InvalidBucketState"
	InvalidRetentionPeriod            Code = "InvalidRetentionPeriod"
	NoReplication                     Code = "ReplicationConfigurationNotFoundError"
	NoBucketLock                      Code = "ObjectLockConfigurationNotFoundError"
	NoObjectLock                      Code = "NoSuchObjectLockConfiguration"
	MalformedACL                      Code = "MalformedACLError"
	UnresolvableGrant                 Code = "UnresolvableGrantByEmailAddress"
	UnexpectedContent                 Code = "UnexpectedContent"
	MissingSecurityHeader             Code = "MissingSecurityHeader"
	NotImplemented                    Code = "NotImplemented"
	NotModified                       Code = "NotModified"
	OperationAborted                  Code = "OperationAborted"
	PreconditionFailed                Code = "PreconditionFailed"
	RequestHeaderSectionTooLarge      Code = "RequestHeaderSectionTooLarge"
	RequestTimeTooSkewed              Code = "RequestTimeTooSkewed"
	RequestTimeout                    Code = "RequestTimeout"
	ServiceUnavailable                Code = "ServiceUnavailable"
	SignatureDoesNotMatch             Code = "SignatureDoesNotMatch"
	XAmzContentChecksumMismatch       Code = "XAmzContentChecksumMismatch"
	XAmzContentSHA256Mismatch         Code = "XAmzContentSHA256Mismatch"
)

// codeInfo is one row of the error table.
type codeInfo struct {
	status  int
	kind    cluster.Kind
	message string // AWS's text, used when the error has none of its own
}

// codes is the table of S3's codes: status, kind and default message.
var codes = map[Code]codeInfo{
	AccessDenied:                      {403, cluster.KindDenied, "Access Denied"},
	AuthorizationHeaderMalformed:      {400, cluster.KindUnauthenticated, "The authorization header that you provided is not valid."},
	AuthorizationQueryParametersError: {400, cluster.KindUnauthenticated, "The authorization query parameters that you provided are not valid."},
	BadDigest:                         {400, cluster.KindChecksum, "The Content-MD5 or checksum value that you specified did not match what the server received."},
	BucketAlreadyExists:               {409, cluster.KindBucketExists, "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again."},
	BucketAlreadyOwnedByYou:           {409, cluster.KindBucketExists, "Your previous request to create the named bucket succeeded and you already own it."},
	BucketNotEmpty:                    {409, cluster.KindBucketNotEmpty, "The bucket you tried to delete is not empty"},
	ConditionalRequestConflict:        {409, cluster.KindConflict, "The conditional request cannot succeed due to a conflicting operation against this resource."},
	EntityTooLarge:                    {400, cluster.KindTooLarge, "Your proposed upload exceeds the maximum allowed size"},
	EntityTooSmall:                    {400, cluster.KindPartTooSmall, "Your proposed upload is smaller than the minimum allowed size"},
	IllegalLocationConstraint:         {400, cluster.KindInvalid, "The specified location-constraint is incompatible with the region specific endpoint this request was sent to."},
	IncompleteBody:                    {400, cluster.KindInvalid, "You did not provide the number of bytes specified by the Content-Length HTTP header"},
	InsufficientStorage:               {507, cluster.KindNoSpace, "The storage is full. Delete objects or add capacity, then try again."},
	InternalError:                     {500, cluster.KindOther, "We encountered an internal error. Please try again."},
	InvalidAccessKeyID:                {403, cluster.KindUnauthenticated, "The AWS Access Key Id you provided does not exist in our records."},
	InvalidArgument:                   {400, cluster.KindInvalid, "Invalid Argument"},
	InvalidEncryptionAlgorithm:        {400, cluster.KindInvalid, "The Encryption request you specified is not valid. Supported value: AES256."},
	KMSKeyNotFound:                    {400, cluster.KindInvalid, "Invalid keyId"},
	NoBucketEncryption:                {404, cluster.KindNotFound, "The server side encryption configuration was not found"},
	InvalidBucketName:                 {400, cluster.KindInvalid, "The specified bucket is not valid."},
	InvalidChunkSize:                  {403, cluster.KindInvalid, "Only the last chunk is allowed to have a size less than 8192 bytes"},
	InvalidDigest:                     {400, cluster.KindInvalid, "The Content-MD5 you specified was invalid"},
	InvalidLocationConstraint:         {400, cluster.KindInvalid, "The specified location-constraint is not valid"},
	InvalidPart:                       {400, cluster.KindPart, "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag."},
	InvalidPartOrder:                  {400, cluster.KindPartOrder, "The list of parts was not in ascending order. Parts must be ordered by part number."},
	InvalidPartNumber:                 {416, cluster.KindRange, "The requested partnumber is not satisfiable"},
	InvalidRange:                      {416, cluster.KindRange, "The requested range is not satisfiable"},
	InvalidRequest:                    {400, cluster.KindInvalid, "Invalid Request"},
	InvalidStorageClass:               {400, cluster.KindInvalid, "The storage class you specified is not valid"},
	InvalidTag:                        {400, cluster.KindInvalid, "The tag provided was not a valid tag."},
	ExpiredToken:                      {400, cluster.KindUnauthenticated, "The provided token has expired."},
	InvalidTargetBucketForLogging:     {400, cluster.KindInvalid, "The target bucket for logging does not exist"},
	InvalidToken:                      {400, cluster.KindUnauthenticated, "The provided token is malformed or otherwise invalid."},
	InvalidRedirectLocation:           {400, cluster.KindInvalid, "The website redirect location must have a prefix of 'http://' or 'https://' or '/'."},
	InvalidURI:                        {400, cluster.KindInvalid, "Couldn't parse the specified URI."},
	KeyTooLong:                        {400, cluster.KindInvalid, "Your key is too long"},
	MalformedTrailer:                  {400, cluster.KindInvalid, "The request contained trailing data that was not well-formed or did not conform to our published schema."},
	MalformedXML:                      {400, cluster.KindInvalid, "The XML you provided was not well-formed or did not validate against our published schema"},
	MaxMessageLengthExceeded:          {400, cluster.KindTooLarge, "Your request was too big."},
	MetadataTooLarge:                  {400, cluster.KindTooLarge, "Your metadata headers exceed the maximum allowed metadata size"},
	MethodNotAllowed:                  {405, cluster.KindMethod, "The specified method is not allowed against this resource."},
	MissingContentLength:              {411, cluster.KindInvalid, "You must provide the Content-Length HTTP header."},
	MissingRequestBody:                {400, cluster.KindInvalid, "Request Body is empty"},
	NoSuchBucket:                      {404, cluster.KindBucketNotFound, "The specified bucket does not exist"},
	NoSuchConfiguration:               {404, cluster.KindNotFound, "The specified configuration does not exist."},
	NoSuchKey:                         {404, cluster.KindObjectNotFound, "The specified key does not exist."},
	NoSuchUpload:                      {404, cluster.KindUploadNotFound, "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."},
	AccessForbidden:                   {403, cluster.KindDenied, "CORSResponse: This CORS request is not allowed."},
	BadRequest:                        {400, cluster.KindInvalid, "Bad Request"},
	NoSuchCORSConfiguration:           {404, cluster.KindNotFound, "The CORS configuration does not exist"},
	NoSuchLifecycleConfiguration:      {404, cluster.KindNotFound, "The lifecycle configuration does not exist"},
	NoSuchTagSet:                      {404, cluster.KindNotFound, "The TagSet does not exist"},
	NoSuchWebsiteConfiguration:        {404, cluster.KindNotFound, "The specified bucket does not have a website configuration"},
	InvalidPolicyDocument:             {400, cluster.KindInvalid, "The content of the form does not meet the conditions specified in the policy document."},
	MalformedPOSTRequest:              {400, cluster.KindInvalid, "The body of your POST request is not well-formed multipart/form-data."},
	MaxPostPreDataLengthExceeded:      {400, cluster.KindTooLarge, "Your POST request fields preceding the upload file were too large."},
	NoSuchBucketPolicy:                {404, cluster.KindNotFound, "The bucket policy does not exist"},
	MalformedPolicy:                   {400, cluster.KindInvalid, "This policy contains invalid Json"},
	NoSuchPublicAccessBlock:           {404, cluster.KindNotFound, "The public access block configuration was not found"},
	NoOwnershipControls:               {404, cluster.KindNotFound, "The bucket ownership controls were not found"},
	ACLNotSupported:                   {400, cluster.KindInvalid, "The bucket does not allow ACLs"},
	MalformedACL:                      {400, cluster.KindInvalid, "The XML you provided was not well-formed or did not validate against our published schema"},
	UnresolvableGrant:                 {400, cluster.KindInvalid, "The e-mail address you provided does not match any account on record."},
	UnexpectedContent:                 {400, cluster.KindInvalid, "This request does not support content"},
	MissingSecurityHeader:             {400, cluster.KindInvalid, "Your request was missing a required header"},
	InvalidACLWithOwnership:           {400, cluster.KindInvalid, "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting"},
	NoSuchVersion:                     {404, cluster.KindVersionNotFound, "The specified version does not exist."},
	IllegalVersioningConfiguration:    {400, cluster.KindInvalid, "The Versioning element must be specified"},
	InvalidBucketState:                {409, cluster.KindConflict, "The request is not valid with the current state of the bucket."},
	InvalidRetentionPeriod:            {400, cluster.KindInvalid, "Default retention period must be a positive integer value."},
	NoReplication:                     {404, cluster.KindNotFound, "The replication configuration was not found"},
	NoBucketLock:                      {404, cluster.KindNotFound, "Object Lock configuration does not exist for this bucket"},
	NoObjectLock:                      {404, cluster.KindNotFound, "The specified object does not have a ObjectLock configuration"},
	NotImplemented:                    {501, cluster.KindNotImplemented, "A header or query you provided implies functionality that is not implemented."},
	NotModified:                       {304, cluster.KindNotModified, "Not Modified"},
	OperationAborted:                  {409, cluster.KindConflict, "A conflicting conditional operation is currently in progress against this resource. Please try again."},
	PreconditionFailed:                {412, cluster.KindPreconditionFailed, "At least one of the pre-conditions you specified did not hold"},
	RequestHeaderSectionTooLarge:      {400, cluster.KindTooLarge, "Your request header section exceeds the maximum allowed size."},
	RequestTimeTooSkewed:              {403, cluster.KindUnauthenticated, "The difference between the request time and the current time is too large."},
	RequestTimeout:                    {400, cluster.KindTimeout, "Your socket connection to the server was not read from or written to within the timeout period. Idle connections will be closed."},
	ServiceUnavailable:                {503, cluster.KindUnavailable, "Service is unable to handle request."},
	SignatureDoesNotMatch:             {403, cluster.KindUnauthenticated, "The request signature we calculated does not match the signature you provided. Check your key and signing method."},
	XAmzContentChecksumMismatch:       {400, cluster.KindChecksum, "The provided 'x-amz-checksum' header does not match what was computed."},
	XAmzContentSHA256Mismatch:         {400, cluster.KindChecksum, "The provided 'x-amz-content-sha256' header does not match what was computed."},
}

// kindCodes maps each kind to the code of an error that wraps no Fault.
var kindCodes = map[cluster.Kind]Code{
	cluster.KindOther:              InternalError,
	cluster.KindInvalid:            InvalidArgument,
	cluster.KindUnauthenticated:    AccessDenied,
	cluster.KindDenied:             AccessDenied,
	cluster.KindBucketNotFound:     NoSuchBucket,
	cluster.KindObjectNotFound:     NoSuchKey,
	cluster.KindUploadNotFound:     NoSuchUpload,
	cluster.KindVersionNotFound:    NoSuchVersion,
	cluster.KindLocked:             AccessDenied,
	cluster.KindNotFound:           NoSuchConfiguration,
	cluster.KindBucketExists:       BucketAlreadyOwnedByYou,
	cluster.KindBucketNotEmpty:     BucketNotEmpty,
	cluster.KindConflict:           OperationAborted,
	cluster.KindPreconditionFailed: PreconditionFailed,
	cluster.KindNotModified:        NotModified,
	cluster.KindRange:              InvalidRange,
	cluster.KindChecksum:           BadDigest,
	cluster.KindTooLarge:           EntityTooLarge,
	cluster.KindUnavailable:        ServiceUnavailable,
	cluster.KindNoSpace:            InsufficientStorage,
	cluster.KindCorrupt:            InternalError,
	cluster.KindNotImplemented:     NotImplemented,
	cluster.KindMethod:             MethodNotAllowed,
	cluster.KindTimeout:            RequestTimeout,
	cluster.KindPart:               InvalidPart,
	cluster.KindPartTooSmall:       EntityTooSmall,
	cluster.KindPartOrder:          InvalidPartOrder,
}

// Field is one extra element of an error's XML, as <ArgumentName>.
type Field struct{ Name, Value string }

// Fault is a refusal in S3's own words. It travels as the cause of a *cluster.Error.
type Fault struct {
	Code    Code
	Message string // shown to the client; empty means the code's own text
	Fields  []Field
	Allow   string  // of MethodNotAllowed: the methods that there are
	Header  []Field // of the reply, besides
}

// Error returns "Code: message".
func (f *Fault) Error() string {
	if f.Message == "" {
		return string(f.Code) + ": " + codes[f.Code].message
	}
	return string(f.Code) + ": " + f.Message
}

// NewFault returns an error of the code's kind that answers with the code, the message (empty: the code's own text) and
// the fields.
func NewFault(op string, code Code, message string, fields ...Field) error {
	return cluster.E(op, "", codes[code].kind, &Fault{Code: code, Message: message, Fields: fields})
}

// invalidArgument is the fault for a parameter whose value cannot be.
func invalidArgument(op, name, value, message string) error {
	return NewFault(op, InvalidArgument, message, Field{"ArgumentName", name}, Field{"ArgumentValue", value})
}

// CodeOf returns the code with which an error is answered.
func CodeOf(err error) Code {
	var f *Fault
	if errors.As(err, &f) {
		return f.Code
	}
	return kindCodes[cluster.KindOf(err)]
}

// StatusOf returns the HTTP status with which an error is answered.
func StatusOf(err error) int { return codes[CodeOf(err)].status }

// ErrorContext is what the XML of an error says beside the error itself.
type ErrorContext struct {
	Method    string
	Resource  string // the raw path
	RequestID cluster.RequestID
	HostID    string
	Bucket    cluster.BucketName
	Key       cluster.ObjectKey
	UploadID  cluster.UploadID
	Version   cluster.VersionID
}

// Reply is a complete small reply: status, headers and body.
type Reply struct {
	Status int
	Header []Field
	Body   []byte // empty for HEAD, 204, 304
}

// ContentTypeXML is the type of every XML reply.
const ContentTypeXML = "application/xml"

// ErrorReply returns the reply for an error: S3's status, XML and Retry-After. The Content-Type is among the headers
// exactly when there is a body.
func ErrorReply(err error, c ErrorContext) Reply {
	code := CodeOf(err)
	info := codes[code]
	r := Reply{Status: info.status}
	if info.kind == cluster.KindUnavailable {
		r.Header = append(r.Header, Field{"Retry-After", strconv.Itoa(cluster.RetryAfter(err))})
	}
	var f *Fault
	if errors.As(err, &f) && f.Allow != "" {
		r.Header = append(r.Header, Field{"Allow", f.Allow})
	}
	if f != nil {
		r.Header = append(r.Header, f.Header...)
	}
	if c.Method == "HEAD" || info.status == 304 {
		return r
	}
	r.Header = append(r.Header, Field{"Content-Type", ContentTypeXML})
	r.Body = errorXML(err, code, c)
	return r
}

// errorXML writes AWS's <Error> document.
func errorXML(err error, code Code, c ErrorContext) []byte {
	w := newXML(512)
	w.open("Error")
	w.text("Code", string(code))
	w.text("Message", messageOf(err))
	f := &Fault{}
	if errors.As(err, &f) {
		for _, field := range f.Fields {
			w.text(field.Name, field.Value)
		}
	}
	// What a fault names itself, as the source of a copy, is not what the request is about.
	if fieldIndex(f.Fields, "BucketName") >= 0 || fieldIndex(f.Fields, "Key") >= 0 {
		code = ""
	}
	switch code {
	case NoSuchBucket, BucketNotEmpty, BucketAlreadyExists, BucketAlreadyOwnedByYou, InvalidBucketName, NoSuchConfiguration,
		NoSuchCORSConfiguration, NoSuchLifecycleConfiguration, NoSuchTagSet, NoSuchBucketPolicy, NoSuchPublicAccessBlock, NoOwnershipControls,
		NoSuchWebsiteConfiguration, NoBucketLock, NoReplication, NoBucketEncryption:
		w.text("BucketName", string(c.Bucket))
	case NoSuchKey:
		w.text("Key", string(c.Key))
	case NoSuchVersion:
		w.text("Key", string(c.Key))
		w.text("VersionId", string(c.Version))
	case NoSuchUpload:
		w.text("UploadId", string(c.UploadID))
	}
	w.text("Resource", c.Resource)
	w.text("RequestId", string(c.RequestID))
	w.text("HostId", c.HostID)
	w.close("Error")
	return w.bytes()
}

// MessageOf returns the text of an error that a client is shown.
func MessageOf(err error) string { return messageOf(err) }

// messageOf returns the text that a client is shown.
func messageOf(err error) string {
	var f *Fault
	switch {
	case errors.As(err, &f) && f.Message != "":
		return f.Message
	case f == nil && cluster.KindOf(err) == cluster.KindInvalid:
		return publicMessage(err)
	case f == nil && cluster.KindOf(err) == cluster.KindLocked:
		return "Access Denied because object protected by object lock."
	}
	return codes[CodeOf(err)].message
}

// publicMessage returns the innermost text of an invalid request's error: what is wrong, without our function names.
func publicMessage(err error) string {
	for {
		var e *cluster.Error
		if !errors.As(err, &e) || e.Err == nil {
			break
		}
		err = e.Err
	}
	var e *cluster.Error
	if errors.As(err, &e) {
		return codes[InvalidArgument].message
	}
	return err.Error()
}
