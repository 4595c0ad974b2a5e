package control

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/internal/raftnode"
	"github.com/aisle-store/aisle/cluster/internal/state"
)

// Control is the control plane of one node.
type Control struct {
	options Options
	log     *slog.Logger
	clock   Clock
	view    atomic.Pointer[View]
	lease   *lease
	wall    wall
	book    *addressBook
	fatal   chan error

	// Set by Start before anything of this runs.
	engine      *raftnode.Engine
	participant Participant

	started atomic.Bool
	term    atomic.Pointer[term] // this node's term as the leader, or nil
	serving atomic.Bool          // the participant has activated a map
	report  chan struct{}        // there is something to tell the leader
	ack     atomic.Pointer[acknowledgement]

	life    context.Context // ends with Stop
	end     context.CancelFunc
	renewal context.Context // ends when Stop begins
	resign  context.CancelFunc
	renewer sync.WaitGroup
	work    sync.WaitGroup
	stopped sync.Once
}

// New makes a Control that has not started: its view is empty and it holds no lease.
func New(o Options) *Control {
	if o.Lease == 0 {
		o.Lease = DefaultLease
	}
	if o.Clock == nil {
		o.Clock = bootClock{}
	}
	if o.Wall == nil {
		o.Wall = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.rank == nil {
		o.rank = rankTargets
	}
	c := &Control{
		options: o,
		log:     o.Logger.With("part", "control"),
		clock:   o.Clock,
		book:    newAddressBook(),
		fatal:   make(chan error, 2),
		report:  make(chan struct{}, 1),
	}
	c.lease = &lease{clock: o.Clock, duration: o.Lease, bug: o.bug}
	c.ack.Store(&acknowledgement{})
	c.view.Store(c.newView(state.New()))
	c.life, c.end = context.WithCancel(context.Background())
	c.renewal, c.resign = context.WithCancel(c.life)
	return c
}

// Start joins the cluster, or forms it, and returns when this node has applied a map that names its incarnation. p is nil
// for a pure proxy; it is called from before Start returns on. After an error, call Stop.
func (c *Control) Start(ctx context.Context, p Participant) error {
	const op = "control.Start"
	c.participant = p
	engine, err := c.options.Replication.start(c)
	if err != nil {
		return cluster.E(op, string(c.options.Node.ID), cluster.KindOther, err)
	}
	c.engine = engine
	c.started.Store(true)
	c.work.Go(c.watchFatal)
	c.work.Go(c.lead)
	c.work.Go(c.participate)
	c.renewer.Go(c.keepLease)
	if err := c.enter(ctx); err != nil {
		return cluster.E(op, string(c.options.Node.ID), cluster.KindOther, err)
	}
	return nil
}

// Fatal gives the error that makes this node unable to go on, such as a command of a later version, or that it has left
// the cluster for ever. The owner reports it and stops the node.
func (c *Control) Fatal() <-chan error { return c.fatal }

func (c *Control) watchFatal() {
	select {
	case err := <-c.engine.Fatal():
		c.lease.drop()
		c.fatal <- err // has room for this and for the other cause there can be
	case <-c.life.Done():
	}
}

// View returns what this node has applied. To answer from it, check the lease before: see Current.
func (c *Control) View() *View { return c.view.Load() }

// CheckLease returns nil while this node may answer, and else KindUnavailable with the time after which to try again. It
// is cheap.
func (c *Control) CheckLease() error { return c.lease.check() }

// Current returns a view that reflects every control change acknowledged before the call, or KindUnavailable: it checks
// the lease and then loads the view.
func (c *Control) Current() (*View, error) {
	if err := c.CheckLease(); err != nil {
		return nil, err
	}
	return c.View(), nil
}

// Wait returns when ok is true of a view, or when the context ends or the Control stops.
func (c *Control) Wait(ctx context.Context, ok func(*View) bool) error {
	const op = "control.Wait"
	for {
		v := c.View()
		if ok(v) {
			return nil
		}
		select {
		case <-v.next:
		case <-ctx.Done():
			return cluster.E(op, "", cluster.KindUnavailable, ctx.Err())
		case <-c.life.Done():
			return cluster.Fail(op, "", cluster.KindUnavailable, "this node is stopping")
		}
	}
}

// How long an orderly stop tries to hand over before it goes without.
const (
	transferTimeout = 3 * time.Second
	giveUpTimeout   = 2 * time.Second
)

// Stop ends the node's part in the cluster in an orderly way: it stops answering, hands leadership over, gives its lease
// up so that nobody waits for it, and ends everything that Start began. The context bounds the first part only. Further
// calls do nothing.
func (c *Control) Stop(ctx context.Context) (err error) {
	c.stopped.Do(func() {
		c.lease.drop()
		c.resign()
		c.renewer.Wait()
		if c.started.Load() {
			c.handOver(ctx)
		}
		c.end()
		c.work.Wait()
		if c.started.Load() {
			err = c.engine.Stop()
		}
		if g := c.options.Gossip; g != nil {
			err = errors.Join(err, g.Leave(ctx), g.Stop())
		}
	})
	return err
}

// handOver lets the others go on at once. Whatever fails here costs them a lease of waiting, nothing else.
func (c *Control) handOver(ctx context.Context) {
	if c.engine.IsLeader() && c.otherVoters() {
		transfer, cancel := context.WithTimeout(ctx, transferTimeout)
		if err := c.engine.TransferLeadership(transfer, ""); err != nil {
			c.log.Info("cannot hand leadership over", "error", err)
		}
		cancel()
	}
	giveUp, cancel := context.WithTimeout(ctx, giveUpTimeout)
	defer cancel()
	for {
		if leader := c.engine.Leader(); leader == c.options.Node.ID && c.term.Load() == nil {
			return // nobody else is left
		}
		_, err := c.sendRenewal(giveUp, true)
		if err == nil || !sleep(giveUp, retryPause) {
			return
		}
	}
}

func (c *Control) otherVoters() bool {
	for _, m := range c.engine.Members() {
		if m.Voter && m.ID != c.options.Node.ID {
			return true
		}
	}
	return false
}

// retryPause is how long to wait before something is tried again.
const retryPause = 100 * time.Millisecond

// sleep waits, and returns false when the context ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
