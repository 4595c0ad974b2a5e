package front

import (
	"context"
	"net/http"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/s3"
	"github.com/aisle-store/aisle/target/internal/store"
)

// getTagging serves GetObjectTagging.
func (f *Front) getTagging(ctx context.Context, r *request) error {
	read := &store.GetRequest{Call: r.attempt(), Bucket: r.bucket, Key: r.grant.Key, Version: r.version, Judge: r.judge}
	info, err := f.o.Store.Stat(ctx, read)
	if err != nil {
		return f.notRead(ctx, r, read, err)
	}
	r.setVersion(info)
	r.rep.Status = http.StatusOK
	r.rep.Bytes(s3.ContentTypeXML, s3.TaggingXML(toFields(info.Tags)))
	return nil
}

// putTagging serves PutObjectTagging.
func (f *Front) putTagging(ctx context.Context, r *request) error {
	body, err := f.smallBody(r)
	if err != nil {
		return err
	}
	tags, err := s3.ParseObjectTagging(body)
	if err != nil {
		return err
	}
	r.rep.Status = http.StatusOK
	return f.tag(ctx, r, s3.EventTagged, pairs(tags))
}

// deleteTagging serves DeleteObjectTagging.
func (f *Front) deleteTagging(ctx context.Context, r *request) error {
	r.rep.Status = http.StatusNoContent
	return f.tag(ctx, r, s3.EventUntagged, nil)
}

func (f *Front) tag(ctx context.Context, r *request, event s3.Event, tags []store.Pair) error {
	return f.edit(ctx, r, event, r.judge, func(md *store.Metadata) { md.Tags = tags })
}

// edit changes what the object or version has beside its bytes, and tells which one it was.
func (f *Front) edit(ctx context.Context, r *request, event s3.Event, judge func(*store.Info) error, edit func(*store.Metadata)) error {
	info, err := f.o.Store.Update(ctx, &store.UpdateRequest{
		Call: r.attempt(), Bucket: r.bucket, Key: r.grant.Key, Version: r.version, KeepModified: true, Judge: judge, Edit: edit,
		Owner: r.holder(), Notices: f.notices(r.grant, r.bucket, r.grant.Key, event, s3.NoEvent),
	})
	if marker := store.MarkerOf(err); marker != nil {
		return foundMarker(cluster.KindOf(err), marker)
	}
	if err != nil {
		return err
	}
	r.setVersion(info)
	return nil
}

// smallBody reads and verifies the whole body of a request that configures something.
func (f *Front) smallBody(r *request) ([]byte, error) {
	md5, sum, err := s3.RequestChecksums(r.call)
	if err != nil {
		return nil, err
	}
	body, err := f.openBody(r, sum)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := s3.ReadAll(body, s3.MaxSmallBody)
	if err != nil {
		return nil, err
	}
	return data, s3.CheckSmallBody(data, md5, sum)
}
