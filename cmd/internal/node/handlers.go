package node

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/s3"
	"github.com/aisle-store/aisle/target"
)

// readyPath is where a node says whether it may answer clients. A gateway knows of its lease; that the target in the same
// process serves its slots is known here.
const readyPath = "/-/ready"

// servePublic answers clients: those that a gateway has redirected here with a ticket, and, on a gateway, all.
func (n *node) servePublic(ctx context.Context, req *httpd.Request, rep *httpd.Reply) error {
	const op = "node.servePublic"
	switch {
	case req.Path == readyPath && n.target != nil && !n.target.serves.Load():
		return cluster.Fail(op, string(n.self.ID), cluster.KindUnavailable, "the node is starting")
	case n.target != nil && intra.Present(req):
		t, err := n.target.get()
		if err != nil {
			return err
		}
		if err := t.ServeRedirected(ctx, req, rep); err != nil {
			return &redirectedError{err}
		}
		return nil
	case n.self.Roles.Has(cluster.Proxy), strings.HasPrefix(req.Path, "/-/"):
		return n.proxy.Serve(ctx, req, rep)
	}
	return cluster.Fail(op, "", cluster.KindNotImplemented, "this node is not a gateway; ask one with the role proxy")
}

// redirectedError is the error of a request that a gateway has redirected here.
type redirectedError struct{ error }

// Unwrap returns the error itself.
func (e *redirectedError) Unwrap() error { return e.error }

// writePublicError answers a client with an error.
func (n *node) writePublicError(req *httpd.Request, rep *httpd.Reply, err error) {
	var redirected *redirectedError
	if errors.As(err, &redirected) {
		if t, missing := n.target.get(); missing == nil {
			t.WriteError(req, rep, err)
			return
		}
	}
	n.proxy.WriteError(req, rep, err)
}

// serveIntra answers other nodes. Every request has a ticket.
func (n *node) serveIntra(ctx context.Context, req *httpd.Request, rep *httpd.Reply) error {
	const op = "node.serveIntra"
	if query, ok := asksState(req); ok {
		return n.serveState(ctx, req, rep, query)
	}
	if n.target == nil {
		return cluster.Fail(op, string(n.self.ID), cluster.KindUnavailable, "this node holds no objects")
	}
	t, err := n.target.get()
	if err != nil {
		return err
	}
	return t.ServeNode(ctx, req, rep)
}

// asksState reports which part of the state of this node a request of the native API asks for. Where the bucket is a host, the
// same path is a key; but no request about an object has the parameter.
func asksState(req *httpd.Request) (get func(string) string, ok bool) {
	if req.Path != api.Reverse {
		return nil, false
	}
	query, err := s3.ParseQuery(req.Query)
	if err != nil || !query.Has(api.QueryWhat) {
		return nil, false
	}
	return query.Get, true
}

// serveState answers a gateway that was asked for a part of the state of this node.
func (n *node) serveState(ctx context.Context, req *httpd.Request, rep *httpd.Reply, query func(string) string) error {
	const op = "node.serveState"
	if _, err := n.tickets.Open(req); err != nil {
		return cluster.E(op, "", cluster.KindOther, err)
	}
	switch {
	case req.Method == http.MethodPut:
		rep.Operation, rep.Status = "native.Begin", http.StatusOK
		answer, err := n.begin(ctx, query)
		if err != nil || answer == nil {
			return err
		}
		return writeJSON(rep, answer)
	case req.Method != http.MethodGet:
		return cluster.Fail(op, "", cluster.KindMethod, "the state of a node is read by GET")
	}
	state, err := n.ownState(query(api.QueryWhat))
	if err != nil {
		return cluster.E(op, "", cluster.KindOther, err)
	}
	rep.Operation = "native.NodeStatus"
	return writeJSON(rep, state)
}

func writeJSON(rep *httpd.Reply, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return cluster.E("node.writeJSON", "", cluster.KindOther, err)
	}
	rep.Bytes(api.JSON, text)
	return nil
}

// begin begins a work at this node, and returns what is to be answered, or nil.
func (n *node) begin(ctx context.Context, query func(string) string) (any, error) {
	what := query(api.QueryWhat)
	if what != api.WhatScrub && what != api.WhatMountpaths && what != api.WhatLifecycle && what != api.WhatNotify {
		return nil, cluster.Fail("node.begin", what, cluster.KindNotImplemented, "a node does not know this work")
	}
	t, err := n.ownTarget()
	if err != nil {
		return nil, err
	}
	switch what {
	case api.WhatNotify:
		return changeDeadLetters(ctx, t, query(api.QueryAction), query(api.QueryDestination))
	case api.WhatMountpaths:
		return nil, n.target.changeMountpath(ctx, t, query(api.QueryAction), query(api.QueryPath), query(api.QueryForce) == "true")
	case api.WhatLifecycle:
		t.StartLifecycle()
	default:
		t.StartScrub()
	}
	return nil, nil
}

// ownTarget returns the target of this node, once its mountpaths are open.
func (n *node) ownTarget() (*target.Target, error) {
	if n.target == nil {
		return nil, cluster.Fail("node.ownTarget", string(n.self.ID), cluster.KindNotImplemented, "this node is no target")
	}
	return n.target.get()
}

// ownState returns a part of the state of this node.
func (n *node) ownState(what string) (any, error) {
	switch what {
	case api.WhatNodeStatus:
		return n.status(), nil
	case api.WhatJobs:
		return api.NewSnaps(n.jobs.Jobs()), nil
	case api.WhatNotify:
		t, err := n.ownTarget()
		if err != nil {
			return nil, err
		}
		return n.notifyState(t)
	case api.WhatDenials:
		return n.audit.Denials(), nil
	case api.WhatScrub:
		t, err := n.ownTarget()
		if err != nil {
			return nil, err
		}
		return t.Scrub(), nil
	}
	return nil, cluster.Fail("node.ownState", what, cluster.KindNotImplemented, "a node does not know this part of its state")
}

// writeIntraError answers a gateway with an error, so that it can relay it to its client.
func (n *node) writeIntraError(req *httpd.Request, rep *httpd.Reply, err error) {
	if n.target != nil {
		if t, missing := n.target.get(); missing == nil {
			t.WriteNodeError(req, rep, err)
			return
		}
	}
	intra.WriteError(rep, err)
}
