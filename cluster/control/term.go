package control

import (
	"context"
	"sync"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/internal/state"
)

// lead makes this node act as the leader whenever it is one. Each term starts from nothing: what a leader knows of leases
// is true in its own term only.
func (c *Control) lead() {
	var current *term
	retire := func() {
		if current != nil {
			current.stop()
			c.term.Store(nil)
			current = nil
		}
	}
	defer retire()
	for {
		select {
		case l, ok := <-c.engine.Leadership():
			if !ok {
				return
			}
			if current != nil && (!l.Leading || l.Term != current.number) {
				retire()
			}
			if l.Leading && current == nil {
				current = newTerm(c, l.Term)
			}
		case <-c.life.Done():
			return
		}
	}
}

// term is one term of this node as the leader.
type term struct {
	*Control
	number  uint64
	began   time.Duration // clock time at which it was in office
	life    context.Context
	end     context.CancelFunc
	work    sync.WaitGroup
	changed *signal       // something in mu is news
	commits chan struct{} // a command was committed
	mu      struct {      // the clock is read before it is locked, for a reading can wait
		sync.Mutex
		holders   map[process]*holder
		entering  map[cluster.NodeID]candidate
		leaving   map[cluster.NodeID]leaver
		unasked   []chan<- error  // who waits for the next word of a majority
		deletions map[uint64]bool // and conversions, being driven

		accusations []accusation              // of the last time
		suspects    map[process]time.Duration // who accused too many, and the clock time until which that is held against it
	}

	ranks ranks

	// Of driveMaps alone.
	shaped time.Duration // clock time of the last change of holders
	plans  struct {
		version   cluster.MapVersion
		buckets   uint64
		standings standings
		plan      plan
	}
	heirs struct { // whom a pending map makes owners
		active, pending cluster.MapVersion
		nodes           []cluster.NodeID
	}
}

// holder is what the leader knows of a process that may hold a lease.
type holder struct {
	applied uint64
	ack     acknowledgement
	contact time.Duration // clock time of its last report
	met     bool          // it has reported in this term
	gone    bool          // it has said its last word
	full    bool          // it has no space
	wall    int64         // its wall clock when the leader's clock was zero; 0: not told
	grants  []grant       // leases that may last, by the leader's count; oldest first
}

// newTerm starts to lead.
func newTerm(c *Control, number uint64) *term {
	t := &term{Control: c, number: number, changed: newSignal(), commits: make(chan struct{}, 1)}
	t.life, t.end = context.WithCancel(c.life)
	t.mu.holders = make(map[process]*holder)
	t.mu.entering = make(map[cluster.NodeID]candidate)
	t.mu.leaving = make(map[cluster.NodeID]leaver)
	t.mu.deletions = make(map[uint64]bool)
	t.mu.suspects = make(map[process]time.Duration)
	t.work.Go(t.run)
	return t
}

func (t *term) stop() {
	t.end()
	t.work.Wait()
}

// run takes office, and with that has applied everything that earlier leaders committed. It assumes that every node holds a
// lease of theirs, and only then acts.
func (t *term) run() {
	for {
		_, err := t.propose(t.life, state.Command{TakeOffice: &state.TakeOffice{}})
		if err == nil {
			break
		}
		if !sleep(t.life, retryPause) {
			return
		}
	}
	t.began = t.clock.Now()
	t.assumeLeases()
	t.term.Store(t)
	t.log.Info("leading", "term", t.number)
	t.work.Go(t.spreadCommits)
	t.work.Go(t.askMajority)
	t.work.Go(t.driveMaps)
	t.work.Go(t.driveDeletions)
	t.work.Go(t.driveConversions)
	t.work.Go(t.keepVoters)
}

// assumeLeases takes every process that the active map names to hold a lease that an earlier leader granted at the last
// moment before this term.
func (t *term) assumeLeases() {
	until := t.leaseEnd(t.began)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.options.bug == bugNoGrace {
		return
	}
	for _, n := range t.View().Map().Nodes {
		t.mu.holders[processOf(n)] = &holder{grants: []grant{{until: until}}}
	}
}

// leaseEnd is when a lease has ended for certain that was asked for before now: clocks may differ in rate by a tenth.
func (t *term) leaseEnd(now time.Duration) time.Duration {
	return now + t.options.Lease + t.options.Lease/10
}

// propose puts a command into the log and returns its result. It is carried out only in this term: see state.TakeOffice.
func (t *term) propose(ctx context.Context, cmd state.Command) (state.Result, error) {
	const op = "control.propose"
	cmd.Time, cmd.Term = t.options.Wall(), t.number
	data, err := cmd.Encode()
	if err != nil {
		return state.Result{}, cluster.E(op, "", cluster.KindInvalid, err)
	}
	result, _, err := t.engine.Propose(ctx, data)
	if err != nil {
		return state.Result{}, cluster.E(op, "", cluster.KindUnavailable, err)
	}
	select {
	case t.commits <- struct{}{}:
	default:
	}
	if r := result.(state.Result); !r.Stale {
		return r, nil
	}
	return state.Result{}, noLeader()
}

// spreadCommits tells the followers at once what is committed: raft would do so with its next message only, and an empty
// entry makes one.
func (t *term) spreadCommits() {
	for {
		select {
		case <-t.commits:
			if err := t.engine.Barrier(t.life); err != nil {
				t.log.Debug("cannot spread a commit", "error", err)
			}
		case <-t.life.Done():
			return
		}
	}
}

// outcome waits until a request that has begun is decided.
func (t *term) outcome(ctx context.Context, req cluster.RequestID) (r state.Result, err error) {
	err = t.Wait(ctx, func(v *View) bool {
		var ok bool
		r, ok = v.state.Outcome(req)
		return ok
	})
	if err == nil && r.Term > t.number {
		err = noLeader() // who decided it knows who must have applied it
	}
	return r, err
}

// everywhere returns when every lease holder has applied an index, or its lease has ended. Leases that were granted with
// that index or a later one do not matter: they count only where it is applied. For an index of this term or before, that
// holds also if the term has ended: a later leader takes office after it, and grants no others.
func (t *term) everywhere(ctx context.Context, index uint64) error {
	if t.options.bug == bugNoWait {
		return nil
	}
	for {
		news := t.changed.wait()
		wait, behind := t.behind(index)
		if !behind {
			return nil
		}
		if err := t.pause(ctx, news, wait); err != nil {
			return err
		}
	}
}

// behind reports whether somebody may answer without having applied an index, and when that ends at the latest.
func (t *term) behind(index uint64) (wait time.Duration, behind bool) {
	now := t.clock.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, h := range t.mu.holders {
		if h.applied >= index {
			continue
		}
		for _, g := range h.grants {
			if g.index < index && g.until > now {
				wait, behind = max(wait, g.until-now), true
			}
		}
	}
	return wait, behind
}

// pause waits for news, but not longer than told.
func (t *term) pause(ctx context.Context, news <-chan struct{}, wait time.Duration) error {
	timer := time.NewTimer(max(wait, time.Millisecond))
	defer timer.Stop()
	select {
	case <-news:
	case <-timer.C:
	case <-ctx.Done():
		return cluster.E("control.pause", "", cluster.KindUnavailable, ctx.Err())
	case <-t.life.Done():
		return noLeader()
	}
	return nil
}

// signal wakes everybody who waits.
type signal struct {
	mu struct {
		sync.Mutex
		next chan struct{}
	}
}

func newSignal() *signal {
	s := &signal{}
	s.mu.next = make(chan struct{})
	return s
}

// wait returns a channel that is closed at the next raise.
func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.next
}

func (s *signal) raise() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.mu.next)
	s.mu.next = make(chan struct{})
}
