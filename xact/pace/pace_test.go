package pace

import (
	"testing"
	"time"
)

// world is a machine with work in front, whose latency grows with the rate of the work in the background.
type world struct {
	p       *Pacer
	clock   time.Duration
	moved   int64
	latency func(rate int64) time.Duration // of an operation in front
	idle    bool                           // there are no operations in front
}

func newWorld(latency func(int64) time.Duration) *world {
	return &world{p: New(func() Limits { return Limits{Low: 1 << 20, High: 256 << 20, Parallel: 8} }), latency: latency}
}

// run lets time pass, with work in the background or without.
func (w *world) run(d time.Duration, working bool) {
	const piece = 256 << 10
	due := w.clock
	for end := w.clock + d; w.clock < end; {
		step := w.clock + Step
		for working && due < step {
			due = max(due, w.clock)
			due += w.p.Take(due, piece)
			w.moved += piece
		}
		rate := int64(0)
		if working {
			rate = w.p.Rate()
		}
		for range 10 {
			if !w.idle {
				w.p.Observe(Write, w.latency(rate))
			}
		}
		w.clock = step
		w.p.Tick()
	}
}

func TestQuietMachine(t *testing.T) {
	w := newWorld(func(int64) time.Duration { return 5 * time.Millisecond })
	w.run(10*time.Second, false)
	if w.p.Rate() != 1<<20 || w.p.Parallel() != 1 {
		t.Errorf("before any work: %d bytes/s, %d at a time", w.p.Rate(), w.p.Parallel())
	}
	w.run(30*time.Second, true)
	if w.p.Rate() != 256<<20 || w.p.Parallel() != 8 {
		t.Errorf("work that disturbs nobody: %d bytes/s, %d at a time", w.p.Rate(), w.p.Parallel())
	}
}

func TestNobodyToDisturb(t *testing.T) {
	w := newWorld(nil)
	w.idle = true
	w.run(30*time.Second, true)
	if w.p.Rate() != 256<<20 {
		t.Errorf("without operations in front: %d bytes/s", w.p.Rate())
	}
}

// Work that slows the operations in front finds a rate at which it does so a little, and goes back to it.
func TestYields(t *testing.T) {
	const knee = 32 << 20 // at which operations take twice as long
	w := newWorld(func(rate int64) time.Duration {
		return 5*time.Millisecond + time.Duration(float64(5*time.Millisecond)*float64(rate)/knee)
	})
	w.run(10*time.Second, false)
	w.run(60*time.Second, true)
	lowest, highest := int64(1<<40), int64(0)
	for range 40 {
		w.run(Step, true)
		lowest, highest = min(lowest, w.p.Rate()), max(highest, w.p.Rate())
	}
	if lowest < 2<<20 || highest > 2*knee {
		t.Errorf("between %d and %d bytes/s", lowest, highest)
	}
	if w.p.Parallel() >= 8 {
		t.Errorf("%d at a time", w.p.Parallel())
	}
}

// However slow everything is, the floor is kept; and when it is quiet again, work is quick again.
func TestFloor(t *testing.T) {
	slow := false
	w := newWorld(func(int64) time.Duration {
		if slow {
			return time.Second
		}
		return time.Millisecond
	})
	w.run(10*time.Second, false)
	slow = true
	w.run(20*time.Second, true)
	before := w.moved
	w.run(20*time.Second, true)
	if rate := (w.moved - before) / 20; w.p.Rate() != 1<<20 || rate < 1<<20*9/10 || rate > 1<<20*12/10 {
		t.Errorf("under a load that is not the work's: %d bytes/s, moved %d", w.p.Rate(), rate)
	}
	slow = false
	w.run(40*time.Second, true)
	if w.p.Rate() < 128<<20 {
		t.Errorf("quiet again: %d bytes/s", w.p.Rate())
	}
}

// TestRate: what Take lets through has the rate.
func TestRate(t *testing.T) {
	p := New(func() Limits { return Limits{Low: 1 << 20, High: 1 << 20, Parallel: 3} })
	now := time.Duration(0)
	for range 100 {
		now += p.Take(now, 64<<10)
	}
	if now < 6*time.Second || now > 6500*time.Millisecond || p.Parallel() != 3 {
		t.Errorf("6.4 MB in %v, %d at a time", now, p.Parallel())
	}
	if wait := p.Take(now+time.Hour, 1); wait != 0 {
		t.Errorf("after an hour of rest: %v", wait)
	}
}
