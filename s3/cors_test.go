package s3

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

const exampleCORS = `<CORSConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
<CORSRule><ID>one</ID><AllowedMethod>GET</AllowedMethod><AllowedMethod>PUT</AllowedMethod><AllowedOrigin>https://*.example.com</AllowedOrigin>
<AllowedHeader>X-Amz-Meta-*</AllowedHeader><AllowedHeader>content-type</AllowedHeader><ExposeHeader>ETag</ExposeHeader><ExposeHeader>x-amz-version-id</ExposeHeader>
<MaxAgeSeconds>3000</MaxAgeSeconds></CORSRule>
<CORSRule><AllowedMethod>GET</AllowedMethod><AllowedOrigin>*</AllowedOrigin></CORSRule>
<CORSRule><AllowedMethod>DELETE</AllowedMethod><AllowedOrigin>http://plain</AllowedOrigin><AllowedHeader>*</AllowedHeader></CORSRule></CORSConfiguration>`

func TestParseCORS(t *testing.T) {
	c, err := ParseCORS([]byte(exampleCORS))
	if err != nil || len(c.Rules) != 3 {
		t.Fatalf("%+v, %v", c, err)
	}
	again, err := ParseCORS(c.XML())
	if err != nil || !reflect.DeepEqual(c, again) {
		t.Fatalf("%+v came back as %+v, %v", c, again, err)
	}
	value, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := DecodeCORS(value); err != nil || !reflect.DeepEqual(kept, any(c)) {
		t.Fatalf("%+v was kept as %+v, %v", c, kept, err)
	}
	bad := func(code Code, rules ...string) {
		t.Helper()
		_, err := ParseCORS([]byte("<CORSConfiguration>" + strings.Join(rules, "") + "</CORSConfiguration>"))
		wantCode(t, err, code)
	}
	const origin, method = "<AllowedOrigin>*</AllowedOrigin>", "<AllowedMethod>GET</AllowedMethod>"
	rule := func(s string) string { return "<CORSRule>" + s + "</CORSRule>" }
	bad(MalformedXML)
	bad(MalformedXML, "<Rule/>")
	bad(MalformedXML, rule(origin))
	bad(MalformedXML, rule(method))
	bad(MalformedXML, rule(origin+method+"<Other>x</Other>"))
	bad(MalformedXML, rule(origin+method+"<MaxAgeSeconds>x</MaxAgeSeconds>"))
	bad(MalformedXML, rule(origin+method+"<ID>"+strings.Repeat("x", 256)+"</ID>"))
	bad(InvalidRequest, rule(origin+"<AllowedMethod>OPTIONS</AllowedMethod>"))
	bad(InvalidRequest, rule(origin+"<AllowedMethod>get</AllowedMethod>"))
	bad(InvalidRequest, rule(method+"<AllowedOrigin>a*b*</AllowedOrigin>"))
	bad(InvalidRequest, rule(origin+method+"<AllowedHeader>**</AllowedHeader>"))
	bad(InvalidRequest, rule(origin+method+"<ExposeHeader>x-*</ExposeHeader>"))
	bad(InvalidRequest, strings.Repeat(rule(origin+method), 101))
	_, err = ParseCORS([]byte("<Other>" + rule(origin+method) + "</Other>"))
	wantCode(t, err, MalformedXML)
}

func TestPreflight(t *testing.T) {
	c, err := ParseCORS([]byte(exampleCORS))
	if err != nil {
		t.Fatal(err)
	}
	f := func(origin, method, headers string, want ...string) {
		t.Helper()
		got, err := c.Preflight(fields{{"Origin", origin}, {"Access-Control-Request-Method", method}, {"Access-Control-Request-Headers", headers}}, true)
		if len(want) == 1 {
			wantCode(t, err, Code(want[0]))
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(want); i += 2 {
			at := fieldIndex(got, want[i])
			if at < 0 && want[i+1] != "" || at >= 0 && got[at].Value != want[i+1] {
				t.Fatalf("%v: want %s: %q", got, want[i], want[i+1])
			}
		}
	}
	const allow = "Access-Control-Allow-"
	f("https://a.example.com", "PUT", "", allow+"Origin", "https://a.example.com", allow+"Methods", "GET, PUT", allow+"Credentials", "true", allow+"Headers", "",
		"Access-Control-Max-Age", "3000", "Access-Control-Expose-Headers", "ETag, x-amz-version-id", "Vary", corsVary)
	f("https://a.example.com", "PUT", "X-Amz-Meta-A, Content-Type", allow+"Headers", "x-amz-meta-a, content-type")
	f("https://a.example.com", "PUT", "x-other", "AccessForbidden")
	f("https://example.com", "PUT", "", "AccessForbidden")
	f("https://a.example.com", "DELETE", "", "AccessForbidden")
	f("https://else", "GET", "", allow+"Origin", "*", allow+"Credentials", "", allow+"Methods", "GET", "Access-Control-Max-Age", "")
	f("https://else", "GET", "x", "AccessForbidden")
	f("http://plain", "DELETE", "x, y", allow+"Headers", "x, y")
	f("", "GET", "", "BadRequest")
	f("http://plain", "", "", "BadRequest")
	f("http://plain", "PATCH", "", "BadRequest")
	c = nil
	f("http://plain", "GET", "", "AccessForbidden")
}

func TestSimpleCORS(t *testing.T) {
	c, err := ParseCORS([]byte(exampleCORS))
	if err != nil {
		t.Fatal(err)
	}
	f := func(method, want string, pairs ...string) {
		t.Helper()
		got := c.Simple(method, fields{}.with(pairs...))
		if want == "" && got != nil || want != "" && (len(got) == 0 || got[0].Value != want) {
			t.Fatalf("%s %v: %v, want %q", method, pairs, got, want)
		}
	}
	f("PUT", "https://a.example.com", "Origin", "https://a.example.com")
	f("PUT", "", "Origin", "https://other")
	f("PUT", "*", "Origin", "https://other", "Access-Control-Request-Method", "GET")
	f("GET", "*", "Origin", "https://other")
}

func TestBucketDocuments(t *testing.T) {
	tags, err := ParseBucketTagging([]byte("<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"))
	if err != nil || len(tags.Set) != 1 {
		t.Fatal(tags, err)
	}
	value, _ := json.Marshal(tags)
	if kept, err := DecodeTags(value); err != nil || !reflect.DeepEqual(kept, any(tags)) {
		t.Fatalf("%v was kept as %v, %v", tags, kept, err)
	}
	for _, payer := range []string{"Requester", "BucketOwner"} {
		p, err := ParseRequestPayment([]byte("<RequestPaymentConfiguration><Payer>" + payer + "</Payer></RequestPaymentConfiguration>"))
		if err != nil || p.Payer != payer || !strings.Contains(string(p.XML()), payer) {
			t.Fatal(p, err)
		}
		value, _ := json.Marshal(p)
		if kept, err := DecodeRequestPayment(value); err != nil || !reflect.DeepEqual(kept, any(p)) {
			t.Fatalf("%v was kept as %v, %v", p, kept, err)
		}
	}
	for _, bad := range []string{"", "<RequestPaymentConfiguration/>", "<RequestPaymentConfiguration><Payer>Me</Payer></RequestPaymentConfiguration>", "<X><Payer>Requester</Payer></X>"} {
		_, err := ParseRequestPayment([]byte(bad))
		wantCode(t, err, MalformedXML)
	}
}

func FuzzCORS(f *testing.F) {
	f.Add([]byte(exampleCORS), "https://a.example.com", "GET", "x-amz-meta-a, b")
	f.Fuzz(func(t *testing.T, doc []byte, origin, method, headers string) {
		c, err := ParseCORS(doc)
		classified(t, err)
		if err != nil {
			return
		}
		if again, err := ParseCORS(c.XML()); err != nil || len(again.Rules) != len(c.Rules) {
			t.Fatalf("%+v came back as %+v, %v", c, again, err)
		}
		_, err = c.Preflight(fields{{"Origin", origin}, {"Access-Control-Request-Method", method}, {"Access-Control-Request-Headers", headers}}, false)
		classified(t, err)
		c.Simple(method, fields{{"Origin", origin}})
	})
}
