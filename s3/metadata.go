package s3

import (
	"encoding/base64"
	"mime"
	"strings"
	"unicode/utf8"
)

// MaxUserMetadata is the limit of the sum of all names and values of x-amz-meta-* headers, in bytes.
const MaxUserMetadata = 2048

// metaPrefix begins the headers of user metadata.
const metaPrefix = "x-amz-meta-"

// DefaultContentType is the type of an object that was stored without one.
const DefaultContentType = "binary/octet-stream"

// contentHeaders are the headers that an object keeps and gives back.
var contentHeaders = []string{
	"Content-Type", "Content-Encoding", "Content-Disposition", "Content-Language", "Cache-Control", "Expires",
}

// ReadContentHeaders returns the content headers of a request. The token aws-chunked describes the body's framing, not
// the object, and is taken out of Content-Encoding.
func ReadContentHeaders(c *Call) []Field {
	var kept []Field
	for _, name := range contentHeaders {
		value := c.Header.Get(name)
		if name == "Content-Encoding" {
			value = withoutChunked(value)
		}
		if value != "" {
			kept = append(kept, Field{name, value})
		}
	}
	return kept
}

func withoutChunked(encoding string) string {
	if !strings.Contains(strings.ToLower(encoding), "aws-chunked") {
		return encoding
	}
	var kept []string
	for token := range strings.SplitSeq(encoding, ",") {
		if token = strings.TrimSpace(token); token != "" && !strings.EqualFold(token, "aws-chunked") {
			kept = append(kept, token)
		}
	}
	return strings.Join(kept, ",")
}

// ReadUserMetadata returns the x-amz-meta-* headers of a request: names in lower case without the prefix, repeated ones
// joined by commas, RFC 2047 words decoded, bytes that are no UTF-8 read as Latin-1.
func ReadUserMetadata(c *Call) ([]Field, error) {
	const op = "s3.ReadUserMetadata"
	var fields []Field
	size := 0
	for name, value := range c.amzHeaders() {
		name, ok := strings.CutPrefix(name, metaPrefix)
		if !ok {
			continue
		}
		if !isFieldName(name) { // of a query parameter: a header's was checked when it was read
			return nil, invalidArgument(op, metaPrefix, name, "The name of a metadata header has characters that no header can have.")
		}
		value = inUTF8(decodeWords(value))
		if i := fieldIndex(fields, name); i >= 0 {
			fields[i].Value += "," + value
			size += 1 + len(value)
			continue
		}
		fields = append(fields, Field{name, value})
		size += len(name) + len(value)
	}
	if size > MaxUserMetadata {
		return nil, NewFault(op, MetadataTooLarge, "", Field{"Size", itoa(size)}, Field{"MaxSizeAllowed", itoa(MaxUserMetadata)})
	}
	return fields, nil
}

// isFieldName reports whether the name of user metadata can be sent as the name of a header.
func isFieldName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return true
}

func fieldIndex(fields []Field, name string) int {
	for i := range fields {
		if fields[i].Name == name {
			return i
		}
	}
	return -1
}

// decodeWords decodes RFC 2047 words, in which clients send values beyond ASCII; what cannot be decoded stays as it is.
func decodeWords(value string) string {
	if !strings.Contains(value, "=?") {
		return value
	}
	decoded, err := new(mime.WordDecoder).DecodeHeader(value)
	if err != nil || !utf8.ValidString(decoded) {
		return value
	}
	return decoded
}

// inUTF8 returns a value that is UTF-8 as it is, and any other read as Latin-1, in which headers were written of old.
func inUTF8(value string) string {
	if utf8.ValidString(value) {
		return value
	}
	text := make([]rune, len(value))
	for i := range len(value) {
		text[i] = rune(value[i])
	}
	return string(text)
}

// UserMetadataHeaders returns the headers of a reply that carry user metadata. Values that a header cannot hold as they
// are travel as RFC 2047 words in UTF-8, as AWS sends them.
func UserMetadataHeaders(fields []Field) []Field {
	headers := make([]Field, 0, len(fields))
	for _, f := range fields {
		headers = append(headers, Field{metaPrefix + f.Name, encodeWords(inUTF8(f.Value))})
	}
	return headers
}

func encodeWords(value string) string {
	for i := range len(value) {
		if value[i] < 0x20 && value[i] != '\t' || value[i] >= 0x7f {
			return "=?UTF-8?B?" + base64.StdEncoding.EncodeToString([]byte(value)) + "?="
		}
	}
	return value
}

// ResponseOverrides returns the headers that response-* parameters of a read replace.
func ResponseOverrides(c *Call) []Field {
	var fields []Field
	for _, o := range responseOverrides {
		if v, ok := c.Params.Lookup(o.Name); ok && v != "" && !strings.ContainsAny(v, "\r\n\x00") {
			fields = append(fields, Field{o.Value, v})
		}
	}
	return fields
}

// Directive is how a copy treats metadata or tags.
type Directive uint8

// The directives.
const (
	CopyMetadata Directive = iota
	ReplaceMetadata
)

// MetadataDirective reads x-amz-metadata-directive.
func MetadataDirective(c *Call) (Directive, error) {
	return readDirective(c, "x-amz-metadata-directive", "Unknown metadata directive.")
}

func readDirective(c *Call, header, unknown string) (Directive, error) {
	const op = "s3.readDirective"
	switch s := c.Get(header); s {
	case "", "COPY":
		return CopyMetadata, nil
	case "REPLACE":
		return ReplaceMetadata, nil
	default:
		return 0, invalidArgument(op, header, s, unknown)
	}
}
