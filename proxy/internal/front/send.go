package front

import (
	"context"
	"net/http"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/config"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/cluster/intra"
)

// send hands a granted request to the owner in one of three ways: a call, when the owner is this process; a redirect, for
// clients that follow and want it; a relay for all others.
func (f *Front) send(ctx context.Context, p place, g *intra.Grant, req *httpd.Request, rep *httpd.Reply) error {
	const op = "proxy/front.send"
	if p.owner == f.o.Self && f.o.Local != nil {
		return f.o.Local.ServeObject(ctx, g, req, rep)
	}
	owner, ok := p.view.Map().Node(p.owner)
	if !ok {
		return cluster.Fail(op, string(p.owner), cluster.KindUnavailable, "the owner is not in the map")
	}
	ticket := f.o.Tickets.Seal(g, req)
	if redirects(config.S3Redirect.Get(p.view.Setting), p.bucket.Props.Redirect, g, owner, req) {
		rep.Status = http.StatusTemporaryRedirect
		rep.SetHeader("Location", intra.Redirect(owner.PublicURL, ticket, req))
		rep.Bytes("text/plain; charset=utf-8", []byte("the object is served by another node of the cluster\n"))
		return nil
	}
	return f.relay(ctx, owner, g, ticket, req, rep)
}

// relay streams the request to the owner and its reply back. A refusal that may be tried again comes back as an error.
func (f *Front) relay(ctx context.Context, owner cluster.Node, g *intra.Grant, ticket string, req *httpd.Request, rep *httpd.Reply) error {
	const op = "proxy/front.relay"
	err := f.o.Relay.Relay(ctx, owner.IntraAddr, req, rep, httpd.Field{Name: intra.HeaderTicket, Value: ticket})
	if err != nil {
		failed := cluster.E(op, "", cluster.KindOther, err)
		failed.Subject = g.Bucket.Object(g.Key) // the client asked for an object, not for a node
		return failed
	}
	kind := rep.Header(intra.HeaderKind)
	rep.DelHeader(intra.HeaderKind)
	if kind == cluster.KindUnavailable.String() && req.Replayable() {
		return cluster.Fail(op, g.Bucket.Object(g.Key), cluster.KindUnavailable, "the owner cannot answer with certainty now")
	}
	return nil
}
