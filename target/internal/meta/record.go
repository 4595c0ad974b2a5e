package meta

import (
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/aisle-store/aisle/target/internal/sse"
)

//go:generate go tool msgp -file record.go -o record_gen.go -tests=false -unexported

//msgp:shim cluster.ChecksumType as:string using:string/cluster.ChecksumType
//msgp:shim cluster.AccessKeyID as:string using:string/cluster.AccessKeyID
//msgp:shim cluster.RequestID as:string using:string/cluster.RequestID
//msgp:shim cluster.LockMode as:string using:string/cluster.LockMode
//msgp:shim cluster.LegalHold as:string using:string/cluster.LegalHold
//msgp:ignore Record
//msgp:limit arrays:262144 maps:256 marshal:true
//msgp:tuple Sum Pair Coding

// Record is what the index knows of one generation of an object, an upload, a part or a tombstone. Ref is its key; the rest
// is its value.
type Record struct {
	Ref
	Fields
}

// Fields are the value of a record. A name on disk is never used for another meaning; fields that a reader does not know are
// skipped.
type Fields struct {
	Size        int64                  `msg:"s,omitempty"`
	Created     time.Time              `msg:"c,omitempty"`  // of the first generation of this object
	Modified    time.Time              `msg:"m,omitempty"`  // S3's Last-Modified
	ETag        string                 `msg:"e,omitempty"`  // without quotes
	Counter     int64                  `msg:"v,omitempty"`  // AIStore's version: 1 for the first write of the key
	Number      uint64                 `msg:"vn,omitempty"` // of a version: newer versions of a key have higher ones; 0 in a bucket that never had versions
	Null        bool                   `msg:"v0,omitempty"` // the null version, also when it has a number
	Marker      bool                   `msg:"vm,omitempty"` // a delete marker
	LockMode    cluster.LockMode       `msg:"lm,omitempty"` // of a version: its retention, "" for none
	LockUntil   time.Time              `msg:"lu,omitempty"` // until when it lasts
	LegalHold   cluster.LegalHold      `msg:"lh,omitempty"` // of a version
	Sums        []Sum                  `msg:"k,omitempty"`
	Composite   bool                   `msg:"kc,omitempty"` // the sums are of the parts' sums, not of the whole object
	Want        []cluster.ChecksumType `msg:"kw,omitempty"` // of an upload: the sums that its parts and the object get
	Owner       cluster.AccessKeyID    `msg:"o,omitempty"`  // who wrote it: the id of a user or role; in old records an access key
	ACL         string                 `msg:"a,omitempty"`  // access control list, as package s3 writes it; "": the one by default
	Headers     []Pair                 `msg:"h,omitempty"`  // content headers, as "Content-Type"
	Metadata    []Pair                 `msg:"u,omitempty"`  // x-amz-meta-*, without that prefix
	Tags        []Pair                 `msg:"t,omitempty"`
	Class       string                 `msg:"sc,omitempty"` // S3's storage class, as the client named it; "": STANDARD
	Custom      []Pair                 `msg:"x,omitempty"`  // AIStore's custom properties
	Request     cluster.RequestID      `msg:"r,omitempty"`  // that made this generation
	Place       disk.Place             `msg:"p"`            // with Coding, of a shard
	Coding      *Coding                `msg:"ec,omitempty"` // the data lie in shards; nil: whole, here
	Inline      []byte                 `msg:"-"`            // the data itself, when it has no place: lies behind the msgpack
	Parts       []Part                 `msg:"n,omitempty"`  // of an object made by an upload, in order; see Index.Parts
	PartCount   int                    `msg:"nc,omitempty"` // how many parts there are, also when the manifest holds them
	HasManifest bool                   `msg:"nm,omitempty"` // the parts are in the manifest, not here; set by Batch.Put
	Encryption  *Encryption            `msg:"en,omitempty"` // the data are encrypted; nil: they are not
}

// Encryption says how data are encrypted. Sizes, checksums and ETags of a record are those of the plain bytes.
type Encryption struct {
	Mode      string `msg:"m"`           // one of the modes below
	Key       string `msg:"k,omitempty"` // of KMSMode: the encryption key, as the client named it
	Context   string `msg:"c,omitempty"` // of KMSMode: what the client binds the data to
	BucketKey bool   `msg:"b,omitempty"` // of KMSMode: what the client said of a bucket key, to be told again
	// Sealed is the key of the data. Of an upload with CustomerMode, and of the object made of it, it is a key of nothing, which
	// the customer's key opens: data keys are with the parts.
	Sealed []byte `msg:"s,omitempty"`
}

// The modes of encryption, as S3's headers have them; CustomerMode has no name there.
const (
	S3Mode       = "AES256"
	KMSMode      = "aws:kms"
	CustomerMode = "SSE-C"
)

// IsSecret reports whether neither ETag nor checksums that nobody asked for may tell what the data are.
func (e *Encryption) IsSecret() bool { return e != nil && e.Mode != S3Mode }

// Sum is one checksum in its raw bytes.
type Sum struct {
	Type  cluster.ChecksumType
	Value []byte
}

// Coding says how data were cut into shards, and which one lies here. Each holder has its own Shard; the rest is the same
// everywhere.
type Coding struct {
	Data   int // shards that are enough
	Parity int
	Block  int // bytes of a block in a whole stripe
	Shard  int // that lies here; Data+Parity or more: none
}

// Pair is one name and value.
type Pair struct{ Name, Value string }

// Part is one part of an object that an upload made.
type Part struct {
	Number   int        `msg:"n"`
	Size     int64      `msg:"s"`
	ETag     string     `msg:"e,omitempty"`
	Modified time.Time  `msg:"m,omitempty"`
	Sums     []Sum      `msg:"k,omitempty"`
	Place    disk.Place `msg:"p"` // with Coding, of a shard
	Coding   *Coding    `msg:"ec,omitempty"`
	Inline   []byte     `msg:"d,omitempty"`
	Sealed   []byte     `msg:"y,omitempty"` // the key of the data when they are encrypted
}

// Stored is how many bytes the part takes as it is stored.
func (p *Part) Stored() int64 {
	if p.Sealed == nil {
		return p.Size
	}
	return sse.Size(p.Size)
}

// manifest is the value beside a record of many parts.
type manifest struct {
	Parts []Part `msg:"n"`
}

// footer is what a record looks like beside its data, for salvage: with its key.
type footer struct {
	Key    []byte `msg:"k"`
	Fields Fields `msg:"f"`
}

// NullVersion stands for the null version in keys of the index: there is one at most. Numbers are times, and never as low.
const NullVersion = 1

// IsNull reports whether the record is the null version of its key.
func (f *Fields) IsNull() bool { return f.Null || f.Number == 0 }

// KeyVersion is what Ref.Version is when the record is not the current version.
func (f *Fields) KeyVersion() uint64 {
	if f.IsNull() {
		return NullVersion
	}
	return f.Number
}

// Order says which of two versions of a key is newer: the one with the higher order.
func (f *Fields) Order() uint64 {
	if f.Number == 0 {
		return uint64(max(f.Modified.UnixNano(), 0))
	}
	return f.Number
}

// Stored is how many bytes the data take as they are stored, those of parts aside.
func (f *Fields) Stored() int64 {
	if f.Encryption == nil || f.PartCount > 0 {
		return f.Size
	}
	return sse.Size(f.Size)
}

// Sum returns the checksum of a type, or nil.
func (f *Fields) Sum(t cluster.ChecksumType) []byte {
	for i := range f.Sums {
		if f.Sums[i].Type == t {
			return f.Sums[i].Value
		}
	}
	return nil
}
