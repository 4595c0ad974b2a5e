package store

import (
	"io"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// Call names one attempt of one client request.
type Call struct {
	Request cluster.RequestID // the same on every attempt; an outcome is remembered under it
	Epoch   cluster.Epoch     // the epoch of the key's slot as the gateway saw it; another one refuses the attempt
	Sent
}

// Sent says how old an attempt can be. The zero value is the only attempt of its request.
type Sent struct {
	Aged  bool          // there may be others, whose outcome is forgotten when the request is too old
	Began time.Duration // if Aged: what the store's clock had at least reached when the request began
}

// Sum is one checksum in its raw bytes.
type Sum = meta.Sum

// Sums is a small set of checksums, at most one of each type.
type Sums []Sum

// Get returns the checksum of a type, or nil.
func (s Sums) Get(t cluster.ChecksumType) []byte {
	for i := range s {
		if s[i].Type == t {
			return s[i].Value
		}
	}
	return nil
}

// SumSource gives the checksums that a request states only after its body (trailers). The store calls it once, after the
// body returned io.EOF.
type SumSource interface {
	Sums() (Sums, error)
}

// Pair is one name and value, of a content header, of user metadata or of custom properties.
type Pair = meta.Pair

// Encryption says how data are encrypted.
type Encryption = meta.Encryption

// The modes of encryption.
const (
	S3Mode       = meta.S3Mode
	KMSMode      = meta.KMSMode
	CustomerMode = meta.CustomerMode
)

// Encrypt says how the bytes of a write are encrypted.
type Encrypt struct {
	Encryption // without Sealed
	// Seal seals the key that was made for the bytes of an object (part 0) or part, of which there are size.
	Seal func(key []byte, part int, size int64) []byte
}

// UnlockPart stands for the part in the seal of the key of nothing: see meta.Encryption.
const UnlockPart = -1

// Keys opens the keys of encrypted data.
type Keys interface {
	// Check refuses who may not read data with this encryption; nil: they are not encrypted. It is asked before anything is told
	// of an object, conditions included. parts says that the data keys are with parts, size is that of the object.
	Check(e *Encryption, parts bool, size int64) error
	// Open opens the key of an object (part 0) or part.
	Open(e *Encryption, sealed []byte, part int, size int64) ([]byte, error)
}

// Metadata is what a client says of an object beside its bytes.
type Metadata struct {
	Headers []Pair // content headers as the client sent them, under their canonical names: "Content-Type"
	User    []Pair // x-amz-meta-*, without that prefix, in the order in which they came
	Custom  []Pair // AIStore's custom properties
	Tags    []Pair // S3's, in the order in which they came
	Lock    Lock   // of a version that is made; Update changes it by UpdateRequest.Lock only
	Class   string // S3's storage class, a label: "" is STANDARD
	ACL     string // the access control list, as package s3 writes it; "": the one by default
}

// Info is what is known of a visible object.
type Info struct {
	Key        cluster.ObjectKey
	Size       int64
	ETag       string // without quotes
	Modified   time.Time
	Accessed   time.Time // as far as it is known; of a read that returned Info, the one before. Only a Stat that asks for it tells it
	Generation cluster.Generation
	Version    int64             // AIStore's counter of the key: 1 for the first write
	VersionID  cluster.VersionID // "null" where the bucket had no versions when it was written
	Sums       Sums
	Composite  bool // the sums but the bucket's are checksums of the parts' checksums; the S3 form has "-N"
	PartCount  int  // of an object that an upload made; else 0
	Owner      cluster.AccessKeyID
	Encryption *Encryption // nil: the bytes are not encrypted
	Metadata
}

// PartInfo is what is known of a part: of an upload, or of an object that an upload made.
type PartInfo struct {
	Number   int
	Size     int64
	ETag     string
	Sums     Sums
	Modified time.Time

	Encryption *Encryption // of a part that was just written
}

// PutRequest asks for one object to be written.
type PutRequest struct {
	Call
	Bucket  cluster.BucketEntry
	Key     cluster.ObjectKey
	Body    io.Reader // the decoded bytes; any error but io.EOF ends the request and is returned
	Size    int64     // what Body will give, else KindInvalid; -1 when it is not known
	Owner   cluster.AccessKeyID
	Want    []cluster.ChecksumType // checksums to compute and keep, besides the bucket's own
	Expect  Sums                   // checksums that the bytes must have
	Trailer SumSource              // more of them, known after the body; nil for none. A type in Want makes them cheap: name it there
	If      Conditions             // judged under the key's lock against the visible object
	// Base, when it is not zero, is the generation that Body was read from: KindConflict when another one is visible by then.
	Base    cluster.Generation
	Encrypt *Encrypt // nil: the bytes are stored as they come
	Notices Notices
	Metadata
}

// GetRequest asks for an object, or what is known of it.
type GetRequest struct {
	Call
	Bucket cluster.BucketEntry
	Key    cluster.ObjectKey
	// Version asks for that version in place of the current one. Without it, a delete marker is an object that does not exist.
	Version cluster.VersionID
	If      Conditions
	Range   *Range // nil for the whole object
	// Part, when it is not 0, asks Open for one part of an object that an upload made, in place of Range. Parts are counted
	// from 1 in their order; any other object is its own part 1. KindRange when there is no such part.
	Part int

	Keys Keys // nil: nothing is checked, and data that are encrypted cannot be opened
	// Judge, when it is not nil, may refuse the request by the object as it is, before conditions say anything of it.
	Judge func(*Info) error

	Accessed bool // of Stat: also when it was last read, which takes another look into the index
}

// DeleteRequest asks for an object to be gone; in a bucket with versions, for a delete marker to be the current version.
type DeleteRequest struct {
	Call
	Bucket  cluster.BucketEntry
	Key     cluster.ObjectKey
	Version cluster.VersionID   // when set: this version, or marker, goes for good
	Owner   cluster.AccessKeyID // of the marker
	If      Conditions          // of the object that would be hidden, or of the version
	// Base, when it is not zero, is the generation of the record that may go: KindConflict when there is another one by then.
	Base    cluster.Generation
	Alone   bool // the version may go only when it is the last one: else KindConflict
	Bypass  bool // the caller may, and wants to, remove a version whose retention is in governance mode
	Notices Notices
}

// DeleteResult says what a delete found.
type DeleteResult struct {
	Existed bool              // false: there was nothing, and nothing was written
	Version cluster.VersionID // of the marker that was made, or of what went; "" in a bucket without versions
	Marker  bool              // Version is a delete marker
}

// UpdateRequest asks for an object's metadata to be changed without touching its bytes.
type UpdateRequest struct {
	Call
	Bucket  cluster.BucketEntry
	Key     cluster.ObjectKey
	Version cluster.VersionID // when set: of this version
	If      Conditions
	Judge   func(*Info) error // when it is not nil: may refuse the request by the object as it is, under the key's lock
	Edit    func(*Metadata)   // changes the metadata in place, under the key's lock; may be called more than once; nil for nothing

	Lock *LockChange // nil: the lock stays

	Keys Keys // nil: nothing is checked

	KeepModified bool // S3's Last-Modified stays: tags are no part of the object

	Unversioned bool // KindConflict when the bucket has versions by now: then this is to be a new one

	Owner   cluster.AccessKeyID // who asks
	Notices Notices
}

// ListRequest asks for the entries of a bucket in the order of their keys' bytes.
type ListRequest struct {
	Bucket      cluster.BucketEntry
	Map         cluster.MapVersion // the map the gateway lists at; the store refuses when it has activated another
	Prefix      string
	Delimiter   string           // keys with it after the prefix are rolled up into one entry with Prefix set
	After       string           // only entries behind this key; a common prefix that equals it is left out
	AfterUpload cluster.UploadID // Uploads: of the key After, only uploads behind this one; empty leaves out all of that key

	AfterVersion cluster.VersionID // Versions: of the key After, only versions behind (older than) this one; empty leaves out all of that key

	Details bool // also access times and the values of checksums, which cost more to read
}

// MountpathStatus is what the store says of one of its mountpaths.
type MountpathStatus struct {
	cluster.Mountpath
	Err      error      // why it does not serve, or takes no writes; nil when it does
	Readable bool       // it serves reads
	InStep   int        // of a mirror: how many disks have all of it
	Verified int64      // bytes that scrubs have read since the process started
	Damaged  int64      // what is damaged and not repaired
	Repaired int64      // since the process started
	Usage    disk.Usage // zero when the file system does not tell
	Disk     disk.Stats
	Index    meta.Metrics
}
