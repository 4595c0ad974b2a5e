package store

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io"

	"github.com/zeebo/xxh3"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// What an owner gives to a holder that catches up: the records that are visible, page by page, and the bytes they name. It is
// bound to the epochs of the slots: a page that was asked for under others is refused.

const (
	pullRecords = 256     // on one page
	pullBytes   = 4 << 20 // of inline data and parts on one page, about
)

// pulledKinds are the kinds of records that a holder must have. The ends of uploads come last: they take what is left of
// parts with them.
var pulledKinds = [...]meta.Kind{meta.Current, meta.Tombstone, meta.Noncurrent, meta.NoncurrentTombstone, meta.Replaced, meta.Upload, meta.UploadPart, meta.UploadTombstone, meta.Notice}

// endangered reports whether one more loss would lose what is in a slot, though its layout can stand some.
func endangered(l cluster.Layout, holders []cluster.Holder) bool {
	return l.Width() > l.Needed() && l.InSync(holders) <= l.Needed()
}

func anySlot(cluster.Layout, []cluster.Holder) bool { return true }

// catchUpSlots returns the slots of an owner in which a node catches up, of those for which only is true, and a digest of them
// with their epochs.
func catchUpSlots(m *cluster.Map, joiner, owner cluster.NodeID, only func(cluster.Layout, []cluster.Holder) bool) (*cluster.SlotSet, uint64) {
	set := &cluster.SlotSet{}
	digest := xxh3.New()
	var text [12]byte
	for i := range m.Slots {
		st := &m.Slots[i]
		if st.Owner() != owner {
			continue
		}
		if h, ok := st.Holder(joiner); !ok || h.InSync || !only(m.Layouts[cluster.Slot(i).Layout()], st.Holders) {
			continue
		}
		set.Add(cluster.Slot(i))
		binary.BigEndian.PutUint32(text[:], uint32(i))
		binary.BigEndian.PutUint64(text[4:], uint64(st.Epoch))
		_, _ = digest.Write(text[:]) // never fails
	}
	return set, digest.Sum64()
}

// gives returns the slots that a joiner asks about, when this node serves them all under the epochs that the joiner knows.
func (s *Store) gives(from *Sender, digest uint64) (*cluster.SlotSet, Standing) {
	m := s.council.Map()
	st := Standing{Version: m.Version, Refused: true}
	set, now := catchUpSlots(m, from.Node, s.o.Node, anySlot)
	if now != digest {
		set, now = catchUpSlots(m, from.Node, s.o.Node, endangered)
	}
	if now != digest || from.Incarnation != s.o.Incarnation || s.authority.CheckLease() != nil {
		return nil, st
	}
	for slot := range set.All() {
		if s.slots.serving.load(slot) != uint64(m.Slots[slot].Epoch) {
			return nil, st
		}
	}
	st.Refused = false
	return set, st
}

// Pull returns a page of visible records of the slots in which the sender catches up.
func (s *Store) Pull(ctx context.Context, r *PullRequest) (*PullReply, error) {
	const op = "target/store.Pull"
	set, st := s.gives(&r.Sender, r.Digest)
	reply := &PullReply{Standing: st}
	if st.Refused {
		return reply, nil
	}
	if r.Cursor == (Cursor{}) {
		// A commit that found all holders of the epoch before may be about to become visible (R3).
		if err := s.commits.wait(ctx); err != nil {
			return nil, cluster.E(op, "", cluster.KindUnavailable, err)
		}
	}
	inside, err := s.enter(s.readers, op, name{bucket: &cluster.BucketEntry{}})
	if err != nil {
		return nil, err
	}
	defer s.readers.leave(inside)
	defer s.hold()()
	page := &page{store: s, slots: set, cursor: r.Cursor, placing: s.placing()}
	if err := page.fill(ctx); err != nil {
		return nil, cluster.E(op, "", cluster.KindOther, err)
	}
	if _, st := s.gives(&r.Sender, r.Digest); st.Refused {
		return &PullReply{Standing: st}, nil
	}
	reply.Records, reply.Next, reply.Done = page.records, page.cursor, page.done
	if reply.Passed, err = page.passed(); err != nil {
		return nil, cluster.E(op, "", cluster.KindOther, err)
	}
	return reply, nil
}

// page is a page of records that is being collected.
type page struct {
	store   *Store
	placing *placing
	slots   *cluster.SlotSet
	cursor  Cursor
	records []*meta.Record
	bytes   int
	done    bool
}

// fill collects records from the cursor on, and moves it. It goes through all mountpaths at once, in the order of the keys: a key that
// changes its mountpath between two pages is not passed over.
func (p *page) fill(ctx context.Context) error {
	for p.cursor.Kind < len(pulledKinds) {
		full, err := p.scan(ctx)
		if err != nil || full {
			return err
		}
		p.cursor = Cursor{Kind: p.cursor.Kind + 1}
	}
	p.done = true
	return nil
}

// passed estimates which part of the records lies before the cursor.
func (p *page) passed() (float64, error) {
	var all, left uint64
	for _, m := range p.store.mounted() {
		if !p.store.looksAt(p.placing, m, p.slots.Has) || m.err() != nil {
			continue
		}
		for i, kind := range pulledKinds {
			r := meta.Range{Kind: kind, AllBuckets: true}
			whole, err := m.index.Size(r)
			if err != nil {
				return 0, err
			}
			rest := whole
			switch {
			case i < p.cursor.Kind:
				rest = 0
			case i == p.cursor.Kind && p.cursor.After != nil:
				r.After = p.cursor.After
				if rest, err = m.index.Size(r); err != nil {
					return 0, err
				}
			}
			all, left = all+whole, left+min(rest, whole)
		}
	}
	if all == 0 {
		return 0, nil
	}
	return 1 - float64(left)/float64(all), nil
}

// scan collects records of one kind, and reports whether the page is full.
func (p *page) scan(ctx context.Context) (bool, error) {
	if p.cursor.Kind < 0 {
		return false, cluster.Fail("", "", cluster.KindInvalid, "the cursor is not one of ours")
	}
	var heads []*head
	defer func() {
		for _, h := range heads {
			h.scan.Close()
		}
	}()
	for _, m := range p.store.mounted() {
		if !p.store.looksAt(p.placing, m, p.slots.Has) {
			continue
		}
		if err := m.err(); err != nil {
			return false, err
		}
		h := &head{m: m, scan: m.index.Scan(ctx, meta.Range{
			Kind: pulledKinds[p.cursor.Kind], AllBuckets: true, After: p.cursor.After, Hidden: func(ref meta.Ref) bool {
				return !p.slots.Has(ref.Slot()) || !p.store.matters(p.placing, m, ref.Slot()) || p.store.notShown(m, ref)
			},
		})}
		heads = append(heads, h)
		var err error
		if h.record, err = h.scan.Next(); err != nil {
			return false, err
		}
	}
	for {
		h := firstKey(heads)
		if h == nil {
			return false, nil
		}
		ref := h.record.Ref
		if err := p.add(h.m, h.record); err != nil {
			return false, err
		}
		p.cursor.After = &ref
		if len(p.records) >= pullRecords || p.bytes >= pullBytes {
			return true, nil
		}
		var err error
		if h.record, err = h.scan.Next(); err != nil {
			return false, err
		}
	}
}

// firstKey returns the head whose key comes first in the index, or nil when all are at their end. Each key is on one mountpath.
func firstKey(heads []*head) *head {
	var first *head
	for _, h := range heads {
		if h.record != nil && (first == nil || cmp.Or(cmp.Compare(h.record.Bucket, first.record.Bucket), cmp.Compare(h.record.Key, first.record.Key)) < 0) {
			first = h
		}
	}
	return first
}

// notShown reports whether a record of this node's slots is not visible, or not any more.
func (s *Store) notShown(m *mountpath, ref meta.Ref) bool {
	switch ref.Kind {
	case meta.Upload:
		return s.uploadHidden(m, ref)
	case meta.Noncurrent, meta.NoncurrentTombstone, meta.Replaced, meta.UploadPart, meta.UploadTombstone, meta.Notice:
		return s.shard(ref.Bucket, ref.Key).prepared(ident{bucket: ref.Bucket, key: ref.Key}, ref.Generation)
	}
	return s.objectHidden(m, ref)
}

// add takes a record in, as it is visible now, with all its parts.
func (p *page) add(m *mountpath, r *meta.Record) error {
	shown, err := p.store.shows(m, r.Ref)
	if err != nil || !shown {
		return err
	}
	if r.Parts, err = m.index.Parts(r); err != nil {
		return err
	}
	r.HasManifest = false
	p.bytes += len(r.Inline)
	for i := range r.Parts {
		p.bytes += 128 + len(r.Parts[i].Inline)
	}
	p.records = append(p.records, r)
	return nil
}

// shows reports whether a record that was not hidden a moment ago is what is visible of its line.
func (s *Store) shows(m *mountpath, ref meta.Ref) (bool, error) {
	shard := s.shard(ref.Bucket, ref.Key)
	if ref.Kind == meta.UploadPart {
		shard.lock.Lock() // a part that is being prepared has no mark: nobody looks at parts without this lock
		defer shard.lock.Unlock()
	}
	line, err := m.line(ref)
	if err != nil {
		return false, err
	}
	for _, r := range line {
		if !s.notShown(m, r.Ref) {
			return r.Ref == ref, nil
		}
	}
	return false, nil
}

// Compare tells which of some records are visible here.
func (s *Store) Compare(_ context.Context, r *CompareRequest) (*CompareReply, error) {
	const op = "target/store.Compare"
	inside, err := s.enter(s.readers, op, name{bucket: &cluster.BucketEntry{}})
	if err != nil {
		return nil, err
	}
	defer s.readers.leave(inside)
	defer s.hold()()
	set, st := s.gives(&r.Sender, r.Digest)
	if st.Refused {
		return &CompareReply{Standing: st}, nil
	}
	if len(r.Refs) > maxPerMessage {
		return nil, cluster.Fail(op, "", cluster.KindInvalid, "too many records in one message")
	}
	reply := &CompareReply{Standing: st, Visible: make([]bool, len(r.Refs))}
	for i, ref := range r.Refs {
		m := s.mountpath(copyName(ref.Bucket, ref.Key))
		if err := m.err(); err != nil {
			return nil, cluster.E(op, ref.String(), cluster.KindUnavailable, err)
		}
		if !set.Has(ref.Slot()) {
			return nil, cluster.Fail(op, ref.String(), cluster.KindInvalid, "the slot is not one that the sender catches up in")
		}
		if reply.Visible[i], err = s.shows(m, ref); err != nil {
			return nil, cluster.E(op, ref.String(), cluster.KindOther, err)
		}
	}
	if _, st := s.gives(&r.Sender, r.Digest); st.Refused {
		return &CompareReply{Standing: st}, nil
	}
	return reply, nil
}

// Fetch opens the bytes of a piece of a record.
func (s *Store) Fetch(ctx context.Context, r *FetchRequest) (io.ReadCloser, error) {
	const op = "target/store.Fetch"
	n := copyName(r.Ref.Bucket, r.Ref.Key)
	inside, err := s.enter(s.readers, op, n)
	if err != nil {
		return nil, err
	}
	defer s.readers.leave(inside)
	if r.Incarnation != s.o.Incarnation {
		return nil, n.fail(op, cluster.KindUnavailable, "the message is for an earlier process of this node")
	}
	defer s.hold()()
	m := s.mountpath(n)
	if err := m.err(); err != nil {
		return nil, n.wrap(op, cluster.KindUnavailable, err)
	}
	place, coding, found, err := m.piece(r.Ref, r.Piece)
	if err != nil {
		return nil, n.wrap(op, cluster.KindOther, err)
	}
	if !found {
		return nil, n.fail(op, cluster.KindObjectNotFound, "the generation was replaced")
	}
	offset, length := int64(0), place.Length
	if r.Range != nil {
		offset, length = r.Range.Offset, r.Range.Length
	}
	if place.Kind == disk.Nowhere || (coding != nil) != (r.Range != nil) || coding != nil && coding.Shard != r.Range.Shard {
		return nil, n.fail(op, cluster.KindNotFound, "these bytes are not here")
	}
	if offset < 0 || length < 0 || offset+length > place.Length {
		return nil, n.fail(op, cluster.KindInvalid, "the range lies outside of the bytes")
	}
	if s.damages.knows(m, place) {
		return nil, n.fail(op, cluster.KindCorrupt, "the bytes are damaged here, too")
	}
	reader, err := m.disk.Open(place)
	if err != nil {
		if errors.Is(err, disk.ErrGone) { // inside the gate: it is lost
			s.damaged(m, r.Ref, r.Piece, place, err)
			return nil, n.wrap(op, cluster.KindCorrupt, err)
		}
		return nil, n.wrap(op, cluster.KindOther, err)
	}
	damaged := func(err error) { s.damaged(m, r.Ref, r.Piece, place, err) }
	var paced func(int64)
	if r.Range == nil { // a range is what a read of an object in shards wants, now
		paced = func(n int64) { s.yield(ctx, n) }
	}
	return &pieceReader{SectionReader: io.NewSectionReader(reader, offset, length), reader: reader, damaged: damaged, pace: paced}, nil
}

// pieceReader reads the bytes of one place, and tells when they are damaged.
type pieceReader struct {
	pace func(int64) // waits until so many bytes more may go; nil: at once
	*io.SectionReader
	reader  *disk.Reader
	damaged func(error)
}

func (p *pieceReader) Read(b []byte) (int, error) {
	n, err := p.SectionReader.Read(b)
	if p.pace != nil && n > 0 {
		p.pace(int64(n))
	}
	if cluster.Is(err, cluster.KindCorrupt) {
		p.damaged(err)
	}
	return n, err
}

func (p *pieceReader) Close() error { return p.reader.Close() }
