package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/aisle-store/aisle/cluster/api"
)

// Identities returns the users, groups, policies or keys, or the one of that name.
func (c *Client) Identities(ctx context.Context, kind, name string) ([]api.Identity, error) {
	q := url.Values{api.QueryWhat: {api.WhatIdentities}, api.QueryKind: {kind}}
	if name != "" {
		q.Set(api.QueryName, name)
	}
	var list []api.Identity
	err := c.call(ctx, &request{op: "proxy/client.Identities", method: http.MethodGet, path: api.Auth, query: q}, &list)
	return list, err
}

// ChangeIdentity adds, changes or removes a user, group, policy or key: what is one of the actions of api.Auth.
func (c *Client) ChangeIdentity(ctx context.Context, what string, msg api.IdentityMsg) (api.Identity, error) {
	const op = "proxy/client.ChangeIdentity"
	var done api.Identity
	r, err := action(op, http.MethodPost, api.Auth, nil, what, msg)
	if err != nil {
		return done, err
	}
	err = c.call(ctx, r, &done)
	return done, err
}
