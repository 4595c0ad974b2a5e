package front

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/cluster/config"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/s3"
)

// nativeBuckets lists the buckets, as listBuckets does.
func (f *Front) nativeBuckets(ctx context.Context, r *nativeRequest) error {
	const op = "proxy/front.nativeBuckets"
	if r.req.Method != http.MethodGet || r.action.Action != api.ActionList && r.action.Action != "" {
		return r.notImplemented()
	}
	r.rep.Operation = "native.ListBuckets"
	provider := cluster.Provider("")
	if p := r.query.Get(api.QueryProvider); p != "" {
		var err error
		if provider, err = cluster.ParseProvider(p); err != nil {
			return cluster.E(op, "", cluster.KindInvalid, err)
		}
	}
	view, err := f.o.Control.Latest(ctx)
	if err != nil {
		return err
	}
	names := []api.BucketName{}
	buckets, err := f.visible(&r.judged, view)
	if err != nil {
		return err
	}
	for _, e := range buckets {
		if provider == "" || provider == e.Bucket.Provider {
			names = append(names, api.NewBucketName(e.Bucket))
		}
	}
	return r.json(names)
}

// nativeBucket answers the operations on one bucket. rawName is the raw path after /v1/buckets/.
func (f *Front) nativeBucket(ctx context.Context, r *nativeRequest, rawName string) error {
	const op = "proxy/front.nativeBucket"
	name, err := url.PathUnescape(strings.TrimSuffix(rawName, "/"))
	if err != nil {
		return cluster.E(op, r.req.Path, cluster.KindInvalid, err)
	}
	bucket, err := api.ParseBucket(name, r.query)
	if err != nil {
		return err
	}
	method, action := r.req.Method, r.action.Action
	switch {
	case method == http.MethodPost && action == api.ActionCreateBucket:
		r.rep.Operation = "native.CreateBucket"
		return f.nativeCreateBucket(ctx, r, bucket)
	case method == http.MethodHead && action == "":
		r.rep.Operation = "native.HeadBucket"
		return f.nativeHeadBucket(ctx, r, bucket)
	case method == http.MethodPatch && action == api.ActionSetProps:
		r.rep.Operation = "native.SetBucketProps"
		return f.nativeSetProps(ctx, r, bucket)
	case method == http.MethodDelete && action == api.ActionDestroyBucket:
		r.rep.Operation = "native.DeleteBucket"
		return f.o.Control.DeleteBucket(ctx, r.req.ID, bucket)
	case method == http.MethodGet && action == api.ActionList:
		r.rep.Operation = "native.ListObjects"
		return f.nativeList(ctx, r, bucket)
	}
	return r.notImplemented()
}

func (f *Front) nativeCreateBucket(ctx context.Context, r *nativeRequest, b cluster.Bucket) error {
	const op = "proxy/front.nativeCreateBucket"
	if err := cluster.ValidateNewBucketName(b.Name); err != nil {
		return cluster.E(op, b.String(), cluster.KindInvalid, err)
	}
	changes, err := r.action.Props()
	if err != nil {
		return err
	}
	props, err := config.SetProps(config.DefaultProps(), changes)
	if err != nil {
		return err
	}
	var configs []*cluster.BucketConfig
	if mode := config.S3Ownership.Get(r.view.Setting); mode != s3.BucketOwnerEnforced {
		ownership, err := documentOf(&bucketOwnership, &s3.OwnershipControls{Ownership: mode})
		if err != nil {
			return err
		}
		configs = append(configs, ownership)
	}
	if _, err := f.o.Control.CreateBucket(ctx, r.req.ID, b, props, r.key.ID, r.who.OwnerID, configs...); err != nil {
		return err
	}
	r.rep.Status = http.StatusOK
	return nil
}

func (f *Front) nativeHeadBucket(ctx context.Context, r *nativeRequest, b cluster.Bucket) error {
	const op = "proxy/front.nativeHeadBucket"
	_, entry, err := f.bucket(ctx, b)
	if err != nil {
		return err
	}
	props, err := json.Marshal(api.NewBucketProps(entry))
	if err != nil {
		return cluster.E(op, b.String(), cluster.KindOther, err)
	}
	r.rep.Status = http.StatusOK
	r.rep.SetHeader(api.HeaderBucketProps, string(props))
	return nil
}

func (f *Front) nativeSetProps(ctx context.Context, r *nativeRequest, b cluster.Bucket) error {
	_, entry, err := f.bucket(ctx, b)
	if err != nil {
		return err
	}
	changes, err := r.action.Props()
	if err != nil {
		return err
	}
	props, err := config.SetProps(entry.Props, changes)
	if err != nil {
		return err
	}
	if _, err := f.o.Control.SetBucketProps(ctx, r.req.ID, b, entry.Props, props); err != nil {
		return err
	}
	r.rep.Status = http.StatusOK
	return nil
}

// nativeList answers one page of a list of objects, in JSON, or in MessagePack when the client asks for it.
func (f *Front) nativeList(ctx context.Context, r *nativeRequest, b cluster.Bucket) error {
	var msg api.ListMsg
	if err := r.action.Decode(&msg); err != nil {
		return err
	}
	if err := msg.Check(); err != nil {
		return err
	}
	limit, err := msg.Limit()
	if err != nil {
		return err
	}
	in := intra.ListRequest{Prefix: msg.Prefix, After: max(msg.Token, msg.StartAfter), Limit: limit, Details: wantsDetails(&msg)}
	if msg.Flags&api.ListNoRecursion != 0 {
		in.Delimiter = "/"
	}
	page, err := f.listPage(ctx, listCaller{request: r.req.ID, key: r.key.ID, root: r.key.Root}, b, in)
	if err != nil {
		return err
	}
	result := api.ListResult{UUID: msg.UUID, Entries: make([]api.ListEntry, 0, len(page.Entries))}
	if result.UUID == "" {
		result.UUID = string(r.req.ID)
	}
	for _, e := range page.Entries {
		if e.Prefix && msg.Flags&api.ListNoDirs != 0 {
			continue
		}
		result.Entries = append(result.Entries, api.NewListEntry(e, &msg))
	}
	if page.More {
		result.Token = string(page.Entries[len(page.Entries)-1].Key)
	}
	if r.req.Header.Get("Accept") == api.MsgPack {
		r.rep.Status = http.StatusOK
		r.rep.Bytes(api.MsgPack, result.AppendMsgPack(nil))
		return nil
	}
	return r.json(result)
}

// wantsDetails reports whether a list shows what the targets have to read besides the records.
func wantsDetails(msg *api.ListMsg) bool {
	if msg.Flags&(api.ListNameOnly|api.ListNameSize) != 0 {
		return false
	}
	return strings.Contains(msg.Props, "checksum") || strings.Contains(msg.Props, "atime")
}
