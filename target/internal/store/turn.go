package store

import (
	"fmt"
	"slices"
	"sync"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// turn is a writer's turn at a key: it holds the key's lock and has passed every check. What it reads is the visible state.
type turn struct {
	store  *Store
	op     string
	name   name
	bucket cluster.BucketEntry // that name has: as the request came with it, but configured as it is when the turn has begun
	id     ident
	slot   cluster.Slot
	call   Call
	epoch  cluster.Epoch      // of the generations that it takes: that of its call, until the slot gets another while it runs
	last   cluster.Generation // that it has taken
	m      *mountpath
	shard  *shard
	claim  *claim      // of the attempt itself, in a turn that looks for earlier ones
	cohort *cohort     // nil when the store is closing
	bypass bool        // a retention in governance mode does not hold the turn back
	part   *sync.Mutex // of one part, held while shard.lock is shared; nil when that is held exclusively
}

func (s *Store) newTurn(op string, n name, call Call) *turn {
	return &turn{
		store: s, op: op, name: n, id: n.ident(), slot: n.slot(), call: call, epoch: call.Epoch,
		m: s.mountpath(n), shard: s.shard(n.bucket.ID, n.key),
	}
}

// begin waits for the lock of a key and then checks everything that may refuse the attempt. end must follow when there is no
// error.
func (s *Store) begin(op string, n name, call Call) (*turn, error) {
	t := s.newTurn(op, n, call)
	t.shard.lock.Lock()
	return t.begin(t.dropAbandoned)
}

// begin makes the checks of a turn whose locks are held; on an error it ends the turn.
func (t *turn) begin(last func() error) (*turn, error) {
	var err error
	if t.cohort, err = t.store.enter(t.store.commits, t.op, t.name); err == nil {
		t.m = t.store.mountpath(t.name) // inside the gate: it stays there while the lock is held
		t.bucket = *t.name.bucket
		t.bucket.Props, err = t.store.admit(t.op, t.name, t.slot, t.call, t.m)
		t.name.bucket = &t.bucket
	}
	if err == nil {
		err = last()
	}
	if err != nil {
		t.end()
		return nil, err
	}
	return t, nil
}

// end lets the next one have its turn.
func (t *turn) end() {
	if t.cohort != nil {
		t.store.commits.leave(t.cohort)
	}
	if t.part != nil {
		t.part.Unlock()
		t.shard.lock.RUnlock()
		return
	}
	t.shard.lock.Unlock()
}

// admit returns how the bucket is configured when a write to a key may go on.
func (s *Store) admit(op string, n name, slot cluster.Slot, call Call, m *mountpath) (cluster.BucketProps, error) {
	if err := s.check(op, n, slot, call.Epoch); err != nil {
		return cluster.BucketProps{}, err
	}
	props, err := s.authority.Writable(n.bucket.ID)
	if err != nil {
		return props, n.wrap(op, cluster.KindOther, err)
	}
	if err := m.err(); err != nil {
		return props, n.wrap(op, cluster.KindUnavailable, err)
	}
	return props, nil
}

func (t *turn) fail(kind cluster.Kind, message string) error { return t.name.fail(t.op, kind, message) }

func (t *turn) wrap(err error) error { return t.name.wrap(t.op, cluster.KindOther, err) }

// visible returns the record of the object, or nil, and the tombstone when that is the newest. A turn reads as readers do: the
// cleaner, which takes no locks, may be at work at the same key.
func (t *turn) visible(get getter) (current, tombstone *meta.Record, err error) {
	inside := t.store.readers.enter()
	defer t.store.readers.leave(inside)
	current, tombstone, err = t.store.visibleNow(t.m, t.name, get)
	return current, tombstone, t.readFailed(err)
}

// readFailed wraps an error of reading; nil of nil.
func (t *turn) readFailed(err error) error { return t.store.readFailed(t.op, t.name, t.m, err) }

// change is what a turn commits: records of one new generation, and what they replace.
type change struct {
	put      []*meta.Record // get the generation and the request
	replaces *meta.Record   // the visible object or tombstone that is no longer so; nil for none
	remove   []*meta.Record // records to remove from the index once the change is visible, besides replaces
	free     []disk.Place   // bytes to free once the change is visible
	forget   bool           // the access time goes, too
	note     *meta.Record   // the version that was changed or removed, when what is visible then does not tell how the request ended
	body     *body          // whose bytes the change takes over; nil for none
	bodies   []*body        // the same, of each part of the record
	beside   []*meta.Record // true whatever becomes of the change; they get the generation, too
	telling  telling        // what somebody is told of it

	ownRequests bool // the records of put name the requests that made them

	from  []meta.Ref     // by record of put: whose bytes it names; a zero Ref, or none, for new bytes
	parts []*meta.Record // by number: the first record names their bytes
	part  bool           // the change is one part of an upload: nobody can look at it before it is visible
}

// commit makes a change durable, hidden; then visible. It reads as the protocol does: prepare at every holder, which is this
// one; check that nothing was lost meanwhile; make visible; let the cleaner remove what was replaced. commitShared does it
// where there are others.
func (t *turn) commit(c *change) error {
	t.announce(c)
	t.noteRequest(c)
	if t.isShared() {
		return t.commitShared(c, nil)
	}
	generation, err := t.generation(c)
	if err != nil {
		return err
	}
	batch, refs, _, err := t.batch(c, generation)
	if err != nil {
		return err
	}
	defer batch.Close()
	c.keep(true)
	t.shard.prepare(t.id, generation)
	if err := t.prepare(batch); err != nil {
		if t.goesOn() {
			return t.commitShared(c, refs)
		}
		t.shard.abandon(t.id, t.m, refs, c.places())
		return err
	}
	t.shard.reveal(t.id, c.deletes())
	t.remember(0, outcome{wrote: true})
	t.m.cleaner.add(c.cleanup(t.id, generation, refs))
	for _, r := range c.put {
		t.store.bury(t.m, r)
	}
	t.store.announced(c)
	return nil
}

// generation takes the next one, which must be newer than what it replaces.
func (t *turn) generation(c *change) (cluster.Generation, error) {
	g := cluster.Generation{Epoch: t.epoch, Counter: t.store.counter.Add(1)}
	t.store.history.note(t.store.o.Clock(), g.Counter, t.store.o.RetryWindow)
	if c.replaces != nil && !c.replaces.Generation.Less(g) {
		return g, t.fail(cluster.KindUnavailable, fmt.Sprintf("generation %s does not follow %s", g, c.replaces.Generation))
	}
	return g, nil
}

// batch collects the records, their in-doubt keys, the request that is replaced and the mark of the slot.
func (t *turn) batch(c *change, g cluster.Generation) (b *meta.Batch, doubts []meta.Ref, beside []*meta.Record, err error) {
	batch := t.m.index.NewBatch()
	refs := make([]meta.Ref, 0, len(c.put))
	for _, r := range c.put {
		r.Generation = g
		switch {
		case c.ownRequests:
		case c.note != nil && r.Kind != meta.Notice && r.Kind != meta.Replaced:
			r.Request = "" // the note tells how it ended, and no other record of an object
		default:
			r.Request = t.call.Request
		}
		if err := batch.Put(r); err != nil {
			batch.Close()
			return nil, nil, nil, t.wrap(err)
		}
		batch.Doubt(r.Ref)
		refs = append(refs, r.Ref)
		t.forgetLater(r)
	}
	kept, err := t.keepReplaced(batch, c.replaces, g)
	if err == nil {
		err = t.keepBeside(batch, c.beside, g)
	}
	if err != nil {
		batch.Close()
		return nil, nil, nil, err
	}
	beside = c.beside
	if kept != nil {
		beside = append(slices.Clip(beside), kept)
	}
	t.markSlot(batch)
	return batch, refs, beside, nil
}

// markSlot notes the first write of a slot in an epoch. A slot that has the mark never leaves this node, and never comes
// back under an old epoch.
func (t *turn) markSlot(batch *meta.Batch) {
	if t.m.written.load(t.slot) != uint64(t.epoch) {
		batch.MarkSlot(t.slot, t.epoch)
	}
}

// noteRequest adds the outcome of the turn's own request to the records of a change that leaves nothing else to tell it. So it is in
// doubt, goes forward and is dropped with the change.
func (t *turn) noteRequest(c *change) {
	if c.note != nil && t.call.Request != "" {
		c.add(t.outcomeOf(t.call.Request, c.note), meta.Ref{})
	}
}

// keepReplaced keeps the request of a visible record that is being replaced, while a gateway may still repeat it (R5). Had
// it no place of its own, a key that is written all the time would carry all those requests in every record. A version that is
// not current has no request to be kept: the one in its record was another version's, or is noted already.
func (t *turn) keepReplaced(batch *meta.Batch, replaced *meta.Record, by cluster.Generation) (*meta.Record, error) {
	if replaced == nil || replaced.Kind == meta.Noncurrent || replaced.Request == "" || t.store.expired(t.slot, t.epoch, replaced.Generation) {
		return nil, nil
	}
	kept := t.outcomeOf(replaced.Request, replaced)
	kept.Generation = by
	if err := batch.Put(kept); err != nil {
		return nil, t.wrap(err)
	}
	t.forgetLater(kept)
	return kept, nil
}

// outcomeOf is the record of a request that was carried out, and of what it made or removed.
func (t *turn) outcomeOf(request cluster.RequestID, of *meta.Record) *meta.Record {
	kept := &meta.Record{Ref: t.name.ref(meta.Replaced)}
	kept.Upload = cluster.UploadID(request)
	kept.Size, kept.ETag, kept.Counter = of.Size, of.ETag, of.Counter
	kept.Modified, kept.Sums, kept.Composite = of.Modified, of.Sums, of.Composite
	kept.Number, kept.Null, kept.Marker, kept.Encryption = of.Number, of.Null, of.Marker, of.Encryption
	return kept
}

// forgetLater has a record that is about to be put removed when its time is over, if it tells an outcome.
func (t *turn) forgetLater(r *meta.Record) {
	if r.Kind == meta.Replaced {
		t.store.sweeper.expire(t.m, r.Ref, t.store.o.Clock()+t.store.o.RetryWindow)
	}
}

// keepBeside puts records into the batch that are true whatever becomes of the change: replaced requests, and notices of earlier
// changes.
func (t *turn) keepBeside(batch *meta.Batch, beside []*meta.Record, g cluster.Generation) error {
	for _, r := range beside {
		r.Generation = g
		if r.Kind == meta.Replaced {
			r.Request = "" // that is how it differs from the note of the change itself, whose request is here, too
		}
		if err := batch.Put(r); err != nil {
			return t.wrap(err)
		}
		t.forgetLater(r)
	}
	return nil
}

// prepare makes a batch durable at every holder, and checks that this node may still answer under the epoch. On an error the
// outcome is unknown.
func (t *turn) prepare(batch *meta.Batch) error {
	if err := t.store.commit(batch); err != nil {
		return t.name.wrap(t.op, cluster.KindUnavailable, err)
	}
	t.m.written.raise(t.slot, uint64(t.epoch))
	return t.store.checkOwner(t.op, t.name, t.slot, t.epoch)
}

// goesOn reports whether a commit that was prepared may be made again under another epoch: the slot is still owned here, and
// only its holders changed.
func (t *turn) goesOn() bool {
	if t.store.council == nil || t.m.err() != nil {
		return false
	}
	epoch, err := t.store.authority.Owns(t.slot)
	return err == nil && epoch != t.epoch
}

// all are the bodies whose bytes the change takes over.
func (c *change) all() []*body {
	if c.body == nil {
		return c.bodies
	}
	return []*body{c.body}
}

// keep says whether the change has taken over the bytes of its bodies.
func (c *change) keep(kept bool) {
	for _, b := range c.all() {
		b.kept = kept
	}
}

// places are the bytes that only this change names.
func (c *change) places() []disk.Place {
	var places []disk.Place
	for _, b := range c.all() {
		places = append(places, b.place)
	}
	return places
}

// cleanup is what is left to do once the change is visible.
func (c *change) cleanup(id ident, g cluster.Generation, refs []meta.Ref) cleanup {
	job := cleanup{id: id, settle: refs, remove: c.remove, free: c.free, touched: c.forget}
	if c.replaces != nil {
		job.remove = append(job.remove, c.replaces)
	}
	if c.deletes() {
		job.floor = g
	}
	return job
}

// deletes reports whether the change is a tombstone of an object.
func (c *change) deletes() bool { return c.put[0].Kind == meta.Tombstone }

// dropAbandoned removes what earlier turns at this key prepared and had to give up. They were never visible, and never will
// be in this epoch.
func (t *turn) dropAbandoned() error {
	dead := t.shard.abandoned(t.id)
	if len(dead) == 0 {
		return nil
	}
	batch := t.m.index.NewBatch()
	defer batch.Close()
	var places []disk.Place
	for _, a := range dead {
		for _, ref := range a.refs {
			batch.Delete(&meta.Record{Ref: ref, Fields: meta.Fields{HasManifest: true}})
			batch.Settle(ref)
		}
		if a.m == t.m { // else the mountpath has failed, and has left the map: places of it are others here
			places = append(places, a.places...)
		}
	}
	if err := batch.Commit(true); err != nil {
		return t.name.wrap(t.op, cluster.KindUnavailable, err)
	}
	t.shard.dropped(t.id)
	for _, a := range dead {
		t.shard.decided(a.refs...)
	}
	if t.isShared() {
		for _, a := range dead {
			t.store.tell(t.store.council.Map().Slot(t.slot).Holders, Decision{Refs: a.refs, Drop: true})
		}
	}
	t.m.cleaner.add(cleanup{id: t.id, free: places})
	return nil
}
