package front

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/target/internal/store"
	"github.com/aisle-store/aisle/xact"
)

// movers are the conversions that this node takes part in, by the frozen id.
type movers struct {
	mu  sync.Mutex
	all map[cluster.BucketID]*mover // guarded by mu
}

// mover is how far this node has come with what it owns of a frozen id.
type mover struct {
	mu      sync.Mutex // one MoveBucket at a time
	owned   uint64     // a digest of the slots that the rest is about
	after   string     // all keys up to this one are moved
	objects uint64
	done    bool
	job     *xact.Run
}

// of returns the mover of a frozen id; those of conversions that are over go.
func (m *movers) of(state State, id cluster.BucketID) *mover {
	m.mu.Lock()
	defer m.mu.Unlock()
	for other, v := range m.all {
		if _, ok := state.BucketOver(other); !ok && v.mu.TryLock() {
			v.end(xact.ErrStopped)
			v.mu.Unlock()
			delete(m.all, other)
		}
	}
	if m.all == nil {
		m.all = make(map[cluster.BucketID]*mover)
	}
	if m.all[id] == nil {
		m.all[id] = &mover{}
	}
	return m.all[id]
}

func (v *mover) end(err error) {
	if v.job != nil {
		v.job.End(err)
	}
}

// MoveBucket moves for some seconds what this node owns of a frozen id: it asks the owner of each key to take it over. It says
// how many objects it has come past, and whether they were all. As long as no slot comes here, it goes on where it was.
func (f *Front) MoveBucket(ctx context.Context, from cluster.BucketID) (objects uint64, done bool, err error) {
	const op = "target/front.MoveBucket"
	v := f.movers.of(f.o.Control.Applied(), from)
	v.mu.Lock()
	defer v.mu.Unlock()
	for began := time.Now(); ; {
		state := f.o.Control.Applied()
		over, ok := state.BucketOver(from)
		if !ok {
			return 0, false, cluster.Fail(op, "", cluster.KindUnavailable, fmt.Sprintf("no objects are moved away from bucket %d", from))
		}
		v.follow(f, state.Map(), over)
		if v.done || time.Since(began) > moveLife {
			return v.objects, v.done, nil
		}
		if err := f.movePage(ctx, state.Map(), over, v); err != nil {
			v.job.Trouble(err)
			return v.objects, false, cluster.E(op, over.Bucket.String(), cluster.KindOther, err)
		}
	}
}

// follow begins anew when other slots are owned here than before.
func (v *mover) follow(f *Front, m *cluster.Map, over cluster.BucketEntry) {
	digest := fnv.New64a()
	for i := range cluster.Slots {
		if s := m.Slot(cluster.SlotIn(over.Under.Layout(), i)); s.Owner() == f.o.Node.ID {
			fmt.Fprintf(digest, "%d %d,", i, s.Owned)
		}
	}
	if v.job != nil && v.owned == digest.Sum64() {
		return
	}
	v.end(xact.ErrStopped)
	v.owned, v.after, v.objects, v.done = digest.Sum64(), "", 0, false
	v.job = f.o.Jobs.Start(xact.Convert, fmt.Sprintf("%s to %s", over.Bucket, over.Props.Layout()))
}

// movePage moves the next keys.
func (f *Front) movePage(ctx context.Context, m *cluster.Map, over cluster.BucketEntry, v *mover) error {
	keys, more, err := f.o.Store.FrozenKeys(ctx, &store.ListRequest{Bucket: over.Frozen(), Map: m.Version, After: v.after}, movePage)
	if err != nil {
		return err
	}
	shares := make(map[cluster.NodeID][]store.FrozenKey)
	for _, k := range keys {
		owner, _ := m.Owner(cluster.SlotOf(over.ID, k.Key))
		shares[owner] = append(shares[owner], k)
	}
	g, ctx := errgroup.WithContext(ctx)
	for owner, share := range shares {
		g.Go(func() error { return f.moveShare(ctx, m, over, owner, share) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if n := len(keys); n > 0 {
		v.after = string(keys[n-1].Key)
		bytes := int64(0)
		for _, k := range keys {
			bytes += k.Size
		}
		v.objects += uint64(n)
		v.job.Add(int64(n), bytes)
	}
	if !more {
		v.done = true
		v.job.End(nil)
	}
	return nil
}

// moveShare has one owner take over keys, in messages that do not take too long.
func (f *Front) moveShare(ctx context.Context, m *cluster.Map, over cluster.BucketEntry, owner cluster.NodeID, share []store.FrozenKey) error {
	for len(share) > 0 {
		in, bytes := &intra.MoveRequest{BucketID: over.ID}, int64(0)
		for len(share) > 0 && (len(in.Keys) == 0 || bytes+share[0].Size <= moveBytes) {
			in.Keys = append(in.Keys, share[0].Key)
			bytes += share[0].Size
			share = share[1:]
		}
		if err := f.moveAt(ctx, m, over, owner, in); err != nil {
			return err
		}
	}
	return nil
}

func (f *Front) moveAt(ctx context.Context, m *cluster.Map, over cluster.BucketEntry, owner cluster.NodeID, in *intra.MoveRequest) error {
	const op = "target/front.moveAt"
	if owner == f.o.Node.ID {
		_, err := f.Move(ctx, &intra.Grant{Bucket: over.Bucket, BucketID: over.ID}, in)
		return err
	}
	node, ok := m.Node(owner)
	if !ok {
		return cluster.Fail(op, string(owner), cluster.KindUnavailable, "the owner is not in the map")
	}
	return f.o.Messages.Call(ctx, node, intra.PathMove, in, &intra.MoveReply{})
}

// list returns what this node shows of a bucket.
func (f *Front) list(ctx context.Context, entry cluster.BucketEntry, in *intra.ListRequest) (*intra.ListReply, error) {
	list := &store.ListRequest{
		Bucket: entry, Map: in.MapVersion, Prefix: in.Prefix, Delimiter: in.Delimiter, After: in.After, AfterUpload: in.AfterID,
		AfterVersion: in.AfterVersion, Details: in.Details,
	}
	entries := f.o.Store.List
	switch {
	case in.Uploads:
		entries = f.o.Store.Uploads
	case in.Versions:
		entries = f.o.Store.Versions
	}
	reply := &intra.ListReply{MapVersion: in.MapVersion}
	for e, err := range entries(ctx, list) {
		if err != nil {
			return nil, err
		}
		if len(reply.Entries) == in.Limit {
			reply.More = true
			break
		}
		if len(reply.Entries) == cap(reply.Entries) {
			reply.Entries = slices.Grow(reply.Entries, growth(len(reply.Entries), in.Limit))
		}
		reply.Entries = append(reply.Entries, e)
	}
	return reply, nil
}
