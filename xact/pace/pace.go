// Package pace bounds work in the background by what it does to the work in front: bytes per second and how many things at a time
// shrink while operations that users wait for take longer than they do when it is quiet, and grow back, but never below a floor,
// so that the work always ends.
package pace

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Limits are between what a Pacer chooses.
type Limits struct {
	Low, High int64 // bytes per second; Low is the floor
	Parallel  int   // things at a time, at the highest rate
}

// Step is how often Tick is to be called.
const Step = 250 * time.Millisecond

// How a Pacer decides.
const (
	tolerated   = 1.5                    // times its quiet level that a latency may reach
	slack       = 500 * time.Microsecond // and so much more, for latencies that are short
	shrink      = 0.7                    // of the rate, with each step in which operations are slow
	grow        = 1.1                    // ... in which they are not
	smooth      = 0.3                    // share of the last step in the latency of now
	learn       = 0.05                   // share of a step in the quiet level
	forget      = 1.0005                 // by which the quiet level grows with each step of work: a lasting load is not the work's doing
	fewestSeen  = 4                      // operations without which a step says nothing
	silentSteps = 4                      // after which that says that there is nothing to disturb
)

// Class is a kind of operations in front, whose latencies are alike.
type Class int

// The classes.
const (
	Read Class = iota
	Write
	classes
)

// Pacer decides. Its methods may be called at the same time.
type Pacer struct {
	limits func() Limits
	seen   [classes]struct{ count, sum atomic.Int64 }
	moved  atomic.Int64 // bytes since the last step

	mu     sync.Mutex
	rate   float64        // guarded by mu: bytes per second
	next   time.Duration  // guarded by mu: clock time from which the next bytes may move
	levels [classes]level // guarded by mu
}

// level is what is known of the latency of one class.
type level struct {
	now, quiet float64 // seconds; zero is not known
	silent     int     // steps without enough operations
}

// New makes a Pacer that begins at the floor. The limits are asked for at each step.
func New(limits func() Limits) *Pacer {
	return &Pacer{limits: limits, rate: float64(limits().Low)}
}

// Observe tells how long an operation took that a user waited for. It is cheap.
func (p *Pacer) Observe(c Class, took time.Duration) {
	p.seen[c].count.Add(1)
	p.seen[c].sum.Add(int64(took))
}

// Take accounts for bytes that are about to move, and returns how long to wait before they do.
func (p *Pacer) Take(now time.Duration, bytes int64) time.Duration {
	p.moved.Add(bytes)
	p.mu.Lock()
	defer p.mu.Unlock()
	start := max(p.next, now)
	p.next = start + time.Duration(float64(bytes)/p.rate*float64(time.Second))
	return start - now
}

// Rate returns the bytes per second of now.
func (p *Pacer) Rate() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return int64(p.rate)
}

// Parallel returns how many things may move at the same time: one at the floor, all at the highest rate.
func (p *Pacer) Parallel() int {
	l := p.limits()
	if l.Parallel <= 1 || l.High <= l.Low {
		return max(l.Parallel, 1)
	}
	share := math.Log(float64(p.Rate())/float64(l.Low)) / math.Log(float64(l.High)/float64(l.Low))
	return 1 + int(math.Round(min(max(share, 0), 1)*float64(l.Parallel-1)))
}

// Tick looks at what was observed since the last one and chooses the next rate.
func (p *Pacer) Tick() {
	l := p.limits()
	working := p.moved.Swap(0) > 0
	p.mu.Lock()
	defer p.mu.Unlock()
	slow := false
	for c := range p.levels {
		slow = p.look(Class(c), working) || slow
	}
	switch {
	case working && slow:
		p.rate *= shrink
	case working:
		p.rate *= grow
	}
	p.rate = min(max(p.rate, float64(l.Low)), float64(max(l.High, l.Low)))
}

// look takes in what was seen of a class, and reports whether it takes longer than when it is quiet.
func (p *Pacer) look(c Class, working bool) bool {
	at, seen := &p.levels[c], &p.seen[c]
	if seen.count.Load() < fewestSeen {
		if at.silent++; at.silent >= silentSteps {
			seen.count.Store(0)
			seen.sum.Store(0)
			at.now = 0
			return false
		}
		return at.slow()
	}
	at.silent = 0
	count, sum := seen.count.Swap(0), seen.sum.Swap(0)
	mean := time.Duration(sum / max(count, 1)).Seconds()
	if at.now == 0 {
		at.now = mean
	}
	at.now += smooth * (mean - at.now)
	switch {
	case at.quiet == 0:
		at.quiet = at.now
	case !working || at.now < at.quiet:
		at.quiet += learn * (at.now - at.quiet)
	default:
		at.quiet *= forget
	}
	return at.slow()
}

func (l *level) slow() bool { return l.quiet > 0 && l.now > tolerated*l.quiet+slack.Seconds() }
