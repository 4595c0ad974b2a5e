package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/aisle-store/aisle/target/internal/meta"
	"github.com/aisle-store/aisle/xact"
)

// Moving keys between the mountpaths of a node, one by one, while they are used: see DESIGN.md, "Resilver".

const (
	resilverPause = 200 * time.Millisecond // before there is another look
	moveBatch     = 32                     // keys that change their mountpath together
	movePatience  = 100                    // milliseconds for which a batch waits for those who need keys still
	moveCopy      = 8 << 20                // of so many bytes a batch is enough
	movedNote     = "moved/"               // before the name of a key that may be on two mountpaths
)

// unsure are keys of which a mountpath that cannot be read may have the truth, since a move of them did not come to its end.
type unsure struct {
	any  atomic.Bool
	mu   sync.Mutex
	keys map[ident]*mountpath // guarded by mu: who may have it
}

func (u *unsure) add(id ident, m *mountpath) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.keys == nil {
		u.keys = make(map[ident]*mountpath)
	}
	u.keys[id] = m
	u.any.Store(true)
}

// of returns the mountpath that may have the truth about a key, or nil.
func (u *unsure) of(id ident) *mountpath {
	if !u.any.Load() {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.keys[id]
}

// resilver moves keys to where they belong, whenever the map says that mountpaths are being filled or drained, until the context ends.
func (s *Store) resilver(ctx context.Context) {
	for pause(ctx, resilverPause) {
		if s.council == nil || !s.placing().scattered || !s.namedIn(s.council.Map()) {
			continue
		}
		job := s.o.Jobs.Start(xact.Resilver, "the mountpaths of this node")
		for s.placing().scattered && ctx.Err() == nil {
			err := s.resilverOnce(ctx, job)
			job.Trouble(err)
			if !pause(ctx, resilverPause) {
				break
			}
		}
		job.End(ctx.Err())
	}
}

// resilverOnce moves what can be moved now, and says so to the cluster when nothing is left.
func (s *Store) resilverOnce(ctx context.Context, job *xact.Run) error {
	// Whoever looked a key up before it was looked for everywhere must have found it before it moves; and who wrote one where it
	// belonged by an earlier map than the one that is carried out must have written it before that is said to be done.
	before, _ := s.council.Map().Node(s.o.Node)
	for _, g := range []*gate{s.readers, s.commits} {
		if err := g.wait(ctx); err != nil {
			return err
		}
	}
	left := 0
	for _, m := range s.used(s.placing()) {
		n, err := s.moveAway(ctx, m, job)
		if err != nil {
			return err
		}
		left += n
	}
	if left > 0 {
		return nil
	}
	return s.finishResilver(ctx, before)
}

// finishResilver tells the cluster that every key is where it belongs by the mountpaths of this node as a map had them.
func (s *Store) finishResilver(ctx context.Context, by cluster.Node) error {
	var now []cluster.Mountpath
	for _, mp := range by.Mountpaths {
		if isHeld(mp, by.Mountpaths) {
			now = append(now, mp)
			continue
		}
		switch mp.State {
		case cluster.MountpathFilling:
			mp.State = cluster.MountpathEnabled
		case cluster.MountpathDraining, cluster.MountpathDetaching:
			if err := s.keepMarks(mp.ID); err != nil {
				return err
			}
			if mp.State == cluster.MountpathDetaching {
				continue
			}
			mp.State = cluster.MountpathDisabled
		}
		now = append(now, mp)
	}
	if slices.Equal(now, by.Mountpaths) {
		return nil
	}
	err := s.council.SetMountpaths(ctx, by.Remounted+1, now, false, nil)
	if cluster.Is(err, cluster.KindConflict) {
		return nil
	}
	for _, m := range s.mounted() {
		m.swept.Store(false) // what went with its bucket may have been moved behind the sweep
	}
	return err
}

// isHeld reports whether a mountpath stays what it is although every key is where it belongs: while another one has failed that the
// same keys can be on, what is not found may be on that; and one that mirrors lie on waits until they are gone.
func isHeld(mp cluster.Mountpath, all []cluster.Mountpath) bool {
	return slices.ContainsFunc(all, func(other cluster.Mountpath) bool {
		return other.Mirror == mp.Mirror && other.State == cluster.MountpathFailed ||
			mp.State == cluster.MountpathDetaching && slices.Contains(other.SideIDs(), mp.ID)
	})
}

// keepMarks notes elsewhere which slots were written on a mountpath that is emptied.
func (s *Store) keepMarks(id cluster.MountpathID) error {
	at := slices.IndexFunc(s.mounted(), func(m *mountpath) bool { return m.ID == id })
	p := s.placing()
	if at < 0 {
		return nil
	}
	from := s.mounted()[at]
	of := &p.by[from.Mirror]
	if len(of.enabled.of) == 0 {
		return nil
	}
	to := of.enabled.of[0]
	batch := to.index.NewBatch()
	defer batch.Close()
	for i := range s.council.Map().Slots {
		slot := cluster.Slot(i)
		if epoch := from.written.load(slot); epoch > to.written.load(slot) {
			batch.MarkSlot(slot, cluster.Epoch(epoch))
			to.written.raise(slot, epoch)
		}
	}
	return batch.Commit(true)
}

// moveAway moves the keys that do not belong on a mountpath to where they do, and returns how many were left.
func (s *Store) moveAway(ctx context.Context, from *mountpath, job *xact.Run) (left int, err error) {
	if err := from.err(); err != nil {
		return 1, nil //nolint:nilerr // it waits until the map says what has become of the mountpath
	}
	groups := make(map[*mountpath]*move)
	finish := func(g *move) error {
		n, err := g.carryOut(ctx, job)
		left += n
		delete(groups, g.to)
		return err
	}
	seen := make(map[ident]bool)
	for _, kind := range meta.RecordKinds() {
		for r, err := range from.index.Scan(ctx, meta.Range{Kind: kind, AllBuckets: true, NoData: true}).All() {
			if err != nil {
				return left, err
			}
			n := copyName(r.Bucket, r.Key)
			to := s.placing().belongs(s, n)
			if to == from || seen[n.ident()] {
				continue
			}
			if to.writeErr() != nil || s.unsure.of(n.ident()) != nil {
				left++
				continue
			}
			seen[n.ident()] = true
			g := groups[to]
			if g == nil {
				g = &move{store: s, from: from, to: to, copied: make(map[disk.Place]disk.Place)}
				groups[to] = g
			}
			g.keys = append(g.keys, n)
			g.bytes += bytesOf(r)
			if len(g.keys) >= moveBatch || g.bytes >= moveCopy {
				if err := finish(g); err != nil {
					return left, err
				}
				clear(seen)
			}
		}
	}
	for _, g := range groups {
		if err := finish(g); err != nil {
			return left, err
		}
	}
	return left, nil
}

// move is some keys that change their mountpath together.
type move struct {
	store    *Store
	from, to *mountpath
	keys     []name
	bytes    int64
	copied   map[disk.Place]disk.Place // bytes of from, and where they lie at to
	used     map[disk.Place]bool       // of copied: a record at to names them
}

// moved is one key that is being moved.
type moved struct {
	id      ident
	shard   *shard
	records []*meta.Record
	places  []disk.Place // at from, of the records
}

// carryOut copies the bytes, then moves the records under the locks of the keys. Keys that are in use are left for later.
func (g *move) carryOut(ctx context.Context, job *xact.Run) (left int, err error) {
	begun := time.Now()
	g.used = make(map[disk.Place]bool)
	defer func() {
		for old, place := range g.copied {
			if !g.used[old] {
				g.to.disk.Free(place)
			}
		}
		pause(ctx, min(time.Since(begun), time.Second)) // as much time for everybody else
	}()
	for _, n := range g.keys {
		if err := g.copyBytes(ctx, n); err != nil && !errors.Is(err, disk.ErrGone) {
			return 0, err
		}
	}
	var locked []*moved
	defer func() {
		for _, k := range locked {
			k.shard.copies.Unlock()
			k.shard.lock.Unlock()
		}
	}()
	for _, n := range g.keys {
		k, err := g.lock(ctx, n)
		if err != nil {
			return 0, err
		}
		if k == nil {
			left++
			continue
		}
		locked = append(locked, k)
	}
	if len(locked) == 0 {
		return left, nil
	}
	for tries := 0; !g.store.moves.TryLock(); tries++ {
		if tries >= movePatience || !pause(ctx, time.Millisecond) {
			return len(g.keys), nil
		}
	}
	defer g.store.moves.Unlock()
	if err := g.commit(locked); err != nil {
		return 0, err
	}
	for _, k := range locked {
		for _, r := range k.records {
			job.Add(1, bytesOf(r))
		}
	}
	return left, nil
}

// copyBytes copies what the records of a key name, as far as it is not copied yet. Nobody waits meanwhile.
func (g *move) copyBytes(ctx context.Context, n name) error {
	inside := g.store.readers.enter()
	records, err := g.from.index.KeyRecords(ctx, n.bucket.ID, n.key)
	var pinned []disk.Place
	for _, r := range records {
		for i := range datumCount(r) {
			if place := *datumOf(r, i).place; place.Kind != disk.Nowhere && !place.IsLost() {
				g.from.pin(place)
				pinned = append(pinned, place)
			}
		}
	}
	g.store.readers.leave(inside)
	defer func() {
		for _, place := range pinned {
			g.from.unpin(place)
		}
	}()
	if err != nil {
		return err
	}
	for _, r := range records {
		for i := range datumCount(r) {
			place := *datumOf(r, i).place
			if _, known := g.copied[place]; known || place.Kind == disk.Nowhere || place.IsLost() {
				continue
			}
			fresh, err := transfer(ctx, g.from.disk, g.to.disk, place, r)
			if cluster.Is(err, cluster.KindCorrupt) && !errors.Is(err, disk.ErrGone) {
				g.store.damaged(g.from, r.Ref, i, place, err) // the key waits until it is repaired
				return nil
			}
			if err != nil {
				return err
			}
			g.copied[place] = fresh
		}
	}
	return nil
}

// lock takes the locks of a key, and returns its records with places at to; nil when the key is in use, or has changed since its
// bytes were copied, or has gone.
func (g *move) lock(ctx context.Context, n name) (k *moved, err error) {
	k = &moved{id: n.ident(), shard: g.store.shard(n.bucket.ID, n.key)}
	if !k.shard.lock.TryLock() {
		return nil, nil
	}
	defer func() {
		if k == nil || err != nil {
			g.store.shard(n.bucket.ID, n.key).lock.Unlock()
		}
	}()
	if !k.shard.copies.TryLock() {
		return nil, nil
	}
	defer func() {
		if k == nil || err != nil {
			g.store.shard(n.bucket.ID, n.key).copies.Unlock()
		}
	}()
	if g.from.cleaner.removes(k.id) || g.store.placing().belongs(g.store, n) != g.to {
		return nil, nil // the cleaner works without locks: what it is about to remove must not be put back
	}
	if there, err := g.to.index.HasKey(n.bucket.ID, n.key); there || err != nil {
		return nil, errors.Join(err, fmt.Errorf("a key of bucket %d is on two mountpaths, %s and %s: %q", n.bucket.ID, g.from.ID, g.to.ID, n.key))
	}
	if k.records, err = g.from.index.KeyRecords(ctx, n.bucket.ID, n.key); err != nil || len(k.records) == 0 {
		return nil, err
	}
	for _, r := range k.records {
		r.Parts = slices.Clone(r.Parts)
		for i := range datumCount(r) {
			place := datumOf(r, i).place
			if place.Kind == disk.Nowhere || place.IsLost() {
				continue
			}
			fresh, ok := g.copied[*place]
			if !ok {
				return nil, nil
			}
			k.places = append(k.places, *place)
			*place = fresh
		}
	}
	return k, nil
}

// commit moves the records. A crash leaves the keys at from, or at both with a note at to, or at to: what is at from counts as long as
// it is there, see finishMoves. So does an error: which of the three it is shows only when both can be read again.
func (g *move) commit(keys []*moved) error {
	arrive, depart, end := g.to.index.NewBatch(), g.from.index.NewBatch(), g.to.index.NewBatch()
	defer arrive.Close()
	defer depart.Close()
	defer end.Close()
	for _, k := range keys {
		for _, r := range k.records {
			doubt, err := g.from.index.InDoubt(r.Ref)
			if err != nil {
				return err
			}
			depart.Delete(&meta.Record{Ref: r.Ref, Fields: meta.Fields{HasManifest: true}})
			depart.Settle(r.Ref)
			r.HasManifest = false
			if err := arrive.Put(r); err != nil {
				return err
			}
			if doubt {
				arrive.Doubt(r.Ref)
			}
		}
		slot := cluster.SlotOf(k.id.bucket, k.id.key)
		if epoch := g.from.written.load(slot); epoch > g.to.written.load(slot) {
			arrive.MarkSlot(slot, cluster.Epoch(epoch))
		}
		depart.ForgetAccess(k.id.bucket, k.id.key)
		arrive.SetNote(moveNote(k.id), []byte(g.from.ID))
		end.DeleteNote(moveNote(k.id))
	}
	if at := g.store.o.moving; at != nil {
		at("before")
	}
	if err := arrive.Commit(true); err != nil {
		return err
	}
	for _, k := range keys {
		slot := cluster.SlotOf(k.id.bucket, k.id.key)
		g.to.written.raise(slot, g.from.written.load(slot))
		for _, place := range k.places {
			g.used[place] = true
		}
		if at, err := g.from.index.Accessed(k.id.bucket, k.id.key); err == nil && !at.IsZero() {
			g.to.index.Touch(k.id.bucket, k.id.key, at)
		}
	}
	if at := g.store.o.moving; at != nil {
		at("between")
	}
	if err := depart.Commit(true); err != nil {
		for _, k := range keys {
			g.store.unsure.add(k.id, g.from)
		}
		return err
	}
	for _, k := range keys {
		k.shard.relocate(k.id, g.to, g.copied)
		g.from.cleaner.add(cleanup{id: k.id, free: k.places})
	}
	return end.Commit(false)
}

// moveNote is the name of the note that a key may be on two mountpaths.
func moveNote(id ident) string {
	return fmt.Sprintf("%s%016x/%s", movedNote, uint64(id.bucket), id.key)
}

// relocate lets abandoned writes name the places to which their bytes were moved.
func (h *shard) relocate(id ident, to *mountpath, moved map[disk.Place]disk.Place) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for of, m := range h.marks {
		if of.bucket != id.bucket || of.key != id.key || len(m.dead) == 0 {
			continue
		}
		m.dead = slices.Clone(m.dead)
		for i := range m.dead {
			var places []disk.Place
			for _, place := range m.dead[i].places {
				if fresh, ok := moved[place]; ok {
					places = append(places, fresh)
				}
			}
			m.dead[i].m, m.dead[i].places = to, places
		}
		h.marks[of] = m
	}
}

// finishMoves decides about keys whose move a crash interrupted, before anything is served: what is where the key came from counts,
// and the rest goes. Where that cannot be read, nobody knows, and the key is unavailable.
func finishMoves(all []*mountpath, events Events) (unknown map[ident]*mountpath) {
	unknown = make(map[ident]*mountpath)
	for _, to := range all {
		if to.err() != nil {
			continue
		}
		if err := to.finishMoves(all, unknown); err != nil {
			to.fail(fmt.Errorf("keys that were being moved: %w", err), events)
		}
	}
	return unknown
}

func (m *mountpath) finishMoves(all []*mountpath, unknown map[ident]*mountpath) error {
	ctx := context.Background()
	for note, err := range m.index.Notes(ctx, movedNote) {
		if err != nil {
			return err
		}
		id, err := parseMoveNote(note)
		if err != nil {
			return err
		}
		origin, err := m.index.Note(note)
		if err != nil {
			return err
		}
		batch := m.index.NewBatch()
		from := slices.IndexFunc(all, func(mp *mountpath) bool { return string(mp.ID) == string(origin) })
		if from >= 0 {
			if all[from].err() != nil {
				unknown[id] = all[from]
				batch.Close()
				continue
			}
			there, err := all[from].index.HasKey(id.bucket, id.key)
			if err == nil && there {
				err = m.deleteKey(ctx, batch, id)
			}
			if err != nil {
				batch.Close()
				return err
			}
		}
		batch.DeleteNote(note)
		if err := batch.Commit(true); err != nil {
			return err
		}
	}
	return nil
}

func parseMoveNote(note string) (ident, error) {
	bucket, key, ok := strings.Cut(strings.TrimPrefix(note, movedNote), "/")
	n, err := strconv.ParseUint(bucket, 16, 64)
	if err != nil || !ok {
		return ident{}, fmt.Errorf("note %q names no key", note)
	}
	return ident{bucket: cluster.BucketID(n), key: cluster.ObjectKey(key)}, nil
}

// deleteKey adds the removal of every record of a key to a batch. Its bytes are orphans of an earlier boot.
func (m *mountpath) deleteKey(ctx context.Context, batch *meta.Batch, id ident) error {
	records, err := m.index.KeyRecords(ctx, id.bucket, id.key)
	for _, r := range records {
		batch.Delete(&meta.Record{Ref: r.Ref, Fields: meta.Fields{HasManifest: true}})
		batch.Settle(r.Ref)
	}
	return err
}
