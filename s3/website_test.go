package s3

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

const exampleWebsite = `<WebsiteConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
<IndexDocument><Suffix>index.html</Suffix></IndexDocument><ErrorDocument><Key>errors/page.html</Key></ErrorDocument>
<RoutingRules>
<RoutingRule><Condition><KeyPrefixEquals>docs/</KeyPrefixEquals></Condition><Redirect><ReplaceKeyPrefixWith>documents/</ReplaceKeyPrefixWith></Redirect></RoutingRule>
<RoutingRule><Condition><KeyPrefixEquals>one</KeyPrefixEquals></Condition><Redirect><ReplaceKeyWith>two?a=b c</ReplaceKeyWith><HttpRedirectCode>302</HttpRedirectCode></Redirect></RoutingRule>
<RoutingRule><Condition><HttpErrorCodeReturnedEquals>404</HttpErrorCodeReturnedEquals><KeyPrefixEquals>img/</KeyPrefixEquals></Condition>
<Redirect><Protocol>https</Protocol><HostName>elsewhere.example.com</HostName><ReplaceKeyPrefixWith></ReplaceKeyPrefixWith></Redirect></RoutingRule>
</RoutingRules></WebsiteConfiguration>`

func TestParseWebsite(t *testing.T) {
	w, err := ParseWebsite([]byte(exampleWebsite))
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseWebsite(w.XML())
	if err != nil || !reflect.DeepEqual(w, again) {
		t.Fatalf("%+v came back as %+v, %v", w, again, err)
	}
	value, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := DecodeWebsite(value); err != nil || !reflect.DeepEqual(kept, any(w)) {
		t.Fatalf("%+v was kept as %+v, %v", w, kept, err)
	}
	all := `<RedirectAllRequestsTo><HostName>h</HostName><Protocol>https</Protocol></RedirectAllRequestsTo>`
	if w, err := ParseWebsite([]byte("<WebsiteConfiguration>" + all + "</WebsiteConfiguration>")); err != nil || *w.RedirectAll != (RedirectHost{"h", "https"}) {
		t.Fatalf("%+v, %v", w, err)
	}
	bad := func(code Code, parts ...string) {
		t.Helper()
		_, err := ParseWebsite([]byte("<WebsiteConfiguration>" + strings.Join(parts, "") + "</WebsiteConfiguration>"))
		wantCode(t, err, code)
	}
	const index = "<IndexDocument><Suffix>i</Suffix></IndexDocument>"
	bad(InvalidArgument)
	bad(InvalidArgument, "<ErrorDocument><Key>k</Key></ErrorDocument>")
	bad(InvalidArgument, "<IndexDocument><Suffix></Suffix></IndexDocument>")
	bad(InvalidArgument, "<IndexDocument><Suffix>a/b</Suffix></IndexDocument>")
	bad(InvalidArgument, index, all)
	bad(MalformedXML, "<IndexDocument></IndexDocument>")
	bad(MalformedXML, index, index)
	bad(MalformedXML, index, "<Unknown/>")
	bad(MalformedXML, index, "<ErrorDocument><Key></Key></ErrorDocument>")
	bad(KeyTooLong, index, "<ErrorDocument><Key>"+strings.Repeat("k", 1025)+"</Key></ErrorDocument>")
	bad(MalformedXML, "<RedirectAllRequestsTo><Protocol>http</Protocol></RedirectAllRequestsTo>")
	bad(InvalidRequest, "<RedirectAllRequestsTo><HostName>h</HostName><Protocol>ftp</Protocol></RedirectAllRequestsTo>")
	bad(InvalidRequest, "<RedirectAllRequestsTo><HostName>a/b</HostName></RedirectAllRequestsTo>")
	rule := func(code Code, s string) {
		t.Helper()
		bad(code, index, "<RoutingRules><RoutingRule>"+s+"</RoutingRule></RoutingRules>")
	}
	bad(MalformedXML, index, "<RoutingRules></RoutingRules>")
	rule(MalformedXML, "")
	rule(MalformedXML, "<Redirect></Redirect>")
	rule(MalformedXML, "<Redirect><HostName>h</HostName></Redirect><Else/>")
	rule(InvalidRequest, "<Condition></Condition><Redirect><HostName>h</HostName></Redirect>")
	rule(InvalidRequest, "<Condition><HttpErrorCodeReturnedEquals>200</HttpErrorCodeReturnedEquals></Condition><Redirect><HostName>h</HostName></Redirect>")
	rule(InvalidRequest, "<Redirect><HostName>h</HostName><HttpRedirectCode>300</HttpRedirectCode></Redirect>")
	rule(InvalidRequest, "<Redirect><ReplaceKeyWith>a</ReplaceKeyWith><ReplaceKeyPrefixWith>b</ReplaceKeyPrefixWith></Redirect>")
	rule(InvalidRequest, "<Redirect><Protocol>gopher</Protocol></Redirect>")
	bad(InvalidRequest, index, "<RoutingRules>"+strings.Repeat("<RoutingRule><Redirect><HostName>h</HostName></Redirect></RoutingRule>", 51)+"</RoutingRules>")
}

func TestWebsiteRedirect(t *testing.T) {
	w, err := ParseWebsite([]byte(exampleWebsite))
	if err != nil {
		t.Fatal(err)
	}
	f := func(key string, status, code int, location string) {
		t.Helper()
		gotCode, got := w.Redirect(WebsiteRequest{"http", "b.web:80", key}, status)
		if gotCode != code || got != location {
			t.Errorf("%q after %d: %d %q", key, status, gotCode, got)
		}
	}
	f("", 0, 0, "")
	f("docs/a b", 0, 301, "http://b.web:80/documents/a%20b")
	f("one", 0, 302, "http://b.web:80/two?a=bc")
	f("img/x", 0, 0, "")
	f("img/x", 404, 301, "https://elsewhere.example.com/x")
	f("img/x", 403, 0, "")
	f("docs/x", 404, 0, "")
	w = &Website{RedirectAll: &RedirectHost{Host: "h"}}
	f("a\r\nb", 0, 301, "http://h/a%0D%0Ab")
	w = &Website{Index: "i", Rules: []RoutingRule{{Redirect: RoutingRedirect{RedirectHost: RedirectHost{Host: "every"}}}}}
	f("a", 0, 301, "http://every/a")
	f("a", 404, 0, "")
}

func TestWebsiteHosts(t *testing.T) {
	r := Router{Domains: []string{"s3.test", "deep.web.test"}, Websites: []string{"web.test", "www.s3.test"}}
	f := func(host, bucket string) {
		t.Helper()
		if got := r.WebsiteBucket(host); got != bucket {
			t.Errorf("%s: website %q", host, got)
		}
	}
	f("b.web.test:8080", "b")
	f("A.B.Web.Test", "a.b")
	f("web.test", "")
	f("b.s3.test", "")
	f("b.www.s3.test", "b")
	f("www.s3.test", "")
	f("deep.web.test", "")
	f("b.deep.web.test", "")
	f("", "")
	c, err := r.Website(Request{Method: "GET", Path: "/s3/v1/%20", Query: "%zz&acl", Host: "b.web.test", Header: fields{}})
	if err != nil || c.Bucket != "b" || c.Key != "s3/v1/ " || c.Op != GetObject {
		t.Errorf("%+v, %v", c, err)
	}
	_, err = r.Website(Request{Method: "PUT", Path: "/x", Host: "b.web.test", Header: fields{}})
	wantCode(t, err, MethodNotAllowed)
}

func TestWebsiteFailure(t *testing.T) {
	f := WebsiteFailure{Status: 404, Reason: "Not Found", Code: NoSuchKey, Message: "m", Also: "<also>", ErrorContext: ErrorContext{Method: "GET", Key: "<k>", RequestID: "r"}}
	page := string(f.Reply().Body)
	for _, want := range []string{"<title>404 Not Found</title>", "<li>Code: NoSuchKey</li>", "<li>Key: &lt;k&gt;</li>", "<h3>&lt;also&gt;</h3>"} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not in %s", want, page)
		}
	}
	f.Method = "HEAD"
	if r := f.Reply(); len(r.Body) > 0 || r.Status != 404 {
		t.Errorf("%+v", r)
	}
}

func FuzzWebsite(f *testing.F) {
	f.Add(exampleWebsite, "docs/a", 404)
	f.Fuzz(func(t *testing.T, doc, key string, status int) {
		w, err := ParseWebsite([]byte(doc))
		classified(t, err)
		if err != nil {
			return
		}
		if again, err := ParseWebsite(w.XML()); err != nil || !reflect.DeepEqual(w, again) {
			t.Fatalf("%+v came back as %+v, %v", w, again, err)
		}
		if _, location := w.Redirect(WebsiteRequest{"http", "h", key}, status); strings.ContainsAny(location, "\r\n") {
			t.Fatalf("%q", location)
		}
	})
}
