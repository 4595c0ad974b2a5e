package control

import (
	"context"
	"sync"
	"time"
)

// farthestJump is how far a wall clock is set off the true time.
const farthestJump = 50 * time.Hour

// simClock is the two clocks of one machine: the one that leases go by, whose rate changes within its bounds, and the wall
// clock, which is set to any time. A process that is paused cannot read them.
type simClock struct {
	wallLeases, sleepy bool // flaws

	paused func() <-chan struct{}
	mu     struct {
		sync.Mutex
		at    time.Time     // when it was looked at last
		shown time.Duration // what it showed then
		rate  float64       // since then
		ahead time.Duration // the wall clock, of the true time
	}
}

func newClock(s *sim, shown time.Duration, rate float64) *simClock {
	c := &simClock{wallLeases: s.flaw.wallLeases, sleepy: s.flaw.sleepyClock}
	c.mu.at, c.mu.shown, c.mu.rate = s.began, shown+2*farthestJump, rate
	return c
}

// rate returns the rate of a clock, for a number from 0 to 1. Those of any two differ by less than a tenth.
func (s *sim) rate(at float64) float64 {
	if wild := s.flaw.wildRates; wild > 0 {
		return 1 - wild + 2*wild*at
	}
	return 0.955 + 0.09*at
}

// Now implements Clock.
func (c *simClock) Now() time.Duration {
	c.wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
	if c.wallLeases {
		return c.mu.shown + c.mu.ahead
	}
	return c.mu.shown
}

// Wall is the wall clock: as one that was read from a disk or another machine, it does not tell durations.
func (c *simClock) Wall() time.Time {
	c.wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Round(0).Add(c.mu.ahead)
}

func (c *simClock) wait() {
	for held := c.paused(); held != nil; held = c.paused() {
		<-held
	}
}

// look lets the clock go on until now. It is called with mu held.
func (c *simClock) look() {
	now := time.Now()
	c.mu.shown += time.Duration(float64(now.Sub(c.mu.at)) * c.mu.rate)
	c.mu.at = now
}

func (c *simClock) set(ahead time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.ahead = ahead
}

func (c *simClock) run(rate float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
	c.mu.rate = rate
}

// sleep and wake are what becomes of it while the machine sleeps: it goes on.
func (c *simClock) sleep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
}

func (c *simClock) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sleepy {
		c.mu.at = time.Now()
	}
}

// setClock sets the wall clock of a node, of the leader, or of all nodes, by hours, and some time later once more.
func (s *sim) setClock(ctx context.Context) {
	nodes := []*simNode{s.member((*simNode).isRunning)}
	switch s.pick(3) {
	case 0:
		nodes[0] = s.leader()
	case 1:
		nodes = s.all()
	}
	for range 2 {
		ahead := s.between(-farthestJump, farthestJump)
		if s.chance(30) {
			ahead = 0
		}
		for _, n := range nodes {
			if n != nil {
				s.checks.event("the wall clock of %s is set to %v ahead", n.id, ahead)
				n.clock.set(ahead)
			}
		}
		sleep(ctx, s.between(0, 8*time.Second))
	}
}

// changeRates changes how fast the clocks of all nodes run.
func (s *sim) changeRates(context.Context) {
	for _, n := range s.all() {
		rate := s.rate(float64(s.pick(1001)) / 1000)
		s.checks.event("the clock of %s runs at %.4f", n.id, rate)
		n.clock.run(rate)
	}
}

// setBackAndCutOff sets the wall clock of a node back and then cuts it off.
func (s *sim) setBackAndCutOff(ctx context.Context) {
	n := s.member((*simNode).isRunning)
	if n == nil {
		return
	}
	ahead := s.between(-farthestJump, 0)
	s.checks.event("the wall clock of %s is set to %v ahead", n.id, ahead)
	n.clock.set(ahead)
	s.isolate(ctx, n, true, true)
}
