package front

import (
	"context"
	"net/http"
	"strconv"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/config"
	"github.com/aisle-store/aisle/s3"
	"github.com/aisle-store/aisle/target/internal/store"
)

// read is what a GET or HEAD asks the store for.
func (r *request) read() *store.GetRequest {
	return &store.GetRequest{
		Call: r.attempt(), Bucket: r.bucket, Key: r.grant.Key, Version: r.version,
		Judge: r.judge, If: conditions(s3.ReadConditions(r.call)), Range: byteRange(s3.ParseRange(r.req.Header.Get("Range"))), Keys: &r.keys,
	}
}

// readPart is read, of the part that the request may name.
func (r *request) readPart() (*store.GetRequest, error) {
	read := r.read()
	var err error
	read.Part, err = s3.ReadPartNumber(r.call)
	return read, err
}

// getObject serves GetObject.
func (f *Front) getObject(ctx context.Context, r *request) error {
	read, err := r.readPart()
	if err != nil {
		return err
	}
	object, err := f.o.Store.Open(ctx, read)
	if err != nil {
		return f.notRead(ctx, r, read, err)
	}
	r.describeOpen(object)
	f.setLastAccess(ctx, r, object.Info())
	f.setExpiration(r, object.Info())
	_, length, _ := object.Range()
	r.rep.Stream(length, objectBody{object})
	return nil
}

// headObject serves HeadObject. With a range or part the reply says what GET would send of it.
func (f *Front) headObject(ctx context.Context, r *request) error {
	read, err := r.readPart()
	if err != nil {
		return err
	}
	if read.Range != nil || read.Part > 0 {
		object, err := f.o.Store.Open(ctx, read)
		if err != nil {
			return f.notRead(ctx, r, read, err)
		}
		r.describeOpen(object)
		f.setLastAccess(ctx, r, object.Info())
		f.setExpiration(r, object.Info())
		_, length, _ := object.Range()
		r.rep.SetLength(length)
		return object.Close()
	}
	info, err := f.o.Store.Stat(ctx, read)
	if err != nil {
		return f.notRead(ctx, r, read, err)
	}
	setObjectHeaders(r, info)
	f.setLastAccess(ctx, r, info)
	f.setExpiration(r, info)
	r.rep.Status = http.StatusOK
	r.setObjectChecksums(info)
	r.rep.SetLength(info.Size)
	return nil
}

// setLastAccess tells of the last access in place of the last write, where the cluster wants it so. Conditions are judged by the last
// write all the same: it is never after what was told.
func (f *Front) setLastAccess(ctx context.Context, r *request, info *store.Info) {
	if config.Features.Get(f.o.Control.Applied().Setting) != config.LastModifiedAtime {
		return
	}
	seen, err := f.o.Store.Stat(ctx, &store.GetRequest{Call: r.attempt(), Bucket: r.bucket, Key: r.grant.Key, Version: r.version, Accessed: true, Keys: &r.keys})
	if err == nil && seen.Generation == info.Generation && seen.Accessed.After(info.Modified) {
		r.rep.SetHeader("Last-Modified", s3.FormatHTTPDate(seen.Accessed))
	}
}

// describeOpen sets the status and headers of a read, and what of them depends on whether a part or the whole is sent.
func (r *request) describeOpen(object *store.Object) {
	info, part := object.Info(), object.Part()
	setObjectHeaders(r, info)
	r.rep.Status = http.StatusOK
	offset, length, ranged := object.Range()
	if ranged {
		r.rep.Status = http.StatusPartialContent
		r.rep.SetHeader("Content-Range", s3.ContentRange(offset, length, info.Size))
	}
	switch {
	case part != nil && part.Number > 0:
		r.rep.SetHeader("x-amz-mp-parts-count", strconv.Itoa(info.PartCount))
		if _, kind := objectChecksums(info); r.wantsChecksums() && kind != "" {
			setChecksums(r.rep, checksums(part.Sums, 0), kind)
		}
	case part != nil || !ranged:
		r.setObjectChecksums(info)
	}
}

func (r *request) wantsChecksums() bool { return r.call.Get("x-amz-checksum-mode") == "ENABLED" }

// setObjectChecksums tells the checksums of the whole object, when the client asks for them.
func (r *request) setObjectChecksums(info *store.Info) {
	if r.wantsChecksums() {
		sums, kind := objectChecksums(info)
		setChecksums(r.rep, sums, kind)
	}
}

// getAttributes serves GetObjectAttributes.
func (f *Front) getAttributes(ctx context.Context, r *request) error {
	params, err := s3.ReadAttributeParams(r.call)
	if err != nil {
		return err
	}
	read := r.read()
	info, parts, err := f.o.Store.ObjectParts(ctx, read)
	if err != nil {
		return f.notRead(ctx, r, read, err)
	}
	sums, kind := objectChecksums(info)
	r.setVersion(info)
	a := s3.Attributes{ETag: info.ETag, Size: info.Size, Class: info.Class, Sums: elements(sums), ChecksumType: kind}
	for _, p := range parts {
		a.Parts = append(a.Parts, s3.ListedPart{Number: p.Number, Size: p.Size, Sums: elements(checksums(p.Sums, 0))})
	}
	r.rep.Status = http.StatusOK
	r.rep.SetHeader("Last-Modified", s3.FormatHTTPDate(info.Modified))
	r.rep.Bytes(s3.ContentTypeXML, a.XML(params))
	return nil
}

// notRead answers a read that the store refused. A 304 repeats the validators that a 200 would have had, and a range
// outside of the object is told the object's size, a part that there is not the number of parts.
func (f *Front) notRead(ctx context.Context, r *request, read *store.GetRequest, err error) error {
	const op = "target/front.notRead"
	kind := cluster.KindOf(err)
	if marker := store.MarkerOf(err); marker != nil {
		return foundMarker(kind, marker)
	}
	if kind != cluster.KindNotModified && kind != cluster.KindRange {
		return err
	}
	info, statErr := f.o.Store.Stat(ctx, &store.GetRequest{Call: r.attempt(), Bucket: r.bucket, Key: r.grant.Key, Version: r.version})
	if statErr != nil {
		return err
	}
	if kind == cluster.KindRange && read.Part > 0 {
		return s3.NewFault(op, s3.InvalidPartNumber, "", s3.Field{Name: "ActualPartCount", Value: strconv.Itoa(max(1, info.PartCount))},
			s3.Field{Name: "PartNumberRequested", Value: strconv.Itoa(read.Part)})
	}
	if kind == cluster.KindRange {
		return s3.NewFault(op, s3.InvalidRange, "", s3.Field{Name: "RangeRequested", Value: r.req.Header.Get("Range")},
			s3.Field{Name: "ActualObjectSize", Value: strconv.FormatInt(info.Size, 10)})
	}
	r.rep.Status = http.StatusNotModified
	r.setVersion(info)
	r.rep.SetHeader("ETag", s3.QuoteETag(info.ETag))
	r.rep.SetHeader("Last-Modified", s3.FormatHTTPDate(info.Modified))
	for _, h := range info.Headers {
		if h.Name == "Cache-Control" || h.Name == "Expires" {
			r.rep.SetHeader(h.Name, h.Value)
		}
	}
	return nil
}

// foundMarker is the answer to a read that came upon a delete marker.
func foundMarker(kind cluster.Kind, marker *store.Info) error {
	const op = "target/front.foundMarker"
	f := &s3.Fault{Code: s3.NoSuchKey, Header: []s3.Field{
		{Name: "x-amz-delete-marker", Value: "true"}, {Name: "x-amz-version-id", Value: string(marker.VersionID)},
	}}
	if kind == cluster.KindMethod {
		f.Code, f.Allow = s3.MethodNotAllowed, "DELETE"
		f.Header = append(f.Header, s3.Field{Name: "Last-Modified", Value: s3.FormatHTTPDate(marker.Modified)})
	}
	return cluster.E(op, "", kind, f)
}

// setVersion tells which version an answer is about, where the bucket has versions.
func (r *request) setVersion(info *store.Info) {
	if r.bucket.Props.Versioning != cluster.VersioningOff {
		r.rep.SetHeader("x-amz-version-id", string(info.VersionID))
	}
}
