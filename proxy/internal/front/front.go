// Package front is what a gateway does with a client's request: it finds out what is asked (S3 or native API), who asks,
// whether that is allowed, and where it happens. Operations on one object happen at the owner of its slot, in this
// process or another one (object.go, send.go); operations on buckets, lists and the cluster happen here.
package front

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/cluster/audit"
	"github.com/aisle-store/aisle/cluster/config"
	"github.com/aisle-store/aisle/cluster/control"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/proxy/internal/access"
	"github.com/aisle-store/aisle/proxy/internal/oidc"
	"github.com/aisle-store/aisle/s3"
)

// Control is what a gateway needs of the control plane; *control.Control has it.
type Control interface {
	View() *control.View
	Current() (*control.View, error)
	Latest(ctx context.Context) (*control.View, error)
	Wait(ctx context.Context, ok func(*control.View) bool) error
	CheckLease() error
	CreateBucket(ctx context.Context, req cluster.RequestID, b cluster.Bucket, p cluster.BucketProps, creator cluster.AccessKeyID, owner string, configs ...*cluster.BucketConfig) (cluster.BucketEntry, error)
	SetBucketProps(ctx context.Context, req cluster.RequestID, b cluster.Bucket, was, p cluster.BucketProps) (cluster.BucketEntry, error)
	SetBucketConfig(ctx context.Context, req cluster.RequestID, b cluster.Bucket, kind string, value []byte) error
	DeleteBucket(ctx context.Context, req cluster.RequestID, b cluster.Bucket) error
	SetSettings(ctx context.Context, req cluster.RequestID, values map[string]string) error
	SetModes(ctx context.Context, req cluster.RequestID, nodes []cluster.NodeID, mode cluster.NodeMode, force bool) (costs []string, err error)
	ChangeIdentities(ctx context.Context, req cluster.RequestID, change cluster.IdentityChange, keys []control.Key, removed []cluster.AccessKeyID) error
	Status(ctx context.Context) (control.Status, error)
	Seal(plain []byte) ([]byte, error) // for the nodes of the cluster
	Open(sealed []byte) ([]byte, error)
	AddEncryptionKey(ctx context.Context, req cluster.RequestID, name string) error
	RotateEncryptionKey(ctx context.Context, req cluster.RequestID, name string) error
	ResealEncryptionKey(ctx context.Context, req cluster.RequestID, name string) error
	RemoveEncryptionKey(ctx context.Context, req cluster.RequestID, name string) error
}

// Local is the target in this process.
type Local interface {
	intra.Service
	// ServeObject answers a granted request about one object.
	ServeObject(ctx context.Context, g *intra.Grant, req *httpd.Request, rep *httpd.Reply) error
}

// Relay carries whole requests to other nodes; *httpd.Client has it.
type Relay interface {
	Relay(ctx context.Context, addr string, req *httpd.Request, rep *httpd.Reply, extra ...httpd.Field) error
}

// Remote makes the calls between nodes; *intra.Client has it.
type Remote interface {
	List(ctx context.Context, call intra.Call, in *intra.ListRequest) (*intra.ListReply, error)
	Delete(ctx context.Context, call intra.Call, in *intra.DeleteRequest) (*intra.DeleteReply, error)
	Move(ctx context.Context, call intra.Call, in *intra.MoveRequest) (*intra.MoveReply, error)
}

// Sealer makes tickets; *intra.Tickets has it.
type Sealer interface {
	Seal(g *intra.Grant, req *httpd.Request) string
}

// Options are what a Front is made of.
type Options struct {
	Self    cluster.NodeID
	Control Control
	Local   Local // nil on a node without the role target
	Relay   Relay
	Remote  Remote
	Tickets Sealer
	Clocks  *intra.Clocks // of the owners that this gateway relays to; its own is the one that Local goes by
	Notify  Notifier
	Metrics func(w io.Writer) error        // the text exposition of the node's metrics
	State   func(what string) (any, error) // of this node: what is api.WhatNodeStatus, api.WhatJobs, api.WhatScrub, api.WhatNotify or api.WhatDenials
	// Begin begins work at this node; query gives a parameter of the request: api.QueryWhat is api.WhatScrub, api.WhatLifecycle,
	// api.WhatMountpaths or api.WhatNotify. It returns what is to be answered, or nil.
	Begin  func(ctx context.Context, query func(string) string) (any, error)
	Audit  *audit.Log       // what is denied, and why; one of its own when nil
	Region string           // what GetBucketLocation and HeadBucket say
	Now    func() time.Time // the wall clock, for signatures
	Logger *slog.Logger
}

// Front answers clients' requests at one gateway.
type Front struct {
	o          Options
	domains    atomic.Pointer[domains]
	verifier   *s3.Verifier
	root       *access.Subject
	anonymous  *access.Subject
	identities atomic.Pointer[access.Book] // as last seen
	owners     cluster.OwnersCache
	sessions   sessions
	issuers    Issuers
	logs       accessLogs
}

// domains are the names under which buckets are hosts, as the settings s3.domain and s3.website-domain last read.
type domains struct {
	s3, websites string
	router       s3.Router
}

// New returns the front of a gateway.
func New(o Options) *Front {
	if o.Audit == nil {
		o.Audit = audit.New(o.Self, o.Logger, o.Now)
	}
	f := &Front{o: o, root: access.Root(), anonymous: access.Anonymous(), issuers: new(oidc.Verifier)}
	f.domains.Store(new(domains))
	f.verifier = s3.NewVerifier(s3.VerifierOptions{Secret: f.secret, Session: f.checkSession})
	return f
}

// secret returns the secret of an access key, as the replicated state has it.
func (f *Front) secret(id cluster.AccessKeyID) (string, bool) {
	key, ok := f.o.Control.View().Key(id)
	return key.Secret, ok
}

// router returns what finds bucket and key of a request, by the setting as it is now.
func (f *Front) router() *s3.Router {
	view, d := f.o.Control.View(), f.domains.Load()
	domain, websites := view.Setting(config.S3Domain.Name), view.Setting(config.WebsiteDomain.Name)
	if domain != d.s3 || websites != d.websites {
		d = &domains{domain, websites, s3.Router{Domains: config.S3Domain.Get(view.Setting), Websites: config.WebsiteDomain.Get(view.Setting)}}
		f.domains.Store(d)
	}
	return &d.router
}

// Serve answers one request of a client.
func (f *Front) Serve(ctx context.Context, req *httpd.Request, rep *httpd.Reply) error {
	switch f.dialect(req) {
	case dialectSystem:
		return f.serveSystem(req, rep)
	case dialectNative:
		return f.serveNative(ctx, req, rep)
	case dialectQuery:
		return f.serveQuery(ctx, queryService(req), req, rep)
	case dialectWebsite:
		return f.serveWebsite(ctx, req, rep)
	default:
		return f.serveS3(ctx, req, rep)
	}
}

// WriteError fills rep for an error in the form that the request's dialect has.
func (f *Front) WriteError(req *httpd.Request, rep *httpd.Reply, err error) {
	switch f.dialect(req) {
	case dialectS3, dialectQuery:
		f.writeS3Error(req, rep, err)
	case dialectWebsite:
		f.writeWebsiteError(req, rep, err)
	default:
		f.writeNativeError(req, rep, err)
	}
}

type dialect uint8

const (
	dialectS3      dialect = iota
	dialectNative          // under /v1
	dialectSystem          // under /-: health, metrics
	dialectQuery           // POST / for IAM or STS
	dialectWebsite         // a browser at the host of a website
)

// dialect returns what a request speaks. Below a bucket that stands in the host, every path is a key.
func (f *Front) dialect(req *httpd.Request) dialect {
	if f.router().WebsiteBucket(req.Host) != "" {
		return dialectWebsite
	}
	d := dialectOf(req.Path)
	if d == dialectS3 && queryService(req) != "" {
		d = dialectQuery
	}
	if d != dialectS3 && f.router().HostBucket(req.Host) != "" {
		return dialectS3
	}
	return d
}

func dialectOf(path string) dialect {
	switch {
	case under(path, api.Base):
		return dialectNative
	case under(path, systemBase):
		return dialectSystem
	default:
		return dialectS3
	}
}

// under reports whether path is base or below it. Paths are raw: "/%761" is a bucket's, not the native API's.
func under(path, base string) bool {
	rest, ok := strings.CutPrefix(path, base)
	return ok && (rest == "" || rest[0] == '/')
}
