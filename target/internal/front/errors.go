package front

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/s3"
)

// grantedError is the error of a request whose grant is known. What the client speaks and what it asks for is in the grant;
// the path need not name it, when the bucket stands in the host.
type grantedError struct {
	error
	grant *intra.Grant
}

// Unwrap returns the error itself.
func (e *grantedError) Unwrap() error { return e.error }

// WriteError fills rep for an error in the form of the client's dialect: what a client is to see. Without a grant, the path
// tells the dialect.
func (f *Front) WriteError(req *httpd.Request, rep *httpd.Reply, err error) {
	c := s3.ErrorContext{Method: req.Method, Resource: req.Path, RequestID: req.ID, HostID: string(f.o.Node.ID)}
	native := strings.HasPrefix(req.Path, api.Base+"/")
	var granted *grantedError
	if errors.As(err, &granted) {
		native = granted.grant.Dialect == intra.Native
		c.Bucket, c.Key = granted.grant.Bucket.Name, granted.grant.Key
		if params, parseErr := s3.ParseQuery(req.Query); parseErr == nil {
			c.UploadID = cluster.UploadID(params.Get("uploadId"))
			c.Version = cluster.VersionID(params.Get("versionId"))
		}
	}
	if native {
		f.writeNative(req, rep, err)
		return
	}
	r := s3.ErrorReply(err, c)
	rep.Status = r.Status
	if len(r.Body) > 0 {
		rep.Bytes("", r.Body)
	}
	for _, h := range r.Header {
		rep.SetHeader(h.Name, h.Value)
	}
}

// WriteNodeError fills rep for an error on a connection between nodes: calls between nodes get its kind, a relayed
// request what its client is to see, and the kind beside it for the gateway.
func (f *Front) WriteNodeError(req *httpd.Request, rep *httpd.Reply, err error) {
	var granted *grantedError
	if !errors.As(err, &granted) && strings.HasPrefix(req.Path, intra.PathPrefix) {
		intra.WriteError(rep, err)
		var fault *s3.Fault
		if errors.As(err, &fault) {
			rep.SetHeader(headerFault, string(fault.Code)+" "+fault.Message)
		}
		return
	}
	f.WriteError(req, rep, err)
	rep.SetHeader(intra.HeaderKind, cluster.KindOf(err).String())
}

// writeNative answers with the native API's JSON; HEAD has it in a header.
func (f *Front) writeNative(req *httpd.Request, rep *httpd.Reply, err error) {
	e := api.NewError(err)
	e.Method, e.URLPath, e.RemoteAddr, e.Node, e.RequestID = req.Method, req.Path, req.Remote, string(f.o.Node.ID), string(req.ID)
	rep.Status = e.Status
	if e.Status == http.StatusServiceUnavailable {
		rep.SetHeader("Retry-After", strconv.Itoa(cluster.RetryAfter(err)))
	}
	body, marshalErr := json.Marshal(e)
	if marshalErr != nil {
		body = []byte(`{"message":"internal error"}`)
	}
	if req.Method == http.MethodHead {
		rep.SetHeader(api.HeaderError, string(body))
		rep.SetLength(0)
		return
	}
	rep.Bytes(api.JSON, append(body, '\n'))
}
