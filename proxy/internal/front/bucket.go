package front

import (
	"context"
	"io"
	"net/http"
	"strings"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/config"
	"github.com/aisle-store/aisle/s3"
)

// smallBody reads and verifies the whole body of a request that configures something.
func (f *Front) smallBody(r *s3Request, limit int64) ([]byte, error) {
	return f.decodeSmall(r, r.req.Body, limit)
}

// decodeSmall is smallBody, of a body that has been read already.
func (f *Front) decodeSmall(r *s3Request, raw io.Reader, limit int64) ([]byte, error) {
	md5, sum, err := s3.RequestChecksums(r.call)
	if err != nil {
		return nil, err
	}
	secret, _ := f.secret(r.key.ID)
	body, err := s3.OpenBody(raw, s3.BodyOptions{
		Payload: r.auth.Payload, Key: f.verifier.Keys().Get(r.key.ID, secret, r.auth.Payload.Scope), Checksum: sum,
	})
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := s3.ReadAll(body, limit)
	if err != nil {
		return nil, err
	}
	return data, s3.CheckSmallBody(data, md5, sum)
}

// listBuckets answers as of now, by the leader's log: what one gateway's list shows and what another one says of a bucket
// must agree, also while the change is not acknowledged. A bucket that is being deleted exists until that is decided.
func (f *Front) listBuckets(ctx context.Context, r *s3Request) error {
	params, err := s3.ReadBucketListParams(r.call)
	if err != nil {
		return err
	}
	view, err := f.o.Control.Latest(ctx)
	if err != nil {
		return err
	}
	list := s3.BucketList{Owner: f.ownerNamed(view, r.who.OwnerID), Region: f.o.Region, Prefix: params.Prefix}
	buckets, err := f.visible(&r.judged, view)
	if err != nil {
		return err
	}
	if params.Region != "" && params.Region != f.o.Region {
		buckets = nil
	}
	for _, e := range buckets {
		name := string(e.Bucket.Name)
		if !strings.HasPrefix(name, params.Prefix) || name <= params.After && params.After != "" {
			continue
		}
		if params.MaxBuckets > 0 && len(list.Buckets) == params.MaxBuckets {
			list.Next = string(list.Buckets[len(list.Buckets)-1].Bucket.Name)
			break
		}
		list.Buckets = append(list.Buckets, e)
	}
	r.xml(list.XML())
	return nil
}

// createBucket makes a bucket whose objects carry an MD5, which S3's clients expect as the ETag.
func (f *Front) createBucket(ctx context.Context, r *s3Request) error {
	locked, err := s3.AsksForLock(r.call)
	if err != nil {
		return err
	}
	// Any location is taken: there is one, and clients send the region that they are configured with.
	var configs []*cluster.BucketConfig
	if len(r.asked.Tags) > 0 {
		tags, err := documentOf(&bucketTagging, s3.Tags{Set: r.asked.Tags})
		if err != nil {
			return err
		}
		configs = append(configs, tags)
	}
	lists, err := f.newBucketLists(r)
	if err != nil {
		return err
	}
	configs = append(configs, lists...)
	props := config.DefaultProps()
	props.Checksum = cluster.ChecksumMD5
	if locked {
		props.Versioning, props.Lock.Enabled = cluster.VersioningEnabled, true
	}
	if _, err := f.o.Control.CreateBucket(ctx, r.req.ID, cluster.Native(r.call.Bucket), props, r.key.ID, r.who.OwnerID, configs...); err != nil {
		return f.bucketExists(r, err)
	}
	r.rep.Status = http.StatusOK
	r.rep.SetHeader("Location", "/"+string(r.call.Bucket))
	return nil
}

// bucketRegion is the header by which programs ask where a bucket lies; also who is refused the bucket is told.
const bucketRegion = "x-amz-bucket-region"

func (f *Front) headBucket(ctx context.Context, r *s3Request) error {
	if _, _, err := f.bucket(ctx, cluster.Native(r.call.Bucket)); err != nil {
		return err
	}
	r.rep.Status = http.StatusOK
	r.rep.SetHeader(bucketRegion, f.o.Region)
	r.rep.SetHeader("x-amz-access-point-alias", "false")
	return nil
}

func (f *Front) deleteBucket(ctx context.Context, r *s3Request) error {
	if err := f.o.Control.DeleteBucket(ctx, r.req.ID, cluster.Native(r.call.Bucket)); err != nil {
		return err
	}
	r.rep.Status = http.StatusNoContent
	return nil
}

func (f *Front) bucketLocation(ctx context.Context, r *s3Request) error {
	if _, _, err := f.bucket(ctx, cluster.Native(r.call.Bucket)); err != nil {
		return err
	}
	r.xml(s3.LocationXML(f.o.Region))
	return nil
}
