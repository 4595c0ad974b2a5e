package intra

import (
	"time"

	"github.com/aisle-store/aisle/cluster"
)

//go:generate go tool msgp -io=false -tests=false -file messages.go -o messages_gen.go

//msgp:limit arrays:100000 maps:1000
//msgp:replace cluster.ObjectKey with:string
//msgp:replace cluster.RequestID with:string
//msgp:replace cluster.UploadID with:string
//msgp:replace cluster.VersionID with:string
//msgp:replace cluster.BucketID with:uint64
//msgp:replace cluster.Epoch with:uint64
//msgp:replace cluster.MapVersion with:uint64

// The paths of the calls between nodes. All are POST with a msgpack body and a ticket.
const (
	PathPrefix = "/-/node/"
	PathList   = PathPrefix + "list"
	PathDelete = PathPrefix + "delete"
	PathStat   = PathPrefix + "stat"
	PathMove   = PathPrefix + "move"
)

// ListRequest asks a target for its part of a page: the entries of one bucket that it owns, in order of their bytes.
type ListRequest struct {
	MapVersion   cluster.MapVersion `msg:"m"` // the version the gateway lists at; a target on another refuses (KindUnavailable)
	BucketID     cluster.BucketID   `msg:"b"`
	Uploads      bool               `msg:"u"` // multipart uploads instead of objects
	Prefix       string             `msg:"p"`
	Delimiter    string             `msg:"d"`
	After        string             `msg:"a"` // entries after this key or common prefix; "" from the start
	AfterID      cluster.UploadID   `msg:"i"` // with Uploads: and after this upload of key After
	Limit        int                `msg:"l"` // of entries, common prefixes included
	Versions     bool               `msg:"v"` // all versions and delete markers instead of objects
	AfterVersion cluster.VersionID  `msg:"w"` // with Versions: and after this version of key After
	Details      bool               `msg:"D"` // also access times and the values of checksums, which cost more to read
}

// ListReply is one target's part of a page.
type ListReply struct {
	MapVersion cluster.MapVersion `msg:"m"`
	Entries    []cluster.Entry    `msg:"e"`
	More       bool               `msg:"o"` // there is more after the last entry
}

// DeleteItem is one object of a batch.
type DeleteItem struct {
	Key          cluster.ObjectKey `msg:"k"`
	Request      cluster.RequestID `msg:"q"` // of this item alone, the same when it is sent again in another batch
	Epoch        cluster.Epoch     `msg:"e"` // of the key's slot, as the gateway sees it
	Version      cluster.VersionID `msg:"v"`
	IfMatch      string            `msg:"m"` // ETag, "" without condition
	IfSize       *int64            `msg:"s"`
	IfModifiedAt *time.Time        `msg:"t"`
	Bypass       bool              `msg:"y"` // of a retention in governance mode
}

// DeleteRequest deletes several objects of one bucket, all owned by the target.
type DeleteRequest struct {
	BucketID cluster.BucketID `msg:"b"`
	Items    []DeleteItem     `msg:"i"`
}

// DeleteResult is the outcome of one item; Kind is empty when it is deleted (or was not there).
type DeleteResult struct {
	Kind    string            `msg:"k"` // the name of a cluster.Kind
	Message string            `msg:"m"`
	Marker  cluster.VersionID `msg:"d"` // the delete marker that was made, or removed
}

// DeleteReply holds one result for each item, in order.
type DeleteReply struct {
	Results []DeleteResult `msg:"r"`
}

// StatRequest asks for the entry of one object.
type StatRequest struct {
	BucketID cluster.BucketID  `msg:"b"`
	Key      cluster.ObjectKey `msg:"k"`
	Epoch    cluster.Epoch     `msg:"e"`
}

// StatReply is the entry of one object.
type StatReply struct {
	Entry cluster.Entry `msg:"e"`
}

// MoveRequest asks the owner of keys of a bucket whose layout is being changed to move them from the bucket's frozen id, if
// they are not moved yet, or only whether they are.
type MoveRequest struct {
	BucketID cluster.BucketID    `msg:"b"` // that of the bucket now
	Keys     []cluster.ObjectKey `msg:"k"`
	Look     bool                `msg:"l"` // move nothing
}

// MoveReply holds one answer for each key, in order.
type MoveReply struct {
	Keys []MovedKey `msg:"k"`
}

// MovedKey says where a key is.
type MovedKey struct {
	Moved  bool           `msg:"m"` // what is under the frozen id does not count any more
	Exists bool           `msg:"x"` // if moved: it is an object, not deleted
	Entry  *cluster.Entry `msg:"e"` // if it exists
}
