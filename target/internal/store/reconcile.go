package store

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/aisle-store/aisle/target/internal/meta"
	"github.com/aisle-store/aisle/xact"
	"github.com/aisle-store/aisle/xact/pace"
)

const (
	reconcilePause   = 200 * time.Millisecond // before the map is looked at again
	reconcileRetry   = time.Second            // after a failure
	reconcileFetches = 4                      // records at a time, without limits
	reconcileWait    = 30 * time.Second       // for one page
)

// reconcile catches up with the owners of slots, whenever the map says that there is something to catch up with, until the
// context ends.
func (s *Store) reconcile(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.background.reconciling:
		}
		if s.behind() == 0 {
			continue
		}
		job := s.o.Jobs.Start(xact.Rebalance, "slots in which this node catches up")
		job.End(s.catchUpAll(ctx, job))
	}
}

// catchUpAll catches up in one slot after the other until there is none left, or the context ends.
func (s *Store) catchUpAll(ctx context.Context, job *xact.Run) error {
	total := 0
	for owners := s.ahead(); len(owners) > 0; owners = s.ahead() {
		behind := s.behind()
		total = max(total, behind)
		job.Slots(total-behind, total)
		passed := func(slots float64) { job.Passed((float64(total-behind) + slots) / float64(total)) }
		wait := reconcilePause
		for _, owner := range owners {
			err := s.catchUpWith(ctx, owner, job, passed)
			if err != nil && !errors.Is(err, errMoved) && ctx.Err() == nil {
				s.o.Events.background("", "catch up with "+string(owner), err)
				job.Trouble(err)
				wait = reconcileRetry
			} else {
				job.Trouble(nil)
			}
		}
		if !pause(ctx, wait) {
			return ctx.Err()
		}
	}
	job.Slots(total, total)
	return nil
}

// behind counts the slots in which this node catches up.
func (s *Store) behind() int {
	m, n := s.council.Map(), 0
	for i := range m.Slots {
		if h, ok := m.Slots[i].Holder(s.o.Node); ok && !h.InSync {
			n++
		}
	}
	return n
}

// ahead returns the owners of the slots in which this node catches up: of those that are endangered, while there are any.
func (s *Store) ahead() []cluster.NodeID {
	m := s.council.Map()
	if !s.namedIn(m) {
		return nil
	}
	var urgent, others []cluster.NodeID
	for i := range m.Slots {
		st := &m.Slots[i]
		if h, ok := st.Holder(s.o.Node); !ok || h.InSync {
			continue
		}
		of := &others
		if endangered(m.Layouts[cluster.Slot(i).Layout()], st.Holders) {
			of = &urgent
		}
		if !slices.Contains(*of, st.Owner()) {
			*of = append(*of, st.Owner())
		}
	}
	if len(urgent) > 0 {
		return urgent
	}
	return others
}

// commit makes a batch of a request durable, and tells the pacer how long that took.
func (s *Store) commit(batch *meta.Batch) error {
	began := time.Now()
	err := batch.Commit(true)
	s.pacer.Observe(pace.Write, time.Since(began))
	return err
}

// Pace returns how many bytes per second may come and go now because somebody catches up.
func (s *Store) Pace() int64 { return s.pacer.Rate() }

// objectCost is what moving an object costs beside its bytes, in bytes.
const objectCost = 16 << 10

// yield waits until more bytes may move because somebody catches up.
func (s *Store) yield(ctx context.Context, bytes int64) bool {
	wait := s.pacer.Take(s.o.Clock(), bytes)
	return wait <= 0 || pause(ctx, wait)
}

// catchUp is what this node does to be in sync in the slots of one owner. It holds for their epochs: when one changes it ends,
// and the next begins anew, which moves only what differs.
type catchUp struct {
	store  *Store
	m      *cluster.Map
	owner  cluster.NodeID
	slots  *cluster.SlotSet
	digest uint64
	job    *xact.Run
	passed func(slots float64) // tells of how many of the slots the records have come, by an estimate
}

// catchUpWith takes over what an owner shows, drops what it does not, and reports that this node is in sync.
func (s *Store) catchUpWith(ctx context.Context, owner cluster.NodeID, job *xact.Run, passed func(slots float64)) error {
	c := &catchUp{store: s, m: s.council.Map(), owner: owner, job: job, passed: passed}
	if c.slots, c.digest = catchUpSlots(c.m, s.o.Node, owner, endangered); c.slots.Len() == 0 {
		c.slots, c.digest = catchUpSlots(c.m, s.o.Node, owner, anySlot)
	}
	if c.slots.Len() == 0 {
		return nil
	}
	for _, mp := range s.used(s.placingBy(c.m)) {
		if err := mp.writeErr(); err != nil {
			return err // in sync is who has everything
		}
	}
	s.slots.foreign.Store(true)
	if err := c.pull(ctx); err != nil {
		return err
	}
	if err := c.compare(ctx); err != nil {
		return err
	}
	if err := c.sync(ctx); err != nil {
		return err
	}
	byEpoch := make(map[cluster.Epoch]*cluster.SlotSet)
	for slot := range c.slots.All() {
		epoch := c.m.Slots[slot].Epoch
		if byEpoch[epoch] == nil {
			byEpoch[epoch] = &cluster.SlotSet{}
		}
		byEpoch[epoch].Add(slot)
	}
	return s.council.Synced(ctx, byEpoch)
}

// pull takes over every record that the owner shows and this node lacks.
func (c *catchUp) pull(ctx context.Context) error {
	r := &PullRequest{Sender: c.store.sender(c.m, c.owner), Digest: c.digest}
	for {
		page, err := c.page(ctx, r)
		if err != nil {
			return err
		}
		work, inside := errgroup.WithContext(ctx)
		work.SetLimit(c.store.pacer.Parallel())
		for _, record := range page.Records {
			if !c.slots.Has(record.Slot()) {
				return cluster.Fail("target/store.pull", record.Ref.String(), cluster.KindOther, "the owner sent a record of another slot")
			}
			work.Go(func() error { return c.take(inside, record) })
		}
		if err := work.Wait(); err != nil {
			return err
		}
		c.passed(page.Passed * float64(c.slots.Len()))
		if page.Done {
			return nil
		}
		r.Cursor = page.Next
	}
}

func (c *catchUp) page(ctx context.Context, r *PullRequest) (*PullReply, error) {
	ctx, cancel := context.WithTimeout(ctx, reconcileWait)
	defer cancel()
	page, err := c.store.peers.Pull(ctx, c.owner, r)
	if err == nil && page.Refused {
		err = errMoved
	}
	return page, err
}

// check returns nil while a record's slot has the epoch of this catching up. Under the lock of the key's copies it holds until
// the lock is left.
func (c *catchUp) check(ref meta.Ref) (cluster.Holder, error) {
	slot := ref.Slot()
	now := c.store.council.Map().Slot(slot)
	h, ok := now.Holder(c.store.o.Node)
	if !ok || now.Epoch != c.m.Slots[slot].Epoch || now.Owner() != c.owner {
		return h, errMoved
	}
	return h, nil
}

// take takes over one record, unless it is here or was overtaken.
func (c *catchUp) take(ctx context.Context, r *meta.Record) error {
	s := c.store
	n := copyName(r.Bucket, r.Key)
	m, needed, err := c.settleOrNeed(n, r)
	if err != nil || !needed {
		return err
	}
	if !s.yield(ctx, objectCost+bytesOf(r)) {
		return ctx.Err()
	}
	h, _ := c.m.Slots[r.Slot()].Holder(s.o.Node)
	fetched, err := s.bring(ctx, c.m, m, r, h.Shard)
	taken := false
	defer func() {
		for _, p := range fetched {
			if !taken {
				m.free(p)
			}
		}
	}()
	if cluster.Is(err, cluster.KindObjectNotFound) {
		return nil // replaced meanwhile: the write that did it was sent here
	}
	if err != nil {
		return err
	}
	inside, err := s.enter(s.commits, "target/store.take", n)
	if err != nil {
		return err
	}
	defer s.commits.leave(inside)
	shard := s.shard(n.bucket.ID, n.key)
	shard.copies.Lock()
	defer shard.copies.Unlock()
	if s.mountpath(n) != m {
		return errMoved // to another mountpath meanwhile: the next time it is fetched there
	}
	needed, err = c.needs(m, r)
	if err != nil || !needed {
		return err
	}
	if taken, err = c.insert(m, r); taken {
		c.job.Add(1, bytesOf(r))
		c.noteLost(m, r)
	}
	return err
}

// bytesOf counts the data that a record came with.
func bytesOf(r *meta.Record) int64 {
	n := int64(len(r.Inline))
	for i := range datumCount(r) {
		n += datumOf(r, i).place.Length
	}
	return n
}

// noteLost notes the pieces of a record whose bytes no holder has whole.
func (c *catchUp) noteLost(m *mountpath, r *meta.Record) {
	for i := range datumCount(r) {
		if place := datumOf(r, i).place; place.IsLost() {
			c.store.damaged(m, r.Ref, i, *place, errNoOtherCopy)
		}
	}
}

// settleOrNeed reports whether a record must be fetched. When it is here, it is visible from now on.
func (c *catchUp) settleOrNeed(n name, r *meta.Record) (*mountpath, bool, error) {
	shard := c.store.shard(r.Bucket, r.Key)
	shard.copies.Lock()
	defer shard.copies.Unlock()
	m := c.store.mountpath(n)
	if err := m.err(); err != nil {
		return m, false, err
	}
	needed, err := c.needs(m, r)
	return m, needed, err
}

// needs is settleOrNeed with the lock held. What stands in the way of a record is only what is visible, and was written since
// this node was admitted: older records that are higher than the owner's were never acknowledged.
func (c *catchUp) needs(m *mountpath, r *meta.Record) (bool, error) {
	h, err := c.check(r.Ref)
	if err != nil {
		return false, err
	}
	line, err := m.line(r.Ref)
	if err != nil {
		return false, err
	}
	if r.Kind == meta.UploadPart {
		end := r.Ref
		end.Kind = meta.UploadTombstone
		ends, err := m.index.Generations(end)
		if err != nil {
			return false, err
		}
		line = append(line, ends...)
	}
	for _, have := range line {
		if have.Ref == r.Ref {
			if here, err := m.keeps(have, h.Shard); err != nil || !here {
				return true, err
			}
			return false, m.follow(&Decision{Refs: []meta.Ref{r.Ref}})
		}
		if have.Generation.Epoch < h.Admitted || have.Generation.Less(r.Generation) && have.Kind != meta.UploadTombstone {
			continue
		}
		doubt, err := m.index.InDoubt(have.Ref)
		if err != nil || !doubt {
			return false, err
		}
	}
	return true, nil
}

// bring brings here what this node, as the holder of a shard, must have of the bytes that a record names, and makes the record
// name it. KindObjectNotFound says that the owner does not have the record any more.
func (s *Store) bring(ctx context.Context, in *cluster.Map, m *mountpath, r *meta.Record, shard uint8) (places []disk.Place, err error) {
	for i := range datumCount(r) {
		d := datumOf(r, i)
		if d.isEmpty() {
			continue
		}
		length := d.as(shard)
		if length == 0 {
			*d.place = disk.Place{}
			continue
		}
		if *d.place, err = s.bringPiece(ctx, in, m, r, i, length); err != nil {
			return places, err
		}
		places = append(places, *d.place)
	}
	return places, nil
}

// bringPiece brings one piece here, of that length. What is damaged at the owner comes from another holder; and what is whole
// nowhere is lost here, too, until somebody has it again: one damaged object must not keep all others from having their copies.
func (s *Store) bringPiece(ctx context.Context, in *cluster.Map, m *mountpath, r *meta.Record, piece int, length int64) (disk.Place, error) {
	d := datumOf(r, piece)
	want := *d.place
	if *d.coding != nil {
		place, err := s.rebuild(ctx, in, m, r, piece)
		if errors.Is(err, errNoOtherCopy) {
			name := fmt.Sprintf("%s %d", r.Ref, piece) // the sum is not known, and places of others are not this one
			return disk.Lost(disk.Place{Length: length, Sum: crc32.Checksum([]byte(name), castagnoli)}), nil
		}
		return place, err
	}
	place, err := s.fetchFrom(ctx, in, in.Slot(r.Slot()).Owner(), m, r, piece, want)
	if !cluster.Is(err, cluster.KindCorrupt) {
		return place, err
	}
	if place, err = s.refetch(ctx, m, r, piece, want); !errors.Is(err, errNoOtherCopy) {
		return place, err
	}
	return disk.Lost(want), nil
}

// insert makes a record visible here: not in doubt. What it replaced goes. It is not synced: sync is, before this node says
// that it has everything.
func (c *catchUp) insert(m *mountpath, r *meta.Record) (bool, error) {
	before, err := m.exact([]meta.Ref{r.Ref}) // with other shards
	if err != nil {
		return false, err
	}
	free, err := m.unnamed(r.Ref, before, nil)
	if err != nil {
		return false, err
	}
	batch := m.index.NewBatch()
	defer batch.Close()
	if err := batch.Put(r); err != nil {
		return false, err
	}
	slot := r.Slot()
	epoch := c.m.Slots[slot].Epoch
	if m.written.load(slot) < uint64(epoch) {
		batch.MarkSlot(slot, epoch)
	}
	if err := batch.Commit(false); err != nil {
		return false, err
	}
	m.written.raise(slot, uint64(epoch))
	if len(free) > 0 {
		m.cleaner.add(cleanup{free: free})
	}
	return true, m.follow(&Decision{Refs: []meta.Ref{r.Ref}})
}

// compare drops what this node has from before its admission and the owner does not show.
func (c *catchUp) compare(ctx context.Context) error {
	defer c.store.hold()()
	for _, m := range c.store.used(c.store.placing()) { // those of now: a record may be on one that was attached since this began
		if err := m.err(); err != nil {
			return err
		}
		for _, kind := range pulledKinds {
			if err := c.compareKind(ctx, m, kind); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *catchUp) compareKind(ctx context.Context, m *mountpath, kind meta.Kind) error {
	var refs []meta.Ref
	for r, err := range m.index.Scan(ctx, meta.Range{Kind: kind, AllBuckets: true, NoData: true}).All() {
		if err != nil {
			return err
		}
		slot := r.Slot()
		if !c.slots.Has(slot) {
			continue
		}
		if h, _ := c.m.Slots[slot].Holder(c.store.o.Node); r.Generation.Epoch >= h.Admitted {
			continue
		}
		if refs = append(refs, r.Ref); len(refs) == pullRecords {
			if err := c.compareSome(ctx, m, refs); err != nil {
				return err
			}
			refs = refs[:0]
		}
	}
	return c.compareSome(ctx, m, refs)
}

func (c *catchUp) compareSome(ctx context.Context, m *mountpath, refs []meta.Ref) error {
	if len(refs) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, reconcileWait)
	defer cancel()
	reply, err := c.store.peers.Compare(ctx, c.owner, &CompareRequest{Sender: c.store.sender(c.m, c.owner), Digest: c.digest, Refs: refs})
	switch {
	case err != nil:
		return err
	case reply.Refused:
		return errMoved
	case len(reply.Visible) != len(refs):
		return cluster.Fail("target/store.compare", string(c.owner), cluster.KindOther, "the owner answered about other records")
	}
	for i, ref := range refs {
		if reply.Visible[i] {
			continue
		}
		if err := c.drop(m, ref); err != nil {
			return err
		}
	}
	return nil
}

// drop removes a record of an epoch before this node's admission.
func (c *catchUp) drop(m *mountpath, ref meta.Ref) error {
	shard := c.store.shard(ref.Bucket, ref.Key)
	shard.copies.Lock()
	defer shard.copies.Unlock()
	if _, err := c.check(ref); err != nil {
		return err
	}
	return m.discard(ref)
}

// discard removes one record, visible or in doubt. The lock of the key's copies must be held.
func (m *mountpath) discard(ref meta.Ref) error {
	gone, err := m.exact([]meta.Ref{ref})
	if err != nil {
		return err
	}
	free, err := m.unnamed(ref, gone, nil)
	if err != nil {
		return err
	}
	return m.carryOut(cleanup{id: ident{bucket: ref.Bucket, key: ref.Key}, settle: []meta.Ref{ref}, remove: gone, free: free})
}

// sync makes durable all that was taken over.
func (c *catchUp) sync(ctx context.Context) error {
	for _, m := range c.store.used(c.store.placing()) {
		if err := m.cleaner.drain(ctx); err != nil {
			return err
		}
		for slot := range c.slots.All() {
			batch := m.index.NewBatch()
			batch.MarkSlot(slot, max(c.m.Slots[slot].Epoch, cluster.Epoch(m.written.load(slot))))
			if err := batch.Commit(true); err != nil {
				return err
			}
			break
		}
		if err := m.writeErr(); err != nil {
			return err
		}
	}
	return nil
}
