package s3

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// Signature Version 2 is accepted in one place: presigned URLs of operations on one object, because the current aws CLI
// and boto3 still make them for us-east-1 unless they are told otherwise. Every query parameter that such an operation
// knows is covered by that signature or means nothing to it.

// isPresignedV2 reports whether the query carries a signature of Version 2.
func isPresignedV2(q Query) bool { return q.Has("AWSAccessKeyId") && q.Has("Signature") }

// harmlessV2 are the query names of a URL presigned by Version 2 that never change what a request means.
var harmlessV2 = []string{"AWSAccessKeyId", "Signature", "Expires", "content-type", "content-md5"}

// signedV2 are the query names that Version 2 signs: every sub-resource of an object, and what changes the meaning of a request
// about one. A name that a client does not sign makes its signature wrong; one that is missing here could be added to a URL.
var signedV2 = func() []string {
	names := slices.Concat([]string{"partNumber", "versionId"}, overrideNames)
	for _, r := range objectResources {
		names = append(names, r.name)
	}
	return names
}()

// verifyV2 checks a URL presigned by Version 2.
func (v *Verifier) verifyV2(c *Call, now time.Time) (Auth, error) {
	const op = "s3.Verifier.verifyV2"
	if !c.Op.OnObject() {
		return Auth{}, oldMechanism(op)
	}
	end, err := expiryV2(c, now)
	if err != nil {
		return Auth{}, err
	}
	id := cluster.AccessKeyID(c.Params.Get("AWSAccessKeyId"))
	secret, ok := v.o.Secret(id)
	if !ok {
		return Auth{}, NewFault(op, InvalidAccessKeyID, "", Field{"AWSAccessKeyId", string(id)})
	}
	if err := v.checkToken(id, c.Get(tokenHeader), now); err != nil {
		return Auth{}, err
	}
	toSign := stringToSignV2(c, end, c.Path)
	if !sameSignatureV2(secret, toSign, c.Params.Get("Signature")) && !sameSignatureV2(secret, stringToSignV2(c, end, withoutPrefix(c)), c.Params.Get("Signature")) {
		return Auth{}, NewFault(op, SignatureDoesNotMatch, "", Field{"AWSAccessKeyId", string(id)}, Field{"StringToSign", toSign},
			Field{"SignatureProvided", c.Params.Get("Signature")})
	}
	a := Auth{AccessKey: id, Presigned: true, Version2: true, Token: c.Get(tokenHeader)}
	a.Payload, err = payloadOf(c, &claim{presigned: true, payload: modeUnsigned, date: now.UTC()})
	return a, err
}

// expiryV2 returns the parameter Expires, in seconds since 1970, unless it is over or too far away.
func expiryV2(c *Call, now time.Time) (string, error) {
	const op = "s3.expiryV2"
	text := c.Params.Get("Expires")
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return "", NewFault(op, AccessDenied, "Invalid date (should be seconds since epoch): "+text)
	}
	switch end := time.Unix(seconds, 0); {
	case now.After(end):
		return "", NewFault(op, AccessDenied, "Request has expired", Field{"Expires", end.UTC().Format(time.RFC3339)},
			Field{"ServerTime", now.UTC().Format(time.RFC3339)})
	case end.Sub(now) > MaxPresign+MaxSkew:
		return "", NewFault(op, AccessDenied, "A presigned URL may be valid for a week at most; this one is valid until "+end.UTC().Format(time.RFC3339))
	}
	return text, nil
}

// stringToSignV2 is what Version 2 signs of a presigned request with that path.
func stringToSignV2(c *Call, end, path string) string {
	var b strings.Builder
	for _, line := range []string{c.Method, c.Header.Get("Content-MD5"), c.Header.Get("Content-Type"), end} {
		b.WriteString(line)
		b.WriteByte('\n')
	}
	for _, f := range amzHeadersV2(c) {
		b.WriteString(f.Name + ":" + f.Value + "\n")
	}
	if c.virtual {
		b.WriteString("/" + string(c.Bucket))
	}
	b.WriteString(path)
	params := slices.DeleteFunc(slices.Clone(c.Params), func(p Param) bool { return !slices.Contains(signedV2, p.Name) })
	slices.SortFunc(params, func(x, y Param) int { return strings.Compare(x.Name, y.Name) })
	for i, p := range params {
		b.WriteByte("?&"[min(i, 1)])
		b.WriteString(p.Name)
		if p.Value != "" {
			b.WriteString("=" + p.Value)
		}
	}
	return b.String()
}

// amzHeadersV2 returns the x-amz-* headers in order, repeated ones joined. One in the query counts when there is no such
// header.
func amzHeadersV2(c *Call) []Field {
	var fields []Field
	add := func(name, value string, join bool) {
		if len(name) <= 6 || !strings.EqualFold(name[:6], "x-amz-") {
			return
		}
		name = strings.ToLower(name)
		i := fieldIndex(fields, name)
		switch {
		case i < 0:
			fields = append(fields, Field{name, collapse(value)})
		case join:
			fields[i].Value += "," + collapse(value)
		}
	}
	for name, value := range c.Header.All() {
		add(name, value, true)
	}
	for _, p := range c.Params {
		add(p.Name, p.Value, false)
	}
	slices.SortFunc(fields, func(x, y Field) int { return strings.Compare(x.Name, y.Name) })
	return fields
}

// withoutPrefix returns the path without the prefix under which S3 is served beside the root. Where the bucket stands in the
// host there is no such prefix: "/s3/k" is another key than "/k".
func withoutPrefix(c *Call) string {
	if rest, ok := strings.CutPrefix(c.Path, Prefix+"/"); ok && !c.virtual {
		return "/" + rest
	}
	return c.Path
}

// sameSignatureV2 compares in constant time.
func sameSignatureV2(secret, toSign, signature string) bool {
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(toSign))
	return hmac.Equal([]byte(base64.StdEncoding.EncodeToString(mac.Sum(nil))), []byte(signature))
}
