package front

import (
	"context"
	"encoding/hex"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/s3"
	"github.com/aisle-store/aisle/target/internal/store"
)

// Bounds of what one call between nodes may ask for.
const (
	maxListLimit   = 10001 // the largest page of either API, and the one entry that tells whether there are more
	maxDeleteItems = 10000
	deleteWorkers  = 32 // deletes of a batch at a time: they share syncs
)

// List implements intra.Service: this target's part of a page.
func (f *Front) List(ctx context.Context, g *intra.Grant, in *intra.ListRequest) (*intra.ListReply, error) {
	const op = "target/front.List"
	if in.Limit < 1 || in.Limit > maxListLimit {
		return nil, cluster.Fail(op, g.Bucket.String(), cluster.KindInvalid, "the limit of a list is out of bounds")
	}
	if over, ok := f.o.Control.Applied().BucketOver(in.BucketID); ok && g.BucketID == in.BucketID && over.Bucket == g.Bucket {
		return f.listFrozen(ctx, g, in)
	}
	entry, err := f.nodeBucket(op, g, in.BucketID)
	if err != nil {
		return nil, err
	}
	reply, err := f.list(ctx, entry, in)
	if err != nil {
		return nil, cluster.E(op, g.Bucket.String(), cluster.KindOther, err)
	}
	return reply, nil
}

// growth is for how many more entries to make room: few at first, then the page at once.
func growth(have, limit int) int {
	const few = 32
	if have < few {
		return min(few, limit) - have
	}
	return limit - have
}

// nodeBucket returns the entry of the bucket that a call between nodes is about.
func (f *Front) nodeBucket(op string, g *intra.Grant, id cluster.BucketID) (cluster.BucketEntry, error) {
	if g.BucketID != id {
		return cluster.BucketEntry{}, cluster.Fail(op, g.Bucket.String(), cluster.KindDenied, "the message is about another bucket than the one that was granted")
	}
	entry, err := f.bucket(g)
	if err != nil {
		return entry, cluster.E(op, g.Bucket.String(), cluster.KindOther, err)
	}
	return entry, nil
}

// Delete implements intra.Service: each object of a batch for itself.
func (f *Front) Delete(ctx context.Context, g *intra.Grant, in *intra.DeleteRequest) (*intra.DeleteReply, error) {
	const op = "target/front.Delete"
	entry, err := f.nodeBucket(op, g, in.BucketID)
	if err != nil {
		return nil, err
	}
	if len(in.Items) > maxDeleteItems {
		return nil, cluster.Fail(op, g.Bucket.String(), cluster.KindInvalid, "too many objects in one batch")
	}
	reply := &intra.DeleteReply{Results: make([]intra.DeleteResult, len(in.Items))}
	var workers errgroup.Group
	workers.SetLimit(deleteWorkers)
	for i := range in.Items {
		workers.Go(func() error {
			result, err := f.deleteItem(ctx, g, entry, &in.Items[i])
			switch {
			case err != nil:
				reply.Results[i] = intra.DeleteResult{Kind: cluster.KindOf(err).String(), Message: err.Error()}
			case result.Marker:
				reply.Results[i].Marker = result.Version
			}
			return nil
		})
	}
	return reply, workers.Wait()
}

func (f *Front) deleteItem(ctx context.Context, g *intra.Grant, bucket cluster.BucketEntry, item *intra.DeleteItem) (store.DeleteResult, error) {
	if err := f.settle(ctx, bucket, item.Key); err != nil {
		return store.DeleteResult{}, err
	}
	request := &store.DeleteRequest{
		Call: store.Call{Request: item.Request, Epoch: item.Epoch, Sent: sent(g)}, Bucket: bucket, Key: item.Key, Version: item.Version,
		Owner: holder(g), Bypass: item.Bypass,
		Notices: f.notices(g, bucket, item.Key, s3.EventDelete, s3.EventDeleteMarker),
	}
	if item.IfMatch == "*" {
		request.If.Match.Any = true
	} else if item.IfMatch != "" {
		request.If.Match.Tags = []string{item.IfMatch}
	}
	request.If.Size = item.IfSize
	if item.IfModifiedAt != nil {
		request.If.ModifiedAt = *item.IfModifiedAt
	}
	return f.o.Store.Delete(ctx, request)
}

// Stat implements intra.Service: the entry of one object.
func (f *Front) Stat(ctx context.Context, g *intra.Grant, in *intra.StatRequest) (*intra.StatReply, error) {
	const op = "target/front.Stat"
	entry, err := f.nodeBucket(op, g, in.BucketID)
	if err != nil {
		return nil, err
	}
	if err := f.settle(ctx, entry, in.Key); err != nil {
		return nil, err
	}
	info, err := f.o.Store.Stat(ctx, &store.GetRequest{
		Call: store.Call{Request: g.Request, Epoch: in.Epoch}, Bucket: entry, Key: in.Key, Accessed: true,
	})
	if err != nil {
		return nil, cluster.E(op, g.Bucket.Object(in.Key), cluster.KindOther, err)
	}
	return &intra.StatReply{Entry: statEntry(entry, info)}, nil
}

func statEntry(bucket cluster.BucketEntry, info *store.Info) cluster.Entry {
	e := cluster.Entry{
		Key: info.Key, Size: info.Size, ETag: info.ETag, Modified: info.Modified, Accessed: latest(info.Accessed, info.Modified),
		Version: info.Version, Owner: info.Owner,
	}
	for _, sum := range info.Sums {
		e.Additional = e.Additional.With(sum.Type)
	}
	if info.Composite {
		e.Additional |= cluster.CompositeChecksums
	}
	if sum := info.Sums.Get(bucket.Props.Checksum); sum != nil {
		e.ChecksumType, e.Checksum = bucket.Props.Checksum, hex.EncodeToString(sum)
	}
	return e
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
