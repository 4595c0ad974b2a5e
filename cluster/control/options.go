package control

import (
	"context"
	"log/slog"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// DefaultLease is how long a lease lasts unless Options say otherwise. All nodes must have the same.
const DefaultLease = 3 * time.Second

// Options are what a Control is made of.
type Options struct {
	Node     cluster.Node      // this process; ID lives as long as its volume, Incarnation as long as the process
	Join     []string          // intra-cluster addresses of members; a node without state and without these forms a cluster
	Root     Key               // the root key of the cluster, if this node forms it
	Settings map[string]string // the cluster-wide settings, if this node forms it
	Lease    time.Duration     // zero means DefaultLease
	Keyring  Keyring           // seals the secrets in the replicated state
	Peers    Peers             // reaches other nodes
	Clock    Clock             // what leases are measured on
	Logger   *slog.Logger
}

// Clock tells durations. It must go on while the machine sleeps.
type Clock interface {
	// Now returns the time since some moment before the process started.
	Now() time.Duration
}

// Peers carries calls to the HandlePeer of other nodes. Both sides prove the cluster secret; errors keep their
// cluster.Kind.
type Peers interface {
	Call(ctx context.Context, addr, method string, body []byte) ([]byte, error)
}

// Keyring holds the cluster key.
type Keyring interface {
	Create() error           // makes the key, when this node forms a cluster; keeps the one that exists
	Export() ([]byte, error) // for a node that joins
	Import(key []byte) error // what Export gave; durable when it returns
	Seal(plain []byte) ([]byte, error)
	Open(sealed []byte) ([]byte, error)
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
	// DropBucket frees what a removed bucket has left. It returns soon and may be called again.
	DropBucket(ctx context.Context, id cluster.BucketID) error
}
