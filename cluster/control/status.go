package control

import (
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// Status is how the leader sees the cluster.
type Status struct {
	Leader cluster.NodeID `json:"leader"`
	Term   uint64         `json:"term"`
	Nodes  []NodeStatus   `json:"nodes"` // ordered by id
}

// NodeStatus is how the leader sees one node.
type NodeStatus struct {
	ID          cluster.NodeID      `json:"id"`
	Incarnation cluster.Incarnation `json:"incarnation,string"`
	Voter       bool                `json:"voter"`
	Serving     bool                `json:"serving"` // holds a lease, as far as the leader granted one
	Applied     uint64              `json:"applied"` // the index that it last reported
	Contact     time.Duration       `json:"contact"` // since it last asked for a lease; negative if it never did
}
