package control

import (
	"context"
	"log/slog"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/internal/gossip"
	"github.com/aisle-store/aisle/cluster/internal/state"
)

// DefaultLease is how long a lease lasts unless Options say otherwise. All nodes must have the same.
const DefaultLease = 3 * time.Second

// Options are what a Control is made of.
type Options struct {
	Node        cluster.Node      // this process; ID lives as long as its volume, Incarnation as long as the process
	Join        []string          // intra-cluster addresses of members; a node without state and without these forms a cluster
	Root        Key               // the root key of the cluster, if this node forms it
	Settings    map[string]string // the cluster-wide settings, if this node forms it
	Lease       time.Duration     // zero means DefaultLease
	Keyring     Keyring           // seals the secrets in the replicated state
	Master      Master            // seals the encryption keys; nil: the cluster key does
	Replication *Replication      // how the state is replicated: OnDisk
	Peers       Peers             // reaches other nodes
	Gossip      Gossip            // hints where they are; may be nil. The Control stops it
	Clock       Clock             // what leases are measured on; nil means the machine's clock
	Wall        func() time.Time  // what commands are dated by, and what CheckWall is about; nothing else; nil means time.Now
	Logger      *slog.Logger      // nil means silence

	Full        func() bool   // says that a mountpath of this node takes no writes for lack of space; may be nil
	RepairDelay time.Duration // how long a target may be away before others keep copies for it, unless the cluster setting says so; zero means its default

	rank    state.Rank                                        // nil means by cluster.RankTargets
	bug     bug                                               // planted by a test of the simulation's checks
	instead func(*term, *View, *state.Command) *state.Command // what the leader does to the map, in the place of what it would; also a test's
}

// Clock tells durations. It must go on while the machine sleeps.
type Clock interface {
	// Now returns the time since some moment before the process started.
	Now() time.Duration
}

// Peers carries calls to the HandlePeer of other nodes. Both sides prove the cluster secret; errors keep their
// cluster.Kind. *secret.Caller is one.
type Peers interface {
	Call(ctx context.Context, addr, method string, body []byte) ([]byte, error)
}

// Gossip hints where nodes are. It is never believed in anything else. OpenGossip makes one.
type Gossip interface {
	Join(ctx context.Context, addrs []string) (int, error) // asks the nodes at these gossip addresses
	Peers() []gossip.Peer                                  // what the others say of themselves
	Leave(ctx context.Context) error                       // tells the others that this node goes
	Stop() error
}

// Keyring holds the cluster key; *secret.Keyring is one.
type Keyring interface {
	Create() error           // makes the key, when this node forms a cluster; keeps the one that exists
	Export() ([]byte, error) // for a node that joins; KindUnavailable while there is none
	Import(key []byte) error // what Export gave; durable when it returns; refuses to replace another key
	Seal(plain []byte) ([]byte, error)
	Open(sealed []byte) ([]byte, error)
	Sealed(sealed []byte) bool           // the cluster key has sealed it
	Derive(label string) ([]byte, error) // 32 bytes that follow from the key
}

// Participant is what the control plane needs of the part of a node that serves slots. Fence and Activate are called by
// one goroutine, in the order of the maps, starting with the Activate of the first map that names this incarnation.
type Participant interface {
	// Fence stops the slots that pending takes from this node, waits for commits in flight, and returns those of them
	// that this node keeps, because something was ever written into them. Kept slots need not be stopped.
	Fence(ctx context.Context, pending *cluster.Map) (kept []cluster.Slot, err error)
	// Activate releases what was fenced and is still this node's, settles what m gives to it, and then serves it. It is
	// also called, with the active map, when the pending map is cancelled.
	Activate(ctx context.Context, m *cluster.Map) error
	// SealBucket waits for the writes of a deleting bucket that are in flight or in doubt, and says whether it is empty.
	// The view that refuses new ones is already applied.
	SealBucket(ctx context.Context, id cluster.BucketID) (empty bool, err error)
	// FreezeBucket waits for the writes in flight of a bucket that is being frozen.
	FreezeBucket(ctx context.Context, id cluster.BucketID) error
	// MoveBucket moves for some seconds what this node owns of the frozen id from, and says how many objects it has looked at
	// since it began and whether these were all. What was moved once stays so; it may be called again.
	MoveBucket(ctx context.Context, from cluster.BucketID) (objects uint64, done bool, err error)
	// DropBucket frees what a removed bucket has left. It returns soon and may be called again.
	DropBucket(ctx context.Context, id cluster.BucketID) error
}

// bug is a mistake that a test plants, to show that the simulation finds it.
type bug int

const (
	noBug                  bug = iota
	bugCountFromReceipt        // a node counts its lease from the answer, not from the request
	bugCountUnapplied          // ... before it has applied what the answer names
	bugRenewUnacknowledged     // the leader renews who has not acknowledged the pending map
	bugNoVerify                // ... grants without asking a majority whether it still leads
	bugRaftVerify              // ... asks raft's VerifyLeader
	bugNoGrace                 // a new leader believes that nobody holds a lease
	bugNoWait                  // a change is acknowledged when it is committed
	bugMoveUnacknowledged      // slots of an owner that did not acknowledge move too
	bugSkipSilent              // a target that cannot be asked counts as empty
)
