package s3

import (
	"strings"
	"time"
)

// ETags is the value of If-Match or If-None-Match.
type ETags struct {
	Any  bool     // "*"
	Tags []string // without quotes and weak marks
}

// IsSet reports whether the header was there.
func (e ETags) IsSet() bool { return e.Any || len(e.Tags) > 0 }

// Conditions are the conditional headers of a request (RFC 9110, section 13).
type Conditions struct {
	Match           ETags
	NoneMatch       ETags
	ModifiedSince   time.Time // zero is none
	UnmodifiedSince time.Time
	RangeETag       string    // If-Range with an ETag
	RangeModified   time.Time // If-Range with a date
}

// ReadConditions returns the conditions of a read. A date that cannot be read is no condition, as the RFC says; so is a
// date beside the ETag condition that takes precedence over it.
func ReadConditions(c *Call) Conditions {
	cond := Conditions{Match: ParseETags(c.Header.Get("If-Match")), NoneMatch: ParseETags(c.Header.Get("If-None-Match"))}
	if !cond.NoneMatch.IsSet() {
		cond.ModifiedSince, _ = parseHTTPDate(c.Header.Get("If-Modified-Since"))
	}
	if !cond.Match.IsSet() {
		cond.UnmodifiedSince, _ = parseHTTPDate(c.Header.Get("If-Unmodified-Since"))
	}
	if s := c.Header.Get("If-Range"); s != "" {
		if t, ok := parseHTTPDate(s); ok {
			cond.RangeModified = t
		} else if strings.HasPrefix(s, "W/") {
			cond.RangeETag = s // a weak tag never matches a range
		} else {
			cond.RangeETag = strings.Trim(s, `"`)
		}
	}
	return cond
}

// WriteConditions returns the conditions of a write: If-Match with one ETag, or If-None-Match: *. S3 has no others, and
// one that is asked for and not judged would be a lost update, so they are refused.
func WriteConditions(c *Call) (Conditions, error) {
	const op = "s3.WriteConditions"
	var cond Conditions
	match, noneMatch := c.Header.Get("If-Match"), c.Header.Get("If-None-Match")
	if match != "" && noneMatch != "" {
		return cond, notImplemented(op, "If-Match and If-None-Match cannot be combined in a write.", Field{"Header", "If-Match"})
	}
	if noneMatch != "" {
		cond.NoneMatch = ParseETags(noneMatch)
		if !cond.NoneMatch.Any {
			return cond, notImplemented(op, "A header you provided implies functionality that is not implemented", Field{"Header", "If-None-Match"})
		}
	}
	if match != "" {
		cond.Match = ParseETags(match)
		if !cond.Match.IsSet() {
			return cond, invalidArgument(op, "If-Match", match, "Invalid ETag in If-Match")
		}
	}
	for _, name := range []string{"If-Modified-Since", "If-Unmodified-Since"} {
		if c.Header.Get(name) != "" {
			return cond, notImplemented(op, "A header you provided implies functionality that is not implemented", Field{"Header", name})
		}
	}
	return cond, nil
}

// DeleteConditions are the conditions of DeleteObject: what would be removed has that ETag, size, and time.
type DeleteConditions struct {
	Match      ETags
	ModifiedAt time.Time // zero is none
	Size       *int64    // nil is none
}

// ReadDeleteConditions returns the conditions of DeleteObject.
func ReadDeleteConditions(c *Call) (DeleteConditions, error) {
	const op = "s3.ReadDeleteConditions"
	write, err := WriteConditions(c)
	if err != nil {
		return DeleteConditions{}, err
	}
	if write.NoneMatch.IsSet() {
		return DeleteConditions{}, notImplemented(op, "A header you provided implies functionality that is not implemented", Field{"Header", "If-None-Match"})
	}
	d := DeleteConditions{Match: write.Match}
	const modified, size = "x-amz-if-match-last-modified-time", "x-amz-if-match-size"
	if s := c.Get(modified); s != "" {
		var ok bool
		if d.ModifiedAt, ok = parseModified(s); !ok {
			return d, invalidArgument(op, modified, s, "The date in "+modified+" cannot be read.")
		}
	}
	if s := c.Get(size); s != "" {
		n, ok := parseOffset(s)
		if !ok {
			return d, invalidArgument(op, size, s, "The value of "+size+" must be a number of bytes.")
		}
		d.Size = &n
	}
	return d, nil
}

// parseModified reads a time of modification, in the form of HTTP or of ISO 8601.
func parseModified(s string) (time.Time, bool) {
	if t, ok := parseHTTPDate(s); ok {
		return t, true
	}
	return parseISODate(s)
}

// CopyConditions returns the conditions on the source of a copy. All of them that are false answer 412.
func CopyConditions(c *Call) (Conditions, error) {
	const op = "s3.CopyConditions"
	cond := Conditions{
		Match:     ParseETags(c.Get("x-amz-copy-source-if-match")),
		NoneMatch: ParseETags(c.Get("x-amz-copy-source-if-none-match")),
	}
	for _, d := range []struct {
		name string
		into *time.Time
	}{
		{"x-amz-copy-source-if-modified-since", &cond.ModifiedSince},
		{"x-amz-copy-source-if-unmodified-since", &cond.UnmodifiedSince},
	} {
		s := c.Get(d.name)
		if s == "" {
			continue
		}
		t, ok := parseHTTPDate(s)
		if !ok {
			return cond, invalidArgument(op, d.name, s, "The date in "+d.name+" cannot be read.")
		}
		*d.into = t
	}
	if cond.NoneMatch.IsSet() {
		cond.ModifiedSince = time.Time{}
	}
	if cond.Match.IsSet() {
		cond.UnmodifiedSince = time.Time{}
	}
	return cond, nil
}

// ParseETags reads a list of entity tags. Quotes may be missing, as many S3 clients leave them out; commas inside quotes
// belong to the tag.
func ParseETags(s string) ETags {
	var e ETags
	for {
		s = strings.TrimLeft(s, " \t,")
		if s == "" {
			return e
		}
		s = strings.TrimPrefix(s, "W/")
		var tag string
		if rest, ok := strings.CutPrefix(s, `"`); ok {
			tag, s, ok = strings.Cut(rest, `"`)
			if !ok {
				s = ""
			}
			e.Tags = append(e.Tags, tag)
			continue
		}
		tag, s, _ = strings.Cut(s, ",")
		if tag = strings.TrimRight(tag, " \t"); tag == "*" {
			e.Any = true
		} else if tag != "" {
			e.Tags = append(e.Tags, strings.Trim(tag, `"`))
		}
	}
}

// QuoteETag returns an ETag in the form of headers.
func QuoteETag(etag string) string { return `"` + etag + `"` }

// httpDates are the forms of dates that RFC 9110 has receivers accept, and the numeric zone that some clients write.
var httpDates = []string{
	"Mon, 02 Jan 2006 15:04:05 GMT", "Monday, 02-Jan-06 15:04:05 GMT", "Mon Jan _2 15:04:05 2006", time.RFC1123Z, time.RFC1123,
}

// parseHTTPDate reads a date of a header.
func parseHTTPDate(s string) (time.Time, bool) {
	if s == "" {
		return time.Time{}, false
	}
	for _, form := range httpDates {
		if t, err := time.Parse(form, s); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// FormatHTTPDate returns a time in the form of the Last-Modified header.
func FormatHTTPDate(t time.Time) string { return t.UTC().Format(httpDates[0]) }
