package httpd

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/aisle-store/aisle/cluster"
	"github.com/valyala/fasthttp"
)

// ProtocolError is the cause of an error about the HTTP message itself. The server sends Status, whatever the kind of the
// error around it maps to.
type ProtocolError struct {
	Status int
	Reason string
}

// Error returns the reason.
func (e *ProtocolError) Error() string { return e.Reason }

func malformed(status int, reason string) error {
	kind := cluster.KindInvalid
	switch status {
	case http.StatusRequestHeaderFieldsTooLarge:
		kind = cluster.KindTooLarge
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		kind = cluster.KindNotImplemented
	}
	return cluster.E("cluster/httpd.readHead", "", kind, &ProtocolError{Status: status, Reason: reason})
}

// errHangup ends a connection without a reply: nothing of a request came.
var errHangup = errors.New("the connection ended between requests")

// framing is what a head says about the message around it.
type framing struct {
	length    int64 // of the body; -1 when chunked
	expect    bool  // the client waits for 100 Continue
	keepAlive bool
	http10    bool
}

// head reads request heads. fasthttp finds the end of the head and checks its bytes; what the fields mean is decided here,
// because it takes a second Content-Length, a lone LF, a folded line or a Transfer-Encoding beside a length for something.
type head struct {
	raw       fasthttp.RequestHeader
	text      []byte
	maxFields int
}

// read reads the next head from br into req. The strings of req share one allocation.
func (h *head) read(br *bufio.Reader, req *Request) (framing, error) {
	if err := h.raw.Read(br); err != nil {
		return framing{}, classifyHeadError(err)
	}
	target, fields := h.raw.RequestURI(), h.raw.RawHeaders()
	h.text = append(append(h.text[:0], target...), fields...)
	text := string(h.text)
	req.Method = internMethod(h.raw.Method())
	if err := parseFields(text[len(target):], &req.Header, h.maxFields); err != nil {
		return framing{}, err
	}
	f, err := frame(h.raw.Protocol(), &req.Header)
	if err != nil {
		return framing{}, err
	}
	if req.Host, err = host(&req.Header, f.http10); err != nil {
		return framing{}, err
	}
	req.Length = f.length
	return f, parseTarget(text[:len(target)], req)
}

// classifyHeadError tells apart what fasthttp reports while it reads a head.
func classifyHeadError(err error) error {
	var small *fasthttp.ErrSmallBuffer
	var nothing fasthttp.ErrNothingRead
	switch {
	case errors.As(err, &small):
		return errHeadTooLarge
	case ended(err), errors.As(err, &nothing):
		return errHangup
	case errors.Is(err, os.ErrDeadlineExceeded):
		return cluster.E("cluster/httpd.readHead", "", cluster.KindTimeout,
			&ProtocolError{http.StatusRequestTimeout, "the request head did not come in time"})
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return malformed(http.StatusBadRequest, "the connection ended within the request head")
	default:
		return malformed(http.StatusBadRequest, "the request head is malformed")
	}
}

// errHeadTooLarge is for the connection loop: it reads again with a larger buffer, up to the limit.
var errHeadTooLarge = malformed(http.StatusRequestHeaderFieldsTooLarge, "the request head is too large")

// internMethod returns the method without an allocation when it is a known one.
func internMethod(m []byte) string {
	switch string(m) {
	case http.MethodGet:
		return http.MethodGet
	case http.MethodHead:
		return http.MethodHead
	case http.MethodPut:
		return http.MethodPut
	case http.MethodPost:
		return http.MethodPost
	case http.MethodDelete:
		return http.MethodDelete
	case http.MethodOptions:
		return http.MethodOptions
	}
	return string(m)
}

// parseFields reads the lines of a head up to and with the empty one, strictly as RFC 9112 (5) writes them: CRLF line ends,
// no folding, no blank before the colon.
func parseFields(text string, h *Header, limit int) error {
	if text == "" {
		return nil // fasthttp gives an empty head without its empty line
	}
	for {
		end := strings.IndexByte(text, '\n')
		if end < 1 || text[end-1] != '\r' {
			return malformed(http.StatusBadRequest, "a line of the request head does not end in CRLF")
		}
		line := text[:end-1]
		text = text[end+1:]
		if line == "" {
			break
		}
		if len(h.fields) >= limit {
			return malformed(http.StatusRequestHeaderFieldsTooLarge, "the request has more than "+strconv.Itoa(limit)+" header fields")
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || !isToken(name) {
			return malformed(http.StatusBadRequest, "a header field name is malformed")
		}
		value = trimBlanks(value)
		if !isFieldValue(value) {
			return malformed(http.StatusBadRequest, "the value of header field "+name+" is malformed")
		}
		h.fields = append(h.fields, Field{name, value})
	}
	if text != "" {
		return malformed(http.StatusBadRequest, "the request head is malformed")
	}
	return nil
}

func trimBlanks(s string) string {
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for len(s) > 0 && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// isToken reports whether s is a token of RFC 9110 (5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		if !tokenBytes[s[i]] {
			return false
		}
	}
	return s != ""
}

var tokenBytes = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' ||
			strings.IndexByte("!#$%&'*+-.^_`|~", byte(c)) >= 0 && c < 0x80
	}
	return t
}()

// isPlain reports whether s has no control byte. It looks at eight bytes at a time.
func isPlain(s string) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	found := uint64(0)
	for ; len(s) >= 8; s = s[8:] {
		w := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 | uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
		del := w ^ 0x7f*ones
		found |= (w-' '*ones)&^w | (del-ones)&^del // the high bit of a byte, when one is below ' ' or DEL
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
	}
	return found&highs == 0
}

// isFieldValue reports whether s may be sent as a field's value: no control bytes but tab.
func isFieldValue(s string) bool {
	if isPlain(s) {
		return true
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// frame decides where the body ends and whether the connection goes on. Everything that two HTTP parsers could
// understand in two ways is refused (RFC 9112, 6.3).
func frame(protocol []byte, h *Header) (framing, error) {
	var f framing
	switch string(protocol) {
	case "HTTP/1.1":
		f.keepAlive = true
	case "HTTP/1.0":
		f.http10 = true
	default:
		return f, malformed(http.StatusHTTPVersionNotSupported, "only HTTP/1.1 and HTTP/1.0 are spoken here")
	}
	var lengths, codings int
	for i := range h.fields {
		name, value := h.fields[i].Name, h.fields[i].Value
		switch {
		case equalFold(name, "Content-Length"):
			lengths++
			n, err := parseLength(value)
			if err != nil {
				return f, err
			}
			f.length = n
		case equalFold(name, "Transfer-Encoding"):
			codings++
			if !strings.EqualFold(value, "chunked") {
				return f, malformed(http.StatusNotImplemented, "the only transfer coding understood is chunked")
			}
		case equalFold(name, "Connection"):
			f.connection(value)
		case equalFold(name, "Expect"):
			// Other expectations are ignored, as by S3: RFC 9110 (10.1.1) allows it.
			f.expect = !f.http10 && strings.EqualFold(value, "100-continue")
		}
	}
	switch {
	case lengths > 1:
		return f, malformed(http.StatusBadRequest, "the request has more than one Content-Length")
	case codings > 1:
		return f, malformed(http.StatusBadRequest, "the request has more than one Transfer-Encoding")
	case codings == 1 && lengths == 1:
		return f, malformed(http.StatusBadRequest, "the request has both Content-Length and Transfer-Encoding")
	case codings == 1 && f.http10:
		return f, malformed(http.StatusBadRequest, "HTTP/1.0 has no Transfer-Encoding")
	case codings == 1:
		f.length = -1
	}
	return f, nil
}

// connection reads the options of a Connection field.
func (f *framing) connection(value string) {
	for option := range strings.SplitSeq(value, ",") {
		switch option = trimBlanks(option); {
		case strings.EqualFold(option, "close"):
			f.keepAlive = false
			return
		case strings.EqualFold(option, "keep-alive"):
			f.keepAlive = true
		}
	}
}

// parseLength reads a Content-Length: digits only.
func parseLength(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || s[0] == '+' || s[0] == '_' {
		return 0, malformed(http.StatusBadRequest, "Content-Length is malformed")
	}
	return int64(n), nil
}

// host returns the one Host field, which HTTP/1.1 demands.
func host(h *Header, http10 bool) (string, error) {
	value, count := "", 0
	for i := range h.fields {
		if equalFold(h.fields[i].Name, "Host") {
			value = h.fields[i].Value
			count++
		}
	}
	if count > 1 || count == 0 && !http10 || strings.ContainsAny(value, " \t/\\?#@,\"<>") {
		return "", malformed(http.StatusBadRequest, "the request needs one valid Host field")
	}
	return value, nil
}

// parseTarget takes the request target apart without touching its bytes: origin-form, absolute-form (a proxy's), or "*".
func parseTarget(target string, req *Request) error {
	if target == "*" && req.Method == http.MethodOptions {
		req.Path = target
		return nil
	}
	if !strings.HasPrefix(target, "/") {
		scheme, rest, ok := strings.Cut(target, "://")
		if !ok || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
			return malformed(http.StatusBadRequest, "the request target is malformed")
		}
		end := strings.IndexAny(rest, "/?#")
		if end < 0 {
			end = len(rest)
		}
		if end == 0 || strings.ContainsAny(rest[:end], " \\@,\"<>") {
			return malformed(http.StatusBadRequest, "the authority of the request target is malformed")
		}
		req.Host, target = rest[:end], rest[end:]
		if !strings.HasPrefix(target, "/") {
			target = "/" + target
		}
	}
	if strings.IndexByte(target, '#') >= 0 {
		return malformed(http.StatusBadRequest, "the request target has a fragment")
	}
	req.Path, req.Query, req.HasQuery = strings.Cut(target, "?")
	return nil
}

// String returns the reason with the status, for logs.
func (e *ProtocolError) String() string { return fmt.Sprintf("%d: %s", e.Status, e.Reason) }
