package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/xact"
)

func what(op, path, part string) *request {
	return &request{op: op, method: http.MethodGet, path: path, query: url.Values{api.QueryWhat: {part}}}
}

// whatOf is what for one node, through the gateway.
func whatOf(op string, id cluster.NodeID, part string) *request {
	r := what(op, api.Reverse, part)
	r.header = []Header{{"ais-node-id", string(id)}}
	return r
}

// Smap returns the cluster map.
func (c *Client) Smap(ctx context.Context) (api.Smap, error) {
	var s api.Smap
	err := c.call(ctx, what("proxy/client.Smap", api.Daemon, api.WhatSmap), &s)
	return s, err
}

// BMD returns the bucket table.
func (c *Client) BMD(ctx context.Context) (api.BMD, error) {
	var b api.BMD
	err := c.call(ctx, what("proxy/client.BMD", api.Daemon, api.WhatBMD), &b)
	return b, err
}

// NodeStatus asks one node, through the gateway, how it is.
func (c *Client) NodeStatus(ctx context.Context, id cluster.NodeID) (api.NodeStatus, error) {
	r := whatOf("proxy/client.NodeStatus", id, api.WhatNodeStatus)
	var s api.NodeStatus
	err := c.call(ctx, r, &s)
	return s, err
}

// Jobs asks one node, through the gateway, for its jobs: those that run, and the last of those that have ended.
func (c *Client) Jobs(ctx context.Context, id cluster.NodeID) ([]xact.Job, error) {
	r := whatOf("proxy/client.Jobs", id, api.WhatJobs)
	var snaps []api.Snap
	err := c.call(ctx, r, &snaps)
	jobs := make([]xact.Job, len(snaps))
	for i := range snaps {
		jobs[i] = snaps[i].Job()
	}
	return jobs, err
}

// Denials asks one node, through the gateway, for the last requests that it has denied, the newest first.
func (c *Client) Denials(ctx context.Context, id cluster.NodeID) ([]api.Denial, error) {
	r := whatOf("proxy/client.Denials", id, api.WhatDenials)
	var list []api.Denial
	err := c.call(ctx, r, &list)
	return list, err
}

// Notify asks one node, through the gateway, what it has sent of events of buckets, and for its dead letters.
func (c *Client) Notify(ctx context.Context, id cluster.NodeID) (api.Notify, error) {
	r := whatOf("proxy/client.Notify", id, api.WhatNotify)
	var n api.Notify
	err := c.call(ctx, r, &n)
	return n, err
}

// ChangeDeadLetters has one node send or drop dead letters, those for a destination or all: action is api.ActionSendDead or
// api.ActionDropDead.
func (c *Client) ChangeDeadLetters(ctx context.Context, id cluster.NodeID, action, destination string) (api.NotifyDone, error) {
	r := whatOf("proxy/client.ChangeDeadLetters", id, api.WhatNotify)
	r.method = http.MethodPut
	r.query.Set(api.QueryAction, action)
	if destination != "" {
		r.query.Set(api.QueryDestination, destination)
	}
	var done api.NotifyDone
	err := c.call(ctx, r, &done)
	return done, err
}

// Scrub asks one node, through the gateway, how far it is with verifying what it has, and what is damaged.
func (c *Client) Scrub(ctx context.Context, id cluster.NodeID) (api.Scrub, error) {
	r := whatOf("proxy/client.Scrub", id, api.WhatScrub)
	var s api.Scrub
	err := c.call(ctx, r, &s)
	return s, err
}

// StartScrub has one node verify what it has now.
func (c *Client) StartScrub(ctx context.Context, id cluster.NodeID) error {
	r := whatOf("proxy/client.StartScrub", id, api.WhatScrub)
	r.method = http.MethodPut
	return c.call(ctx, r, nil)
}

// StartLifecycle has one node look now for what has expired by lifecycle rules.
func (c *Client) StartLifecycle(ctx context.Context, id cluster.NodeID) error {
	r := whatOf("proxy/client.StartLifecycle", id, api.WhatLifecycle)
	r.method = http.MethodPut
	return c.call(ctx, r, nil)
}

// ChangeMountpath does something with a mountpath of a node: action is one of api.ActionAttach and so on. It returns when the cluster has
// noted it; objects are moved afterwards.
func (c *Client) ChangeMountpath(ctx context.Context, id cluster.NodeID, action, path string, force bool) error {
	r := whatOf("proxy/client.ChangeMountpath", id, api.WhatMountpaths)
	r.method = http.MethodPut
	r.query.Set(api.QueryAction, action)
	r.query.Set(api.QueryPath, path)
	if force {
		r.query.Set(api.QueryForce, "true")
	}
	return c.call(ctx, r, nil)
}

// Settings returns every cluster setting with its value.
func (c *Client) Settings(ctx context.Context) (map[string]string, error) {
	var body struct {
		Settings map[string]string `json:"settings"`
	}
	err := c.call(ctx, what("proxy/client.Settings", api.Cluster, api.WhatClusterConfig), &body)
	return body.Settings, err
}

// SetSettings changes cluster settings; an empty value sets the default again.
func (c *Client) SetSettings(ctx context.Context, changes map[string]string) error {
	r, err := action("proxy/client.SetSettings", http.MethodPut, api.Cluster, nil, api.ActionSetConfig, changes)
	if err != nil {
		return err
	}
	return c.call(ctx, r, nil)
}

// SetModes takes nodes away, or brings them back: action is one of api.ActionStartMaintenance and those that follow it. It returns
// what the change costs when that was forced.
func (c *Client) SetModes(ctx context.Context, name string, msg api.NodesMsg) (costs []string, err error) {
	r, err := action("proxy/client.SetModes", http.MethodPut, api.Cluster, nil, name, msg)
	if err != nil {
		return nil, err
	}
	res, err := c.do(ctx, r)
	if err != nil {
		return nil, err
	}
	defer drain(res)
	text, err := io.ReadAll(io.LimitReader(res.Body, api.MaxBody))
	if err != nil {
		return nil, cluster.E(r.op, "", cluster.KindUnavailable, err)
	}
	if len(text) == 0 {
		return nil, nil
	}
	return strings.Split(string(text), "\n"), nil
}

// ResetSettings sets every cluster setting back to its default.
func (c *Client) ResetSettings(ctx context.Context) error {
	r, err := action("proxy/client.ResetSettings", http.MethodPut, api.Cluster, nil, api.ActionResetConfig, nil)
	if err != nil {
		return err
	}
	return c.call(ctx, r, nil)
}
