package front

import (
	"context"
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/s3"
	"github.com/aisle-store/aisle/target/internal/store"
)

// nativePut serves PUT of an object. Content-Type and its like are not kept: clients of this API send the type of their
// control messages.
func (f *Front) nativePut(ctx context.Context, r *request) error {
	expect, err := nativeChecksum(r)
	if err != nil {
		return err
	}
	custom, err := nativeCustom(r)
	if err != nil {
		return err
	}
	info, err := f.put(ctx, r, s3.EventPut, store.Conditions{}, store.Metadata{Custom: custom}, expect...)
	if err != nil {
		return err
	}
	r.rep.Status = http.StatusOK
	setNativeHeaders(r, info)
	return nil
}

// nativeChecksum returns the checksum that the request states of its body.
func nativeChecksum(r *request) ([]store.Sum, error) {
	const op = "target/front.nativeChecksum"
	name, text := r.req.Header.Get(api.HeaderChecksumType), r.req.Header.Get(api.HeaderChecksumValue)
	if name == "" || name == string(cluster.ChecksumNone) || text == "" {
		return nil, nil
	}
	t, err := cluster.ParseChecksumType(name)
	if err != nil {
		return nil, cluster.E(op, "", cluster.KindNotImplemented, err)
	}
	value, err := hex.DecodeString(text)
	if err != nil {
		return nil, cluster.Fail(op, "", cluster.KindInvalid, api.HeaderChecksumValue+" is not hexadecimal")
	}
	return []store.Sum{{Type: t, Value: value}}, nil
}

// nativeCustom returns the custom properties of the request.
func nativeCustom(r *request) ([]store.Pair, error) {
	const op = "target/front.nativeCustom"
	var custom []store.Pair
	size := 0
	for _, v := range r.req.Header.Values(api.HeaderCustom) {
		name, value, ok := api.Custom(v)
		if !ok || name == "" {
			return nil, cluster.Fail(op, "", cluster.KindInvalid, api.HeaderCustom+" is not NAME=VALUE")
		}
		custom = append(custom, store.Pair{Name: name, Value: value})
		size += len(name) + len(value)
	}
	if size > s3.MaxUserMetadata {
		return nil, cluster.Fail(op, "", cluster.KindTooLarge, "the custom properties have more than "+strconv.Itoa(s3.MaxUserMetadata)+" bytes")
	}
	return custom, nil
}

// nativeGet serves GET of an object, or of a range of it.
func (f *Front) nativeGet(ctx context.Context, r *request) error {
	object, err := f.o.Store.Open(ctx, r.read())
	if err != nil {
		return err
	}
	offset, length, ranged := object.Range()
	info := object.Info()
	setNativeHeaders(r, info)
	setNativeEntity(r, info)
	r.rep.Status = http.StatusOK
	if ranged {
		r.rep.Status = http.StatusPartialContent
		r.rep.SetHeader("Content-Range", s3.ContentRange(offset, length, info.Size))
	}
	r.rep.Stream(length, objectBody{object})
	return nil
}

// nativeHead serves HEAD of an object: everything, or what the parameter props names.
func (f *Front) nativeHead(ctx context.Context, r *request) error {
	const op = "target/front.nativeHead"
	query, err := url.ParseQuery(r.req.Query)
	if err != nil {
		return cluster.E(op, r.subject(), cluster.KindInvalid, err)
	}
	read := r.read()
	read.Accessed = true
	info, err := f.o.Store.Stat(ctx, read)
	if err != nil {
		return err
	}
	r.rep.Status = http.StatusOK
	if props := query.Get(api.QueryProps); props != "" {
		for name := range strings.SplitSeq(props, ",") {
			f.setProp(r, info, strings.TrimSpace(name))
		}
	} else {
		setNativeHeaders(r, info)
		setNativeEntity(r, info)
		for _, name := range []string{"name", "copies", "location", "cached", "size"} {
			f.setProp(r, info, name)
		}
	}
	return nil
}

// setProp sets the headers of one property of HEAD. Names that this cluster has nothing to say about are left out.
func (f *Front) setProp(r *request, info *store.Info, name string) {
	rep := r.rep
	switch name {
	case "name":
		rep.SetHeader(api.HeaderName, string(r.grant.Key))
		rep.SetHeader(api.HeaderBucketName, string(r.grant.Bucket.Name))
		rep.SetHeader(api.HeaderProvider, string(r.grant.Bucket.Provider))
	case "size":
		rep.SetLength(info.Size)
	case "checksum":
		setNativeChecksum(r, info)
	case "atime":
		rep.SetHeader(api.HeaderAtime, atime(info))
	case "version":
		rep.SetHeader(api.HeaderVersion, strconv.FormatInt(info.Version, 10))
	case "copies":
		rep.SetHeader(api.HeaderCopies, strconv.Itoa(max(1, r.bucket.Props.Mirror)))
	case "custom":
		setNativeCustom(r, info)
	case "location":
		rep.SetHeader(api.HeaderLocation, f.location(r))
	case "cached":
		rep.SetHeader(api.HeaderPresent, "true")
	case "etag":
		rep.SetHeader("ETag", s3.QuoteETag(info.ETag))
	case "last-modified":
		rep.SetHeader("Last-Modified", s3.FormatHTTPDate(info.Modified))
	}
}

// location names the node and the mountpath that hold the object, in AIStore's form.
func (f *Front) location(r *request) string {
	return "t[" + string(f.o.Node.ID) + "]:mp[" + f.o.Store.Location(&r.bucket, r.grant.Key).Path + "]"
}

// nativeDelete serves DELETE of an object. An absent one is an error in this API.
func (f *Front) nativeDelete(ctx context.Context, r *request) error {
	const op = "target/front.nativeDelete"
	result, err := f.o.Store.Delete(ctx, &store.DeleteRequest{
		Call: r.attempt(), Bucket: r.bucket, Key: r.grant.Key,
		Notices: f.notices(r.grant, r.bucket, r.grant.Key, s3.EventDelete, s3.EventDeleteMarker),
	})
	if err != nil {
		return err
	}
	if !result.Existed {
		return cluster.Fail(op, r.subject(), cluster.KindObjectNotFound, "does not exist")
	}
	r.rep.Status = http.StatusOK
	return nil
}

// nativeCopy serves PUT with object_to: the path names the source, the grant the destination.
func (f *Front) nativeCopy(ctx context.Context, r *request) error {
	bucket, key, err := nativePath(r)
	if err != nil {
		return err
	}
	from := copyRequest{from: s3.CopySource{Bucket: bucket.Name, Key: key}}
	if from.with, err = f.encryption(ctx, r); err != nil {
		return err
	}
	info, err := f.copyWhole(ctx, r, &from, bucket == r.bucket.Bucket && key == r.grant.Key)
	if err != nil {
		return err
	}
	r.rep.Status = http.StatusOK
	setNativeHeaders(r, info)
	return nil
}

// nativePath returns the object that the path of a native request names.
func nativePath(r *request) (cluster.Bucket, cluster.ObjectKey, error) {
	const op = "target/front.nativePath"
	rest, ok := strings.CutPrefix(r.req.Path, api.Objects+"/")
	rawName, rawKey, _ := strings.Cut(rest, "/")
	name, err1 := url.PathUnescape(rawName)
	key, err2 := url.PathUnescape(rawKey)
	query, err3 := url.ParseQuery(r.req.Query)
	if !ok || err1 != nil || err2 != nil || err3 != nil {
		return cluster.Bucket{}, "", cluster.Fail(op, r.req.Path, cluster.KindInvalid, "the path or query has an invalid percent-encoding")
	}
	bucket, err := api.ParseBucket(name, query)
	if err != nil {
		return bucket, "", err
	}
	if err := cluster.ValidateKey(cluster.ObjectKey(key)); err != nil {
		return bucket, "", cluster.E(op, bucket.String(), cluster.KindInvalid, err)
	}
	return bucket, cluster.ObjectKey(key), nil
}

// setNativeHeaders puts what every native reply about an object has into its headers.
func setNativeHeaders(r *request, info *store.Info) {
	r.rep.SetHeader(api.HeaderAtime, atime(info))
	r.rep.SetHeader(api.HeaderVersion, strconv.FormatInt(info.Version, 10))
	setNativeChecksum(r, info)
	setNativeCustom(r, info)
}

// setNativeEntity puts what HTTP itself has to say of an object into the reply to a read.
func setNativeEntity(r *request, info *store.Info) {
	r.rep.SetHeader("ETag", s3.QuoteETag(info.ETag))
	r.rep.SetHeader("Last-Modified", s3.FormatHTTPDate(info.Modified))
	r.rep.SetHeader("Accept-Ranges", "bytes")
	r.rep.SetHeader("Content-Type", s3.DefaultContentType)
	for _, h := range info.Headers {
		if h.Name == "Content-Type" {
			r.rep.SetHeader(h.Name, h.Value)
		}
	}
}

func setNativeCustom(r *request, info *store.Info) {
	for _, p := range info.Custom {
		r.rep.AddHeader(api.HeaderCustom, p.Name+"="+p.Value)
	}
}

// setNativeChecksum tells the bucket's checksum of the object, where it has one.
func setNativeChecksum(r *request, info *store.Info) {
	t := r.bucket.Props.Checksum
	if sum := info.Sums.Get(t); sum != nil {
		r.rep.SetHeader(api.HeaderChecksumType, string(t))
		r.rep.SetHeader(api.HeaderChecksumValue, hex.EncodeToString(sum))
	}
}

// atime is the time of the last access, or of the last write when there was none since, in nanoseconds.
func atime(info *store.Info) string {
	return strconv.FormatInt(latest(info.Accessed, info.Modified).UnixNano(), 10)
}
