package front

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/cluster/control"
	"github.com/aisle-store/aisle/proxy/internal/access"
)

// nativeAuth shows and changes identities.
func (f *Front) nativeAuth(ctx context.Context, r *nativeRequest) error {
	if err := r.notOfSelf(); err != nil {
		return err
	}
	if r.req.Method == http.MethodGet && r.query.Get(api.QueryWhat) == api.WhatIdentities {
		r.rep.Operation = "native.ShowIdentities"
		return f.showIdentities(ctx, r, r.query.Get(api.QueryKind), r.query.Get(api.QueryName))
	}
	change, ok := identityChanges[r.action.Action]
	if r.req.Method != http.MethodPost || !ok {
		return r.notImplemented()
	}
	r.rep.Operation = "native.ChangeIdentities"
	var msg api.IdentityMsg
	if err := r.action.Decode(&msg); err != nil {
		return err
	}
	judge := func(e *access.Edit) error {
		list, err := identityWanted(e, r.action.Action, &msg)
		if err != nil {
			return err
		}
		return f.allowIdentities(&r.judged, list)
	}
	if err := judge(f.editor(r.view)); err != nil {
		return err
	}
	var done api.Identity
	err := f.edit(ctx, r.req.ID, func(e *access.Edit) (err error) {
		if err := judge(e); err != nil {
			return err
		}
		done, err = change(e, &msg)
		return err
	})
	if err != nil {
		return err
	}
	return r.json(done)
}

// identityChange makes one change of an identity.
type identityChange func(e *access.Edit, msg *api.IdentityMsg) (api.Identity, error)

var identityChanges = map[string]identityChange{
	api.ActionAddIdentity: addIdentity, api.ActionSetIdentity: setIdentity, api.ActionRemoveIdentity: removeIdentity,
}

func addIdentity(e *access.Edit, msg *api.IdentityMsg) (api.Identity, error) {
	switch msg.Kind {
	case api.IdentityUser:
		u, err := e.CreateUser(cluster.UserName(msg.Name), "")
		if err != nil {
			return api.Identity{}, err
		}
		key, err := e.CreateKey(u.Name, cluster.AccessKeyID(msg.AccessKey), msg.SecretKey)
		if err != nil {
			return api.Identity{}, err
		}
		done, err := setIdentity(e, msg)
		done.SecretKey = key.Secret
		return done, err
	case api.IdentityGroup:
		if _, err := e.CreateGroup(cluster.GroupName(msg.Name), ""); err != nil {
			return api.Identity{}, err
		}
		return setIdentity(e, msg)
	case api.IdentityPolicy:
		p, err := e.PutPolicy(cluster.PolicyName(msg.Name), "", "", msg.Document, false)
		return showPolicy(p.ARN(), p), err
	case api.IdentityRole:
		return addRole(e, msg)
	case api.IdentityProvider:
		return addProvider(e, msg)
	}
	key, err := e.CreateKey(cluster.UserName(msg.User), cluster.AccessKeyID(msg.Name), msg.SecretKey)
	if err == nil {
		err = e.UpdateKey(key.ID, nil, msg.Redirect)
	}
	done := showKey(key)
	done.SecretKey = key.Secret
	return done, err
}

func setIdentity(e *access.Edit, msg *api.IdentityMsg) (api.Identity, error) {
	switch msg.Kind {
	case api.IdentityUser:
		return setUser(e, msg)
	case api.IdentityGroup:
		return setGroup(e, msg)
	case api.IdentityPolicy:
		if _, err := e.Policy(msg.Name); err != nil {
			return api.Identity{}, err
		}
		p, err := e.PutPolicy(cluster.PolicyName(msg.Name), "", "", msg.Document, true)
		return showPolicy(p.ARN(), p), err
	case api.IdentityRole:
		return setRole(e, msg)
	case api.IdentityProvider:
		return setProvider(e, msg)
	}
	id := cluster.AccessKeyID(msg.Name)
	var inactive *bool
	if msg.Active != nil {
		not := !*msg.Active
		inactive = &not
	}
	if err := e.UpdateKey(id, inactive, msg.Redirect); err != nil {
		return api.Identity{}, err
	}
	k, err := e.Key(id)
	return showKey(k), err
}

func setUser(e *access.Edit, msg *api.IdentityMsg) (api.Identity, error) {
	u, err := e.User(cluster.UserName(msg.Name))
	if err == nil && msg.Policies != nil {
		err = e.SetAttached(access.Whose{User: u.Name}, *msg.Policies)
	}
	if err == nil && msg.Groups != nil {
		for _, g := range u.Groups {
			if err := e.Leave(u.Name, g); err != nil {
				return api.Identity{}, err
			}
		}
		for _, g := range *msg.Groups {
			if err := e.Join(u.Name, cluster.GroupName(g)); err != nil {
				return api.Identity{}, err
			}
		}
	}
	if err != nil {
		return api.Identity{}, err
	}
	u, err = e.User(u.Name)
	return showUser(e, u), err
}

func setGroup(e *access.Edit, msg *api.IdentityMsg) (api.Identity, error) {
	g, err := e.Group(cluster.GroupName(msg.Name))
	if err == nil && msg.Policies != nil {
		err = e.SetAttached(access.Whose{Group: g.Name}, *msg.Policies)
	}
	if err == nil && msg.Users != nil {
		for _, u := range e.Members(g.Name) {
			if err := e.Leave(u.Name, g.Name); err != nil {
				return api.Identity{}, err
			}
		}
		for _, u := range *msg.Users {
			if err := e.Join(cluster.UserName(u), g.Name); err != nil {
				return api.Identity{}, err
			}
		}
	}
	if err != nil {
		return api.Identity{}, err
	}
	g, err = e.Group(g.Name)
	return showGroup(e, g), err
}

func removeIdentity(e *access.Edit, msg *api.IdentityMsg) (api.Identity, error) {
	switch msg.Kind {
	case api.IdentityUser:
		return api.Identity{}, e.DeleteUser(cluster.UserName(msg.Name), true)
	case api.IdentityGroup:
		return api.Identity{}, e.DeleteGroup(cluster.GroupName(msg.Name), true)
	case api.IdentityPolicy:
		return api.Identity{}, e.DeletePolicy(msg.Name, true)
	case api.IdentityRole:
		return api.Identity{}, e.DeleteRole(cluster.RoleName(msg.Name), true)
	case api.IdentityProvider:
		return api.Identity{}, e.DeleteProvider(providerNamed(msg.Name))
	}
	return api.Identity{}, e.DeleteKey(cluster.AccessKeyID(msg.Name))
}

// showIdentities answers with all identities of a kind, or with the one of that name.
func (f *Front) showIdentities(ctx context.Context, r *nativeRequest, kind, name string) error {
	const op = "proxy/front.showIdentities"
	action, ok := identityLists[kind]
	if !ok {
		return noKind(kind)
	}
	find := func(view *control.View) ([]api.Identity, error) {
		e := f.editor(view)
		list := identitiesOf(e, kind)
		if name != "" {
			list = slices.DeleteFunc(list, func(i api.Identity) bool {
				return !strings.EqualFold(i.Name, name) && i.ARN != name && (kind != api.IdentityProvider || i.ARN != providerNamed(name))
			})
		}
		return list, f.allowIdentities(&r.judged, shownWanted(e, action, kind, name, list))
	}
	if _, err := find(r.view); err != nil {
		return err
	}
	view, err := f.o.Control.Latest(ctx)
	if err != nil {
		return err
	}
	list, err := find(view)
	if err != nil {
		return err
	}
	if name != "" && len(list) == 0 {
		return cluster.Fail(op, "", cluster.KindNotFound, "there is no "+kind+" "+name)
	}
	return r.json(list)
}

func identitiesOf(e *access.Edit, kind string) []api.Identity {
	list := []api.Identity{}
	switch kind {
	case api.IdentityUser:
		for _, u := range e.Identities().Users {
			list = append(list, showUser(e, u))
		}
	case api.IdentityGroup:
		for _, g := range e.Identities().Groups {
			list = append(list, showGroup(e, g))
		}
	case api.IdentityPolicy:
		for _, p := range e.Identities().Policies {
			list = append(list, showPolicy(p.ARN(), p))
		}
		for _, c := range access.CannedPolicies() {
			list = append(list, api.Identity{Kind: api.IdentityPolicy, Name: string(c.Name), ARN: c.ARN(), Document: c.Document, Help: c.Help})
		}
	case api.IdentityKey:
		for _, k := range e.Keys() {
			list = append(list, showKey(k))
		}
	case api.IdentityRole:
		for _, r := range e.Identities().Roles {
			list = append(list, showRole(e, r))
		}
	case api.IdentityProvider:
		for _, p := range e.Identities().Providers {
			list = append(list, showProvider(p))
		}
	}
	return list
}

func showUser(e *access.Edit, u cluster.User) api.Identity {
	i := api.Identity{Kind: api.IdentityUser, Name: string(u.Name), ARN: u.ARN(), ID: u.ID, Created: u.Created, Policies: u.Attached, Inline: u.Inline}
	for _, g := range u.Groups {
		i.Groups = append(i.Groups, string(g))
	}
	for _, k := range e.KeysOf(u.Name) {
		i.Keys = append(i.Keys, string(k.ID))
	}
	return i
}

func showGroup(e *access.Edit, g cluster.Group) api.Identity {
	i := api.Identity{Kind: api.IdentityGroup, Name: string(g.Name), ARN: g.ARN(), ID: g.ID, Created: g.Created, Policies: g.Attached, Inline: g.Inline}
	for _, u := range e.Members(g.Name) {
		i.Users = append(i.Users, string(u.Name))
	}
	return i
}

func showPolicy(arn string, p cluster.ManagedPolicy) api.Identity {
	return api.Identity{Kind: api.IdentityPolicy, Name: string(p.Name), ARN: arn, ID: p.ID, Created: p.Created, Document: p.Document, Help: p.Description}
}

func showKey(k access.Key) api.Identity {
	return api.Identity{Kind: api.IdentityKey, Name: string(k.ID), User: string(k.User), Created: k.Created, Active: !k.Inactive, Redirect: k.Redirect}
}
