package front

import (
	"context"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/config"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/proxy/internal/list"
	"github.com/aisle-store/aisle/s3"
)

// listCaller is on whose behalf a list is made.
type listCaller struct {
	request cluster.RequestID
	key     cluster.AccessKeyID
	root    bool
}

func (f *Front) listObjects(ctx context.Context, r *s3Request) error {
	params, err := s3.ReadListParams(r.call)
	if err != nil {
		return err
	}
	atime := config.Features.Get(r.view.Setting) == config.LastModifiedAtime
	page, err := f.listPage(ctx, listCaller{r.req.ID, r.key.ID, r.key.Root}, cluster.Native(r.call.Bucket), intra.ListRequest{
		Prefix: params.Prefix, Delimiter: params.Delimiter, After: params.After, Limit: params.Limit(), Details: atime,
	})
	if err != nil {
		return err
	}
	if atime {
		for i := range page.Entries {
			if e := &page.Entries[i]; e.Accessed.After(e.Modified) {
				e.Modified = e.Accessed
			}
		}
	}
	reply := s3.ListPage{Params: params, Entries: page.Entries, Truncated: page.More, Owner: f.ownersIn(r)}
	r.xml(reply.XML())
	return nil
}

func (f *Front) listUploads(ctx context.Context, r *s3Request) error {
	params, err := s3.ReadUploadListParams(r.call)
	if err != nil {
		return err
	}
	page, err := f.listPage(ctx, listCaller{r.req.ID, r.key.ID, r.key.Root}, cluster.Native(r.call.Bucket), intra.ListRequest{
		Uploads: true, Prefix: params.Prefix, Delimiter: params.Delimiter, After: params.KeyMarker,
		AfterID: params.UploadIDMarker, Limit: params.Limit(),
	})
	if err != nil {
		return err
	}
	reply := s3.UploadPage{Params: params, Entries: page.Entries, Truncated: page.More, Owner: f.ownersIn(r)}
	r.xml(reply.XML())
	return nil
}

// listPage makes one page of a list at one version of the map: when a target is on another one, the whole page is made
// again at the version that both then have.
func (f *Front) listPage(ctx context.Context, caller listCaller, b cluster.Bucket, in intra.ListRequest) (list.Page, error) {
	started := time.Now()
	for pause := retryFirst; ; pause = min(2*pause, retryLongest) {
		p := place{}
		page := list.Page{}
		view, entry, err := f.bucket(ctx, b)
		if err == nil {
			p.view = view
			p.bucket = entry
			in.MapVersion, in.BucketID = view.Map().Version, entry.ID
			if entry.Under != 0 {
				l := movingList{front: f, caller: caller, place: p}
				page, err = l.page(ctx, in)
			} else {
				page, err = f.mergedPage(ctx, caller, p, b, in)
			}
		}
		if err == nil || !cluster.Is(err, cluster.KindUnavailable) || !f.mayHold(p, time.Since(started)) {
			return page, err
		}
		if f.pause(ctx, p, pause) != nil {
			return page, err
		}
	}
}

func (f *Front) mergedPage(ctx context.Context, caller listCaller, p place, b cluster.Bucket, in intra.ListRequest) (list.Page, error) {
	if in.Limit == 0 {
		return list.Page{}, nil
	}
	var sources []list.Source
	for _, owner := range p.view.Owners(in.BucketID.Layout()) {
		g := &intra.Grant{
			Request: caller.request, Identity: caller.key, Root: caller.root, Dialect: intra.Node, Operation: "List", Bucket: b,
			BucketID: in.BucketID, Owner: owner, MapVersion: in.MapVersion, Gateway: f.o.Self,
		}
		sources = append(sources, f.source(p, g))
	}
	return list.Merge(ctx, sources, in)
}

// source is the part of a list that one target has.
func (f *Front) source(p place, g *intra.Grant) list.Source {
	const op = "proxy/front.source"
	return func(ctx context.Context, in *intra.ListRequest) (*intra.ListReply, error) {
		if g.Owner == f.o.Self && f.o.Local != nil {
			return f.o.Local.List(ctx, g, in)
		}
		call, ok := f.callTo(p, g)
		if !ok {
			return nil, cluster.Fail(op, string(g.Owner), cluster.KindUnavailable, "an owner is not in the map")
		}
		reply, err := f.o.Remote.List(ctx, call, in)
		if err != nil {
			failed := cluster.E(op, "", cluster.KindOther, err)
			failed.Subject = g.Bucket.String() // the client asked for a list, not for a node
			return nil, failed
		}
		return reply, nil
	}
}

// callTo addresses a call to the owner that a grant names.
func (f *Front) callTo(p place, g *intra.Grant) (intra.Call, bool) {
	node, ok := p.view.Map().Node(g.Owner)
	return intra.Call{
		Addr: node.IntraAddr, Owner: g.Owner, Request: g.Request, Identity: g.Identity, Root: g.Root, Bucket: g.Bucket, Holder: g.Holder,
		Incarnation: node.Incarnation,
	}, ok
}
