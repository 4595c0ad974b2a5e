package control

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// lease is the right of this process to answer. It ends by the clock, never by a timer.
type lease struct {
	clock    Clock
	duration time.Duration
	bug      bug
	until    atomic.Int64 // the clock time at which it ends
	mu       struct {
		sync.Mutex
		index   uint64  // applied here
		waiting []grant // that name an index which is not applied yet
	}
}

// grant is an answer of the leader.
type grant struct {
	until time.Duration
	index uint64
}

// check returns nil while the lease lasts.
func (l *lease) check() error {
	const op = "control.CheckLease"
	if int64(l.clock.Now()) < l.until.Load() {
		return nil
	}
	e := cluster.Fail(op, "", cluster.KindUnavailable, "this node is out of touch with the cluster and cannot be certain")
	e.RetryAfter = time.Second
	return e
}

// granted takes a grant for a request that was sent at the given clock time.
func (l *lease) granted(sent time.Duration, index uint64) {
	if l.bug == bugCountFromReceipt {
		sent = l.clock.Now()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.waiting = slices.DeleteFunc(l.mu.waiting, func(g grant) bool { return g.until <= sent })
	l.mu.waiting = append(l.mu.waiting, grant{until: sent + l.duration, index: index})
	l.count()
}

// applied says that the view of an index is published.
func (l *lease) applied(index uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.index = index
	l.count()
}

// count lets every grant count whose index is applied.
func (l *lease) count() {
	l.mu.waiting = slices.DeleteFunc(l.mu.waiting, func(g grant) bool {
		counts := g.index <= l.mu.index || l.bug == bugCountUnapplied
		if counts {
			l.until.Store(max(l.until.Load(), int64(g.until)))
		}
		return counts
	})
}

// drop ends the lease now, and forgets grants that wait.
func (l *lease) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.waiting = nil
	l.until.Store(0)
}
