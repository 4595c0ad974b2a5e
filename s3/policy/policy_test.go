package policy

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// values is a Context of a test: "key=value" pairs; a key may be there several times.
type values []string

func (v values) Lookup(key string) []string {
	var found []string
	for _, pair := range v {
		if name, value, _ := strings.Cut(pair, "="); name == key {
			found = append(found, value)
		}
	}
	return found
}

const arn = "arn:aws:s3:::"

func TestPattern(t *testing.T) {
	f := func(pattern, s string, want bool) {
		t.Helper()
		p := newPattern(pattern, true, true)
		if got := p.match(s, values{"aws:username=ann", "star=*", "many=1", "many=2"}); got != want {
			t.Errorf("%q fits %q: %v, want %v", pattern, s, got, want)
		}
	}
	f("", "", true)
	f("", "a", false)
	f("abc", "abc", true)
	f("abc", "abcd", false)
	f("*", "", true)
	f("**", "anything/at all", true)
	f("a*c", "ac", true)
	f("a*c", "abcbc", true)
	f("a*c", "abcb", false)
	f("a*b*c", "a1b2b3c", true)
	f("a*b*c", "a1c2b", false)
	f("?", "é", true)
	f("?", "", false)
	f("a?c*", "abc", true)
	f("*/x?z", "a/b/xyz", true)
	f("home/${aws:username}/*", "home/ann/a", true)
	f("home/${aws:username}/*", "home/bob/a", false)
	f("home/${AWS:UserName}", "home/ann", true)
	f("${aws:nobody}", "", false)
	f("${aws:nobody, 'guest'}/*", "guest/x", true)
	f("${star}", "anything", false)
	f("${star}", "*", true)
	f("${many}", "1", false)
	f("a${*}b", "a*b", true)
	f("a${*}b", "axb", false)
	f("a${?}", "ab", false)
	f("${$}{x}", "${x}", true)
	f("${unclosed", "${unclosed", true)
	plain := newPattern("a*${x}", false, false)
	if !plain.match("a*${x}", nil) || plain.match("ab", nil) {
		t.Error("what is no pattern is matched as one")
	}
}

// TestCondition runs one condition at a time: what it demands, what the request has, whether it holds.
func TestCondition(t *testing.T) {
	f := func(condition string, request values, want bool) {
		t.Helper()
		doc := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{` + condition + `}}}`
		p, err := Parse([]byte(doc), Options{})
		if err != nil {
			t.Errorf("%s: %v", condition, err)
			return
		}
		verdict, _ := p.Evaluate(&Request{Action: GetObject, Resource: arn + "b/k", Context: request})
		if got := verdict == Allowed; got != want {
			t.Errorf("%s with %v: %v, want %v", condition, request, got, want)
		}
	}
	f(`"StringEquals":{"s3:prefix":"a"}`, values{"s3:prefix=a"}, true)
	f(`"StringEquals":{"S3:Prefix":["b","a"]}`, values{"s3:prefix=a"}, true)
	f(`"StringEquals":{"s3:prefix":"A"}`, values{"s3:prefix=a"}, false)
	f(`"StringEquals":{"s3:prefix":"a*"}`, values{"s3:prefix=ab"}, false)
	f(`"StringEquals":{"s3:prefix":""}`, values{"s3:prefix="}, true)
	f(`"StringEquals":{"s3:prefix":"a"}`, nil, false)
	f(`"StringEquals":{"s3:prefix":"${aws:username}"}`, values{"s3:prefix=ann", "aws:username=ann"}, true)
	f(`"StringEquals":{"s3:prefix":"${aws:username}"}`, values{"s3:prefix=ann"}, false)
	f(`"StringNotEquals":{"s3:prefix":"a"}`, nil, true)
	f(`"StringNotEquals":{"s3:prefix":["a","b"]}`, values{"s3:prefix=b"}, false)
	f(`"StringNotEquals":{"s3:prefix":["a","b"]}`, values{"s3:prefix=c"}, true)
	f(`"StringEqualsIfExists":{"s3:prefix":"a"}`, nil, true)
	f(`"StringEqualsIfExists":{"s3:prefix":"a"}`, values{"s3:prefix=b"}, false)
	f(`"StringEqualsIgnoreCase":{"s3:prefix":"A"}`, values{"s3:prefix=a"}, true)
	f(`"StringNotEqualsIgnoreCase":{"s3:prefix":"A"}`, values{"s3:prefix=a"}, false)
	f(`"StringLike":{"s3:prefix":["x","a/*"]}`, values{"s3:prefix=a/b"}, true)
	f(`"StringNotLike":{"s3:prefix":"a/*"}`, values{"s3:prefix=a/b"}, false)
	f(`"StringEquals":{"s3:prefix":"a","s3:delimiter":"/"}`, values{"s3:prefix=a"}, false)
	f(`"StringEquals":{"s3:prefix":"a"},"Bool":{"aws:SecureTransport":"true"}`, values{"s3:prefix=a", "aws:securetransport=false"}, false)
	f(`"NumericLessThanEquals":{"s3:max-keys":10}`, values{"s3:max-keys=10"}, true)
	f(`"NumericLessThan":{"s3:max-keys":"10"}`, values{"s3:max-keys=10"}, false)
	f(`"NumericLessThan":{"s3:max-keys":3000}`, values{"s3:max-keys=2006"}, true)
	f(`"NumericNotEquals":{"s3:max-keys":[1,2]}`, values{"s3:max-keys=3"}, true)
	f(`"NumericEquals":{"s3:max-keys":1}`, values{"s3:max-keys=x"}, false)
	f(`"DateGreaterThan":{"aws:CurrentTime":"2026-01-01T00:00:00Z"}`, values{"aws:currenttime=2026-02-01T00:00:00Z"}, true)
	f(`"DateLessThan":{"aws:CurrentTime":"2026"}`, values{"aws:currenttime=2026-02-01T00:00:00Z"}, false)
	f(`"DateLessThan":{"aws:EpochTime":"1767225600"}`, values{"aws:epochtime=1767225599"}, true)
	f(`"Bool":{"aws:SecureTransport":false}`, values{"aws:securetransport=false"}, true)
	f(`"Bool":{"aws:MultiFactorAuthPresent":"true"}`, nil, false)
	f(`"BoolIfExists":{"aws:MultiFactorAuthPresent":"true"}`, nil, true)
	f(`"BinaryEquals":{"x:y":"QmluYXJ5"}`, values{"x:y=QmluYXJ5"}, true)
	f(`"IpAddress":{"aws:SourceIp":["10.0.0.0/8","192.0.2.1"]}`, values{"aws:sourceip=10.1.2.3"}, true)
	f(`"IpAddress":{"aws:SourceIp":"192.0.2.1"}`, values{"aws:sourceip=192.0.2.2"}, false)
	f(`"IpAddress":{"aws:SourceIp":"2001:db8::/32"}`, values{"aws:sourceip=2001:db8::1"}, true)
	f(`"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}`, values{"aws:sourceip=::ffff:10.0.0.1"}, true)
	f(`"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}`, values{"aws:sourceip=10.0.0.1"}, false)
	f(`"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/a*"}`, values{"aws:principalarn=arn:aws:iam::123456789012:user/ann"}, true)
	f(`"ArnEquals":{"aws:PrincipalArn":"arn:aws:*:user/ann"}`, values{"aws:principalarn=arn:aws:iam::123456789012:user/ann"}, false)
	f(`"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/a*"}`, values{"aws:principalarn=arn:aws:iam::1:role/r"}, true)
	f(`"Null":{"s3:prefix":"true"}`, nil, true)
	f(`"Null":{"s3:prefix":true}`, values{"s3:prefix=a"}, false)
	f(`"Null":{"s3:prefix":"false"}`, values{"s3:prefix=a"}, true)
	tags := `:StringEquals":{"s3:RequestObjectTagKeys":["a","b"]}`
	f(`"ForAllValues`+tags, nil, true)
	f(`"ForAllValues`+tags, values{"s3:requestobjecttagkeys=a", "s3:requestobjecttagkeys=b"}, true)
	f(`"ForAllValues`+tags, values{"s3:requestobjecttagkeys=a", "s3:requestobjecttagkeys=c"}, false)
	f(`"ForAnyValue`+tags, nil, false)
	f(`"ForAnyValue`+tags, values{"s3:requestobjecttagkeys=c", "s3:requestobjecttagkeys=b"}, true)
	f(`"ForAnyValue`+tags, values{"s3:requestobjecttagkeys=c"}, false)
	f(`"ForAnyValue:StringNotEquals":{"s3:RequestObjectTagKeys":["a"]}`, values{"s3:requestobjecttagkeys=a", "s3:requestobjecttagkeys=c"}, true)
	f(`"ForAllValues:StringNotLike":{"s3:RequestObjectTagKeys":["a*"]}`, values{"s3:requestobjecttagkeys=ab", "s3:requestobjecttagkeys=c"}, false)
	f(`"StringEquals":{"s3:RequestObjectTag/k":"v"}`, values{"s3:requestobjecttag/k=v"}, true)
}

// TestEvaluate runs whole documents of a bucket.
func TestEvaluate(t *testing.T) {
	ann := Principal{ARN: "arn:aws:iam::123456789012:user/ann", Account: "123456789012", Canonical: "c0ffee"}
	root := Principal{ARN: "arn:aws:iam::123456789012:root", Account: "123456789012", Root: true}
	f := func(statements string, who Principal, action Action, resource, want string) {
		t.Helper()
		p, err := Parse([]byte(`{"Version":"2012-10-17","Statement":[`+statements+`]}`), Options{Kind: Bucket, Bucket: "b"})
		if err != nil {
			t.Errorf("%s: %v", statements, err)
			return
		}
		verdict, by := p.Evaluate(&Request{Principal: who, Action: action, Resource: arn + resource, Context: values{}})
		if got := fmt.Sprint(verdict, " ", p.Statement(by)); got != want {
			t.Errorf("%s: %s %s: %q, want %q", statements, action, resource, got, want)
		}
	}
	one := func(effect, who, action, resource string) string {
		return `{"Effect":"` + effect + `",` + who + `,"Action":"` + action + `","Resource":"` + arn + resource + `"}`
	}
	public := one("Allow", `"Principal":"*"`, "s3:GetObject", "b/*")
	f(public, Principal{}, GetObject, "b/k", "1 1")
	f(public, ann, GetObject, "b/k", "1 1")
	f(public, Principal{}, PutObject, "b/k", "0 ")
	f(public, Principal{}, GetObject, "b", "0 ")
	f(one("Allow", `"Principal":{"AWS":["*"]}`, "s3:g?tobject*", "b/a*"), Principal{}, GetObjectTagging, "b/abc", "1 1")
	f(one("Allow", `"Principal":{"AWS":"`+ann.ARN+`"}`, "s3:*", "b/*"), ann, PutObject, "b/k", "1 1")
	f(one("Allow", `"Principal":{"AWS":"`+ann.ARN+`"}`, "s3:*", "b/*"), Principal{}, PutObject, "b/k", "0 ")
	f(one("Allow", `"Principal":{"AWS":"AIDAANN"}`, "s3:*", "b/*"), Principal{ARN: ann.ARN, ID: "AIDAANN"}, PutObject, "b/k", "1 1")
	f(one("Allow", `"Principal":{"AWS":"AIDAANN"}`, "s3:*", "b/*"), Principal{ARN: ann.ARN, ID: "AIDAOTHER"}, PutObject, "b/k", "0 ")
	f(one("Allow", `"Principal":{"CanonicalUser":"c0ffee"}`, "s3:*", "b/*"), ann, PutObject, "b/k", "1 1")
	f(one("Allow", `"Principal":{"AWS":"123456789012"}`, "*", "b/*"), ann, PutObject, "b/k", "0 ")
	f(one("Allow", `"Principal":{"AWS":"arn:aws:iam::123456789012:root"}`, "*", "b/*"), root, PutObject, "b/k", "1 1")
	f(one("Deny", `"Principal":{"AWS":"123456789012"}`, "*", "b/*"), ann, PutObject, "b/k", "2 1")
	f(public+`,`+`{"Sid":"not secret","Effect":"Deny","Principal":"*","Action":["s3:GetObject"],"Resource":["`+arn+`b/secret/*"]}`, ann, GetObject, "b/secret/x", "2 not secret")
	f(public+`,`+`{"Effect":"Deny","NotPrincipal":{"AWS":"`+ann.ARN+`"},"Action":"s3:*","Resource":["`+arn+`b","`+arn+`b/*"]}`, Principal{}, GetObject, "b/k", "2 2")
	f(public+`,`+`{"Effect":"Deny","NotPrincipal":{"AWS":"`+ann.ARN+`"},"Action":"s3:*","Resource":["`+arn+`b","`+arn+`b/*"]}`, ann, GetObject, "b/k", "1 1")
	f(`{"Effect":"Allow","Principal":"*","NotAction":"s3:DeleteObject","Resource":"`+arn+`b/*"}`, ann, DeleteObject, "b/k", "0 ")
	f(`{"Effect":"Allow","Principal":"*","NotAction":"s3:DeleteObject","Resource":"`+arn+`b/*"}`, ann, PutObject, "b/k", "1 1")
	f(`{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","NotResource":"`+arn+`b/secret/*"}`, ann, GetObject, "b/secret/k", "0 ")
	f(`{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","NotResource":"`+arn+`b/secret/*"}`, ann, GetObject, "b/k", "1 1")
}

// TestMalformed: what is refused, and with which words.
func TestMalformed(t *testing.T) {
	f := func(o Options, doc, want string) {
		t.Helper()
		_, err := Parse([]byte(doc), o)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", doc, err, want)
		}
	}
	bucket := func(statement, want string) {
		t.Helper()
		f(Options{Kind: Bucket, Bucket: "b"}, `{"Statement":[`+statement+`]}`, want)
	}
	user := func(statement, want string) {
		t.Helper()
		f(Options{}, `{"Version":"2012-10-17","Statement":`+statement+`}`, want)
	}
	f(Options{}, ``, "first byte must be '{'")
	f(Options{}, `[]`, "first byte must be '{'")
	f(Options{}, `{"Statement":`, "invalid Json")
	f(Options{}, `{"Statement":[],"Statement":[]}`, "Duplicate")
	f(Options{}, `{}`, "Missing required field Statement")
	f(Options{}, `{"Version":"2013-10-17","Statement":[]}`, "valid version string")
	f(Options{}, `{"Verzion":"x","Statement":[]}`, "Unknown field Verzion")
	f(Options{}, `{"Statement":[]}`, "Statement is empty")
	f(Options{Kind: Bucket}, strings.Repeat(" ", 20481), "maximum allowed size of 20480")
	bucket(`{}`, "Missing required field Effect")
	bucket(`{"Effect":"allow"}`, "Invalid effect: allow")
	bucket(`{"Effect":"Allow"}`, "Missing required field Principal")
	bucket(`{"Effect":"Allow","Principal":{"AWS":"x"}}`, "Invalid principal in policy")
	bucket(`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:user/*"}}`, "Invalid principal in policy")
	bucket(`{"Effect":"Allow","Principal":{"Nobody":"x"}}`, "Invalid principal in policy")
	bucket(`{"Effect":"Allow","Principal":"*"}`, "Missing required field Action")
	bucket(`{"Effect":"Allow","Principal":"*","Action":"s3:ListObjects"}`, "Policy has invalid action")
	bucket(`{"Effect":"Allow","Principal":"*","Action":"iam:CreateUser"}`, "Policy has invalid action")
	bucket(`{"Effect":"Allow","Principal":"*","Action":"s3:GetObject"}`, "Missing required field Resource")
	bucket(`{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::other/*"}`, "Policy has invalid resource")
	bucket(`{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"b/*"}`, "Policy has invalid resource")
	bucket(`{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b"}`, "Action does not apply to any resource(s) in statement")
	bucket(`{"Effect":"Allow","Principal":"*","Action":"s3:ListBucket","Resource":"arn:aws:s3:::b/*"}`, "Action does not apply to any resource(s) in statement")
	bucket(`{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*","Condition":{"Foo":{"s3:prefix":"x"}}}`, "Invalid Condition type : Foo")
	bucket(`{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*","Condition":{"StringEquals":{"s3:foo":"x"}}}`, "invalid condition key")
	bucket(`{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*","Condition":{"StringEquals":{"s3:prefix":"x"}}}`, "Conditions do not apply")
	bucket(`{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*","Condition":{"IpAddress":{"aws:SourceIp":"x"}}}`, "Invalid IP")
	mixed := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":["s3:ListBucket","s3:GetObject"],"Resource":"arn:aws:s3:::b/*"}}`
	f(Options{Kind: Bucket, Bucket: "b", New: true}, mixed, "Action does not apply to any resource(s) in statement")
	f(Options{Kind: Bucket, Bucket: "b", New: true}, strings.ReplaceAll(mixed, "b/*", "b"), "Action does not apply to any resource(s) in statement")
	for doc, o := range map[string]Options{
		mixed: {Kind: Bucket, Bucket: "b"}, // kept by an earlier release
		strings.ReplaceAll(mixed, `"arn:aws:s3:::b/*"`, `["arn:aws:s3:::b","arn:aws:s3:::b/*"]`): {Kind: Bucket, Bucket: "b", New: true},
		strings.ReplaceAll(mixed, `["s3:ListBucket","s3:GetObject"]`, `["s3:*","s3:Get*"]`):      {Kind: Bucket, Bucket: "b", New: true},
	} {
		if _, err := Parse([]byte(doc), o); err != nil {
			t.Errorf("%s: %v", doc, err)
		}
	}
	user(`{"Effect":"Allow","Action":"s3:*","Resource":"*","Principal":"*"}`, "should not specify a principal")
	user(`{"Effect":"Allow","Action":"GetObject","Resource":"*"}`, "prefaced by a vendor")
	user(`{"Effect":"Allow","Action":"s3:*","Resource":"bucket"}`, "ARN format")
	user(`{"Effect":"Allow","Action":"s3:*","NotAction":"s3:*","Resource":"*"}`, "both")
	user(`{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"NumericEquals":{"s3:max-keys":"x"}}}`, "Invalid value")
	user(`{"Sid":"a b","Effect":"Allow","Action":"s3:*","Resource":"*"}`, "alpha-numeric")
	user(`[{"Sid":"a","Effect":"Allow","Action":"s3:*","Resource":"*"},{"Sid":"a","Effect":"Allow","Action":"s3:*","Resource":"*"}]`, "unique")
	f(Options{Kind: Trust}, `{"Statement":{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Resource":"*"}}`, "prohibited field Resource")
}

func TestPublic(t *testing.T) {
	f := func(statement string, want bool) {
		t.Helper()
		p, err := Parse([]byte(`{"Version":"2012-10-17","Statement":[`+statement+`]}`), Options{Kind: Bucket, Bucket: "b"})
		if err != nil {
			t.Error(err)
		} else if p.Public() != want {
			t.Errorf("%s: public %v, want %v", statement, !want, want)
		}
	}
	const get = `"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"`
	f(`{"Effect":"Allow","Principal":"*",`+get+`}`, true)
	f(`{"Effect":"Deny","Principal":"*",`+get+`}`, false)
	f(`{"Effect":"Allow","Principal":{"AWS":"123456789012"},`+get+`}`, false)
	f(`{"Effect":"Allow","Principal":"*",`+get+`,"Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}`, false)
	f(`{"Effect":"Allow","Principal":"*",`+get+`,"Condition":{"IpAddress":{"aws:SourceIp":"0.0.0.0/1"}}}`, true)
	f(`{"Effect":"Allow","Principal":"*",`+get+`,"Condition":{"StringLike":{"aws:SourceVpc":"vpc-*"}}}`, true)
	f(`{"Effect":"Allow","Principal":"*",`+get+`,"Condition":{"StringEquals":{"aws:SourceVpc":"vpc-1"}}}`, false)
	f(`{"Effect":"Allow","Principal":"*",`+get+`,"Condition":{"Bool":{"aws:SecureTransport":"true"}}}`, true)
	f(`{"Effect":"Allow","Principal":"*",`+get+`,"Condition":{"StringEquals":{"aws:userid":"AIDAX"}}}`, false)
	f(`{"Effect":"Allow","Principal":"*",`+get+`,"Condition":{"StringEquals":{"aws:userid":["AIDAX","anonymous"]}}}`, true)
}

// TestActions: the table is whole, and fits into a set.
func TestActions(t *testing.T) {
	seen := make(map[string]bool)
	n := 0
	for a, i := range all {
		n++
		if lower := strings.ToLower(i.name); seen[lower] {
			t.Errorf("%s is there twice", i.name)
		} else {
			seen[lower] = true
		}
		if ActionOf(strings.ToUpper(i.name)) != a || a.String() != i.name {
			t.Errorf("%s does not name itself", i.name)
		}
	}
	if want := int(actionEnd) - 1 + len(otherActions); n != want || want >= 64*actionWords {
		t.Errorf("%d actions of %d have a name; a set holds %d", n, want, 64*actionWords)
	}
}

func TestNoAllocation(t *testing.T) {
	p, err := Parse([]byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:Get*","Resource":"arn:aws:s3:::b/${aws:username}/*"}]}`), Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := &Request{Action: GetObject, Resource: arn + "b/ann/k", Context: fixed{"ann"}}
	if n := testing.AllocsPerRun(100, func() { p.Evaluate(r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

type fixed []string

func (f fixed) Lookup(string) []string { return f }

// FuzzParse: no document makes Parse or Evaluate panic, whatever is refused is an *Error, and a document that denies
// everything to everybody is never overruled by what stands beside it.
func FuzzParse(f *testing.F) {
	for _, doc := range []string{
		`{"Version":"2012-10-17","Id":"x","Statement":[{"Sid":"1","Effect":"Allow","Principal":{"AWS":["123456789012","arn:aws:iam::123456789012:user/a"]},"Action":["s3:GetObject"],"Resource":["arn:aws:s3:::b/${aws:username, 'x'}*"]}]}`,
		`{"Statement":{"Effect":"Deny","NotPrincipal":"*","NotAction":"*","NotResource":"*","Condition":{"ForAllValues:StringNotLikeIfExists":{"s3:prefix":["a*",1,true]},"Null":{"aws:x":false}}}}`,
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"DateLessThan":{"aws:CurrentTime":"2026-01-01"},"IpAddress":{"aws:SourceIp":"::/0"},"ArnLike":{"aws:PrincipalArn":"arn:*:*:*:*:*"},"NumericEquals":{"s3:max-keys":1e3},"BinaryEquals":{"a:b":"AA=="}}}]}`,
		`{"Statement":[{"Effect":"Allow","Principal":{"Federated":"x"},"Action":"sts:AssumeRoleWithWebIdentity"}]}`,
		`{"Statement":[{"Effect":"Allow","Principal":{"Federated":"x"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringLike":{"h:1/p:sub":"a*"}}}]}`,
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"ForAnyValue:StringLikeIfExists":{"s3:ExistingObjectTag/a b":["${aws:username, 'x'}*","a"]},"Null":{"s3:ExistingObjectTag/x":"true"},"StringEquals":{"s3:prefix":"a"}}},{"Effect":"Deny","Action":"s3:Get*","Resource":"*","Condition":{"ArnNotLike":{"s3:existingobjecttag/c":"arn:*"}}}]}`,
	} {
		f.Add([]byte(doc), "b/k", "a")
	}
	f.Add([]byte(`{ "Statement" : [{"Sid":"arn:aws:iam::000000000000:user/ann","Effect":"Deny","NotPrincipal" : {"AWS":[ "*" ,"arn:aws:iam:\u003a000000000000:user\/ann", "AIDAX"],"CanonicalUser":"arn:aws:iam::000000000000:user/ann"}, "Action":"s3:*","Resource":["arn:aws:s3:::b","arn:aws:s3:::b/*"]},`+
		`{"Effect":"Allow","Principal":{"Service":["x"],"AWS":"000000000000"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}]}`), "b/k", "a")
	f.Fuzz(func(t *testing.T, doc []byte, resource, value string) {
		for _, kind := range []Kind{Identity, Bucket, Trust} {
			p, err := Parse(doc, Options{Kind: kind, Bucket: "b"})
			if err != nil {
				if _, ok := err.(*Error); !ok {
					t.Fatalf("%T: %v", err, err)
				}
				continue
			}
			r := &Request{Action: GetObject, Resource: arn + resource, Context: fixed{value, value}}
			verdict, by := p.Evaluate(r)
			if (verdict == Silent) != (p.Statement(by) == "") {
				t.Fatalf("verdict %v by %d", verdict, by)
			}
			if got := inTwo(p, r, value); got != verdict {
				t.Fatalf("verdict %v, in two steps %v: %s", verdict, got, doc)
			}
			p.Public()
			checkRenamed(t, doc, p, Options{Kind: kind, Bucket: "b"})
		}
	})
}

// checkRenamed demands that a document stays as it is when nobody in it is renamed, differs only in its principals when all are
// replaced by ids, and says the same when they are back.
func checkRenamed(t *testing.T, doc []byte, p *Policy, o Options) {
	same, err := Rename(doc, func(p string) string { return p })
	if err != nil || string(same) != string(doc) {
		t.Fatalf("%v: %q, not %q", err, same, doc)
	}
	ids, names := make(map[string]string), make(map[string]string)
	kept, err := Rename(doc, func(p string) string {
		if p == "*" || IsID(p) {
			return p
		}
		if ids[p] == "" {
			ids[p] = fmt.Sprintf("AIDAID%d", len(ids))
			names[ids[p]] = p
		}
		return ids[p]
	})
	if err != nil {
		t.Fatal(err)
	}
	renamed, err := Parse(kept, o)
	if err != nil || !reflect.DeepEqual(unnamed(renamed), unnamed(p)) {
		t.Fatalf("%v: %q of %q", err, kept, doc)
	}
	told, err := Rename(kept, func(p string) string {
		if name, ok := names[p]; ok {
			return name
		}
		return p
	})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Parse(told, o); err != nil || !reflect.DeepEqual(again, p) {
		t.Fatalf("%v: %q of %q by %q", err, told, doc, kept)
	}
}

// unnamed is a policy without the AWS principals of its statements.
func unnamed(p *Policy) *Policy {
	without := &Policy{ID: p.ID}
	for _, s := range p.statements {
		if s.principals != nil {
			all := *s.principals
			all.aws = nil
			s.principals = &all
		}
		without.statements = append(without.statements, s)
	}
	return without
}

// TestRename: principals are replaced where they stand, in whatever form, and nothing else is.
func TestRename(t *testing.T) {
	f := func(doc, want string) {
		t.Helper()
		got, err := Rename([]byte(doc), func(p string) string {
			if p == "arn:aws:iam::000000000000:user/ann" {
				return "AIDAANN"
			}
			return p
		})
		if err != nil || string(got) != want {
			t.Errorf("%v: %s, want %s", err, got, want)
		}
	}
	f(`{"Statement":{"Principal":{"AWS":"arn:aws:iam::000000000000:user/ann"}}}`, `{"Statement":{"Principal":{"AWS":"AIDAANN"}}}`)
	f(`{ "Statement" : [ {"Sid":"arn:aws:iam::000000000000:user/ann", "NotPrincipal" : { "AWS" : [ "*" , "arn:aws:iam:\u003a000000000000:user\/ann" ,"x"] } },`+"\n"+`{"Principal":"*"}, {"Principal":{"Federated":"arn:aws:iam::000000000000:user/ann","AWS":"arn:aws:iam::000000000000:user/ann"}}]}`,
		`{ "Statement" : [ {"Sid":"arn:aws:iam::000000000000:user/ann", "NotPrincipal" : { "AWS" : [ "*" , "AIDAANN" ,"x"] } },`+"\n"+`{"Principal":"*"}, {"Principal":{"Federated":"arn:aws:iam::000000000000:user/ann","AWS":"AIDAANN"}}]}`)
	f(`{"Statement":{"Condition":{"StringEquals":{"aws:PrincipalArn":"arn:aws:iam::000000000000:user/ann"}}}}`, `{"Statement":{"Condition":{"StringEquals":{"aws:PrincipalArn":"arn:aws:iam::000000000000:user/ann"}}}}`)
}

// inTwo evaluates a policy as a gateway and the owner of an object do, whose tags all have one value.
func inTwo(p *Policy, r *Request, value string) Verdict {
	first := *r
	first.Defer = true
	verdict, _ := p.Evaluate(&first)
	for _, effect := range []Effect{Deny, Allow} {
		for _, c := range first.Deferred {
			holds := c.Effect == effect && c.Holds(func(string) (string, bool) { return value, true })
			switch {
			case holds && effect == Deny:
				return Denied
			case holds && verdict == Silent:
				verdict = Allowed
			}
		}
	}
	return verdict
}

// FuzzPattern compares the matcher with the plainest one.
func FuzzPattern(f *testing.F) {
	f.Add("a*b?c*", "axxbyc")
	f.Add("*a*a*a", "aaaa")
	f.Add("0*??0", "0䗄0")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 12 || len(s) > 24 || strings.Contains(pattern, "$") || !utf8.ValidString(pattern) || !utf8.ValidString(s) {
			return
		}
		p := newPattern(pattern, true, true)
		if got, want := p.match(s, nil), plain([]rune(pattern), []rune(s)); got != want {
			t.Fatalf("%q fits %q: %v, want %v", pattern, s, got, want)
		}
	})
}

func plain(p, s []rune) bool {
	switch {
	case len(p) == 0:
		return len(s) == 0
	case p[0] == '*':
		return plain(p[1:], s) || len(s) > 0 && plain(p, s[1:])
	case len(s) == 0:
		return false
	}
	return (p[0] == '?' || p[0] == s[0]) && plain(p[1:], s[1:])
}
