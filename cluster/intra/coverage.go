package intra

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/aisle-store/aisle/cluster/httpd"
)

// coveredNames are the fields, besides those of coveredPrefixes, that change what a request does or stores.
var coveredNames = [...]string{
	"range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "content-md5",
}

// storedNames are fields that a write stores with the object. Reads do not look at them, and clients that follow a
// redirect may change them.
var storedNames = [...]string{
	"content-type", "content-encoding", "content-language", "content-disposition", "cache-control", "expires",
}

// coveredPrefixes are the name spaces of S3, of the native API and our own.
var coveredPrefixes = [...]string{"x-amz-", "ais-", "aisle-"}

// isCovered reports whether a ticket for a request of that method covers a field.
func isCovered(method, name string) bool {
	for _, prefix := range coveredPrefixes {
		if len(name) > len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) {
			return !strings.EqualFold(name, HeaderTicket) && !strings.EqualFold(name, "x-amz-security-token")
		}
	}
	if isOneOf(coveredNames[:], name) {
		return true
	}
	return method != "GET" && method != "HEAD" && isOneOf(storedNames[:], name)
}

func isOneOf(names []string, name string) bool {
	for _, n := range names {
		if len(n) == len(name) && strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// appendCoverage appends what a ticket binds of a request, each part with its length before it, so that no two requests
// give the same: method, path, query, length of the body, and the covered fields sorted by name.
func appendCoverage(b []byte, ticketLength int, req *httpd.Request) []byte {
	b = binary.AppendUvarint(b, uint64(ticketLength))
	b = appendPart(b, req.Method)
	b = appendPart(b, req.Path)
	b = appendPart(b, req.Query)
	b = binary.AppendVarint(b, req.Length)
	var space [32]httpd.Field
	covered := space[:0]
	for name, value := range req.Header.All() {
		if isCovered(req.Method, name) {
			covered = append(covered, httpd.Field{Name: name, Value: value})
		}
	}
	slices.SortStableFunc(covered, func(x, y httpd.Field) int { return compareFold(x.Name, y.Name) })
	b = binary.AppendUvarint(b, uint64(len(covered)))
	for _, f := range covered {
		b = binary.AppendUvarint(b, uint64(len(f.Name)))
		for i := range len(f.Name) {
			b = append(b, lower(f.Name[i]))
		}
		b = appendPart(b, f.Value)
	}
	return b
}

func appendPart(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func compareFold(a, b string) int {
	for i := range min(len(a), len(b)) {
		if c := cmp.Compare(lower(a[i]), lower(b[i])); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
