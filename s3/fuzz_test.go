package s3

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/s3/lifecycle"
)

// classified demands that a parser's error is one that a client can be shown.
func classified(t *testing.T, err error) {
	t.Helper()
	var e *cluster.Error
	if err != nil && (!errors.As(err, &e) || StatusOf(err) >= 500 && StatusOf(err) != 501) {
		t.Fatalf("unclassified: %v", err)
	}
}

func FuzzAuthorization(f *testing.F) {
	f.Add(exampleGet().Get("Authorization"), "20130524T000000Z", emptySHA)
	f.Add("AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=;;, Signature==", "", "UNSIGNED-PAYLOAD")
	f.Add("AWS a:b", "Fri, 24 May 2013 00:00:00 GMT", "x")
	f.Fuzz(func(t *testing.T, authorization, date, hash string) {
		header := exampleGet().with("Authorization", authorization, "x-amz-date", date, "x-amz-content-sha256", hash)
		c := newCall(t, "GET", "/test.txt", "examplebucket.s3.amazonaws.com", 0, header)
		a, err := exampleVerifier().Verify(c, exampleTime)
		classified(t, err)
		if err == nil && (a.AccessKey != exampleID || !strings.Contains(authorization, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")) {
			t.Fatalf("forged: %q", authorization)
		}
	})
}

func FuzzPresigned(f *testing.F) {
	_, query, _ := strings.Cut(examplePresigned, "?")
	f.Add("/test.txt", query)
	f.Add("/b/k", "AWSAccessKeyId="+exampleID+"&Signature=x&Expires=1369353600&uploadId")
	f.Add("/%zz", "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=%2F%2F%2F%2F&X-Amz-Date=&X-Amz-Expires=&X-Amz-SignedHeaders=;&X-Amz-Signature=")
	f.Fuzz(func(t *testing.T, path, query string) {
		c, err := new(Router).Parse(Request{Method: "GET", Path: path, Query: query, Host: "examplebucket.s3.amazonaws.com", Header: fields{}})
		classified(t, err)
		if err != nil {
			return
		}
		_, err = exampleVerifier().Verify(c, exampleTime)
		classified(t, err)
		if err == nil && canonicalPath(path) != "/test.txt" {
			t.Fatalf("forged: %q %q", path, query)
		}
	})
}

func FuzzRoute(f *testing.F) {
	f.Add("PUT", "/b/k?tagging", "x-amz-copy-source", "b/k")
	f.Add("GET", "/b?list-type=2&prefix=%20", "", "")
	f.Fuzz(func(t *testing.T, method, target, name, value string) {
		path, query, _ := strings.Cut(target, "?")
		c, err := (&Router{Domains: []string{"d"}}).Parse(Request{Method: method, Path: path, Query: query, Host: "x.d", Header: fields{{name, value}}})
		classified(t, err)
		if (err == nil) != (c.Op != NoOperation) {
			t.Fatalf("%v %v", c.Op, err)
		}
		if err == nil && c.Op.OnObject() != (c.Key != "") {
			t.Fatalf("%s of key %q", c.Op, c.Key)
		}
	})
}

func FuzzChunkedReader(f *testing.F) {
	f.Add([]byte("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"), int64(5), false)
	f.Add([]byte("2;chunk-signature=00\r\nhe\r\n0;chunk-signature=00\r\n\r\n"), int64(2), true)
	f.Add([]byte(exampleChunks()), int64(66560), true)
	f.Fuzz(func(t *testing.T, raw []byte, length int64, signed bool) {
		p := Payload{Mode: modeUnsignedTrailer, Length: length}
		if signed {
			p.Mode = modeSignedChunks
		}
		b, err := OpenBody(bytes.NewReader(raw), BodyOptions{Payload: p, Key: []byte("key")})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		data, err := io.ReadAll(b)
		classified(t, err)
		if err == nil && (int64(len(data)) != length || len(data) > len(raw)) {
			t.Fatalf("%d bytes of %d", len(data), length)
		}
		if signed && err == nil {
			t.Fatal("forged a chunk signature")
		}
	})
}

func FuzzXMLBodies(f *testing.F) {
	for _, seed := range []string{
		"<Delete><Quiet>true</Quiet><Object><Key>a&#x1;</Key></Object></Delete>",
		"<CompleteMultipartUpload><Part><ETag>a</ETag><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>",
		"<?xml version='1.0'?><!-- c --><CreateBucketConfiguration xmlns='x'><LocationConstraint>e</LocationConstraint></CreateBucketConfiguration>",
		"<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>GOVERNANCE</Mode><Days>30</Days></DefaultRetention></Rule></ObjectLockConfiguration>",
		"<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2030-01-01T12:00:00Z</RetainUntilDate></Retention>", "<LegalHold><Status>ON</Status></LegalHold>",
		"<AccessControlPolicy><Owner><ID>o</ID></Owner><AccessControlList><Grant><Grantee xmlns:xsi='x' xsi:type='Group'><URI>" + AllUsers + "</URI></Grantee><Permission>READ</Permission></Grant></AccessControlList></AccessControlPolicy>",
		"<a><![CDATA[x]]></a>", "<a b='c' d=\"e\"/>",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		items, _, err := ParseDelete(doc)
		classified(t, err)
		for _, item := range items {
			if cluster.ValidateKey(item.Key) != nil {
				t.Fatalf("invalid key %q", item.Key)
			}
		}
		_, err = ParseComplete(doc)
		classified(t, err)
		acl, _, err := (&ACLContext{Known: func(string) bool { return true }}).parse(doc)
		classified(t, err)
		if err == nil {
			acl.Allows(Read, Asker{Canonical: "c", Owner: "o"})
			acl.XML(Owner{ID: "o"}, func(string) string { return "" })
		}
		_, err = ParseCreateBucket(doc)
		classified(t, err)
		_, err = ParseRetention(doc, exampleTime)
		classified(t, err)
		_, err = ParseLegalHold(doc)
		classified(t, err)
		lock, err := ParseObjectLock(doc)
		classified(t, err)
		if again, told := ParseObjectLock(ObjectLockXML(lock)); err == nil && (told != nil || again != lock) {
			t.Fatalf("%+v is told as %s", lock, ObjectLockXML(lock))
		}
		root, err := parseXML(doc, 1000)
		classified(t, err)
		if err != nil {
			return
		}
		// What we accept, the standard decoder reads the same, except for the references that we allow beyond it.
		var std struct {
			XMLName xml.Name
			Text    string `xml:",chardata"`
		}
		d := xml.NewDecoder(bytes.NewReader(doc))
		d.Strict = true
		if d.Decode(&std) == nil && !bytes.ContainsAny(doc, ":\r") && std.XMLName.Local == root.name && std.Text != root.text {
			t.Fatalf("text %q, standard decoder %q", root.text, std.Text)
		}
	})
}

func FuzzEscapedText(f *testing.F) {
	f.Add("a\x01<&>\r\n\xff\uFFFE")
	f.Fuzz(func(t *testing.T, s string) {
		doc := "<a>" + string(appendEscaped(nil, s)) + "</a>"
		root, err := parseXML([]byte(doc), 1)
		if err != nil {
			t.Fatalf("%q cannot be read back", s)
		}
		if utf8.ValidString(s) && root.text != s {
			t.Fatalf("%q came back as %q", s, root.text)
		}
	})
}

func FuzzRanges(f *testing.F) {
	f.Add("bytes=0-9")
	f.Add("bytes=-1")
	f.Fuzz(func(t *testing.T, s string) {
		if r := ParseRange(s); r != nil && (r.First < -1 || r.Last < -1 || r.First == -1 && r.Last == -1 || r.First >= 0 && r.Last >= 0 && r.First > r.Last) {
			t.Fatalf("%q: %+v", s, r)
		}
		r, err := ParseCopyRange(s)
		classified(t, err)
		if r != nil && (r.First < 0 || r.Last < r.First) {
			t.Fatalf("%q: %+v", s, r)
		}
	})
}

func FuzzConditions(f *testing.F) {
	f.Add(`"a", W/"b"`, "*", "Fri, 24 May 2013 00:00:00 GMT")
	f.Fuzz(func(t *testing.T, match, noneMatch, date string) {
		c := &Call{Request: Request{Header: fields{{"If-Match", match}, {"If-None-Match", noneMatch}, {"If-Range", date},
			{"If-Modified-Since", date}, {"x-amz-copy-source-if-modified-since", date}, {"x-amz-copy-source-if-match", match}}}}
		ReadConditions(c)
		_, err := WriteConditions(c)
		classified(t, err)
		_, err = CopyConditions(c)
		classified(t, err)
	})
}

func FuzzCopySource(f *testing.F) {
	f.Add("/b/k%20?versionId=x")
	f.Fuzz(func(t *testing.T, s string) {
		src, err := ParseCopySource(s)
		classified(t, err)
		if err == nil && (src.Bucket == "" || cluster.ValidateKey(src.Key) != nil) {
			t.Fatalf("%q: %+v", s, src)
		}
	})
}

func FuzzToken(f *testing.F) {
	f.Add(EncodeToken("a/b"))
	f.Fuzz(func(t *testing.T, s string) {
		after, err := DecodeToken(s)
		classified(t, err)
		if err == nil && !utf8.ValidString(after) {
			t.Fatalf("%q", after)
		}
	})
}

// FuzzLifecycle demands that rules which are accepted are told as they were set.
func FuzzLifecycle(f *testing.F) {
	f.Add(lifecycleXML(`<ID>a</ID><Status>Enabled</Status><Filter><And><Prefix>p</Prefix><Tag><Key>k</Key><Value>v</Value></Tag></And></Filter><Expiration><Days>3</Days></Expiration>`))
	f.Add(lifecycleXML(`<Prefix/><Status>Disabled</Status><Expiration><Date>2030-01-02T00:00:00Z</Date></Expiration><AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation></AbortIncompleteMultipartUpload>`))
	f.Add(lifecycleXML(`<Status>Enabled</Status><Filter><ObjectSizeLessThan>7</ObjectSizeLessThan></Filter><NoncurrentVersionExpiration><NewerNoncurrentVersions>2</NewerNoncurrentVersions><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>`))
	f.Add(lifecycleXML(`<Status>Enabled</Status><Filter/><Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition>`))
	f.Fuzz(func(t *testing.T, body string) {
		l, err := ParseLifecycle([]byte(body))
		classified(t, err)
		if err != nil {
			return
		}
		kept, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodeLifecycle(kept)
		if err != nil {
			t.Fatal(err)
		}
		told := again.(*Lifecycle).XML()
		if reread, err := ParseLifecycle(told); err != nil || !bytes.Equal(reread.XML(), told) {
			t.Fatalf("%q is told as %q: %v", body, told, err)
		}
		v := &lifecycle.Version{Key: "k", Modified: time.Unix(1e9, 0)}
		for _, field := range ExpirationHeader(&l.Configuration, v) {
			if strings.ContainsAny(field.Value, "\r\n") {
				t.Fatalf("header %q", field.Value)
			}
		}
		for _, field := range AbortHeader(&l.Configuration, v.Key, v.Modified) {
			if strings.ContainsAny(field.Value, "\r\n") {
				t.Fatalf("header %q", field.Value)
			}
		}
	})
}
