package front

import (
	"context"
	"net/http"
	"strings"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/cluster/config"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/cluster/intra"
)

// nativeCluster answers what is asked of the cluster or of a node as a whole.
func (f *Front) nativeCluster(ctx context.Context, r *nativeRequest) error {
	path, method, what := r.req.Path, r.req.Method, r.query.Get(api.QueryWhat)
	switch {
	case method == http.MethodGet && r.action.Action == "":
		return f.nativeWhat(ctx, r, path, what)
	case method == http.MethodPut && isWork(what) && r.action.Action == "" && (path == api.Daemon || path == api.Reverse):
		return f.begin(ctx, r, path)
	case method == http.MethodPut && path == api.SetConfig:
		values := make(map[string]string)
		for name, all := range r.query {
			values[name] = all[len(all)-1]
		}
		return f.setConfig(ctx, r, values)
	case method == http.MethodPut && path == api.Cluster && r.action.Action == api.ActionSetConfig:
		values, err := r.action.Props()
		if err != nil {
			return err
		}
		return f.setConfig(ctx, r, values)
	case method == http.MethodPut && path == api.Cluster && r.action.Action == api.ActionResetConfig:
		values := make(map[string]string)
		for name := range r.view.Settings() {
			values[name] = ""
		}
		r.rep.Operation, r.rep.Status = "native.SetConfig", http.StatusOK
		return f.o.Control.SetSettings(ctx, r.req.ID, values)
	}
	if method == http.MethodPut && path == api.Cluster {
		switch r.action.Action {
		case api.ActionStartMaintenance, api.ActionStopMaintenance, api.ActionShutdownNode, api.ActionDecommissionNode:
			return f.setModes(ctx, r)
		}
	}
	return r.notImplemented()
}

// setModes takes nodes away, or brings them back.
func (f *Front) setModes(ctx context.Context, r *nativeRequest) error {
	const op = "proxy/front.setModes"
	r.rep.Operation = "native.SetModes"
	var msg api.NodesMsg
	if err := r.action.Decode(&msg); err != nil {
		return err
	}
	nodes, mode := msg.Change(r.action.Action)
	if len(nodes) == 0 {
		return cluster.Fail(op, "", cluster.KindInvalid, "no node is named")
	}
	costs, err := f.o.Control.SetModes(ctx, r.req.ID, nodes, mode, msg.Force)
	if err != nil {
		return err
	}
	r.rep.Bytes("text/plain; charset=utf-8", []byte(strings.Join(costs, "\n")))
	return nil
}

func (f *Front) nativeWhat(ctx context.Context, r *nativeRequest, path, what string) error {
	here := path == api.Daemon || path == api.Cluster
	switch {
	case what == api.WhatSmap && here:
		r.rep.Operation = "native.Smap"
		return f.smap(ctx, r)
	case what == api.WhatBMD && here:
		r.rep.Operation = "native.BMD"
		return r.json(api.NewBMD(r.view.Map().ClusterID, r.view.BMDVersion(), r.view.Buckets()))
	case what == api.WhatClusterConfig && path == api.Cluster:
		r.rep.Operation = "native.ClusterConfig"
		return r.json(api.ClusterConfig(r.view.Map().ClusterID, r.view.Index(), config.Effective(r.view.Settings())))
	case path == api.Daemon && isState(what):
		r.rep.Operation = "native.NodeStatus"
		return f.ownState(r, what)
	case path == api.Reverse && isState(what):
		r.rep.Operation = "native.NodeStatus"
		if r.names(f.o.Self) {
			return f.ownState(r, what)
		}
		return f.reverse(ctx, r)
	}
	return r.notImplemented()
}

// isWork reports whether a node is asked to begin a work.
func isWork(what string) bool {
	return what == api.WhatScrub || what == api.WhatMountpaths || what == api.WhatLifecycle || what == api.WhatNotify
}

// isState reports whether a node is asked for a part of its own state.
func isState(what string) bool {
	return what == api.WhatNodeStatus || what == api.WhatJobs || what == api.WhatScrub || what == api.WhatDenials || what == api.WhatNotify
}

// names reports whether the request is for this node.
func (r *nativeRequest) names(self cluster.NodeID) bool {
	return cluster.NodeID(r.req.Header.Get(api.HeaderNodeID)) == self
}

// begin has a node begin a work.
func (f *Front) begin(ctx context.Context, r *nativeRequest, path string) error {
	r.rep.Operation = "native.Begin"
	if path == api.Reverse && !r.names(f.o.Self) {
		return f.reverse(ctx, r)
	}
	r.rep.Status = http.StatusOK
	answer, err := f.o.Begin(ctx, r.query.Get)
	if err != nil || answer == nil {
		return err
	}
	return r.json(answer)
}

// smap answers with the map. Who leads is told by the leader itself, or left open when it cannot be asked.
func (f *Front) smap(ctx context.Context, r *nativeRequest) error {
	leader := cluster.NodeID("")
	if status, err := f.o.Control.Status(ctx); err == nil {
		leader = status.Leader
	}
	return r.json(api.NewSmap(r.view.Map(), r.view.Pending(), leader))
}

// NodeStatus is the operation of a grant that asks a node for its own state.
const NodeStatus = "NodeStatus"

// ownState answers with a part of this node's state.
func (f *Front) ownState(r *nativeRequest, what string) error {
	state, err := f.o.State(what)
	if err != nil {
		return err
	}
	return r.json(state)
}

// reverse gives the request to the node that it names.
func (f *Front) reverse(ctx context.Context, r *nativeRequest) error {
	const op = "proxy/front.reverse"
	id := cluster.NodeID(r.req.Header.Get(api.HeaderNodeID))
	node, ok := r.view.Map().Node(id)
	if !ok {
		return cluster.Fail(op, string(id), cluster.KindNotFound, "there is no such node; `aisle show smap` lists them")
	}
	g := &intra.Grant{
		Request: r.req.ID, Identity: r.key.ID, Root: r.key.Root, Dialect: intra.Native, Operation: NodeStatus, Owner: id,
		Gateway: f.o.Self, MapVersion: r.view.Map().Version, Write: r.req.Method != http.MethodGet, Payload: intra.Payload{Length: r.req.Length},
	}
	ticket := f.o.Tickets.Seal(g, r.req)
	err := f.o.Relay.Relay(ctx, node.IntraAddr, r.req, r.rep, httpd.Field{Name: intra.HeaderTicket, Value: ticket})
	r.rep.DelHeader(intra.HeaderKind)
	r.rep.DelHeader(intra.HeaderClock)
	return err
}

// setConfig changes settings of the whole cluster. All are checked before the first is changed.
func (f *Front) setConfig(ctx context.Context, r *nativeRequest, values map[string]string) error {
	const op = "proxy/front.setConfig"
	r.rep.Operation = "native.SetConfig"
	if len(values) == 0 {
		return cluster.Fail(op, "", cluster.KindInvalid, "no setting is named")
	}
	if err := config.CheckCluster(values); err != nil {
		return cluster.E(op, "", cluster.KindInvalid, err)
	}
	if err := f.o.Control.SetSettings(ctx, r.req.ID, values); err != nil {
		return err
	}
	r.rep.Status = http.StatusOK
	return nil
}
