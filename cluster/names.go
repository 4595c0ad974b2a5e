package cluster

import (
	"fmt"
	"strconv"
	"strings"
)

// Names that are all strings or numbers have types of their own, so that the compiler keeps them apart.
type (
	// NodeID names a node for ever. It is made once, lives on the node's volume, and a removed one is never used again.
	NodeID string
	// MountpathID names a formatted mountpath (a disk with a directory on it) for ever.
	MountpathID string
	// BucketName is the bare name of a bucket, unique within its provider and namespace.
	BucketName string
	// ObjectKey is the key of an object: any valid UTF-8, 1 to MaxKeyLength bytes, compared as bytes.
	ObjectKey string
	// VersionID names one version of an object as S3 clients see it: "null", or 16 hexadecimal digits.
	VersionID string
	// UploadID names one multipart upload.
	UploadID string
	// AccessKeyID is the public half of a key pair; every request is bound to one.
	AccessKeyID string
	// RequestID names one client request for its whole life, retries inside the cluster included.
	RequestID string
	// JobID names a background job.
	JobID string
	// BucketID numbers a bucket for ever: a name that is deleted and made again gets another.
	BucketID uint64
	// Incarnation is the random number of one start of a node's process. Zero means that the node has not started yet.
	Incarnation uint64
	// MapVersion numbers the versions of the cluster map from 1.
	MapVersion uint64
	// Epoch numbers the states of one slot: it changes with the slot's owner, its holders or a holder's incarnation.
	Epoch uint64
)

// Limits of names and keys, in bytes (AWS: "Object key naming guidelines", "Bucket naming rules").
const (
	MaxKeyLength    = 1024
	MaxKeyName      = 256 // of an encryption key
	MinBucketLength = 3
	MaxBucketLength = 63
)

// Generation orders the writes of one key: first by the epoch of the slot in which the write was made, then by a counter
// that is never reused within an epoch. It is not a clock.
type Generation struct {
	Epoch   Epoch
	Counter uint64
}

// Less reports whether g is older than h.
func (g Generation) Less(h Generation) bool {
	return g.Epoch < h.Epoch || g.Epoch == h.Epoch && g.Counter < h.Counter
}

// IsZero reports whether g is the generation of no write.
func (g Generation) IsZero() bool { return g == Generation{} }

// String returns "epoch.counter" in decimal.
func (g Generation) String() string {
	return strconv.FormatUint(uint64(g.Epoch), 10) + "." + strconv.FormatUint(g.Counter, 10)
}

// ParseGeneration reads what Generation.String wrote.
func ParseGeneration(s string) (Generation, error) {
	epoch, counter, ok := strings.Cut(s, ".")
	e, err1 := strconv.ParseUint(epoch, 10, 64)
	c, err2 := strconv.ParseUint(counter, 10, 64)
	if !ok || err1 != nil || err2 != nil {
		return Generation{}, fmt.Errorf("generation %q is not EPOCH.COUNTER", s)
	}
	return Generation{Epoch(e), c}, nil
}

// String returns the incarnation as 16 hexadecimal digits.
func (i Incarnation) String() string { return fmt.Sprintf("%016x", uint64(i)) }

// NullVersion is the version of what was written while its bucket had no versions, or had them suspended.
const NullVersion VersionID = "null"

// Valid reports whether v can be the id of a version.
func (v VersionID) Valid() bool {
	if v == NullVersion {
		return true
	}
	return len(v) == 16 && strings.Trim(string(v), "0123456789abcdef") == ""
}

// temporaryPrefix begins the ids of the access keys of sessions, and of no others.
const (
	temporaryPrefix = "ASIA"
	temporaryLength = 20
)

// IsTemporary reports whether an access key is one of a session, which counts together with its token only.
func (id AccessKeyID) IsTemporary() bool {
	return len(id) == temporaryLength && strings.HasPrefix(string(id), temporaryPrefix)
}
