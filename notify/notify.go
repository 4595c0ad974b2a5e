// Package notify sends messages to places outside of the cluster: webhooks, NATS and Kafka. It knows nothing of what the messages
// say; who must not lose one keeps it until it is sent.
package notify

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/config"
)

// Message is one message.
type Message struct {
	Key  string // messages of one key stay in order where the destination keeps an order
	Body []byte // JSON
}

// conn is a connection to a destination.
type conn interface {
	// send sends messages in order and returns how many the destination has taken for certain.
	send(ctx context.Context, messages []Message) (int, error)
	close()
}

// dialers make connections, by the type of the destination. They do not wait for anybody: what is wrong shows when something
// is sent.
var dialers = map[string]func(d config.Destination) (conn, error){
	"webhook": newWebhook,
	"nats":    newNATS,
	"kafka":   newKafka,
}

// attempt bounds how long one message, or one batch, may take.
const attempt = 10 * time.Second

// Sender sends messages to the destinations that the operator has configured.
type Sender struct {
	destinations func() []config.Destination

	mu     sync.Mutex
	conns  map[string]*link // guarded by mu, by name
	closed bool             // guarded by mu
}

// link is the connection to one destination.
type link struct {
	to   config.Destination
	conn conn
	use  sync.RWMutex // shared by who sends: a connection is closed when nobody does
}

// NewSender returns a sender; destinations is asked whenever something is sent.
func NewSender(destinations func() []config.Destination) *Sender {
	return &Sender{destinations: destinations, conns: make(map[string]*link)}
}

// Find returns a destination.
func (s *Sender) Find(name string) (config.Destination, bool) {
	for _, d := range s.destinations() {
		if d.Name == name {
			return d, true
		}
	}
	return config.Destination{}, false
}

// refusedError is that a destination has understood a message and will never take it; others, it may.
type refusedError struct{ error }

// Unwrap returns why.
func (e *refusedError) Unwrap() error { return e.error }

// Send sends messages in order and returns how many the destination has taken for certain. That there is no such destination is
// KindNotFound, that it refuses the next message for good is KindInvalid.
func (s *Sender) Send(ctx context.Context, name string, messages []Message) (int, error) {
	const op = "notify.Send"
	l, err := s.link(name)
	if err != nil {
		return 0, err
	}
	defer l.use.RUnlock()
	sent, err := l.conn.send(ctx, messages)
	var refused *refusedError
	switch {
	case errors.As(err, &refused):
		return sent, cluster.E(op, name, cluster.KindInvalid, err)
	case err != nil:
		return sent, cluster.E(op, name, cluster.KindUnavailable, err)
	}
	return sent, nil
}

// link returns the connection to a destination, to be given back by use.RUnlock.
func (s *Sender) link(name string) (*link, error) {
	const op = "notify.link"
	d, ok := s.Find(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.conns[name]
	if l != nil && (!ok || l.to != d) {
		delete(s.conns, name)
		go l.end()
		l = nil
	}
	switch {
	case s.closed:
		return nil, cluster.Fail(op, name, cluster.KindUnavailable, "the node stops")
	case !ok:
		return nil, cluster.Fail(op, name, cluster.KindNotFound, "there is no such destination")
	case l == nil:
		c, err := dialers[d.Type](d)
		if err != nil {
			return nil, cluster.E(op, name, cluster.KindUnavailable, err)
		}
		l = &link{to: d, conn: c}
		s.conns[name] = l
	}
	l.use.RLock()
	return l, nil
}

func (l *link) end() {
	l.use.Lock()
	defer l.use.Unlock()
	l.conn.close()
}

// Close closes the connections. What is being sent is waited for.
func (s *Sender) Close() {
	s.mu.Lock()
	s.closed = true
	conns := s.conns
	s.conns = nil
	s.mu.Unlock()
	for _, l := range conns {
		l.end()
	}
}

// one sends messages one by one.
func one(ctx context.Context, messages []Message, send func(ctx context.Context, m *Message) error) (int, error) {
	for i := range messages {
		ctx, cancel := context.WithTimeout(ctx, attempt)
		err := send(ctx, &messages[i])
		cancel()
		if err != nil {
			return i, fmt.Errorf("message %d of %d: %w", i+1, len(messages), err)
		}
	}
	return len(messages), nil
}
