package control

import (
	"context"

	"github.com/aisle-store/aisle/cluster"
)

// Control is the control plane of one node.
type Control struct {
}

// New makes a Control that has not started: its view is empty and it holds no lease.
func New(o Options) (*Control, error) { return nil, nil }

// Start joins the cluster, or forms it, and returns when this node has applied a map that names its incarnation. p is nil
// for a pure proxy; it is called from before Start returns on.
func (c *Control) Start(ctx context.Context, p Participant) error { return nil }

// Fatal gives the error that makes this node unable to go on, once, such as a command of a later version. The owner
// reports it and stops the node.
func (c *Control) Fatal() <-chan error { return nil }

// View returns what this node has applied. To answer from it, check the lease before: see Current.
func (c *Control) View() *View { return nil }

// CheckLease returns nil while this node may answer, and else KindUnavailable with the time after which to try again. It
// is cheap.
func (c *Control) CheckLease() error { return nil }

// Current returns a view that reflects every control change acknowledged before the call, or KindUnavailable: it checks
// the lease and then loads the view.
func (c *Control) Current() (*View, error) { return nil, nil }

// Wait returns when ok is true of a view, or when the context ends.
func (c *Control) Wait(ctx context.Context, ok func(*View) bool) error { return nil }

// CreateBucket makes a bucket and returns when it exists at every node that may answer. A copy of the same request gets
// the same answer. Without a clear outcome within the context's time the error is KindUnavailable.
func (c *Control) CreateBucket(ctx context.Context, req cluster.RequestID, b cluster.Bucket, p cluster.BucketProps, creator cluster.AccessKeyID) (cluster.BucketEntry, error) {
	return cluster.BucketEntry{}, nil
}

// SetBucketProps replaces the properties of a bucket; see CreateBucket.
func (c *Control) SetBucketProps(ctx context.Context, req cluster.RequestID, b cluster.Bucket, p cluster.BucketProps) (cluster.BucketEntry, error) {
	return cluster.BucketEntry{}, nil
}

// DeleteBucket removes a bucket that is empty: the targets stop its writes and prove it empty, then it is removed
// everywhere, or active again with KindBucketNotEmpty, or KindUnavailable when a target could not be asked.
func (c *Control) DeleteBucket(ctx context.Context, req cluster.RequestID, b cluster.Bucket) error {
	return nil
}

// SetSettings sets cluster-wide settings; an empty value goes back to the default. See CreateBucket.
func (c *Control) SetSettings(ctx context.Context, req cluster.RequestID, values map[string]string) error {
	return nil
}

// Status asks the leader how the cluster is.
func (c *Control) Status(ctx context.Context) (Status, error) { return Status{}, nil }

// Leave takes this node out of the cluster for ever; its id is refused afterwards. It is refused with KindConflict while
// the node has slots that were written, and for the last node. Call Stop after it.
func (c *Control) Leave(ctx context.Context) error { return nil }

// HandlePeer answers a call that another node's Peers carried here.
func (c *Control) HandlePeer(ctx context.Context, method string, body []byte) ([]byte, error) {
	return nil, nil
}

// Stop ends the node's part in the cluster in an orderly way: it stops answering, hands leadership over, gives its lease up so
// that nobody waits for it, and ends everything that Start began.
func (c *Control) Stop(ctx context.Context) error { return nil }
