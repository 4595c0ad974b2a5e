package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
)

// Object is what replies say about an object.
type Object struct {
	Size         int64
	ChecksumType cluster.ChecksumType
	Checksum     string
	Accessed     time.Time
	Modified     time.Time
	Version      string
	Copies       string
	Location     string
	ETag         string
	ContentType  string
	Custom       map[string]string
}

func objectOf(h http.Header, size int64) Object {
	o := Object{
		Size: size, ChecksumType: cluster.ChecksumType(h.Get(api.HeaderChecksumType)), Checksum: h.Get(api.HeaderChecksumValue),
		Version: h.Get(api.HeaderVersion), Copies: h.Get(api.HeaderCopies), Location: h.Get(api.HeaderLocation),
		ETag: strings.Trim(h.Get("Etag"), `"`), ContentType: h.Get("Content-Type"), Custom: make(map[string]string),
	}
	if ns, err := strconv.ParseInt(h.Get(api.HeaderAtime), 10, 64); err == nil && ns > 0 {
		o.Accessed = time.Unix(0, ns)
	}
	o.Modified, _ = http.ParseTime(h.Get("Last-Modified"))
	for _, v := range h.Values(api.HeaderCustom) {
		if name, value, ok := api.Custom(v); ok {
			o.Custom[name] = value
		}
	}
	return o
}

func objectRequest(op, method string, b cluster.Bucket, key cluster.ObjectKey) *request {
	return &request{op: op, method: method, path: api.ObjectPath(b, key), query: api.BucketQuery(b)}
}

// PutObject writes an object of size bytes; -1 when the size is not known. When the body can be read twice, its checksum
// goes ahead and the node refuses other bytes; else the checksum that the node computed is compared, after the object
// was written.
func (c *Client) PutObject(ctx context.Context, b cluster.Bucket, key cluster.ObjectKey, in io.Reader, size int64) (Object, error) {
	const op = "proxy/client.PutObject"
	r := objectRequest(op, http.MethodPut, b, key)
	r.payload = UnsignedPayload
	sent := newSums()
	if seeker, ok := in.(io.Seeker); ok {
		sum, start, err := sumAhead(in, seeker)
		if err != nil {
			return Object{}, cluster.E(op, b.Object(key), cluster.KindInvalid, err)
		}
		r.body.seeker, r.body.start = seeker, start
		r.header = append(r.header, Header{"ais-checksum-type", string(cluster.ChecksumXXHash)}, Header{"ais-checksum-value", sum})
	} else {
		in = io.TeeReader(in, sent)
	}
	if size != 0 {
		r.body.reader, r.body.length = in, size
	}
	res, err := c.do(ctx, r)
	if err != nil {
		return Object{}, err
	}
	drain(res)
	o := objectOf(res.Header, size)
	if r.body.seeker == nil {
		if err := sent.check(o.ChecksumType, o.Checksum); err != nil {
			return o, cluster.E(op, b.Object(key), cluster.KindChecksum, err)
		}
	}
	return o, nil
}

// Range is a part of an object; a Length below zero goes to its end.
type Range struct{ Offset, Length int64 }

// Whole is the range of a whole object.
func Whole() Range { return Range{Length: -1} }

// GetObject reads an object or a part of it. The returned body fails at its end when the bytes of a whole object do not
// have their checksum; the caller closes it.
func (c *Client) GetObject(ctx context.Context, b cluster.Bucket, key cluster.ObjectKey, part Range) (io.ReadCloser, Object, error) {
	const op = "proxy/client.GetObject"
	r := objectRequest(op, http.MethodGet, b, key)
	whole := part == Whole()
	if !whole {
		r.header = append(r.header, Header{"range", api.SplitRange(part.Offset, part.Length)})
	}
	res, err := c.do(ctx, r)
	if err != nil {
		return nil, Object{}, err
	}
	o := objectOf(res.Header, res.ContentLength)
	if !whole {
		return res.Body, o, nil
	}
	return &verified{body: res.Body, sums: newSums(), object: o, subject: b.Object(key)}, o, nil
}

// verified is the body of a whole object; it compares the checksum at the end.
type verified struct {
	body    io.ReadCloser
	sums    *sums
	object  Object
	subject string
}

// Read returns bytes of the object.
func (v *verified) Read(p []byte) (int, error) {
	const op = "proxy/client.GetObject"
	n, err := v.body.Read(p)
	v.sums.only(v.object.ChecksumType).add(p[:n])
	switch {
	case errors.Is(err, io.EOF):
		if bad := v.sums.check(v.object.ChecksumType, v.object.Checksum); bad != nil {
			return n, cluster.E(op, v.subject, cluster.KindChecksum, bad)
		}
	case err != nil:
		err = cluster.E(op, v.subject, cluster.KindUnavailable, fmt.Errorf("the bytes stopped coming: %w", err))
	}
	return n, err
}

// Close ends the transfer.
func (v *verified) Close() error { return v.body.Close() }

// HeadObject returns what is known about an object.
func (c *Client) HeadObject(ctx context.Context, b cluster.Bucket, key cluster.ObjectKey) (Object, error) {
	r := objectRequest("proxy/client.HeadObject", http.MethodHead, b, key)
	res, err := c.do(ctx, r)
	if err != nil {
		return Object{}, err
	}
	drain(res)
	return objectOf(res.Header, res.ContentLength), nil
}

// DeleteObject deletes an object; that it does not exist is an error.
func (c *Client) DeleteObject(ctx context.Context, b cluster.Bucket, key cluster.ObjectKey) error {
	return c.call(ctx, objectRequest("proxy/client.DeleteObject", http.MethodDelete, b, key), nil)
}

// CopyObject copies an object within the cluster.
func (c *Client) CopyObject(ctx context.Context, b cluster.Bucket, key cluster.ObjectKey, to cluster.Bucket, toKey cluster.ObjectKey) error {
	r := objectRequest("proxy/client.CopyObject", http.MethodPut, b, key)
	r.query = url.Values{api.QueryObjectTo: {api.ObjectTo(to, toKey)}, api.QueryProvider: {string(b.Provider)}}
	return c.call(ctx, r, nil)
}
