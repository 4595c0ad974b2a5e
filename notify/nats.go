package notify

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/aisle-store/aisle/cluster/config"
)

// natsConn publishes to one subject. By core NATS a message is taken when the server has it, with ?jetstream=true when a stream
// has stored it.
type natsConn struct {
	server  string
	subject string
	stream  bool

	mu sync.Mutex
	nc *nats.Conn // guarded by mu: nil before the first use
}

func newNATS(d config.Destination) (conn, error) {
	u, err := url.Parse(d.URL)
	if err != nil {
		return nil, err
	}
	c := &natsConn{subject: strings.TrimPrefix(u.Path, "/"), stream: u.Query().Get("jetstream") == "true"}
	u.Path, u.RawQuery = "", ""
	c.server = u.String()
	return c, nil
}

func (c *natsConn) connected() (*nats.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.nc != nil && !c.nc.IsClosed() {
		return c.nc, nil
	}
	var err error
	// Nothing is buffered while the server is away: who sends tries again.
	c.nc, err = nats.Connect(c.server, nats.Name("aisle"), nats.Timeout(attempt/2), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1))
	if err != nil {
		c.nc = nil
	}
	return c.nc, err
}

func (c *natsConn) send(ctx context.Context, messages []Message) (int, error) {
	nc, err := c.connected()
	if err != nil {
		return 0, err
	}
	if c.stream {
		js, err := nc.JetStream()
		if err != nil {
			return 0, err
		}
		return one(ctx, messages, func(ctx context.Context, m *Message) error {
			_, err := js.Publish(c.subject, m.Body, nats.Context(ctx))
			if errors.Is(err, nats.ErrMaxPayload) {
				err = &refusedError{err}
			}
			return err
		})
	}
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	for i := range messages {
		err := nc.Publish(c.subject, messages[i].Body)
		if errors.Is(err, nats.ErrMaxPayload) {
			if flushErr := nc.FlushWithContext(ctx); flushErr != nil {
				return 0, flushErr
			}
			return i, &refusedError{err}
		}
		if err != nil {
			return 0, err
		}
	}
	if err := nc.FlushWithContext(ctx); err != nil {
		return 0, err
	}
	return len(messages), nil
}

func (c *natsConn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.nc != nil {
		c.nc.Close()
	}
}
