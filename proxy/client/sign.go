package client

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// UnsignedPayload stands for the hash of a body that the signature does not cover.
const UnsignedPayload = "UNSIGNED-PAYLOAD"

// EmptyPayload is the SHA-256 of no bytes, in hexadecimal.
const EmptyPayload = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

const amzTime = "20060102T150405Z"

// Signer signs requests with AWS Signature Version 4 for the service "s3". It is safe for concurrent use.
type Signer struct {
	AccessKey string
	SecretKey string
	Region    string

	mu struct {
		sync.Mutex
		day string // the day for which key is
		key []byte
	}
}

// Header is one header of a request that is to be signed; names are lower case.
type Header struct{ Name, Value string }

// Sign returns the value of Authorization for a request. Path and query are as they are sent (the query with
// "name=value" for every parameter, sorted, as Query writes it). The headers "host", "x-amz-date" (now) and
// "x-amz-content-sha256" (payload) are signed besides those given, and must be sent.
func (s *Signer) Sign(method, host, path, query string, now time.Time, payload string, headers ...Header) string {
	date := now.UTC().Format(amzTime)
	all := append([]Header{{"host", host}, {"x-amz-content-sha256", payload}, {"x-amz-date", date}}, headers...)
	slices.SortFunc(all, func(a, b Header) int { return strings.Compare(a.Name, b.Name) })

	var canonical, names strings.Builder
	canonical.WriteString(method + "\n" + canonicalPath(path) + "\n" + query + "\n")
	for i, h := range all {
		canonical.WriteString(h.Name + ":" + strings.Join(strings.Fields(h.Value), " ") + "\n")
		if i > 0 {
			names.WriteByte(';')
		}
		names.WriteString(h.Name)
	}
	canonical.WriteString("\n" + names.String() + "\n" + payload)

	scope := date[:8] + "/" + s.Region + "/s3/aws4_request"
	sum := sha256.Sum256([]byte(canonical.String()))
	toSign := "AWS4-HMAC-SHA256\n" + date + "\n" + scope + "\n" + hex.EncodeToString(sum[:])
	signature := hex.EncodeToString(hmacSHA256(s.signingKey(date[:8]), toSign))
	return "AWS4-HMAC-SHA256 Credential=" + s.AccessKey + "/" + scope + ", SignedHeaders=" + names.String() + ", Signature=" + signature
}

// signingKey derives the key of one day, once.
func (s *Signer) signingKey(day string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.day != day {
		key := hmacSHA256([]byte("AWS4"+s.SecretKey), day)
		for _, part := range []string{s.Region, "s3", "aws4_request"} {
			key = hmacSHA256(key, part)
		}
		s.mu.day, s.mu.key = day, key
	}
	return s.mu.key
}

func hmacSHA256(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// Query writes parameters as AWS signs them: sorted, every byte but unreserved ones escaped, a blank as %20.
func Query(q url.Values) string { return strings.ReplaceAll(q.Encode(), "+", "%20") }

// canonicalPath is the path decoded and escaped again, once, as S3 does.
func canonicalPath(raw string) string {
	path, err := url.PathUnescape(raw)
	if err != nil || path == "" {
		return raw
	}
	const hexDigits = "0123456789ABCDEF"
	b := make([]byte, 0, len(raw))
	for i := range len(path) {
		c := path[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~/", c) >= 0 {
			b = append(b, c)
			continue
		}
		b = append(b, '%', hexDigits[c>>4], hexDigits[c&15])
	}
	return string(b)
}
