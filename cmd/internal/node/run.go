package node

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/aisle-store/aisle/cluster/config"
)

// Options are what a node is made of.
type Options struct {
	Settings config.Node
	Version  string
	Out      io.Writer // what its administrator must see once: the root key
	Log      io.Writer
}

// Run runs a node until the context ends or it cannot go on. It returns nil when it was told to stop and did so in order.
func Run(ctx context.Context, o Options) error {
	tuneRuntime()
	n, err := open(ctx, o)
	if err != nil {
		return err
	}
	failed := n.serve()
	err = n.join(ctx)
	if err == nil {
		err = n.wait(ctx, failed)
	} else if ctx.Err() != nil {
		err = nil // told to stop while joining
	}
	if err != nil {
		n.log.Error("the node cannot go on", "error", err)
	}
	return errors.Join(err, n.stop())
}

// serve lets every listener work, before the node has joined: other nodes are answered so that it can join, and clients
// hear that it is not ready. The channel yields the error of a listener that broke.
func (n *node) serve() <-chan error {
	failed := make(chan error, 4)
	run := func(f func() error) {
		n.work.Go(func() {
			if err := f(); err != nil {
				failed <- err
			}
		})
	}
	run(func() error { return n.calls.Serve(n.mux.Protocol(controlProtocol)) })
	run(func() error { return n.intra.Serve(n.mux.HTTP()) })
	run(func() error { return n.public.Serve(n.listener) })
	n.work.Go(func() { n.proxy.DeliverLogs(n.life) })
	return failed
}

// join makes the node a member, or a member again. It returns when the node has applied a map that names this process.
func (n *node) join(ctx context.Context) error {
	began := time.Now()
	told := make(chan struct{})
	tell, stop := context.WithCancel(ctx)
	go func() {
		defer close(told)
		n.tellWhileJoining(tell)
	}()
	defer func() {
		stop()
		<-told
	}()
	if err := n.control.Start(ctx, n.participant()); err != nil {
		return err
	}
	if err := n.secret.Save(n.options.Settings.Dir); err != nil { // it has let the node in: the right one
		return err
	}
	m := n.control.View().Map()
	n.log.Info("the node serves", "cluster", m.ClusterID, "map", uint64(m.Version), "after", time.Since(began).Round(time.Millisecond),
		"public", n.listener.Addr().String(), "intra", n.self.IntraAddr)
	if locked := n.control.View().LockedKeys(); len(locked) > 0 {
		n.log.Error("this node does not have the master key of the cluster: objects that are encrypted under these keys cannot be read or written here; give it --master-key-file or AISLE_MASTER_KEY",
			"keys", locked)
	}
	n.work.Go(n.followSettings)
	return nil
}

// joinPause is how often a node that has not joined yet says why.
const joinPause = 5 * time.Second

// tellWhileJoining writes what keeps the node from joining: it is tried again for ever, as the others may come up later.
func (n *node) tellWhileJoining(ctx context.Context) {
	tick := time.NewTicker(joinPause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, addr := range n.options.Settings.Join {
			if err := n.reach(ctx, addr); err != nil && ctx.Err() == nil {
				n.log.Warn("not joined yet: a node that was named by --join cannot be reached", "address", addr, "error", err)
			}
		}
		if ctx.Err() == nil {
			n.log.Warn("not joined yet: waiting for the cluster to take this node; it needs a majority of its voters")
		}
	}
}

// reach proves the cluster secret to a node and closes the connection.
func (n *node) reach(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, joinPause)
	defer cancel()
	conn, err := n.identity.Dial(ctx, controlProtocol, addr)
	if err != nil {
		return err
	}
	return conn.Close()
}

// wait returns when the node is told to stop, or has to.
func (n *node) wait(ctx context.Context, failed <-chan error) error {
	shut := make(chan struct{})
	n.work.Go(func() {
		if n.control.AwaitShutdown(n.life) == nil {
			close(shut)
		}
	})
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	for {
		select {
		case <-ctx.Done():
			n.log.Info("the node was told to stop")
			return nil
		case <-shut:
			n.log.Info("the cluster wants this node to shut down; it takes part again when it is started")
			return nil
		case err := <-n.control.Fatal():
			return err
		case err := <-failed:
			return err
		case <-reload:
			n.reloadCertificate()
		}
	}
}

// Time that each step of an orderly stop has.
const (
	drainPublic = 8 * time.Second
	flushLogs   = 4 * time.Second
	drainIntra  = 4 * time.Second
	leave       = 6 * time.Second
	drainCalls  = 2 * time.Second
)

// stop takes the node down, in the opposite order of its making.
func (n *node) stop() error {
	step := func(limit time.Duration, f func(context.Context) error) error {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		if err := f(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		return nil
	}
	n.endSettings()
	err := errors.Join(
		step(drainPublic, n.public.Shutdown), // clients' requests end while everything that they need still runs
		step(flushLogs, n.proxy.FlushLogs),   // so do the logs of them
		step(drainIntra, n.intra.Shutdown),   // then those that other gateways had sent here
		step(leave, n.control.Stop),          // nothing is served any more: give up the lease, so that nobody waits for it
		step(drainCalls, n.calls.Close),      // the control plane needed them to hand over
		n.caller.Close(),
		n.mux.Close(),
	)
	n.client.Close()
	n.work.Wait()
	if n.target != nil {
		err = errors.Join(err, n.target.close()) // the control plane called it until now
	}
	n.notify.Close()
	err = errors.Join(err, n.state.close())
	n.log.Info("the node has stopped", "error", err)
	return err
}

// tuneRuntime sets what suits a store, unless the environment says otherwise.
//
// The heap may grow to three times what lives: requests leave much garbage and little that stays. A HEAD costs a quarter less CPU for
// 20 MiB more memory.
//
// On one core two goroutines may run at a time. One that waits in a system call keeps its place until the runtime's monitor takes it
// back, up to 10 ms later; with a single place nothing was served while the disk synced, and a core did 2.7 times fewer PUTs of 4 KiB.
func tuneRuntime() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200)
	}
	if os.Getenv("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) == 1 {
		runtime.GOMAXPROCS(2)
	}
}
