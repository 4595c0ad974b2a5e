package front

import (
	"context"
	"net/http"

	"github.com/aisle-store/aisle/cluster/control"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/s3"
)

// postObject stores the file of a browser's form. The form is signed by its policy, and nothing else of the request is. At
// the owner it is a PutObject, whose body is read from the form as it comes.
func (f *Front) postObject(ctx context.Context, r *s3Request) error {
	form, err := s3.ReadForm(r.req.Header.Get("Content-Type"), r.req.Body)
	if err != nil {
		return err
	}
	auth, anonymous := s3.UnsignedForm(), form.IsUnsigned()
	if !anonymous {
		if err := f.ifSure(func() error {
			auth, err = f.verifier.VerifyForm(form, r.call.Bucket, f.o.Now())
			return err
		}); err != nil {
			return err
		}
	}
	r.rep.Identity = auth.AccessKey
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
	put, err := f.putOfForm(r, form, auth, by, view)
	if err != nil {
		return err
	}
	if err := f.authorize(ctx, put); err != nil {
		return err
	}
	if err := f.s3Object(ctx, put); err != nil {
		return err
	}
	f.allowOrigin(r.call, r.rep)
	if r.rep.StatusCode() != http.StatusOK {
		return nil
	}
	location := "http://"
	if r.req.TLS {
		location = "https://"
	}
	setS3Reply(r.rep, form.Reply(r.call.Bucket, location+r.req.Host+put.req.Path, r.rep.Header("ETag")))
	return nil
}

// putOfForm is the request that a form amounts to.
func (f *Front) putOfForm(r *s3Request, form *s3.Form, auth s3.FormAuth, by caller, view *control.View) (*s3Request, error) {
	const op = "proxy/front.putOfForm"
	headers, err := form.Headers()
	if err != nil {
		return nil, err
	}
	pairs := []string{"Host", r.req.Host, HeaderRedirect, "never"} // a browser's form goes nowhere else
	for _, h := range headers {
		pairs = append(pairs, h.Name, h.Value)
	}
	req := httpd.NewRequest(http.MethodPut, form.Path(r.call.Bucket), auth.Body(form), -1, pairs...)
	req.ID, req.Remote, req.TLS = r.req.ID, r.req.Remote, r.req.TLS
	call, err := s3.Granted(seen(req), r.call.Bucket, form.Key())
	if err != nil {
		return nil, err
	}
	if call.Op != s3.PutObject {
		return nil, s3.NewFault(op, s3.NotImplemented, "A form cannot ask for "+call.Op.String()+".")
	}
	put := &s3Request{call: call, view: view, form: true, req: req, rep: r.rep}
	put.auth = s3.Auth{AccessKey: auth.AccessKey, Version2: auth.Version2, Time: auth.Time, Payload: s3.Payload{Mode: "UNSIGNED-PAYLOAD", Length: -1}}
	put.judged = judged{by, conditions{who: by.who, req: req, call: call, auth: put.auth, form: true, region: f.o.Region, now: f.o.Now()}}
	return put, nil
}
