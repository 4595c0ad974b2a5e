package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/aisle-store/aisle/target/internal/meta"
)

const (
	settleBatch = 256                    // in-doubt keys decided by one batch
	settlePause = 100 * time.Millisecond // before other holders are asked again
)

// settle decides every in-doubt key of the given slots, none of which is served meanwhile, where this node is the only holder
// in sync: what it had prepared goes forward, and the highest generation is the one. It returns the slots with doubts about
// which others must be asked.
func (s *Store) settle(ctx context.Context, in *cluster.Map, slots map[cluster.Slot]bool) (map[cluster.Slot]bool, error) {
	defer s.hold()()
	doubtful, placing := make(map[cluster.Slot]bool), s.placingBy(in)
	for _, m := range s.mounted() {
		if m.failure.Load() != nil {
			continue
		}
		err := m.settle(ctx, func(slot cluster.Slot) bool {
			if !slots[slot] || !s.matters(placing, m, slot) {
				return false
			}
			if len(s.witnesses(in, slot)) > 0 {
				doubtful[slot] = true
				return false
			}
			return true
		})
		if err != nil && m.err() == nil {
			return nil, err
		}
	}
	for i := range s.shards {
		s.shards[i].settled(func(id ident) bool { return slots[cluster.SlotOf(id.bucket, id.key)] })
	}
	return doubtful, nil
}

// witnesses returns the other holders of a slot that are in sync.
func (s *Store) witnesses(m *cluster.Map, slot cluster.Slot) []cluster.NodeID {
	if s.council == nil {
		return nil
	}
	var nodes []cluster.NodeID
	for _, h := range m.Slot(slot).Holders {
		if h.Whole() && h.Node != s.o.Node { // who is partial may not know, and is about to catch up
			nodes = append(nodes, h.Node)
		}
	}
	return nodes
}

// doubts returns what is in doubt in some slots, by key.
func (m *mountpath) doubts(ctx context.Context, in func(cluster.Slot) bool) (map[ident][]meta.Ref, error) {
	if err := m.cleaner.drain(ctx); err != nil {
		return nil, err
	}
	doubts := make(map[ident][]meta.Ref)
	for ref, err := range m.index.Doubts(ctx) {
		if err != nil {
			return nil, err
		}
		if in(ref.Slot()) {
			id := ident{bucket: ref.Bucket, key: ref.Key}
			doubts[id] = append(doubts[id], ref)
		}
	}
	return doubts, nil
}

// settle decides what is in doubt in some slots on one mountpath: everything goes forward.
func (m *mountpath) settle(ctx context.Context, in func(cluster.Slot) bool) error {
	doubts, err := m.doubts(ctx, in)
	if err != nil {
		return err
	}
	var work settlement
	for _, refs := range doubts {
		if err := m.decide(ctx, refs, func(cluster.Generation) bool { return true }, &work); err != nil {
			return err
		}
		if len(work.settled) >= settleBatch {
			if err := m.apply(&work); err != nil {
				return err
			}
		}
	}
	return m.apply(&work)
}

// settlement is what the decisions of some keys come to.
type settlement struct {
	settled []meta.Ref
	remove  []*meta.Record
	free    []disk.Place
}

// decide settles one key. Generations for which forward holds are visible, the other ones in doubt go; of each line the
// newest stays; uploads that ended are cleared away.
func (m *mountpath) decide(ctx context.Context, doubts []meta.Ref, forward func(cluster.Generation) bool, work *settlement) error {
	work.settled = append(work.settled, doubts...)
	var removed []*meta.Record
	remove := func(of ...*meta.Record) {
		for _, r := range of {
			if !slices.ContainsFunc(removed, func(known *meta.Record) bool { return known.Ref == r.Ref }) {
				removed = append(removed, r)
			}
		}
	}
	for _, ref := range doubts {
		line, err := m.line(ref)
		if err != nil {
			return err
		}
		stays := slices.IndexFunc(line, func(r *meta.Record) bool {
			return forward(r.Generation) || !slices.Contains(doubts, r.Ref)
		})
		for i, r := range line {
			if i != stays {
				remove(r)
			}
		}
		if stays >= 0 && line[stays].Kind == meta.UploadTombstone {
			of, err := uploadRecords(ctx, m.index, line[stays].Ref)
			if err != nil {
				return err
			}
			remove(of...)
		}
	}
	free, err := m.unnamed(doubts[0], removed, nil)
	work.remove = append(work.remove, removed...)
	work.free = append(work.free, free...)
	return err
}

// apply carries out the decisions so far. The bytes are freed by the cleaner, for readers of the epoch before may still have
// their records in hand.
func (m *mountpath) apply(w *settlement) error {
	if len(w.settled) == 0 {
		return nil
	}
	batch := m.index.NewBatch()
	defer batch.Close()
	for _, ref := range w.settled {
		batch.Settle(ref)
	}
	for _, r := range w.remove {
		batch.Delete(r)
		batch.Settle(r.Ref)
	}
	if err := batch.Commit(true); err != nil {
		return err
	}
	for _, ref := range w.settled {
		m.cleaner.shard(ident{bucket: ref.Bucket, key: ref.Key}).decided(ref)
	}
	m.cleaner.add(cleanup{free: w.free})
	*w = settlement{}
	return nil
}

// background are the tasks that a new map gives.
type background struct {
	settling    chan struct{} // one token each: there is something to look at
	reconciling chan struct{}
	dropping    chan struct{}
}

func newBackground() background {
	return background{settling: make(chan struct{}, 1), reconciling: make(chan struct{}, 1), dropping: make(chan struct{}, 1)}
}

// wake has every task look at the map.
func (b *background) wake() {
	for _, c := range []chan struct{}{b.settling, b.reconciling, b.dropping} {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// settleShared settles slots with other holders in sync whenever there are any, until the context ends.
func (s *Store) settleShared(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.background.settling:
		}
		for slots := s.unsettled(); len(slots) > 0; slots = s.unsettled() {
			err := s.settleNow(ctx, slots)
			if err != nil && !pause(ctx, settlePause) {
				return
			}
		}
	}
}

// unsettled returns the slots that wait to be settled, each with its ownership.
func (s *Store) unsettled() map[cluster.Slot]uint64 {
	s.slots.mu.Lock()
	defer s.slots.mu.Unlock()
	slots := make(map[cluster.Slot]uint64, len(s.slots.unsettled))
	for slot, owned := range s.slots.unsettled {
		slots[slot] = owned
	}
	return slots
}

// settleNow asks the other holders about some slots, decides, and serves the slots. None of them has commits in flight, and
// no other node prepares anything here: this node is the owner.
func (s *Store) settleNow(ctx context.Context, slots map[cluster.Slot]uint64) error {
	defer s.hold()() // before the look at the map: a mountpath that it does not name yet has no keys then
	m := s.council.Map()
	for slot := range slots {
		if m.Slot(slot).Owner() != s.o.Node {
			delete(slots, slot) // the next Activate withdraws it
		}
	}
	placing := s.placingBy(m)
	for _, mp := range s.mounted() {
		if mp.failure.Load() != nil {
			continue
		}
		in := func(slot cluster.Slot) bool { return slots[slot] != 0 && s.matters(placing, mp, slot) }
		if err := s.settleOn(ctx, m, mp, in); err != nil && mp.err() == nil {
			return err
		}
	}
	s.slots.mu.Lock()
	defer s.slots.mu.Unlock()
	var done []cluster.Slot
	for slot, owned := range slots {
		if s.slots.unsettled[slot] == owned {
			delete(s.slots.unsettled, slot)
			s.slots.serving.store(slot, s.slots.settled.load(slot))
			done = append(done, slot)
		}
	}
	s.slots.hold(done, -1)
	s.o.Events.serves()
	return nil
}

// settleOn settles one mountpath.
func (s *Store) settleOn(ctx context.Context, in *cluster.Map, m *mountpath, slots func(cluster.Slot) bool) error {
	doubts, err := m.doubts(ctx, slots)
	if err != nil {
		return err
	}
	for keys := range slices.Chunk(keysOf(doubts), settleBatch) {
		everywhere, err := s.askWitnesses(ctx, in, keys)
		if err != nil {
			return err
		}
		var work settlement
		for i, k := range keys {
			if err := m.decide(ctx, doubts[ident{bucket: k.Bucket, key: k.Key}], everywhere[i], &work); err != nil {
				return err
			}
		}
		if err := m.apply(&work); err != nil {
			return err
		}
		for i, k := range keys {
			s.tellAll(in.Slot(cluster.SlotOf(k.Bucket, k.Key)).Holders, doubts[ident{bucket: k.Bucket, key: k.Key}], everywhere[i])
		}
	}
	return nil
}

func keysOf(doubts map[ident][]meta.Ref) []KeyName {
	keys := make([]KeyName, 0, len(doubts))
	for id := range doubts {
		keys = append(keys, KeyName{Bucket: id.bucket, Key: id.key})
	}
	return keys
}

// tellAll tells the other holders what became of the generations of one key, oldest first.
func (s *Store) tellAll(holders []cluster.Holder, refs []meta.Ref, forward func(cluster.Generation) bool) {
	byGeneration := make(map[cluster.Generation][]meta.Ref)
	var order []cluster.Generation
	for _, ref := range refs {
		if byGeneration[ref.Generation] == nil {
			order = append(order, ref.Generation)
		}
		byGeneration[ref.Generation] = append(byGeneration[ref.Generation], ref)
	}
	slices.SortFunc(order, func(a, b cluster.Generation) int {
		if a.Less(b) {
			return -1
		}
		return 1
	})
	for _, g := range order {
		s.tell(holders, Decision{Refs: byGeneration[g], Drop: !forward(g)})
	}
}

// askWitnesses returns, for each key, which generations every other holder in sync has. One that does not answer is accused,
// and the error says that another map must be waited for.
func (s *Store) askWitnesses(ctx context.Context, in *cluster.Map, keys []KeyName) ([]func(cluster.Generation) bool, error) {
	byNode := make(map[cluster.NodeID][]int)
	for i, k := range keys {
		for _, node := range s.witnesses(in, cluster.SlotOf(k.Bucket, k.Key)) {
			byNode[node] = append(byNode[node], i)
		}
	}
	replies := make([]map[cluster.NodeID][]cluster.Generation, len(keys))
	for i := range replies {
		replies[i] = make(map[cluster.NodeID][]cluster.Generation)
	}
	for node, of := range byNode {
		request := &DoubtsRequest{Sender: s.sender(in, node)}
		for _, i := range of {
			request.Keys = append(request.Keys, keys[i])
		}
		_, epoch := in.Owner(cluster.SlotOf(request.Keys[0].Bucket, request.Keys[0].Key))
		generations, err := s.askWitness(ctx, node, epoch, request)
		if err != nil {
			return nil, err
		}
		for j, i := range of {
			replies[i][node] = generations[j]
		}
	}
	everywhere := make([]func(cluster.Generation) bool, len(keys))
	for i := range keys {
		everywhere[i] = func(g cluster.Generation) bool {
			for _, has := range replies[i] {
				if !slices.Contains(has, g) {
					return false
				}
			}
			return true
		}
	}
	return everywhere, nil
}

// askWitness asks one holder, for as long as it may be behind or slow; then it is accused.
func (s *Store) askWitness(ctx context.Context, node cluster.NodeID, epoch cluster.Epoch, r *DoubtsRequest) ([][]cluster.Generation, error) {
	begun, failures := time.Now(), 0
	var last error
	for failures < 2 && time.Since(begun) < behindLife {
		attempt, cancel := context.WithTimeout(ctx, silence)
		reply, err := s.peers.Doubts(attempt, node, r)
		cancel()
		switch {
		case err != nil:
			last = err
			failures++
		case reply.Refused && reply.Version > r.Version:
			return nil, errMoved
		case reply.Refused:
			last = errSilent
		case len(reply.Generations) != len(r.Keys):
			return nil, cluster.Fail("target/store.askWitness", string(node), cluster.KindOther, "the holder answered about other keys")
		default:
			return reply.Generations, nil
		}
		if s.council.Map().Version != r.Version {
			return nil, errMoved
		}
		if !pause(ctx, askPause) {
			return nil, context.Cause(ctx)
		}
	}
	attempt, cancel := context.WithTimeout(ctx, roundsLife)
	defer cancel()
	slot := cluster.SlotOf(r.Keys[0].Bucket, r.Keys[0].Key)
	return nil, errors.Join(last, s.council.Accuse(attempt, slot, epoch, []cluster.NodeID{node}))
}
