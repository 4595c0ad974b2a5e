package front

import (
	"context"
	"net/http"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/config"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/cluster/intra"
)

// passage is a request on its way to the owner, over all attempts.
type passage struct {
	began time.Duration // when it came, by f.o.Clocks; of writes
	sent  bool          // an attempt was made, whose outcome may not be known
}

// send hands a granted request to the owner in one of three ways: a call, when the owner is this process; a redirect, for
// clients that follow and want it; a relay for all others.
func (f *Front) send(ctx context.Context, p place, g *intra.Grant, way *passage, req *httpd.Request, rep *httpd.Reply) error {
	const op = "proxy/front.send"
	owner, ok := p.view.Map().Node(p.owner)
	if !ok {
		return cluster.Fail(op, string(p.owner), cluster.KindUnavailable, "the owner is not in the map")
	}
	g.Incarnation, g.Began = 0, 0
	if p.owner == f.o.Self && f.o.Local != nil {
		way.sent = true
		return f.call(ctx, owner, g, way.began, req, rep)
	}
	// What a bucket's policies and lists say is nobody's business, and does not fit into every URL.
	secret := g.ACL != "" || len(g.Provisos)+len(g.Source) > 0
	if !way.sent && !secret && redirects(config.S3Redirect.Get(p.view.Setting), p.bucket.Props.Redirect, g, owner, req) {
		g.Once = true
		rep.Status = http.StatusTemporaryRedirect
		rep.SetHeader("Location", intra.Redirect(owner.PublicURL, f.o.Tickets.Seal(g, req), req))
		rep.Bytes("text/plain; charset=utf-8", []byte("the object is served by another node of the cluster\n"))
		return nil
	}
	way.sent = true
	return f.relay(ctx, owner, g, way.began, req, rep)
}

// call hands the request to the target in this process.
func (f *Front) call(ctx context.Context, self cluster.Node, g *intra.Grant, began time.Duration, req *httpd.Request, rep *httpd.Reply) error {
	stampLocal(g, self, began)
	return f.o.Local.ServeObject(ctx, g, req, rep)
}

// stampLocal notes in a grant for a write when its request began. No reading is needed: the target in this process goes
// by the same clock. Attempts within a process follow one another, but the process can be paused between
// two of them for longer than outcomes are remembered.
func stampLocal(g *intra.Grant, self cluster.Node, began time.Duration) {
	if g.Write {
		g.Incarnation, g.Began = self.Incarnation, began
	}
}

// relay streams the request to the owner and its reply back. A refusal that may be tried again comes back as an error; one
// that may be due to what is known here of the owner's clock is tried again at once.
func (f *Front) relay(ctx context.Context, owner cluster.Node, g *intra.Grant, began time.Duration, req *httpd.Request, rep *httpd.Reply) error {
	const op = "proxy/front.relay"
	for again := false; ; again = true {
		sure := !g.Write || f.o.Clocks.Stamp(g, owner.Incarnation, began)
		err := f.o.Relay.Relay(ctx, owner.IntraAddr, req, rep, httpd.Field{Name: intra.HeaderTicket, Value: f.o.Tickets.Seal(g, req)})
		if err != nil {
			failed := cluster.E(op, "", cluster.KindOther, err)
			failed.Subject = g.Bucket.Object(g.Key) // the client asked for an object, not for a node
			return failed
		}
		kind := rep.Header(intra.HeaderKind)
		f.o.Clocks.Note(owner.ID, rep.Header(intra.HeaderClock))
		rep.DelHeader(intra.HeaderKind)
		rep.DelHeader(intra.HeaderClock)
		if kind != cluster.KindUnavailable.String() || !req.Replayable() {
			return nil
		}
		if sure || again {
			return cluster.Fail(op, g.Bucket.Object(g.Key), cluster.KindUnavailable, "the owner cannot answer with certainty now")
		}
		rep.Reset()
	}
}
