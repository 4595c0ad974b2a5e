package s3

import (
	"slices"
	"strings"
)

// canonicalRequest is the first step of SigV4, over a canonical path.
func canonicalRequest(c *Call, cl *claim, path string) string {
	b := make([]byte, 0, 512)
	b = append(b, c.Method...)
	b = append(b, '\n')
	b = append(b, path...)
	b = append(b, '\n')
	b = appendCanonicalQuery(b, c.Params, cl.presigned)
	b = append(b, '\n')
	for _, name := range cl.signed {
		b = append(b, name...)
		b = append(b, ':')
		b = appendCanonicalHeader(b, c, name)
		b = append(b, '\n')
	}
	b = append(b, '\n')
	b = append(b, strings.Join(cl.signed, ";")...)
	b = append(b, '\n')
	b = append(b, cl.payload...)
	return string(b)
}

// canonicalPath decodes a raw path and encodes it again, once, as S3 does; nothing is normalized.
func canonicalPath(raw string) string {
	path, err := unescape(raw, false)
	if err != nil {
		return raw
	}
	if path == "" {
		return "/"
	}
	return string(appendEscape(make([]byte, 0, len(raw)), path, true))
}

// appendCanonicalQuery appends the encoded parameters in order, without the signature of a presigned URL.
func appendCanonicalQuery(b []byte, q Query, presigned bool) []byte {
	if len(q) == 0 {
		return b
	}
	pairs := make([]string, 0, len(q))
	for _, p := range q {
		if presigned && p.Name == "X-Amz-Signature" {
			continue
		}
		pair := appendEscape(make([]byte, 0, len(p.Name)+len(p.Value)+8), p.Name, false)
		pair = append(pair, '=')
		pairs = append(pairs, string(appendEscape(pair, p.Value, false)))
	}
	// Names before values: '=' sorts after the digits and '-', so whole pairs would not compare right.
	slices.SortFunc(pairs, func(x, y string) int {
		xn, xv, _ := strings.Cut(x, "=")
		yn, yv, _ := strings.Cut(y, "=")
		if d := strings.Compare(xn, yn); d != 0 {
			return d
		}
		return strings.Compare(xv, yv)
	})
	for i, pair := range pairs {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(b, pair...)
	}
	return b
}

// appendCanonicalHeader appends the values of a header, trimmed, inner blanks collapsed, joined by commas.
func appendCanonicalHeader(b []byte, c *Call, name string) []byte {
	if name == "host" {
		return append(b, c.Host...)
	}
	found := false
	for n, value := range c.Header.All() {
		if len(n) != len(name) || !strings.EqualFold(n, name) {
			continue
		}
		if found {
			b = append(b, ',')
		}
		found = true
		b = appendTrimmed(b, value)
	}
	if !found && name == "content-length" && c.Length >= 0 {
		b = append(b, itoa(int(c.Length))...)
	}
	return b
}

func appendTrimmed(b []byte, value string) []byte {
	first := true
	for word := range strings.FieldsSeq(value) {
		if !first {
			b = append(b, ' ')
		}
		first = false
		b = append(b, word...)
	}
	return b
}
