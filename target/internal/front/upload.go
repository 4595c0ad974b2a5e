package front

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/s3"
	"github.com/aisle-store/aisle/target/internal/store"
)

// createUpload serves CreateMultipartUpload.
func (f *Front) createUpload(ctx context.Context, r *request) error {
	algorithm, composite, err := s3.UploadChecksum(r.call)
	if err != nil {
		return err
	}
	md, err := f.metadata(r)
	if err != nil {
		return err
	}
	with, err := f.uploadEncryption(ctx, r)
	if err != nil {
		return err
	}
	md.ACL = r.grant.ACL
	create := &store.CreateUploadRequest{
		Call: r.attempt(), Bucket: r.bucket, Key: r.grant.Key, Owner: r.holder(), Composite: composite, Metadata: md, Encryption: with,
	}
	if algorithm != s3.NoAlgorithm {
		create.Want = []cluster.ChecksumType{algorithm.Type()}
		r.rep.SetHeader("x-amz-checksum-algorithm", algorithm.String())
		r.rep.SetHeader("x-amz-checksum-type", s3.ChecksumKind(composite))
	}
	id, err := f.o.Store.CreateUpload(ctx, create)
	if err != nil {
		return err
	}
	f.setAbort(r, f.o.Now())
	r.setEncryption(with)
	r.rep.Status = http.StatusOK
	r.rep.Bytes(s3.ContentTypeXML, s3.CreateUploadXML(r.call.Bucket, r.call.Key, id))
	return nil
}

// maxPart is the largest part of an upload, as on AWS.
const maxPart = 5 << 30

// uploadPart serves UploadPart.
func (f *Front) uploadPart(ctx context.Context, r *request) error {
	const op = "target/front.uploadPart"
	id, number, err := s3.UploadParams(r.call)
	if err != nil {
		return err
	}
	u, err := f.openUpload(r)
	if err != nil {
		return err
	}
	defer u.body.Close()
	if err := u.body.Limit(maxPart); err != nil {
		return err
	}
	info, err := f.o.Store.PutPart(ctx, &store.PutPartRequest{
		Call: r.attempt(), Bucket: r.bucket, Key: r.grant.Key, Upload: id, Number: number, Body: u.body, Size: u.body.Length(),
		Want: u.want, Default: s3.DefaultAlgorithm.Type(), Expect: u.expect, Trailer: u.trailer, Encrypt: f.partEncryption(ctx, r),
	})
	var other *store.OtherChecksum
	if errors.As(err, &other) {
		return s3.NewFault(op, s3.InvalidRequest, "Checksum Type mismatch occurred, expected checksum Type: "+string(other.Upload)+", actual checksum Type: "+string(other.Part))
	}
	if err != nil {
		return err
	}
	r.rep.Status = http.StatusOK
	r.setEncryption(info.Encryption)
	r.rep.SetHeader("ETag", s3.QuoteETag(info.ETag))
	setChecksums(r.rep, checksums(info.Sums, 0), "")
	return nil
}

// listParts serves ListParts.
func (f *Front) listParts(ctx context.Context, r *request) error {
	params, err := s3.ReadPartListParams(r.call)
	if err != nil {
		return err
	}
	result, err := f.o.Store.Parts(ctx, &store.PartsRequest{
		Call: r.attempt(), Bucket: r.bucket, Key: r.grant.Key, Upload: params.UploadID, After: params.After, Limit: max(1, params.Limit()),
	})
	if err != nil {
		return err
	}
	page := s3.PartPage{
		Bucket: r.call.Bucket, Key: r.call.Key, Params: params, Owner: f.owner(r, result.Upload.Owner), Truncated: result.More, Class: result.Upload.Class,
	}
	if params.Limit() == 0 {
		result.Parts, page.Truncated = nil, false
	}
	for _, p := range result.Parts {
		listed := s3.ListedPart{Number: p.Number, Size: p.Size, ETag: p.ETag, Modified: p.Modified}
		if len(result.Upload.Want) > 0 { // else nobody asked for them
			listed.Sums = elements(checksums(p.Sums, 0))
		}
		page.Parts = append(page.Parts, listed)
	}
	for _, t := range result.Upload.Want {
		if a, ok := s3.AlgorithmOf(t); ok {
			page.ChecksumAlgorithm, page.ChecksumType = a.String(), s3.ChecksumKind(result.Upload.Composite)
		}
	}
	f.setAbort(r, result.Upload.Initiated)
	r.rep.Status = http.StatusOK
	r.rep.Bytes(s3.ContentTypeXML, page.XML())
	return nil
}

// completeUpload serves CompleteMultipartUpload.
func (f *Front) completeUpload(ctx context.Context, r *request) error {
	complete, err := f.readComplete(r)
	if err != nil {
		return err
	}
	if err := f.checkPartSums(ctx, complete); err != nil {
		return err
	}
	info, err := f.o.Store.Complete(ctx, complete)
	if err != nil {
		return notCompleted(err)
	}
	r.setVersion(info)
	f.setExpiration(r, info)
	r.setEncryption(info.Encryption)
	sums, kind := objectChecksums(info)
	result := s3.CompleteResult{
		Location: r.location(), Bucket: r.call.Bucket, Key: r.call.Key, ETag: info.ETag, Sums: elements(sums), ChecksumType: kind,
	}
	r.rep.Status = http.StatusOK
	r.rep.Bytes(s3.ContentTypeXML, result.XML())
	return nil
}

// notCompleted says in S3's words what is wrong with the parts.
func notCompleted(err error) error {
	const op = "target/front.notCompleted"
	var (
		small *store.SmallPart
		other *store.OtherSize
	)
	switch {
	case errors.As(err, &small):
		return s3.NewFault(op, s3.EntityTooSmall, "", s3.Field{Name: "ProposedSize", Value: strconv.FormatInt(small.Size, 10)},
			s3.Field{Name: "MinSizeAllowed", Value: strconv.Itoa(store.MinPartSize)}, s3.Field{Name: "PartNumber", Value: strconv.Itoa(small.Number)},
			s3.Field{Name: "ETag", Value: small.ETag})
	case errors.As(err, &other):
		return s3.NewFault(op, s3.InvalidRequest, "The provided 'x-amz-mp-object-size' header value does not match what was computed: "+strconv.FormatInt(other.Parts, 10))
	}
	return err
}

func (f *Front) readComplete(r *request) (*store.CompleteRequest, error) {
	cond, err := s3.WriteConditions(r.call)
	if err != nil {
		return nil, err
	}
	sum, _, size, err := s3.CompleteChecksums(r.call)
	if err != nil {
		return nil, err
	}
	parts, err := f.readParts(r)
	if err != nil {
		return nil, err
	}
	complete := &store.CompleteRequest{
		Call: r.attempt(), Bucket: r.bucket, Key: r.grant.Key, Upload: cluster.UploadID(r.call.Params.Get("uploadId")),
		Parts: parts, Size: size, Default: s3.DefaultAlgorithm.Type(), If: conditions(cond), Check: r.checkComplete,
		Owner: r.grant.Identity, Notices: f.notices(r.grant, r.bucket, r.grant.Key, s3.EventComplete, s3.NoEvent),
	}
	if sum != nil {
		complete.Expect = store.Sums{{Type: sum.Algorithm.Type(), Value: sum.Value}}
	}
	return complete, nil
}

// checkPartSums demands the checksum of each part where the object's is made of them.
func (f *Front) checkPartSums(ctx context.Context, r *store.CompleteRequest) error {
	const op = "target/front.checkPartSums"
	missing := slices.IndexFunc(r.Parts, func(p store.CompletePart) bool { return p.Sums == nil })
	if missing < 0 {
		return nil
	}
	list, err := f.o.Store.Parts(ctx, &store.PartsRequest{Call: r.Call, Bucket: r.Bucket, Key: r.Key, Upload: r.Upload, Limit: 1})
	if cluster.Is(err, cluster.KindUploadNotFound) {
		return nil // it may have been completed by an earlier attempt
	}
	if err != nil || !list.Upload.Composite || len(list.Upload.Want) == 0 {
		return err
	}
	return s3.NewFault(op, s3.InvalidRequest, "The upload was created using a "+string(list.Upload.Want[0])+" checksum. The complete request must include the checksum for each part. "+
		"It was missing for part "+strconv.Itoa(r.Parts[missing].Number)+" in the request.")
}

// readParts reads the list of parts that the body of CompleteMultipartUpload is. The x-amz-checksum-* headers of this
// request speak of the object, not of the body.
func (f *Front) readParts(r *request) ([]store.CompletePart, error) {
	const op = "target/front.readParts"
	body, err := f.openBody(r, nil)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := s3.ReadAll(body, s3.MaxCompleteBody)
	if err != nil {
		return nil, err
	}
	named, err := s3.ParseComplete(data)
	if err != nil {
		return nil, err
	}
	parts := make([]store.CompletePart, len(named))
	for i, p := range named {
		if i > 0 && p.Number <= named[i-1].Number {
			return nil, s3.NewFault(op, s3.InvalidPartOrder, "")
		}
		parts[i] = store.CompletePart{Number: p.Number, ETag: p.ETag}
		if p.Checksum != nil {
			parts[i].Sums = store.Sums{{Type: p.Checksum.Algorithm.Type(), Value: p.Checksum.Value}}
		}
	}
	return parts, nil
}

// location is the URL of the object, as the client addressed it.
func (r *request) location() string {
	scheme := "http://"
	if r.req.TLS {
		scheme = "https://"
	}
	path, _, _ := strings.Cut(r.req.Path, "?")
	return scheme + r.req.Host + path
}

// abortUpload serves AbortMultipartUpload.
func (f *Front) abortUpload(ctx context.Context, r *request) error {
	if err := f.o.Store.Abort(ctx, &store.AbortRequest{
		Call: r.attempt(), Bucket: r.bucket, Key: r.grant.Key, Upload: cluster.UploadID(r.call.Params.Get("uploadId")),
	}); err != nil {
		return err
	}
	r.rep.Status = http.StatusNoContent
	return nil
}
