package control

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// checks watches the invariants of one run, from outside of the cluster.
type checks struct {
	sim        *sim
	transcript *transcript
	newest     atomic.Pointer[cluster.Map] // see newestMap
	mu         struct {
		sync.Mutex
		calm       func()   // called at the first violation
		violations []string // of safety
		stuck      []string // nodes that do not serve when all is well
		changes    uint64   // the highest index of an acknowledged change
		promised   map[cluster.RequestID]promise
		slots      map[cluster.Slot]service
		objects    map[simKey]simObject // the latest that was acknowledged or read
		removed    map[cluster.BucketID]bool
		digests    map[uint64]string // of the state at an index
		answers    int               // how much the run has seen
		reads      int
		writes     int
		settles    int
	}
}

// lose forgets what was acknowledged of a key: an administrator was told that it would be lost.
func (c *checks) lose(k simKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.mu.objects, k)
}

// promise is the outcome that a client was told.
type promise struct {
	index uint64
	what  string
}

// service is who serves a slot.
type service struct {
	by    process
	epoch cluster.Epoch
}

func newChecks(s *sim) *checks {
	c := &checks{sim: s, transcript: &transcript{began: s.began}}
	c.mu.promised = make(map[cluster.RequestID]promise)
	c.mu.slots = make(map[cluster.Slot]service)
	c.mu.objects = make(map[simKey]simObject)
	c.mu.removed = make(map[cluster.BucketID]bool)
	c.mu.digests = make(map[uint64]string)
	return c
}

func (c *checks) event(format string, args ...any) { c.transcript.add(format, args...) }

// violated notes that an invariant does not hold.
func (c *checks) violated(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail(format, args...)
}

// fail is violated with c.mu held.
func (c *checks) fail(format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	c.event("VIOLATION: %s", what)
	c.mu.violations = append(c.mu.violations, what)
	if c.mu.calm != nil {
		c.mu.calm()
	}
}

// stopAtFirst has the faults end at the first violation.
func (c *checks) stopAtFirst(calm func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.calm = calm
}

func (c *checks) violations() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.violations
}

// isStuck notes that the cluster does not go on though nothing is in its way.
func (c *checks) isStuck(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	what := fmt.Sprintf(format, args...)
	c.event("STUCK: %s", what)
	c.mu.stuck = append(c.mu.stuck, what)
}

// found returns everything that is wrong.
func (c *checks) found() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append(slices.Clone(c.mu.violations), c.mu.stuck...)
}

// writer takes the log of a node into the transcript.
func (c *checks) writer(id cluster.NodeID) io.Writer { return logWriter{c, id} }

type logWriter struct {
	checks *checks
	id     cluster.NodeID
}

func (w logWriter) Write(line []byte) (int, error) {
	w.checks.event("%s: %s", w.id, line)
	return len(line), nil
}

// changes returns the index of the last acknowledged change, for an answer to a request that begins now.
func (c *checks) changes() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.changes
}

// acknowledged notes that a client was told the outcome of a change.
func (c *checks) acknowledged(req cluster.RequestID, what string) {
	for _, n := range c.sim.all() {
		p := n.running()
		if p == nil {
			continue
		}
		if r, ok := p.control.View().state.Outcome(req); ok {
			c.mu.Lock()
			c.mu.promised[req] = promise{r.Index, what}
			c.mu.changes = max(c.mu.changes, r.Index)
			c.mu.Unlock()
			c.event("%s %s (index %d)", req, what, r.Index)
			return
		}
	}
	// Those who have applied it are gone for the moment; it must be there at the end.
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.promised[req] = promise{0, what}
}

// answered checks an answer from a view: it must reflect what was acknowledged before its request began.
func (c *checks) answered(p *simProcess, v *View, began uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.answers++
	if v.Index() < began {
		c.fail("%s/%d answered from index %d, after the change at %d was acknowledged", p.node.id, p.number, v.Index(), began)
	}
}

// served notes that a process served a slot: nobody may after another one did under a later epoch.
func (c *checks) served(slot cluster.Slot, by process, epoch cluster.Epoch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	last, ok := c.mu.slots[slot]
	if ok && (epoch < last.epoch || epoch == last.epoch && by != last.by) {
		c.fail("slot %d: %v served under epoch %d after %v under epoch %d", slot, by, epoch, last.by, last.epoch)
	}
	c.mu.slots[slot] = service{by, epoch}
}

// wrote notes an acknowledged write.
func (c *checks) wrote(k simKey, v simObject) {
	defer c.durable()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.writes++
	if c.mu.removed[k.bucket] {
		c.fail("a write to %v was acknowledged after the bucket was removed", k)
	}
	if last := c.mu.objects[k]; v.generation.Less(last.generation) {
		c.fail("a write to %v has generation %v after %v", k, v.generation, last.generation)
	}
	c.mu.objects[k] = v
}

// begin returns the latest acknowledged state of a key, for a read that begins now.
func (c *checks) begin(k simKey) simObject {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.objects[k]
}

// read checks what a read gave.
func (c *checks) read(k simKey, v, began simObject) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.reads++
	if c.mu.objects[k].generation.Less(v.generation) && !c.mu.removed[k.bucket] {
		c.mu.objects[k] = v // what was seen once must stay
	}
	if v.generation.Less(began.generation) {
		c.fail("a read of %v gave %v, after %v was acknowledged", k, v.generation, began.generation)
	}
}

// bucketRemoved checks that a bucket was empty when it was removed.
func (c *checks) bucketRemoved(id cluster.BucketID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.removed[id] {
		return
	}
	c.mu.removed[id] = true
	c.event("bucket %d is removed", id)
	m := c.newestMap()
	for k, v := range c.mu.objects {
		if k.bucket != id || !v.exists || m == nil {
			continue
		}
		owner, _ := m.Owner(k.slot())
		if n := c.sim.node(owner); n == nil {
			continue
		} else if r := n.objects.record(k); r.newest() == v {
			c.fail("bucket %d was removed with %s in it, at %s", id, k.key, n.id)
		}
	}
}

// newestMap returns the newest active map that any node had applied when it was looked at: a cluster that starts again has
// older ones for a while.
func (c *checks) newestMap() *cluster.Map {
	for _, n := range c.sim.all() {
		if p := n.running(); p != nil {
			c.sees(n.id, p.control.View().Map())
		}
	}
	return c.newest.Load()
}

// sees notes an active map that a node has applied. Who frees something because of a map tells it first: the node may crash before
// anybody else has looked.
func (c *checks) sees(id cluster.NodeID, m *cluster.Map) {
	known := c.newest.Load()
	for (known == nil || known.Version < m.Version) && !c.newest.CompareAndSwap(known, m) {
		known = c.newest.Load()
	}
	if known == nil || known.Version < m.Version {
		c.newMap(id, known, m)
	}
}

// newMap notes what a map changes of the slots in which something is.
func (c *checks) newMap(id cluster.NodeID, old, m *cluster.Map) {
	c.event("%s has map %d", id, m.Version)
	if old == nil {
		return
	}
	seen := make(map[cluster.Slot]bool)
	for _, n := range c.sim.all() {
		for _, slot := range n.objects.writtenSlots() {
			if was, is := fmt.Sprint(old.Slot(slot)), fmt.Sprint(m.Slot(slot)); was != is && !seen[slot] {
				c.event("  slot %d: %s", slot, is)
			}
			seen[slot] = true
		}
	}
}

// durable checks that every holder that is in sync by the newest map has every acknowledged write.
func (c *checks) durable() {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.newestMap()
	if m == nil {
		return
	}
	for k, v := range c.mu.objects {
		if c.mu.removed[k.bucket] {
			continue
		}
		for _, h := range m.Slot(k.slot()).Holders {
			if r := c.sim.node(h.Node).objects.record(k); h.InSync && !r.has(v.generation) {
				c.fail("%s is in sync in slot %d by map %d, and lacks %v of %v: it has %+v", h.Node, k.slot(), m.Version, v, k, r)
			}
		}
	}
}

// settled checks that who has come to own a slot has every acknowledged write.
func (c *checks) settled(by process, slot cluster.Slot, visible map[simKey]simObject) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.settles++
	for k, v := range c.mu.objects {
		if k.slot() == slot && !c.mu.removed[k.bucket] && visible[k].generation.Less(v.generation) {
			c.fail("%v has settled slot %d with %v of %v, after %v was acknowledged", by, slot, visible[k], k, v)
		}
	}
}

// watch compares the nodes with each other all the time.
func (c *checks) watch(ctx context.Context) {
	for sleep(ctx, 100*time.Millisecond) {
		c.durable()
		for _, n := range c.sim.all() {
			if p := n.running(); p != nil {
				c.compare(n.id, p.control.View())
			}
		}
	}
}

// compare checks that all nodes hold the same state at the same index.
func (c *checks) compare(id cluster.NodeID, v *View) {
	s := v.state
	digest := fmt.Sprintf("%d %d %d %d %v", s.LastVersion, s.Active.Version, s.BMDVersion, len(s.Outcomes), s.Settings)
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, ok := c.mu.digests[v.Index()]; ok && known != digest {
		c.fail("%s holds %s at index %d, others %s", id, digest, v.Index(), known)
	}
	c.mu.digests[v.Index()] = digest
}

// settles checks that everybody serves again when the faults are over.
func (c *checks) settles() {
	ctx, cancel := context.WithTimeout(c.sim.life, settleIn)
	defer cancel()
	for _, n := range c.sim.all() {
		for !c.isGone(n) && !n.serves() {
			if !sleep(ctx, 100*time.Millisecond) {
				c.isStuck("%s does not serve %v after the last fault", n.id, settleIn)
				return
			}
		}
	}
	for !c.whole() {
		if !sleep(ctx, 100*time.Millisecond) {
			c.isStuck("copies are missing %v after the last fault", settleIn)
			return
		}
	}
	for _, n := range c.sim.all() {
		p := n.running()
		if p == nil || c.isGone(n) {
			continue
		}
		req := cluster.RequestID("final-" + string(n.id))
		if err := p.control.SetSettings(ctx, req, map[string]string{"final": string(n.id)}); err != nil && !c.isGone(n) && n.running() == p {
			c.isStuck("a change at %s fails when all is well: %v", n.id, err)
		} else if err == nil {
			c.acknowledged(req, "set at "+string(n.id))
		}
	}
}

// isGone reports whether a node has left the cluster. Who asked for it and got no answer may have left, too.
func (c *checks) isGone(n *simNode) bool {
	if n.hasLeft() || !n.askedToLeave.Load() {
		return n.hasLeft()
	}
	m := c.newestMap()
	if m == nil {
		return false
	}
	_, there := m.Node(n.id)
	return !there
}

// whole reports whether every slot has as many holders as its layout is wide, all in sync.
func (c *checks) whole() bool {
	m := c.newestMap()
	if m == nil {
		return false
	}
	targets := len(m.Targets())
	for i := range m.Slots {
		width := min(m.Layouts[cluster.Slot(i).Layout()].Width(), targets)
		holders := m.Slots[i].Holders
		if len(holders) != width || slices.ContainsFunc(holders, func(h cluster.Holder) bool { return !h.InSync }) {
			return false
		}
	}
	return true
}

// serves reports whether a node has a lease and its target has settled.
func (n *simNode) serves() bool {
	p := n.running()
	return p != nil && p.control.CheckLease() == nil && (p.target == nil || p.control.serving.Load())
}

// finish checks that all nodes came to the same state, and that it has every acknowledged change in it.
func (c *checks) finish() {
	if len(c.found()) > 0 {
		return
	}
	time.Sleep(2 * time.Second) // for what is under way
	whole := make(map[uint64]string)
	for _, n := range c.sim.all() {
		p := n.running()
		if p == nil || c.isGone(n) {
			continue
		}
		v := p.control.View()
		data, err := v.state.Snapshot()
		if err != nil {
			c.violated("%s: %v", n.id, err)
			continue
		}
		sum := fmt.Sprintf("%x", sha256.Sum256(data))
		if known, ok := whole[v.Index()]; ok && known != sum {
			c.violated("%s holds another state at index %d", n.id, v.Index())
		}
		whole[v.Index()] = sum
		c.kept(n.id, v)
	}
}

// kept checks that a view has every promise in it.
func (c *checks) kept(id cluster.NodeID, v *View) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for req, p := range c.mu.promised {
		r, ok := v.state.Outcome(req)
		if !ok || p.index != 0 && r.Index != p.index {
			c.fail("%s lost %s %s of index %d (has %v)", id, req, p.what, p.index, r)
			return
		}
	}
}
