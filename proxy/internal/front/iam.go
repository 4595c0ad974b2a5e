package front

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/control"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/proxy/internal/access"
	"github.com/aisle-store/aisle/s3"
)

// maxQueryBody bounds the body of a request to the query API.
const maxQueryBody = 256 << 10

// queryService returns the service whose query API a request is for: POST / signed for iam or sts.
func queryService(req *httpd.Request) string {
	if req.Method != http.MethodPost || req.Path != "/" {
		return ""
	}
	if unsigned(req) {
		return "sts"
	}
	if service := s3.SignedFor(req.Header.Get("Authorization")); service == "iam" || service == "sts" {
		return service
	}
	return ""
}

// unsigned reports whether a request can be for the one action that is not signed.
func unsigned(req *httpd.Request) bool {
	kind, _, _ := strings.Cut(req.Header.Get("Content-Type"), ";")
	return req.Method == http.MethodPost && req.Path == "/" && req.Query == "" && req.Header.Get("Authorization") == "" &&
		strings.TrimSpace(kind) == "application/x-www-form-urlencoded"
}

// answerUnsigned answers a request without a signature.
func (f *Front) answerUnsigned(ctx context.Context, q *query) (func(*queryXML), error) {
	if q.action != webIdentityAction {
		return nil, cluster.E("proxy/front.answerUnsigned", "", cluster.KindUnauthenticated, errNoSignature)
	}
	view, err := f.o.Control.Current()
	if err != nil {
		return nil, err
	}
	q.view, q.caller = view, caller{who: f.anonymous}
	q.context = conditions{who: q.who, req: q.req, region: f.o.Region, now: f.o.Now()}
	return f.assumeRoleWithWebIdentity(ctx, q)
}

// errNoSignature refuses what has to be signed.
var errNoSignature = s3.NewFault("", s3.AccessDenied, "Request is missing Authentication Token")

// query is a request to the query API of IAM or STS.
type query struct {
	judged
	service string
	action  string
	form    url.Values
	page    page
	view    *control.View
	req     *httpd.Request
}

// serveQuery answers a request to the query API: what is wrong with it is told in the form that its clients read.
func (f *Front) serveQuery(ctx context.Context, service string, req *httpd.Request, rep *httpd.Reply) error {
	q := &query{service: service, req: req}
	rep.Operation = "iam.Query"
	result, err := f.answerQuery(ctx, q, rep)
	if cluster.Is(err, cluster.KindUnavailable) {
		return err
	}
	w := &queryXML{page: q.page}
	rep.Status = http.StatusOK
	if err != nil {
		rep.Status = w.failure(q, err)
	} else {
		w.success(q, result)
	}
	rep.Bytes("text/xml", w.bytes())
	return nil
}

func (f *Front) answerQuery(ctx context.Context, q *query, rep *httpd.Reply) (func(*queryXML), error) {
	const op = "proxy/front.answerQuery"
	body, err := io.ReadAll(io.LimitReader(q.req.Body, maxQueryBody+1))
	if err != nil {
		return nil, cluster.E(op, "", cluster.KindOther, err)
	}
	if len(body) > maxQueryBody {
		return nil, cluster.Fail(op, "", cluster.KindTooLarge, "the request is too large")
	}
	if q.form, err = url.ParseQuery(string(body)); err != nil {
		return nil, cluster.E(op, "", cluster.KindInvalid, err)
	}
	q.action = q.form.Get("Action")
	if q.page, err = readPage(q.form); err != nil {
		return nil, err
	}
	if unsigned(q.req) {
		return f.answerUnsigned(ctx, q)
	}
	sum := sha256.Sum256(body)
	call := &s3.Call{Request: seen(q.req), Service: q.service, BodySHA: hex.EncodeToString(sum[:])}
	var auth s3.Auth
	if err := f.ifSure(func() (err error) {
		auth, err = f.verifier.Verify(call, f.o.Now())
		return err
	}); err != nil {
		return nil, err
	}
	rep.Identity = auth.AccessKey
	view, err := f.o.Control.Current()
	if err != nil {
		return nil, err
	}
	if q.caller, err = f.caller(view, auth.AccessKey, auth.Token); err != nil {
		return nil, err
	}
	q.view = view
	q.context = conditions{who: q.who, req: q.req, auth: auth, region: f.o.Region, now: f.o.Now()}
	return f.runQuery(ctx, q)
}

// queryActionOf returns what carries an action of IAM out, or nil.
func queryActionOf(name string) queryAction {
	for _, actions := range []map[string]queryAction{queryActions, roleActions, policyActions, tagActions} {
		if run := actions[name]; run != nil {
			return run
		}
	}
	return nil
}

// runQuery carries an action of IAM out.
func (f *Front) runQuery(ctx context.Context, q *query) (func(*queryXML), error) {
	if q.service == "sts" && q.form.Get("SerialNumber")+q.form.Get("TokenCode") != "" { // of a second factor, which nobody has here
		return nil, s3.NewFault("proxy/front.runQuery", s3.AccessDenied, "MultiFactorAuthentication failed with invalid MFA one time pass code.")
	}
	if run, ok := stsActions[q.action]; ok && q.service == "sts" {
		return run(f, ctx, q)
	}
	run := queryActionOf(q.action)
	if q.service != "iam" || run == nil {
		return nil, access.Refuse(access.InvalidAction, "Could not find operation "+q.action+" for version "+q.form.Get("Version"))
	}
	if err := q.notOfSelf(); err != nil {
		return nil, err
	}
	if q.form.Get("PermissionsBoundary") != "" {
		return nil, access.Refuse(access.InvalidInput, "Permissions boundaries are not supported.")
	}
	q.context.sts = tagConditions(q.form)
	target := queryTargets[q.action]
	if err := target.prepare(q.action, q.form, q.who); err != nil {
		return nil, err
	}
	// Judged at once, so that nobody makes the leader work for nothing, and again by the identities that are read or changed.
	judge := func(e *access.Edit) error { return f.allowIdentities(&q.judged, target.wanted(q.action, e, q.form)) }
	if err := judge(f.editor(q.view)); err != nil {
		return nil, err
	}
	if strings.HasPrefix(q.action, "Get") || strings.HasPrefix(q.action, "List") {
		view, err := f.o.Control.Latest(ctx)
		if err != nil {
			return nil, err
		}
		e := f.editor(view)
		if err := judge(e); err != nil {
			return nil, err
		}
		return run(e, q.form)
	}
	var result func(*queryXML)
	resource := ""
	err := f.edit(ctx, q.req.ID, func(e *access.Edit) (err error) {
		if err := judge(e); err != nil {
			return err
		}
		resource = target.on(e, q.form)[0]
		result, err = run(e, q.form)
		return err
	})
	if err == nil {
		f.o.Logger.LogAttrs(ctx, slog.LevelInfo, "identities changed", slog.String("request", string(q.req.ID)), slog.String("identity", string(q.key.ID)),
			slog.String("action", "iam:"+q.action), slog.String("resource", resource))
	}
	return result, err
}
