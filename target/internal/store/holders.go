package store

import (
	"context"
	"io"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// Council is what the store asks of the control plane, and tells it, about slots with several holders.
type Council interface {
	// Map returns the active map that this node has applied last.
	Map() *cluster.Map
	// Accuse says that holders of a slot that this node owns under an epoch do not answer. It returns nil when the map applied
	// here has none of them among the slot's holders, or another epoch or owner of it; KindConflict when the accusation was
	// refused.
	Accuse(ctx context.Context, slot cluster.Slot, epoch cluster.Epoch, holders []cluster.NodeID) error
	// SetMountpaths says what the mountpaths of this node are; serial, by which map: one more than its Node.Remounted; lost, that some have failed since it said so last; kept, in which
	// slots a mountpath that is back has what it had. It returns nil when the applied map has it; KindConflict when it was refused:
	// then it is to be asked again by the map of then.
	SetMountpaths(ctx context.Context, serial uint64, mountpaths []cluster.Mountpath, lost bool, kept *cluster.SlotSet) error
	// Synced says that this node has all that the owners had in slots under these epochs, and was sent every write since. Slots
	// that have another epoch by now stay as they are.
	Synced(ctx context.Context, slots map[cluster.Epoch]*cluster.SlotSet) error
}

// Peers carries messages between the holders of slots. An error of kind KindUnavailable, KindTimeout or KindOther means that
// nobody knows whether the message arrived; refusals are part of the replies.
type Peers interface {
	// Stage sends bytes that a record will name. It returns when they are durable there.
	Stage(ctx context.Context, to cluster.NodeID, r *StageRequest) (Staged, error)
	Prepare(ctx context.Context, to cluster.NodeID, r *PrepareRequest) (*PrepareReply, error)
	Decide(ctx context.Context, to cluster.NodeID, r *DecideRequest) (Standing, error)
	Doubts(ctx context.Context, to cluster.NodeID, r *DoubtsRequest) (*DoubtsReply, error)
	Forget(ctx context.Context, to cluster.NodeID, r *ForgetRequest) (Standing, error)
	Pull(ctx context.Context, to cluster.NodeID, r *PullRequest) (*PullReply, error)
	Compare(ctx context.Context, to cluster.NodeID, r *CompareRequest) (*CompareReply, error)
	// Fetch opens the bytes of a piece of a record; what is read is checked. KindObjectNotFound says that the receiver has no
	// such record, KindNotFound that it has, and not these bytes.
	Fetch(ctx context.Context, to cluster.NodeID, r *FetchRequest) (io.ReadCloser, error)
}

// Sender says who sends a message about a slot, and to which process. A receiver refuses it unless its own applied map says
// the same.
type Sender struct {
	Node        cluster.NodeID
	Version     cluster.MapVersion  // of the sender's map
	Incarnation cluster.Incarnation // of the receiver
}

// Standing is what a receiver says of its map; a message that it refused is sent again when both know the same.
type Standing struct {
	Refused bool
	Version cluster.MapVersion // of the receiver's map
}

// Token names staged bytes at the holder that has them, in the life of one process.
type Token uint64

// StageRequest is a body that is being received by the owner, or lies there already.
type StageRequest struct {
	Sender
	Bucket cluster.BucketID
	Key    cluster.ObjectKey
	Size   int64 // -1: unknown
	// Body may be a *net.Buffers: then all of it lies in memory, where it stays as it is until Stage returns.
	Body io.Reader
	// Footer returns, once Body has ended, the record to be kept beside the bytes for salvage.
	Footer func() ([]byte, error)
}

// Staged is what became of the bytes.
type Staged struct {
	Token  Token
	Length int64
	Sum    uint32 // CRC-32C of the bytes as they arrived
}

// PrepareRequest asks a holder to make records of one new generation durable, hidden.
type PrepareRequest struct {
	Sender
	Slot       cluster.Slot
	Epoch      cluster.Epoch
	Generation cluster.Generation
	Records    []*meta.Record // in doubt until they are decided. Their places are the sender's: of them only the length counts
	Beside     []*meta.Record // true whatever is decided
	Abandon    []meta.Ref     // earlier tries of the same write, and leftovers that are not visible: they go
	Visible    []meta.Ref     // leftovers that are visible: they stay
	Sources    []Source       // where the receiver finds bytes
	Asks       bool           // whether there is space for the data in the records: nothing is prepared
}

// Source says where a holder finds the bytes of a piece of a record: under a token, or in a record that it has. Bytes under a
// token are those that the holder is to have by the map of the request's epoch.
type Source struct {
	Record int   // of the request's records
	Piece  int   // of that record: 0 is its place, n that of its part n-1
	Token  Token // 0: in From
	From   meta.Ref
	At     int // the piece of From
}

// Piece names bytes that a holder lacks.
type Piece struct{ Record, Piece int }

// PrepareReply answers a PrepareRequest. Neither refused, nor failed, nor with anything missing or left over: it is durable.
type PrepareReply struct {
	Standing
	Missing []Piece    // nothing is prepared before the holder gets them
	Failed  string     // why this holder cannot keep it, as long as it lives
	Doubts  []meta.Ref // leftovers: nothing is prepared before the sender has said of each whether it is visible
}

// Decision is what became of the records of one generation of a key.
type Decision struct {
	Refs []meta.Ref // all of one key and generation
	Drop bool       // never visible: they go. Else they are visible, and what they replaced goes
}

// DecideRequest tells a holder what was decided.
type DecideRequest struct {
	Sender
	Decisions []Decision
}

// DoubtsRequest asks an in-sync holder for the generations that it has of some keys, prepared or visible.
type DoubtsRequest struct {
	Sender
	Keys []KeyName
}

// KeyName is a key in full.
type KeyName struct {
	Bucket cluster.BucketID
	Key    cluster.ObjectKey
}

// DoubtsReply has the generations of each key of the request.
type DoubtsReply struct {
	Standing
	Generations [][]cluster.Generation
}

// ForgetRequest tells a holder which records no gateway can ask for any more. With a tombstone goes all that is older.
type ForgetRequest struct {
	Sender
	Refs []meta.Ref
	Keep bool // only what is older goes, durably; the tombstones stay, and are in doubt no more
}

// PullRequest asks an owner for visible records of the slots in which the sender catches up.
type PullRequest struct {
	Sender
	Digest uint64 // of the slots and their epochs, as the sender knows them
	Cursor Cursor
}

// Cursor is how far a pull has come.
type Cursor struct {
	Kind  int // of pulledKinds
	After *meta.Ref
}

// PullReply is one page of records.
type PullReply struct {
	Standing
	Records []*meta.Record // as in PrepareRequest
	Next    Cursor
	Done    bool
	Passed  float64 // the part of the owner's records, from 0 to 1, that lie before Next; an estimate
}

// CompareRequest asks an owner which of some records, of the slots that the digest stands for, are visible there.
type CompareRequest struct {
	Sender
	Digest uint64
	Refs   []meta.Ref
}

// CompareReply has an answer for each ref of the request.
type CompareReply struct {
	Standing
	Visible []bool
}

// FetchRequest asks for the bytes of a piece of a record.
type FetchRequest struct {
	Sender
	Ref   meta.Ref
	Piece int
	Range *ShardRange // of bytes that lie in shards; nil: all of those that do not
}

// ShardRange is a range of one shard.
type ShardRange struct {
	Shard          int
	Offset, Length int64
}
