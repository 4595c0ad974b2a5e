package front

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/s3"
)

// WriteError fills rep for an error in the form of the dialect that the path belongs to: what a client is to see.
func (f *Front) WriteError(req *httpd.Request, rep *httpd.Reply, err error) {
	if strings.HasPrefix(req.Path, api.Base+"/") {
		f.writeNative(req, rep, err)
		return
	}
	c := s3.ErrorContext{Method: req.Method, Resource: req.Path, RequestID: req.ID, HostID: string(f.o.Node.ID)}
	call, parseErr := new(s3.Router).Parse(s3.Request{
		Method: req.Method, Path: req.Path, Query: req.Query, Host: req.Host, Header: &req.Header, Length: req.Length,
	})
	if parseErr == nil {
		c.Bucket, c.Key, c.UploadID = call.Bucket, call.Key, cluster.UploadID(call.Params.Get("uploadId"))
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
	if strings.HasPrefix(req.Path, intra.PathPrefix) {
		intra.WriteError(rep, err)
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
