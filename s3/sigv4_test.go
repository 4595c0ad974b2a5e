package s3

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/aisle-store/aisle/cluster"
)

func exampleAuthorization(signed, signature string) string {
	return "AWS4-HMAC-SHA256 Credential=" + exampleID + "/20130524/us-east-1/s3/aws4_request,SignedHeaders=" + signed + ",Signature=" + signature
}

// exampleGet is "GET Object" of AWS's "Signature Calculations for the Authorization Header".
func exampleGet() fields {
	return fields{
		{"Host", "examplebucket.s3.amazonaws.com"},
		{"Range", "bytes=0-9"},
		{"x-amz-content-sha256", emptySHA},
		{"x-amz-date", "20130524T000000Z"},
		{"Authorization", exampleAuthorization("host;range;x-amz-content-sha256;x-amz-date", "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")},
	}
}

func TestPublishedExamples(t *testing.T) {
	const host = "examplebucket.s3.amazonaws.com"
	f := func(method, target string, length int64, header fields) {
		t.Helper()
		a, err := exampleVerifier().Verify(newCall(t, method, target, host, length, header), exampleTime)
		if err != nil {
			t.Fatalf("%s %s: %v", method, target, err)
		}
		if a.AccessKey != exampleID || !a.Time.Equal(exampleTime) || a.Payload.Date != "20130524T000000Z" {
			t.Fatalf("%s %s: %+v", method, target, a)
		}
	}
	f("GET", "/test.txt", 0, exampleGet())
	f("PUT", "/test$file.text", 21, fields{
		{"Date", "Fri, 24 May 2013 00:00:00 GMT"},
		{"x-amz-content-sha256", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"},
		{"x-amz-date", "20130524T000000Z"},
		{"x-amz-storage-class", "REDUCED_REDUNDANCY"},
		{"Authorization", exampleAuthorization("date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class", "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd")},
	})
	plain := fields{{"x-amz-content-sha256", emptySHA}, {"x-amz-date", "20130524T000000Z"}}
	f("GET", "/?lifecycle", 0, plain.with("Authorization",
		exampleAuthorization("host;x-amz-content-sha256;x-amz-date", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543")))
	f("GET", "/?max-keys=2&prefix=J", 0, plain.with("Authorization",
		exampleAuthorization("host;x-amz-content-sha256;x-amz-date", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7")))
	f("GET", examplePresigned, 0, nil)
}

const examplePresigned = "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request" +
	"&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"

func TestHeaderRefusals(t *testing.T) {
	f := func(code Code, header fields, now time.Time) {
		t.Helper()
		_, err := exampleVerifier().Verify(newCall(t, "GET", "/test.txt", "examplebucket.s3.amazonaws.com", 0, header), now)
		wantCode(t, err, code)
	}
	good := exampleGet()
	auth := good.Get("Authorization")
	edit := func(old, new string) fields { return good.with("Authorization", strings.Replace(auth, old, new, 1)) }
	f(AccessDenied, good.without("Authorization"), exampleTime)
	f(AccessDenied, good.without("x-amz-date"), exampleTime)
	f(AccessDenied, good.with("x-amz-date", "yesterday"), exampleTime)
	f(AccessDenied, good.with("x-amz-acl", "private"), exampleTime) // a header that the signature does not cover
	f(AccessDenied, edit("host;range", "range"), exampleTime)
	f(RequestTimeTooSkewed, good, exampleTime.Add(15*time.Minute+time.Second))
	f(RequestTimeTooSkewed, good, exampleTime.Add(-15*time.Minute-time.Second))
	f(SignatureDoesNotMatch, good.with("Range", "bytes=0-8"), exampleTime.Add(15*time.Minute))
	f(SignatureDoesNotMatch, edit("Signature=f0", "Signature=F0"), exampleTime)
	f(SignatureDoesNotMatch, edit("Signature=f0", "Signature="), exampleTime)
	f(SignatureDoesNotMatch, edit("us-east-1", "us-west-1"), exampleTime)
	f(InvalidAccessKeyID, edit(exampleID, "AKIANOBODY"), exampleTime)
	f(InvalidRequest, good.with("Authorization", "AWS "+exampleID+":c2ln"), exampleTime)
	f(InvalidRequest, edit("AWS4-HMAC", "AWS4-ECDSA-P256"), exampleTime)
	f(InvalidArgument, good.with("Authorization", "Bearer x"), exampleTime)
	f(InvalidArgument, good.with("Authorization", "garbage"), exampleTime)
	f(AuthorizationHeaderMalformed, good.with("Authorization", "AWS4-HMAC-SHA256"), exampleTime)
	f(AuthorizationHeaderMalformed, edit("Credential=", "Credentials="), exampleTime)
	f(AuthorizationHeaderMalformed, edit(",Signature=", ",Sig="), exampleTime)
	f(AuthorizationHeaderMalformed, edit("SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,", ""), exampleTime)
	f(AuthorizationHeaderMalformed, edit("SignedHeaders=", "Signature=x,SignedHeaders="), exampleTime)
	f(AuthorizationHeaderMalformed, edit("SignedHeaders=", "junk,SignedHeaders="), exampleTime)
	f(AuthorizationHeaderMalformed, edit("/20130524/us-east-1", "/us-east-1"), exampleTime)
	f(AuthorizationHeaderMalformed, edit(exampleID, ""), exampleTime)
	f(AuthorizationHeaderMalformed, edit("20130524", "2013052"), exampleTime)
	f(AuthorizationHeaderMalformed, edit("20130524", "20130525"), exampleTime)
	f(AuthorizationHeaderMalformed, edit("us-east-1", ""), exampleTime)
	f(AuthorizationHeaderMalformed, edit("/s3/", "/ec2/"), exampleTime)
	f(AuthorizationHeaderMalformed, edit("aws4_request", "aws3_request"), exampleTime)
	f(AuthorizationHeaderMalformed, edit("host;range", strings.Repeat("x;", maxSignedHeaders)), exampleTime)
	f(InvalidToken, signedByHand(t, good.without("Authorization").with("x-amz-security-token", "t")), exampleTime)

	// One signed value with a comma in it has the same canonical request as two.
	one := signedByHand(t, good.without("Authorization").with("x-amz-copy-source", "/b/a,b"))
	two := fields{{"X-Amz-Copy-Source", "b"}}
	for _, h := range one {
		if h.Name == "x-amz-copy-source" {
			h.Value = "/b/a"
			two = append(fields{h}, two...)
			continue
		}
		two = append(two, h)
	}
	if _, err := exampleVerifier().Verify(newCall(t, "GET", "/test.txt", "examplebucket.s3.amazonaws.com", 0, one), exampleTime); err != nil {
		t.Fatal(err)
	}
	f(InvalidArgument, two, exampleTime)
}

// signedByHand signs a GET of /test.txt over all its headers, by the rules as the documentation words them.
func signedByHand(t *testing.T, header fields) fields {
	t.Helper()
	c := newCall(t, "GET", "/test.txt", "examplebucket.s3.amazonaws.com", 0, header)
	cl := &claim{credential: credential{exampleID, "20130524", "us-east-1", "s3", terminator}, date: exampleTime, payload: header.Get("x-amz-content-sha256")}
	for _, f := range header {
		cl.signed = append(cl.signed, strings.ToLower(f.Name))
	}
	key := DeriveKey(exampleSecret, cl.scope())
	signature := fmt.Sprintf("%x", hmacSHA256(key, stringToSign(cl, canonicalRequest(c, cl, c.Path, signedValues(c, cl.signed)))))
	return header.with("Authorization", exampleAuthorization(strings.Join(cl.signed, ";"), signature))
}

func TestRegion(t *testing.T) {
	v := NewVerifier(VerifierOptions{Region: "eu-west-1", Secret: func(cluster.AccessKeyID) (string, bool) { return exampleSecret, true }})
	_, err := v.Verify(newCall(t, "GET", "/test.txt", "examplebucket.s3.amazonaws.com", 0, exampleGet()), exampleTime)
	wantCode(t, err, AuthorizationHeaderMalformed)
}

func TestPresignedRefusals(t *testing.T) {
	f := func(code Code, target string, now time.Time, header fields) {
		t.Helper()
		_, err := exampleVerifier().Verify(newCall(t, "GET", target, "examplebucket.s3.amazonaws.com", 0, header), now)
		wantCode(t, err, code)
	}
	edit := func(old, new string) string { return strings.Replace(examplePresigned, old, new, 1) }
	f(AccessDenied, examplePresigned, exampleTime.Add(86401*time.Second), nil)
	f(AccessDenied, examplePresigned, exampleTime.Add(-16*time.Minute), nil)
	f(AccessDenied, examplePresigned, exampleTime, fields{{"x-amz-meta-a", "added"}})
	f(SignatureDoesNotMatch, edit("test.txt", "test.tx"), exampleTime, nil)
	f(SignatureDoesNotMatch, examplePresigned+"&response-content-type=text/html", exampleTime, nil)
	f(SignatureDoesNotMatch, edit("86400", "86401"), exampleTime, nil)
	f(InvalidArgument, examplePresigned, exampleTime, exampleGet())
	f(InvalidAccessKeyID, edit(exampleID, "AKIANOBODY"), exampleTime, nil)
	for _, bad := range []string{
		edit("X-Amz-Expires=86400", "X-Amz-Expires=604801"),
		edit("X-Amz-Expires=86400", "X-Amz-Expires=-1"),
		edit("X-Amz-Expires=86400", "X-Amz-Expires=soon"),
		edit("&X-Amz-Expires=86400", ""),
		edit("&X-Amz-Date=20130524T000000Z", ""),
		edit("X-Amz-Date=20130524T000000Z", "X-Amz-Date=2013-05-24"),
		edit("X-Amz-Algorithm=AWS4-HMAC-SHA256", "X-Amz-Algorithm=AWS4-HMAC-MD5"),
		edit("X-Amz-Algorithm=AWS4-HMAC-SHA256&", ""),
		edit("&X-Amz-SignedHeaders=host", ""),
		edit("%2Faws4_request", ""),
		edit("SignedHeaders=host", "SignedHeaders="+strings.Repeat("x;", maxSignedHeaders)),
		edit("%2Faws4_request", "%2Faws5_request"),
		edit("%2Fs3%2F", "%2Fiam%2F"),
		edit("%2F20130524%2F", "%2F20130525%2F"),
		examplePresigned + "&X-Amz-Date=20130524T000000Z",
	} {
		f(AuthorizationQueryParametersError, bad, exampleTime, nil)
	}
}

// TestAgainstSDK signs with AWS's own signer and verifies with ours.
func TestAgainstSDK(t *testing.T) {
	creds := aws.Credentials{AccessKeyID: exampleID, SecretAccessKey: exampleSecret}
	now := time.Now().UTC().Truncate(time.Second)
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	keys := []string{"plain", "a b+c", "ü/ñ", "dots/../x", "//double", "a%2Fb", "~tilde", "(paren)!*'", "\x01ctl", "q?m#h", "x=y&z", "trailing/"}
	queries := []string{"", "uploads", "prefix=a%20b&delimiter=%2F", "b=2&a=1&a=0", "x-id=PutObject", "a-b=1&a=2&a1=3", "k=%E2%82%AC&empty="}
	for _, key := range keys {
		for _, query := range queries {
			u := &url.URL{Scheme: "http", Host: "localhost:8080", Path: "/bucket/" + key, RawQuery: query}
			u.RawPath = string(appendEscape(nil, u.Path, true))
			req, err := http.NewRequest("PUT", "http://localhost:8080/", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.URL = u
			req.Header.Set("X-Amz-Meta-Spaces", "  two   blanks ")
			req.Header.Set("X-Amz-Content-Sha256", modeUnsigned)
			if err := signer.SignHTTP(context.Background(), creds, req, modeUnsigned, "s3", "eu-north-1", now); err != nil {
				t.Fatal(err)
			}
			verifySDK(t, req, now)

			req.Header = http.Header{}
			pu := *u
			q := pu.Query()
			q.Set("X-Amz-Expires", "60")
			pu.RawQuery = q.Encode()
			req.URL = &pu
			signed, _, err := signer.PresignHTTP(context.Background(), creds, req, modeUnsigned, "s3", "eu-north-1", now)
			if err != nil {
				t.Fatal(err)
			}
			if req.URL, err = url.Parse(signed); err != nil {
				t.Fatal(err)
			}
			verifySDK(t, req, now)
		}
	}
}

func verifySDK(t *testing.T, req *http.Request, now time.Time) {
	t.Helper()
	var header fields
	for name, values := range req.Header {
		for _, v := range values {
			header = append(header, Field{name, v})
		}
	}
	target := req.URL.EscapedPath()
	if req.URL.RawQuery != "" {
		target += "?" + req.URL.RawQuery
	}
	if _, err := exampleVerifier().Verify(newCall(t, req.Method, target, req.URL.Host, 0, header), now); err != nil {
		t.Fatalf("%s %s: %v", req.Method, target, err)
	}
}

func TestMissingPayloadHash(t *testing.T) {
	header := signedByHand(t, fields{{"Host", "examplebucket.s3.amazonaws.com"}, {"x-amz-date", "20130524T000000Z"}}.with())
	c := newCall(t, "GET", "/test.txt", "examplebucket.s3.amazonaws.com", 5, header)
	_, err := exampleVerifier().Verify(c, exampleTime)
	wantCode(t, err, InvalidRequest)
}

func TestPayloadModes(t *testing.T) {
	f := func(mode, decoded string, code Code) {
		t.Helper()
		header := fields{{"Host", "h"}, {"x-amz-date", "20130524T000000Z"}, {"x-amz-content-sha256", mode}}
		if decoded != "" {
			header = header.with("x-amz-decoded-content-length", decoded)
		}
		c := newCall(t, "PUT", "/b/k", "h", 100, header)
		p, err := payloadOf(c, &claim{payload: mode, date: exampleTime})
		if code != "" {
			wantCode(t, err, code)
			return
		}
		if err != nil {
			t.Fatalf("%s: %v", mode, err)
		}
		want := int64(100)
		if decoded != "" {
			fmt.Sscan(decoded, &want)
		}
		if p.Length != want || p.Chunked() != strings.HasPrefix(mode, "STREAMING") {
			t.Fatalf("%s: %+v", mode, p)
		}
	}
	f(modeUnsigned, "", "")
	f(emptySHA, "", "")
	f(strings.ToUpper(emptySHA), "", "")
	f(modeSignedChunks, "66560", "")
	f(modeSignedChunksTrailer, "0", "")
	f(modeUnsignedTrailer, "1", "")
	f(modeUnsignedTrailer, "", MissingContentLength)
	f(modeSignedChunks, "-1", MissingContentLength)
	f(modeSignedChunks, "x", MissingContentLength)
	f(modeAsymmetricChunks, "1", NotImplemented)
	f("abc", "", InvalidArgument)
	f(emptySHA[1:], "", InvalidArgument)
}

func TestPlainBody(t *testing.T) {
	f := func(body string, length int64, sum string, code Code) {
		t.Helper()
		b, err := OpenBody(strings.NewReader(body), BodyOptions{Payload: Payload{Length: length, SHA256: sum}})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		data, err := io.ReadAll(b)
		if code != "" {
			wantCode(t, err, code)
			return
		}
		if err != nil || string(data) != body {
			t.Fatalf("%q, %v", data, err)
		}
	}
	const hello = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	f("hello", 5, hello, "")
	f("hello", -1, hello, "")
	f("hello", 5, "", "")
	f("", 0, emptySHA, "")
	f("hallo", 5, hello, XAmzContentSHA256Mismatch)
	f("hell", 5, "", IncompleteBody)
	f("hello!", 5, "", IncompleteBody)
}

func TestReadAllLimit(t *testing.T) {
	for _, length := range []int64{10, -1} {
		b, err := OpenBody(bytes.NewReader(make([]byte, 10)), BodyOptions{Payload: Payload{Length: length}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = ReadAll(b, 9)
		wantCode(t, err, MaxMessageLengthExceeded)
	}
}

func TestBodyLimit(t *testing.T) {
	for _, length := range []int64{10, -1} {
		b, err := OpenBody(bytes.NewReader(make([]byte, 10)), BodyOptions{Payload: Payload{Length: length}})
		if err != nil {
			t.Fatal(err)
		}
		if err = b.Limit(9); length < 0 && err == nil {
			_, err = io.ReadAll(b)
		}
		wantCode(t, err, EntityTooLarge)
		b, err = OpenBody(bytes.NewReader(make([]byte, 10)), BodyOptions{Payload: Payload{Length: length}})
		if err == nil {
			err = b.Limit(10)
		}
		if err == nil {
			_, err = io.ReadAll(b)
		}
		if err != nil {
			t.Fatalf("a body of just the limit: %v", err)
		}
	}
}

func TestSigningKeys(t *testing.T) {
	keys := NewSigningKeys()
	scope := "20130524/us-east-1/s3/aws4_request"
	first := keys.Get("a", "s1", scope)
	if !bytes.Equal(first, keys.Get("a", "s1", scope)) || bytes.Equal(first, keys.Get("a", "s2", scope)) {
		t.Fatal("a changed secret must give another key")
	}
	for i := range 2*maxSigningKeys + 1 {
		keys.Get(cluster.AccessKeyID(fmt.Sprint(i)), "s", scope)
	}
	if n := len(keys.mu.keys); n > maxSigningKeys {
		t.Fatalf("%d keys cached", n)
	}
}

// TestPresignedV2 uses the URL of AWS's "Signing and authenticating REST requests".
func TestPresignedV2(t *testing.T) {
	now := time.Unix(1175139620, 0).Add(-time.Hour)
	const good = "/johnsmith/photos/puppy.jpg?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D&Expires=1175139620"
	f := func(code Code, method, target string, now time.Time, pairs ...string) {
		t.Helper()
		path, query, _ := strings.Cut(target, "?")
		c, err := (&Router{Domains: []string{"s3.test"}}).Parse(Request{Method: method, Path: path, Query: query, Host: "h", Header: fields{}.with(pairs...)})
		var a Auth
		if err == nil {
			a, err = exampleVerifier().Verify(c, now)
		}
		if code != "" {
			wantCode(t, err, code)
			return
		}
		if err != nil || a.AccessKey != exampleID || !a.Presigned || a.Payload.Mode != modeUnsigned {
			t.Fatalf("%s %s: %+v %v", method, target, a, err)
		}
	}
	f("", "GET", good, now)
	f("", "GET", "/s3"+good, now)
	f(AccessDenied, "GET", good, now.Add(2*time.Hour))
	f(AccessDenied, "GET", good, now.Add(-8*24*time.Hour))
	f(AccessDenied, "GET", strings.Replace(good, "Expires=1175139620", "Expires=soon", 1), now)
	f(InvalidAccessKeyID, "GET", strings.Replace(good, exampleID, "NOBODY", 1), now)
	f(SignatureDoesNotMatch, "HEAD", good, now)
	f(SignatureDoesNotMatch, "GET", strings.Replace(good, "puppy", "kitten", 1), now)
	f(SignatureDoesNotMatch, "GET", good+"&response-content-type=text/html", now)
	f(SignatureDoesNotMatch, "GET", good, now, "x-amz-meta-a", "1")
	f(SignatureDoesNotMatch, "GET", good+"&x-amz-meta-a=1", now)
	f(SignatureDoesNotMatch, "GET", good, now, "Content-Type", "text/x")
	f(InvalidArgument, "GET", good, now, "Authorization", "AWS4-HMAC-SHA256 x")
	f(InvalidRequest, "GET", "/johnsmith?AWSAccessKeyId=a&Signature=b&Expires=1&list-type=2", now)
	f(InvalidRequest, "GET", "/johnsmith/k", now, "Authorization", "AWS a:b")
	f(NotImplemented, "GET", good+"&torrent", now)
	f(SignatureDoesNotMatch, "GET", good+"&versionId=null", now)
	f(SignatureDoesNotMatch, "GET", good+"&acl", now)

	sign := func(toSign string) string {
		mac := hmac.New(sha1.New, []byte(exampleSecret))
		mac.Write([]byte(toSign))
		return url.QueryEscape(base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	auth := "?AWSAccessKeyId=" + exampleID + "&Expires=1175139620&Signature="
	f("", "PUT", "/b/a%20b"+auth+sign("PUT\n\ntext/x\n1175139620\nx-amz-meta-a:1\nx-amz-meta-b:2\n/b/a%20b?partNumber=3&uploadId=u")+
		"&partNumber=3&uploadId=u&x-amz-meta-b=2&content-type=text%2Fx", now, "Content-Type", "text/x", "X-Amz-Meta-A", "1")
	f("", "GET", "/b/k"+auth+sign("GET\n\n\n1175139620\n/b/k?response-content-type=text/x y")+"&response-content-type=text%2Fx%20y", now)

	hosted := func(path string) error {
		c, err := (&Router{Domains: []string{"s3.test"}}).Parse(Request{Method: "GET", Path: path, Query: good[strings.Index(good, "?")+1:], Host: "johnsmith.s3.test", Header: fields{}})
		if err == nil {
			_, err = exampleVerifier().Verify(c, now)
		}
		return err
	}
	if err := hosted("/photos/puppy.jpg"); err != nil {
		t.Fatalf("virtual-hosted: %v", err)
	}
	wantCode(t, hosted("/s3/photos/puppy.jpg"), SignatureDoesNotMatch) // the key s3/photos/puppy.jpg
}

// Fields are looked for one by one, before anybody is authenticated: there must be few.
func TestAuthorizationFields(t *testing.T) {
	const three = "Credential=c, SignedHeaders=host,Signature = s"
	got, err := authorizationFields(three + " , x1=y")
	if err != nil || got != (authorization{"c", "host", "s"}) {
		t.Errorf("%+v, %v", got, err)
	}
	many := three
	for i := range maxAuthorizationFields - 2 {
		many += fmt.Sprintf(",x%d=y", i)
	}
	for _, bad := range []string{"", "Credential=c,SignedHeaders=h", three + ",Signature=t", three + ",x", "Credential=,SignedHeaders=h,Signature=s", many} {
		_, err := authorizationFields(bad)
		wantCode(t, err, AuthorizationHeaderMalformed)
	}
}

// Metadata, and the list of attributes, may be sent in several fields; nothing else of x-amz-* may, since only the first
// would count.
func TestRepeatedFields(t *testing.T) {
	f := func(name string, want bool) {
		t.Helper()
		err := checkRepeated(newCall(t, "GET", "/b/k", "host", 0, fields{{name, "a"}, {"Host", "host"}, {name, "b"}}))
		if (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	f("x-amz-copy-source", false)
	f("X-Amz-Acl", false)
	f("x-amz-meta-colour", true)
	f("X-Amz-Object-Attributes", true)
	f("Range", true)
}
