package meta

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/aisle-store/aisle/cluster"
)

// Kind is the first byte of a key: what sort of record it is. The numbers are on disk for ever.
type Kind byte

// The kinds of records. Current ones have a kind of their own, so that a list never passes anything else.
const (
	inDoubt  Kind = 0x01 // the key of a record that is prepared but not known to be visible follows
	slotMark Kind = 0x02 // a slot was written on this mountpath
	note     Kind = 0x03 // what the store keeps under a name of its own

	Current             Kind = 0x10 // the object as a client sees it
	Noncurrent          Kind = 0x11 // a version, also a delete marker, that is not the current one
	Tombstone           Kind = 0x12 // the object was deleted; with Fields.Marker it is a version, the current one
	manifestKind        Kind = 0x13 // the parts of an object, when they are many
	Replaced            Kind = 0x14 // a request whose visible record was replaced, kept for the gateways' retry window; Ref.Upload holds its id
	NoncurrentTombstone Kind = 0x15 // a version that was not the current one is gone, or became it
	Notice              Kind = 0x16 // somebody is to be told of a change; Ref.Upload holds the request's id and a number

	Upload          Kind = 0x20 // a multipart upload in progress
	UploadPart      Kind = 0x21 // a part of one
	UploadTombstone Kind = 0x22 // the upload was completed or aborted

	accessTime Kind = 0x30 // when the object was last read
)

// bucketKinds are the kinds whose keys have a bucket behind the kind.
var bucketKinds = [...]Kind{
	Current, Noncurrent, Tombstone, manifestKind, Replaced, NoncurrentTombstone, Notice, Upload, UploadPart, UploadTombstone, accessTime,
}

// recordKinds are the kinds whose values are records.
var recordKinds = [...]Kind{Current, Noncurrent, Tombstone, Replaced, NoncurrentTombstone, Notice, Upload, UploadPart, UploadTombstone}

// RecordKinds returns the kinds whose values are records.
func RecordKinds() []Kind { return recordKinds[:] }

// Ref names one record: the key of the index in its parts.
type Ref struct {
	Kind       Kind
	Bucket     cluster.BucketID
	Key        cluster.ObjectKey
	Version    uint64           // of Noncurrent and its tombstones: Fields.KeyVersion; else 0
	Upload     cluster.UploadID // of uploads, their tombstones and parts; of Replaced the request id, of Notice with a number
	Part       uint32           // of parts
	Generation cluster.Generation
}

// String returns the ref for logs.
func (r Ref) String() string {
	s := fmt.Sprintf("%02x:%d/%q", byte(r.Kind), uint64(r.Bucket), string(r.Key))
	if r.Upload != "" {
		s += fmt.Sprintf(" upload %s part %d", r.Upload, r.Part)
	}
	return s + " @" + r.Generation.String()
}

// Slot returns the slot of the record's key.
func (r Ref) Slot() cluster.Slot { return cluster.SlotOf(r.Bucket, r.Key) }

// hasUpload reports whether keys of the kind name an upload, or a request in its place.
func (k Kind) hasUpload() bool {
	return k == Upload || k == UploadPart || k == UploadTombstone || k == Replaced || k == Notice
}

// isObject reports whether keys of the kind have a version.
func (k Kind) isObject() bool {
	return k == Current || k == Noncurrent || k == Tombstone || k == manifestKind || k == NoncurrentTombstone
}

// appendKey appends the key of the index that r names.
func (r *Ref) appendKey(b []byte) []byte {
	b = r.appendGroup(b)
	b = binary.BigEndian.AppendUint64(b, ^uint64(r.Generation.Epoch))
	return binary.BigEndian.AppendUint64(b, ^r.Generation.Counter)
}

// appendGroup appends the key without its generation: all generations of a record begin so.
func (r *Ref) appendGroup(b []byte) []byte {
	b = appendEscaped(appendBucket(b, r.Kind, r.Bucket), string(r.Key))
	switch {
	case r.Kind.isObject():
		b = binary.BigEndian.AppendUint64(b, ^r.Version)
	case r.Kind == UploadPart:
		b = binary.BigEndian.AppendUint32(appendEscaped(b, string(r.Upload)), r.Part)
	case r.Kind.hasUpload():
		b = appendEscaped(b, string(r.Upload))
	}
	return b
}

func appendBucket(b []byte, kind Kind, bucket cluster.BucketID) []byte {
	return binary.BigEndian.AppendUint64(append(b, byte(kind)), uint64(bucket))
}

// appendDoubt appends the in-doubt key of the record that r names.
func (r *Ref) appendDoubt(b []byte) []byte { return r.appendKey(append(b, byte(inDoubt))) }

// appendEscaped appends s so that the order of bytes is the order of the strings, whatever follows: 0x00 becomes 00 FF, and
// 00 01 ends it.
func appendEscaped(b []byte, s string) []byte { return append(appendUnended(b, s), 0x00, 0x01) }

// appendUnended is appendEscaped without the end: all strings that begin with s begin so.
func appendUnended(b []byte, s string) []byte {
	for i := range len(s) {
		b = append(b, s[i])
		if s[i] == 0x00 {
			b = append(b, 0xff)
		}
	}
	return b
}

// afterPrefix changes b to the first key behind all keys that begin with it; nil when there is none.
func afterPrefix(b []byte) []byte {
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] != 0xff {
			b[i]++
			return b[:i+1]
		}
	}
	return nil
}

var errKey = errors.New("not a key of the index")

// takeEscaped splits what appendEscaped appended from what follows it.
func takeEscaped(b []byte) (s string, rest []byte, err error) {
	end := bytes.IndexByte(b, 0x00)
	if end >= 0 && end+1 < len(b) && b[end+1] == 0x01 {
		return string(b[:end]), b[end+2:], nil // the usual case: nothing was escaped
	}
	var plain []byte
	for {
		i := bytes.IndexByte(b, 0x00)
		if i < 0 || i+1 >= len(b) {
			return "", nil, errKey
		}
		plain = append(plain, b[:i]...)
		mark := b[i+1]
		b = b[i+2:]
		switch mark {
		case 0x01:
			return string(plain), b, nil
		case 0xff:
			plain = append(plain, 0x00)
		default:
			return "", nil, errKey
		}
	}
}

// parseKey reads what appendKey wrote.
func parseKey(b []byte) (Ref, error) {
	if len(b) < bucketEnd {
		return Ref{}, errKey
	}
	r := Ref{Kind: Kind(b[0]), Bucket: cluster.BucketID(binary.BigEndian.Uint64(b[1:]))}
	if !r.Kind.isObject() && !r.Kind.hasUpload() {
		return Ref{}, errKey
	}
	key, b, err := takeEscaped(b[bucketEnd:])
	if err != nil {
		return Ref{}, err
	}
	r.Key = cluster.ObjectKey(key)
	switch {
	case r.Kind.isObject():
		if len(b) < 8 {
			return Ref{}, errKey
		}
		r.Version, b = ^binary.BigEndian.Uint64(b), b[8:]
	case r.Kind.hasUpload():
		upload, rest, err := takeEscaped(b)
		if err != nil {
			return Ref{}, err
		}
		r.Upload, b = cluster.UploadID(upload), rest
		if r.Kind == UploadPart {
			if len(b) < 4 {
				return Ref{}, errKey
			}
			r.Part, b = binary.BigEndian.Uint32(b), b[4:]
		}
	}
	if len(b) != generationSize {
		return Ref{}, errKey
	}
	r.Generation.Epoch = cluster.Epoch(^binary.BigEndian.Uint64(b))
	r.Generation.Counter = ^binary.BigEndian.Uint64(b[8:])
	return r, nil
}

const (
	bucketEnd      = 9 // behind kind and bucket
	generationSize = 16
)

// split returns the length of a key's prefix, which is what Bloom filters hold: everything up to the end of the object key.
// A key without one is all prefix.
func split(b []byte) int {
	at := bucketEnd
	if len(b) > 0 && Kind(b[0]) == inDoubt {
		at++
	}
	for at < len(b) {
		i := bytes.IndexByte(b[at:], 0x00)
		if i < 0 || at+i+1 >= len(b) {
			return len(b)
		}
		at += i + 2
		if b[at-1] == 0x01 {
			return at
		}
	}
	return len(b)
}
