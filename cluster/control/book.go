package control

import (
	"sync"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// addressBook remembers what nodes said of themselves in calls: the only source of addresses while a whole cluster starts
// again with other ones.
type addressBook struct {
	mu struct {
		sync.Mutex
		nodes map[cluster.NodeID]listing
	}
}

type listing struct {
	node cluster.Node
	at   time.Time
}

// heardFor is how long the word of a node itself goes before what gossip says.
const heardFor = 15 * time.Second

func newAddressBook() *addressBook {
	b := &addressBook{}
	b.mu.nodes = make(map[cluster.NodeID]listing)
	return b
}

func (b *addressBook) note(n cluster.Node) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.nodes[n.ID] = listing{node: n, at: time.Now()}
}

// heard returns the address that a node said a short time ago.
func (b *addressBook) heard(id cluster.NodeID) (string, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l, ok := b.mu.nodes[id]
	return l.node.IntraAddr, ok && time.Since(l.at) < heardFor
}

// last returns the address that a node said at any time.
func (b *addressBook) last(id cluster.NodeID) (string, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l, ok := b.mu.nodes[id]
	return l.node.IntraAddr, ok
}
