package raftnode

import (
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Link is how one member reaches the others: see NewStreams and Network.Link. It serves one Engine once.
type Link struct {
	open func(call time.Duration, logger *slog.Logger) *transport
}

// carrier is what raft needs of a transport, the optional pre-vote included.
type carrier interface {
	raft.Transport
	raft.WithPreVote
}

// transport is a carrier that can end.
type transport struct {
	carrier
	sever func()       // stop carrying anything, at once, without waiting
	end   func() error // sever, and wait for what it started
	once  sync.Once
	err   error
}

// Close implements raft.WithClose; only the first call does something.
func (t *transport) Close() error {
	t.once.Do(func() {
		t.sever()
		t.err = t.end()
	})
	return t.err
}
