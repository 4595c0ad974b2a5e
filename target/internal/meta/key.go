package meta

import (
	"fmt"

	"github.com/aisle-store/aisle/cluster"
)

// Kind is the first byte of a key: what sort of record it is. The numbers are on disk for ever.
type Kind byte

// The kinds of records. Current ones have a kind of their own, so that a list never passes anything else.
const (
	inDoubt  Kind = 0x01 // the key of a record that is prepared but not known to be visible follows
	slotMark Kind = 0x02 // a slot was written on this mountpath

	Current         Kind = 0x10 // the object as a client sees it
	Noncurrent      Kind = 0x11 // an older version that a client can still name
	Tombstone       Kind = 0x12 // the object was deleted
	manifestKind    Kind = 0x13 // the parts of an object, when they are many
	Upload          Kind = 0x20 // a multipart upload in progress
	UploadPart      Kind = 0x21 // a part of one
	UploadTombstone Kind = 0x22 // the upload was completed or aborted

	accessTime Kind = 0x30 // when the object was last read
)

// Ref names one record: the key of the index in its parts.
type Ref struct {
	Kind       Kind
	Bucket     cluster.BucketID
	Key        cluster.ObjectKey
	Version    uint64           // of objects: 0 is the null version; newer versions have higher numbers
	Upload     cluster.UploadID // of uploads, their tombstones and parts
	Part       uint32           // of parts
	Generation cluster.Generation
}

// String returns the ref for logs.
func (r Ref) String() string {
	return fmt.Sprintf("%#02x %d/%q v%d %s/%d @%s", byte(r.Kind), uint64(r.Bucket), string(r.Key), r.Version, r.Upload, r.Part, r.Generation)
}

// Slot returns the slot of the record's key.
func (r Ref) Slot() cluster.Slot { return cluster.SlotOf(r.Bucket, r.Key) }
