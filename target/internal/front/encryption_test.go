package front

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/aisle-store/aisle/cluster"
)

// customer is a customer's key as a gateway passes it on; prefix is that of the headers.
func customer(prefix string, b byte) []string {
	key := bytes.Repeat([]byte{b}, 32)
	sum := md5.Sum(key)
	return []string{
		prefix + "-customer-algorithm", "AES256", prefix + "-customer-key", base64.StdEncoding.EncodeToString(append([]byte("sealed"), key...)),
		prefix + "-customer-key-md5", base64.StdEncoding.EncodeToString(sum[:]),
	}
}

const (
	sseHeader   = "x-amz-server-side-encryption"
	sseOfSource = "x-amz-copy-source-server-side-encryption"
)

// mode is one way in which a test encrypts an object: what PUT has, and what GET has.
type mode struct {
	name  string
	write []string
	read  []string
	want  []string // headers of replies
}

func modes() []mode {
	return []mode{
		{name: "plain", want: []string{sseHeader, ""}},
		{name: "s3", write: []string{sseHeader, "AES256"}, want: []string{sseHeader, "AES256"}},
		{
			name:  "kms",
			write: []string{sseHeader, "aws:kms", sseHeader + "-aws-kms-key-id", "mine", sseHeader + "-context", "eyJhIjoiYiJ9", sseHeader + "-bucket-key-enabled", "true"},
			want:  []string{sseHeader, "aws:kms", sseHeader + "-aws-kms-key-id", "mine", sseHeader + "-bucket-key-enabled", "true"},
		},
		{
			name: "customer", write: customer(sseHeader, 1), read: customer(sseHeader, 1),
			want: []string{sseHeader, "", sseHeader + "-customer-algorithm", "AES256", sseHeader + "-customer-key-md5", customer("", 1)[5]},
		},
	}
}

func TestEncryptionModes(t *testing.T) {
	b := newBed(t, "n1", "n2")
	b.state.addKey("mine")
	for _, m := range modes() {
		for _, size := range []int{0, 10, 5000, 150_000} {
			data, target := strings.Repeat("0123456789", size/10), fmt.Sprintf("/bucket/%s%d", m.name, size)
			put := b.do("PUT", target, data, append([]string{"x-amz-checksum-crc32", crc32Base64(data)}, m.write...)...).want(t, 200).wantHeaders(t, m.want...)
			secret := m.name == "kms" || m.name == "customer"
			if isMD5 := put.header("ETag") == `"`+md5Hex(data)+`"`; isMD5 == secret {
				t.Fatalf("%s: ETag %s", m.name, put.header("ETag"))
			}
			b.do("HEAD", target, "", m.read...).want(t, 200).wantHeaders(t, m.want...).wantHeaders(t, "Content-Length", "")
			got := b.do("GET", target, "", append([]string{"x-amz-checksum-mode", "ENABLED"}, m.read...)...).want(t, 200).
				wantHeaders(t, m.want...).wantHeaders(t, "x-amz-checksum-crc32", crc32Base64(data))
			if got.body != data {
				t.Fatalf("%s: %d bytes, not %d", m.name, len(got.body), size)
			}
			if size > 0 {
				got = b.do("GET", target, "", append([]string{"Range", "bytes=5-"}, m.read...)...).want(t, 206)
				if got.body != data[5:] {
					t.Fatalf("%s: %d bytes of a range", m.name, len(got.body))
				}
			}
			b.do("GET", target+"?attributes", "", append([]string{"x-amz-object-attributes", "ObjectSize"}, m.read...)...).want(t, 200, fmt.Sprintf("<ObjectSize>%d<", size))
		}
	}
}

func (s *state) addKey(name string) { _ = s.AddEncryptionKey(nil, "", name) } //nolint:staticcheck // a fake

// TestEncryptionCopies copies between all modes, within a node and between two.
func TestEncryptionCopies(t *testing.T) {
	b := newBed(t, "n1", "n2")
	b.state.addKey("mine")
	other := mode{
		name: "other", write: customer(sseHeader, 2), read: customer(sseHeader, 2), want: []string{sseHeader + "-customer-key-md5", customer("", 2)[5]},
	}
	data := strings.Repeat("0123456789", 20_000)
	for _, from := range modes() {
		source := "/bucket/" + from.name
		b.do("PUT", source, data, from.write...).want(t, 200)
		var open []string
		if from.name == "customer" {
			open = customer(sseOfSource, 1)
		}
		for i, to := range append(modes(), other) {
			target := fmt.Sprintf("/bucket/%s-to-%s%d", from.name, to.name, i)
			headers := append([]string{"x-amz-copy-source", source}, to.write...)
			if open != nil {
				b.do("PUT", target, "", headers...).want(t, 400, "<Code>InvalidRequest<", needsParameters)
				b.do("PUT", target, "", append(headers, customer(sseOfSource, 9)...)...).want(t, 403, "<Code>AccessDenied<")
			}
			b.do("PUT", target, "", append(headers, open...)...).want(t, 200, "<CopyObjectResult").wantHeaders(t, to.want...)
			if got := b.do("GET", target, "", to.read...).want(t, 200).wantHeaders(t, to.want...); got.body != data {
				t.Fatalf("%s: %d bytes", target, len(got.body))
			}
		}
	}
	b.do("PUT", "/bucket/plain", "", append([]string{"x-amz-copy-source", "/bucket/plain"}, customer(sseOfSource, 1)...)...).want(t, 400, notApplicable)

	// Onto itself: what is asked for changes how it is encrypted; else that stays.
	b.do("PUT", "/bucket/plain", "", "x-amz-copy-source", "/bucket/plain").want(t, 400, "<Code>InvalidRequest<")
	b.do("PUT", "/bucket/plain", "", "x-amz-copy-source", "/bucket/plain", sseHeader, "AES256").want(t, 200).wantHeaders(t, sseHeader, "AES256")
	b.do("PUT", "/bucket/plain", "", "x-amz-copy-source", "/bucket/plain", "x-amz-metadata-directive", "REPLACE", "x-amz-meta-a", "b").want(t, 200).
		wantHeaders(t, sseHeader, "AES256")
	if got := b.do("GET", "/bucket/plain", "").want(t, 200).wantHeaders(t, sseHeader, "AES256", "x-amz-meta-a", "b"); got.body != data {
		t.Fatal("other bytes")
	}
	b.do("PUT", "/bucket/customer", "", "x-amz-copy-source", "/bucket/customer", "x-amz-metadata-directive", "REPLACE").want(t, 400, needsParameters)
}

func TestEncryptionUploads(t *testing.T) {
	b := newBed(t, "n1", "n2")
	b.state.addKey("mine")
	part := strings.Repeat("0123456789", 600_000)
	b.do("PUT", "/bucket/source", part).want(t, 200)
	for _, m := range modes() {
		target := "/bucket/" + m.name
		created := b.do("POST", target+"?uploads", "", append([]string{"Content-Type", "x/y"}, m.write...)...).want(t, 200).wantHeaders(t, m.want...)
		upload := target + "?uploadId=" + between(created.body, "<UploadId>", "<")
		if m.name == "customer" {
			b.do("PUT", upload+"&partNumber=1", part).want(t, 400, "<Code>InvalidRequest<", uploadsEncrypted)
			b.do("PUT", upload+"&partNumber=1", part, customer(sseHeader, 2)...).want(t, 400, "<Code>InvalidRequest<", otherParameters)
		} else {
			b.do("PUT", upload+"&partNumber=1", part, customer(sseHeader, 2)...).want(t, 400, "<Code>InvalidRequest<", uploadsEncrypted)
		}
		b.do("PUT", upload+"&partNumber=1", part, sseHeader, "AES256").want(t, 400, "<Code>InvalidArgument<")
		one := b.do("PUT", upload+"&partNumber=2", part, m.read...).want(t, 200).wantHeaders(t, m.want...).header("ETag")
		copied := b.do("PUT", upload+"&partNumber=4", "", append([]string{"x-amz-copy-source", "/bucket/source", "x-amz-copy-source-range", "bytes=7-5999999"}, m.read...)...).
			want(t, 200).wantHeaders(t, m.want...)
		last := b.do("PUT", upload+"&partNumber=7", "the end", m.read...).want(t, 200).header("ETag")
		complete := fmt.Sprintf(`<CompleteMultipartUpload><Part><PartNumber>2</PartNumber><ETag>%s</ETag></Part><Part><PartNumber>4</PartNumber><ETag>"%s"</ETag></Part>`+
			`<Part><PartNumber>7</PartNumber><ETag>%s</ETag></Part></CompleteMultipartUpload>`, one, between(copied.body, "<ETag>&quot;", "&quot;"), last)
		if m.name == "customer" {
			b.do("POST", upload, complete, customer(sseHeader, 2)...).want(t, 400, otherParameters)
		}
		b.do("POST", upload, complete).want(t, 200)
		data := part + part[7:] + "the end"
		if got := b.do("GET", target, "", m.read...).want(t, 200).wantHeaders(t, m.want...); got.body != data {
			t.Fatalf("%s: %d bytes, not %d", m.name, len(got.body), len(data))
		}
		if got := b.do("GET", target+"?partNumber=2", "", m.read...).want(t, 206); got.body != part[7:] {
			t.Fatalf("%s: a part of %d bytes", m.name, len(got.body))
		}
		if got := b.do("GET", target, "", append([]string{"Range", "bytes=5999990-6000010"}, m.read...)...).want(t, 206); got.body != data[5999990:6000011] {
			t.Fatalf("%s: range %q", m.name, got.body)
		}
		if m.name == "customer" {
			b.do("HEAD", target, "").want(t, 400)
			b.do("HEAD", target, "", customer(sseHeader, 2)...).want(t, 403)
		}
	}
}

func TestEncryptionRefusals(t *testing.T) {
	b := newBed(t, "n1")
	b.do("PUT", "/bucket/plain", "x").want(t, 200)
	b.do("PUT", "/bucket/locked", "x", customer(sseHeader, 1)...).want(t, 200)
	f := func(status int, code, method, target string, pairs ...string) {
		t.Helper()
		body := ""
		if method == "PUT" {
			body = "x"
		}
		a := b.do(method, target, body, pairs...)
		if code != "" && method != "HEAD" {
			code = "<Code>" + code + "<"
		} else {
			code = ""
		}
		a.want(t, status, code)
	}
	good := customer(sseHeader, 1)
	bad := func(i int, value string) []string {
		pairs := append([]string(nil), good...)
		pairs[i] = value
		return pairs
	}
	f(400, "InvalidEncryptionAlgorithmError", "PUT", "/bucket/k", bad(1, "AES192")...)
	f(400, "InvalidArgument", "PUT", "/bucket/k", good[2:]...)
	f(400, "InvalidArgument", "PUT", "/bucket/k", good[:2]...)
	f(400, "InvalidArgument", "PUT", "/bucket/k", good[:4]...)
	f(400, "InvalidArgument", "PUT", "/bucket/k", bad(5, "AAAAAAAAAAAAAAAAAAAAAA==")...)
	f(400, "InvalidArgument", "PUT", "/bucket/k", bad(3, "AAAA")...)
	f(400, "InvalidArgument", "PUT", "/bucket/k", append([]string{sseHeader, "AES256"}, good...)...)
	f(400, "InvalidArgument", "PUT", "/bucket/k", append([]string{sseHeader, "aws:kms"}, good...)...)
	f(400, "InvalidArgument", "PUT", "/bucket/k", sseHeader, "aes:kms")
	f(400, "InvalidArgument", "PUT", "/bucket/k", sseHeader, "")
	f(400, "InvalidArgument", "PUT", "/bucket/k", sseHeader, "AES256", sseHeader+"-aws-kms-key-id", "k")
	f(400, "InvalidArgument", "PUT", "/bucket/k", sseHeader+"-aws-kms-key-id", "k")
	f(400, "InvalidArgument", "PUT", "/bucket/k", sseHeader, "aws:kms", sseHeader+"-context", "bm8=")
	f(400, "InvalidArgument", "PUT", "/bucket/k", sseHeader, "aws:kms", sseHeader+"-bucket-key-enabled", "perhaps")
	f(400, "KMS.NotFoundException", "PUT", "/bucket/k", sseHeader, "aws:kms", sseHeader+"-aws-kms-key-id", "nobody")
	f(501, "NotImplemented", "PUT", "/bucket/k", sseHeader, "aws:kms:dsse")
	f(400, "InvalidRequest", "PUT", "/bucket/k?"+sseHeader+"-customer-key=secret", good[:2]...)
	f(404, "NoSuchKey", "GET", "/bucket/k")

	f(400, "InvalidRequest", "GET", "/bucket/plain", good...)
	f(400, "InvalidArgument", "GET", "/bucket/plain", sseHeader, "AES256")
	f(400, "", "HEAD", "/bucket/plain", sseHeader, "aws:kms")
	f(400, "InvalidRequest", "GET", "/bucket/locked")
	f(400, "InvalidRequest", "GET", "/bucket/locked", "If-None-Match", "*")
	f(403, "AccessDenied", "GET", "/bucket/locked", customer(sseHeader, 2)...)
	f(400, "", "HEAD", "/bucket/locked")
	f(403, "", "HEAD", "/bucket/locked", customer(sseHeader, 2)...)
	f(400, "InvalidRequest", "GET", "/bucket/locked?attributes", "x-amz-object-attributes", "ETag")
	f(200, "", "GET", "/bucket/locked?tagging")
	b.do("DELETE", "/bucket/locked", "").want(t, 204)
}

func TestBucketEncryption(t *testing.T) {
	b := newBed(t, "n1", "n2")
	b.state.addKey("mine")
	set := func(value string) {
		b.state.configs = map[string]*cluster.BucketConfig{EncryptionKind: {Kind: EncryptionKind, Value: []byte(value)}}
	}
	set(`{"Method":"AES256"}`)
	b.do("PUT", "/bucket/a", "x").want(t, 200).wantHeaders(t, sseHeader, "AES256")
	b.do("PUT", "/bucket/a", "", "x-amz-copy-source", "/bucket/a").want(t, 200).wantHeaders(t, sseHeader, "AES256")
	b.do("PUT", "/bucket/c", "x", customer(sseHeader, 1)...).want(t, 200).wantHeaders(t, sseHeader, "")
	b.do("POST", "/bucket/a?uploads", "").want(t, 200).wantHeaders(t, sseHeader, "AES256")
	set(`{"Method":"aws:kms","KeyID":"alias/mine","BucketKey":true}`)
	b.do("PUT", "/bucket/a", "x").want(t, 200).wantHeaders(t, sseHeader, "aws:kms", sseHeader+"-aws-kms-key-id", "alias/mine", sseHeader+"-bucket-key-enabled", "true")
	b.do("PUT", "/bucket/a", "x", sseHeader, "AES256").want(t, 200).wantHeaders(t, sseHeader, "AES256")
	set(`{"Method":"aws:kms"}`)
	b.do("PUT", "/bucket/a", "x").want(t, 200).wantHeaders(t, sseHeader, "aws:kms", sseHeader+"-aws-kms-key-id", defaultKMSID)
	b.do("GET", "/bucket/a", "").want(t, 200, "x")
	set(`{"Method":"aws:kms","KeyID":"nobody"}`)
	b.do("PUT", "/bucket/a", "x").want(t, 400, "KMS.NotFoundException")
	set(`{"Blocked":"SSE-C"}`)
	b.do("PUT", "/bucket/b", "x", customer(sseHeader, 1)...).want(t, 403, "<Code>AccessDenied<")
	b.do("GET", "/bucket/c", "", customer(sseHeader, 1)...).want(t, 200, "x")
	b.do("PUT", "/bucket/b", "x").want(t, 200).wantHeaders(t, sseHeader, "")

	// What the cluster says counts where neither request nor bucket does.
	b.state.settings = map[string]string{"bucket.encryption": "AES256"}
	b.do("PUT", "/bucket/b", "x").want(t, 200).wantHeaders(t, sseHeader, "AES256")
	b.state.configs = nil
	b.do("PUT", "/bucket/b", "x").want(t, 200).wantHeaders(t, sseHeader, "AES256")
	b.do("PUT", "/bucket/b", "x", sseHeader, "aws:kms").want(t, 200).wantHeaders(t, sseHeader, "aws:kms")
	b.state.settings = nil

	// A key that is gone takes its objects with it.
	set(`{"Method":"aws:kms","KeyID":"mine"}`)
	b.do("PUT", "/bucket/a", "x").want(t, 200)
	delete(b.state.keys, "mine")
	b.do("GET", "/bucket/a", "").want(t, 400, "KMS.NotFoundException")
	b.do("HEAD", "/bucket/a", "").want(t, 200)
	b.state.addKey("mine")
	b.do("GET", "/bucket/a", "").want(t, 400, "KMS.NotFoundException")
}
