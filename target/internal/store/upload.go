package store

import (
	"io"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// Limits of multipart uploads (AWS: "Amazon S3 multipart upload limits").
const (
	MaxParts    = 10000
	MinPartSize = 5 << 20 // of every part but the last
)

// CreateUploadRequest asks for a new multipart upload.
type CreateUploadRequest struct {
	Call
	Bucket    cluster.BucketEntry
	Key       cluster.ObjectKey
	Owner     cluster.AccessKeyID
	Want      []cluster.ChecksumType // checksums that its parts and the object keep
	Composite bool                   // the object's are checksums of the parts' checksums, not of the whole object
	Metadata
}

// UploadInfo is what is known of an upload in progress.
type UploadInfo struct {
	ID        cluster.UploadID
	Key       cluster.ObjectKey
	Owner     cluster.AccessKeyID
	Initiated time.Time
	Want      []cluster.ChecksumType
	Composite bool
	Metadata
}

// PutPartRequest asks for a part to be written. Parts may come in any order, in parallel, and replace one another.
type PutPartRequest struct {
	Call
	Bucket  cluster.BucketEntry
	Key     cluster.ObjectKey
	Upload  cluster.UploadID
	Number  int // 1 to MaxParts
	Body    io.Reader
	Size    int64 // -1 when it is not known
	Want    []cluster.ChecksumType
	Expect  Sums
	Trailer SumSource
}

// PartsRequest asks for the parts of an upload, ordered by number.
type PartsRequest struct {
	Call
	Bucket cluster.BucketEntry
	Key    cluster.ObjectKey
	Upload cluster.UploadID
	After  int // only parts with a higher number
	Limit  int // at most so many; 0 for all
}

// PartsResult is one page of an upload's parts.
type PartsResult struct {
	Upload UploadInfo
	Parts  []PartInfo
	More   bool
}

// CompletePart names a part that the object shall be made of.
type CompletePart struct {
	Number int
	ETag   string // without quotes
	Sums   Sums   // checked against the part's when given
}

// CompleteRequest asks for an object to be made of an upload's parts.
type CompleteRequest struct {
	Call
	Bucket cluster.BucketEntry
	Key    cluster.ObjectKey
	Upload cluster.UploadID
	Parts  []CompletePart
	Size   int64 // what the object must have; -1 when the client did not say
	Expect Sums  // checksums that the object must have, in the upload's form
	If     Conditions
}

// AbortRequest asks for an upload to be dropped with all its parts.
type AbortRequest struct {
	Call
	Bucket cluster.BucketEntry
	Key    cluster.ObjectKey
	Upload cluster.UploadID
}
