package s3

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"io"
	"mime/multipart"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// form writes a form with these fields and a file.
func form(file string, pairs ...string) (contentType, body string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	_ = w.SetBoundary("boundary")
	for i := 0; i < len(pairs); i += 2 {
		_ = w.WriteField(pairs[i], pairs[i+1])
	}
	part, _ := w.CreateFormFile("file", "dir/photo.jpg")
	_, _ = io.WriteString(part, file)
	_ = w.WriteField("submit", "Upload")
	_ = w.Close()
	return w.FormDataContentType(), b.String()
}

// signedForm signs a policy by either version, in front of the other fields.
func signedForm(v4 bool, policy string, pairs ...string) []string {
	encoded := base64.StdEncoding.EncodeToString([]byte(policy))
	if v4 {
		scope := exampleTime.Format("20060102") + "/us-east-1/s3/aws4_request"
		signature := hex.EncodeToString(hmacSHA256(DeriveKey(exampleSecret, scope), encoded))
		return append([]string{"policy", encoded, "X-Amz-Algorithm", algorithm, "x-amz-credential", exampleID + "/" + scope,
			"x-amz-date", exampleTime.Format(timeAmz), "X-Amz-Signature", signature}, pairs...)
	}
	mac := hmac.New(sha1.New, []byte(exampleSecret))
	mac.Write([]byte(encoded))
	return append([]string{"AWSAccessKeyId", exampleID, "policy", encoded, "signature", base64.StdEncoding.EncodeToString(mac.Sum(nil))}, pairs...)
}

func policyOf(conditions ...string) string {
	return `{"expiration": "` + exampleTime.Add(time.Hour).Format("2006-01-02T15:04:05.000Z") + `", "conditions": [` + strings.Join(conditions, ",") + "]}"
}

const v4Conditions = `["starts-with", "$x-amz-date", ""], ["starts-with", "$x-amz-credential", ""], ["starts-with", "$x-amz-algorithm", ""]`

func TestForm(t *testing.T) {
	for _, v4 := range []bool{true, false} {
		policy := policyOf(`{"bucket": "b"}`, `["starts-with", "$Key", "user/"]`, `["eq", "$x-amz-meta-N", "v"]`, `["content-length-range", 1, "5"]`,
			`{"Tagging": "<Tagging><TagSet><Tag><Key>a</Key><Value>b c</Value></Tag></TagSet></Tagging>"}`, `["STARTS-WITH", "$Content-Type", "image/"]`, v4Conditions)
		contentType, body := form("hello", signedForm(v4, policy, "key", "user/${filename}", "X-Amz-Meta-n", "v", "x-ignore-this", "x",
			"tagging", "<Tagging><TagSet><Tag><Key>a</Key><Value>b c</Value></Tag></TagSet></Tagging>", "Content-Type", "image/jpeg")...)
		if !v4 {
			contentType, body = form("hello", signedForm(v4, strings.Replace(policy, ", "+v4Conditions, "", 1), "key", "user/${filename}")...)
		}
		f, err := ReadForm(contentType, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		auth, err := exampleVerifier().VerifyForm(f, "b", exampleTime)
		if !v4 { // fields that the policy asks for are missing
			wantCode(t, err, AccessDenied)
			continue
		}
		if err != nil || auth.AccessKey != exampleID || f.Key() != "user/photo.jpg" || f.Path("b") != "/b/user/photo.jpg" {
			t.Fatalf("%+v, key %q, %v", auth, f.Key(), err)
		}
		headers, err := f.Headers()
		if want := []Field{{"x-amz-meta-n", "v"}, {"x-amz-tagging", "a=b%20c"}, {"content-type", "image/jpeg"}}; err != nil || !reflect.DeepEqual(headers, want) {
			t.Fatalf("%v, %v", headers, err)
		}
		if data, err := io.ReadAll(auth.Body(f)); err != nil || string(data) != "hello" {
			t.Fatalf("%q, %v", data, err)
		}
	}
}

func TestFormPolicy(t *testing.T) {
	f := func(code Code, file string, conditions []string, pairs ...string) {
		t.Helper()
		policy := conditions[0]
		if !strings.HasPrefix(policy, "whole:") {
			policy = policyOf(conditions...)
		}
		contentType, body := form(file, signedForm(false, strings.TrimPrefix(policy, "whole:"), pairs...)...)
		form, err := ReadForm(contentType, strings.NewReader(body))
		if err == nil {
			var auth FormAuth
			if auth, err = exampleVerifier().VerifyForm(form, "b", exampleTime); err == nil {
				_, err = io.ReadAll(auth.Body(form))
			}
		}
		if code == "" && err != nil {
			t.Fatal(err)
		}
		if code != "" {
			wantCode(t, err, code)
		}
	}
	const bucket, key = `{"bucket": "b"}`, `["starts-with", "$key", ""]`
	one := func(s ...string) []string { return append([]string{bucket, key}, s...) }
	f("", "x", one(), "key", "k")
	f("", "", one(), "key", "k")
	f(AccessDenied, "x", []string{key}, "key", "k")                    // the bucket is a field, too
	f(AccessDenied, "x", []string{bucket}, "key", "k")                 // so is the key
	f(AccessDenied, "x", []string{`{"bucket": "c"}`, key}, "key", "k") // another bucket
	f(AccessDenied, "x", one(), "key", "k", "x-amz-meta-a", "b")       // a field without a condition
	f(AccessDenied, "x", one(`["eq", "$x-amz-meta-a", "c"]`), "key", "k", "x-amz-meta-a", "b")
	f(AccessDenied, "x", one(`["eq", "$x-amz-meta-a", "c"]`), "key", "k")
	images := one(`["starts-with", "$Content-Type", "image/"]`)
	f("", "x", images, "key", "k", "Content-Type", "image/png, image/gif")
	f(AccessDenied, "x", images, "key", "k", "Content-Type", "image/png,text/html")
	f("", "x", one(`["starts-with", "$x-amz-meta-a", "b"]`), "key", "k", "x-amz-meta-a", "b,c")
	f(EntityTooLarge, "12345", one(`["content-length-range", 0, 4]`), "key", "k")
	f(EntityTooSmall, "12345", one(`["content-length-range", 6, 10]`), "key", "k")
	f("", "12345", one(`["content-length-range", 5, 5]`), "key", "k")
	for _, bad := range []string{`["content-length-range", 0]`, `["content-length-range", -1, 5]`, `["content-length-range", 5, 4]`, `["content-length-range", 0.5, 4]`,
		`{}`, `{"a": "b", "c": "d"}`, `["eq", "x", "y"]`, `["eq", "$x", 1]`, `["like", "$x", "y"]`, `"x"`, `null`, `["eq", "$x"]`} {
		f(InvalidPolicyDocument, "x", one(bad), "key", "k")
	}
	for _, bad := range []string{`{"expiration": "x", "conditions": []}`, `{"conditions": []}`, `{"expiration": "2030-01-01T00:00:00Z"}`, `{"Expiration": "2030-01-01T00:00:00Z", "conditions": []}`,
		`{"expiration": "2030-01-01T00:00:00Z", "CONDITIONS": []}`, `{"expiration": "2030-01-01 00:00:00", "conditions": []}`, `[]`, `{`} {
		f(InvalidPolicyDocument, "x", []string{"whole:" + bad}, "key", "k")
	}
	f(AccessDenied, "x", []string{`whole:{"expiration": "2013-05-23T00:00:00Z", "conditions": [{"bucket": "b"}, {"key": "k"}]}`}, "key", "k")
	f(InvalidArgument, "x", one())
	f(InvalidArgument, "x", one(), "key", "")
	f(KeyTooLong, "x", one(), "key", strings.Repeat("k", 1025))
	f(MalformedPOSTRequest, "x", one(), "key", "k", "KEY", "l")
	f(MaxPostPreDataLengthExceeded, "x", one(), "key", "k", "x-ignore-a", strings.Repeat("x", 21<<10))
	f(MaxPostPreDataLengthExceeded, "x", one(), "key", "k", "x-ignore-a", strings.Repeat("x", 100<<10))
}

func TestFormRefused(t *testing.T) {
	contentType, body := form("x", signedForm(true, policyOf(`{"bucket": "b"}`, `{"key": "k"}`, v4Conditions), "key", "k")...)
	verify := func(body string) error {
		f, err := ReadForm(contentType, strings.NewReader(body))
		if err == nil {
			_, err = exampleVerifier().VerifyForm(f, "b", exampleTime)
		}
		return err
	}
	if err := verify(body); err != nil {
		t.Fatal(err)
	}
	swap := func(code Code, from, to string) {
		t.Helper()
		if !strings.Contains(body, from) {
			t.Fatalf("no %q", from)
		}
		wantCode(t, verify(strings.Replace(body, from, to, 1)), code)
	}
	swap(InvalidAccessKeyID, exampleID, "OTHER")
	swap(AuthorizationHeaderMalformed, "/s3/", "/s4/")
	swap(InvalidArgument, `name="X-Amz-Signature"`, `name="x-ignore-s"`)
	swap(AccessDenied, `name="policy"`, `name="x-ignore-p"`)
	swap(SignatureDoesNotMatch, `/us-east-1/`, `/us-east-2/`)
	swap(InvalidArgument, `name="file"`, `name="data"`)
	wantCode(t, verify(body[:len(body)/2]), IncompleteBody)
	_, err := ReadForm("application/x-www-form-urlencoded", strings.NewReader("a=b"))
	wantCode(t, err, PreconditionFailed)
	contentType, unsigned := form("x", "key", "k")
	wantCode(t, verify(unsigned), AccessDenied)
	for body, want := range map[string]bool{unsigned: true, body: false} {
		if f, err := ReadForm(contentType, strings.NewReader(body)); err != nil || f.IsUnsigned() != want {
			t.Fatalf("unsigned is not %v, %v", want, err)
		}
	}
	contentType, body = form("x", "key", "k", "cache-control", "b\r\nx-amz-acl: c")
	f, err := ReadForm(contentType, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Headers()
	wantCode(t, err, InvalidArgument)
}

func TestFormReply(t *testing.T) {
	f := func(status int, location string, pairs ...string) {
		t.Helper()
		contentType, body := form("x", append(pairs, "key", "a b")...)
		form, err := ReadForm(contentType, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r := form.Reply("b", "http://h/b/a%20b", `"e"`)
		if r.Status != status || r.Header[0].Value != location || (len(r.Body) > 0) != (status == 201) {
			t.Fatalf("%+v", r)
		}
	}
	const here = "http://h/b/a%20b"
	f(204, here)
	f(204, here, "success_action_status", "404")
	f(200, here, "success_action_status", "200")
	f(201, here, "success_action_status", "201")
	f(303, "http://x/y?bucket=b&key=a+b&etag=%22e%22", "success_action_redirect", "http://x/y")
	f(303, "http://x/y?q=1&bucket=b&key=a+b&etag=%22e%22", "redirect", "http://x/y?q=1", "success_action_status", "201")
	f(204, here, "success_action_redirect", "javascript:alert(1)")
}

func FuzzForm(f *testing.F) {
	contentType, body := form("hello", signedForm(true, policyOf(`{"bucket": "b"}`, `["starts-with", "$key", ""]`, v4Conditions), "key", "${filename}", "x-amz-meta-a", "b")...)
	f.Add(contentType, []byte(body), "{}")
	f.Add("multipart/form-data; boundary=x", []byte("--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nf\r\n--x--"), policyOf(`["eq", "$key", "k"]`))
	f.Fuzz(func(t *testing.T, contentType string, body []byte, policy string) {
		_, err := parseFormPolicy(base64.StdEncoding.EncodeToString([]byte(policy)))
		classified(t, err)
		form, err := ReadForm(contentType, bytes.NewReader(body))
		classified(t, err)
		if err != nil {
			return
		}
		if cluster.ValidateKey(form.Key()) != nil {
			t.Fatalf("invalid key %q", form.Key())
		}
		headers, err := form.Headers()
		classified(t, err)
		for _, h := range headers {
			if strings.ContainsAny(h.Name+h.Value, "\r\n\x00") {
				t.Fatalf("%q", h)
			}
		}
		form.Reply("b", "/", "e")
		auth, err := exampleVerifier().VerifyForm(form, "b", exampleTime)
		classified(t, err)
		_, err = io.Copy(io.Discard, auth.Body(form))
		classified(t, err)
	})
}

// TestFormReplay: a file that nobody has read yet can be sent to another node.
func TestFormReplay(t *testing.T) {
	body := FormAuth{max: 5}.Body(&Form{File: strings.NewReader("hello")})
	replayable := func() bool { return body.(interface{ Replayable() bool }).Replayable() }
	if !replayable() {
		t.Fatal("a new body cannot be sent")
	}
	if _, err := body.Read(make([]byte, 1)); err != nil || replayable() {
		t.Fatal("half a body can be sent", err)
	}
}
