// Package replica carries the messages between the holders of slots: it is the store's Peers on one side, and on the other
// calls what the store does as a holder. What the messages mean, and when they are refused, the store decides.
package replica

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"

	"github.com/tinylib/msgp/msgp"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/target/internal/meta"
	"github.com/aisle-store/aisle/target/internal/store"
)

// The paths of the messages.
const (
	PathPrefix  = intra.PathPrefix + "copy/"
	pathStage   = PathPrefix + "stage"
	pathPrepare = PathPrefix + "prepare"
	pathDecide  = PathPrefix + "decide"
	pathDoubts  = PathPrefix + "doubts"
	pathForget  = PathPrefix + "forget"
	pathPull    = PathPrefix + "pull"
	pathCompare = PathPrefix + "compare"
	pathFetch   = PathPrefix + "fetch"
)

// Client sends messages to other holders.
type Client struct {
	messenger intra.Messenger
	active    func() *cluster.Map
}

var _ store.Peers = (*Client)(nil)

// NewClient returns a client that finds nodes in the active map.
func NewClient(m intra.Messenger, active func() *cluster.Map) *Client {
	return &Client{messenger: m, active: active}
}

func (c *Client) node(id cluster.NodeID) (cluster.Node, error) {
	n, ok := c.active().Node(id)
	if !ok {
		return n, cluster.Fail("target/replica.Client", string(id), cluster.KindUnavailable, "the node is not in the map")
	}
	return n, nil
}

// call sends a message to a node and waits for the answer.
func (c *Client) call(ctx context.Context, to cluster.NodeID, path string, in msgp.Marshaler, out msgp.Unmarshaler) error {
	n, err := c.node(to)
	if err != nil {
		return err
	}
	return c.messenger.Call(ctx, n, path, in, out)
}

// Stage implements store.Peers.
func (c *Client) Stage(ctx context.Context, to cluster.NodeID, r *store.StageRequest) (store.Staged, error) {
	n, err := c.node(to)
	if err != nil {
		return store.Staged{}, err
	}
	g := &intra.Grant{BucketID: r.Bucket, Key: r.Key, MapVersion: r.Version}
	target := fmt.Sprintf("%s?size=%d&incarnation=%s", pathStage, r.Size, strconv.FormatUint(uint64(r.Incarnation), 10))
	var out staged
	body, length := io.Reader(&frames{body: r.Body, footer: r.Footer}), int64(-1)
	if held, ok := r.Body.(*net.Buffers); ok {
		if body, length, err = inFrames(*held, r.Footer); err != nil {
			return store.Staged{}, err
		}
	}
	err = c.messenger.Stream(ctx, n, g, target, body, length, &out)
	return store.Staged(out), err
}

// Prepare implements store.Peers.
func (c *Client) Prepare(ctx context.Context, to cluster.NodeID, r *store.PrepareRequest) (*store.PrepareReply, error) {
	in, err := toPrepare(r)
	if err != nil {
		return nil, err
	}
	var out prepared
	if err := c.call(ctx, to, pathPrepare, in, &out); err != nil {
		return nil, err
	}
	return &store.PrepareReply{
		Standing: store.Standing(out.Standing), Failed: out.Failed, Missing: each(out.Missing, func(p piece) store.Piece { return store.Piece(p) }),
		Doubts: each(out.Doubts, fromRef),
	}, nil
}

// Decide implements store.Peers.
func (c *Client) Decide(ctx context.Context, to cluster.NodeID, r *store.DecideRequest) (store.Standing, error) {
	in := &decide{Sender: sender(r.Sender), Decisions: each(r.Decisions, func(d store.Decision) decision {
		return decision{Refs: each(d.Refs, toRef), Drop: d.Drop}
	})}
	var out standing
	err := c.call(ctx, to, pathDecide, in, &out)
	return store.Standing(out), err
}

// Doubts implements store.Peers.
func (c *Client) Doubts(ctx context.Context, to cluster.NodeID, r *store.DoubtsRequest) (*store.DoubtsReply, error) {
	in := &doubts{Sender: sender(r.Sender), Keys: each(r.Keys, func(k store.KeyName) keyName { return keyName(k) })}
	var out doubtsReply
	if err := c.call(ctx, to, pathDoubts, in, &out); err != nil {
		return nil, err
	}
	return &store.DoubtsReply{
		Standing:    store.Standing(out.Standing),
		Generations: each(out.Generations, func(g []generation) []cluster.Generation { return each(g, fromGeneration) }),
	}, nil
}

// Forget implements store.Peers.
func (c *Client) Forget(ctx context.Context, to cluster.NodeID, r *store.ForgetRequest) (store.Standing, error) {
	var out standing
	err := c.call(ctx, to, pathForget, &forget{Sender: sender(r.Sender), Refs: each(r.Refs, toRef), Keep: r.Keep}, &out)
	return store.Standing(out), err
}

// Pull implements store.Peers.
func (c *Client) Pull(ctx context.Context, to cluster.NodeID, r *store.PullRequest) (*store.PullReply, error) {
	in := &pull{Sender: sender(r.Sender), Digest: r.Digest}
	in.Kind, in.After = toCursor(r.Cursor)
	var out pulled
	if err := c.call(ctx, to, pathPull, in, &out); err != nil {
		return nil, err
	}
	records, err := fromRecords(out.Records)
	return &store.PullReply{
		Standing: store.Standing(out.Standing), Records: records, Next: fromCursor(out.Kind, out.After), Done: out.Done, Passed: out.Passed,
	}, err
}

// Compare implements store.Peers.
func (c *Client) Compare(ctx context.Context, to cluster.NodeID, r *store.CompareRequest) (*store.CompareReply, error) {
	var out compared
	err := c.call(ctx, to, pathCompare, &compare{Sender: sender(r.Sender), Digest: r.Digest, Refs: each(r.Refs, toRef)}, &out)
	return &store.CompareReply{Standing: store.Standing(out.Standing), Visible: out.Visible}, err
}

// Fetch implements store.Peers.
func (c *Client) Fetch(ctx context.Context, to cluster.NodeID, r *store.FetchRequest) (io.ReadCloser, error) {
	n, err := c.node(to)
	if err != nil {
		return nil, err
	}
	return c.messenger.Open(ctx, n, pathFetch, &fetch{Sender: sender(r.Sender), Ref: toRef(r.Ref), Piece: r.Piece, Range: toRange(r.Range)})
}

// refs converts what a message names.
func refs(of []ref) []meta.Ref { return each(of, fromRef) }
