package s3

import (
	"slices"
	"strconv"
	"strings"
)

// canonicalRequest is the first step of SigV4, over a canonical path. values are those of the signed headers.
func canonicalRequest(c *Call, cl *claim, path string, values []string) string {
	b := make([]byte, 0, 1024)
	b = append(b, c.Method...)
	b = append(b, '\n')
	b = append(b, path...)
	b = append(b, '\n')
	b = appendCanonicalQuery(b, c.Params, cl.presigned)
	b = append(b, '\n')
	for i, name := range cl.signed {
		b = append(b, name...)
		b = append(b, ':')
		b = append(b, values[i]...)
		b = append(b, '\n')
	}
	for i, name := range cl.signed {
		b = append(b, "\n;"[min(i, 1)])
		b = append(b, name...)
	}
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

// signedValues returns the values of the signed headers: trimmed, inner blanks collapsed, repeated ones joined by commas.
func signedValues(c *Call, signed []string) []string {
	values := make([]string, len(signed))
	found := make([]bool, len(signed))
	for name, value := range c.Header.All() {
		i := indexFold(signed, name)
		if i < 0 {
			continue
		}
		if value = collapse(value); found[i] {
			value = values[i] + "," + value
		}
		values[i], found[i] = value, true
	}
	if i := indexFold(signed, "host"); i >= 0 {
		values[i] = c.Host
	}
	if i := indexFold(signed, "content-length"); i >= 0 && !found[i] && c.Length >= 0 {
		values[i] = strconv.FormatInt(c.Length, 10)
	}
	return values
}

// indexFold returns the place of a name in a list of lower-case names, or -1.
func indexFold(names []string, name string) int {
	for i := range names {
		if len(names[i]) == len(name) && strings.EqualFold(names[i], name) {
			return i
		}
	}
	return -1
}

// collapse trims a value and makes one blank of several.
func collapse(value string) string {
	value = strings.Trim(value, " \t")
	if !strings.Contains(value, "  ") && !strings.Contains(value, "\t") {
		return value
	}
	return strings.Join(strings.Fields(value), " ")
}
