package s3

import (
	"strconv"
	"strings"
)

// Range is one byte range, as the Range header writes it.
type Range struct {
	First int64 // -1: the last Last bytes
	Last  int64 // inclusive; -1: to the end
}

// ParseRange reads a Range header. It returns nil when there is no range to honour: another unit, a malformed header or
// several ranges, which S3 answers with the whole object, as RFC 9110 lets it.
func ParseRange(s string) *Range {
	unit, set, ok := strings.Cut(s, "=")
	if !ok || !strings.EqualFold(strings.TrimSpace(unit), "bytes") || strings.Contains(set, ",") {
		return nil
	}
	first, last, ok := strings.Cut(strings.TrimSpace(set), "-")
	if !ok {
		return nil
	}
	first, last = strings.TrimSpace(first), strings.TrimSpace(last)
	f, okFirst := parseOffset(first)
	l, okLast := parseOffset(last)
	switch {
	case first == "" && okLast:
		return &Range{First: -1, Last: l}
	case okFirst && last == "":
		return &Range{First: f, Last: -1}
	case okFirst && okLast && f <= l:
		return &Range{First: f, Last: l}
	}
	return nil
}

// parseOffset reads a decimal offset; one beyond int64 is as good as the largest.
func parseOffset(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		n = 1<<63 - 1
	}
	return n, true
}

// ParseCopyRange reads x-amz-copy-source-range, whose form is strict: "bytes=first-last".
func ParseCopyRange(s string) (*Range, error) {
	const op = "s3.ParseCopyRange"
	if s == "" {
		return nil, nil
	}
	set, ok := strings.CutPrefix(s, "bytes=")
	first, last, dash := strings.Cut(set, "-")
	f, okFirst := parseOffset(first)
	l, okLast := parseOffset(last)
	if !ok || !dash || !okFirst || !okLast || f > l {
		return nil, invalidArgument(op, "x-amz-copy-source-range", s,
			"The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy")
	}
	return &Range{First: f, Last: l}, nil
}

// ContentRange returns the Content-Range of a part of an object.
func ContentRange(offset, length, size int64) string {
	b := append(make([]byte, 0, 64), "bytes "...)
	b = strconv.AppendInt(b, offset, 10)
	b = append(b, '-')
	b = strconv.AppendInt(b, offset+length-1, 10)
	b = append(b, '/')
	return string(strconv.AppendInt(b, size, 10))
}
