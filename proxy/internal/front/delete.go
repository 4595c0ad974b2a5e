package front

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/s3"
	"github.com/aisle-store/aisle/s3/policy"
)

// deleteObjects deletes up to 1,000 objects of one bucket: one call to each owner, all at a time. Every key has an outcome
// of its own.
func (f *Front) deleteObjects(ctx context.Context, r *s3Request) error {
	body, err := f.smallBody(r, s3.MaxDeleteBody)
	if err != nil {
		return err
	}
	items, quiet, err := s3.ParseDelete(body)
	if err != nil {
		return err
	}
	if err := f.authorizeDeletes(ctx, r, items); err != nil {
		return err
	}
	outcomes, err := f.deleteAll(ctx, r, items)
	if err != nil {
		return err
	}
	r.xml(s3.DeleteResultXML(outcomes, quiet))
	return nil
}

// authorizeDeletes judges the deletion of each object for itself.
func (f *Front) authorizeDeletes(ctx context.Context, r *s3Request, items []s3.DeleteItem) error {
	res, err := f.resource(ctx, &r.judged, r.view, r.call.Bucket, false)
	if err != nil {
		return err
	}
	if err := f.checkOwner(&r.judged, r.view, r.call.ExpectedOwner); err != nil {
		return err
	}
	bypass, err := s3.AsksForBypass(r.call)
	if err != nil {
		return err
	}
	defer func() { r.context.version = "" }()
	for i := range items {
		r.context.version = items[i].Version
		if bypass && items[i].Version != "" {
			items[i].Bypass = f.may(&r.judged, policy.BypassGovernanceRetention, r.call.Bucket, items[i].Key, res)
		}
		if items[i].Err == nil {
			items[i].Err = f.allow(&r.judged, s3.OfVersion(s3.DeleteObject.Action(), items[i].Version), r.call.Bucket, items[i].Key, res)
		}
	}
	return nil
}

// deleteAll deletes every item. Those that cannot be answered are tried again for as long as any request is held: programs
// repeat a request that got 503, but no item of one that got 200.
func (f *Front) deleteAll(ctx context.Context, r *s3Request, items []s3.DeleteItem) ([]s3.DeleteOutcome, error) {
	b := cluster.Native(r.call.Bucket)
	outcomes := make([]s3.DeleteOutcome, len(items))
	var open []int // indexes of items without a certain outcome
	for i, item := range items {
		outcomes[i] = s3.DeleteOutcome{Key: item.Key, Version: item.Version, Err: item.Err}
		if item.Err == nil {
			open = append(open, i)
		}
	}
	started, began := time.Now(), f.o.Clocks.Now()
	for pause := retryFirst; ; pause = min(2*pause, retryLongest) {
		view, entry, err := f.bucket(ctx, b)
		if err != nil && !cluster.Is(err, cluster.KindUnavailable) {
			return nil, err
		}
		p := place{view: view, bucket: entry}
		if err == nil {
			f.deleteOnce(ctx, r, p, began, items, outcomes, open)
			open = unavailable(outcomes, open)
		}
		if err == nil && len(open) == 0 {
			return outcomes, nil
		}
		waited := time.Since(started)
		if waited >= holdLimit || err != nil && !f.mayHold(p, waited) || f.pause(ctx, p, pause) != nil {
			return outcomes, err
		}
	}
}

// unavailable returns those of the indexes whose outcome is not certain yet.
func unavailable(outcomes []s3.DeleteOutcome, indexes []int) []int {
	var open []int
	for _, i := range indexes {
		if cluster.Is(outcomes[i].Err, cluster.KindUnavailable) {
			open = append(open, i)
		}
	}
	return open
}

// deleteOnce sends each owner its share of the open items, by one version of the map, and notes the outcomes.
func (f *Front) deleteOnce(ctx context.Context, r *s3Request, p place, began time.Duration, items []s3.DeleteItem, outcomes []s3.DeleteOutcome, open []int) {
	shares := make(map[cluster.NodeID][]int)
	for _, i := range open {
		owner, _ := p.view.Map().Owner(cluster.SlotOf(p.bucket.ID, items[i].Key))
		shares[owner] = append(shares[owner], i)
	}
	var wg sync.WaitGroup
	for owner, share := range shares {
		wg.Go(func() { f.deleteShare(ctx, r, p, began, owner, items, outcomes, share) })
	}
	wg.Wait()
}

// deleteShare deletes the items that one target owns.
func (f *Front) deleteShare(ctx context.Context, r *s3Request, p place, began time.Duration, owner cluster.NodeID, items []s3.DeleteItem, outcomes []s3.DeleteOutcome, share []int) {
	in := &intra.DeleteRequest{BucketID: p.bucket.ID, Items: make([]intra.DeleteItem, len(share))}
	for n, i := range share {
		_, epoch := p.view.Map().Owner(cluster.SlotOf(p.bucket.ID, items[i].Key))
		in.Items[n] = intra.DeleteItem{
			Key: items[i].Key, Version: items[i].Version, Epoch: epoch, IfMatch: items[i].IfMatch, IfSize: items[i].IfSize, IfModifiedAt: items[i].IfModifiedAt,
			Request: itemRequest(r.req.ID, i), Bypass: items[i].Bypass,
		}
	}
	reply, err := f.callDelete(ctx, r, p, began, owner, in)
	for n, i := range share {
		outcomes[i].Err = err
		if err == nil {
			outcomes[i].Err, outcomes[i].Marker = resultError(reply.Results[n]), reply.Results[n].Marker
		}
	}
}

func (f *Front) callDelete(ctx context.Context, r *s3Request, p place, began time.Duration, owner cluster.NodeID, in *intra.DeleteRequest) (*intra.DeleteReply, error) {
	const op = "proxy/front.callDelete"
	g := &intra.Grant{
		Request: r.req.ID, Identity: r.key.ID, Root: r.key.Root, Dialect: intra.Node, Operation: "Delete", Bucket: p.bucket.Bucket,
		BucketID: p.bucket.ID, Owner: owner, MapVersion: p.view.Map().Version, Gateway: f.o.Self, Write: true,
		Holder: r.who.OwnerID, Remote: toldRemote(p.view, p.bucket.ID, r.req.Remote),
	}
	var reply *intra.DeleteReply
	var err error
	if self, _ := p.view.Map().Node(owner); owner == f.o.Self && f.o.Local != nil {
		stampLocal(g, self, began)
		reply, err = f.o.Local.Delete(ctx, g, in)
	} else if call, ok := f.callTo(p, g); ok {
		call.Began = began
		reply, err = f.o.Remote.Delete(ctx, call, in)
	} else {
		err = cluster.Fail(op, string(owner), cluster.KindUnavailable, "the owner is not in the map")
	}
	if err == nil && len(reply.Results) != len(in.Items) {
		err = cluster.Fail(op, string(owner), cluster.KindUnavailable, "the owner sent another number of outcomes")
	}
	return reply, err
}

// itemRequest is the request id of one item: its own, and the same when it is tried again.
func itemRequest(id cluster.RequestID, index int) cluster.RequestID {
	return id + cluster.RequestID("."+strconv.Itoa(index))
}

// resultError is the error of one outcome, or nil.
func resultError(r intra.DeleteResult) error {
	if r.Kind == "" {
		return nil
	}
	return cluster.E("proxy/front.delete", "", cluster.ParseKind(r.Kind), errors.New(r.Message))
}
