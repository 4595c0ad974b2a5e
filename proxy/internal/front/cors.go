package front

import (
	"net/http"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/s3"
)

// preflight answers a browser that asks whether a page may send a request. It comes without a signature, and tells no more
// than the bucket's rules.
func (f *Front) preflight(call *s3.Call, rep *httpd.Reply) error {
	rep.Operation = "Preflight"
	view, err := f.o.Control.Current()
	if err != nil {
		return err
	}
	entry, ok := view.Bucket(cluster.Native(call.Bucket))
	if !ok { // one that was made for certain is in the view; nobody without a key makes the leader work
		return s3.NewFault("proxy/front.preflight", s3.NoSuchBucket, "", s3.Field{Name: "BucketName", Value: string(call.Bucket)})
	}
	doc, err := bucketCORS.of(view, entry.ID)
	if err != nil {
		return err
	}
	rules, _ := doc.(*s3.CORS)
	headers, err := rules.Preflight(call.Header, call.Key != "")
	if err != nil {
		return err
	}
	rep.Status = http.StatusOK
	for _, h := range headers {
		rep.SetHeader(h.Name, h.Value)
	}
	return nil
}

// allowOrigin adds to the reply to a page of another origin that it may be read there, if a rule of the bucket says so.
func (f *Front) allowOrigin(call *s3.Call, rep *httpd.Reply) {
	if call.Header.Get("Origin") == "" || call.Method == http.MethodOptions {
		return
	}
	view := f.o.Control.View()
	entry, ok := view.Bucket(cluster.Native(call.Bucket))
	if !ok {
		return
	}
	doc, err := bucketCORS.of(view, entry.ID)
	if rules, ok := doc.(*s3.CORS); ok && err == nil {
		for _, h := range rules.Simple(call.Method, call.Header) {
			rep.SetHeader(h.Name, h.Value)
		}
	}
}
