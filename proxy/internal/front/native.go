package front

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/cluster/control"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/s3"
)

// nativeRequest is a request to the native API whose key is known.
type nativeRequest struct {
	req   *httpd.Request
	rep   *httpd.Reply
	query url.Values
	judged
	auth   s3.Auth // of a signed request; zero with a bearer token
	view   *control.View
	action api.ActionMsg // of a control request
}

func (f *Front) serveNative(ctx context.Context, req *httpd.Request, rep *httpd.Reply) error {
	const op = "proxy/front.serveNative"
	if req.Path == api.Health {
		rep.Operation = "native.Health"
		return f.ready(rep)
	}
	r := &nativeRequest{req: req, rep: rep}
	if err := f.authenticate(r); err != nil {
		return err
	}
	var err error
	if r.query, err = url.ParseQuery(req.Query); err != nil {
		return cluster.E(op, req.Path, cluster.KindInvalid, err)
	}
	if rest, ok := strings.CutPrefix(req.Path, api.Objects+"/"); ok {
		return f.nativeObject(ctx, r, rest)
	}
	if err := r.readAction(); err != nil {
		return err
	}
	if err := f.authorizeNative(ctx, r); err != nil {
		return err
	}
	switch {
	case req.Path == api.Auth:
		return f.nativeAuth(ctx, r)
	case req.Path == api.KMS:
		return f.nativeKMS(ctx, r)
	case req.Path == api.Buckets:
		return f.nativeBuckets(ctx, r)
	case under(req.Path, api.Buckets):
		return f.nativeBucket(ctx, r, strings.TrimPrefix(req.Path, api.Buckets+"/"))
	case req.Path == api.Cluster, req.Path == api.SetConfig, req.Path == api.Daemon, req.Path == api.Reverse:
		return f.nativeCluster(ctx, r)
	}
	return r.notImplemented()
}

// authenticate finds the key of a request: by Signature Version 4, or by a bearer token that is bound to a key.
func (f *Front) authenticate(r *nativeRequest) error {
	const op = "proxy/front.authenticate"
	var id cluster.AccessKeyID
	if token, ok := strings.CutPrefix(r.req.Header.Get("Authorization"), "Bearer "); ok {
		err := f.ifSure(func() (err error) {
			id, err = api.VerifyToken(token, f.o.Now(), f.secret)
			return err
		})
		if err != nil {
			return err
		}
	} else {
		params, err := s3.ParseQuery(r.req.Query)
		if err != nil {
			return err
		}
		err = f.ifSure(func() (err error) {
			r.auth, err = f.verifier.Verify(&s3.Call{Request: seen(r.req), Params: params}, f.o.Now())
			return err
		})
		if err != nil {
			return err
		}
		id = r.auth.AccessKey
	}
	var err error
	if r.view, err = f.o.Control.Current(); err != nil {
		return err
	}
	if r.caller, err = f.caller(r.view, id, r.auth.Token); err != nil {
		return cluster.Fail(op, "", cluster.KindUnauthenticated, "there is no such access key")
	}
	r.rep.Identity = r.key.ID
	r.context = conditions{who: r.who, req: r.req, auth: r.auth, region: f.o.Region, now: f.o.Now()}
	return nil
}

// readAction reads the body of a control request, verified by the signature's hash when there is one.
func (r *nativeRequest) readAction() error {
	const op = "proxy/front.readAction"
	var src io.Reader = r.req.Body
	if r.auth.Payload.Mode != "" {
		if r.auth.Payload.Chunked() {
			return cluster.Fail(op, "", cluster.KindNotImplemented, "control requests cannot be sent in signed chunks")
		}
		body, err := s3.OpenBody(src, s3.BodyOptions{Payload: r.auth.Payload})
		if err != nil {
			return err
		}
		defer body.Close()
		src = body
	}
	data, err := io.ReadAll(io.LimitReader(src, api.MaxBody+1))
	if err != nil {
		return cluster.E(op, "", cluster.KindOther, err)
	}
	if len(data) > api.MaxBody {
		return cluster.Fail(op, "", cluster.KindTooLarge, "the body of a control request is larger than 1 MiB")
	}
	r.action, err = api.ParseAction(data)
	return err
}

// nativeObject takes an operation on one object to its owner. rest is the raw path after /v1/objects/.
func (f *Front) nativeObject(ctx context.Context, r *nativeRequest, rest string) error {
	const op = "proxy/front.nativeObject"
	rawName, rawKey, _ := strings.Cut(rest, "/")
	name, err1 := url.PathUnescape(rawName)
	key, err2 := url.PathUnescape(rawKey)
	if err1 != nil || err2 != nil {
		return cluster.Fail(op, r.req.Path, cluster.KindInvalid, "the path has an invalid percent-encoding")
	}
	bucket, err := api.ParseBucket(name, r.query)
	if err != nil {
		return err
	}
	if key == "" {
		return r.notImplemented()
	}
	if err := cluster.ValidateKey(cluster.ObjectKey(key)); err != nil {
		return cluster.E(op, bucket.Object(cluster.ObjectKey(key)), cluster.KindInvalid, err)
	}
	operation := nativeOperation(r)
	if operation == "" {
		return r.notImplemented()
	}
	r.rep.Operation = "native." + operation
	p := r.auth.Payload
	g := intra.Grant{
		Identity:  r.key.ID,
		Root:      r.key.Root,
		Redirect:  r.key.Redirect,
		Dialect:   intra.Native,
		Operation: operation,
		Bucket:    bucket,
		Key:       cluster.ObjectKey(key),
		Write:     r.req.Method != http.MethodGet && r.req.Method != http.MethodHead,
		Payload:   intra.Payload(p),
	}
	if operation == nativeCopy {
		// A copy happens at the owner of the destination, which reads the source.
		if g.Bucket, g.Key, err = api.ParseObjectTo(r.query.Get(api.QueryObjectTo)); err != nil {
			return err
		}
	}
	if p.Mode == "" {
		g.Payload.Length = r.req.Length
	}
	if err := f.authorizeNativeObject(ctx, r, &g, bucket, cluster.ObjectKey(key)); err != nil {
		return err
	}
	return f.object(ctx, g, r.req, r.rep)
}

// The names of native operations on objects, as grants carry them.
const (
	nativePut    = "PutObject"
	nativeGet    = "GetObject"
	nativeHead   = "HeadObject"
	nativeDelete = "DeleteObject"
	nativeCopy   = "CopyObject"
)

// objectParams are the query names that native object calls may have; any other one means an operation that is not built.
var objectParams = map[string]bool{
	api.QueryProvider: true, api.QueryNamespace: true, api.QueryPresence: true, api.QueryProps: true, api.QueryObjectTo: true,
}

// nativeOperation returns the operation that a request asks for, or "" when it is not built.
func nativeOperation(r *nativeRequest) string {
	for name := range r.query {
		if !objectParams[name] && !strings.HasPrefix(strings.ToLower(name), "x-amz-") {
			return ""
		}
	}
	copies := r.query.Has(api.QueryObjectTo)
	switch {
	case r.req.Method == http.MethodPut && copies:
		return nativeCopy
	case copies:
		return ""
	case r.req.Method == http.MethodPut:
		return nativePut
	case r.req.Method == http.MethodGet:
		return nativeGet
	case r.req.Method == http.MethodHead:
		return nativeHead
	case r.req.Method == http.MethodDelete && r.req.Length == 0:
		return nativeDelete
	}
	return ""
}

func (r *nativeRequest) notImplemented() error {
	what := r.req.Method + " " + r.req.Path
	if r.action.Action != "" {
		what += " with action " + r.action.Action
	}
	return cluster.Fail("proxy/front.native", what, cluster.KindNotImplemented, "is not implemented")
}

// json makes a value the reply.
func (r *nativeRequest) json(v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return cluster.E("proxy/front.json", "", cluster.KindOther, err)
	}
	r.rep.Status = http.StatusOK
	r.rep.Bytes(api.JSON, append(body, '\n'))
	return nil
}

// writeNativeError answers with the native API's JSON; HEAD has it in a header.
func (f *Front) writeNativeError(req *httpd.Request, rep *httpd.Reply, err error) {
	e := api.NewError(err)
	e.Method, e.URLPath, e.RemoteAddr, e.Node, e.RequestID = req.Method, req.Path, req.Remote, string(f.o.Self), string(req.ID)
	body, marshalErr := json.Marshal(e)
	if marshalErr != nil {
		body = []byte(`{"message":"internal error"}`)
	}
	rep.Status = e.Status
	if e.Status == http.StatusServiceUnavailable {
		rep.SetHeader("Retry-After", strconv.Itoa(cluster.RetryAfter(err)))
	}
	if req.Method == http.MethodHead {
		rep.SetHeader(api.HeaderError, string(body))
		rep.SetLength(0)
		return
	}
	rep.Bytes(api.JSON, append(body, '\n'))
}
