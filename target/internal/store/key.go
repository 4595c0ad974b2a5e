package store

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// ident names what one line of generations belongs to: an object, or an upload of it.
type ident struct {
	bucket cluster.BucketID
	key    cluster.ObjectKey
	upload cluster.UploadID
}

// shardCount is the same at all nodes: holders rely on what the owner's turns at the keys of a shard wait for.
const shardCount = 1 << 12

// shard has what writers and readers of some keys must agree on. Lock order: lock, then a part's lock, then mu.
type shard struct {
	// lock is the lock of its keys: whoever changes an object or ends an upload holds it exclusively from the check of the
	// epoch until the change is visible; whoever adds a part shares it.
	lock sync.RWMutex
	// copies is the lock of its keys in slots that another node owns.
	copies sync.Mutex
	passed map[cluster.NodeID]passed // guarded by copies: by owner

	marked atomic.Int64  // how many marks there are: readers pass by mu while there are none
	all    *atomic.Int64 // marks of all shards, for lists
	mu     sync.Mutex
	marks  map[ident]mark // guarded by mu

	doubts map[ident][]meta.Ref // guarded by mu: what may be in doubt here, and reach over several lines; all of what other owners sent, and of what was given up

	outcomes map[attempt]outcome  // guarded by mu
	expiry   []attempt            // guarded by mu: keys of outcomes, oldest first
	running  map[attempt]struct{} // guarded by mu: those that receive a body

	reading map[ident][]*reading // guarded by mu: who reads shards at other holders
	untold  map[ident][]untold   // guarded by mu: what these are told when nobody reads what it replaces, in order
}

// mark says which generations of an ident must not be shown although the index has them.
type mark struct {
	preparing cluster.Generation // being made durable now; zero when nothing is
	floor     cluster.Generation // of a visible tombstone: what is older is deleted, though the cleaner has still to remove it
	dead      []abandoned        // given up after they were prepared; in this epoch they are never shown
}

// abandoned is a prepared write that was given up, or dropped since.
type abandoned struct {
	generation cluster.Generation
	m          *mountpath   // on which it is
	refs       []meta.Ref   // what its batch put into the index; nil once that is removed
	places     []disk.Place // bytes that nothing else names
}

func (m *mark) empty() bool {
	return m.preparing.IsZero() && m.floor.IsZero() && len(m.dead) == 0
}

// prepared reports whether a generation may be durable but is not visible.
func (m *mark) prepared(g cluster.Generation) bool {
	return g == m.preparing || slices.ContainsFunc(m.dead, func(a abandoned) bool { return a.generation == g })
}

// attempt identifies a request at a key: 128 bits of hash of the request id, the ident and the part.
type attempt xxh3.Uint128

func attemptOf(request cluster.RequestID, id ident, part int) attempt {
	var buf [256]byte
	b := append(buf[:0], request...)
	b = append(b, 0, byte(id.bucket), byte(id.bucket>>8), byte(id.bucket>>16), byte(id.bucket>>24), byte(id.bucket>>32))
	b = append(b, byte(part), byte(part>>8), 0)
	b = append(b, id.upload...)
	b = append(b, 0)
	b = append(b, id.key...)
	return attempt(xxh3.Hash128(b))
}

// outcome is how a request ended. What one wrote its records tell; here is only that it did, or what they do not tell for
// long enough.
type outcome struct {
	epoch  cluster.Epoch
	until  time.Duration // by the store's clock
	err    error
	wrote  bool             // look at the records; a part that was given up may be there, or not
	part   *PartInfo        // of PutPart
	upload cluster.UploadID // of CreateUpload
}

func newShards(marks *atomic.Int64) []shard {
	shards := make([]shard, shardCount)
	for i := range shards {
		shards[i].all = marks
		shards[i].marks = make(map[ident]mark)
		shards[i].doubts = make(map[ident][]meta.Ref)
		shards[i].outcomes = make(map[attempt]outcome)
		shards[i].running = make(map[attempt]struct{})
	}
	return shards
}

func (s *Store) shard(bucket cluster.BucketID, key cluster.ObjectKey) *shard {
	return &s.shards[xxh3.HashStringSeed(string(key), uint64(bucket))%shardCount]
}

// update changes the mark of an ident.
func (h *shard) update(id ident, change func(*mark)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m, had := h.marks[id]
	change(&m)
	switch {
	case !m.empty():
		h.marks[id] = m
		if !had {
			h.count(1)
		}
	case had:
		delete(h.marks, id)
		h.count(-1)
	}
}

// count notes marks that came or went; mu is held.
func (h *shard) count(n int64) {
	h.marked.Add(n)
	h.all.Add(n)
}

// prepare hides a generation that is about to enter the index.
func (h *shard) prepare(id ident, g cluster.Generation) {
	h.update(id, func(m *mark) { m.preparing = g })
}

// prepareNext is prepare when an earlier generation of the same write may be prepared: that one stays hidden.
func (h *shard) prepareNext(id ident, g cluster.Generation) {
	h.update(id, func(m *mark) {
		if !m.preparing.IsZero() {
			m.dead = append(slices.Clone(m.dead), abandoned{generation: m.preparing})
		}
		m.preparing = g
	})
}

// unprepare forgets the generation that is being prepared: nobody has it.
func (h *shard) unprepare(id ident) {
	h.update(id, func(m *mark) { m.preparing = cluster.Generation{} })
}

// bury is abandon for a part, whose generation is not marked while it is being prepared.
func (h *shard) bury(id ident, a abandoned) {
	h.doubt(a.refs...)
	h.update(id, func(m *mark) { m.dead = append(slices.Clone(m.dead), a) })
}

// reveal makes a prepared generation visible. A tombstone hides from now on what is older; a newer record of an object needs
// no such help: whoever sees it in the index sees it first, and whoever does not began to read before.
func (h *shard) reveal(id ident, tombstone bool) {
	h.update(id, func(m *mark) {
		if tombstone {
			m.floor = m.preparing
		}
		m.preparing = cluster.Generation{}
	})
}

// cleaned notes that the index has nothing older than g any more, and no reader does.
func (h *shard) cleaned(id ident, g cluster.Generation) {
	h.update(id, func(m *mark) {
		if m.floor == g {
			m.floor = cluster.Generation{}
		}
	})
}

// abandon gives up the generation that is being prepared, on a mountpath: it stays hidden, and is in doubt.
func (h *shard) abandon(id ident, at *mountpath, refs []meta.Ref, places []disk.Place) {
	h.doubt(refs...) // for the time when another node owns the slot
	h.update(id, func(m *mark) {
		m.dead = append(slices.Clone(m.dead), abandoned{generation: m.preparing, m: at, refs: refs, places: places})
		m.preparing = cluster.Generation{}
	})
}

// abandoned returns the writes of an ident that were given up and are still in the index.
func (h *shard) abandoned(id ident) []abandoned {
	if h.marked.Load() == 0 {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var left []abandoned
	for _, a := range h.marks[id].dead {
		if a.refs != nil {
			left = append(left, a)
		}
	}
	return left
}

// dropped notes that the abandoned writes of an ident were removed from the index. They stay hidden: a list that began
// before may still come upon them.
func (h *shard) dropped(id ident) {
	h.update(id, func(m *mark) {
		m.dead = slices.Clone(m.dead)
		for i := range m.dead {
			m.dead[i].refs, m.dead[i].places = nil, nil
		}
	})
}

// givenUp returns the idents of which something was given up or dropped.
func (h *shard) givenUp() (all []ident) {
	if h.marked.Load() == 0 {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, m := range h.marks {
		if len(m.dead) > 0 {
			all = append(all, id)
		}
	}
	return all
}

// buried returns what was given up of an ident and is not in the index any more; its turn's lock must be held.
func (h *shard) buried(id ident) (all []cluster.Generation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range h.marks[id].dead {
		if a.refs == nil {
			all = append(all, a.generation)
		}
	}
	return all
}

// forget forgets generations that nobody can come upon any more.
func (h *shard) forget(id ident, gone []cluster.Generation) {
	h.update(id, func(m *mark) {
		m.dead = slices.DeleteFunc(slices.Clone(m.dead), func(a abandoned) bool { return slices.Contains(gone, a.generation) })
	})
}

// settled forgets everything of the idents for which match holds.
func (h *shard) settled(match func(ident) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id := range h.marks {
		if match(id) {
			delete(h.marks, id)
			h.count(-1)
		}
	}
}

// hidden reports whether a generation must not be shown: it is not visible, or was deleted. Ask after reading the index.
func (h *shard) hidden(id ident, g cluster.Generation) bool {
	if h.marked.Load() == 0 {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	m, ok := h.marks[id]
	return ok && (g.Less(m.floor) || m.prepared(g))
}

// prepared is like hidden for what is not replaced by newer generations: the end of an upload.
func (h *shard) prepared(id ident, g cluster.Generation) bool {
	if h.marked.Load() == 0 {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	m, ok := h.marks[id]
	return ok && m.prepared(g)
}

// remember keeps an outcome for later attempts of the same request in the same epoch.
func (h *shard) remember(a attempt, o outcome, now time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	gone := 0
	for gone < len(h.expiry) && h.outcomes[h.expiry[gone]].until < now {
		delete(h.outcomes, h.expiry[gone])
		gone++
	}
	h.expiry = slices.Delete(h.expiry, 0, gone)
	if _, known := h.outcomes[a]; !known {
		h.expiry = append(h.expiry, a)
	}
	h.outcomes[a] = o
}

// recall returns the outcome of an earlier attempt, and whether one is receiving its body.
func (h *shard) recall(a attempt, epoch cluster.Epoch) (o outcome, known, running bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.recallLocked(a, epoch)
}

// recallLocked is recall for callers that hold mu.
func (h *shard) recallLocked(a attempt, epoch cluster.Epoch) (o outcome, known, running bool) {
	o, known = h.outcomes[a]
	_, running = h.running[a]
	return o, known && o.epoch == epoch, running
}

// claim notes the attempt as the one that receives the body, unless there is one; else release must follow. known says that
// an earlier one has ended.
func (h *shard) claim(a attempt, epoch cluster.Epoch) (known, running bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, known, running = h.recallLocked(a, epoch); !running {
		h.running[a] = struct{}{}
	}
	return known, running
}

func (h *shard) release(a attempt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.running, a)
}
