package httpd

import (
	"io"
	"strings"

	"github.com/aisle-store/aisle/cluster"
)

// Request is one HTTP request as it came in. Its strings may be kept; everything else ends with the handler.
type Request struct {
	// ID names the request for its whole life. The server makes it; a node that takes the request over from a gateway
	// replaces it by the one in the ticket, so that logs and retries agree.
	ID cluster.RequestID
	// Method is as sent: "GET", "PUT", ... Unknown ones come through; tokens are checked.
	Method string
	// Path is the raw path of the request target: percent-encoding, "..", "//" and all else exactly as sent, never
	// normalised. It always begins with "/", except for "OPTIONS *".
	Path string
	// Query is the raw query, without "?"; HasQuery tells "/b?" from "/b".
	Query    string
	HasQuery bool
	// Host is the Host header, or the authority of an absolute-form target, which wins (RFC 9112, 3.2.2).
	Host string
	// Header holds every field as received, Host, Content-Length and Connection included.
	Header Header
	// Length is the length of the body, 0 without one, or -1 when it is chunked.
	Length int64
	// Body is the exact body, chunked framing removed: one that ends early is io.ErrUnexpectedEOF, a bad chunk is a
	// KindInvalid error, one that stalls is KindTimeout. It is never nil. The first Read sends 100 Continue when the
	// client asked for it. It must not be read after the handler returned.
	Body io.Reader
	// Remote is the client's address, "ip:port".
	Remote string
	// TLS tells that the connection is encrypted.
	TLS bool
	// TLSVersion is that of the connection's protocol, as in tls.VersionTLS13; 0 when it is not known.
	TLSVersion uint16

	body *requestBody // nil in requests made by NewRequest
}

// NewRequest returns a request for tests and for calls within the process. The target is path and query as on the
// request line; pairs are header names and values in turn. A nil body is an empty one.
func NewRequest(method, target string, body io.Reader, length int64, pairs ...string) *Request {
	r := &Request{Method: method, Header: MakeHeader(pairs...), Length: length, Body: body, Remote: "127.0.0.1:0"}
	r.Path, r.Query, r.HasQuery = strings.Cut(target, "?")
	r.Host = r.Header.Get("Host")
	if body == nil {
		r.Body, r.Length = strings.NewReader(""), 0
	}
	return r
}

// Target returns path and query as they stood on the request line.
func (r *Request) Target() string {
	if !r.HasQuery {
		return r.Path
	}
	return r.Path + "?" + r.Query
}

// Replayable tells whether the whole body can still be sent to another node: nothing of it was read yet, or what was
// read is kept in memory (Client.Relay keeps small bodies). A gateway may try again only while it is true.
func (r *Request) Replayable() bool {
	if r.Length == 0 {
		return true
	}
	if r.body != nil {
		return r.body.replayable()
	}
	b, ok := r.Body.(interface{ Replayable() bool }) // of a request that was made here
	return ok && b.Replayable()
}

// Keep reads a body of known, small length into memory; it can be read and sent again. The request must not have been read before.
func (r *Request) Keep() ([]byte, error) {
	if r.body == nil || r.Length <= 0 {
		return io.ReadAll(r.Body)
	}
	return r.body.keep(r.Length)
}

// Rewind has a replayable body read from its beginning again. Whoever tries a request again must call it: an attempt within
// the process may have read what was kept.
func (r *Request) Rewind() {
	if r.body != nil {
		r.body.rewind()
	}
}
