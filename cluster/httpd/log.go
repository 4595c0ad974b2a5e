package httpd

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/valyala/fasthttp"
)

// log writes the access log line of the request that just ended.
func (c *conn) log() {
	level := slog.LevelDebug
	if c.srv.o.AccessLog {
		level = slog.LevelInfo
	}
	logger := c.srv.o.Logger
	if !logger.Enabled(context.Background(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("request", string(c.req.ID)),
		slog.String("remote", c.req.Remote),
		slog.String("method", c.req.Method),
		slog.String("path", c.req.Path), // without the query: it may hold a signature or a ticket
		slog.String("operation", c.rep.Operation),
		slog.String("identity", string(c.rep.Identity)),
		slog.Int("status", c.ex.Status),
		slog.Int64("in", c.ex.BytesIn),
		slog.Int64("out", c.ex.BytesOut),
		slog.Duration("took", c.ex.Duration),
	}
	if c.ex.Err != nil {
		attrs = append(attrs, slog.String("err", c.ex.Err.Error()))
	}
	logger.LogAttrs(context.Background(), level, "request", attrs...)
}

// requestIDAlphabet is base32 without letters that look like digits.
const requestIDAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// newRequestID returns 100 random bits as 20 characters. It must be unique, not secret.
func newRequestID() cluster.RequestID {
	var b [20]byte
	for i := 0; i < len(b); i += 10 {
		bits := rand.Uint64()
		for j := range 10 {
			b[i+j] = requestIDAlphabet[bits>>(5*j)&31]
		}
	}
	return cluster.RequestID(b[:])
}

// dateCache keeps the text of the Date field for the second it is true.
type dateCache struct{ last atomic.Pointer[dateText] }

type dateText struct {
	second int64
	text   []byte
}

func (d *dateCache) at(now time.Time) []byte {
	second := now.Unix()
	if last := d.last.Load(); last != nil && last.second == second {
		return last.text
	}
	text := fasthttp.AppendHTTPDate(nil, now.UTC())
	d.last.Store(&dateText{second, text})
	return text
}
