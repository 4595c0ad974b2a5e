package front

import (
	"context"
	"errors"
	"net/http"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/control"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/s3"
)

// s3Request is a request of an S3 client whose signature holds.
type s3Request struct {
	judged
	call   *s3.Call
	auth   s3.Auth
	view   *control.View
	hide   bool // that an object does not exist
	rights intra.Rights
	form   bool // it comes from a browser's form
	// What the owner of the object has to judge, and that of the object that is copied.
	provisos, source []s3.Proviso
	req              *httpd.Request
	rep              *httpd.Reply
	log              *s3.Logging            // as which the request writes an object, or nil
	asked            s3.BucketConfiguration // of CreateBucket: its body
}

// s3Handler answers an operation that is not about one object.
type s3Handler func(f *Front, ctx context.Context, r *s3Request) error

// s3Handlers has every operation that happens at the gateway; all others go to the owner of their key.
var s3Handlers = map[s3.Operation]s3Handler{
	s3.ListBuckets:          (*Front).listBuckets,
	s3.CreateBucket:         (*Front).createBucket,
	s3.HeadBucket:           (*Front).headBucket,
	s3.DeleteBucket:         (*Front).deleteBucket,
	s3.GetBucketLocation:    (*Front).bucketLocation,
	s3.ListObjects:          (*Front).listObjects,
	s3.ListObjectsV2:        (*Front).listObjects,
	s3.ListMultipartUploads: (*Front).listUploads,
	s3.DeleteObjects:        (*Front).deleteObjects,
	s3.GetBucketVersioning:  (*Front).getVersioning,
	s3.PutBucketVersioning:  (*Front).putVersioning,
	s3.ListObjectVersions:   (*Front).listVersions,
	s3.PostObject:           (*Front).postObject,

	s3.GetBucketReplication:       bucketReplication.get,
	s3.PutBucketReplication:       bucketReplication.put,
	s3.DeleteBucketReplication:    bucketReplication.delete,
	s3.GetObjectLockConfiguration: (*Front).getObjectLock,
	s3.PutObjectLockConfiguration: (*Front).putObjectLock,

	s3.GetBucketTagging:                           bucketTagging.get,
	s3.PutBucketTagging:                           bucketTagging.put,
	s3.DeleteBucketTagging:                        bucketTagging.delete,
	s3.GetBucketCors:                              bucketCORS.get,
	s3.PutBucketCors:                              bucketCORS.put,
	s3.DeleteBucketCors:                           bucketCORS.delete,
	s3.GetBucketLifecycleConfiguration:            bucketLifecycle.get,
	s3.PutBucketLifecycleConfiguration:            bucketLifecycle.put,
	s3.DeleteBucketLifecycle:                      bucketLifecycle.delete,
	s3.GetBucketRequestPayment:                    bucketPayment.get,
	s3.PutBucketRequestPayment:                    bucketPayment.put,
	s3.GetBucketPolicy:                            (*Front).getBucketPolicy,
	s3.PutBucketPolicy:                            (*Front).putBucketPolicy,
	s3.DeleteBucketPolicy:                         (*Front).deleteBucketPolicy,
	s3.GetBucketPolicyStatus:                      (*Front).bucketPolicyStatus,
	s3.GetPublicAccessBlock:                       publicAccess.get,
	s3.PutPublicAccessBlock:                       publicAccess.put,
	s3.DeletePublicAccessBlock:                    publicAccess.delete,
	s3.GetBucketOwnershipControls:                 (*Front).getOwnership,
	s3.PutBucketOwnershipControls:                 (*Front).putOwnership,
	s3.DeleteBucketOwnershipControls:              (*Front).deleteOwnership,
	s3.GetBucketLogging:                           bucketLogging.get,
	s3.PutBucketLogging:                           bucketLogging.put,
	s3.GetBucketNotificationConfiguration:         bucketNotification.get,
	s3.PutBucketNotificationConfiguration:         bucketNotification.put,
	s3.GetBucketWebsite:                           bucketWebsite.get,
	s3.PutBucketWebsite:                           bucketWebsite.put,
	s3.DeleteBucketWebsite:                        bucketWebsite.delete,
	s3.GetBucketEncryption:                        (*Front).getBucketEncryption,
	s3.PutBucketEncryption:                        bucketEncryption.put,
	s3.DeleteBucketEncryption:                     bucketEncryption.delete,
	s3.GetBucketACL:                               (*Front).getBucketACL,
	s3.PutBucketACL:                               (*Front).putBucketACL,
	s3.GetBucketAccelerateConfiguration:           (*Front).noDocuments,
	s3.ListBucketAnalyticsConfigurations:          (*Front).noDocuments,
	s3.ListBucketIntelligentTieringConfigurations: (*Front).noDocuments,
	s3.ListBucketInventoryConfigurations:          (*Front).noDocuments,
	s3.ListBucketMetricsConfigurations:            (*Front).noDocuments,
	s3.GetBucketAnalyticsConfiguration:            (*Front).noDocument,
	s3.GetBucketIntelligentTieringConfiguration:   (*Front).noDocument,
	s3.GetBucketInventoryConfiguration:            (*Front).noDocument,
	s3.GetBucketMetricsConfiguration:              (*Front).noDocument,
}

func (f *Front) serveS3(ctx context.Context, req *httpd.Request, rep *httpd.Reply) error {
	const op = "proxy/front.serveS3"
	call, parseErr := f.router().Parse(seen(req))
	if req.Method == http.MethodOptions && call.Bucket != "" {
		return f.preflight(call, rep)
	}
	rep.Operation = call.Op.String()
	if call.Op == s3.PostObject {
		return s3Handlers[call.Op](f, ctx, &s3Request{call: call, req: req, rep: rep})
	}
	// Without a key nobody learns more than that: also what is refused is refused only to those who may ask.
	var auth s3.Auth
	err := f.ifSure(func() (err error) {
		auth, err = f.verifier.Verify(call, f.o.Now())
		return err
	})
	anonymous := err != nil && parseErr == nil && s3.IsAnonymous(call)
	if anonymous {
		auth, err = s3.AnonymousAuth(call)
	}
	if err != nil {
		return err
	}
	rep.Identity = auth.AccessKey
	if parseErr != nil {
		return parseErr
	}
	// The signature was checked with what this node has applied; the lease says that this is the truth of the cluster.
	view, err := f.o.Control.Current()
	if err != nil {
		return err
	}
	by := caller{who: f.anonymous}
	if !anonymous {
		if by, err = f.caller(view, auth.AccessKey, auth.Token); err != nil {
			return err
		}
	}
	r := &s3Request{call: call, auth: auth, view: view, req: req, rep: rep}
	r.judged = judged{by, conditions{who: by.who, req: req, call: call, auth: auth, region: f.o.Region, now: f.o.Now()}}
	if err := f.authorize(ctx, r); err != nil {
		return err
	}
	switch {
	case lacksLength(r):
		err = s3.NewFault(op, s3.MissingContentLength, "")
	case call.Op.OnObject():
		err = f.s3Object(ctx, r)
	default:
		err = s3Handlers[call.Op](f, ctx, r)
	}
	if err == nil {
		f.allowOrigin(call, rep)
	}
	return err
}

// lacksLength reports whether a request that stores bytes says nothing of a body: by a client's mistake it would empty an object.
func lacksLength(r *s3Request) bool {
	return r.req.Length == 0 && (r.call.Op == s3.PutObject || r.call.Op == s3.UploadPart) && !r.req.Header.Has("Content-Length")
}

// ifSure returns the refusal of a key or signature, unless this node may be behind the cluster, which knows more keys: a
// node that has just started has applied none. It looks again when it has asked for the lease, which may have come just now
// and says nothing about an earlier look.
func (f *Front) ifSure(verify func() error) error {
	if verify() == nil {
		return nil
	}
	if err := f.o.Control.CheckLease(); err != nil {
		return err
	}
	return verify()
}

// s3Object takes an operation on one object to its owner.
func (f *Front) s3Object(ctx context.Context, r *s3Request) error {
	if err := f.sealCustomerKeys(r); err != nil {
		return err
	}
	p := r.auth.Payload
	if !p.SignedChunks() {
		p.Seed, p.Scope, p.Date = "", "", "" // nobody asks for them, and the ticket is shorter
	}
	provisos, err := s3.EncodeProvisos(r.provisos)
	if err != nil {
		return err
	}
	source, err := s3.EncodeProvisos(r.source)
	if err != nil {
		return err
	}
	g := intra.Grant{
		Identity:  r.key.ID,
		Root:      r.key.Root,
		Hide:      r.hide,
		Rights:    r.rights,
		Redirect:  r.key.Redirect,
		Dialect:   intra.S3,
		Operation: r.call.Op.String(),
		Bucket:    cluster.Native(r.call.Bucket),
		Key:       r.call.Key,
		Write:     r.call.Op.Writes(),
		Payload:   intra.Payload(p),
		Form:      r.form,
		Provisos:  provisos,
		Source:    source,
	}
	if done, err := f.own(ctx, r, &g); done || err != nil {
		return err
	}
	return f.object(ctx, g, r.req, r.rep)
}

// writeS3Error answers with S3's XML. Replies to HEAD have the status only, as AWS's do.
func (f *Front) writeS3Error(req *httpd.Request, rep *httpd.Reply, err error) {
	c := s3.ErrorContext{Method: req.Method, Resource: req.Path, RequestID: req.ID, HostID: string(f.o.Self)}
	call, _ := f.router().Parse(seen(req))
	if call != nil {
		c.Bucket, c.Key, c.UploadID = call.Bucket, call.Key, cluster.UploadID(call.Params.Get("uploadId"))
		c.Version = cluster.VersionID(call.Params.Get("versionId"))
	}
	setS3Reply(rep, s3.ErrorReply(inWordsOfS3(err), c))
	if call != nil {
		f.allowOrigin(call, rep)
	}
	if call != nil && call.Op == s3.HeadBucket && rep.Status == http.StatusForbidden {
		rep.SetHeader(bucketRegion, f.o.Region)
	}
}

// inWordsOfS3 gives an error about the HTTP message itself the code that S3 has for it. Its status stays.
func inWordsOfS3(err error) error {
	const op = "proxy/front.inWordsOfS3"
	var protocol *httpd.ProtocolError
	if !errors.As(err, &protocol) {
		return err
	}
	switch protocol.Status {
	case http.StatusBadRequest:
		return s3.NewFault(op, s3.BadRequest, "An error occurred when parsing the HTTP request: "+protocol.Reason+".")
	case http.StatusRequestHeaderFieldsTooLarge:
		return s3.NewFault(op, s3.RequestHeaderSectionTooLarge, "")
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return s3.NewFault(op, s3.NotImplemented, "A header you provided implies functionality that is not implemented: "+protocol.Reason+".")
	}
	return err
}

// setS3Reply turns a reply of package s3 into one of the server.
func setS3Reply(rep *httpd.Reply, r s3.Reply) {
	rep.Status = r.Status
	if len(r.Body) > 0 {
		rep.Bytes("", r.Body)
	}
	for _, h := range r.Header {
		rep.SetHeader(h.Name, h.Value)
	}
}

// xml makes a document the reply.
func (r *s3Request) xml(document []byte) {
	r.rep.Status = http.StatusOK
	r.rep.Bytes(s3.ContentTypeXML, document)
}

// seen is what package s3 needs to see of a request.
func seen(req *httpd.Request) s3.Request {
	return s3.Request{
		Method: req.Method, Path: req.Path, Query: req.Query, Host: req.Host, Header: &req.Header, Length: req.Length,
	}
}
