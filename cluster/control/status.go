package control

import (
	"context"
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
	Serving     bool                `json:"serving"` // holds a lease, as far as the leader granted one in its term
	Applied     uint64              `json:"applied"` // the index that it last reported
	Contact     time.Duration       `json:"contact"` // since it last asked for a lease; negative if it never did
}

// statusAnswer is a Status on the wire.
type statusAnswer struct {
	Version int    `json:"v"`
	Status  Status `json:"status"`
}

// Status asks the leader how the cluster is.
func (c *Control) Status(ctx context.Context) (Status, error) {
	var answer statusAnswer
	if err := c.callLeader(ctx, methodStatus, nothing{Version: messageVersion}, &answer); err != nil {
		return Status{}, cluster.E("control.Status", "", cluster.KindOther, err)
	}
	return answer.Status, nil
}
