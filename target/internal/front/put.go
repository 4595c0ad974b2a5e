package front

import (
	"context"
	"net/http"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/s3"
	"github.com/aisle-store/aisle/target/internal/store"
)

// putObject serves PutObject.
func (f *Front) putObject(ctx context.Context, r *request) error {
	cond, err := s3.WriteConditions(r.call)
	if err != nil {
		return err
	}
	md, err := f.metadata(r)
	if err != nil {
		return err
	}
	md.ACL = r.grant.ACL
	event := s3.EventPut
	if r.grant.Form {
		event = s3.EventPost
	}
	info, err := f.put(ctx, r, event, conditions(cond), md)
	if err != nil {
		return err
	}
	r.rep.Status = http.StatusOK
	r.setVersion(info)
	f.setExpiration(r, info)
	r.setEncryption(info.Encryption)
	r.rep.SetHeader("ETag", s3.QuoteETag(info.ETag))
	sums, kind := objectChecksums(info)
	setChecksums(r.rep, sums, kind)
	return nil
}

// put streams the request's body into the store.
func (f *Front) put(ctx context.Context, r *request, event s3.Event, cond store.Conditions, md store.Metadata, expect ...store.Sum) (*store.Info, error) {
	with, err := f.encryption(ctx, r)
	if err != nil {
		return nil, err
	}
	u, err := f.openUpload(r)
	if err != nil {
		return nil, err
	}
	defer u.body.Close()
	if r.grant.Dialect == intra.S3 && len(u.want) == 0 && !(with != nil && with.IsSecret()) {
		u.want = append(u.want, s3.DefaultAlgorithm.Type())
	}
	return f.o.Store.Put(ctx, &store.PutRequest{
		Call: r.attempt(), Bucket: r.bucket, Key: r.grant.Key, Body: u.body, Size: u.body.Length(), Owner: r.holder(),
		Want: u.want, Expect: append(u.expect, expect...), Trailer: u.trailer, If: cond, Metadata: md, Encrypt: with,
		Notices: f.notices(r.grant, r.bucket, r.grant.Key, event, s3.NoEvent),
	})
}

// deleteObject serves DeleteObject, which succeeds also when there was nothing.
func (f *Front) deleteObject(ctx context.Context, r *request) error {
	cond, err := s3.ReadDeleteConditions(r.call)
	if err != nil {
		return err
	}
	result, err := f.o.Store.Delete(ctx, &store.DeleteRequest{
		Call: r.attempt(), Bucket: r.bucket, Key: r.grant.Key, Version: r.version, Owner: r.holder(),
		If:      store.Conditions{Match: store.ETags(cond.Match), ModifiedAt: cond.ModifiedAt, Size: cond.Size},
		Bypass:  r.grant.Rights&intra.BypassRetention != 0,
		Notices: f.notices(r.grant, r.bucket, r.grant.Key, s3.EventDelete, s3.EventDeleteMarker),
	})
	if err != nil {
		return err
	}
	if result.Version != "" && r.bucket.Props.Versioning != cluster.VersioningOff {
		r.rep.SetHeader("x-amz-version-id", string(result.Version))
		if result.Marker {
			r.rep.SetHeader("x-amz-delete-marker", "true")
		}
	}
	r.rep.Status = http.StatusNoContent
	return nil
}
