package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// Bad bytes are repaired from another holder. Its record of the same generation names the same bytes (R10), and the sum in the
// place, which is made of the bytes alone, proves it. They get a new place here, which the records of the key name from then on
// in the place of the bad one, under the same generation.

const (
	repairWait  = 10 * time.Second // of a reader, for the repair of what it reads
	repairAtGet = 64 << 20         // what is larger is repaired behind the reader's back
)

// errNoOtherCopy: what is damaged here is nowhere else.
var errNoOtherCopy = errors.New("no other holder has it")

// repair makes one attempt at a damage. It returns nil when there is none any more.
func (s *Store) repair(ctx context.Context, d *damage) error {
	d.work.Lock()
	defer d.work.Unlock()
	if s.damages.hasEnded(d) {
		return nil
	}
	repaired, err := s.repairOnce(ctx, d)
	if err != nil {
		s.damages.postpone(d, err, s.o.Clock())
		return err
	}
	s.damages.end(d, repaired)
	if repaired && s.o.Events.Repaired != nil {
		s.o.Events.Repaired(d.m.ID, d.ref.Bucket, d.ref.Key)
	}
	return nil
}

// repairOnce reports whether it repaired anything: what is damaged may be gone, or whole after all.
func (s *Store) repairOnce(ctx context.Context, d *damage) (bool, error) {
	if err := d.m.err(); err != nil {
		return false, err
	}
	if d.place.Kind == disk.Nowhere {
		return false, s.recheckRecord(ctx, d)
	}
	record, err := s.stillDamaged(ctx, d)
	if err != nil || record == nil {
		return false, err
	}
	if d.m.isBehind(d.ref) {
		return false, nil // it goes; if it stays after all, who reads it finds the damage again
	}
	fresh, err := s.refetch(ctx, d.m, record, d.piece, d.place)
	if err != nil {
		return false, err
	}
	n := copyName(d.ref.Bucket, d.ref.Key)
	replaced, err := s.replacePlace(ctx, n, d.m, d.place, fresh)
	if !replaced {
		d.m.free(fresh)
	}
	return replaced, err
}

// recheckRecord returns nil when a record that could not be read is readable again, or gone.
func (s *Store) recheckRecord(ctx context.Context, d *damage) error {
	if d.ref.Kind == 0 { // a part of the index
		_, err := d.m.index.Verify(ctx, nil, 1)
		return errors.Join(d.err, err)
	}
	_, err := d.m.index.Exact(d.ref)
	return err
}

// stillDamaged returns the record that names the damaged place, or nil when there is none, or the bytes are whole.
func (s *Store) stillDamaged(ctx context.Context, d *damage) (*meta.Record, error) {
	record, bad, err := s.verifyNamed(ctx, d.m, d.ref, d.piece, d.place)
	if err != nil || bad == nil {
		return nil, err
	}
	return record, nil
}

// verifyNamed reads the whole of a place, when a record still names it. bad says what is wrong with the bytes; err, that nobody
// knows. The place is pinned while it is read: the record may go meanwhile.
func (s *Store) verifyNamed(ctx context.Context, m *mountpath, ref meta.Ref, piece int, place disk.Place) (record *meta.Record, bad, err error) {
	inside := s.readers.enter()
	record, err = m.index.Exact(ref)
	named := false
	if err == nil && record != nil {
		var now datum
		now, err = m.datum(record, piece)
		if named = err == nil && *now.place == place; named {
			m.pin(place)
		}
	}
	s.readers.leave(inside)
	if !named {
		return nil, nil, err
	}
	defer m.unpin(place)
	_, err = m.verifyRange(ctx, place, 0, place.Length)
	if errors.Is(err, disk.ErrGone) || cluster.Is(err, cluster.KindCorrupt) {
		return record, err, nil
	}
	return record, nil, err
}

// sources returns the nodes that may have the bytes of a record: holders in sync, the owner first, then the others.
func (s *Store) sourcesOf(m *cluster.Map, slot cluster.Slot) []cluster.NodeID {
	var inSync, others []cluster.NodeID
	for _, h := range m.Slot(slot).Holders {
		switch {
		case h.Node == s.o.Node:
		case h.InSync:
			inSync = append(inSync, h.Node)
		default:
			others = append(others, h.Node)
		}
	}
	return slices.Concat(inSync, others)
}

// refetch brings the bytes of a piece here from elsewhere, into a new place, and proves that they are the ones that belong there.
func (s *Store) refetch(ctx context.Context, m *mountpath, r *meta.Record, piece int, want disk.Place) (disk.Place, error) {
	if s.council == nil && m.mirror == nil {
		return disk.Place{}, errNoOtherCopy
	}
	if err := m.writeErr(); err != nil {
		return disk.Place{}, err
	}
	if place, err := m.fromSide(ctx, r, want); err == nil || s.council == nil || cluster.Is(err, cluster.KindNoSpace) {
		return place, err
	}
	now := s.council.Map()
	if d, err := m.datum(r, piece); err != nil {
		return disk.Place{}, err
	} else if *d.coding != nil {
		return s.rebuildSame(ctx, now, m, r, piece, want)
	}
	nodes := s.sourcesOf(now, r.Slot())
	if len(nodes) == 0 {
		return disk.Place{}, errNoOtherCopy
	}
	var failures []error
	certain := true // every holder has said that it has not the bytes
	for _, node := range nodes {
		place, err := s.fetchFrom(ctx, now, node, m, r, piece, want)
		if err == nil {
			return place, nil
		}
		if cluster.Is(err, cluster.KindNoSpace) || ctx.Err() != nil {
			return disk.Place{}, err
		}
		certain = certain && (cluster.Is(err, cluster.KindCorrupt) || cluster.Is(err, cluster.KindObjectNotFound))
		failures = append(failures, fmt.Errorf("%s: %w", node, err))
	}
	err := errors.Join(failures...)
	if certain {
		err = fmt.Errorf("%w: %w", errNoOtherCopy, err)
	}
	return disk.Place{}, err
}

// fetchFrom is refetch from one node.
func (s *Store) fetchFrom(ctx context.Context, now *cluster.Map, node cluster.NodeID, m *mountpath, r *meta.Record, piece int, want disk.Place) (disk.Place, error) {
	in, err := s.peers.Fetch(ctx, node, &FetchRequest{Sender: s.sender(now, node), Ref: r.Ref, Piece: piece})
	if err != nil {
		return disk.Place{}, err
	}
	defer in.Close()
	w, err := m.disk.Create(ctx, want.Length)
	if err != nil {
		return disk.Place{}, err
	}
	defer w.Abort()
	if _, err := io.Copy(w, in); err != nil {
		return disk.Place{}, err
	}
	footer, err := meta.EncodeFooter(r)
	if err != nil {
		return disk.Place{}, err
	}
	place, err := w.Seal(ctx, footer)
	if err != nil {
		return disk.Place{}, err
	}
	return m.proved(r, place, want)
}

// proved returns a place when it has the bytes that are wanted, and frees it when it has others.
func (m *mountpath) proved(r *meta.Record, place, want disk.Place) (disk.Place, error) {
	if place.Sum != want.Sum {
		m.free(place)
		return disk.Place{}, cluster.Fail("target/store.refetch", r.Ref.String(), cluster.KindCorrupt, "the holder has other bytes under the same generation")
	}
	return place, nil
}

// rebuildSame is refetch of a shard.
func (s *Store) rebuildSame(ctx context.Context, now *cluster.Map, m *mountpath, r *meta.Record, piece int, want disk.Place) (disk.Place, error) {
	place, err := s.rebuild(ctx, now, m, r, piece)
	if err != nil || want.IsLost() { // it was never here: no sum of it is known
		return place, err
	}
	return m.proved(r, place, want)
}

// rebuild brings the shard here that the coding of a piece names: from another holder of the same one, or made of others.
// KindObjectNotFound says that the owner does not have the record any more, errNoOtherCopy that too few shards are left.
func (s *Store) rebuild(ctx context.Context, in *cluster.Map, m *mountpath, r *meta.Record, piece int) (disk.Place, error) {
	d, err := m.datum(r, piece)
	if err != nil {
		return disk.Place{}, err
	}
	coding := *d.coding
	code, err := s.codes.of(coding)
	if err != nil {
		return disk.Place{}, err
	}
	from := &spread{
		store: s, ctx: ctx, m: in, holders: in.Slot(r.Slot()).Holders, records: []datumRef{{r.Ref, piece}}, key: copyName(r.Bucket, r.Key), code: code,
	}
	body, err := code.OpenShard(d.size, coding.Shard, from.open)
	if err != nil {
		return disk.Place{}, from.failure(err)
	}
	defer body.Close()
	w, err := m.disk.Create(ctx, code.ShardLength(d.size))
	if err != nil {
		return disk.Place{}, err
	}
	defer w.Abort()
	if _, err := io.Copy(w, body); err != nil {
		return disk.Place{}, from.failure(err)
	}
	footer, err := meta.EncodeFooter(r)
	if err != nil {
		return disk.Place{}, err
	}
	return w.Seal(ctx, footer)
}

// replacePlace lets all records of a key that name a place name another one with the same bytes, by one synced batch. It
// reports false when no record names the place any more. A crash leaves either place unnamed, and the disk collects it.
func (s *Store) replacePlace(ctx context.Context, n name, m *mountpath, old, fresh disk.Place) (bool, error) {
	for {
		epoch, err := s.authority.Owns(n.slot())
		if err != nil && s.council != nil {
			return s.replaceAsHolder(n, m, old, fresh)
		}
		if err != nil {
			return false, err
		}
		replaced, cleaned, err := s.replaceAsOwner(n, m, epoch, old, fresh)
		if cleaned || err != nil {
			return replaced, err
		}
		if err := m.cleaner.drain(ctx); err != nil {
			return false, err
		}
	}
}

// replaceAsOwner is replacePlace in a turn at the key: nobody changes the object or its uploads meanwhile. The cleaner works
// without locks, and a record that it is about to remove must not be put back: cleaned is false when it has such.
func (s *Store) replaceAsOwner(n name, m *mountpath, epoch cluster.Epoch, old, fresh disk.Place) (replaced, cleaned bool, err error) {
	t := s.newTurn("target/store.repair", n, Call{Epoch: epoch})
	t.shard.lock.Lock()
	if t, err = t.begin(t.dropAbandoned); err != nil {
		return false, false, err
	}
	defer t.end()
	if m.cleaner.removes(n.ident()) {
		return false, false, nil
	}
	replaced, err = m.renamePlace(n, old, fresh)
	return replaced, true, err
}

// replaceAsHolder is replacePlace in a slot that another node owns.
func (s *Store) replaceAsHolder(n name, m *mountpath, old, fresh disk.Place) (bool, error) {
	const op = "target/store.repair"
	inside, err := s.enter(s.commits, op, n)
	if err != nil {
		return false, err
	}
	defer s.commits.leave(inside)
	shard := s.shard(n.bucket.ID, n.key)
	shard.copies.Lock()
	defer shard.copies.Unlock()
	if _, holds := s.holding(s.council.Map(), n.slot()); !holds {
		return false, n.fail(op, cluster.KindUnavailable, "the slot is not held here now, or has just come here")
	}
	return m.renamePlace(n, old, fresh)
}

// renamePlace changes the records of a key; its lock, or that of its copies, is held.
func (m *mountpath) renamePlace(n name, old, fresh disk.Place) (bool, error) {
	records, err := m.naming(n, old)
	if err != nil || len(records) == 0 {
		return false, err
	}
	batch := m.index.NewBatch()
	defer batch.Close()
	for _, r := range records {
		for i := range datumCount(r) {
			if p := datumOf(r, i).place; *p == old {
				*p = fresh
			}
		}
		if err := batch.Put(r); err != nil {
			return false, err
		}
	}
	if err := batch.Commit(true); err != nil {
		return false, err
	}
	m.cleaner.add(cleanup{id: n.ident(), free: []disk.Place{old}})
	return true, nil
}

// naming returns the records of a key that name a place, with all their parts.
func (m *mountpath) naming(n name, place disk.Place) ([]*meta.Record, error) {
	all, err := m.index.Generations(n.ref(meta.Current))
	if err != nil {
		return nil, err
	}
	for _, kind := range []meta.Kind{meta.Noncurrent, meta.UploadPart} {
		for r, err := range m.index.Scan(context.Background(), meta.Range{Kind: kind, Bucket: n.bucket.ID, Key: n.key}).All() {
			if err != nil {
				return nil, err
			}
			all = append(all, r)
		}
	}
	var naming []*meta.Record
	for _, r := range all {
		if r.Parts, err = m.index.Parts(r); err != nil {
			return nil, err
		}
		for i := range datumCount(r) {
			if *datumOf(r, i).place == place {
				naming = append(naming, r)
				break
			}
		}
	}
	return naming, nil
}

// mend repairs what a reader has found to be bad, and has the piece go on from where the bytes lie then. On an error the piece
// cannot be read now: KindUnavailable when it may be later.
func (o *Object) mend(p *piece, bad error) error {
	const op = "target/store.mend"
	s := o.store
	if o.m.isElsewhere(s.o.Events) {
		return o.m.err()
	}
	s.o.Events.corrupt(o.m.ID, o.name.bucket.ID, o.name.key, bad)
	d := s.damaged(o.m, o.ref, p.number, *p.place, bad)
	if d == nil || p.mended {
		return bad
	}
	p.mended = true
	if p.place.Length > repairAtGet && len(s.elsewhereInSync(o.ref)) > 0 {
		return o.name.wrap(op, cluster.KindUnavailable, fmt.Errorf("it is being repaired: %w", bad))
	}
	ctx, cancel := context.WithTimeout(s.life, repairWait)
	defer cancel()
	err := s.repair(ctx, d)
	switch {
	case errors.Is(err, errNoOtherCopy):
		return bad
	case err != nil:
		return cluster.E(op, o.name.String(), cluster.KindUnavailable, fmt.Errorf("it cannot be repaired now: %s: %w", err.Error(), bad))
	}
	return o.reopen(p)
}

// reopen goes on with a piece at the place that its record names now.
func (o *Object) reopen(p *piece) error {
	inside := o.store.readers.enter()
	defer o.store.readers.leave(inside)
	place, _, _, err := o.m.piece(o.ref, p.number)
	if err != nil {
		return err
	}
	if place.Length != p.place.Length || place.Sum != p.place.Sum {
		return o.name.fail("target/store.mend", cluster.KindUnavailable, "the object was replaced while damaged bytes of it were read")
	}
	o.leave(p)
	o.m.pin(place)
	*p.place, p.reader, p.pinned = place, nil, true
	return nil
}
