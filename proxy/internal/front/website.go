package front

import (
	"context"
	"net/http"
	"slices"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/control"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/s3"
)

// visit is a browser's request to the website that a bucket is. It is answered with objects that everybody may read.
type visit struct {
	f    *Front
	call *s3.Call // of the path as the browser sent it
	req  *httpd.Request
	rep  *httpd.Reply
	view *control.View
	site *s3.Website
}

// websiteHeaders are what an object is asked for with, of what the browser sent.
var websiteHeaders = []string{"Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"}

// serveWebsite answers a browser at the host of a website.
func (f *Front) serveWebsite(ctx context.Context, req *httpd.Request, rep *httpd.Reply) error {
	const op = "proxy/front.serveWebsite"
	rep.Operation = "Website"
	call, err := f.router().Website(seen(req))
	if req.Method == http.MethodOptions && call.Bucket != "" {
		return f.preflight(call, rep)
	}
	if err != nil {
		return err
	}
	view, err := f.o.Control.Current()
	if err != nil {
		return err
	}
	entry, ok := view.Bucket(cluster.Native(call.Bucket))
	if !ok {
		return s3.NewFault(op, s3.NoSuchBucket, "")
	}
	doc, err := bucketWebsite.of(view, entry.ID)
	if err != nil {
		return err
	}
	site, ok := doc.(*s3.Website)
	if !ok {
		return s3.NewFault(op, s3.NoSuchWebsiteConfiguration, "")
	}
	v := &visit{f, call, req, rep, view, site}
	if err := v.serve(ctx); err != nil {
		return err
	}
	f.allowOrigin(call, rep)
	return nil
}

// serve answers with a redirect, an object, or an error in the site's own words.
func (v *visit) serve(ctx context.Context) error {
	if v.redirect(0) {
		return nil
	}
	key := string(v.call.Key)
	directory := key == "" || key[len(key)-1] == '/'
	if directory {
		key += v.site.Index
	}
	err := v.object(ctx, v.req.Method, key, websiteHeaders)
	if err != nil {
		return v.failed(ctx, v.f.websiteFailure(v.req, v.call, err), directory)
	}
	switch status := v.rep.StatusCode(); {
	case status >= 400:
		return v.failed(ctx, v.f.websiteFailure(v.req, v.call, refused(status)), directory)
	case v.rep.Header(s3.WebsiteRedirectHeader) != "":
		v.send(http.StatusMovedPermanently, v.rep.Header(s3.WebsiteRedirectHeader))
	}
	return nil
}

// refused is the error that the owner of an object answered with, as far as its status tells.
func refused(status int) error {
	const op = "proxy/front.refused"
	code := s3.InternalError
	switch status {
	case http.StatusBadRequest:
		code = s3.InvalidRequest
	case http.StatusForbidden:
		code = s3.AccessDenied
	case http.StatusNotFound:
		code = s3.NoSuchKey
	case http.StatusPreconditionFailed:
		code = s3.PreconditionFailed
	case http.StatusRequestedRangeNotSatisfiable:
		code = s3.InvalidRange
	case http.StatusNotImplemented:
		code = s3.NotImplemented
	case http.StatusServiceUnavailable:
		code = s3.ServiceUnavailable
	}
	return s3.NewFault(op, code, "")
}

// redirect answers as the first rule says that is about a request which would be answered with a status, or is not answered yet.
func (v *visit) redirect(status int) bool {
	to := s3.WebsiteRequest{Scheme: "http", Host: v.req.Host, Key: string(v.call.Key)}
	if v.req.TLS {
		to.Scheme = "https"
	}
	code, location := v.site.Redirect(to, status)
	if location == "" {
		return false
	}
	v.send(code, location)
	return true
}

func (v *visit) send(status int, location string) {
	v.rep.Reset()
	v.rep.Status = status
	v.rep.SetHeader("Location", location)
	v.rep.SetLength(0)
}

// object has the reply be that to a request for an object by somebody without a key.
func (v *visit) object(ctx context.Context, method, key string, headers []string) error {
	pairs := []string{"Host", v.req.Host, HeaderRedirect, "never"} // a browser stays at the host of the site
	for _, name := range slices.Concat(headers, []string{"User-Agent", "Referer"}) {
		if value := v.req.Header.Get(name); value != "" {
			pairs = append(pairs, name, value)
		}
	}
	req := httpd.NewRequest(method, "/"+string(v.call.Bucket)+"/"+s3.EscapeKey(key), nil, 0, pairs...)
	req.ID, req.Remote, req.TLS = v.req.ID, v.req.Remote, v.req.TLS
	call, err := s3.Granted(seen(req), v.call.Bucket, cluster.ObjectKey(key))
	if err != nil {
		return err
	}
	r := &s3Request{call: call, view: v.view, req: req, rep: v.rep}
	if r.auth, err = s3.AnonymousAuth(call); err != nil {
		return err
	}
	by := caller{who: v.f.anonymous}
	r.judged = judged{by, conditions{who: by.who, req: req, call: call, auth: r.auth, region: v.f.o.Region, now: v.f.o.Now()}}
	if err := v.f.authorize(ctx, r); err != nil {
		return err
	}
	defer func() { v.rep.Operation = "Website" }()
	return v.f.s3Object(ctx, r)
}

// has reports whether everybody may read an object, and there is one.
func (v *visit) has(ctx context.Context, key string) bool {
	v.rep.Reset()
	return len(key) <= cluster.MaxKeyLength && v.object(ctx, http.MethodHead, key, nil) == nil && v.rep.StatusCode() == http.StatusOK
}

// failed answers a request for which there is no object: what has an index below is a directory whose slash is missing, a
// rule may send the browser elsewhere, and the site may have a page for errors that the browser is to blame for.
func (v *visit) failed(ctx context.Context, failure *s3.WebsiteFailure, directory bool) error {
	missing := failure.Status == http.StatusNotFound || failure.Status == http.StatusForbidden
	if missing && !directory && v.has(ctx, string(v.call.Key)+"/"+v.site.Index) {
		scheme := "http://"
		if v.req.TLS {
			scheme = "https://"
		}
		v.send(http.StatusFound, scheme+v.req.Host+"/"+s3.EscapeKey(string(v.call.Key))+"/")
		return nil
	}
	if v.redirect(failure.Status) {
		return nil
	}
	v.rep.Reset()
	if v.site.Error != "" && failure.Status < 500 {
		err := v.object(ctx, v.req.Method, v.site.Error, nil)
		if err == nil && v.rep.StatusCode() == http.StatusOK {
			v.rep.Status = failure.Status
			v.rep.DelHeader(s3.WebsiteRedirectHeader)
			for _, h := range failure.Headers() {
				v.rep.SetHeader(h.Name, h.Value)
			}
			return nil
		}
		v.rep.Reset()
		failure.Also = "An Error Occurred While Attempting to Retrieve a Custom Error Document"
	}
	setS3Reply(v.rep, failure.Reply())
	return nil
}

// websiteFailure is an error as a website tells it.
func (f *Front) websiteFailure(req *httpd.Request, call *s3.Call, err error) *s3.WebsiteFailure {
	status := s3.StatusOf(err)
	return &s3.WebsiteFailure{
		Status: status, Reason: http.StatusText(status), Code: s3.CodeOf(err), Message: s3.MessageOf(err),
		ErrorContext: s3.ErrorContext{Method: req.Method, RequestID: req.ID, HostID: string(f.o.Self), Bucket: call.Bucket, Key: call.Key},
	}
}

// writeWebsiteError answers with a page when there is no site, or nothing of it can be told.
func (f *Front) writeWebsiteError(req *httpd.Request, rep *httpd.Reply, err error) {
	call, _ := f.router().Website(seen(req))
	setS3Reply(rep, f.websiteFailure(req, call, err).Reply())
	f.allowOrigin(call, rep)
}
