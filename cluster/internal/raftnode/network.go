package raftnode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/aisle-store/aisle/cluster"
)

// ErrUnreachable says that a message was lost, or that nobody listens at its destination.
var ErrUnreachable = errors.New("the node cannot be reached")

// Network carries messages between the members of a simulated cluster, with faults. Its clock is the one of package
// time, so it works in a testing/synctest bubble. Other traffic of the simulation can share its faults: see Pass.
//
// A message that meets a cut is lost without a sign, as packets are. One to or from a paused node is held, as the kernel
// of a stopped process holds it, and goes on when the node resumes, perhaps long after its sender gave up.
type Network struct {
	mu struct {
		sync.Mutex
		cuts   map[direction]bool
		delays map[direction]delay
		every  delay
		paused map[cluster.NodeID]chan struct{} // closed on resume
		ends   map[cluster.NodeID]*end
		random *rand.Rand
	}
}

type direction struct{ from, to cluster.NodeID }

type delay struct{ min, max time.Duration }

// NewNetwork makes a network without faults or delays. The seed drives the choice of delays.
func NewNetwork(seed uint64) *Network {
	n := &Network{}
	n.mu.cuts = make(map[direction]bool)
	n.mu.delays = make(map[direction]delay)
	n.mu.paused = make(map[cluster.NodeID]chan struct{})
	n.mu.ends = make(map[cluster.NodeID]*end)
	n.mu.random = rand.New(rand.NewPCG(seed, seed))
	return n
}

// Cut loses every message from one node to another, in that direction only, until Heal.
func (n *Network) Cut(from, to cluster.NodeID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.cuts[direction{from, to}] = true
}

// Heal ends a Cut of the same direction.
func (n *Network) Heal(from, to cluster.NodeID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.mu.cuts, direction{from, to})
}

// HealAll ends every Cut. Delays and pauses stay.
func (n *Network) HealAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.mu.cuts)
}

// Partition cuts both directions between nodes of different groups, and heals those within a group.
func (n *Network) Partition(groups ...[]cluster.NodeID) {
	for i, a := range groups {
		for j, b := range groups {
			for _, from := range a {
				for _, to := range b {
					if i == j {
						n.Heal(from, to)
					} else {
						n.Cut(from, to)
					}
				}
			}
		}
	}
}

// DelayAll makes every message take a random time between min and max, unless Delay says otherwise for its direction.
func (n *Network) DelayAll(min, max time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.every = delay{min, max}
}

// Delay makes messages of one direction take a random time between min and max.
func (n *Network) Delay(from, to cluster.NodeID, min, max time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.delays[direction{from, to}] = delay{min, max}
}

// Pause holds all messages to and from a node until Resume.
func (n *Network) Pause(id cluster.NodeID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.paused[id] == nil {
		n.mu.paused[id] = make(chan struct{})
	}
}

// Resume lets the messages of a paused node go on.
func (n *Network) Resume(id cluster.NodeID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if held := n.mu.paused[id]; held != nil {
		close(held)
		delete(n.mu.paused, id)
	}
}

// Pass takes a message of any kind through the network: it returns nil when the message has arrived, and ErrUnreachable
// at the end of the context when it was lost. Whoever sends a request calls it once for each way.
func (n *Network) Pass(ctx context.Context, from, to cluster.NodeID) error {
	err := n.pass(ctx, from, to)
	if err != nil {
		<-ctx.Done()
		return fmt.Errorf("%s to %s: %w: %w", from, to, ErrUnreachable, ctx.Err())
	}
	return nil
}

var errLost = errors.New("lost")

// pass is Pass, but tells of a loss at once.
func (n *Network) pass(ctx context.Context, from, to cluster.NodeID) error {
	if err := n.hold(ctx, from); err != nil {
		return err
	}
	if wait := n.delayOf(from, to); wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if n.isCut(from, to) {
		return errLost
	}
	return n.hold(ctx, to)
}

func (n *Network) hold(ctx context.Context, id cluster.NodeID) error {
	for {
		n.mu.Lock()
		held := n.mu.paused[id]
		n.mu.Unlock()
		if held == nil {
			return nil
		}
		select {
		case <-held:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (n *Network) delayOf(from, to cluster.NodeID) time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	d, ok := n.mu.delays[direction{from, to}]
	if !ok {
		d = n.mu.every
	}
	if d.max <= d.min {
		return d.min
	}
	return d.min + time.Duration(n.mu.random.Int64N(int64(d.max-d.min)))
}

func (n *Network) isCut(from, to cluster.NodeID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.cuts[direction{from, to}]
}

func (n *Network) end(id cluster.NodeID) *end {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.ends[id]
}

// Link attaches a member to the network from the moment its engine starts until it ends. A member that starts again gets
// another Link.
func (n *Network) Link(id cluster.NodeID) *Link {
	return &Link{open: func(call time.Duration, _ *slog.Logger) *transport {
		e := newEnd(n, id, call)
		n.mu.Lock()
		n.mu.ends[id] = e
		n.mu.Unlock()
		return &transport{carrier: e, sever: e.sever, end: e.wait}
	}}
}

// end is a member's end of the network: a raft.Transport whose addresses are node ids. It offers no pipelining, which
// keeps one message of replication under way to each follower.
type end struct {
	network  *Network
	id       cluster.NodeID
	timeout  time.Duration
	consumer chan raft.RPC
	life     context.Context // ends with the member
	sever    context.CancelFunc
	mu       struct {
		sync.Mutex
		heartbeat func(raft.RPC)
		sending   sync.WaitGroup // added to only while life has not ended
	}
}

func newEnd(n *Network, id cluster.NodeID, timeout time.Duration) *end {
	e := &end{network: n, id: id, timeout: timeout, consumer: make(chan raft.RPC)}
	life, cancel := context.WithCancel(context.Background())
	e.life = life
	e.sever = func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		cancel()
	}
	return e
}

// wait leaves the network and returns when every message of this end has come to rest.
func (e *end) wait() error {
	e.network.mu.Lock()
	if e.network.mu.ends[e.id] == e {
		delete(e.network.mu.ends, e.id)
	}
	e.network.mu.Unlock()
	e.mu.sending.Wait()
	return nil
}

// Consumer implements raft.Transport.
func (e *end) Consumer() <-chan raft.RPC { return e.consumer }

// LocalAddr implements raft.Transport.
func (e *end) LocalAddr() raft.ServerAddress { return raft.ServerAddress(e.id) }

// AppendEntriesPipeline implements raft.Transport by refusing.
func (e *end) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

// AppendEntries implements raft.Transport.
func (e *end) AppendEntries(id raft.ServerID, _ raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	sent := *args
	sent.Entries = make([]*raft.Log, len(args.Entries))
	for i, entry := range args.Entries {
		c := *entry
		sent.Entries[i] = &c
	}
	return ask(e, id, raft.RPC{Command: &sent}, e.timeout, resp)
}

// RequestVote implements raft.Transport.
func (e *end) RequestVote(id raft.ServerID, _ raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	sent := *args
	return ask(e, id, raft.RPC{Command: &sent}, e.timeout, resp)
}

// RequestPreVote implements raft.WithPreVote.
func (e *end) RequestPreVote(id raft.ServerID, _ raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	sent := *args
	return ask(e, id, raft.RPC{Command: &sent}, e.timeout, resp)
}

// TimeoutNow implements raft.Transport.
func (e *end) TimeoutNow(id raft.ServerID, _ raft.ServerAddress, args *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	sent := *args
	return ask(e, id, raft.RPC{Command: &sent}, e.timeout, resp)
}

// InstallSnapshot implements raft.Transport. The snapshot travels as one message.
func (e *end) InstallSnapshot(id raft.ServerID, _ raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	body, err := io.ReadAll(data)
	if err != nil {
		return err
	}
	sent := *args
	return ask(e, id, raft.RPC{Command: &sent, Reader: bytes.NewReader(body)}, 10*e.timeout, resp)
}

// EncodePeer implements raft.Transport.
func (e *end) EncodePeer(id raft.ServerID, _ raft.ServerAddress) []byte { return []byte(id) }

// DecodePeer implements raft.Transport.
func (e *end) DecodePeer(b []byte) raft.ServerAddress { return raft.ServerAddress(b) }

// SetHeartbeatHandler implements raft.Transport.
func (e *end) SetHeartbeatHandler(handle func(raft.RPC)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mu.heartbeat = handle
}

// ask sends a request and waits for the answer, at most for the timeout. The message has a life of its own: it may arrive
// after the sender has given up.
func ask[R any](e *end, id raft.ServerID, rpc raft.RPC, timeout time.Duration, resp *R) error {
	ctx, cancel := context.WithTimeout(e.life, timeout)
	defer cancel()
	answer := make(chan raft.RPCResponse, 1)
	e.mu.Lock()
	if e.life.Err() != nil {
		e.mu.Unlock()
		return raft.ErrTransportShutdown
	}
	e.mu.sending.Go(func() { e.carry(cluster.NodeID(id), rpc, answer) })
	e.mu.Unlock()
	select {
	case a := <-answer:
		if a.Error == nil {
			*resp = *a.Response.(*R)
		}
		return a.Error
	case <-ctx.Done():
		return fmt.Errorf("%s to %s: %w: %w", e.id, id, ErrUnreachable, ctx.Err())
	}
}

// carry takes one request to its destination and the answer back. What is lost gets no answer.
func (e *end) carry(to cluster.NodeID, rpc raft.RPC, answer chan<- raft.RPCResponse) {
	if err := e.network.pass(e.life, e.id, to); err != nil {
		return
	}
	peer := e.network.end(to)
	if peer == nil || peer.life.Err() != nil {
		answer <- raft.RPCResponse{Error: fmt.Errorf("%s to %s: %w: refused", e.id, to, ErrUnreachable)}
		return
	}
	got, err := peer.receive(e.life, rpc)
	if err != nil {
		answer <- raft.RPCResponse{Error: err}
		return
	}
	if e.network.pass(e.life, to, e.id) == nil {
		answer <- got
	}
}

// receive hands a request that has arrived to raft and waits for its answer.
func (e *end) receive(sender context.Context, rpc raft.RPC) (raft.RPCResponse, error) {
	got := make(chan raft.RPCResponse, 1)
	rpc.RespChan = got
	reset := fmt.Errorf("%s: %w: connection reset", e.id, ErrUnreachable)
	e.mu.Lock()
	handle := e.mu.heartbeat
	e.mu.Unlock()
	if handle != nil && isHeartbeat(rpc) {
		handle(rpc)
	} else {
		select {
		case e.consumer <- rpc:
		case <-e.life.Done():
			return raft.RPCResponse{}, reset
		case <-sender.Done():
			return raft.RPCResponse{}, reset
		}
	}
	select {
	case r := <-got:
		if e.life.Err() != nil {
			return raft.RPCResponse{}, reset // it may speak of what a crash has undone
		}
		return r, nil
	case <-e.life.Done():
		return raft.RPCResponse{}, reset
	case <-sender.Done():
		return raft.RPCResponse{}, reset
	}
}

// isHeartbeat tells raft's heartbeats, which must not queue behind its disk writes, as its own transports do.
func isHeartbeat(rpc raft.RPC) bool {
	a, ok := rpc.Command.(*raft.AppendEntriesRequest)
	return ok && a.Term != 0 && a.PrevLogEntry == 0 && a.PrevLogTerm == 0 && len(a.Entries) == 0 && a.LeaderCommitIndex == 0
}
