// Package target is a storage node: the store over its mountpaths, and the front that answers granted requests about
// the objects whose slots it owns.
package target

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/audit"
	"github.com/aisle-store/aisle/cluster/control"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/target/internal/front"
	"github.com/aisle-store/aisle/target/internal/outbox"
	"github.com/aisle-store/aisle/target/internal/replica"
	"github.com/aisle-store/aisle/target/internal/store"
	"github.com/aisle-store/aisle/xact"
	"github.com/aisle-store/aisle/xact/pace"
)

// State is what a node has applied; *control.View is one.
type State = front.State

// Control is what a target asks of the control plane; see Controlled.
type Control = front.Control

// Peers carries requests to other nodes; *httpd.Client does.
type Peers = front.Peers

// MirrorRegistry is what the node keeps of its mirrors.
type MirrorRegistry = store.MirrorRegistry

// MountpathStatus is the state of one mountpath.
type MountpathStatus = store.MountpathStatus

// Controlled makes a Control of the node's control plane, which need not have been started yet.
func Controlled(c *control.Control) Control { return controlled{c} }

type controlled struct{ *control.Control }

// Applied implements Control.
func (c controlled) Applied() State { return c.View() }

// Options are what a target is built from. The zero value of a size or time means the store's default.
type Options struct {
	Node      cluster.Node // this node: its id, incarnation and mountpaths
	ClusterID string       // that the mountpaths were formatted for
	Control   Control
	Tickets   *intra.Tickets
	Peers     Peers
	Mirrors   MirrorRegistry       // nil: no mirrors are made
	FS        vfs.FS               // that of the machine when nil
	Now       func() time.Time     // the wall clock; time.Now when nil
	CheckWall func() error         // nil while Now can tell whether a date is over; always when nil
	Clock     func() time.Duration // for ages; never goes back, goes on while the machine sleeps; the machine's when nil
	Logger    *slog.Logger         // silence when nil
	Audit     *audit.Log           // what it denies; one of its own when nil
	Jobs      *xact.Registry       // where it reports its jobs; one of its own when nil
	Pace      func() pace.Limits   // of what moves because somebody catches up; no limits when nil
	Scrub     func() ScrubSettings // asked while it runs; nothing is verified by itself when nil
	Notices   *NoticeOptions       // how events of buckets are told; nobody is told anything when nil

	RetryWindow   time.Duration // how long the outcome of a write is remembered
	CacheBytes    int64         // of blocks of the index in memory
	InlineMax     int           // objects up to this size lie in their record
	SegmentMax    int64         // larger ones, up to this size, share segment files
	SegmentSize   int64         // of a segment file
	HighWatermark int           // percent of a disk above which writes are refused
}

// NoticeOptions says how events of buckets are told.
type NoticeOptions struct {
	Sender outbox.Sender
	Queue  func() int           // events that may wait for one destination
	Keep   func() time.Duration // how long one may wait
	Dead   func() int           // dead letters that are kept of one destination
	Bury   func() time.Duration // how long they are kept
	Region string
}

// NoticeStats is what was told to one destination.
type NoticeStats = outbox.Stats

var _ control.Participant = (*Target)(nil)

// Target is a storage node's part of a process. Its methods may be called at the same time.
type Target struct {
	node    cluster.Node
	control Control
	clock   func() time.Duration
	store   *store.Store
	front   *front.Front
	tickets *intra.Tickets
	outbox  *outbox.Outbox // nil: nobody is told anything
}

// Format makes an empty mountpath at path, on the machine's file system when fs is nil. It refuses a path that holds
// anything.
func Format(fs vfs.FS, path, clusterID string, node cluster.NodeID, id cluster.MountpathID) error {
	if fs == nil {
		fs = machine()
	}
	return store.Format(fs, path, clusterID, node, id)
}

// Open opens the mountpaths. The target serves nothing until the control plane calls Activate.
func Open(ctx context.Context, o Options) (*Target, error) {
	const op = "target.Open"
	if o.FS == nil {
		o.FS = machine()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Clock == nil {
		o.Clock = control.BootTime
	}
	if o.Jobs == nil {
		o.Jobs = xact.NewRegistry(o.Node.ID, o.Node.Incarnation, o.Now)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	t := &Target{node: o.Node, control: o.Control, clock: o.Clock, tickets: o.Tickets}
	storeOptions := o.storeOptions()
	if o.Notices != nil { // what is committed after Open has returned is the first that may be told
		storeOptions.Events.Noticed = func(ref store.NoticeRef, to string) { t.outbox.Add(ref, to) }
		storeOptions.Events.Serves = func() { t.outbox.Look() }
		storeOptions.ExpiryNotices = func(b cluster.BucketEntry, key cluster.ObjectKey) store.Notices { return t.front.ExpiryNotices(b, key) }
	}
	s, err := store.Open(ctx, storeOptions)
	if err != nil {
		return nil, cluster.E(op, string(o.Node.ID), cluster.KindOther, err)
	}
	t.store = s
	var admits func(string) bool
	if n := o.Notices; n != nil {
		t.outbox = outbox.New(outbox.Options{
			Store: s, Sender: n.Sender, Buckets: func() outbox.Buckets { return o.Control.Applied() }, Sure: o.Control.CheckLease,
			Queue: n.Queue, Keep: n.Keep, Dead: n.Dead, Bury: n.Bury, Region: n.Region, Host: string(o.Node.ID), Now: o.Now, Logger: o.Logger,
		})
		admits = t.outbox.Admits
	}
	t.front = front.New(front.Options{
		Admits: admits,
		Node:   o.Node, Store: s, Control: o.Control, Peers: o.Peers, Tickets: o.Tickets, Now: o.Now, Jobs: o.Jobs, Audit: o.Audit,
		Messages: &intra.Messenger{HTTP: o.Peers, Tickets: o.Tickets, Self: o.Node.ID},
	})
	return t, nil
}

func (o *Options) storeOptions() store.Options {
	s := store.Options{
		FS: o.FS, ClusterID: o.ClusterID, Node: o.Node.ID, Incarnation: o.Node.Incarnation, Mountpaths: o.Node.Mountpaths,
		Authority: &authority{node: o.Node.ID, incarnation: o.Node.Incarnation, control: o.Control},
		Now:       o.Now, CheckWall: o.CheckWall, Clock: o.Clock, RetryWindow: o.RetryWindow, CacheBytes: o.CacheBytes, InlineMax: o.InlineMax, Events: logged(o.Logger),
		Mirrors: o.Mirrors, Jobs: o.Jobs, Scrub: o.Scrub, Lifecycle: &expiry{control: o.Control},
	}
	s.Disk.ExtentMax, s.Disk.SegmentSize, s.Disk.HighWatermark = o.SegmentMax, o.SegmentSize, float64(o.HighWatermark)/100
	o.share(&s)
	return s
}

// logged writes the store's events to the log.
func logged(l *slog.Logger) store.Events {
	return store.Events{
		Corrupt: func(mp cluster.MountpathID, bucket cluster.BucketID, key cluster.ObjectKey, err error) {
			l.Error("stored bytes do not have their checksum", "mountpath", mp, "bucket", uint64(bucket), "key", string(key), "error", err)
		},
		Repaired: func(mp cluster.MountpathID, bucket cluster.BucketID, key cluster.ObjectKey) {
			l.Warn("damaged bytes were repaired from another holder", "mountpath", mp, "bucket", uint64(bucket), "key", string(key))
		},
		MountpathFailed: func(mp cluster.MountpathID, err error) {
			l.Error("a mountpath has failed; its objects come from other targets, where there are copies", "mountpath", mp, "error", err)
		},
		Background: func(mp cluster.MountpathID, task string, err error) {
			l.Warn("background work on a mountpath failed; it is tried again", "mountpath", mp, "task", task, "error", err)
		},
	}
}

// Close waits for the requests that run and closes the mountpaths. Nothing may be served any more: shut the listeners
// and stop the control plane before.
func (t *Target) Close() error {
	if t.outbox != nil {
		t.outbox.Close()
	}
	return t.store.Close()
}

// Notices returns what was told to each destination.
func (t *Target) Notices() []NoticeStats {
	if t.outbox == nil {
		return nil
	}
	return t.outbox.Stats()
}

// DeadLetter is an event that is not sent by itself any more.
type DeadLetter = outbox.DeadLetter

// DeadLetters returns events that are not sent by themselves any more, and how many there are beyond those.
func (t *Target) DeadLetters(ctx context.Context) (list []DeadLetter, more int, err error) {
	if t.outbox == nil {
		return nil, 0, nil
	}
	return t.outbox.Dead(ctx)
}

// SendDeadLetters sends those for a destination, or all, and returns how many were taken and how many are left.
func (t *Target) SendDeadLetters(ctx context.Context, destination string) (sent, left int, err error) {
	if t.outbox == nil {
		return 0, 0, nil
	}
	return t.outbox.SendDead(ctx, destination)
}

// DropDeadLetters removes those for a destination, or all, and returns how many it removed and how many are left.
func (t *Target) DropDeadLetters(ctx context.Context, destination string) (dropped, left int, err error) {
	if t.outbox == nil {
		return 0, 0, nil
	}
	return t.outbox.DropDead(ctx, destination)
}

// Attach takes a formatted mountpath into use, and begins to move objects onto it.
func (t *Target) Attach(ctx context.Context, mp cluster.Mountpath) error {
	return t.store.Attach(ctx, mp)
}

// Detach begins to move objects away from the mountpath at a path, which is forgotten in the end. One that has failed is forgotten at
// once, when others have what was on it, or with force.
func (t *Target) Detach(ctx context.Context, path string, force bool) error {
	return t.store.Detach(ctx, path, force)
}

// Disable begins to move objects away from the mountpath at a path.
func (t *Target) Disable(ctx context.Context, path string) error { return t.store.Disable(ctx, path) }

// Enable takes the mountpath at a path into use again.
func (t *Target) Enable(ctx context.Context, path string) error { return t.store.Enable(ctx, path) }

// Full reports whether a mountpath takes no writes for lack of space.
func (t *Target) Full() bool { return t.store.Full() }

// Pace returns how many bytes per second may come and go now because somebody catches up.
func (t *Target) Pace() int64 { return t.store.Pace() }

// Mountpaths returns the state of every mountpath.
func (t *Target) Mountpaths() []MountpathStatus { return t.store.Mountpaths() }

// ServeObject answers a request about one object that a gateway in this process has granted.
func (t *Target) ServeObject(ctx context.Context, g *intra.Grant, req *httpd.Request, rep *httpd.Reply) error {
	return t.front.ServeObject(ctx, g, req, rep)
}

// List, Delete and Stat make a target an intra.Service, for a gateway in this process and for calls from other nodes.

// List returns this target's part of a page.
func (t *Target) List(ctx context.Context, g *intra.Grant, in *intra.ListRequest) (*intra.ListReply, error) {
	return t.front.List(ctx, g, in)
}

// Delete deletes a batch of objects.
func (t *Target) Delete(ctx context.Context, g *intra.Grant, in *intra.DeleteRequest) (*intra.DeleteReply, error) {
	return t.front.Delete(ctx, g, in)
}

// Stat returns the entry of one object.
func (t *Target) Stat(ctx context.Context, g *intra.Grant, in *intra.StatRequest) (*intra.StatReply, error) {
	return t.front.Stat(ctx, g, in)
}

// Move moves keys of a bucket that has a frozen id under it, or says which are moved.
func (t *Target) Move(ctx context.Context, g *intra.Grant, in *intra.MoveRequest) (*intra.MoveReply, error) {
	return t.front.Move(ctx, g, in)
}

// ServeNode is the handler of the listener that other nodes connect to: relayed requests and calls between nodes. Every
// request needs a ticket.
func (t *Target) ServeNode(ctx context.Context, req *httpd.Request, rep *httpd.Reply) error {
	const op = "target.ServeNode"
	g, err := t.tickets.Open(req)
	if err == nil {
		err = t.checkClock(g)
	}
	if err != nil {
		return cluster.E(op, req.Path, cluster.KindOther, err)
	}
	if g.Write {
		rep.SetHeader(intra.HeaderClock, t.clockText())
	}
	switch {
	case g.Dialect != intra.Node: // a client's; its path may look like a call when the bucket stands in the host
		return t.front.ServeObject(ctx, g, req, rep)
	case strings.HasPrefix(req.Path, replica.PathPrefix):
		return replica.Serve(ctx, t.store, g, req, rep)
	case req.Path == front.PathRead:
		return t.front.ServeRead(ctx, g, req, rep)
	case req.Path == front.PathFrozen:
		return t.front.ServeFrozen(ctx, g, req, rep)
	}
	return intra.Serve(ctx, t.front, g, req, rep)
}

// checkClock refuses a write that does not say how old it is by the clock of this process: it may be the late copy of a
// request whose outcome is forgotten. The gateway learns the clock from the refusal.
func (t *Target) checkClock(g *intra.Grant) error {
	const op = "target.checkClock"
	if g.Write && g.Incarnation != t.node.Incarnation {
		return cluster.Fail(op, string(t.node.ID), cluster.KindUnavailable, "the gateway does not know this node's clock yet")
	}
	return nil
}

func (t *Target) clockText() string { return intra.ClockText(t.node.Incarnation, t.clock()) }

// ServeRedirected answers a client that was redirected here with a ticket (intra.Present) on the public listener.
func (t *Target) ServeRedirected(ctx context.Context, req *httpd.Request, rep *httpd.Reply) error {
	const op = "target.ServeRedirected"
	g, err := t.tickets.OpenRedirected(req)
	if err == nil && g.Write && !g.Once {
		err = cluster.Fail(op, req.Path, cluster.KindDenied, "the ticket is for a node")
	}
	if err != nil {
		return cluster.E(op, req.Path, cluster.KindOther, err)
	}
	return t.front.ServeObject(ctx, g, req, rep)
}

// WriteError fills a reply of the public listener for an error.
func (t *Target) WriteError(req *httpd.Request, rep *httpd.Reply, err error) {
	t.front.WriteError(req, rep, err)
}

// WriteNodeError fills a reply of the listener of ServeNode for an error.
func (t *Target) WriteNodeError(req *httpd.Request, rep *httpd.Reply, err error) {
	t.front.WriteNodeError(req, rep, err)
	rep.SetHeader(intra.HeaderClock, t.clockText())
}

// Fence implements control.Participant.
func (t *Target) Fence(ctx context.Context, pending *cluster.Map) ([]cluster.Slot, error) {
	return t.store.Fence(ctx, pending)
}

// Activate implements control.Participant.
func (t *Target) Activate(ctx context.Context, m *cluster.Map) error { return t.store.Activate(ctx, m) }

// FreezeBucket implements control.Participant.
func (t *Target) FreezeBucket(ctx context.Context, id cluster.BucketID) error {
	return t.front.FreezeBucket(ctx, id)
}

// MoveBucket implements control.Participant.
func (t *Target) MoveBucket(ctx context.Context, from cluster.BucketID) (uint64, bool, error) {
	return t.front.MoveBucket(ctx, from)
}

// SealBucket implements control.Participant.
func (t *Target) SealBucket(ctx context.Context, id cluster.BucketID) (bool, error) {
	return t.store.SealBucket(ctx, id)
}

// DropBucket implements control.Participant.
func (t *Target) DropBucket(ctx context.Context, id cluster.BucketID) error {
	return t.store.DropBucket(ctx, id)
}
