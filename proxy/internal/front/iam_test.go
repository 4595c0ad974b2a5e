package front

import (
	"net/url"
	"reflect"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/proxy/internal/access"
	"github.com/aisle-store/aisle/s3/policy"
)

// TestQueryActions: each action of the query API is one that policies can name.
func TestQueryActions(t *testing.T) {
	for name := range queryActions {
		if policy.ActionOf("iam:"+name) == policy.NoAction {
			t.Errorf("no policy can allow iam:%s", name)
		}
	}
	for name := range roleActions {
		if policy.ActionOf("iam:"+name) == policy.NoAction {
			t.Errorf("no policy can allow iam:%s", name)
		}
	}
	for name := range ofMember {
		if queryActions[name] == nil {
			t.Errorf("%s is not built", name)
		}
	}
	for name := range ofSelf {
		if queryActions[name] == nil {
			t.Errorf("%s is not built", name)
		}
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
			for _, name := range identityActions(action, &msg) {
				if policy.ActionOf(name) == policy.NoAction {
					t.Errorf("%s of a %s: no policy can allow %s", action, kind, name)
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
	f := func(action, resource string, want access.Whose) {
		t.Helper()
		p := url.Values{
			"UserName": {"u"}, "GroupName": {"g"}, "RoleName": {"r"}, "PolicyArn": {"arn:p"}, "OpenIDConnectProviderArn": {"arn:o"},
			"PolicyName": {"n"}, "Url": {"https://issuer"},
		}
		if got := onlyNamed(action, p); got != "arn:aws:iam::000000000000:"+resource {
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

	none := url.Values{"UserName": {"u"}}
	if got := onlyNamed("AttachGroupPolicy", none); got != "arn:aws:iam::000000000000:*" || whose(none) != (access.Whose{}) {
		t.Errorf("a group that is not named: %s, %+v", got, whose(none))
	}
	if got := onlyNamed("CreatePolicy", url.Values{"PolicyName": {"n"}, "PolicyArn": {"arn:other"}}); got != "arn:aws:iam::000000000000:policy/n" {
		t.Error(got)
	}
	if got := onlyNamed("CreateOpenIDConnectProvider", url.Values{"Url": {"https://issuer/x"}, "OpenIDConnectProviderArn": {"arn:other"}}); got != "arn:aws:iam::000000000000:oidc-provider/issuer/x" {
		t.Error(got)
	}
}
