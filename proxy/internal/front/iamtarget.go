package front

import (
	"cmp"
	"net/url"
	"slices"
	"strings"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/proxy/internal/access"
	"github.com/aisle-store/aisle/s3/policy"
)

// identityPrefix begins the ARN of every identity.
const identityPrefix = "arn:aws:iam::" + cluster.Account + ":"

// everyIdentity is what actions are done to that are about no identity in particular.
const everyIdentity = identityPrefix + "*"

// wanted is one action of IAM with the ARN of what it is done to, as policies are asked about it.
type wanted struct{ action, resource string }

// allowIdentities judges all that a request wants to do to identities.
func (f *Front) allowIdentities(j *judged, list []wanted) error {
	for _, w := range list {
		action := policy.ActionOf(w.action)
		if action == policy.NoAction {
			action = policy.ManageCluster
		}
		if err := f.allowOn(j, action, w.resource, access.Resource{}); err != nil {
			return err
		}
	}
	return nil
}

// target says what some actions of the query API are done to.
type target struct {
	takes    []string // the names of users, groups and roles that the actions take; others are left out
	on       func(e *access.Edit, p url.Values) []string
	optional bool // what they take may be missing
}

// Kinds of targets.
var (
	onUser  = target{takes: []string{"UserName"}, on: func(e *access.Edit, p url.Values) []string { return []string{e.UserARN(userName(p))} }}
	onGroup = target{takes: []string{"GroupName"}, on: func(e *access.Edit, p url.Values) []string { return []string{e.GroupARN(groupName(p))} }}
	onRole  = target{takes: []string{"RoleName"}, on: func(e *access.Edit, p url.Values) []string { return []string{e.RoleARN(roleName(p))} }}

	onMember   = target{takes: []string{"GroupName", "UserName"}, on: onGroup.on}
	onPolicy   = target{on: func(e *access.Edit, p url.Values) []string { return []string{e.ManagedARN(p.Get("PolicyArn"))} }}
	onProvider = target{on: func(_ *access.Edit, p url.Values) []string { return []string{providerARN(p)} }}
	onAll      = target{on: func(*access.Edit, url.Values) []string { return []string{everyIdentity} }}

	newUser = target{takes: []string{"UserName"}, on: func(_ *access.Edit, p url.Values) []string {
		return []string{(&cluster.User{Name: userName(p), Path: pathOf(p)}).ARN()}
	}}
	newGroup = target{takes: []string{"GroupName"}, on: func(_ *access.Edit, p url.Values) []string {
		return []string{(&cluster.Group{Name: groupName(p), Path: pathOf(p)}).ARN()}
	}}
	newRole = target{takes: []string{"RoleName"}, on: func(_ *access.Edit, p url.Values) []string {
		return []string{(&cluster.Role{Name: roleName(p), Path: pathOf(p)}).ARN()}
	}}
	newPolicy = target{on: func(_ *access.Edit, p url.Values) []string {
		return []string{(&cluster.ManagedPolicy{Name: cluster.PolicyName(p.Get("PolicyName")), Path: pathOf(p)}).ARN()}
	}}
	newProvider = target{on: func(_ *access.Edit, p url.Values) []string {
		return []string{(&cluster.OIDCProvider{URL: p.Get("Url")}).ARN()}
	}}

	// renamedUser is a user before and after: whoever gives it another name or path needs to be allowed both.
	renamedUser = target{takes: []string{"UserName"}, on: func(e *access.Edit, p url.Values) []string {
		u, err := e.User(userName(p))
		if err != nil {
			return onUser.on(e, p)
		}
		before := u.ARN()
		u.Name, u.Path = cmp.Or(cluster.UserName(p.Get("NewUserName")), u.Name), cmp.Or(p.Get("NewPath"), u.Path)
		return []string{before, u.ARN()}
	}}
	// renamedGroup is the same of a group.
	renamedGroup = target{takes: []string{"GroupName"}, on: func(e *access.Edit, p url.Values) []string {
		g, err := e.Group(groupName(p))
		if err != nil {
			return onGroup.on(e, p)
		}
		before := g.ARN()
		g.Name, g.Path = cmp.Or(cluster.GroupName(p.Get("NewGroupName")), g.Name), cmp.Or(p.Get("NewPath"), g.Path)
		return []string{before, g.ARN()}
	}}
	// onKey is whose key it is, named or not.
	onKey = target{takes: []string{"UserName"}, optional: true, on: func(e *access.Edit, p url.Values) []string {
		if id, err := keyOf(e, p); err == nil {
			k, _ := e.Key(id)
			return []string{e.UserARN(k.User)}
		}
		return onUser.on(e, p)
	}}
	// onUserOrRoot is a user, or the account when it is the root key that asks about itself.
	onUserOrRoot = target{takes: []string{"UserName"}, optional: true, on: func(e *access.Edit, p url.Values) []string {
		if p.Get("UserName") == "" {
			return []string{everyIdentity}
		}
		return onUser.on(e, p)
	}}
)

func pathOf(p url.Values) string { return cmp.Or(p.Get("Path"), "/") }

// queryTargets says what each action of the query API is done to.
var queryTargets = map[string]*target{
	"CreateUser": &newUser, "GetUser": &onUserOrRoot, "ListUsers": &onAll, "UpdateUser": &renamedUser, "DeleteUser": &onUser,
	"CreateAccessKey": &onUser, "ListAccessKeys": &onUser, "UpdateAccessKey": &onKey, "DeleteAccessKey": &onKey,
	"PutUserPolicy": &onUser, "GetUserPolicy": &onUser, "ListUserPolicies": &onUser, "DeleteUserPolicy": &onUser,
	"AttachUserPolicy": &onUser, "DetachUserPolicy": &onUser, "ListAttachedUserPolicies": &onUser, "ListGroupsForUser": &onUser,

	"CreateGroup": &newGroup, "GetGroup": &onGroup, "ListGroups": &onAll, "UpdateGroup": &renamedGroup, "DeleteGroup": &onGroup,
	"AddUserToGroup": &onMember, "RemoveUserFromGroup": &onMember,
	"PutGroupPolicy": &onGroup, "GetGroupPolicy": &onGroup, "ListGroupPolicies": &onGroup, "DeleteGroupPolicy": &onGroup,
	"AttachGroupPolicy": &onGroup, "DetachGroupPolicy": &onGroup, "ListAttachedGroupPolicies": &onGroup,

	"CreateRole": &newRole, "GetRole": &onRole, "ListRoles": &onAll, "UpdateRole": &onRole, "UpdateRoleDescription": &onRole, "UpdateAssumeRolePolicy": &onRole, "DeleteRole": &onRole,
	"PutRolePolicy": &onRole, "GetRolePolicy": &onRole, "ListRolePolicies": &onRole, "DeleteRolePolicy": &onRole,
	"AttachRolePolicy": &onRole, "DetachRolePolicy": &onRole, "ListAttachedRolePolicies": &onRole,

	"CreatePolicy": &newPolicy, "GetPolicy": &onPolicy, "ListPolicies": &onAll, "DeletePolicy": &onPolicy, "ListEntitiesForPolicy": &onPolicy,
	"CreatePolicyVersion": &onPolicy, "GetPolicyVersion": &onPolicy, "ListPolicyVersions": &onPolicy, "SetDefaultPolicyVersion": &onPolicy, "DeletePolicyVersion": &onPolicy,
	"ListAccountAliases": &onAll, "GetAccountSummary": &onAll,

	"TagUser": &onUser, "UntagUser": &onUser, "ListUserTags": &onUser,
	"TagRole": &onRole, "UntagRole": &onRole, "ListRoleTags": &onRole,
	"TagPolicy": &onPolicy, "UntagPolicy": &onPolicy, "ListPolicyTags": &onPolicy,

	"CreateOpenIDConnectProvider": &newProvider, "GetOpenIDConnectProvider": &onProvider, "ListOpenIDConnectProviders": &onAll,
	"DeleteOpenIDConnectProvider": &onProvider, "AddClientIDToOpenIDConnectProvider": &onProvider,
	"RemoveClientIDFromOpenIDConnectProvider": &onProvider, "UpdateOpenIDConnectProviderThumbprint": &onProvider,
}

// ofSelf are the actions that are about the caller when they name no user.
var ofSelf = map[string]bool{"GetUser": true, "CreateAccessKey": true, "ListAccessKeys": true, "UpdateAccessKey": true, "DeleteAccessKey": true}

// prepare makes the parameters of an action those that it takes, so that what is judged and what is changed are the same; and
// fills in who asks.
func (t *target) prepare(action string, p url.Values, who *access.Subject) error {
	if ofSelf[action] && p.Get("UserName") == "" && who.User != "" {
		p.Set("UserName", string(who.User))
	}
	if action == "GetUser" && p.Get("UserName") == "" && !who.Principal.Root {
		return missingName("UserName")
	}
	for _, name := range []string{"UserName", "GroupName", "RoleName"} {
		switch {
		case !slices.Contains(t.takes, name):
			p.Del(name)
		case p.Get(name) == "" && !t.optional:
			return missingName(name)
		}
	}
	return nil
}

func missingName(parameter string) error {
	return invalidParameter(strings.ToLower(parameter[:1])+parameter[1:], "", "Member must not be null")
}

// wanted returns what an action is judged by.
func (t *target) wanted(action string, e *access.Edit, p url.Values) []wanted {
	var list []wanted
	for _, arn := range t.on(e, p) {
		list = append(list, wanted{"iam:" + action, arn})
		if tagger := taggers[action]; tagger != "" && len(tagsOf(p)) > 0 {
			list = append(list, wanted{tagger, arn})
		}
	}
	return list
}
