// Package front is what the owner of an object does with a request about it: it decodes the request, calls the store,
// and encodes the reply. A gateway has authenticated and routed the request before; its Grant says what it found. The
// request's own bytes, hashes and signatures of chunks are verified here, while the body streams into the store.
package front

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/cluster/audit"
	"github.com/aisle-store/aisle/cluster/control"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/s3"
	"github.com/aisle-store/aisle/target/internal/store"
	"github.com/aisle-store/aisle/xact"
)

// State is what a node has applied; *control.View is one.
type State interface {
	Map() *cluster.Map
	Bucket(b cluster.Bucket) (cluster.BucketEntry, bool)
	BucketByID(id cluster.BucketID) (cluster.BucketEntry, bool)
	// BucketOver returns the bucket whose objects are being moved away from an id.
	BucketOver(id cluster.BucketID) (cluster.BucketEntry, bool)
	LastBucket() uint64 // the sequence number of the newest that was ever made
	Key(id cluster.AccessKeyID) (control.Key, bool)
	// BucketConfig returns the document of a kind that configures a bucket.
	BucketConfig(id cluster.BucketID, kind string) (*cluster.BucketConfig, bool)
	Buckets() []cluster.BucketEntry
	BMDVersion() uint64         // changes with the buckets and their documents
	Setting(name string) string // of the cluster; "" when it was never set
	EncryptionKey(name string, number uint64) (control.EncryptionKey, error)
	Identities() *cluster.Identities
}

// Control is what the owner asks of the control plane.
type Control interface {
	Applied() State    // the newest
	CheckLease() error // nil while the node may answer
	AddEncryptionKey(ctx context.Context, req cluster.RequestID, name string) error
	Seal(plain []byte) ([]byte, error) // for other nodes of the cluster
	Open(sealed []byte) ([]byte, error)
}

// Peers carries requests to other nodes; *httpd.Client does.
type Peers interface {
	Do(ctx context.Context, addr string, out *httpd.OutRequest) (*httpd.InReply, error)
}

// Sealer signs grants; *intra.Tickets does.
type Sealer interface {
	Seal(g *intra.Grant, req *httpd.Request) string
}

// Options are what a Front is built from.
type Options struct {
	Node    cluster.Node // this one, with its mountpaths
	Store   *store.Store
	Control Control
	Peers   Peers
	Tickets Sealer
	Now     func() time.Time // the wall clock

	Admits   func(destination string) bool // whether one more event may wait for it; nil: nobody is told anything
	Messages *intra.Messenger              // to other nodes
	Jobs     *xact.Registry
	Audit    *audit.Log // what is denied, and why; one of its own when nil
}

// Front serves the requests that this node's slots are asked.
type Front struct {
	o      Options
	keys   *s3.SigningKeys
	movers movers
	owners cluster.OwnersCache

	settling settling
}

// New returns a front.
func New(o Options) *Front {
	if o.Audit == nil {
		o.Audit = audit.New(o.Node.ID, slog.New(slog.DiscardHandler), o.Now)
	}
	return &Front{o: o, keys: s3.NewSigningKeys()}
}

// request is one granted request on its way through a handler.
type request struct {
	grant   *intra.Grant
	bucket  cluster.BucketEntry
	call    *s3.Call          // for a native request without an operation
	version cluster.VersionID // that the request names, or ""
	keys    objectKeys        // of the object that the request is about
	req     *httpd.Request
	rep     *httpd.Reply
	front   *Front
}

// attempt names this try of the request for the store.
func (r *request) attempt() store.Call {
	return store.Call{Request: r.grant.Request, Epoch: r.grant.Epoch, Sent: sent(r.grant)}
}

// sent is how a grant came here: one of a redirect is the only attempt of its request, and says no age.
func sent(g *intra.Grant) store.Sent {
	return store.Sent{Aged: g.Incarnation != 0, Began: g.Began}
}

// subject names the object in errors.
func (r *request) subject() string { return r.grant.Bucket.Object(r.grant.Key) }

// handler serves one operation.
type handler func(f *Front, ctx context.Context, r *request) error

// s3Handlers is the table of S3's object operations.
var s3Handlers = map[s3.Operation]handler{
	s3.PutObject:               (*Front).putObject,
	s3.GetObject:               (*Front).getObject,
	s3.HeadObject:              (*Front).headObject,
	s3.DeleteObject:            (*Front).deleteObject,
	s3.CopyObject:              (*Front).copyObject,
	s3.CreateMultipartUpload:   (*Front).createUpload,
	s3.UploadPart:              (*Front).uploadPart,
	s3.UploadPartCopy:          (*Front).uploadPartCopy,
	s3.ListParts:               (*Front).listParts,
	s3.CompleteMultipartUpload: (*Front).completeUpload,
	s3.AbortMultipartUpload:    (*Front).abortUpload,
	s3.GetObjectTagging:        (*Front).getTagging,
	s3.PutObjectTagging:        (*Front).putTagging,
	s3.DeleteObjectTagging:     (*Front).deleteTagging,
	s3.GetObjectAttributes:     (*Front).getAttributes,
	s3.GetObjectACL:            (*Front).getACL,
	s3.PutObjectACL:            (*Front).putACL,
	s3.GetObjectRetention:      (*Front).getRetention,
	s3.PutObjectRetention:      (*Front).putRetention,
	s3.GetObjectLegalHold:      (*Front).getLegalHold,
	s3.PutObjectLegalHold:      (*Front).putLegalHold,
}

// nativeHandlers is the table of the native API's object operations, by the names that grants have.
var nativeHandlers = map[string]handler{
	"PutObject":    (*Front).nativePut,
	"GetObject":    (*Front).nativeGet,
	"HeadObject":   (*Front).nativeHead,
	"DeleteObject": (*Front).nativeDelete,
	"CopyObject":   (*Front).nativeCopy,
}

// ServeObject answers one request about one object. The grant has been verified; what it says of map and bucket is
// compared with what this node has applied.
func (f *Front) ServeObject(ctx context.Context, g *intra.Grant, req *httpd.Request, rep *httpd.Reply) error {
	const op = "target/front.ServeObject"
	r := &request{grant: g, req: req, rep: rep, front: f}
	rep.Identity = g.Identity
	if err := f.serve(ctx, r); err != nil {
		if g.Hide && cluster.Is(err, cluster.KindObjectNotFound) {
			err = cluster.Fail(op, r.subject(), cluster.KindDenied, "access is denied, or the object does not exist")
			r.audit(api.Denial{Action: "s3:ListBucket", Resource: "arn:aws:s3:::" + string(g.Bucket.Name), Why: "the object does not exist, which only who may list the bucket is told"})
		}
		if name := store.ConditionOf(err); name != "" && g.Dialect == intra.S3 {
			err = s3.NewFault(op, s3.PreconditionFailed, "", s3.Field{Name: "Condition", Value: name})
		}
		return &grantedError{cluster.E(op, r.subject(), cluster.KindOther, err), g}
	}
	return nil
}

func (f *Front) serve(ctx context.Context, r *request) error {
	var err error
	if r.bucket, err = f.bucket(r.grant); err != nil {
		return err
	}
	serve, err := r.route()
	if err != nil {
		return err
	}
	r.keys = objectKeys{state: f.o.Control.Applied(), bucket: r.bucket.Bucket, key: r.grant.Key}
	if err := f.readCustomer(r); err != nil {
		return err
	}
	defer clearCustomer(r.keys.customer)
	if err := f.settle(ctx, r.bucket, r.grant.Key); err != nil {
		return err
	}
	return serve(f, ctx, r)
}

// bucket returns the entry of the bucket that the grant names by id. One that is not known here has just been made or
// deleted: the gateway looks again.
func (f *Front) bucket(g *intra.Grant) (cluster.BucketEntry, error) {
	const op = "target/front.bucket"
	entry, ok := f.o.Control.Applied().BucketByID(g.BucketID)
	if !ok || entry.Bucket != g.Bucket {
		return entry, cluster.Fail(op, g.Bucket.String(), cluster.KindUnavailable, fmt.Sprintf("bucket number %d is not known here", g.BucketID))
	}
	if entry.State == cluster.BucketFreezing {
		return entry, cluster.Fail(op, g.Bucket.String(), cluster.KindUnavailable, "the layout of the bucket is being changed")
	}
	return entry, nil
}

// route finds the handler of the granted operation, and refuses a request that asks for another one.
func (r *request) route() (handler, error) {
	const op = "target/front.route"
	head := s3.Request{
		Method: r.req.Method, Path: r.req.Path, Query: r.req.Query, Host: r.req.Host, Header: &r.req.Header, Length: r.req.Length,
	}
	switch r.grant.Dialect {
	case intra.S3:
	case intra.Native:
		r.call = &s3.Call{Request: head, Bucket: r.grant.Bucket.Name, Key: r.grant.Key}
		r.rep.Operation = "native." + r.grant.Operation
		if h := nativeHandlers[r.grant.Operation]; h != nil {
			return h, nil
		}
		return nil, cluster.Fail(op, r.grant.Operation, cluster.KindNotImplemented, "the operation is not implemented")
	default:
		return nil, cluster.Fail(op, r.grant.Operation, cluster.KindDenied, "a node's own call is no request about an object")
	}
	var err error
	if r.call, err = s3.Granted(head, r.grant.Bucket.Name, r.grant.Key); err != nil {
		return nil, err
	}
	r.rep.Operation = r.call.Op.String()
	if r.version, err = s3.ReadVersion(r.call); err != nil {
		return nil, err
	}
	h := s3Handlers[r.call.Op]
	if h == nil || r.call.Op.String() != r.grant.Operation {
		return nil, cluster.Fail(op, r.grant.Operation, cluster.KindDenied, "the request is not the one that was granted")
	}
	return h, nil
}
