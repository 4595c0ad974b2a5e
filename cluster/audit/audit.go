// Package audit keeps what a node has denied lately, so that somebody can ask why.
package audit

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
)

const (
	kept    = 1000 // denials of one node
	longest = 2048 // bytes of one text: a key, and room
)

// Log is the denials of one node. Its methods may be called at the same time.
type Log struct {
	node   cluster.NodeID
	logger *slog.Logger
	now    func() time.Time

	mu    sync.Mutex
	ring  []api.Denial // guarded by mu; when it is full, the oldest is at total % kept
	total int64        // guarded by mu
}

// New returns the log of a node; what is denied is told to logger, too.
func New(node cluster.NodeID, logger *slog.Logger, now func() time.Time) *Log {
	return &Log{node: node, logger: logger, now: now}
}

// Denied notes a denial. Time and node are filled in.
func (l *Log) Denied(d api.Denial) {
	l.logger.LogAttrs(context.Background(), slog.LevelInfo, "denied",
		slog.String("request", d.Request), slog.String("identity", d.Identity), slog.String("principal", d.Principal),
		slog.String("action", d.Action), slog.String("resource", d.Resource), slog.String("why", d.Why))
	d.Time, d.Node = l.now().UTC(), string(l.node)
	for _, text := range []*string{&d.Request, &d.Identity, &d.Principal, &d.Action, &d.Resource, &d.Why} {
		*text = short(*text)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ring) < kept {
		l.ring = append(l.ring, d)
	} else {
		l.ring[l.total%kept] = d
	}
	l.total++
}

// short returns the beginning of a text, in memory of its own: a part of a request's head would keep all of it.
func short(text string) string {
	return strings.ToValidUTF8(strings.Clone(text[:min(len(text), longest)]), "\uFFFD")
}

// Denials returns the last denials, the newest first.
func (l *Log) Denials() []api.Denial {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]api.Denial, 0, len(l.ring))
	for i := range len(l.ring) {
		list = append(list, l.ring[(l.total-1-int64(i))%kept])
	}
	return list
}

// Total returns how many denials there were since the node started.
func (l *Log) Total() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}
