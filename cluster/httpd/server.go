package httpd

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"time"

	"github.com/aisle-store/aisle/cluster/stats"
)

// Handler answers one request. When it returns an error, what it put into rep is dropped and Options.WriteError fills
// the reply instead. ctx ends when the handler returns, the server stops, or the client is seen to be gone.
type Handler func(ctx context.Context, req *Request, rep *Reply) error

// Exchange is one request and its reply, as the one exit of the server reports it to Options.Observe.
type Exchange struct {
	Request  *Request
	Reply    *Reply
	Status   int           // as sent; 0 when the connection broke before the head was out
	Err      error         // what the handler returned, or what broke the connection
	BytesIn  int64         // of the body
	BytesOut int64         // of the body
	Started  time.Time     // when the head had been read
	Duration time.Duration // until the last byte was handed to the kernel
}

// Options configures a Server. Zero values are replaced by the defaults named beside each.
type Options struct {
	// Handler answers requests; required.
	Handler Handler
	// WriteError fills rep for an error: of a handler, of the parser (KindInvalid, KindTooLarge, KindTimeout), of the door
	// (KindUnavailable). When the parser failed, req has no more than ID, Remote and what was understood. The default is
	// a line of text with a status that fits the kind.
	WriteError func(req *Request, rep *Reply, err error)
	// TLS serves https; see Certificate.
	TLS *tls.Config
	// Logger takes what goes wrong, and the access log at LevelDebug (LevelInfo with AccessLog).
	Logger    *slog.Logger
	AccessLog bool
	// Observe is called once per request at the one exit, after the reply was sent; it must not block.
	Observe func(*Exchange)
	// Stats counts; nil counts nothing.
	Stats *stats.HTTP
	// ServerName is the Server header; "Aisle" by default.
	ServerName string
	// RequestIDHeader is the field that carries the request id in every reply; "x-amz-request-id" by default.
	RequestIDHeader string

	MaxHeaderBytes int           // of request line and header fields: 64 KiB; more is 431
	MaxHeaders     int           // fields: 200; more is 431
	MaxConnections int           // open connections: 16,384; one more is answered 503 and closed
	MaxRequests    int           // handlers at a time: 1,024; one more waits for DoorWait, then 503
	DoorWait       time.Duration // 1 s

	HeaderTimeout time.Duration // from the first byte of a request to the end of its head: 20 s
	IdleTimeout   time.Duration // between requests: 90 s
	StallTimeout  time.Duration // without a byte of progress, in a body or a reply: 30 s
	MinRate       int64         // bytes per second of time blocked on the client, after StallTimeout of it: 1 KiB/s
}

// Server serves HTTP/1.1 (and 1.0) on any number of listeners.
type Server struct{ o Options }

// NewServer returns a server; nothing runs until Serve.
func NewServer(o Options) *Server { return &Server{o: o} }

// Serve accepts connections from ln until Shutdown, then returns nil. It closes ln.
func (s *Server) Serve(ln net.Listener) error { return ln.Close() }

// Shutdown closes the listeners and idle connections, lets handlers finish, and when ctx ends first cancels their
// contexts, closes their connections and waits for them. It returns ctx.Err() when it had to.
func (s *Server) Shutdown(ctx context.Context) error { return ctx.Err() }
