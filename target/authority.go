package target

import (
	"fmt"

	"github.com/aisle-store/aisle/cluster"
)

// authority tells the store what this node may do, by what it has applied.
type authority struct {
	node        cluster.NodeID
	incarnation cluster.Incarnation
	control     Control
}

// Owns implements store.Authority.
func (a *authority) Owns(s cluster.Slot) (cluster.Epoch, error) {
	const op = "target.authority.Owns"
	m := a.control.Applied().Map()
	owner, epoch := m.Owner(s)
	if owner != a.node {
		return 0, cluster.Fail(op, string(a.node), cluster.KindUnavailable, fmt.Sprintf("slot %d belongs to %s by map %d", s, owner, m.Version))
	}
	if n, ok := m.Node(a.node); !ok || n.Incarnation != a.incarnation {
		return 0, cluster.Fail(op, string(a.node), cluster.KindUnavailable, fmt.Sprintf("map %d does not name this process", m.Version))
	}
	return epoch, nil
}

// CheckLease implements store.Authority.
func (a *authority) CheckLease() error { return a.control.CheckLease() }

// Writable implements store.Authority. That a bucket does not exist, and how it is configured, is certain only under a lease.
func (a *authority) Writable(id cluster.BucketID) (cluster.BucketProps, error) {
	const op = "target.authority.Writable"
	if err := a.control.CheckLease(); err != nil {
		return cluster.BucketProps{}, err
	}
	state := a.control.Applied()
	entry, ok := state.BucketByID(id)
	_, over := state.BucketOver(id)
	switch {
	case over || entry.State == cluster.BucketFreezing:
		return cluster.BucketProps{}, cluster.Fail(op, entry.Bucket.String(), cluster.KindUnavailable, "the layout of the bucket is being changed")
	case id.Sequence() > state.LastBucket():
		return cluster.BucketProps{}, cluster.Fail(op, "", cluster.KindUnavailable, fmt.Sprintf("bucket number %d is newer than what is known here", id))
	case !ok:
		return cluster.BucketProps{}, cluster.Fail(op, "", cluster.KindBucketNotFound, "the bucket does not exist")
	case entry.State == cluster.BucketDeleting:
		return cluster.BucketProps{}, cluster.Fail(op, entry.Bucket.String(), cluster.KindUnavailable, "the bucket is being deleted")
	}
	return entry.Props, nil
}

// Under implements store.Authority.
func (a *authority) Under(id cluster.BucketID) cluster.BucketID {
	entry, _ := a.control.Applied().BucketByID(id)
	return entry.Under
}
