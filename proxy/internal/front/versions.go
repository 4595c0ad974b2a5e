package front

import (
	"context"
	"net/http"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/s3"
)

func (f *Front) getVersioning(ctx context.Context, r *s3Request) error {
	_, entry, err := f.bucket(ctx, cluster.Native(r.call.Bucket))
	if err != nil {
		return err
	}
	r.xml(s3.VersioningXML(entry.Props.Versioning))
	return nil
}

func (f *Front) putVersioning(ctx context.Context, r *s3Request) error {
	const op = "proxy/front.putVersioning"
	return f.changeProps(ctx, r, func(body []byte, props *cluster.BucketProps) (err error) {
		if props.Versioning, err = s3.ParseVersioning(body); err != nil {
			return err
		}
		if props.Lock.Enabled && props.Versioning != cluster.VersioningEnabled {
			return s3.NewFault(op, s3.InvalidBucketState, "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.")
		}
		return nil
	})
}

// changeProps sets properties of a bucket as the body of a request says.
func (f *Front) changeProps(ctx context.Context, r *s3Request, change func(body []byte, props *cluster.BucketProps) error) error {
	bucket := cluster.Native(r.call.Bucket)
	_, entry, err := f.bucket(ctx, bucket)
	if err != nil {
		return err
	}
	body, err := f.smallBody(r, s3.MaxSmallBody)
	if err != nil {
		return err
	}
	props := entry.Props
	if err := change(body, &props); err != nil {
		return err
	}
	if _, err := f.o.Control.SetBucketProps(ctx, r.req.ID, bucket, entry.Props, props); err != nil {
		return err
	}
	r.rep.Status = http.StatusOK
	return nil
}

func (f *Front) listVersions(ctx context.Context, r *s3Request) error {
	params, err := s3.ReadVersionListParams(r.call)
	if err != nil {
		return err
	}
	page, err := f.listPage(ctx, listCaller{r.req.ID, r.key.ID, r.key.Root}, cluster.Native(r.call.Bucket), intra.ListRequest{
		Versions: true, Prefix: params.Prefix, Delimiter: params.Delimiter, After: params.KeyMarker,
		AfterVersion: params.VersionMarker, Limit: params.Limit(),
	})
	if err != nil {
		return err
	}
	reply := s3.VersionPage{Params: params, Entries: page.Entries, Truncated: page.More, Owner: f.ownersIn(r)}
	r.xml(reply.XML())
	return nil
}
