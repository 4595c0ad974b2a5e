package store

import (
	"context"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/meta"
)

const surplusPause = time.Second // before what is not held any more is looked for again

// dropSurplus frees the records of slots that this node does not hold any more, whenever there is a new map, until the context
// ends.
func (s *Store) dropSurplus(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.background.dropping:
		}
		for _, m := range s.mounted() {
			if m.err() != nil {
				continue
			}
			for m.err() == nil {
				err := s.dropSurplusOn(ctx, m)
				if err == nil {
					break
				}
				if ctx.Err() == nil {
					s.o.Events.background(m.ID, "drop what is not held", err)
				}
				if !pause(ctx, surplusPause) {
					return
				}
			}
		}
	}
}

// isSurplus reports whether a slot has other holders, and this node is none of them.
func (s *Store) isSurplus(m *cluster.Map, slot cluster.Slot) bool {
	st := m.Slot(slot)
	_, holds := st.Holder(s.o.Node)
	return len(st.Holders) > 0 && !holds
}

// dropSurplusOn frees what one mountpath has of slots that are not held. A slot is looked at once for each epoch in which it
// was written here.
func (s *Store) dropSurplusOn(ctx context.Context, m *mountpath) error {
	now := s.council.Map()
	slots := make(map[cluster.Slot]uint64)
	for i := range now.Slots {
		slot := cluster.Slot(i)
		if w := m.written.load(slot); w != 0 && m.dropped.load(slot) != w && s.isSurplus(now, slot) {
			slots[slot] = w
		}
	}
	if len(slots) == 0 {
		return nil
	}
	for _, kind := range pulledKinds {
		for r, err := range m.index.Scan(ctx, meta.Range{Kind: kind, AllBuckets: true, NoData: true}).All() {
			if err != nil {
				return err
			}
			if slots[r.Slot()] == 0 {
				continue
			}
			if err := s.dropRecord(m, r.Ref); err != nil {
				return err
			}
		}
	}
	for slot, w := range slots {
		if s.isSurplus(s.council.Map(), slot) {
			m.dropped.store(slot, w)
		}
	}
	return m.cleaner.drain(ctx)
}

// dropRecord removes a record unless its slot is held again: then it is for the catching up to decide.
func (s *Store) dropRecord(m *mountpath, ref meta.Ref) error {
	shard := s.shard(ref.Bucket, ref.Key)
	shard.copies.Lock()
	defer shard.copies.Unlock()
	if !s.isSurplus(s.council.Map(), ref.Slot()) {
		return nil
	}
	return m.discard(ref)
}
