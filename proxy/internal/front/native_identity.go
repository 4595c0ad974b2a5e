package front

import (
	"slices"
	"strings"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/proxy/internal/access"
)

// What requests of the native API about identities are judged by.

// identityKinds are IAM's names of the kinds of identities.
var identityKinds = map[string]string{
	api.IdentityUser: "User", api.IdentityGroup: "Group", api.IdentityPolicy: "Policy", api.IdentityKey: "AccessKey",
	api.IdentityRole: "Role", api.IdentityProvider: "OpenIDConnectProvider",
}

// identityVerbs are IAM's names of changes.
var identityVerbs = map[string]string{api.ActionAddIdentity: "Create", api.ActionSetIdentity: "Update", api.ActionRemoveIdentity: "Delete"}

// identityLists are the actions that show identities of a kind.
var identityLists = map[string]string{
	api.IdentityUser: "iam:ListUsers", api.IdentityGroup: "iam:ListGroups", api.IdentityPolicy: "iam:ListPolicies", api.IdentityKey: "iam:ListAccessKeys",
	api.IdentityRole: "iam:ListRoles", api.IdentityProvider: "iam:ListOpenIDConnectProviders",
}

func noKind(kind string) error {
	return cluster.Fail("proxy/front.nativeAuth", kind, cluster.KindInvalid, "the kind of an identity is user, group, policy, key, role or provider")
}

// identityWanted returns what a change of an identity is judged by.
func identityWanted(e *access.Edit, action string, msg *api.IdentityMsg) ([]wanted, error) {
	what, verb := identityKinds[msg.Kind], identityVerbs[action]
	if what == "" {
		return nil, noKind(msg.Kind)
	}
	on, err := identityARN(e, verb, msg)
	if err != nil {
		return nil, err
	}
	list := []wanted{{"iam:" + verb + what, on}}
	if what == "OpenIDConnectProvider" && verb == "Update" {
		return []wanted{{"iam:AddClientIDTo" + what, on}, {"iam:RemoveClientIDFrom" + what, on}, {"iam:Update" + what + "Thumbprint", on}}, nil
	}
	if what == "Role" && verb == "Update" && msg.Document != "" {
		list = append(list, wanted{"iam:UpdateAssumeRolePolicy", on})
	}
	if what == "Policy" && verb == "Update" {
		list[0].action = "iam:CreatePolicyVersion"
	}
	if what == "User" && verb == "Create" {
		list = append(list, wanted{"iam:CreateAccessKey", on})
	}
	if msg.Policies != nil {
		list = append(list, wanted{"iam:Attach" + what + "Policy", on}, wanted{"iam:Detach" + what + "Policy", on})
	}
	if what == "Group" && msg.Users != nil {
		list = append(list, wanted{"iam:AddUserToGroup", on}, wanted{"iam:RemoveUserFromGroup", on})
	}
	if what == "User" && msg.Groups != nil {
		list = append(list, groupsWanted(e, cluster.UserName(msg.Name), *msg.Groups)...)
	}
	return list, nil
}

// identityARN returns what a change is made to. A key is its user's, whatever the request says of it.
func identityARN(e *access.Edit, verb string, msg *api.IdentityMsg) (string, error) {
	switch msg.Kind {
	case api.IdentityUser:
		return e.UserARN(cluster.UserName(msg.Name)), nil
	case api.IdentityGroup:
		return e.GroupARN(cluster.GroupName(msg.Name)), nil
	case api.IdentityPolicy:
		if p, ok := e.Identities().Policy(cluster.PolicyName(msg.Name)); ok {
			return p.ARN(), nil
		}
		if verb != "Delete" { // what is made beside a policy that every cluster has
			return (&cluster.ManagedPolicy{Name: cluster.PolicyName(msg.Name), Path: "/"}).ARN(), nil
		}
		return e.ManagedARN(msg.Name), nil
	case api.IdentityRole:
		return e.RoleARN(cluster.RoleName(msg.Name)), nil
	case api.IdentityProvider:
		return providerNamed(msg.Name), nil
	}
	if verb == "Create" {
		return e.UserARN(cluster.UserName(msg.User)), nil
	}
	k, err := e.Key(cluster.AccessKeyID(msg.Name))
	if err == nil && msg.User != "" && !strings.EqualFold(msg.User, string(k.User)) {
		_, err = e.Key("") // of another user: it cannot be found
	}
	return e.UserARN(k.User), err
}

// groupsWanted returns what giving a user these groups and no others is judged by: each that is joined or left.
func groupsWanted(e *access.Edit, user cluster.UserName, groups []string) []wanted {
	var list []wanted
	u, _ := e.User(user)
	for _, g := range groups {
		if !u.InGroup(cluster.GroupName(g)) {
			list = append(list, wanted{"iam:AddUserToGroup", e.GroupARN(cluster.GroupName(g))})
		}
	}
	for _, g := range u.Groups {
		if !slices.ContainsFunc(groups, func(name string) bool { return strings.EqualFold(name, string(g)) }) {
			list = append(list, wanted{"iam:RemoveUserFromGroup", e.GroupARN(g)})
		}
	}
	return list
}

// shownWanted returns what showing identities is judged by: each that a name finds, or the kind when there is no name.
func shownWanted(e *access.Edit, action, kind, name string, list []api.Identity) []wanted {
	what := kind
	if kind == api.IdentityKey {
		what = api.IdentityUser
	}
	if name == "" || len(list) == 0 {
		return []wanted{{action, identityPrefix + what + "/" + name}}
	}
	var each []wanted
	for _, i := range list {
		on := i.ARN
		if kind == api.IdentityKey {
			on = e.UserARN(cluster.UserName(i.User))
		}
		each = append(each, wanted{action, on})
	}
	return each
}
