package control

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/internal/raftnode"
	"github.com/aisle-store/aisle/cluster/internal/state"
)

// The simulation runs whole clusters in one process on a fake clock: real raft, real Controls, a network that loses,
// delays, repeats and holds messages, disks that survive crashes, clocks that run at different rates, wall clocks that are set
// to any time, and fake targets.
// A seed decides which faults happen and what clients do; the order of goroutines is not part of it, so a seed that failed
// may have to be run a few times.

// flaw is a mistake that is planted to show that the checks find it: in a Control, or in the fake gateways and targets.
type flaw struct {
	control         bug
	instead         func(*term, *View, *state.Command) *state.Command // Options.instead of every node
	leaseBeforeRead bool                                              // a gateway checks the lease before the request begins, and not when it reads
	viewBeforeLease bool                                              // a gateway loads the view, and checks the lease after it only

	// R1 to R4 of the slot protocol, left out.
	oldAnswers  bool // an owner counts what holders answered under earlier epochs, and a restarted holder drops what is in doubt
	skipJoiners bool // an owner does not wait for holders that catch up
	oldHolders  bool // an owner waits for those who were holders when the write began
	dropExtras  bool // a holder that catches up drops all that the owner lacked

	settleAlone bool          // a new owner lets all go forward that it has prepared
	settleDrops bool          // ... drops it
	slowDisk    time.Duration // an owner's own prepare takes up to so long: it shows mistakes sooner
	slowBytes   time.Duration // ... the bytes of who catches up

	wallLeases  bool    // leases go by the wall clock
	sleepyClock bool    // ... by a clock that stands while the machine sleeps
	wildRates   float64 // ... by clocks whose rates differ from the true one by up to so much

	focus func(*sim, context.Context) // the fault that shows it best; then there are no others
}

// sim is one run.
type sim struct {
	seed        uint64
	flaw        flaw
	began       time.Time
	network     *raftnode.Network
	checks      *checks
	life        context.Context
	end         context.CancelFunc
	work        sync.WaitGroup
	quickFences bool       // no commit is ever in flight when a target fences
	alone       sync.Mutex // of faults that only make sense one at a time
	mu          struct {
		sync.Mutex
		random *rand.Rand
		nodes  []*simNode
	}
}

// runSeed runs one seed in a bubble and returns what it found.
func runSeed(t *testing.T, seed uint64, f flaw) (c *checks) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(seed, f)
		c = s.checks
		s.run()
	})
	return c
}

func newSim(seed uint64, f flaw) *sim {
	s := &sim{seed: seed, flaw: f, began: time.Now(), network: raftnode.NewNetwork(seed)}
	s.checks = newChecks(s)
	s.life, s.end = context.WithCancel(context.Background())
	s.mu.random = rand.New(rand.NewPCG(seed, 2))
	s.network.DelayAll(100*time.Microsecond, 5*time.Millisecond)
	return s
}

// The course of a run, in fake time.
const (
	faultsFor  = 25 * time.Second
	settleIn   = 60 * time.Second // after the last fault everybody serves again within this
	clientsRun = 6
	mostNodes  = 7
)

func (s *sim) run() {
	defer s.shutDown()
	if !s.form(3 + s.pick(3)) {
		return
	}
	faults, calm := context.WithTimeout(s.life, faultsFor)
	defer calm()
	s.checks.stopAtFirst(calm)
	clients, stopClients := context.WithCancel(s.life)
	defer stopClients()
	var load sync.WaitGroup
	for i := range clientsRun {
		load.Go(func() { newClient(s, i).run(clients) })
	}
	load.Go(func() { s.checks.watch(clients) })
	s.cause(faults)
	if len(s.checks.violations()) == 0 {
		s.heal()
		s.checks.settles()
	}
	stopClients()
	load.Wait()
	s.checks.finish()
}

// form starts the first node, and then the others, all of which are to join.
func (s *sim) form(n int) bool {
	for range n {
		node := s.addNode()
		if node == nil {
			return false
		}
		if err := node.start(60 * time.Second); err != nil {
			s.checks.isStuck("node %s cannot start in a healthy cluster: %v", node.id, err)
			return false
		}
	}
	return true
}

// shutDown ends everything, so that the bubble can.
func (s *sim) shutDown() {
	s.end() // a fault that is stopping a node gives up: who crashes it would wait for that, and in a bubble a wait for a lock has no end
	s.network.HealAll()
	for _, n := range s.all() {
		n.resume()
		n.crash()
	}
	s.work.Wait()
}

// pick returns a random number below n.
func (s *sim) pick(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.random.IntN(n)
}

func (s *sim) chance(percent int) bool { return s.pick(100) < percent }

// between returns a random duration.
func (s *sim) between(from, to time.Duration) time.Duration {
	return from + time.Duration(s.pick(int((to-from)/time.Microsecond)))*time.Microsecond
}

func (s *sim) all() []*simNode {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mu.nodes)
}

// member returns a random node for which ok is true, or nil.
func (s *sim) member(ok func(*simNode) bool) *simNode {
	nodes := slices.DeleteFunc(s.all(), func(n *simNode) bool { return !ok(n) })
	if len(nodes) == 0 {
		return nil
	}
	return nodes[s.pick(len(nodes))]
}

func (s *sim) node(id cluster.NodeID) *simNode {
	for _, n := range s.all() {
		if n.id == id {
			return n
		}
	}
	return nil
}

// addNode makes a node that has never run.
func (s *sim) addNode() *simNode {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mu.nodes) >= mostNodes {
		return nil
	}
	n := &simNode{
		sim: s, id: cluster.NodeID(fmt.Sprintf("n%d", len(s.mu.nodes)+1)), disk: raftnode.NewMemoryDisk(), keyring: &simKeyring{},
		objects: newObjects(), roles: cluster.Proxy | cluster.Target,
	}
	n.clock = newClock(s, time.Duration(s.mu.random.Int64N(int64(time.Hour))), s.rate(s.mu.random.Float64()))
	if len(s.mu.nodes) > 2 && s.mu.random.IntN(5) == 0 {
		n.roles = cluster.Proxy
	}
	n.clock.paused = n.paused
	s.mu.nodes = append(s.mu.nodes, n)
	return n
}

// simNode is one node: what its volume keeps, and its process while there is one.
type simNode struct {
	sim     *sim
	id      cluster.NodeID
	roles   cluster.Roles
	disk    *raftnode.MemoryDisk
	keyring *simKeyring
	objects *objects
	clock   *simClock

	askedToLeave atomic.Bool

	mu struct {
		sync.Mutex
		process *simProcess
		starts  int
		busy    bool          // being started or stopped
		held    chan struct{} // while it is paused; closed when it goes on
		left    bool          // the cluster for ever
	}
}

// simProcess is one start of a node.
type simProcess struct {
	node    *simNode
	number  int
	control *Control
	target  *simTarget
	life    context.Context
	end     context.CancelFunc
}

// running returns the node's process, or nil.
func (n *simNode) running() *simProcess {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.process
}

func (n *simNode) isRunning() bool { return n.running() != nil }

// claim takes the right to start or stop the node.
func (n *simNode) claim() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.busy || n.mu.left {
		return false
	}
	n.mu.busy = true
	return true
}

func (n *simNode) release() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.busy = false
}

// start starts a process, with another incarnation and another address, and waits until it is in the map.
func (n *simNode) start(patience time.Duration) error {
	n.mu.Lock()
	n.mu.starts++
	number := n.mu.starts
	n.mu.Unlock()
	s := n.sim
	p := &simProcess{node: n, number: number}
	p.life, p.end = context.WithCancel(s.life)
	var join []string
	for _, other := range s.all() {
		if other.id != n.id {
			join = append(join, string(other.id))
		}
	}
	self := cluster.Node{ID: n.id, Roles: n.roles, Weight: 1, IntraAddr: string(n.id), Incarnation: cluster.Incarnation(number)}
	if n.roles.Has(cluster.Target) {
		p.target = newTarget(p)
	}
	p.control = New(Options{
		Node: self, Join: join, Root: Key{ID: "root", Secret: "secret"}, Keyring: n.keyring, Peers: simPeers{p}, Clock: n.clock, Wall: n.clock.Wall,
		Replication: &Replication{
			stores: n.disk.Open(),
			link: func(id cluster.NodeID, _ func(cluster.NodeID) (string, error)) *raftnode.Link {
				return s.network.Link(id)
			},
			// A leader that nobody hears goes on for longer than it would in production.
			timing: raftnode.Timing{Heartbeat: time.Second, Election: time.Second, LeaderLease: time.Second, Commit: 50 * time.Millisecond, Call: 2 * time.Second},
			// Snapshots are frequent, so that nodes that join or were away get one. What is kept behind them must be more than a
			// leader sends before it has an answer: raft cannot go on with a follower that compacted more than the leader knows of.
			keep: raftnode.Retention{Interval: 5 * time.Second, Threshold: 60, Trailing: 128},
		},
		Logger:      slog.New(slog.NewTextHandler(s.checks.writer(n.id), &slog.HandlerOptions{Level: slog.LevelInfo, ReplaceAttr: dropTime})),
		RepairDelay: 6 * time.Second,
		rank:        quickRank,
		bug:         s.flaw.control,
		instead:     s.flaw.instead,
	})
	if p.target != nil {
		s.work.Go(p.target.catchUp)
	}
	n.mu.Lock()
	n.mu.process = p
	n.mu.Unlock()
	s.checks.event("%s starts as incarnation %d", n.id, number)
	s.work.Go(func() {
		select {
		case err := <-p.control.Fatal():
			s.checks.event("%s cannot go on: %v", n.id, err)
			if cluster.Is(err, cluster.KindDenied) {
				n.leftForEver()
			}
		case <-p.life.Done():
		}
	})
	ctx, cancel := context.WithTimeout(p.life, patience)
	defer cancel()
	var participant Participant
	if p.target != nil {
		participant = p.target
	}
	err := p.control.Start(ctx, participant)
	if p.life.Err() != nil && p.control.started.Load() {
		p.control.engine.Crash() // the process was ended before it had an engine
	}
	return err
}

func dropTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey || a.Key == "part" {
		return slog.Attr{}
	}
	return a
}

// crash ends the process as kill -9 does.
func (n *simNode) crash() {
	n.mu.Lock()
	p := n.mu.process
	n.mu.process = nil
	n.mu.Unlock()
	if p == nil {
		return
	}
	n.sim.checks.event("%s crashes", n.id)
	if p.target != nil {
		p.target.kill()
	}
	p.end()
	n.resume() // its goroutines have to end
	p.control.crash()
}

// stop ends the process in an orderly way.
func (n *simNode) stop() {
	p := n.running()
	if p == nil {
		return
	}
	n.sim.checks.event("%s stops", n.id)
	ctx, cancel := context.WithTimeout(n.sim.life, 10*time.Second)
	defer cancel()
	if err := p.control.Stop(ctx); err != nil {
		n.sim.checks.isStuck("%s does not stop: %v", n.id, err)
	}
	n.mu.Lock()
	n.mu.process = nil
	n.mu.Unlock()
	if p.target != nil {
		p.target.kill()
	}
	p.end()
}

// crash ends a Control without a word to anybody.
func (c *Control) crash() {
	if c.started.Load() {
		c.engine.Crash()
	}
	c.stopped.Do(func() {
		c.lease.drop()
		c.end()
		c.renewer.Wait()
		c.work.Wait()
	})
}

func (n *simNode) pause() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.held == nil {
		n.mu.held = make(chan struct{})
		n.clock.sleep()
		n.sim.network.Pause(n.id)
	}
}

func (n *simNode) resume() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.held != nil {
		n.clock.wake()
		close(n.mu.held)
		n.mu.held = nil
		n.sim.network.Resume(n.id)
	}
}

// paused returns a channel that is closed when the node goes on, or nil.
func (n *simNode) paused() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.held
}

// wait returns when the node is not paused.
func (n *simNode) wait() {
	for held := n.paused(); held != nil; held = n.paused() {
		<-held
	}
}

// simKeyring keeps a cluster key across restarts.
type simKeyring struct {
	mu  sync.Mutex
	key []byte
}

func (k *simKeyring) Create() error { return k.Import([]byte("cluster key")) }

func (k *simKeyring) Import(key []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.key = key
	return nil
}

func (k *simKeyring) Export() ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.key == nil {
		return nil, cluster.Fail("sim", "", cluster.KindUnavailable, "no key yet")
	}
	return k.key, nil
}

func (k *simKeyring) Seal(plain []byte) ([]byte, error) {
	return append([]byte("sealed "), plain...), nil
}
func (k *simKeyring) Open(sealed []byte) ([]byte, error) {
	return bytes.Clone(sealed[len("sealed "):]), nil
}
func (k *simKeyring) Sealed(sealed []byte) bool           { return bytes.HasPrefix(sealed, []byte("sealed ")) }
func (k *simKeyring) Derive(label string) ([]byte, error) { return []byte(label), nil }

// simPeers carries calls through the network. Addresses are node ids. A call goes on at its destination when the caller
// has given up, and may arrive twice.
type simPeers struct{ from *simProcess }

// callLife is how long a message can be under way.
const callLife = 30 * time.Second

func (p simPeers) Call(ctx context.Context, addr, method string, body []byte) ([]byte, error) {
	s, to := p.from.node.sim, cluster.NodeID(addr)
	type reply struct {
		body []byte
		err  error
	}
	replies := make(chan reply, 2)
	copies := 1
	if s.chance(3) {
		copies = 2
	}
	for range copies {
		s.work.Go(func() {
			way, cancel := context.WithTimeout(s.life, callLife)
			defer cancel()
			body, err, arrived := p.deliver(way, to, method, body)
			if arrived {
				replies <- reply{body, err}
			}
		})
	}
	select {
	case r := <-replies:
		return r.body, r.err
	case <-ctx.Done():
	}
	// A process that is paused does not see its timer before it goes on, and then an answer may be there too.
	p.from.node.wait()
	select {
	case r := <-replies:
		return r.body, r.err
	case <-time.After(time.Millisecond):
		return nil, cluster.E("sim.Call", addr, cluster.KindUnavailable, ctx.Err())
	}
}

// deliver carries one copy of a call there and the answer back.
func (p simPeers) deliver(ctx context.Context, to cluster.NodeID, method string, body []byte) ([]byte, error, bool) {
	s, from := p.from.node.sim, p.from.node.id
	if s.network.Pass(ctx, from, to) != nil || p.from.life.Err() != nil {
		return nil, nil, false
	}
	node := s.node(to)
	var callee *simProcess
	if node != nil {
		callee = node.running()
	}
	if callee == nil {
		return nil, cluster.Fail("sim.Call", string(to), cluster.KindUnavailable, "connection refused"), true
	}
	work, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(callee.life, cancel)()
	answer, err := callee.control.HandlePeer(work, method, slices.Clone(body))
	if callee.life.Err() != nil || s.network.Pass(ctx, to, from) != nil {
		return nil, nil, false
	}
	return answer, err, true
}

// quickRank is a rendezvous hash that costs less than the real one: runs of slots rank alike.
func quickRank(targets []cluster.Node) func(cluster.Slot) []cluster.NodeID {
	var ranks [4 * cluster.Slots >> rankShift][]cluster.NodeID
	for i := range ranks {
		score := func(n cluster.Node) uint64 {
			h := uint64(i) + 0x9e3779b97f4a7c15
			for _, b := range []byte(n.ID) {
				h = (h ^ uint64(b)) * 0xff51afd7ed558ccd
				h ^= h >> 32
			}
			return h
		}
		ranked := slices.Clone(targets)
		slices.SortFunc(ranked, func(a, b cluster.Node) int { return cmp.Compare(score(b), score(a)) })
		for _, n := range ranked {
			ranks[i] = append(ranks[i], n.ID)
		}
	}
	return func(slot cluster.Slot) []cluster.NodeID { return ranks[slot>>rankShift] }
}

// rankShift makes runs of 256 slots.
const rankShift = 8

// transcript is what happened, for a seed that failed.
type transcript struct {
	mu    sync.Mutex
	began time.Time
	lines []string
}

func (t *transcript) add(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, fmt.Sprintf("%10.4fs  ", time.Since(t.began).Seconds())+strings.TrimSpace(fmt.Sprintf(format, args...)))
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "\n")
}
