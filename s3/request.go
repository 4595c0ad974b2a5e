package s3

import (
	"iter"
	"strings"

	"github.com/aisle-store/aisle/cluster"
)

// Header gives read access to a request's headers; names compare without case.
type Header interface {
	Get(name string) string // the first value, or ""
	All() iter.Seq2[string, string]
}

// Request is what the protocol needs to see of an HTTP request. Path and query are raw: as the client sent them.
type Request struct {
	Method string
	Path   string
	Query  string
	Host   string
	Header Header
	Length int64 // of the body as framed by HTTP; -1 when unknown
}

// Call is a parsed request: what is asked for, of what.
type Call struct {
	Request
	Bucket cluster.BucketName
	Key    cluster.ObjectKey
	Params Query
	Op     Operation

	Service       string // that it is signed for; "" is S3
	ExpectedOwner string // of the bucket, by the client; "" for any

	BodySHA string // the SHA-256 of the whole body where a header need not tell it: of other services

	virtual    bool // the bucket stands in the host
	encryption bool // a header speaks of encryption

	amz     []Field // see amzOfHeader
	amzRead bool
}

// amzOfHeader returns the x-amz-* fields of the header by lower-case name, in order. They are asked for several times.
func (c *Call) amzOfHeader() []Field {
	if !c.amzRead {
		c.amzRead = true
		for name, value := range c.Header.All() {
			if isAmz(name) {
				c.amz = append(c.amz, Field{lowerAmz(name), value})
			}
		}
	}
	return c.amz
}

// isAmz reports whether a name begins with x-amz-, in whatever case, and goes on.
func isAmz(name string) bool { return len(name) > 6 && strings.EqualFold(name[:6], "x-amz-") }

// Get returns a header. A presigned URL may carry x-amz-* headers as query parameters, where AWS reads them too.
func (c *Call) Get(name string) string {
	if v := c.Header.Get(name); v != "" {
		return v
	}
	if len(name) > 6 && strings.EqualFold(name[:6], "x-amz-") {
		for _, p := range c.Params {
			if len(p.Name) == len(name) && strings.EqualFold(p.Name, name) {
				return p.Value
			}
		}
	}
	return ""
}

// hasAmz reports whether an x-amz-* header is there, empty or not: a copy whose source is empty is a client's mistake, and
// must not become an empty object.
func (c *Call) hasAmz(name string) bool {
	for found := range c.amzHeaders() {
		if found == name {
			return true
		}
	}
	return false
}

// Param is one query parameter, decoded.
type Param struct {
	Name, Value string
}

// Query is the decoded parameters in the order in which they were sent. Names compare with case.
type Query []Param

// Has reports whether the parameter is there, with or without a value.
func (q Query) Has(name string) bool {
	_, ok := q.Lookup(name)
	return ok
}

// Get returns the first value of the parameter, or "".
func (q Query) Get(name string) string {
	v, _ := q.Lookup(name)
	return v
}

// Lookup returns the first value of the parameter and whether it is there.
func (q Query) Lookup(name string) (string, bool) {
	for i := range q {
		if q[i].Name == name {
			return q[i].Value, true
		}
	}
	return "", false
}

// maxParams bounds the parameters of a query: what is looked up in them is looked up before anybody is authenticated.
const maxParams = 1000

// ParseQuery decodes a raw query; '+' is a space, as S3 reads it.
func ParseQuery(raw string) (Query, error) {
	const op = "s3.ParseQuery"
	if raw == "" {
		return nil, nil
	}
	n := 1 + strings.Count(raw, "&")
	if n > maxParams {
		return nil, NewFault(op, InvalidURI, "")
	}
	q := make(Query, 0, n)
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		n, err := unescape(name, true)
		if err != nil {
			return nil, NewFault(op, InvalidURI, "")
		}
		v, err := unescape(value, true)
		if err != nil {
			return nil, NewFault(op, InvalidURI, "")
		}
		q = append(q, Param{n, v})
	}
	return q, nil
}

// errEscape reports a '%' that two hexadecimal digits do not follow.
type errEscape struct{}

func (errEscape) Error() string { return "invalid percent-encoding" }

// unescape decodes percent-encoding, and '+' as a space when asked.
func unescape(s string, plus bool) (string, error) {
	if !strings.ContainsAny(s, "%+") {
		return s, nil
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '%':
			if i+2 >= len(s) {
				return "", errEscape{}
			}
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi < 0 || lo < 0 {
				return "", errEscape{}
			}
			b = append(b, byte(hi<<4|lo))
			i += 2
		case c == '+' && plus:
			b = append(b, ' ')
		default:
			b = append(b, c)
		}
	}
	return string(b), nil
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

const hexUpper = "0123456789ABCDEF"

// appendEscape appends s in AWS's percent-encoding: everything but A-Z a-z 0-9 - . _ ~, and '/' when it is kept.
func appendEscape(b []byte, s string, keepSlash bool) []byte {
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9',
			c == '-', c == '.', c == '_', c == '~', c == '/' && keepSlash:
			b = append(b, c)
		default:
			b = append(b, '%', hexUpper[c>>4], hexUpper[c&15])
		}
	}
	return b
}

// EscapeText returns text in AWS's percent-encoding, in which every byte but the unreserved ones is escaped.
func EscapeText(s string) string {
	return string(appendEscape(make([]byte, 0, len(s)+len(s)/4), s, false))
}

// EscapeKey returns a key in the form that encoding-type=url asks for; '/' stays.
func EscapeKey(key string) string {
	for i := range len(key) {
		c := key[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '/') {
			return string(appendEscape(make([]byte, 0, len(key)+16), key, true))
		}
	}
	return key
}
