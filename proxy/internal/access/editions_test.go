package access

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/s3/policy"
)

// TestEditions: of up to five versions of a managed policy one counts, for everybody who has it; numbers are never used again.
func TestEditions(t *testing.T) {
	e := start(t)
	document := func(action string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"` + action + `","Resource":"*"}]}`
	}
	p, err := e.PutPolicy("mine", "", "", document("s3:GetObject"), false)
	must(t, err)
	arn := p.ARN()
	must(t, e.Attach(Whose{User: "ann"}, arn))
	state := func(want string, allowed ...policy.Action) {
		t.Helper()
		p, err := e.Policy(arn)
		must(t, err)
		var list []string
		for _, v := range Editions(&p) {
			list = append(list, VersionID(v.Version)+map[bool]string{true: "*"}[v.Version == p.Version])
		}
		got := strings.Join(list, " ")
		if got != want {
			t.Errorf("versions %s, want %s", got, want)
		}
		ann, _ := NewBook(e.Identities()).User("ann")
		for _, a := range []policy.Action{policy.GetObject, policy.PutObject, policy.DeleteObject} {
			d := ann.Decide(&policy.Request{Action: a, Resource: "arn:aws:s3:::b/k", Context: facts{}}, Resource{})
			if want := len(allowed) > 0 && allowed[0] == a; d.Allowed != want {
				t.Errorf("%s: %s is %v", got, a, d.Allowed)
			}
		}
	}
	refused := func(err error, code Code) {
		t.Helper()
		if f, ok := FaultOf(err); !ok || f.Code != code {
			t.Errorf("%v, want %s", err, code)
		}
	}
	state("v1*", policy.GetObject)
	_, v, err := e.AddEdition(arn, document("s3:PutObject"), false)
	must(t, err)
	if v.Version != 2 {
		t.Errorf("version %d", v.Version)
	}
	state("v2 v1*", policy.GetObject)
	must(t, e.SetEdition(arn, "v2"))
	state("v2* v1", policy.PutObject)
	refused(e.DeleteEdition(arn, "v2"), DeleteConflict)
	refused(e.DeleteEdition(arn, "v9"), NoSuchEntity)
	refused(e.SetEdition(arn, "2"), NoSuchEntity)
	_, _, err = e.AddEdition(arn, "{", true)
	refused(err, MalformedPolicyDocument)
	_, _, err = e.AddEdition("arn:aws:iam::aws:policy/readonly", document("s3:*"), true)
	refused(err, UnmodifiableEntity)
	_, _, err = e.AddEdition(arn, document("s3:DeleteObject"), true)
	must(t, err)
	state("v3* v2 v1", policy.DeleteObject)
	for range 2 {
		_, _, err = e.AddEdition(arn, document("s3:GetObject"), false)
		must(t, err)
	}
	_, _, err = e.AddEdition(arn, document("s3:GetObject"), false)
	refused(err, LimitExceeded)
	must(t, e.DeleteEdition(arn, "v5"))
	_, v, err = e.AddEdition(arn, document("s3:GetObject"), false)
	must(t, err)
	if v.Version != 6 {
		t.Errorf("the number of a version that is gone: %d", v.Version)
	}
	_, err = e.PutPolicy("mine", "", "", document("s3:PutObject"), true) // as aisle auth set policy does: in the place of what counts
	must(t, err)
	state("v7* v6 v4 v2 v1", policy.PutObject)
	must(t, e.Detach(Whose{User: "ann"}, arn))
	refused(e.DeletePolicy(arn, false), DeleteConflict)
	for _, id := range []string{"v6", "v4", "v2", "v1"} {
		must(t, e.DeleteEdition(arn, id))
	}
	state("v7*")
	must(t, e.DeletePolicy(arn, false))
}

// TestTags: IAM's rules for the tags of users, roles and policies.
func TestTags(t *testing.T) {
	e := start(t)
	_, err := e.PutPolicy("mine", "", "", allow(`"s3:*"`), false)
	must(t, err)
	_, err = e.CreateRole("r", "", "", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}]}`, 0)
	must(t, err)
	refused := func(err error, code Code) {
		t.Helper()
		if f, ok := FaultOf(err); !ok || f.Code != code {
			t.Errorf("%v, want %s", err, code)
		}
	}
	one := func(key, value string) []cluster.Tag { return []cluster.Tag{{Key: key, Value: value}} }
	for _, of := range []Tagged{{User: "ann"}, {Role: "r"}, {Policy: "mine"}} {
		must(t, e.Tag(of, []cluster.Tag{{Key: "Team", Value: "a"}, {Key: "empty"}}))
		must(t, e.Tag(of, one("team", "b")))
		tags, err := e.Tags(of)
		must(t, err)
		if fmt.Sprint(tags) != "[{team b} {empty }]" {
			t.Errorf("%v: %v", of, tags)
		}
		refused(e.Tag(of, one("", "x")), ValidationError)
		refused(e.Tag(of, one("a;b", "x")), ValidationError)
		refused(e.Tag(of, one(strings.Repeat("k", 129), "x")), ValidationError)
		refused(e.Tag(of, one("k", strings.Repeat("v", 257))), ValidationError)
		refused(e.Tag(of, one("AWS:k", "x")), InvalidInput)
		refused(e.Tag(of, append(one("k", "1"), one("K", "2")...)), InvalidInput)
		var many []cluster.Tag
		for i := range 49 {
			many = append(many, cluster.Tag{Key: fmt.Sprint("k", i)})
		}
		refused(e.Tag(of, many), LimitExceeded)
		must(t, e.Untag(of, []string{"TEAM", "none"}))
		must(t, e.Tag(of, many))
	}
	refused(e.Tag(Tagged{User: "none"}, one("k", "v")), NoSuchEntity)
	refused(e.Tag(Tagged{Policy: "readonly"}, one("k", "v")), UnmodifiableEntity)
	must(t, e.Untag(Tagged{User: "ann"}, []string{"k0"}))
	ann, _ := NewBook(e.Identities()).User("ann")
	if _, ok := ann.Tags["k0"]; ok || len(ann.Tags) != 49 {
		t.Errorf("%v", ann.Tags)
	}
}

// TestUpdateGroup: users stay in a group that gets another name.
func TestUpdateGroup(t *testing.T) {
	e := start(t)
	must(t, e.Join("ann", "readers"))
	_, err := e.CreateGroup("writers", "")
	must(t, err)
	if f, ok := FaultOf(e.UpdateGroup("readers", "Writers", "")); !ok || f.Code != EntityAlreadyExists {
		t.Error("two groups of one name")
	}
	must(t, e.UpdateGroup("readers", "READERS", "/p/"))
	must(t, e.UpdateGroup("readers", "all", ""))
	must(t, e.Attach(Whose{Group: "all"}, "readonly"))
	if _, err := e.Group("readers"); err == nil || len(e.Members("all")) != 1 || len(e.Identities().Groups) != 2 {
		t.Errorf("%+v", e.Identities().Groups)
	}
	ann, _ := NewBook(e.Identities()).User("ann")
	if d := ann.Decide(&policy.Request{Action: policy.GetObject, Resource: "arn:aws:s3:::b/k", Context: facts{}}, Resource{}); !d.Allowed {
		t.Error(d.Why())
	}
	g, _ := e.Group("ALL")
	if g.ARN() != "arn:aws:iam::000000000000:group/p/all" {
		t.Error(g.ARN())
	}
}
