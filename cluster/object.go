package cluster

import (
	"fmt"
	"time"
	"unicode/utf8"
)

//go:generate go tool msgp -io=false -tests=false -file object.go -o object_gen.go

//msgp:replace ObjectKey with:string
//msgp:replace ChecksumType with:string
//msgp:replace ChecksumSet with:uint8
//msgp:replace AccessKeyID with:string
//msgp:replace UploadID with:string
//msgp:replace VersionID with:string

// ValidateKey checks an object key: valid UTF-8, 1 to MaxKeyLength bytes. Every such key is served, "..", control
// characters and trailing slashes included: keys never become file names.
func ValidateKey(key ObjectKey) error {
	switch {
	case len(key) == 0:
		return fmt.Errorf("the key is empty")
	case len(key) > MaxKeyLength:
		return fmt.Errorf("the key has %d bytes, more than %d", len(key), MaxKeyLength)
	case !utf8.ValidString(string(key)):
		return fmt.Errorf("the key is not valid UTF-8")
	}
	return nil
}

// Entry is one line of a list: an object, or a common prefix when Prefix is set.
type Entry struct {
	Key          ObjectKey    `json:"k" msg:"k"`
	Prefix       bool         `json:"p,omitempty" msg:"p,omitempty"`
	Size         int64        `json:"s,omitempty" msg:"s,omitempty"`
	ETag         string       `json:"e,omitempty" msg:"e,omitempty"` // without quotes
	Modified     time.Time    `json:"m" msg:"m"`
	Accessed     time.Time    `json:"a" msg:"a"`
	Version      int64        `json:"v,omitempty" msg:"v,omitempty"` // AIStore's integer counter of the key
	ChecksumType ChecksumType `json:"t,omitempty" msg:"t,omitempty"`
	Checksum     string       `json:"c,omitempty" msg:"c,omitempty"` // hexadecimal
	Additional   ChecksumSet  `json:"cs,omitempty" msg:"cs,omitempty"`
	Owner        AccessKeyID  `json:"o,omitempty" msg:"o,omitempty"`
	Class        string       `json:"sc,omitempty" msg:"sc,omitempty"` // S3's storage class, as the client named it; "": STANDARD
	UploadID     UploadID     `json:"u,omitempty" msg:"u,omitempty"`   // of a multipart upload, in lists of uploads
	VersionID    VersionID    `json:"i,omitempty" msg:"i,omitempty"`   // in lists of versions
	Behind       VersionID    `json:"b,omitempty" msg:"b,omitempty"`   // in lists of versions, of a null version: what a list goes on behind, whatever has become of it by then
	Latest       bool         `json:"l,omitempty" msg:"l,omitempty"`   // in lists of versions: the current one
	Marker       bool         `json:"d,omitempty" msg:"d,omitempty"`   // in lists of versions: a delete marker
}

// Position is what a list of versions names to go on behind the entry.
func (e *Entry) Position() VersionID {
	if e.Behind != "" {
		return e.Behind
	}
	return e.VersionID
}
