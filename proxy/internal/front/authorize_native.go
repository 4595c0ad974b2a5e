package front

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/cluster/control"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/proxy/internal/access"
	"github.com/aisle-store/aisle/s3"
	"github.com/aisle-store/aisle/s3/policy"
)

// nativeBucketActions says what the native operations on a bucket need: by method and action of the request. What is not in
// it needs the right to administer the bucket.
var nativeBucketActions = map[string]policy.Action{
	http.MethodPost + " " + api.ActionCreateBucket:    policy.CreateBucket,
	http.MethodHead + " ":                             policy.ListBucket,
	http.MethodDelete + " " + api.ActionDestroyBucket: policy.DeleteBucket,
	http.MethodGet + " " + api.ActionList:             policy.ListBucket,
}

// authorizeNative judges a control request of the native API. Lists of buckets and changes of identities are judged where
// each of them is known.
func (f *Front) authorizeNative(ctx context.Context, r *nativeRequest) error {
	switch {
	case r.req.Path == api.Buckets, r.req.Path == api.Auth:
		return nil
	case under(r.req.Path, api.Buckets):
		return f.authorizeNativeBucket(ctx, r)
	case r.req.Method == http.MethodGet && r.query.Get(api.QueryWhat) != api.WhatDenials: // those name who did what
		return f.allow(&r.judged, policy.GetCluster, "", "", access.Resource{})
	}
	return f.allow(&r.judged, policy.ManageCluster, "", "", access.Resource{})
}

func (f *Front) authorizeNativeBucket(ctx context.Context, r *nativeRequest) error {
	const op = "proxy/front.authorizeNativeBucket"
	name, err := url.PathUnescape(strings.TrimSuffix(strings.TrimPrefix(r.req.Path, api.Buckets+"/"), "/"))
	if err != nil {
		return cluster.E(op, r.req.Path, cluster.KindInvalid, err)
	}
	bucket, err := api.ParseBucket(name, r.query)
	if err != nil {
		return err
	}
	action, ok := nativeBucketActions[r.req.Method+" "+r.action.Action]
	if !ok {
		action = policy.AdminBucket
	}
	if action == policy.ListBucket && r.req.Method == http.MethodGet {
		var msg api.ListMsg
		if err := r.action.Decode(&msg); err != nil {
			return err
		}
		r.context.list = &url.Values{"prefix": {msg.Prefix}}
		if msg.PageSize != "" {
			r.context.list.Set("max-keys", string(msg.PageSize))
		}
	}
	res, err := f.resource(ctx, &r.judged, r.view, bucket.Name, action == policy.CreateBucket)
	if err != nil {
		return err
	}
	if err := f.allow(&r.judged, action, bucket.Name, "", res); err != nil || action != policy.CreateBucket {
		return err
	}
	props, err := r.action.Props()
	if err != nil || len(props) == 0 {
		return err
	}
	r.asMaker()
	return f.allow(&r.judged, policy.AdminBucket, bucket.Name, "", res)
}

// nativeObjectActions says what the native operations on an object need.
var nativeObjectActions = map[string]policy.Action{
	nativePut:    policy.PutObject,
	nativeGet:    policy.GetObject,
	nativeHead:   policy.GetObject,
	nativeDelete: policy.DeleteObject,
	nativeCopy:   policy.PutObject,
}

// authorizeNativeObject judges an operation on an object. A copy reads the object in the path, too.
func (f *Front) authorizeNativeObject(ctx context.Context, r *nativeRequest, g *intra.Grant, in cluster.Bucket, key cluster.ObjectKey) error {
	res, err := f.resource(ctx, &r.judged, r.view, g.Bucket.Name, false)
	if err != nil {
		return err
	}
	g.Holder = r.who.OwnerID
	var provisos, source []s3.Proviso
	if g.Write {
		err = f.allow(&r.judged, nativeObjectActions[g.Operation], g.Bucket.Name, g.Key, res)
	} else {
		err = f.allowObject(&r.judged, nativeObjectActions[g.Operation], g.Bucket.Name, g.Key, res, &provisos)
	}
	if err != nil {
		return err
	}
	g.Hide = !g.Write && f.hides(&r.judged, g.Bucket.Name, res)
	if g.Operation == nativeCopy {
		bucket := r.context.bucket
		of, err := f.resource(ctx, &r.judged, r.view, in.Name, false)
		if err != nil {
			return err
		}
		if err := f.allowObject(&r.judged, policy.GetObject, in.Name, key, of, &source); err != nil {
			return err
		}
		g.Rights |= f.tagRights(&r.judged, s3.Need{Bucket: in.Name, Key: key}, of, bucket, g.Key, res)
	}
	if g.Provisos, err = s3.EncodeProvisos(provisos); err != nil {
		return err
	}
	g.Source, err = s3.EncodeProvisos(source)
	return err
}

// visible returns the buckets that the caller may see: all, or those that it may list. Who sees none and may make none is
// refused.
func (f *Front) visible(j *judged, view *control.View) ([]cluster.BucketEntry, error) {
	all := view.Buckets()
	if j.who == f.anonymous {
		return nil, f.denied(j, policy.ListAllMyBuckets, "*", &access.Decision{})
	}
	denied := f.mayNot(j, policy.ListAllMyBuckets, "*", access.Resource{})
	if denied == nil {
		return all, nil
	}
	var some []cluster.BucketEntry
	for _, e := range all {
		j.context.bucket = f.ownedNow(view, e)
		res, err := f.bucketResource(j, view, e)
		if err != nil {
			return nil, err
		}
		res.ACL = nil // what others opened to everybody is not listed
		if f.mayNot(j, policy.ListBucket, resourceARN(policy.ListBucket, e.Bucket.Name, ""), res) == nil {
			some = append(some, e)
		}
	}
	if len(some) == 0 && f.mayNot(j, policy.CreateBucket, resourceARN(policy.CreateBucket, "", ""), access.Resource{}) != nil {
		return nil, f.denied(j, policy.ListAllMyBuckets, "*", denied)
	}
	return some, nil
}
