package front

import (
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/proxy/internal/access"
	"github.com/aisle-store/aisle/s3/policy"
)

// TestQueryActions: each action of the query API is one that policies can name, and says what it is done to.
func TestQueryActions(t *testing.T) {
	for name := range allQueryActions() {
		if policy.ActionOf("iam:"+name) == policy.NoAction {
			t.Errorf("no policy can allow iam:%s", name)
		}
		if queryTargets[name] == nil {
			t.Errorf("%s does not say what it is done to", name)
		}
	}
	for name := range queryTargets {
		if allQueryActions()[name] == nil {
			t.Errorf("%s is not built", name)
		}
	}
	for name := range ofSelf {
		if queryActions[name] == nil {
			t.Errorf("%s is not built", name)
		}
	}
}

func allQueryActions() map[string]queryAction {
	all := maps.Clone(queryActions)
	for _, more := range []map[string]queryAction{roleActions, policyActions, tagActions} {
		maps.Copy(all, more)
	}
	return all
}

// staff are identities of which some have paths: me with the key MINE and admin with the key ADMINS, of the group admins.
func staff(t *testing.T) *access.Edit {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	e := access.NewEdit(&cluster.Identities{}, []access.Key{{ID: "root", Root: true}}, time.Unix(0, 0))
	for name, path := range map[cluster.UserName]string{"me": "", "admin": "/ops/"} {
		_, err := e.CreateUser(name, path)
		must(err)
	}
	for _, name := range []cluster.GroupName{"admins", "mine"} {
		_, err := e.CreateGroup(name, "/g/")
		must(err)
	}
	must(e.Join("admin", "admins"))
	must(e.Join("me", "mine"))
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}]}`
	_, err := e.CreateRole("Boss", "/r/", "", trust, 0)
	must(err)
	_, err = e.PutPolicy("boundary", "/p/", "", `{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`, false)
	must(err)
	_, err = e.CreateKey("me", "MINE", "12345678")
	must(err)
	_, err = e.CreateKey("admin", "ADMINS", "12345678")
	must(err)
	return e
}

// TestQueryTargets: what an action of the query API is judged by is what it changes, whatever else the request names and in
// whichever letters.
func TestQueryTargets(t *testing.T) {
	e := staff(t)
	me, _ := access.NewBook(e.Identities()).User("me")
	role, _ := access.NewBook(e.Identities()).Session("Boss", "s", nil)
	by := func(who *access.Subject, query, want string) {
		t.Helper()
		p, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		action := p.Get("Action")
		if err := queryTargets[action].prepare(action, p, who); err != nil {
			if want != "refused" {
				t.Errorf("%s: %v", query, err)
			}
			return
		}
		var list []string
		for _, w := range queryTargets[action].wanted(action, e, p) {
			list = append(list, strings.TrimPrefix(w.resource, identityPrefix))
		}
		if got := strings.Join(list, " "); got != want {
			t.Errorf("%s: judged on %s, want %s", query, got, want)
		}
	}
	f := func(query, want string) { t.Helper(); by(me, query, want) }
	f("Action=CreateAccessKey&UserName=ADMIN", "user/ops/admin")
	f("Action=CreateAccessKey", "user/me")
	f("Action=CreateUser&UserName=new&Path=/ops/", "user/ops/new")
	f("Action=AddUserToGroup&GroupName=ADMINS&UserName=me", "group/g/admins")
	f("Action=UpdateAssumeRolePolicy&RoleName=boss&UserName=me", "role/r/Boss")
	f("Action=PutRolePolicy&RoleName=BOSS&GroupName=mine", "role/r/Boss")
	f("Action=PutGroupPolicy&UserName=me", "refused")
	f("Action=AttachGroupPolicy&UserName=me&GroupName=Mine", "group/g/mine")
	f("Action=PutUserPolicy&GroupName=mine", "refused")
	f("Action=ListGroupsForUser&UserName=admin&GroupName=mine", "user/ops/admin")
	f("Action=ListUsers&UserName=me", "*")
	f("Action=GetPolicy&UserName=me&PolicyArn=arn:aws:iam::000000000000:policy/p/boundary", "policy/p/boundary")
	f("Action=DeletePolicy&UserName=me&PolicyArn=BOUNDARY", "policy/p/boundary")
	f("Action=CreatePolicy&UserName=me&PolicyName=x", "policy/x")
	f("Action=CreateOpenIDConnectProvider&UserName=me&Url=https://id.example.org", "oidc-provider/id.example.org")
	f("Action=ListOpenIDConnectProviders&UserName=me", "*")
	f("Action=UpdateUser&UserName=me&NewUserName=carol", "user/me user/carol")
	f("Action=UpdateUser&UserName=me&NewPath=/ops/", "user/me user/ops/me")
	f("Action=UpdateGroup&GroupName=mine&NewGroupName=ours", "group/g/mine group/g/ours")
	f("Action=TagUser&UserName=ADMIN&RoleName=Boss", "user/ops/admin")
	f("Action=TagPolicy&UserName=me&PolicyArn=boundary", "policy/p/boundary")
	f("Action=CreateUser&UserName=new&Tags.member.1.Key=a", "user/new user/new")
	f("Action=SetDefaultPolicyVersion&PolicyArn=Boundary", "policy/p/boundary")
	f("Action=DeleteAccessKey&AccessKeyId=MINE", "user/me")
	by(role, "Action=DeleteAccessKey&AccessKeyId=MINE", "user/me")
	by(role, "Action=UpdateAccessKey&AccessKeyId=ADMINS", "user/ops/admin")
	by(role, "Action=CreateAccessKey", "refused")
	by(role, "Action=GetUser", "refused")
	by(access.Root(), "Action=GetUser", "*")
}

// TestNativeTargets: the same of the native API.
func TestNativeTargets(t *testing.T) {
	e := staff(t)
	f := func(action string, msg api.IdentityMsg, want ...string) {
		t.Helper()
		list, err := identityWanted(e, action, &msg)
		var got []string
		for _, w := range list {
			got = append(got, strings.TrimPrefix(w.action, "iam:")+" "+strings.TrimPrefix(w.resource, identityPrefix))
		}
		if err != nil {
			got = []string{"refused"}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s %+v: judged by %q, want %q", action, msg, got, want)
		}
	}
	key := func(name, user string) api.IdentityMsg {
		return api.IdentityMsg{Kind: api.IdentityKey, Name: name, User: user}
	}
	f(api.ActionRemoveIdentity, key("ADMINS", ""), "DeleteAccessKey user/ops/admin")
	f(api.ActionRemoveIdentity, key("ADMINS", "me"), "refused")
	f(api.ActionSetIdentity, key("ADMINS", "me"), "refused")
	f(api.ActionSetIdentity, key("MINE", "ME"), "UpdateAccessKey user/me")
	f(api.ActionRemoveIdentity, key("none", "me"), "refused")
	f(api.ActionRemoveIdentity, key("root", "me"), "refused")
	f(api.ActionAddIdentity, key("", "ADMIN"), "CreateAccessKey user/ops/admin")
	f(api.ActionRemoveIdentity, api.IdentityMsg{Kind: api.IdentityUser, Name: "ADMIN"}, "DeleteUser user/ops/admin")
	f(api.ActionRemoveIdentity, api.IdentityMsg{Kind: api.IdentityPolicy, Name: "Boundary"}, "DeletePolicy policy/p/boundary")
	f(api.ActionAddIdentity, api.IdentityMsg{Kind: api.IdentityPolicy, Name: "readonly"}, "CreatePolicy policy/readonly")
	f(api.ActionRemoveIdentity, api.IdentityMsg{Kind: api.IdentityPolicy, Name: "readonly"}, "DeletePolicy arn:aws:iam::aws:policy/readonly")
	f(api.ActionSetIdentity, api.IdentityMsg{Kind: api.IdentityUser, Name: "me", Groups: &[]string{"ADMINS"}},
		"UpdateUser user/me", "AddUserToGroup group/g/admins", "RemoveUserFromGroup group/g/mine")
	f(api.ActionSetIdentity, api.IdentityMsg{Kind: api.IdentityUser, Name: "me", Groups: &[]string{"Mine"}}, "UpdateUser user/me")
	f(api.ActionAddIdentity, api.IdentityMsg{Kind: api.IdentityUser, Name: "new", Groups: &[]string{"admins"}},
		"CreateUser user/new", "CreateAccessKey user/new", "AddUserToGroup group/g/admins")
	f(api.ActionSetIdentity, api.IdentityMsg{Kind: api.IdentityGroup, Name: "Admins", Users: &[]string{"me"}},
		"UpdateGroup group/g/admins", "AddUserToGroup group/g/admins", "RemoveUserFromGroup group/g/admins")
	f(api.ActionSetIdentity, api.IdentityMsg{Kind: api.IdentityRole, Name: "BOSS", Document: "{}"}, "UpdateRole role/r/Boss", "UpdateAssumeRolePolicy role/r/Boss")
	f(api.ActionRemoveIdentity, api.IdentityMsg{Kind: api.IdentityProvider, Name: "https://id.example.org"}, "DeleteOpenIDConnectProvider oidc-provider/id.example.org")
	f(api.ActionSetIdentity, api.IdentityMsg{Kind: "tree"}, "refused")

	shown := func(kind, name, want string) {
		t.Helper()
		list := slices.DeleteFunc(identitiesOf(e, kind), func(i api.Identity) bool { return i.ARN != name && !strings.EqualFold(i.Name, name) })
		if w := shownWanted(e, identityLists[kind], kind, name, list); len(w) != 1 || w[0].resource != identityPrefix+want {
			t.Errorf("%s %s: %v, want %s", kind, name, w, want)
		}
	}
	shown(api.IdentityUser, identityPrefix+"user/ops/admin", "user/ops/admin")
	shown(api.IdentityUser, "Admin", "user/ops/admin")
	shown(api.IdentityKey, "ADMINS", "user/ops/admin")
	shown(api.IdentityKey, "", "user/")
}

// TestCannedPolicyStays: the ARN of a policy that every cluster has never removes one of the same name that somebody made.
func TestCannedPolicyStays(t *testing.T) {
	e := staff(t)
	if _, err := e.PutPolicy("readonly", "", "", `{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`, false); err != nil {
		t.Fatal(err)
	}
	err := e.DeletePolicy("arn:aws:iam::aws:policy/readonly", true)
	if fault, ok := access.FaultOf(err); !ok || fault.Code != access.UnmodifiableEntity {
		t.Errorf("%v", err)
	}
	if err := e.DeletePolicy("readonly", false); err != nil {
		t.Errorf("%v", err)
	}
}

// TestNativeActions: each change of an identity by the native API needs actions that policies can name.
func TestNativeActions(t *testing.T) {
	some := &[]string{"x"}
	for _, kind := range []string{api.IdentityUser, api.IdentityGroup, api.IdentityPolicy, api.IdentityRole, api.IdentityProvider, api.IdentityKey} {
		msg := api.IdentityMsg{Kind: kind, Document: "{}"}
		switch kind {
		case api.IdentityUser:
			msg.Policies, msg.Groups = some, some
		case api.IdentityGroup:
			msg.Policies, msg.Users = some, some
		case api.IdentityRole:
			msg.Policies = some
		}
		for action := range identityChanges {
			if kind == api.IdentityKey {
				msg.Name, msg.User = "MINE", "me"
			}
			list, err := identityWanted(staff(t), action, &msg)
			if err != nil || len(list) == 0 {
				t.Errorf("%s of a %s: %v, %v", action, kind, list, err)
			}
			for _, w := range list {
				if policy.ActionOf(w.action) == policy.NoAction {
					t.Errorf("%s of a %s: no policy can allow %s", action, kind, w.action)
				}
			}
		}
	}
}

func TestRolesAndProviders(t *testing.T) {
	now := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	const trust = `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"AWS": "000000000000"}, "Action": "sts:AssumeRole"}}`
	e := access.NewEdit(new(cluster.Identities), nil, now)
	list := func(of ...string) *[]string { return &of }
	do := func(action string, msg api.IdentityMsg, ok bool) api.Identity {
		t.Helper()
		done, err := identityChanges[action](e, &msg)
		if (err == nil) != ok {
			t.Fatalf("%s %+v: %v", action, msg, err)
		}
		return done
	}
	role := api.IdentityMsg{Kind: api.IdentityRole, Name: "reader", Document: trust, Seconds: 7200, Policies: list("readonly")}
	want := api.Identity{
		Kind: api.IdentityRole, Name: "reader", ARN: "arn:aws:iam::000000000000:role/reader", Created: now,
		Policies: []string{"arn:aws:iam::aws:policy/readonly"}, Document: trust, Seconds: 7200,
	}
	done := do(api.ActionAddIdentity, role, true)
	want.ID = done.ID
	if !reflect.DeepEqual(done, want) {
		t.Fatalf("%+v", done)
	}
	do(api.ActionAddIdentity, role, false)
	do(api.ActionSetIdentity, api.IdentityMsg{Kind: api.IdentityRole, Name: "reader", Seconds: 60}, false)
	do(api.ActionSetIdentity, api.IdentityMsg{Kind: api.IdentityRole, Name: "other", Seconds: 3600}, false)
	want.Policies, want.Seconds = nil, 3600
	if done := do(api.ActionSetIdentity, api.IdentityMsg{Kind: api.IdentityRole, Name: "reader", Seconds: 3600, Policies: list()}, true); !reflect.DeepEqual(done, want) {
		t.Fatalf("%+v", done)
	}
	if all := identitiesOf(e, api.IdentityRole); len(all) != 1 || !reflect.DeepEqual(all[0], want) {
		t.Fatalf("%+v", all)
	}
	do(api.ActionRemoveIdentity, api.IdentityMsg{Kind: api.IdentityRole, Name: "reader"}, true)

	do(api.ActionAddIdentity, api.IdentityMsg{Kind: api.IdentityProvider, Name: "https://id.example.org/a", Clients: list("one", "two")}, true)
	do(api.ActionSetIdentity, api.IdentityMsg{Kind: api.IdentityProvider, Name: "https://id.example.org/b", Clients: list("one")}, false)
	for _, name := range []string{"https://id.example.org/a", "id.example.org/a", "arn:aws:iam::000000000000:oidc-provider/id.example.org/a"} {
		done := do(api.ActionSetIdentity, api.IdentityMsg{Kind: api.IdentityProvider, Name: name, Clients: list("two", "three")}, true)
		if !reflect.DeepEqual(done.Clients, []string{"two", "three"}) || done.Name != "https://id.example.org/a" {
			t.Fatalf("%+v", done)
		}
	}
	do(api.ActionSetIdentity, api.IdentityMsg{Kind: api.IdentityProvider, Name: "id.example.org/a", Thumbprints: list("zz")}, false)
	do(api.ActionRemoveIdentity, api.IdentityMsg{Kind: api.IdentityProvider, Name: "id.example.org/a"}, true)
	if all := identitiesOf(e, api.IdentityProvider); len(all) != 0 {
		t.Fatalf("%+v", all)
	}
}

// TestOnlyNamed: what is judged is what is changed, whatever other names a request has.
func TestOnlyNamed(t *testing.T) {
	e := staff(t)
	f := func(action, resource string, want access.Whose) {
		t.Helper()
		p := url.Values{
			"UserName": {"u"}, "GroupName": {"g"}, "RoleName": {"r"}, "PolicyArn": {"arn:p"}, "OpenIDConnectProviderArn": {"arn:o"},
			"PolicyName": {"n"}, "Url": {"https://issuer"},
		}
		if err := queryTargets[action].prepare(action, p, access.Root()); err != nil {
			t.Fatal(err)
		}
		if got := queryTargets[action].on(e, p)[0]; got != "arn:aws:iam::000000000000:"+resource {
			t.Errorf("%s is about %s", action, got)
		}
		if got := whose(p); got != want {
			t.Errorf("%s changes %+v", action, got)
		}
	}
	user, group, role := access.Whose{User: "u"}, access.Whose{Group: "g"}, access.Whose{Role: "r"}
	f("AttachUserPolicy", "user/u", user)
	f("CreateUser", "user/u", user)
	f("AttachGroupPolicy", "group/g", group)
	f("PutGroupPolicy", "group/g", group)
	f("DeleteGroup", "group/g", group)
	f("AddUserToGroup", "group/g", access.Whose{User: "u", Group: "g"})
	f("AttachRolePolicy", "role/r", role)
	f("DeleteRole", "role/r", role)

	f("CreatePolicy", "policy/n", access.Whose{})
	f("CreateOpenIDConnectProvider", "oidc-provider/issuer", access.Whose{})
	none := url.Values{"UserName": {"u"}}
	if err := queryTargets["AttachGroupPolicy"].prepare("AttachGroupPolicy", none, access.Root()); err == nil || whose(none).Group != "" {
		t.Errorf("a group that is not named: %v, %+v", err, whose(none))
	}
}
