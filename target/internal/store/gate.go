package store

import (
	"context"
	"sync"
)

// gate counts who is inside, and lets others wait until all who are inside at that moment have left. It keeps nobody out:
// whoever waits first makes the checks behind the gate refuse newcomers.
type gate struct {
	mu      sync.Mutex
	current *cohort
}

// cohort is those who entered between two waits.
type cohort struct {
	inside int           // guarded by gate.mu
	closed bool          // guarded by gate.mu: nobody joins any more
	empty  chan struct{} // closed when the cohort is closed and nobody is inside
	before *cohort       // guarded by gate.mu: the cohort before it, until that is empty
}

func newGate() *gate { return &gate{current: &cohort{empty: make(chan struct{})}} }

// enter joins the current cohort. leave must follow.
func (g *gate) enter() *cohort {
	g.mu.Lock()
	c := g.current
	c.inside++
	g.mu.Unlock()
	return c
}

func (g *gate) leave(c *cohort) {
	g.mu.Lock()
	c.inside--
	c.finish()
	g.mu.Unlock()
}

// finish must be called with gate.mu held.
func (c *cohort) finish() {
	if c.closed && c.inside == 0 {
		close(c.empty)
	}
}

// wait returns when everyone who is inside now has left, or with the context's error.
func (g *gate) wait(ctx context.Context) error {
	g.mu.Lock()
	last := g.current
	if last.inside == 0 && last.before == nil {
		g.mu.Unlock()
		return nil
	}
	g.current = &cohort{empty: make(chan struct{}), before: last}
	last.closed = true
	last.finish()
	g.mu.Unlock()
	for c := last; c != nil; c = g.earlier(c) {
		select {
		case <-c.empty:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	g.mu.Lock()
	for c := g.current; c != nil; c = c.before {
		if c.before == last {
			c.before = nil
		}
	}
	g.mu.Unlock()
	return nil
}

func (g *gate) earlier(c *cohort) *cohort {
	g.mu.Lock()
	defer g.mu.Unlock()
	return c.before
}
