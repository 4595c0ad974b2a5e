package xact

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// clock is a wall clock that a test moves.
type clock struct{ time.Time }

func (c *clock) now() time.Time { return c.Time }

func newTestRegistry() (*Registry, *clock) {
	c := &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	return NewRegistry("n1", 0xabc, c.now), c
}

func TestProgress(t *testing.T) {
	r, c := newTestRegistry()
	run := r.Start(Rebalance, "slots of n2")
	if j := r.Jobs()[0]; j.ID != "rebalance-00000abc-1" || j.Node != "n1" || j.State != Running || j.Left >= 0 {
		t.Fatalf("a job that has just begun: %+v", j)
	}
	if _, ok := new(Job).Percent(); ok {
		t.Error("a job that knows no total tells a percentage")
	}
	run.Expect(1000, 100<<20)
	for range 30 {
		run.Add(10, 1<<20)
		c.Time = c.Add(time.Second)
	}
	j := r.Jobs()[0]
	if p, ok := j.Percent(); !ok || p < 29 || p > 31 {
		t.Errorf("%v %% done, want 30", p)
	}
	if j.Rate < 0.9*(1<<20) || j.Rate > 1.1*(1<<20) || j.Left < 63*time.Second || j.Left > 77*time.Second {
		t.Errorf("rate %v, left %v: want 1 MiB/s and 70 s", j.Rate, j.Left)
	}
	c.Time = c.Add(time.Hour)
	if j := r.Jobs()[0]; j.Rate > 1024 {
		t.Errorf("a job that stands still has the rate %v", j.Rate)
	}
	run.End(nil)
	run.End(errors.New("late"))
	if j := r.Jobs()[0]; j.State != Finished || j.Left != 0 || j.Err != "" || j.Objects.Done != 300 {
		t.Errorf("a job that has ended: %+v", j)
	}
	if m := r.Moved()[Rebalance]; m != (Moved{Ended: 1, Objects: 300, Bytes: 30 << 20}) {
		t.Errorf("moved %+v", m)
	}
}

func TestPassed(t *testing.T) {
	r, c := newTestRegistry()
	run := r.Start(Rebalance, "")
	run.Passed(0)
	run.Add(0, 0)
	if j := r.Jobs()[0]; j.Left >= 0 || j.Bytes.Total != 0 {
		t.Errorf("nothing is done, and yet it is known how long the rest takes: %+v", j)
	}
	for range 30 {
		run.Add(10, 1<<20)
		c.Time = c.Add(time.Second)
	}
	run.Passed(0.25)
	j := r.Jobs()[0]
	if p, ok := j.Percent(); !ok || p < 24 || p > 26 || j.Bytes.Total != 120<<20 || j.Left < 80*time.Second || j.Left > 100*time.Second {
		t.Errorf("%+v, %v %%: want a quarter done, 90 s left", j, p)
	}
	if run.Passed(1.1); r.Jobs()[0].Bytes.Total != 30<<20 {
		t.Error("more is done than there is")
	}
}

func TestEnds(t *testing.T) {
	f := func(err error, want State) {
		t.Helper()
		r, _ := newTestRegistry()
		r.Start(Rebalance, "").End(err)
		if got := r.Jobs()[0].State; got != want {
			t.Errorf("%v: %s, want %s", err, got, want)
		}
	}
	f(nil, Finished)
	f(fmt.Errorf("the map has changed: %w", ErrStopped), Stopped)
	f(errors.New("disk"), Failed)
}

func TestForget(t *testing.T) {
	r, c := newTestRegistry()
	first := r.Start(Rebalance, "for ever")
	for range 2 * keptJobs {
		c.Time = c.Add(time.Second)
		r.Start(Rebalance, "").End(nil)
	}
	jobs := r.Jobs()
	if len(jobs) != keptJobs+1 || jobs[0].ID != first.ID() || jobs[1].Started.Before(jobs[2].Started) {
		t.Errorf("%d jobs, first %s", len(jobs), jobs[0].ID)
	}
}
