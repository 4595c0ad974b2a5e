package access

import (
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/s3"
	"github.com/aisle-store/aisle/s3/policy"
)

// facts is the context of a test's request.
type facts map[string]string

func (f facts) Lookup(key string) []string {
	if v, ok := f[key]; ok {
		return []string{v}
	}
	return nil
}

func start(t *testing.T) *Edit {
	t.Helper()
	e := NewEdit(&cluster.Identities{}, []Key{{ID: "root", Root: true}}, time.Unix(0, 0))
	for _, name := range []cluster.UserName{"ann", "bob"} {
		if _, err := e.CreateUser(name, ""); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.CreateGroup("readers", ""); err != nil {
		t.Fatal(err)
	}
	return e
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestDecide: what users may by their own policies, those of their groups, and those of buckets, and which statement said so.
func TestDecide(t *testing.T) {
	e := start(t)
	must(t, e.Attach(Whose{User: "ann"}, "readwrite"))
	must(t, e.PutInline(Whose{User: "ann"}, "guard", `{"Version":"2012-10-17","Statement":[{"Sid":"NoSecrets","Effect":"Deny","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/secret*"}]}`))
	must(t, e.Join("bob", "Readers"))
	must(t, e.Attach(Whose{Group: "readers"}, "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"))
	_, err := e.CreateRole("visitor", "", "", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"`+cluster.Account+`"},"Action":"sts:AssumeRole"}]}`, 0)
	must(t, err)
	must(t, e.Attach(Whose{Role: "visitor"}, "readwrite"))
	book := NewBook(e.Identities())
	ann, _ := book.User("ANN")
	bob, _ := book.User("bob")
	visitor, _ := book.Session("visitor", "s", []string{`{"Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}}`})
	doc := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::b/in/*"},
		{"Sid":"closed","Effect":"Deny","Principal":"*","Action":["s3:PutObject","s3:PutBucketPolicy"],"Resource":["arn:aws:s3:::b","arn:aws:s3:::b/in/closed"]}]}`
	bucket, err := policy.Parse([]byte(doc), policy.Options{Kind: policy.Bucket, Bucket: "b"})
	must(t, err)
	f := func(who *Subject, action policy.Action, key string, res Resource, allowed bool, why string) {
		t.Helper()
		d := who.Decide(&policy.Request{Action: action, Resource: "arn:aws:s3:::b" + key, Context: facts{}}, res)
		if d.Allowed != allowed || d.Why() != why {
			t.Errorf("%s %s %s: %v, %s", who.Name, action, key, d.Allowed, d.Why())
		}
	}
	none, open := Resource{}, Resource{Policy: bucket}
	f(ann, policy.PutObject, "/k", none, true, "statement 1 of the policy readwrite of user ann allows it")
	f(ann, policy.GetObject, "/secret", none, false, "statement NoSecrets of the policy guard of user ann denies it")
	f(ann, policy.GetCluster, "", none, false, "no statement of any policy allows it")
	f(bob, policy.GetObject, "/k", none, true, "statement 1 of the policy AmazonS3ReadOnlyAccess of group readers allows it")
	f(bob, policy.PutObject, "/k", open, false, "no statement of any policy allows it")
	f(bob, policy.PutObject, "/in/k", open, true, "statement 1 of the policy of the bucket allows it")
	f(bob, policy.PutObject, "/in/closed", open, false, "statement closed of the policy of the bucket denies it")
	everybody := &ACL{List: &s3.ACL{Grants: []s3.ACLGrant{{Grantee: s3.AllUsers, Permission: s3.Write}}}}
	f(bob, policy.PutObject, "/k", Resource{ACL: everybody}, true, "the access control list allows it")
	f(Anonymous(), policy.PutObject, "/in/k", open, true, "statement 1 of the policy of the bucket allows it")
	f(Anonymous(), policy.GetObject, "/in/k", open, false, "no statement of any policy allows it")
	restricted := Resource{Policy: bucket, Restricted: true, ACL: everybody}
	f(Anonymous(), policy.PutObject, "/in/k", Resource{Policy: bucket, Restricted: true}, false, "no statement of any policy allows it")
	f(Anonymous(), policy.PutObject, "/in/k", restricted, true, "the access control list allows it")
	f(Anonymous(), policy.PutObject, "/in/closed", restricted, false, "statement closed of the policy of the bucket denies it")
	f(Root(), policy.GetObject, "/k", open, true, "the root key may do everything")
	f(Root(), policy.PutObject, "/in/closed", open, false, "statement closed of the policy of the bucket denies it")
	f(Root(), policy.PutBucketPolicy, "", Resource{Policy: bucket, Owner: true}, true, "the root key may do everything")
	f(visitor, policy.GetObject, "/k", none, true, "statement 1 of the policy readwrite of role visitor allows it")
	f(visitor, policy.PutObject, "/k", none, false, "no statement of the session's policies allows it")
}

// TestMayBecome: a session leaves the policies that bound it behind by no trust policy.
func TestMayBecome(t *testing.T) {
	e := start(t)
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + cluster.Account + `:role/first"},"Action":"sts:AssumeRole"}]}`
	_, err := e.CreateRole("first", "", "", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}]}`, 0)
	must(t, err)
	second, err := e.CreateRole("second", "", "", trust, 0)
	must(t, err)
	book := NewBook(e.Identities())
	f := func(allowed bool, why string, bounds ...string) {
		t.Helper()
		first, ok := book.Session("first", "s", bounds)
		if !ok {
			t.Fatal("there is no session")
		}
		d := first.MayBecome(&second, &policy.Request{Action: policy.ActionOf("sts:AssumeRole"), Context: facts{}})
		if d.Allowed != allowed || d.Why() != why {
			t.Errorf("%v: %v, %s", bounds, d.Allowed, d.Why())
		}
	}
	trusted := "statement 1 of the policy that the role second trusts by allows it"
	f(true, trusted)
	f(true, trusted, `{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"`+second.ARN()+`"}}`)
	f(false, "no statement of the session's policies allows it", `{"Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}}`)
	f(false, "statement 1 of the policy of the session denies it", `{"Statement":{"Effect":"Deny","Action":"sts:*","Resource":"*"}}`)
	f(false, "statement 1 of the policy of the session denies it",
		`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`, `{"Statement":{"Effect":"Deny","Action":"sts:*","Resource":"*"}}`)
}

// TestPrincipals: a policy is about the user that it was given for, who may be called otherwise by then, and about no other one who
// gets the name.
func TestPrincipals(t *testing.T) {
	e := start(t)
	by := func(principal string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["` + principal + `"]},"Action":"sts:AssumeRole"}]}`
	}
	user := func(name string) string { return "arn:aws:iam::" + cluster.Account + ":user/" + name }
	for _, nobody := range []string{user("eve"), user("ANN"), user("path/ann"), "AIDAEVE", "arn:aws:iam::" + cluster.Account + ":role/r", "arn:aws:iam::123456789012:user/ann", "123456789012"} {
		if _, err := e.CreateRole("r", "", "", by(nobody), 0); err == nil {
			t.Errorf("a role that trusts %s", nobody)
		}
	}
	r, err := e.CreateRole("r", "", "", by(user("ann")), 0)
	must(t, err)
	may := func(name cluster.UserName, want bool, shown string) {
		t.Helper()
		r, err := e.Role("r")
		must(t, err)
		who, ok := NewBook(e.Identities()).User(name)
		if !ok {
			t.Fatal("no " + name)
		}
		d := who.MayBecome(&r, &policy.Request{Action: policy.ActionOf("sts:AssumeRole"), Context: facts{}})
		if told := e.Trust(&r); d.Allowed != want || told != by(shown) {
			t.Errorf("%s: %v; %s", name, d.Allowed, told)
		}
	}
	ann, err := e.User("ann")
	must(t, err)
	if r.Trust != by(ann.ID) {
		t.Errorf("kept as %s", r.Trust)
	}
	may("ann", true, user("ann"))
	may("bob", false, user("ann"))
	must(t, e.UpdateUser("ann", "anna", "/x/"))
	may("anna", true, user("x/anna"))
	must(t, e.SetTrust("r", by(ann.ID)))
	must(t, e.UpdateUser("anna", "ann", "/"))
	may("ann", true, user("ann"))
	must(t, e.DeleteUser("ann", true))
	_, err = e.CreateUser("ann", "")
	must(t, err)
	may("ann", false, ann.ID)
	if err := e.SetTrust("r", by(ann.ID)); err == nil {
		t.Error("a role that trusts somebody who is gone")
	}
	// A policy of an earlier version has the ARN.
	r.Trust = by(user("ann"))
	e.putRole(r)
	may("ann", true, user("ann"))
}

// TestSourceIdentity: who one is said to be needs a permission of its own, and stays from role to role.
func TestSourceIdentity(t *testing.T) {
	e := start(t)
	trust := func(actions string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":[` + actions + `]}]}`
	}
	closed, err := e.CreateRole("closed", "", "", trust(`"sts:AssumeRole"`), 0)
	must(t, err)
	open, err := e.CreateRole("open", "", "", trust(`"sts:AssumeRole","sts:SetSourceIdentity"`), 0)
	must(t, err)
	book := NewBook(e.Identities())
	ann, _ := book.User("ann")
	session, _ := book.OfRole(&Session{Key: "ASIA1", Role: open.Name, RoleID: open.ID, Name: "s", Source: "ann"})
	f := func(who *Subject, source string, r *cluster.Role, allowed bool, by string) {
		t.Helper()
		action, d := who.MayBecomeAs(source, r, &policy.Request{Context: facts{}})
		if d.Allowed != allowed || action.String() != by {
			t.Errorf("%s as %q: %v by %s", r.Name, source, d.Allowed, action)
		}
	}
	f(ann, "", &closed, true, "sts:AssumeRole")
	f(ann, "ann", &closed, false, "sts:SetSourceIdentity")
	f(ann, "ann", &open, true, "sts:SetSourceIdentity")
	f(session, "ann", &open, true, "sts:SetSourceIdentity")
	f(session, "ann", &closed, false, "sts:SetSourceIdentity")
	f(session, "bob", &open, false, "sts:SetSourceIdentity")
}

// TestCanned: the policies that every cluster has can be read, and ownbuckets gives a user what it made and nothing else.
func TestCanned(t *testing.T) {
	for _, c := range CannedPolicies() {
		if _, err := policy.Parse([]byte(c.Document), policy.Options{}); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
	e := start(t)
	must(t, e.Attach(Whose{User: "ann"}, "ownbuckets"))
	ann, _ := NewBook(e.Identities()).User("ann")
	f := func(owner string, action policy.Action, want bool) {
		t.Helper()
		d := ann.Decide(&policy.Request{Action: action, Resource: "arn:aws:s3:::b", Context: facts{"aws:username": "ann", "aisle:bucketowner": owner}}, Resource{})
		if d.Allowed != want {
			t.Errorf("%s on a bucket of %s: %v", action, owner, d.Allowed)
		}
	}
	f("", policy.CreateBucket, true)
	f("ann", policy.DeleteBucket, true)
	f("bob", policy.ListBucket, false)
}

// TestEdit: what a change refuses, and with which code.
func TestEdit(t *testing.T) {
	e := start(t)
	f := func(err error, want Code) {
		t.Helper()
		if fault, ok := FaultOf(err); !ok || fault.Code != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	_, err := e.CreateUser("Ann", "")
	f(err, EntityAlreadyExists)
	_, err = e.CreateUser("a b", "")
	f(err, ValidationError)
	_, err = e.CreateUser("carl", "x")
	f(err, ValidationError)
	_, err = e.User("carl")
	f(err, NoSuchEntity)
	f(e.Attach(Whose{User: "ann"}, "nothing"), NoSuchEntity)
	f(e.Attach(Whose{Group: "nobody"}, "readonly"), NoSuchEntity)
	f(e.Detach(Whose{User: "ann"}, "readonly"), NoSuchEntity)
	f(e.PutInline(Whose{User: "ann"}, "p", "{"), MalformedPolicyDocument)
	f(e.DeletePolicy("readonly", true), UnmodifiableEntity)
	_, err = e.CreateKey("carl", "", "")
	f(err, NoSuchEntity)
	_, err = e.CreateKey("ann", "root", "12345678")
	f(err, EntityAlreadyExists)
	f(e.DeleteKey("root"), NoSuchEntity)

	_, err = e.CreateKey("ann", "AK1", "12345678")
	must(t, err)
	f(e.DeleteUser("ann", false), DeleteConflict)
	_, err = e.PutPolicy("mine", "", "", `{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`, false)
	must(t, err)
	must(t, e.Attach(Whose{User: "ann"}, "mine"))
	f(e.DeletePolicy("mine", true), DeleteConflict)
	must(t, e.UpdateUser("ann", "anna", ""))
	if k, err := e.Key("AK1"); err != nil || k.User != "anna" {
		t.Errorf("the key of a user that was renamed is %v, %v", k, err)
	}
	must(t, e.Detach(Whose{User: "anna"}, "mine"))
	must(t, e.DeletePolicy("mine", false))
	must(t, e.DeleteUser("anna", true))
	must(t, e.Join("bob", "readers"))
	f(e.DeleteGroup("readers", false), DeleteConflict)
	must(t, e.DeleteGroup("readers", true))
	change, put, removed := e.Change()
	after := (&cluster.Identities{}).Changed(change)
	if len(after.Users) != 1 || len(after.Users[0].Groups) != 0 || len(after.Groups) != 0 || len(after.Policies) != 0 {
		t.Errorf("%+v", after)
	}
	if len(put) != 1 || len(removed) != 1 || removed[0] != "AK1" {
		t.Errorf("keys put %v, removed %v", put, removed)
	}
}
