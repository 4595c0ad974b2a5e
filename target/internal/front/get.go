package front

import (
	"context"
	"net/http"
	"strconv"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/s3"
	"github.com/aisle-store/aisle/target/internal/store"
)

// read is what a GET or HEAD asks the store for.
func (r *request) read() *store.GetRequest {
	return &store.GetRequest{
		Call: r.attempt(), Bucket: r.bucket, Key: r.grant.Key,
		If: conditions(s3.ReadConditions(r.call)), Range: byteRange(s3.ParseRange(r.req.Header.Get("Range"))),
	}
}

// getObject serves GetObject.
func (f *Front) getObject(ctx context.Context, r *request) error {
	object, err := f.o.Store.Open(ctx, r.read())
	if err != nil {
		return f.notRead(ctx, r, err)
	}
	offset, length, ranged := object.Range()
	info := object.Info()
	setObjectHeaders(r, info)
	r.describe(info, offset, length, ranged)
	r.rep.Stream(length, objectBody{object})
	return nil
}

// headObject serves HeadObject. With a range the reply says what GET would send of it.
func (f *Front) headObject(ctx context.Context, r *request) error {
	read := r.read()
	if read.Range != nil {
		object, err := f.o.Store.Open(ctx, read)
		if err != nil {
			return f.notRead(ctx, r, err)
		}
		offset, length, ranged := object.Range()
		setObjectHeaders(r, object.Info())
		r.describe(object.Info(), offset, length, ranged)
		r.rep.SetLength(length)
		return object.Close()
	}
	info, err := f.o.Store.Stat(ctx, read)
	if err != nil {
		return f.notRead(ctx, r, err)
	}
	setObjectHeaders(r, info)
	r.describe(info, 0, info.Size, false)
	r.rep.SetLength(info.Size)
	return nil
}

// getTagging serves GetObjectTagging, which the aws command line needs to copy an object of several parts. Tags cannot be
// written yet, so what it says is true.
func (f *Front) getTagging(ctx context.Context, r *request) error {
	if _, err := f.o.Store.Stat(ctx, r.read()); err != nil {
		return err
	}
	r.rep.Status = http.StatusOK
	r.rep.Bytes(s3.ContentTypeXML, s3.TaggingXML())
	return nil
}

// describe sets the status, and what it depends on whether a part or the whole is sent.
func (r *request) describe(info *store.Info, offset, length int64, ranged bool) {
	r.rep.Status = http.StatusOK
	if ranged {
		r.rep.Status = http.StatusPartialContent
		r.rep.SetHeader("Content-Range", s3.ContentRange(offset, length, info.Size))
		return
	}
	if r.call.Get("x-amz-checksum-mode") == "ENABLED" {
		sums, kind := objectChecksums(info)
		setChecksums(r.rep, sums, kind)
	}
}

// notRead answers a read that the store refused. A 304 repeats the validators that a 200 would have had, and a range
// outside of the object is told the object's size.
func (f *Front) notRead(ctx context.Context, r *request, err error) error {
	const op = "target/front.notRead"
	kind := cluster.KindOf(err)
	if kind != cluster.KindNotModified && kind != cluster.KindRange {
		return err
	}
	info, statErr := f.o.Store.Stat(ctx, &store.GetRequest{Call: r.attempt(), Bucket: r.bucket, Key: r.grant.Key})
	if statErr != nil {
		return err
	}
	if kind == cluster.KindRange {
		return s3.NewFault(op, s3.InvalidRange, "", s3.Field{Name: "RangeRequested", Value: r.req.Header.Get("Range")},
			s3.Field{Name: "ActualObjectSize", Value: strconv.FormatInt(info.Size, 10)})
	}
	r.rep.Status = http.StatusNotModified
	r.rep.SetHeader("ETag", s3.QuoteETag(info.ETag))
	r.rep.SetHeader("Last-Modified", s3.FormatHTTPDate(info.Modified))
	for _, h := range info.Headers {
		if h.Name == "Cache-Control" || h.Name == "Expires" {
			r.rep.SetHeader(h.Name, h.Value)
		}
	}
	return nil
}
