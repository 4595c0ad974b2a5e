package httpd

import (
	"io"
	"iter"
	"net/http"

	"github.com/aisle-store/aisle/cluster"
)

// Reply is what a handler answers. The server sends it after the handler returned nil. Header fields that the server
// sets itself (Date, Server, Connection, Content-Length, Transfer-Encoding, the request id) need no care.
type Reply struct {
	// Status is the status code; 0 means 200, or 204 when there is no body.
	Status int
	// Operation names what was done, for metrics and the access log, as "GetObject". It must come from a small fixed set.
	Operation string
	// Identity is the access key that the request was bound to, for the access log.
	Identity cluster.AccessKeyID
	// Close ends the connection after this reply.
	Close bool

	header Header
	kind   replyKind
	bytes  []byte
	length int64
	body   Body
}

type replyKind uint8

const (
	replyEmpty  replyKind = iota // no body
	replyBytes                   // bytes
	replyStream                  // body, of length bytes or unknown
	replyLength                  // no body, but its length is told: HEAD
)

// NewReply returns an empty reply, for tests and for calls within the process.
func NewReply() *Reply { return &Reply{} }

// SetHeader sets a field, replacing others of that name. Bytes that no header may hold become blanks when it is sent.
func (r *Reply) SetHeader(name, value string) { r.header.Set(name, value) }

// AddHeader adds a field and keeps others of that name.
func (r *Reply) AddHeader(name, value string) { r.header.Add(name, value) }

// DelHeader removes the fields of that name.
func (r *Reply) DelHeader(name string) { r.header.Del(name) }

// Header returns the value of the first field of that name, or "".
func (r *Reply) Header(name string) string { return r.header.Get(name) }

// Headers ranges over the fields set so far.
func (r *Reply) Headers() iter.Seq2[string, string] { return r.header.All() }

// Bytes makes b the body. b must not be changed until the reply is sent.
func (r *Reply) Bytes(contentType string, b []byte) {
	r.setBody(replyBytes, b, int64(len(b)), nil)
	if contentType != "" {
		r.header.Set("Content-Type", contentType)
	}
}

// Stream makes body the body. length is exact, or -1 when it is unknown: then it is sent chunked. A body that yields
// fewer bytes breaks the connection, so the client notices. The server closes body in every case, also for HEAD (which
// sends the length only) and when another body replaces it.
func (r *Reply) Stream(length int64, body Body) { r.setBody(replyStream, nil, length, body) }

// SetLength tells the length of a body that is not sent: the reply to a HEAD.
func (r *Reply) SetLength(length int64) { r.setBody(replyLength, nil, length, nil) }

// Length returns the length of the body that was set: 0 for none, -1 for unknown.
func (r *Reply) Length() int64 { return r.length }

// Reset closes the body and removes all that was set, except Operation and Identity.
func (r *Reply) Reset() {
	r.setBody(replyEmpty, nil, 0, nil)
	r.header.fields = r.header.fields[:0]
	r.Status, r.Close = 0, false
}

func (r *Reply) setBody(kind replyKind, b []byte, length int64, body Body) {
	r.closeBody()
	r.kind, r.bytes, r.length, r.body = kind, b, length, body
}

// closeBody closes a streamed body; what it still had to say about it nobody can be told.
func (r *Reply) closeBody() {
	if r.body != nil {
		_ = r.body.Close()
		r.body = nil
	}
}

// StatusCode returns the status that is sent: Status, or what zero means.
func (r *Reply) StatusCode() int {
	switch {
	case r.Status != 0:
		return r.Status
	case r.kind == replyEmpty:
		return http.StatusNoContent
	default:
		return http.StatusOK
	}
}

// ReadAll returns the whole body and closes it: for tests and for calls within the process.
func (r *Reply) ReadAll() ([]byte, error) {
	switch r.kind {
	case replyBytes:
		return r.bytes, nil
	case replyStream:
		body := r.body
		r.body, r.kind = nil, replyEmpty
		reader := NewBodyReader(body)
		defer reader.Close()
		return io.ReadAll(reader)
	default:
		return nil, nil
	}
}
