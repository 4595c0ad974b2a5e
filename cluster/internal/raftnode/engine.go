package raftnode

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/aisle-store/aisle/cluster"
)

// Timing holds the timeouts of one engine. All members should have the same.
type Timing struct {
	Heartbeat   time.Duration // without a leader's word for this long (up to twice it), a follower stands for election
	Election    time.Duration // without a result for this long, a candidate starts again; at least Heartbeat
	LeaderLease time.Duration // without a quorum's answers for this long, a leader steps down; at most Heartbeat
	Commit      time.Duration // how long an idle leader waits before it tells followers what is committed
	Call        time.Duration // of one message to another member; snapshots get more
}

// DefaultTiming suits members in one datacenter.
func DefaultTiming() Timing {
	return Timing{
		Heartbeat:   time.Second,
		Election:    time.Second,
		LeaderLease: 500 * time.Millisecond,
		Commit:      50 * time.Millisecond,
		Call:        2 * time.Second,
	}
}

// Retention says when the log is replaced by a snapshot.
type Retention struct {
	Interval  time.Duration // how often (up to twice as rarely) the log's length is looked at
	Threshold uint64        // entries since the last snapshot that call for another
	Trailing  uint64        // entries kept behind a snapshot for followers that are a little late
}

// DefaultRetention suits a state of a few megabytes that changes rarely.
func DefaultRetention() Retention {
	return Retention{Interval: 30 * time.Second, Threshold: 4096, Trailing: 4096}
}

// Options are the pieces of an Engine.
type Options struct {
	ID        cluster.NodeID // this member, for ever
	FSM       FSM
	Stores    *Stores
	Link      *Link
	Timing    Timing       // zero means DefaultTiming
	Retention Retention    // zero means DefaultRetention
	Logger    *slog.Logger // nil means silence
}

// Engine is one member of the replicated state machine. All methods are safe for concurrent use.
type Engine struct {
	id      cluster.NodeID
	raft    *raft.Raft
	machine *machine
	stores  *Stores
	guard   *guard
	peers   *peers
	timing  Timing

	fatal   chan error
	watch   *watch
	closing chan struct{} // closed when no new call is taken
	done    chan struct{} // closed when everything has stopped
	stopErr error         // valid after done

	mu struct {
		sync.Mutex
		closing bool
		calls   sync.WaitGroup // calls that wait for an answer of raft; added to only while closing is false
	}
}

// Start opens a member on its stores: it restores the latest snapshot and follows whoever leads. A member without any
// state waits until Bootstrap, or until a leader adds it. Start owns Stores and Link from the call on, also when it fails.
func Start(o Options) (*Engine, error) {
	const op = "raftnode.Start"
	if o.Timing == (Timing{}) {
		o.Timing = DefaultTiming()
	}
	if o.Retention == (Retention{}) {
		o.Retention = DefaultRetention()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Engine{
		id:      o.ID,
		machine: newMachine(o.FSM),
		stores:  o.Stores,
		guard:   newGuard(o.Stores),
		timing:  o.Timing,
		fatal:   make(chan error, 1),
		closing: make(chan struct{}),
		done:    make(chan struct{}),
	}
	e.peers = newPeers(o.Link.open(o.Timing.Call, o.Logger), e.CommitIndex, e.guard.start)
	if err := e.open(o); err != nil {
		return nil, cluster.E(op, string(o.ID), cluster.KindOther, errors.Join(err, e.peers.Close(), o.Stores.close()))
	}
	e.peers.start()
	e.watch = newWatch(e.raft)
	go e.run()
	return e, nil
}

// open starts raft. Raft panics when it cannot write its term, which it does first of all.
func (e *Engine) open(o Options) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("raft: %v", p)
		}
	}()
	e.raft, err = raft.NewRaft(config(o), e.machine, e.guard, e.guard, o.Stores.snapshots, e.peers)
	if cause := e.machine.cause(); err != nil && cause != nil {
		return cause
	}
	return err
}

func config(o Options) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(o.ID)
	c.HeartbeatTimeout = o.Timing.Heartbeat
	c.ElectionTimeout = o.Timing.Election
	c.LeaderLeaseTimeout = o.Timing.LeaderLease
	c.CommitTimeout = o.Timing.Commit
	c.SnapshotInterval = o.Retention.Interval
	c.SnapshotThreshold = o.Retention.Threshold
	c.TrailingLogs = o.Retention.Trailing
	c.ShutdownOnRemove = false // a removed member stays up to say so
	c.NoLegacyTelemetry = true
	c.Logger = newLogger(o.Logger.With("part", "raft"))
	return c
}

// Bootstrapped reports whether this member has state: it was bootstrapped, or some leader has added it.
func (e *Engine) Bootstrapped() bool {
	return e.raft.LastIndex() > 0 || len(e.raft.GetConfiguration().Configuration().Servers) > 0
}

// Bootstrap makes this member the first, and only, voter of a new cluster. It does nothing to a member that has state
// and returns KindConflict then.
func (e *Engine) Bootstrap(ctx context.Context) error {
	const op = "raftnode.Bootstrap"
	servers := raft.Configuration{Servers: []raft.Server{{
		Suffrage: raft.Voter, ID: raft.ServerID(e.id), Address: raft.ServerAddress(e.id),
	}}}
	_, err := e.call(ctx, func(time.Duration) raft.Future { return e.raft.BootstrapCluster(servers) })
	if errors.Is(err, raft.ErrCantBootstrap) {
		return cluster.E(op, string(e.id), cluster.KindConflict, err)
	}
	return e.fail(op, err)
}

// Propose asks for a command to be replicated and applied, and returns what the FSM returned for it together with its
// index. It works on the leader only. The error is a *NotLeaderError when the command was certainly not taken; it is
// ErrUncertain when leadership or the context ended before the outcome was known: the command may still be applied.
func (e *Engine) Propose(ctx context.Context, data []byte) (result any, index uint64, err error) {
	const op = "raftnode.Propose"
	f, err := e.call(ctx, func(t time.Duration) raft.Future { return e.raft.Apply(data, t) })
	if err != nil {
		return nil, 0, e.fail(op, err)
	}
	applied := f.(raft.ApplyFuture)
	if bad, ok := applied.Response().(Halt); ok {
		return nil, 0, cluster.E(op, "", cluster.KindOther, bad)
	}
	if applied.Response() == errClosed {
		return nil, 0, e.fail(op, ErrUncertain)
	}
	return applied.Response(), applied.Index(), nil
}

// Barrier returns when everything that was committed before the call has been applied here. It works on the leader only;
// a new leader calls it before it trusts its own state.
func (e *Engine) Barrier(ctx context.Context) error {
	_, err := e.call(ctx, func(t time.Duration) raft.Future { return e.raft.Barrier(t) })
	return e.fail("raftnode.Barrier", err)
}

// VerifyLeader asks the others whether this member still leads, and returns nil when enough of them agree. It is a hint
// and no proof: raft counts answers to messages that it sent before the call, which may have waited while this process
// was paused, and answers of members without a vote.
func (e *Engine) VerifyLeader(ctx context.Context) error {
	_, err := e.call(ctx, func(time.Duration) raft.Future { return e.raft.VerifyLeader() })
	return e.fail("raftnode.VerifyLeader", err)
}

// Snapshot replaces the log up to the applied index by a snapshot now. Without anything new it does nothing.
func (e *Engine) Snapshot(ctx context.Context) error {
	_, err := e.call(ctx, func(time.Duration) raft.Future { return e.raft.Snapshot() })
	if errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return nil
	}
	return e.fail("raftnode.Snapshot", err)
}

// ID returns the name of this member.
func (e *Engine) ID() cluster.NodeID { return e.id }

// Leader returns the member that leads as far as this one knows, or "".
func (e *Engine) Leader() cluster.NodeID {
	_, id := e.raft.LeaderWithID()
	return cluster.NodeID(id)
}

// IsLeader reports whether this member believes that it leads. It may be the last one to believe so.
func (e *Engine) IsLeader() bool { return e.raft.State() == raft.Leader }

// Term returns the current term as this member knows it.
func (e *Engine) Term() uint64 { return e.raft.CurrentTerm() }

// AppliedIndex returns the index of the last command that the FSM has applied here. Entries of raft itself (barriers,
// membership) have indexes too but never show in it.
func (e *Engine) AppliedIndex() uint64 { return e.machine.applied.Load() }

// CommitIndex returns the highest index that this member knows to be committed.
func (e *Engine) CommitIndex() uint64 { return e.raft.CommitIndex() }

// LastIndex returns the index of the last entry in this member's log, committed or not.
func (e *Engine) LastIndex() uint64 { return e.raft.LastIndex() }

// LastContact returns how long ago this member last heard from a leader; a leader hears from itself. It is negative when
// it never did.
func (e *Engine) LastContact() time.Duration {
	if e.IsLeader() {
		return 0
	}
	last := e.raft.LastContact()
	if last.IsZero() {
		return -1
	}
	return time.Since(last)
}

// Leadership gives the latest leadership whenever it changes. It holds one value: a slow reader misses what was in
// between, but terms tell that something was. It is closed when the engine has stopped. There is one channel for one reader.
func (e *Engine) Leadership() <-chan Leadership { return e.watch.out }

// Fatal gives the error that stopped the engine by itself (see Halt), once. The owner reports it and calls Stop.
func (e *Engine) Fatal() <-chan error { return e.fatal }

// Stop ends the member in an orderly way and returns when all its goroutines have. Leadership is not handed over: see
// TransferLeadership. Calling it again is harmless.
func (e *Engine) Stop() error {
	e.shut()
	<-e.done
	return e.stopErr
}

// Crash ends the member as if its process had been killed: from this moment it sends nothing and stores nothing, and its
// FSM sees nothing more. For simulations; with stores on disk it is a Stop.
func (e *Engine) Crash() {
	// In this order: nothing is said of what was not stored.
	e.machine.close()
	e.peers.sever()
	e.stores.freeze()
	e.shut()
	<-e.done
}

// shut makes run end.
func (e *Engine) shut() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.mu.closing {
		e.mu.closing = true
		close(e.closing)
	}
}

// run waits for the end of the engine, whoever wants it, and brings it about.
func (e *Engine) run() {
	defer close(e.done)
	select {
	case <-e.closing:
	case <-e.machine.halted:
		e.fatal <- e.machine.cause()
		e.shut()
	case <-e.guard.failed:
		e.fatal <- e.guard.cause()
		e.shut()
	}
	// Raft may leave a call unanswered that it took just before a shutdown. It answers all of them soon while it runs, if
	// only because it loses leadership; so they are waited for first.
	e.waitForCalls()
	stopped := e.raft.Shutdown()
	err := e.peers.Close() // unblocks raft's goroutines that wait for other members
	e.stopErr = errors.Join(stopped.Error(), err, e.watch.stop(), e.stores.close())
}

// waitForCalls returns when no call waits for raft. A store that fails now must not hold it up.
func (e *Engine) waitForCalls() {
	answered := make(chan struct{})
	go func() {
		e.mu.calls.Wait()
		close(answered)
	}()
	select {
	case <-answered:
	case <-e.guard.failed:
	}
	e.machine.close()
	e.peers.sever()
	e.guard.part()
	<-answered
}

// enqueueStep is how long a call waits for raft to take it before it looks whether it is still wanted.
const enqueueStep = 50 * time.Millisecond

// call hands something to raft and waits for the answer, the end of the context, or the end of the engine. The future is
// valid only when the error is nil.
func (e *Engine) call(ctx context.Context, enqueue func(timeout time.Duration) raft.Future) (raft.Future, error) {
	if err := ctx.Err(); err != nil {
		return nil, errNotTaken{err}
	}
	if !e.enter() {
		return nil, ErrStopped
	}
	var f raft.Future
	answer := make(chan error, 1)
	go func() {
		defer e.mu.calls.Done()
		for {
			f = enqueue(enqueueStep)
			err := f.Error()
			if !errors.Is(err, raft.ErrEnqueueTimeout) {
				answer <- err
				return
			}
			select {
			case <-ctx.Done():
				answer <- errNotTaken{ctx.Err()}
				return
			case <-e.closing:
				answer <- ErrStopped
				return
			default:
			}
		}
	}()
	select {
	case err := <-answer:
		return f, err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrUncertain, ctx.Err())
	}
}

func (e *Engine) enter() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.mu.closing {
		return false
	}
	e.mu.calls.Add(1)
	return true
}
