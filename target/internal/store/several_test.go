package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// several are stores that hold copies for each other, on a network and under a leader that a test rules. The leader obeys the
// rules of the state machine: ownership moves only to a holder in sync, after a fence or the end of the owner's lease; an
// epoch changes with holders, owner or incarnation.
type several struct {
	t      testing.TB
	nodes  map[cluster.NodeID]*member
	bucket cluster.BucketEntry
	props  atomic.Pointer[cluster.BucketProps] // of the bucket, for the stores
	change func(*Options)

	deciding chan struct{} // holds a token while the map is being changed
	mu       sync.Mutex
	m        *cluster.Map                                        // guarded by mu: the active map
	fault    func(from, to cluster.NodeID, message string) error // guarded by mu: asked before a message arrives
	lost     func(from, to cluster.NodeID, message string) error // guarded by mu: asked before the answer is returned
	repeat   func(again func())                                  // guarded by mu: asked about each prepare
	fencing  context.CancelFunc                                  // guarded by mu: cancels the pending map; nil for none
	requests atomic.Uint64
	disks    int                        // of each node
	dies     bool                       // a disk fails under an index, which leaves goroutines of its own until the process ends
	also     func(*several, *rand.Rand) // what else disturb does; nil: nothing
	encrypts bool                       // what is written is encrypted
	held     bool                       // the leader decides nothing of itself
	refuses  atomic.Bool                // what is prepared is answered with a refusal, so that the write is given up
	mute     atomic.Bool                // decisions do not arrive
}

// running counts those that are not stopped yet.
var running atomic.Int32

// member is one node: its disk, its process, and what it has applied.
type member struct {
	s       *several
	id      cluster.NodeID
	fs      *vfs.MemFS
	process *process     // nil while it is down
	ahead   atomic.Int64 // of its wall clock
	mirrors *mirrorNotes
}

// now is its wall clock.
func (n *member) now() time.Time { return time.Now().Round(0).Add(time.Duration(n.ahead.Load())) }

// process is one start of a node. It implements Authority, Council and Peers.
type process struct {
	node        *member
	incarnation cluster.Incarnation
	store       *Store

	mu    sync.Mutex
	m     *cluster.Map  // guarded by mu: applied
	moved chan struct{} // guarded by mu: closed when m changes
	dead  bool          // guarded by mu: crashed for good: it holds no lease and reaches nobody

	accused atomic.Int64 // how often this process accused others

	looked atomic.Pointer[func()] // called once, between a look at the map and what follows from it

	led sync.RWMutex // shared while the control plane leads the store: it is stopped before the store is closed
}

// lead reports whether the control plane leads the store until led is left. It does not wait for a store that is being closed:
// that waits for commits, and one of them may have asked for the very map that is to be followed.
func (p *process) lead() bool {
	for !p.led.TryRLock() {
		if p.CheckLease() != nil {
			return false
		}
		time.Sleep(time.Millisecond)
	}
	return true
}

func (p *process) Map() *cluster.Map {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.m
}

func (p *process) Owns(slot cluster.Slot) (cluster.Epoch, error) {
	m := p.Map()
	owner, epoch := m.Owner(slot)
	n, _ := m.Node(p.node.id)
	if owner != p.node.id || n.Incarnation != p.incarnation {
		return 0, cluster.Fail("Owns", "", cluster.KindUnavailable, "not the owner")
	}
	if hook := p.looked.Swap(nil); hook != nil {
		(*hook)()
	}
	return epoch, nil
}

func (p *process) CheckLease() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return cluster.Fail("CheckLease", "", cluster.KindUnavailable, "no lease")
	}
	return nil
}

func (p *process) Writable(cluster.BucketID) (cluster.BucketProps, error) {
	return *p.node.s.props.Load(), nil
}

func (p *process) Under(cluster.BucketID) cluster.BucketID { return 0 }

func (p *process) apply(m *cluster.Map) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.Version > p.m.Version {
		p.m = m
		close(p.moved)
		p.moved = make(chan struct{})
	}
}

// await returns when ok holds of the applied map.
func (p *process) await(ctx context.Context, ok func(*cluster.Map) bool) error {
	for {
		p.mu.Lock()
		m, moved := p.m, p.moved
		p.mu.Unlock()
		if ok(m) {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
			if err := p.CheckLease(); err != nil {
				return err
			}
		}
	}
}

func (p *process) Accuse(ctx context.Context, slot cluster.Slot, epoch cluster.Epoch, holders []cluster.NodeID) error {
	if err := p.CheckLease(); err != nil {
		return err
	}
	p.accused.Add(1)
	if !p.node.s.held {
		p.node.s.demote(ctx, p.node.id, slot, epoch, holders)
	}
	if now := p.node.s.active().Slot(slot); now.Epoch == epoch && !p.node.s.held {
		return cluster.Fail("Accuse", "", cluster.KindConflict, "too few shards would be left")
	}
	return p.await(ctx, func(m *cluster.Map) bool {
		st := m.Slot(slot)
		return st.Epoch != epoch || !slices.ContainsFunc(holders, func(n cluster.NodeID) bool { _, ok := st.Holder(n); return ok })
	})
}

func (p *process) Synced(_ context.Context, slots map[cluster.Epoch]*cluster.SlotSet) error {
	if err := p.CheckLease(); err != nil {
		return err
	}
	p.node.s.synced(p.node.id, p.incarnation, slots)
	return nil
}

// SetMountpaths does what the state machine does.
func (p *process) SetMountpaths(ctx context.Context, serial uint64, mps []cluster.Mountpath, lost bool, kept *cluster.SlotSet) error {
	if err := p.CheckLease(); err != nil {
		return err
	}
	if err := p.node.s.remount(p, serial, mps, lost, kept); err != nil {
		return err
	}
	return p.await(ctx, func(m *cluster.Map) bool {
		n, _ := m.Node(p.node.id)
		return n.Remounted >= serial
	})
}

// remount takes the word of a node for its mountpaths.
func (s *several) remount(p *process, serial uint64, mps []cluster.Mountpath, lost bool, kept *cluster.SlotSet) error {
	s.deciding <- struct{}{}
	defer func() { <-s.deciding }()
	m, id := s.active().Clone(), p.node.id
	for slot := range kept.All() {
		if h, _ := m.Slot(slot).Holder(id); !h.Partial {
			return cluster.Fail("remount", "", cluster.KindConflict, "others have what was lost")
		}
	}
	n, _ := m.Node(id)
	if n.Incarnation != p.incarnation || serial != n.Remounted+1 {
		return cluster.Fail("remount", "", cluster.KindConflict, "another process")
	}
	before := n.Mountpaths
	n.Mountpaths, n.Remounted = mps, serial
	p.node.mirrors.follow(mps)
	m.SetNode(n)
	m.Version++
	for i := range m.Slots {
		st := m.Slots[i]
		st.Holders = slices.Clone(st.Holders)
		at := slices.IndexFunc(st.Holders, func(h cluster.Holder) bool { return h.Node == id })
		mirror := m.Layouts[cluster.Slot(i).Layout()].Mirror
		switch {
		case at < 0:
			continue
		case !lost && (s.layout().Mirror == 0 || !slices.ContainsFunc(mps, failedOf(mirror))):
			st.Holders[at].Partial = false
		case !lost, s.layout().Mirror > 0 && !newlyFailed(mirror, before, mps):
			continue
		case at == 0 || st.Holders[0].Partial && st.Holders[at].InSync:
			st.Holders[at].Partial = true
		default:
			st.Epoch++
			st.Holders[at] = cluster.Holder{Node: id, Admitted: st.Epoch}
		}
		m.Slots[i] = st
	}
	s.publish(m)
	return nil
}

// reach delivers a message: call runs at the receiver.
func reach[T any](p *process, to cluster.NodeID, message string, call func(*Store) (T, error)) (T, error) {
	var none T
	s := p.node.s
	s.mu.Lock()
	fault, lost, other := s.fault, s.lost, s.nodes[to].process
	s.mu.Unlock()
	if fault != nil {
		if err := fault(p.node.id, to, message); err != nil {
			return none, err
		}
	}
	if other == nil || p.CheckLease() != nil || other.CheckLease() != nil {
		return none, cluster.Fail("reach", string(to), cluster.KindUnavailable, "connection refused")
	}
	reply, err := call(other.store)
	if err == nil && lost != nil {
		if err := lost(p.node.id, to, message); err != nil {
			return none, err
		}
	}
	if p.CheckLease() != nil || other.CheckLease() != nil {
		return none, cluster.Fail("reach", string(to), cluster.KindUnavailable, "connection lost")
	}
	return reply, err
}

func copied(of []*meta.Record) []*meta.Record {
	var all []*meta.Record
	for _, r := range of {
		c := *r
		c.HasManifest = false
		text, err := meta.EncodeFooter(&c)
		if err != nil {
			panic(err)
		}
		back, err := meta.DecodeFooter(text)
		if err != nil {
			panic(err)
		}
		back.Inline = bytes.Clone(r.Inline)
		all = append(all, back)
	}
	return all
}

func (p *process) Stage(ctx context.Context, to cluster.NodeID, r *StageRequest) (Staged, error) {
	return reach(p, to, "stage", func(s *Store) (Staged, error) { return s.Stage(ctx, r) })
}

func (p *process) Prepare(ctx context.Context, to cluster.NodeID, r *PrepareRequest) (*PrepareReply, error) {
	c := *r
	c.Records, c.Beside = copied(r.Records), copied(r.Beside)
	p.repeated(to, r)
	reply, err := reach(p, to, "prepare", func(s *Store) (*PrepareReply, error) { return s.Prepare(ctx, &c) })
	if err == nil && !reply.Refused && len(reply.Missing)+len(reply.Doubts) == 0 && p.node.s.refuses.Load() {
		return nil, cluster.Fail("reach", string(to), cluster.KindConflict, "the write is given up")
	}
	return reply, err
}

func (p *process) Decide(ctx context.Context, to cluster.NodeID, r *DecideRequest) (Standing, error) {
	if p.node.s.mute.Load() {
		return Standing{}, errDown
	}
	return reach(p, to, "decide", func(s *Store) (Standing, error) { return s.Decide(ctx, r) })
}

func (p *process) Doubts(ctx context.Context, to cluster.NodeID, r *DoubtsRequest) (*DoubtsReply, error) {
	return reach(p, to, "doubts", func(s *Store) (*DoubtsReply, error) { return s.Doubts(ctx, r) })
}

func (p *process) Forget(ctx context.Context, to cluster.NodeID, r *ForgetRequest) (Standing, error) {
	return reach(p, to, "forget", func(s *Store) (Standing, error) { return s.Forget(ctx, r) })
}

func (p *process) Pull(ctx context.Context, to cluster.NodeID, r *PullRequest) (*PullReply, error) {
	return reach(p, to, "pull", func(s *Store) (*PullReply, error) {
		reply, err := s.Pull(ctx, r)
		if reply != nil {
			reply.Records = copied(reply.Records)
		}
		return reply, err
	})
}

func (p *process) Compare(ctx context.Context, to cluster.NodeID, r *CompareRequest) (*CompareReply, error) {
	return reach(p, to, "compare", func(s *Store) (*CompareReply, error) { return s.Compare(ctx, r) })
}

func (p *process) Fetch(ctx context.Context, to cluster.NodeID, r *FetchRequest) (io.ReadCloser, error) {
	in, err := reach(p, to, "fetch", func(s *Store) (io.ReadCloser, error) { return s.Fetch(ctx, r) })
	if err != nil {
		return nil, err
	}
	return &stream{ReadCloser: in, from: p, to: to}, nil
}

// stream is what Fetch gives: it breaks when an end of it does.
type stream struct {
	io.ReadCloser
	from *process
	to   cluster.NodeID
}

func (r *stream) Read(b []byte) (int, error) {
	if _, err := reach(r.from, r.to, "read", func(*Store) (int, error) { return 0, nil }); err != nil {
		return 0, err
	}
	return r.ReadCloser.Read(b)
}

const sharedLayout = 1

// newSeveral starts n nodes that each own a share of the slots of a layout of so many copies, all in sync.
func newSeveral(t testing.TB, n, copies int, change func(*Options)) *several {
	t.Helper()
	return newSeveralIn(t, n, cluster.Layout{Copies: copies}, change)
}

// newCoded is newSeveral for a layout of shards, which are small: a few kilobytes make several stripes.
func newCoded(t testing.TB, n, data, parity int, change func(*Options)) *several {
	t.Helper()
	return newSeveralIn(t, n, cluster.Layout{Data: data, Parity: parity}, func(o *Options) {
		o.InlineMax, o.ShardMin, o.ShardBlock = 200, 1000, 700
		if change != nil {
			change(o)
		}
	})
}

// configure changes the properties of the bucket.
func (s *several) configure(change func(*cluster.BucketProps)) {
	change(&s.bucket.Props)
	props := s.bucket.Props
	s.props.Store(&props)
}

func newSeveralIn(t testing.TB, n int, layout cluster.Layout, change func(*Options)) *several {
	t.Helper()
	return newSeveralOn(t, n, 2, layout, change)
}

// newSeveralOn is newSeveralIn with so many disks at each node.
func newSeveralOn(t testing.TB, n, disks int, layout cluster.Layout, change func(*Options)) *several {
	t.Helper()
	before := goleak.IgnoreCurrent()
	running.Add(1)
	s := &several{t: t, nodes: make(map[cluster.NodeID]*member), change: change, deciding: make(chan struct{}, 1), disks: disks}
	s.bucket = cluster.BucketEntry{
		ID: cluster.NewBucketID(sharedLayout, 7), Bucket: cluster.Native("b"),
		Props: cluster.BucketProps{Checksum: cluster.ChecksumMD5, Replicas: layout.Copies, Data: layout.Data, Parity: layout.Parity, Mirror: layout.Mirror, MinCopies: 1},
	}
	s.configure(func(*cluster.BucketProps) {})
	m := &cluster.Map{Version: 1, ClusterID: "c", Removed: map[cluster.NodeID]bool{}}
	m.AddLayout(cluster.OneCopy())
	m.AddLayout(layout)
	var ids []cluster.NodeID
	for i := range n {
		id := cluster.NodeID(fmt.Sprintf("t%d", i+1))
		ids = append(ids, id)
		s.nodes[id] = &member{s: s, id: id, fs: vfs.NewCrashableMem(), mirrors: &mirrorNotes{}}
		s.nodes[id].format()
		m.SetNode(cluster.Node{ID: id, Roles: cluster.Target, Mountpaths: mountpaths(disks)})
	}
	for i := range cluster.Slots {
		st := cluster.SlotState{Epoch: 1, Owned: 1}
		for c := range layout.Width() {
			h := cluster.Holder{Node: ids[(i+c)%n], InSync: true, Admitted: 1}
			if layout.Data > 0 {
				h.Shard = uint8(c)
			}
			st.Holders = append(st.Holders, h)
		}
		m.Slots[cluster.SlotIn(sharedLayout, i)] = st
	}
	s.m = m
	for _, id := range ids {
		s.start(id)
	}
	t.Cleanup(func() {
		for _, id := range ids {
			s.stop(id)
		}
		if running.Add(-1) == 0 && !s.dies && !t.Failed() { // what another one that runs still begins is no leak
			goleak.VerifyNone(t, before)
		}
	})
	return s
}

func (n *member) format() {
	for _, mp := range mountpaths(3) { // the third is for tests that attach it
		err := n.fs.MkdirAll(mp.Path, 0o755)
		if err == nil {
			err = Format(n.fs, mp.Path, "c", n.id, mp.ID)
		}
		if err != nil {
			n.s.t.Fatal(err)
		}
	}
	root, err := n.fs.OpenDir("/")
	if err == nil {
		err = errors.Join(root.Sync(), root.Close())
	}
	if err != nil {
		n.s.t.Fatal(err)
	}
}

// start starts a node in a new incarnation, and enters it into the map.
func (s *several) start(id cluster.NodeID) {
	s.t.Helper()
	s.deciding <- struct{}{}
	defer func() { <-s.deciding }()
	n := s.nodes[id]
	m := s.active().Clone()
	entry, _ := m.Node(id)
	entry.Incarnation++
	n.mirrors = n.mirrors.next()
	entry.Mountpaths = append(slices.Clone(entry.Mountpaths), n.mirrors.unlisted(entry.Mountpaths)...)
	m.SetNode(entry)
	m.Version++
	for i := range m.Slots {
		st := &m.Slots[i]
		if _, holds := st.Holder(id); holds {
			st.Epoch++
			if st.Owner() == id {
				st.Owned = st.Epoch
			}
		}
	}
	p := &process{node: n, incarnation: entry.Incarnation, m: s.active(), moved: make(chan struct{})}
	o := Options{
		FS: n.fs, ClusterID: "c", Node: id, Incarnation: entry.Incarnation, Mountpaths: slices.Concat(mountpaths(s.disks), n.mirrors.all), Mirrors: n.mirrors, Authority: p, Council: p, Peers: p,
		Now: n.now,
	}
	o.Disk.SegmentSize, o.Disk.Ballast, o.Index.MemTable, o.CacheBytes = 1<<20, -1, 1<<20, 1<<20
	if s.change != nil {
		s.change(&o)
	}
	var err error
	if p.store, err = Open(context.Background(), o); err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	n.process = p
	s.mu.Unlock()
	s.publish(m)
}

func (s *several) active() *cluster.Map {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m
}

func (s *several) running() []*process {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*process
	for _, n := range s.nodes {
		if n.process != nil {
			all = append(all, n.process)
		}
	}
	return all
}

// publish makes a map active: every process applies it, then follows it.
func (s *several) publish(m *cluster.Map) {
	s.mu.Lock()
	s.m = m
	s.mu.Unlock()
	var work sync.WaitGroup
	for _, p := range s.running() {
		if p.CheckLease() != nil {
			continue
		}
		p.apply(m)
		work.Go(func() { p.follow(m) })
	}
	work.Wait()
}

func (p *process) fence(ctx context.Context, m *cluster.Map) ([]cluster.Slot, error) {
	if !p.lead() {
		return nil, p.CheckLease()
	}
	defer p.led.RUnlock()
	if err := p.CheckLease(); err != nil {
		return nil, err
	}
	return p.store.Fence(ctx, m)
}

// end closes the store of a process that is dead.
func (p *process) end() {
	p.led.Lock()
	defer p.led.Unlock()
	if err := p.store.Close(); err != nil {
		p.node.s.t.Error(err)
	}
}

func (p *process) follow(m *cluster.Map) {
	if !p.lead() {
		return
	}
	defer p.led.RUnlock()
	for p.CheckLease() == nil {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		err := p.store.Activate(ctx, m)
		cancel()
		if err == nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// reshape changes the holders of slots without taking ownership. It reports whether anything changed.
func (s *several) reshape(change func(cluster.Slot, *cluster.SlotState) bool) bool {
	return s.reshapeWithin(context.Background(), change)
}

// reshapeWithin waits for its turn no longer than the context lasts: the map that is being changed meanwhile may wait for a
// commit that asks for this one.
func (s *several) reshapeWithin(ctx context.Context, change func(cluster.Slot, *cluster.SlotState) bool) bool {
	select {
	case s.deciding <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	defer func() { <-s.deciding }()
	m := s.active().Clone()
	m.Version++
	changed := false
	for i := sharedLayout * cluster.Slots; i < len(m.Slots); i++ {
		st := m.Slots[i]
		st.Holders = slices.Clone(st.Holders)
		if change(cluster.Slot(i), &st) {
			st.Epoch++
			for j := range st.Holders {
				if st.Holders[j].Admitted == 0 {
					st.Holders[j].Admitted = st.Epoch
				}
			}
			m.Slots[i] = st
			changed = true
		}
	}
	if changed {
		s.publish(m)
	}
	return changed
}

// demote takes holders out of every slot in which they are not owners.
func (s *several) demote(ctx context.Context, accuser cluster.NodeID, slot cluster.Slot, epoch cluster.Epoch, nodes []cluster.NodeID) {
	if owner, now := s.active().Owner(slot); owner != accuser || now != epoch {
		return
	}
	s.mu.Lock()
	if s.fencing != nil {
		s.fencing()
	}
	s.mu.Unlock()
	s.reshapeWithin(ctx, func(_ cluster.Slot, st *cluster.SlotState) bool {
		rest := slices.DeleteFunc(slices.Clone(st.Holders), func(h cluster.Holder) bool { return h.Node != st.Owner() && slices.Contains(nodes, h.Node) })
		if layout := s.layout(); len(rest) == len(st.Holders) || layout.InSync(rest) < layout.Needed() {
			return false
		}
		st.Holders = rest
		return true
	})
}

func (s *several) layout() cluster.Layout { return s.active().Layouts[sharedLayout] }

// freeShard is the lowest shard that no holder keeps, or that of the last one.
func (s *several) freeShard(holders []cluster.Holder) uint8 {
	layout := s.layout()
	for i := range layout.Data + layout.Parity {
		if !slices.ContainsFunc(holders, func(h cluster.Holder) bool { return int(h.Shard) == i }) {
			return uint8(i)
		}
	}
	return holders[len(holders)-1].Shard
}

// admit lets a node catch up in every slot that it does not hold.
func (s *several) admit(id cluster.NodeID) {
	s.reshape(func(_ cluster.Slot, st *cluster.SlotState) bool {
		if _, holds := st.Holder(id); holds || len(st.Holders) == 0 {
			return false
		}
		st.Holders = append(st.Holders, cluster.Holder{Node: id, Shard: s.freeShard(st.Holders)})
		return true
	})
}

func (s *several) synced(id cluster.NodeID, in cluster.Incarnation, slots map[cluster.Epoch]*cluster.SlotSet) {
	s.deciding <- struct{}{}
	defer func() { <-s.deciding }()
	m := s.active().Clone()
	if n, _ := m.Node(id); n.Incarnation != in {
		return
	}
	m.Version++
	for epoch, set := range slots {
		for slot := range set.All() {
			st := m.Slots[slot]
			if st.Epoch != epoch {
				continue
			}
			st.Holders = slices.Clone(st.Holders)
			for i := range st.Holders {
				if st.Holders[i].Node == id {
					st.Holders[i].InSync = true
				}
			}
			m.Slots[slot] = st
		}
	}
	s.publish(m)
}

// promote makes other holders in sync the owners of a node's slots: to, or the first one that runs when it is empty. A process
// that runs is fenced before.
func (s *several) promote(from, to cluster.NodeID) {
	s.deciding <- struct{}{}
	defer func() { <-s.deciding }()
	m := s.active().Clone()
	m.Version++
	for i := sharedLayout * cluster.Slots; i < len(m.Slots); i++ {
		st := m.Slots[i]
		if st.Owner() != from {
			continue
		}
		next := slices.IndexFunc(st.Holders, func(h cluster.Holder) bool {
			s.mu.Lock()
			p := s.nodes[h.Node].process
			s.mu.Unlock()
			return h.Whole() && h.Node != from && (to == "" || h.Node == to) && p != nil && p.CheckLease() == nil
		})
		if next < 0 {
			continue
		}
		st.Holders = slices.Clone(st.Holders)
		h := st.Holders[next]
		st.Holders = slices.Insert(slices.Delete(st.Holders, next, next+1), 0, h)
		st.Epoch++
		st.Owned = st.Epoch
		if st.Holders[1].Partial {
			st.Holders[1] = cluster.Holder{Node: from, Admitted: st.Epoch}
		}
		m.Slots[i] = st
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s.mu.Lock()
	s.fencing = cancel
	s.mu.Unlock()
	for _, p := range s.running() {
		if p.CheckLease() != nil {
			continue
		}
		kept, err := p.fence(ctx, m)
		if err != nil && p.CheckLease() == nil {
			m = s.active() // the change is cancelled, and what was stopped goes on
			break
		}
		for _, slot := range kept {
			m.Slots[slot] = s.active().Slots[slot]
		}
	}
	s.mu.Lock()
	s.fencing = nil
	s.mu.Unlock()
	s.publish(m)
}

// crash ends a node's process as a power cut does: what was not synced is lost.
func (s *several) crash(id cluster.NodeID) {
	s.mu.Lock()
	n := s.nodes[id]
	p := n.process
	n.process = nil
	s.mu.Unlock()
	if p == nil {
		return
	}
	p.mu.Lock()
	p.dead = true
	p.mu.Unlock()
	n.mirrors.mu.Lock() // with the disks, since it lies on one, too
	n.mirrors.crashed = true
	n.fs = n.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 0, RNG: rand.New(rand.NewPCG(1, 2))})
	n.mirrors.mu.Unlock()
	p.end()
}

func (s *several) stop(id cluster.NodeID) {
	s.mu.Lock()
	p := s.nodes[id].process
	s.nodes[id].process = nil
	s.mu.Unlock()
	if p != nil {
		p.mu.Lock()
		p.dead = true
		p.mu.Unlock()
		p.end()
	}
}

func (s *several) setFault(f func(from, to cluster.NodeID, message string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

func (s *several) setLost(f func(from, to cluster.NodeID, message string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost = f
}

func (s *several) slot(key string) cluster.Slot {
	return cluster.SlotOf(s.bucket.ID, cluster.ObjectKey(key))
}

// owned returns the n-th key whose slot a node owns.
func (s *several) owned(id cluster.NodeID, n int) string {
	for i := 0; ; i++ {
		key := fmt.Sprintf("k%d", i)
		if s.active().Slot(s.slot(key)).Owner() == id {
			if n == 0 {
				return key
			}
			n--
		}
	}
}

// at returns the process that owns a key, and the call of a request to it.
func (s *several) at(key string, request cluster.RequestID) (*process, Call) {
	owner, epoch := s.active().Owner(s.slot(key))
	s.mu.Lock()
	defer s.mu.Unlock()
	if request == "" {
		request = cluster.RequestID(fmt.Sprintf("r%d", s.requests.Add(1)))
	}
	return s.nodes[owner].process, Call{Request: request, Epoch: epoch}
}

var errDown = cluster.Fail("several", "", cluster.KindUnavailable, "the owner is down")

func (s *several) tryPut(key string, data []byte, request cluster.RequestID) (*Info, error) {
	p, call := s.at(key, request)
	if p == nil {
		return nil, errDown
	}
	info, err := p.store.Put(context.Background(), &PutRequest{
		Call: call, Bucket: s.bucket, Key: cluster.ObjectKey(key), Body: bytes.NewReader(data), Size: int64(len(data)),
		Encrypt: s.encrypt(),
	})
	if err == nil && p.CheckLease() != nil {
		return nil, errDown // nobody gets the answer of a process that has crashed
	}
	return info, err
}

func (s *several) tryGet(key string) ([]byte, error) {
	p, call := s.at(key, "")
	if p == nil {
		return nil, errDown
	}
	o, err := p.store.Open(context.Background(), &GetRequest{Call: call, Bucket: s.bucket, Key: cluster.ObjectKey(key), Keys: testKeys{}})
	if err != nil {
		return nil, err
	}
	defer o.Close()
	return io.ReadAll(o.Reader())
}

func (s *several) tryDelete(key string) (bool, error) {
	p, call := s.at(key, "")
	if p == nil {
		return false, errDown
	}
	r, err := p.store.Delete(context.Background(), &DeleteRequest{Call: call, Bucket: s.bucket, Key: cluster.ObjectKey(key)})
	return r.Existed, err
}

// again repeats what a gateway repeats, under one request id, until there is a definite answer.
func again[T any](s *several, try func(cluster.RequestID) (T, error)) T {
	s.t.Helper()
	request := cluster.RequestID(fmt.Sprintf("r%d", s.requests.Add(1)))
	begun := time.Now()
	for {
		v, err := try(request)
		switch {
		case err == nil:
			return v
		case !cluster.Is(err, cluster.KindUnavailable), time.Since(begun) > 20*time.Second:
			s.t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
}

func (s *several) put(key string, data []byte) *Info {
	s.t.Helper()
	return again(s, func(r cluster.RequestID) (*Info, error) { return s.tryPut(key, data, r) })
}

func (s *several) get(key string) []byte {
	s.t.Helper()
	return again(s, func(cluster.RequestID) ([]byte, error) { return s.tryGet(key) })
}

func (s *several) remove(key string) {
	s.t.Helper()
	again(s, func(cluster.RequestID) (bool, error) { return s.tryDelete(key) })
}

func (s *several) wantAbsent(key string) {
	s.t.Helper()
	again(s, func(cluster.RequestID) (bool, error) {
		_, err := s.tryGet(key)
		if cluster.Is(err, cluster.KindObjectNotFound) {
			return true, nil
		}
		if err == nil {
			err = errors.New("the object is there")
		}
		return false, err
	})
}

func (s *several) store(id cluster.NodeID) *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nodes[id].process.store
}

// records returns what a node has of a key, and which of it is in doubt.
func (s *several) records(id cluster.NodeID, key string) (all []*meta.Record, doubts int) {
	s.t.Helper()
	st := s.store(id)
	n := copyName(s.bucket.ID, cluster.ObjectKey(key))
	m := st.mountpath(n)
	for _, mp := range st.mounted() {
		if err := mp.cleaner.drain(context.Background()); err != nil {
			s.t.Fatal(err)
		}
	}
	all, err := m.line(n.ref(meta.Current))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, r := range all {
		doubt, err := m.index.InDoubt(r.Ref)
		if err != nil {
			s.t.Fatal(err)
		}
		if doubt {
			doubts++
		}
	}
	return all, doubts
}

// eventually waits for what happens in the background.
func (s *several) eventually(what string, ok func() bool) {
	s.t.Helper()
	for begun := time.Now(); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Since(begun) > 20*time.Second {
			s.t.Fatalf("%s: not after 20 s", what)
		}
	}
}
