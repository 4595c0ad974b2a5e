package front

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/s3"
	"github.com/aisle-store/aisle/target/internal/store"
)

// maxCopySource is the largest object that CopyObject, and the largest range that UploadPartCopy copies (AWS: 5 GiB).
const maxCopySource = 5 << 30

// copyRequest is what the headers of CopyObject ask for.
type copyRequest struct {
	from    s3.CopySource
	replace bool // take the metadata of the request instead of the source's
	retag   bool // take the tags of the request instead of the source's
	source  store.Conditions
	dest    store.Conditions
	sum     s3.Algorithm
	md      store.Metadata
	key     *s3.CustomerKey // of the source
	with    *store.Encrypt  // nil: the copy is not encrypted
}

func (f *Front) readCopyRequest(ctx context.Context, r *request) (*copyRequest, error) {
	const op = "target/front.readCopyRequest"
	c := r.call
	from, err := s3.ParseCopySource(c.Get("x-amz-copy-source"))
	if err != nil {
		return nil, err
	}
	directive, err := s3.MetadataDirective(c)
	if err != nil {
		return nil, err
	}
	tagging, err := s3.TaggingDirective(c)
	if err != nil {
		return nil, err
	}
	source, err := s3.CopyConditions(c)
	if err != nil {
		return nil, err
	}
	dest, err := s3.WriteConditions(c)
	if err != nil {
		return nil, err
	}
	q := &copyRequest{
		from: from, replace: directive == s3.ReplaceMetadata, retag: tagging == s3.ReplaceMetadata, source: conditions(source), dest: conditions(dest),
	}
	if q.sum, err = s3.CopyChecksum(c); err != nil {
		return nil, err
	}
	if q.md, err = f.metadata(r); err != nil {
		return nil, err
	}
	if q.key, err = s3.ReadSourceKey(c, f.openSealed); err != nil {
		return nil, err
	}
	if q.with, err = f.encryption(ctx, r); err != nil {
		return nil, err
	}
	if from.Bucket == c.Bucket && from.Key == c.Key && from.Version == "" && !q.replace && q.sum == s3.NoAlgorithm && c.Get(s3.WebsiteRedirectHeader) == "" && c.Get(s3.StorageClassHeader) == "" && q.with == nil && !c.SpeaksOfEncryption() {
		return nil, s3.NewFault(op, s3.InvalidRequest, "This copy request is illegal because it is trying to copy an object to itself "+
			"without changing the object's metadata, storage class, website redirect location or encryption attributes.")
	}
	return q, nil
}

// copyObject serves CopyObject.
func (f *Front) copyObject(ctx context.Context, r *request) error {
	q, err := f.readCopyRequest(ctx, r)
	if err != nil {
		return err
	}
	defer clearCustomer(q.key)
	info, err := f.copy(ctx, r, q)
	if err != nil {
		return err
	}
	sums, kind := objectChecksums(info)
	r.setVersion(info)
	f.setExpiration(r, info)
	r.setEncryption(info.Encryption)
	r.rep.Status = http.StatusOK
	r.rep.Bytes(s3.ContentTypeXML, s3.CopyResultXML(s3.CopyObject, info.ETag, info.Modified, elements(sums), kind))
	return nil
}

// copy makes the object. A copy onto itself that only changes metadata does not touch the bytes, which stay encrypted as they are.
func (f *Front) copy(ctx context.Context, r *request, q *copyRequest) (*store.Info, error) {
	itself := q.from.Bucket == r.call.Bucket && q.from.Key == r.grant.Key && q.from.Version == ""
	if itself && r.bucket.Props.Versioning == cluster.VersioningOff && q.sum == s3.NoAlgorithm && q.with == nil && q.key == nil && !q.dest.Match.IsSet() && !q.dest.NoneMatch.IsSet() {
		info, err := f.o.Store.Update(ctx, &store.UpdateRequest{
			Call: r.attempt(), Bucket: r.bucket, Key: r.grant.Key, If: q.source,
			Judge: func(info *store.Info) error { return cmp.Or(r.judgeSource(info), q.judgeTags(r, info)) }, Edit: func(md *store.Metadata) { q.describe(md, r.grant.ACL) }, Keys: &r.keys,
			Owner: r.holder(), Notices: f.notices(r.grant, r.bucket, r.grant.Key, s3.EventCopy, s3.NoEvent), Unversioned: true,
		})
		if cluster.Is(err, cluster.KindConflict) {
			return f.copyWhole(ctx, r, q, itself)
		}
		if name := store.ConditionOf(err); name != "" {
			err = failedSource(name)
		}
		return info, err
	}
	return f.copyWhole(ctx, r, q, itself)
}

// judgeTags refuses a copy that would carry tags of its source for who may not read them there, or not write them here.
func (q *copyRequest) judgeTags(r *request, info *store.Info) error {
	if len(info.Tags) == 0 || q.retag || r.grant.Rights&intra.CarryTags != 0 {
		return nil
	}
	return s3.NewFault("target/front.judgeTags", s3.AccessDenied, "The source has tags: a copy of them needs s3:GetObjectTagging there and s3:PutObjectTagging here.")
}

// describe puts what the request says of the copy in the place of what is known of the source. A lock, an access control list, the
// storage class, and where a website sends browsers, are never copied.
func (q *copyRequest) describe(md *store.Metadata, acl string) {
	md.Lock, md.ACL, md.Class = q.md.Lock, acl, q.md.Class
	if q.replace {
		md.Headers, md.User = q.md.Headers, q.md.User
	} else {
		md.Headers = slices.Concat(redirects(md.Headers, false), redirects(q.md.Headers, true))
	}
	if q.retag {
		md.Tags = q.md.Tags
	}
}

// redirects returns the headers that send the browsers of a website elsewhere, or all others.
func redirects(headers []store.Pair, wanted bool) []store.Pair {
	return slices.DeleteFunc(slices.Clone(headers), func(h store.Pair) bool { return (h.Name == s3.WebsiteRedirectHeader) != wanted })
}

// selfCopyAttempts is how often a copy onto itself begins anew because the object was written meanwhile.
const selfCopyAttempts = 8

// copyWhole copies the bytes, until nothing came between.
func (f *Front) copyWhole(ctx context.Context, r *request, q *copyRequest, itself bool) (*store.Info, error) {
	for attempt := 1; ; attempt++ {
		info, err := f.copyOnce(ctx, r, q, itself)
		if !cluster.Is(err, cluster.KindConflict) {
			return info, err
		}
		if attempt == selfCopyAttempts {
			return f.o.Store.Repeated(r.attempt(), r.bucket, r.grant.Key, err)
		}
	}
}

// copyOnce reads the source and writes it as the object. A copy onto itself takes the place of what it read and of nothing
// else: or it would bring back bytes that another write has replaced.
func (f *Front) copyOnce(ctx context.Context, r *request, q *copyRequest, itself bool) (*store.Info, error) {
	src, err := f.openSource(ctx, r, cluster.Native(q.from.Bucket), q.from.Key, q.from.Version, q.source, nil, q.key)
	if err != nil {
		return f.o.Store.Repeated(r.attempt(), r.bucket, r.grant.Key, err)
	}
	defer src.close()
	if err := q.judgeTags(r, src.info); err != nil {
		return nil, err
	}
	r.setSourceVersion(src)
	if err := checkCopySize(src.length); err != nil {
		return f.o.Store.Repeated(r.attempt(), r.bucket, r.grant.Key, err)
	}
	put := store.PutRequest{Metadata: src.info.Metadata, If: q.dest, Encrypt: q.with}
	q.describe(&put.Metadata, r.grant.ACL)
	if itself {
		put.Base = src.info.Generation
	}
	return f.copyFrom(ctx, r, src, put, q.sum)
}

// copyFrom writes the bytes of a source as a new object: put has its metadata and conditions. It keeps the kinds of additional
// checksums that the source has, unless another one is asked for; of one that has none, a copy by S3 gets the default.
func (f *Front) copyFrom(ctx context.Context, r *request, src *source, put store.PutRequest, sum s3.Algorithm) (*store.Info, error) {
	put.Call, put.Bucket, put.Key, put.Owner = r.attempt(), r.bucket, r.grant.Key, r.holder()
	put.Body, put.Size = src.body, src.length
	put.Notices = f.notices(r.grant, r.bucket, r.grant.Key, s3.EventCopy, s3.NoEvent)
	if sum != s3.NoAlgorithm {
		put.Want = append(put.Want, sum.Type())
	} else {
		for _, c := range checksums(src.info.Sums, 0) {
			put.Want = append(put.Want, c.algorithm.Type())
		}
		if r.grant.Dialect == intra.S3 && len(put.Want) == 0 && !(put.Encrypt != nil && put.Encrypt.IsSecret()) {
			put.Want = append(put.Want, s3.DefaultAlgorithm.Type())
		}
	}
	put.Expect = src.expect(append(slices.Clone(put.Want), r.bucket.Props.Checksum))
	return f.o.Store.Put(ctx, &put)
}

// expect returns those checksums of the whole source that will be computed anyway: a copy must not change a byte.
func (s *source) expect(computed []cluster.ChecksumType) store.Sums {
	if s.info.Composite || s.length != s.info.Size {
		return nil
	}
	var sums store.Sums
	for _, sum := range s.info.Sums {
		if slices.Contains(computed, sum.Type) {
			sums = append(sums, sum)
		}
	}
	return sums
}

func checkCopySize(size int64) error {
	const op = "target/front.checkCopySize"
	if size > maxCopySource {
		return s3.NewFault(op, s3.InvalidRequest, "The specified copy source is larger than the maximum allowable size for a copy source: "+strconv.FormatInt(maxCopySource, 10))
	}
	return nil
}

// uploadPartCopy serves UploadPartCopy.
func (f *Front) uploadPartCopy(ctx context.Context, r *request) error {
	id, number, err := s3.UploadParams(r.call)
	if err != nil {
		return err
	}
	from, err := s3.ParseCopySource(r.call.Get("x-amz-copy-source"))
	if err != nil {
		return err
	}
	part, err := s3.ParseCopyRange(r.call.Get("x-amz-copy-source-range"))
	if err != nil {
		return err
	}
	cond, err := s3.CopyConditions(r.call)
	if err != nil {
		return err
	}
	key, err := s3.ReadSourceKey(r.call, f.openSealed)
	if err != nil {
		return err
	}
	defer clearCustomer(key)
	put := &store.PutPartRequest{Call: r.attempt(), Bucket: r.bucket, Key: r.grant.Key, Upload: id, Number: number, Default: s3.DefaultAlgorithm.Type(), Encrypt: f.partEncryption(ctx, r)}
	info, err := f.copyPart(ctx, r, put, from, conditions(cond), part, key)
	if err != nil {
		return err
	}
	r.setEncryption(info.Encryption)
	r.rep.Status = http.StatusOK
	r.rep.Bytes(s3.ContentTypeXML, s3.CopyResultXML(s3.UploadPartCopy, info.ETag, info.Modified, elements(checksums(info.Sums, 0)), ""))
	return nil
}

// copyPart reads the source, or a range of it, and writes it as a part.
func (f *Front) copyPart(ctx context.Context, r *request, put *store.PutPartRequest, from s3.CopySource, cond store.Conditions, part *s3.Range, key *s3.CustomerKey) (*store.PartInfo, error) {
	src, err := f.openSource(ctx, r, cluster.Native(from.Bucket), from.Key, from.Version, cond, byteRange(part), key)
	if err != nil {
		return f.o.Store.RepeatedPart(put, err)
	}
	defer src.close()
	r.setSourceVersion(src)
	if err := checkCopyRange(part, src); err != nil {
		return f.o.Store.RepeatedPart(put, err)
	}
	put.Body, put.Size = src.body, src.length
	put.Expect = src.expect([]cluster.ChecksumType{r.bucket.Props.Checksum})
	return f.o.Store.PutPart(ctx, put)
}

// checkCopyRange demands that the range lies within the source: a copy takes all that is named or nothing.
func checkCopyRange(part *s3.Range, src *source) error {
	const op = "target/front.checkCopyRange"
	if part != nil && part.Last >= src.info.Size {
		return s3.NewFault(op, s3.InvalidArgument, "Range specified is not valid for source object of size: "+strconv.FormatInt(src.info.Size, 10),
			s3.Field{Name: "ArgumentName", Value: "x-amz-copy-source-range"}, s3.Field{Name: "ArgumentValue", Value: fmt.Sprintf("bytes=%d-%d", part.First, part.Last)})
	}
	return checkCopySize(src.length)
}

// setSourceVersion tells which version was copied.
func (r *request) setSourceVersion(src *source) {
	if src.version != "" {
		r.rep.SetHeader(headerVersion, string(src.version))
	}
}
