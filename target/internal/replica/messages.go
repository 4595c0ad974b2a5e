package replica

import (
	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/meta"
	"github.com/aisle-store/aisle/target/internal/store"
)

//go:generate go tool msgp -io=false -tests=false -unexported -file messages.go -o messages_gen.go

//msgp:limit arrays:262144 maps:256 marshal:true
//msgp:replace cluster.NodeID with:string
//msgp:replace cluster.ObjectKey with:string
//msgp:replace cluster.UploadID with:string
//msgp:replace cluster.MapVersion with:uint64
//msgp:replace cluster.Incarnation with:uint64
//msgp:replace cluster.BucketID with:uint64
//msgp:replace cluster.Epoch with:uint64
//msgp:replace cluster.Slot with:uint32
//msgp:replace store.Token with:uint64
//msgp:replace meta.Kind with:uint8
//msgp:tuple sender standing record generation ref source piece decision staged
//msgp:tuple prepare prepared decide doubts doubtsReply forget pull pulled compare compared fetch shardRange keyName

// The messages as they are on the wire. Both ends of a connection have the same version of them: a node of another version
// fails to decode, and is an unanswering holder.

type sender struct {
	Node        cluster.NodeID
	Version     cluster.MapVersion
	Incarnation cluster.Incarnation
}

type standing struct {
	Refused bool
	Version cluster.MapVersion
}

// record is a record as meta encodes it beside its data, and its inline data.
type record struct {
	Text   []byte
	Inline []byte
}

type generation struct {
	Epoch   cluster.Epoch
	Counter uint64
}

type ref struct {
	Kind    meta.Kind
	Bucket  cluster.BucketID
	Key     cluster.ObjectKey
	Version uint64
	Upload  cluster.UploadID
	Part    uint32
	Epoch   cluster.Epoch
	Counter uint64
}

// source is a Source; From is of the same bucket and key as the records.
type source struct {
	Record, Piece int
	Token         store.Token
	Kind          meta.Kind
	Upload        cluster.UploadID
	Part          uint32
	Version       uint64
	Epoch         cluster.Epoch
	Counter       uint64
	At            int
}

type piece struct{ Record, Piece int }

type staged struct {
	Token  store.Token
	Length int64
	Sum    uint32
}

type prepare struct {
	Sender  sender
	Slot    cluster.Slot
	At      generation
	Records []record
	Beside  []record
	Abandon []ref
	Visible []ref
	Sources []source
	Asks    bool
}

type prepared struct {
	Standing standing
	Missing  []piece
	Failed   string
	Doubts   []ref
}

type decision struct {
	Refs []ref
	Drop bool
}

type decide struct {
	Sender    sender
	Decisions []decision
}

type keyName struct {
	Bucket cluster.BucketID
	Key    cluster.ObjectKey
}

type doubts struct {
	Sender sender
	Keys   []keyName
}

type doubtsReply struct {
	Standing    standing
	Generations [][]generation
}

type forget struct {
	Sender sender
	Refs   []ref
	Keep   bool
}

type pull struct {
	Sender sender
	Digest uint64
	Kind   int
	After  []ref // none or one
}

type pulled struct {
	Standing standing
	Records  []record
	Kind     int
	After    []ref
	Done     bool
	Passed   float64
}

type compare struct {
	Sender sender
	Digest uint64
	Refs   []ref
}

type compared struct {
	Standing standing
	Visible  []bool
}

type shardRange struct {
	Shard          int
	Offset, Length int64
}

type fetch struct {
	Sender sender
	Ref    ref
	Piece  int
	Range  []shardRange // none or one
}
