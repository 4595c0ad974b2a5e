// Package gossip finds the nodes of a cluster and suspects those that went silent. It is the only package that imports
// memberlist. What it says are hints: truth is in the replicated state.
package gossip

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/aisle-store/aisle/cluster"
)

// Peer is what a node says of itself. GossipAddr is filled in by the one who listens.
type Peer struct {
	ID          cluster.NodeID
	IntraAddr   string // host:port of raft, control and data
	GossipAddr  string // host:port of gossip
	Incarnation cluster.Incarnation
}

// Events are called one after another, in order, from a goroutine of their own; they may call any method but Stop. A nil
// one is left out.
type Events struct {
	Joined  func(Peer) // a node that was unknown, or gone, is alive
	Updated func(Peer) // a node is alive with another address or incarnation
	Left    func(Peer) // a node left, or is believed to be dead
}

// Options are what a List is made of.
type Options struct {
	Self      Peer   // GossipAddr does not count
	Listen    string // host:port for TCP and UDP; port 0 takes a free one
	Advertise string // host:port for the others; empty derives it from Listen
	Key       []byte // 32 bytes; who has another is not heard
	Events    Events
	Logger    *slog.Logger // nil means silence
}

// reclaimTime is how long the name of a dead node stays bound to its address. Zero, memberlist's default, would refuse a
// known node at a new address for ever.
const reclaimTime = 10 * time.Second

// List is one node's part in the gossip.
type List struct {
	self   cluster.NodeID
	list   *memberlist.Memberlist
	events *queue
	alive  *table
	mu     struct {
		sync.Mutex
		stopped bool
	}
}

// table is the other nodes that are believed to be alive. It is filled from memberlist's events: the nodes that memberlist
// itself returns are its own, and change under the reader's eyes.
type table struct {
	mu    sync.Mutex
	peers map[cluster.NodeID]Peer // guarded by mu
}

func (t *table) note(k eventKind, p Peer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k == left {
		delete(t.peers, p.ID)
		return
	}
	t.peers[p.ID] = p
}

// all returns the peers ordered by ID.
func (t *table) all() []Peer {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.SortedFunc(maps.Values(t.peers), func(a, b Peer) int { return cmp.Compare(a.ID, b.ID) })
}

// Start listens. The node is alone until Join.
func Start(o Options) (*List, error) {
	const op = "gossip.Start"
	c, err := config(o)
	if err != nil {
		return nil, cluster.E(op, string(o.Self.ID), cluster.KindInvalid, err)
	}
	q := newQueue(o.Events)
	alive := &table{peers: make(map[cluster.NodeID]Peer)}
	d := &delegate{self: o.Self.ID, meta: encode(o.Self), events: q, alive: alive}
	c.Delegate, c.Events, c.Alive = d, d, d
	list, err := memberlist.Create(c)
	if err != nil {
		q.stop()
		return nil, cluster.E(op, o.Listen, cluster.KindOther, err)
	}
	return &List{self: o.Self.ID, list: list, events: q, alive: alive}, nil
}

// config fills memberlist's configuration: its values for a LAN, made a little quicker.
func config(o Options) (*memberlist.Config, error) {
	if meta := encode(o.Self); len(meta) > memberlist.MetaMaxSize {
		return nil, fmt.Errorf("what a node says of itself has %d bytes, more than %d", len(meta), memberlist.MetaMaxSize)
	}
	if len(o.Key) != 32 {
		return nil, fmt.Errorf("a gossip key has 32 bytes, not %d", len(o.Key))
	}
	bind, err := resolve(o.Listen)
	if err != nil {
		return nil, err
	}
	c := memberlist.DefaultLANConfig()
	c.Name = string(o.Self.ID)
	c.BindAddr, c.BindPort = bind.IP.String(), bind.Port
	c.AdvertisePort = bind.Port
	if o.Advertise != "" {
		a, err := resolve(o.Advertise)
		if err != nil {
			return nil, err
		}
		c.AdvertiseAddr, c.AdvertisePort = a.IP.String(), a.Port
	}
	c.SecretKey = o.Key
	c.DeadNodeReclaimTime = reclaimTime
	c.PushPullInterval = 10 * time.Second
	c.TCPTimeout = 3 * time.Second
	c.EnableCompression = false // a few nodes, short messages
	c.Logger = newLogger(o.Logger)
	return c, nil
}

// resolve makes an IP address of a listen address: memberlist would take a name for "everywhere".
func resolve(addr string) (*net.TCPAddr, error) {
	a, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, err
	}
	if a.IP == nil {
		a.IP = net.IPv4zero
	}
	return a, nil
}

// Join meets the nodes at the given gossip addresses and, through them, all others. It returns how many answered, and an
// error when none did. Trying again is the caller's business, and harmless.
func (l *List) Join(ctx context.Context, addrs []string) (int, error) {
	const op = "gossip.List.Join"
	met := 0
	var failed error
	for _, addr := range addrs {
		if err := ctx.Err(); err != nil {
			failed = errors.Join(failed, err)
			break
		}
		n, err := l.list.Join([]string{addr}) // at most a few TCPTimeouts
		met += n
		if err != nil {
			failed = errors.Join(failed, err)
		}
	}
	if met == 0 && failed != nil {
		return 0, cluster.E(op, strings.Join(addrs, ","), cluster.KindUnavailable, failed)
	}
	return met, nil
}

// Peers returns the other nodes that are believed to be alive, ordered by ID.
func (l *List) Peers() []Peer { return l.alive.all() }

// Addr returns the gossip address that the others are told.
func (l *List) Addr() string { return l.list.LocalNode().Address() }

// Leave tells the others that this node goes, and waits until one has heard it, or for the context. After Stop it does
// nothing.
func (l *List) Leave(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.stopped {
		return nil
	}
	timeout := 5 * time.Second
	if deadline, ok := ctx.Deadline(); ok {
		timeout = max(time.Until(deadline), time.Millisecond)
	}
	if err := l.list.Leave(timeout); err != nil {
		return cluster.E("gossip.List.Leave", string(l.self), cluster.KindUnavailable, err)
	}
	return nil
}

// Stop ends this node's part without a word. No event comes after it. Calling it again is harmless.
func (l *List) Stop() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.stopped = true
	err := l.list.Shutdown()
	l.events.stop()
	if err != nil {
		return cluster.E("gossip.List.Stop", string(l.self), cluster.KindOther, err)
	}
	return nil
}

// metadata is a Peer on the wire; memberlist itself carries the name and the gossip address.
type metadata struct {
	IntraAddr   string `json:"a"`
	Incarnation string `json:"i"` // hexadecimal
}

func encode(p Peer) []byte {
	b, err := json.Marshal(metadata{IntraAddr: p.IntraAddr, Incarnation: p.Incarnation.String()})
	if err != nil {
		panic("gossip: " + err.Error()) // strings only
	}
	return b
}

func decode(n *memberlist.Node) (Peer, error) {
	var m metadata
	if err := json.Unmarshal(n.Meta, &m); err != nil {
		return Peer{}, fmt.Errorf("node %s: %w", n.Name, err)
	}
	incarnation, err := strconv.ParseUint(m.Incarnation, 16, 64)
	if err != nil || m.IntraAddr == "" {
		return Peer{}, fmt.Errorf("node %s: metadata %q", n.Name, n.Meta)
	}
	return Peer{
		ID: cluster.NodeID(n.Name), IntraAddr: m.IntraAddr, GossipAddr: n.Address(), Incarnation: cluster.Incarnation(incarnation),
	}, nil
}

// delegate is what memberlist asks and tells. It is called with memberlist's locks held, so it only notes and queues.
type delegate struct {
	self   cluster.NodeID
	meta   []byte
	events *queue
	alive  *table
}

// NodeMeta implements memberlist.Delegate.
func (d *delegate) NodeMeta(int) []byte { return d.meta }

// NotifyMsg implements memberlist.Delegate; there are no messages of ours.
func (d *delegate) NotifyMsg([]byte) {}

// GetBroadcasts implements memberlist.Delegate.
func (d *delegate) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState implements memberlist.Delegate.
func (d *delegate) LocalState(bool) []byte { return nil }

// MergeRemoteState implements memberlist.Delegate.
func (d *delegate) MergeRemoteState([]byte, bool) {}

// NotifyAlive implements memberlist.AliveDelegate: nodes that do not say who they are do not exist.
func (d *delegate) NotifyAlive(n *memberlist.Node) error {
	_, err := decode(n)
	return err
}

// NotifyJoin implements memberlist.EventDelegate.
func (d *delegate) NotifyJoin(n *memberlist.Node) { d.queue(joined, n) }

// NotifyUpdate implements memberlist.EventDelegate.
func (d *delegate) NotifyUpdate(n *memberlist.Node) { d.queue(updated, n) }

// NotifyLeave implements memberlist.EventDelegate.
func (d *delegate) NotifyLeave(n *memberlist.Node) { d.queue(left, n) }

func (d *delegate) queue(k eventKind, n *memberlist.Node) {
	if p, err := decode(n); err == nil && p.ID != d.self {
		d.alive.note(k, p)
		d.events.put(event{k, p})
	}
}

// newLogger fits a slog.Logger to the standard logger that memberlist writes to, with its level in brackets.
func newLogger(to *slog.Logger) *log.Logger {
	if to == nil {
		to = slog.New(slog.DiscardHandler)
	}
	return log.New(&lines{to.With("part", "gossip")}, "", 0)
}

type lines struct{ to *slog.Logger }

// Write implements io.Writer: one line a call.
func (l *lines) Write(line []byte) (int, error) {
	level, text := slog.LevelInfo, string(bytes.TrimSpace(line))
	for tag, tagged := range map[string]slog.Level{
		"[DEBUG] ": slog.LevelDebug, "[INFO] ": slog.LevelInfo, "[WARN] ": slog.LevelWarn, "[ERR] ": slog.LevelError,
	} {
		if rest, ok := strings.CutPrefix(text, tag); ok {
			level, text = tagged, rest
		}
	}
	l.to.Log(context.Background(), level, strings.TrimPrefix(text, "memberlist: "))
	return len(line), nil
}
