package store

import (
	"slices"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// A reader of an object in shards reads at other holders what no pin of this node keeps there. So the holders are not told that a
// newer generation is visible, and keep the older one, until nobody reads that any more. Readers here and decisions here are the
// only ones: what another node decides, once it owns the slot, such a reader may notice by an error in the middle.

// maxUntold is how many decisions wait for the readers of one key; older ones are left to be overtaken.
const maxUntold = 256

// reading is a reader of an object in shards.
type reading struct {
	shard      *shard
	id         ident
	generation cluster.Generation // guarded by shard.mu; zero until it is known
}

// untold is a decision that waits for readers.
type untold struct {
	holders []cluster.Holder
	Decision
}

// read begins to keep what is visible of an object at other holders; release must follow.
func (s *Store) read(n name) *reading {
	r := &reading{shard: s.shard(n.bucket.ID, n.key), id: n.ident()}
	r.shard.mu.Lock()
	defer r.shard.mu.Unlock()
	if r.shard.reading == nil {
		r.shard.reading, r.shard.untold = make(map[ident][]*reading), make(map[ident][]untold)
	}
	r.shard.reading[r.id] = append(r.shard.reading[r.id], r)
	return r
}

// found says which generation is read.
func (s *Store) found(r *reading, g cluster.Generation) {
	r.shard.mu.Lock()
	r.generation = g
	free := r.shard.unread(r.id)
	r.shard.mu.Unlock()
	s.tellNext(free)
}

// release ends a reader.
func (s *Store) release(r *reading) {
	h := r.shard
	h.mu.Lock()
	if h.reading[r.id] = slices.DeleteFunc(h.reading[r.id], func(other *reading) bool { return other == r }); len(h.reading[r.id]) == 0 {
		delete(h.reading, r.id)
	}
	free := h.unread(r.id)
	h.mu.Unlock()
	s.tellNext(free)
}

// isRead reports whether something older than a generation is read; mu is held.
func (h *shard) isRead(id ident, g cluster.Generation) bool {
	return slices.ContainsFunc(h.reading[id], func(r *reading) bool { return r.generation.Less(g) })
}

// unread takes the decisions that nobody waits with any more; mu is held.
func (h *shard) unread(id ident) []untold {
	all := h.untold[id]
	n := 0
	for n < len(all) && !h.isRead(id, all[n].Refs[0].Generation) {
		n++
	}
	if n == len(all) {
		delete(h.untold, id)
	} else if n > 0 {
		h.untold[id] = slices.Clone(all[n:])
	}
	return all[:n]
}

// postpone keeps a decision for as long as something that it replaces is read, and reports whether it is.
func (h *shard) postpone(id ident, u untold) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.isRead(id, u.Refs[0].Generation) {
		return false
	}
	if len(h.untold[id]) >= maxUntold {
		h.untold[id] = slices.Delete(h.untold[id], 0, maxUntold/2)
	}
	h.untold[id] = append(h.untold[id], u)
	return true
}

// isReadBefore reports whether something older than a record is read at its key.
func (s *Store) isReadBefore(ref meta.Ref) bool {
	h := s.shard(ref.Bucket, ref.Key)
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.isRead(ident{bucket: ref.Bucket, key: ref.Key}, ref.Generation)
}

func (s *Store) tellNext(decisions []untold) {
	for _, u := range decisions {
		s.queueTold(u.holders, u.Decision)
	}
}
