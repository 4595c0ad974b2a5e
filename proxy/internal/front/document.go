package front

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/s3"
)

// document is a configuration of buckets in parsed form.
type document interface{ XML() []byte }

// optional is a document that may say that there is nothing to keep.
type optional interface{ Empty() bool }

// headed is a document of which a part travels in headers.
type headed interface {
	ReadHeader(c *s3.Call) error // of the request that sets it
	Header() []s3.Field          // of the replies to that, and to who asks for it
}

// documentKind is one kind of configuration that a bucket can have: how it is read, kept and told.
type documentKind struct {
	name    string                              // under which it is kept; never used for another meaning
	parse   func(body []byte) (document, error) // the body of a request that sets it
	check   documentCheck                       // whether it may be set; nil when nothing but its form counts
	decode  func(value []byte) (any, error)     // what is kept
	status  int                                 // of the reply to a request that sets it
	longest int64                               // body that sets it; 0: s3.MaxSmallBody
	missing s3.Code                             // of a bucket without it; "" when there is a default
	initial document                            // that default
}

// documentCheck refuses a configuration that names what does not exist, or what who sets it may not use.
type documentCheck func(f *Front, ctx context.Context, r *s3Request, doc document) error

var (
	bucketTagging = documentKind{
		name: "tagging", parse: parsed(s3.ParseBucketTagging), decode: s3.DecodeTags, status: http.StatusNoContent, missing: s3.NoSuchTagSet,
	}
	bucketCORS = documentKind{
		name: "cors", parse: parsed(s3.ParseCORS), decode: s3.DecodeCORS, status: http.StatusOK, missing: s3.NoSuchCORSConfiguration,
	}
	bucketLifecycle = documentKind{
		name: s3.LifecycleDocument, parse: parsed(s3.ParseLifecycle), decode: s3.DecodeLifecycle, status: http.StatusOK, longest: s3.MaxLifecycleBody,
		missing: s3.NoSuchLifecycleConfiguration,
	}
	bucketEncryption = documentKind{
		name: "encryption", parse: parsed(s3.ParseBucketEncryption), decode: s3.DecodeBucketEncryption, status: http.StatusOK, missing: s3.NoBucketEncryption,
	}
	bucketPayment = documentKind{
		name: "request-payment", parse: parsed(s3.ParseRequestPayment), decode: s3.DecodeRequestPayment, status: http.StatusOK,
		initial: &s3.RequestPayment{Payer: "BucketOwner"},
	}
	bucketWebsite = documentKind{
		name: "website", parse: parsed(s3.ParseWebsite), decode: s3.DecodeWebsite, status: http.StatusOK, missing: s3.NoSuchWebsiteConfiguration,
	}
)

func parsed[T document](parse func([]byte) (T, error)) func([]byte) (document, error) {
	return func(body []byte) (document, error) { return parse(body) }
}

// of returns the configuration of this kind that a bucket has, or nil.
func (k *documentKind) of(view bucketConfigs, id cluster.BucketID) (document, error) {
	const op = "proxy/front.documentKind.of"
	config, ok := view.BucketConfig(id, k.name)
	if !ok {
		return nil, nil
	}
	doc, err := config.Parsed(k.decode)
	if err != nil {
		return nil, cluster.E(op, k.name, cluster.KindOther, err)
	}
	return doc.(document), nil
}

// bucketConfigs is what has been applied of the configurations of buckets; *control.View is one.
type bucketConfigs interface {
	BucketConfig(id cluster.BucketID, kind string) (*cluster.BucketConfig, bool)
}

// get answers with the configuration.
func (k *documentKind) get(f *Front, ctx context.Context, r *s3Request) error {
	const op = "proxy/front.documentKind.get"
	view, entry, err := f.bucket(ctx, cluster.Native(r.call.Bucket))
	if err != nil {
		return err
	}
	doc, err := k.of(view, entry.ID)
	if err != nil {
		return err
	}
	if doc == nil {
		doc = k.initial
	}
	if doc == nil {
		return s3.NewFault(op, k.missing, "")
	}
	r.setHeader(doc)
	r.xml(doc.XML())
	return nil
}

// setHeader tells what of a document travels in headers.
func (r *s3Request) setHeader(doc document) {
	if h, ok := doc.(headed); ok {
		for _, field := range h.Header() {
			r.rep.SetHeader(field.Name, field.Value)
		}
	}
}

// put sets the configuration that the body is.
func (k *documentKind) put(f *Front, ctx context.Context, r *s3Request) error {
	const op = "proxy/front.documentKind.put"
	bucket := cluster.Native(r.call.Bucket)
	if _, _, err := f.bucket(ctx, bucket); err != nil {
		return err
	}
	body, err := f.smallBody(r, cmp.Or(k.longest, s3.MaxSmallBody))
	if err != nil {
		return err
	}
	doc, err := k.parse(body)
	if err != nil {
		return err
	}
	if h, ok := doc.(headed); ok {
		if err := h.ReadHeader(r.call); err != nil {
			return err
		}
		r.setHeader(doc)
	}
	var value []byte
	if o, ok := doc.(optional); !ok || !o.Empty() {
		if k.check != nil {
			if err := k.check(f, ctx, r, doc); err != nil {
				return err
			}
		}
		if value, err = json.Marshal(doc); err != nil {
			return cluster.E(op, k.name, cluster.KindOther, err)
		}
	}
	r.rep.Status = k.status
	return f.o.Control.SetBucketConfig(ctx, r.req.ID, bucket, k.name, value)
}

// delete removes the configuration, also when there is none.
func (k *documentKind) delete(f *Front, ctx context.Context, r *s3Request) error {
	r.rep.Status = http.StatusNoContent
	return f.o.Control.SetBucketConfig(ctx, r.req.ID, cluster.Native(r.call.Bucket), k.name, nil)
}

// noDocuments answers with no configurations.
func (f *Front) noDocuments(ctx context.Context, r *s3Request) error {
	if _, _, err := f.bucket(ctx, cluster.Native(r.call.Bucket)); err != nil {
		return err
	}
	r.xml(s3.EmptyDocument(r.call.Op))
	return nil
}

// noDocument answers for one configuration of those that no bucket has.
func (f *Front) noDocument(ctx context.Context, r *s3Request) error {
	const op = "proxy/front.noDocument"
	if _, _, err := f.bucket(ctx, cluster.Native(r.call.Bucket)); err != nil {
		return err
	}
	return s3.NewFault(op, s3.NoSuchConfiguration, "")
}
