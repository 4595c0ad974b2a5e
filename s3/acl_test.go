package s3

import (
	"slices"
	"strings"
	"testing"

	"github.com/aisle-store/aisle/s3/policy"
)

const (
	annID = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	bobID = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

func aclContext(bucket bool) *ACLContext {
	return &ACLContext{Bucket: bucket, BucketOwner: bobID, Known: func(id string) bool { return id == annID || id == bobID }}
}

// TestACLHeaders: what headers grant, and which are refused.
func TestACLHeaders(t *testing.T) {
	f := func(bucket bool, want string, headers ...Field) {
		t.Helper()
		a, err := ReadACLHeaders(newCall(t, "PUT", "/b/k", "h", 0, headers), aclContext(bucket))
		if err != nil {
			if string(CodeOf(err)) != want {
				t.Errorf("%v: %v, want %s", headers, err, want)
			}
			return
		}
		if got := strings.ReplaceAll(strings.TrimSuffix(a.Encode(), "\n"), "\n", ", "); got != want {
			t.Errorf("%v: %q, want %q", headers, got, want)
		}
		if !slices.Equal(DecodeACL(a.Encode()).Grants, a.Grants) {
			t.Errorf("%v does not come back", a)
		}
	}
	canned := func(name string) Field { return Field{"x-amz-acl", name} }
	f(false, "", canned("private"))
	f(false, "FULL_CONTROL owner, READ "+AllUsers, canned("public-read"))
	f(false, "FULL_CONTROL owner, READ "+AllUsers+", WRITE "+AllUsers, canned("public-read-write"))
	f(false, "FULL_CONTROL owner, READ "+AuthenticatedUsers, canned("authenticated-read"))
	f(false, "FULL_CONTROL owner, READ "+bobID, canned("bucket-owner-read"))
	f(false, "FULL_CONTROL owner, FULL_CONTROL "+bobID, canned("bucket-owner-full-control"))
	f(true, "", canned("bucket-owner-read"))
	f(true, "FULL_CONTROL owner, WRITE "+LogDelivery+", READ_ACP "+LogDelivery, canned("log-delivery-write"))
	f(false, "FULL_CONTROL "+annID+", READ "+AllUsers+", READ "+bobID, Field{"x-amz-grant-read", `uri="` + AllUsers + `", id=` + bobID}, Field{"x-amz-grant-full-control", `ID="` + annID + `"`})
	f(false, "InvalidRequest", canned("private"), Field{"x-amz-grant-read", "id=" + bobID})
	f(false, "InvalidArgument", Field{"x-amz-grant-read", "id=nobody"})
	f(false, "InvalidArgument", Field{"x-amz-grant-read", "uri=http://elsewhere"})
	f(false, "InvalidArgument", Field{"x-amz-grant-read", bobID})
	f(false, "UnresolvableGrantByEmailAddress", Field{"x-amz-grant-read", "emailAddress=a@b"})
	f(false, "MalformedACLError", Field{"x-amz-grant-read", strings.TrimSuffix(strings.Repeat("id="+annID+",", MaxGrants+1), ",")})
}

// TestACLBody: what an AccessControlPolicy grants, and which are refused.
func TestACLBody(t *testing.T) {
	grant := func(grantee, permission string) string {
		return "<Grant><Grantee>" + grantee + "</Grantee><Permission>" + permission + "</Permission></Grant>"
	}
	body := func(owner string, grants ...string) string {
		return "<AccessControlPolicy><Owner><ID>" + owner + "</ID></Owner><AccessControlList>" + strings.Join(grants, "") + "</AccessControlList></AccessControlPolicy>"
	}
	f := func(want, text string, headers ...Field) {
		t.Helper()
		a, owner, err := ReadACL(newCall(t, "PUT", "/b/k?acl", "h", 0, headers), []byte(text), aclContext(false))
		if err != nil {
			if string(CodeOf(err)) != want {
				t.Errorf("%s: %v, want %s", text, err, want)
			}
			return
		}
		if got := strings.ReplaceAll(strings.TrimSuffix(a.Encode(), "\n"), "\n", ", "); got != want || owner != annID {
			t.Errorf("%s: %q of %s, want %q", text, got, owner, want)
		}
		again, _, err := ReadACL(newCall(t, "PUT", "/b/k?acl", "h", 0, nil), a.XML(Owner{ID: annID}, func(string) string { return "n&n" }), aclContext(false))
		if err != nil || len(again.Grants) != len(a.Grants) {
			t.Errorf("%s comes back as %v, %v", text, again, err)
		}
	}
	id := func(s string) string { return "<ID>" + s + "</ID>" }
	f("READ "+bobID+", WRITE_ACP "+AllUsers, body(annID, grant(id(bobID), "READ"), grant("<URI>"+AllUsers+"</URI>", "WRITE_ACP")))
	f("-", body(annID))
	f("MalformedACLError", body("", grant(id(bobID), "READ")))
	f("MalformedACLError", body(annID, grant(id(bobID), "EVERYTHING")))
	f("MalformedACLError", body(annID, grant("", "READ")))
	f("MalformedACLError", "<Something/>")
	f("MalformedXML", "<AccessControlPolicy>")
	f("InvalidArgument", body(annID, grant(id("nobody"), "READ")))
	f("UnresolvableGrantByEmailAddress", body(annID, grant("<EmailAddress>a@b</EmailAddress>", "READ")))
	f("MissingSecurityHeader", "")
	f("UnexpectedContent", body(annID), Field{"x-amz-acl", "private"})
}

// TestACLAllows: whom a list allows what.
func TestACLAllows(t *testing.T) {
	list := DecodeACL("FULL_CONTROL owner\nREAD " + bobID + "\nREAD_ACP " + AuthenticatedUsers + "\nWRITE " + AllUsers)
	f := func(who string, ignore bool, want string) {
		t.Helper()
		var got []string
		for _, p := range []Permission{Read, Write, ReadACP, WriteACP} {
			if list.Allows(p, Asker{who, annID, ignore}) {
				got = append(got, string(p))
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q may %v, want %s", who, got, want)
		}
	}
	f(annID, false, "READ WRITE READ_ACP WRITE_ACP")
	f(bobID, false, "READ WRITE READ_ACP")
	f("c", false, "WRITE READ_ACP")
	f("", false, "WRITE")
	f(bobID, true, "READ")
	f("", true, "")
	if !list.Public() || privateACL().Public() || !privateACL().OwnerOnly(annID) || list.OwnerOnly(annID) {
		t.Error("which lists are public, or the owner's only")
	}
	list = DecodeACL(emptyACL)
	f(annID, false, "READ_ACP WRITE_ACP")
	if list.Allows(NoPermission, Asker{annID, annID, false}) {
		t.Error("nothing is a permission")
	}
}

// TestProviso: what is left to the owner of an object.
func TestProviso(t *testing.T) {
	clause := func(effect policy.Effect, operator, value string) policy.Clause {
		return policy.Clause{Effect: effect, Statement: "S", Policy: "P", Version: "2012-10-17", Variables: map[string][]string{"aws:username": {"ann"}},
			Conditions: []policy.ClauseCondition{{Operator: operator, Key: "s3:existingobjecttag/class", Values: []string{value}}}}
	}
	open, closed := clause(policy.Allow, "StringLike", "${aws:username}-*"), clause(policy.Deny, "StringEquals", "closed")
	object := func(class string) *ProvisoObject {
		o := &ProvisoObject{Owner: annID, ACL: DecodeACL("READ " + bobID)}
		if class != "" {
			o.Tags = []Field{{"Class", class}}
		}
		return o
	}
	f := func(p Proviso, class string, want bool) {
		t.Helper()
		encoded, err := EncodeProvisos([]Proviso{p})
		if err != nil {
			t.Fatal(err)
		}
		list, err := DecodeProvisos(encoded)
		if err != nil {
			t.Fatal(err)
		}
		if got, why := list[0].Judge(object(class)); got != want || !got && why == "" {
			t.Errorf("%+v of %q: %v, %s", p, class, got, why)
		}
	}
	of := func(c ...policy.Clause) []policy.Clause { return c }
	f(Proviso{Unbounded: true, Clauses: of(open)}, "ann-1", true)
	f(Proviso{Unbounded: true, Clauses: of(open)}, "bob-1", false)
	f(Proviso{Unbounded: true, Clauses: of(open)}, "", false)
	f(Proviso{Allowed: true, Unbounded: true, Clauses: of(closed)}, "open", true)
	f(Proviso{Allowed: true, Unbounded: true, Clauses: of(closed)}, "closed", false)
	f(Proviso{Allowed: true, Bounds: of(open)}, "ann-1", true)
	f(Proviso{Allowed: true, Bounds: of(open)}, "x", false)
	f(Proviso{Allowed: true, Unbounded: true, Bounds: of(closed)}, "closed", false)
	f(Proviso{Unbounded: true, Permission: Read, Canonical: bobID}, "", true)
	f(Proviso{Unbounded: true, Permission: Read, Canonical: bobID, Clauses: of(closed)}, "closed", false)
	f(Proviso{Unbounded: true, Permission: WriteACP, Canonical: bobID}, "", false)
	f(Proviso{Unbounded: true, Permission: WriteACP, Canonical: annID}, "", true)
	f(Proviso{Allowed: true, Unbounded: true, Clauses: of(clause(policy.Deny, "Nonsense", "x"))}, "", false)
	if _, err := DecodeProvisos([]byte("{")); err == nil {
		t.Error("a proviso that cannot be read")
	}
}
