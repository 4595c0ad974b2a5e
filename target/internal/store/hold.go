package store

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// What this target does as a holder of slots that another one owns. Nothing of it is shown to anybody: readers are refused
// because the slots are not served here, lists pass over them. shard.copies is the lock of a key's copies: it is never held
// while another node is asked, so two targets that hold copies for each other cannot wait for each other.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maxPerMessage bounds what one message may be about.
const maxPerMessage = 1024

// staged are bytes that are durable here, for a record that is still to come.
type staged struct {
	mu    sync.Mutex
	last  Token                 // guarded by mu
	bytes map[Token]stagedBytes // guarded by mu
}

type stagedBytes struct {
	m     *mountpath
	place disk.Place
	until time.Duration // by the store's clock: nobody asked for them by then
}

func (g *staged) put(b stagedBytes) Token {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last++
	if g.bytes == nil {
		g.bytes = make(map[Token]stagedBytes)
	}
	g.bytes[g.last] = b
	return g.last
}

// take hands staged bytes to the caller, who gives them back or lets a record name them.
func (g *staged) take(t Token) (stagedBytes, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	b, ok := g.bytes[t]
	delete(g.bytes, t)
	return b, ok
}

func (g *staged) giveBack(t Token, b stagedBytes) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.bytes[t] = b
}

// expire frees what nobody asked for.
func (g *staged) expire(now time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for t, b := range g.bytes {
		if b.until < now {
			b.m.free(b.place)
			delete(g.bytes, t)
		}
	}
}

// Stage receives bytes that a record will name, and makes them durable. When no record does, they are freed after a while;
// a restart makes them orphans of an earlier boot.
func (s *Store) Stage(ctx context.Context, r *StageRequest) (Staged, error) {
	const op = "target/store.Stage"
	n := copyName(r.Bucket, r.Key)
	inside, err := s.enter(s.operations, op, n)
	if err != nil {
		return Staged{}, err
	}
	defer s.operations.leave(inside)
	if r.Incarnation != s.o.Incarnation {
		return Staged{}, n.fail(op, cluster.KindUnavailable, "the bytes are for an earlier process of this node")
	}
	m := s.mountpath(n)
	if err := m.writeErr(); err != nil {
		return Staged{}, n.wrap(op, cluster.KindUnavailable, err)
	}
	w, err := m.disk.Create(ctx, r.Size)
	if err != nil {
		return Staged{}, n.wrap(op, cluster.KindOther, err)
	}
	defer w.Abort()
	sum := &summed{r: r.Body}
	if _, err := io.Copy(w, sum); err != nil {
		return Staged{}, n.wrap(op, cluster.KindOther, err)
	}
	footer, err := r.Footer()
	if err != nil {
		return Staged{}, n.wrap(op, cluster.KindOther, err)
	}
	size := w.Size()
	place, err := w.Seal(ctx, footer)
	if err != nil {
		return Staged{}, n.wrap(op, cluster.KindOther, err)
	}
	token := s.staged.put(stagedBytes{m: m, place: place, until: s.o.Clock() + stageLife})
	return Staged{Token: token, Length: size, Sum: sum.crc}, nil
}

// stageLife is how long staged bytes wait for their record: longer than a write may take after its body has ended.
const stageLife = time.Minute

// summed reads and sums up.
type summed struct {
	r   io.Reader
	crc uint32
}

func (s *summed) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.crc = crc32.Update(s.crc, castagnoli, p[:n])
	return n, err
}

func copyName(bucket cluster.BucketID, key cluster.ObjectKey) name {
	return name{bucket: &cluster.BucketEntry{ID: bucket}, key: key}
}

// holding returns what the applied map says of this node as a holder of a slot that another one owns.
func (s *Store) holding(m *cluster.Map, slot cluster.Slot) (cluster.Holder, bool) {
	if !s.namedIn(m) {
		return cluster.Holder{}, false
	}
	for i, h := range m.Slot(slot).Holders {
		if h.Node == s.o.Node {
			return h, i > 0
		}
	}
	return cluster.Holder{}, false
}

// standing says whether a message about a slot is from its owner, under the epoch of now, to this process as a holder, and which
// process the owner is. Under the lock of the key's copies it holds until the lock is left: whoever settles the slot later waits for the commits in
// flight.
func (s *Store) standing(from *Sender, slot cluster.Slot, epoch cluster.Epoch) (cluster.Holder, cluster.Incarnation, Standing) {
	m := s.council.Map()
	owner, now := m.Owner(slot)
	h, holds := s.holding(m, slot)
	fits := holds && owner == from.Node && now == epoch && from.Incarnation == s.o.Incarnation
	n, _ := m.Node(owner)
	return h, n.Incarnation, Standing{Refused: !fits, Version: m.Version}
}

// Prepare makes the records of one generation durable and hidden, with places of this node's own.
func (s *Store) Prepare(_ context.Context, r *PrepareRequest) (*PrepareReply, error) {
	const op = "target/store.Prepare"
	if len(r.Records) == 0 {
		return nil, cluster.Fail(op, "", cluster.KindInvalid, "a generation without records")
	}
	n := copyName(r.Records[0].Bucket, r.Records[0].Key)
	if err := r.check(n); err != nil {
		return nil, n.wrap(op, cluster.KindInvalid, err)
	}
	inside, err := s.enter(s.commits, op, n)
	if err != nil {
		return nil, err
	}
	defer s.commits.leave(inside)
	shard := s.shard(n.bucket.ID, n.key)
	shard.copies.Lock()
	defer shard.copies.Unlock()
	h, owner, st := s.standing(&r.Sender, r.Slot, r.Epoch)
	m := s.mountpath(n)
	if st.Refused {
		return &PrepareReply{Standing: st}, nil
	}
	if err := m.writeErr(); err != nil {
		// Soon there is a map that says so. The owner asks again until it has it; for the sake of this one write the node need not be
		// taken out of everything.
		st.Refused = true
		return &PrepareReply{Standing: st}, nil
	}
	if r.Asks {
		return &PrepareReply{}, n.wrapRead(op, m.space(r.Records))
	}
	if known, err := m.knows(r); known || err != nil {
		return &PrepareReply{}, n.wrapRead(op, err)
	}
	if shard.isLate(owner, r) {
		return nil, n.fail(op, cluster.KindConflict, fmt.Sprintf("the turn of generation %s has ended", r.Generation))
	}
	if left, err := m.leftovers(shard, r); err != nil || len(left) > 0 {
		return &PrepareReply{Doubts: left}, n.wrapRead(op, err)
	}
	p := &preparation{store: s, m: m, request: r, shard: h.Shard}
	defer p.end()
	if err := p.find(); err != nil {
		return nil, n.wrap(op, cluster.KindOther, err)
	}
	if len(p.missing) > 0 {
		return &PrepareReply{Missing: p.missing}, nil
	}
	if err := p.commit(); err != nil {
		return nil, n.wrap(op, cluster.KindOther, err)
	}
	return &PrepareReply{}, nil
}

// check refuses a message that is not about one generation of one key of the slot it names.
func (r *PrepareRequest) check(n name) error {
	if n.slot() != r.Slot || r.Generation.Epoch != r.Epoch {
		return fmt.Errorf("generation %s is not of epoch %d of slot %d", r.Generation, r.Epoch, r.Slot)
	}
	for _, x := range slices.Concat(r.Records, r.Beside) {
		if x.Bucket != n.bucket.ID || x.Key != n.key || x.Generation != r.Generation {
			return fmt.Errorf("%s is not of generation %s", x.Ref, r.Generation)
		}
	}
	for _, ref := range slices.Concat(r.Abandon, r.Visible) {
		if ref.Bucket != n.bucket.ID || ref.Key != n.key {
			return fmt.Errorf("%s is of another key", ref)
		}
	}
	return nil
}

// knows reports whether the records of a request are here already, or were overtaken by something visible: then they are
// answered for, and not inserted. The same generation with other content is an error (R10).
func (m *mountpath) knows(r *PrepareRequest) (bool, error) {
	for _, want := range r.Records {
		line, err := m.line(want.Ref)
		if err != nil {
			return false, err
		}
		for _, have := range line {
			if have.Ref == want.Ref {
				return true, m.sameContent(have, want)
			}
			if have.Generation.Less(want.Generation) && have.Kind != meta.UploadTombstone {
				continue
			}
			doubt, err := m.index.InDoubt(have.Ref)
			if err != nil || !doubt {
				return err == nil, err
			}
		}
	}
	return false, nil
}

// line returns the generations of which only the newest counts, newest first: of an object and its tombstones, of an upload
// and its ends, of a part.
func (m *mountpath) line(ref meta.Ref) ([]*meta.Record, error) {
	kinds := kindsOf(ref.Kind)
	refs := make([]meta.Ref, len(kinds))
	for i, kind := range kinds {
		refs[i] = ref
		refs[i].Kind = kind
	}
	all, err := m.index.Generations(refs...)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, newestFirst)
	return all, nil
}

// kindsOf returns the kinds of the records in the lines of one kind.
func kindsOf(kind meta.Kind) []meta.Kind {
	switch kind {
	case meta.Current, meta.Tombstone:
		return []meta.Kind{meta.Current, meta.Tombstone}
	case meta.Noncurrent, meta.NoncurrentTombstone:
		return []meta.Kind{meta.Noncurrent, meta.NoncurrentTombstone}
	case meta.Upload, meta.UploadTombstone:
		return []meta.Kind{meta.Upload, meta.UploadTombstone}
	}
	return []meta.Kind{kind}
}

func newestFirst(a, b *meta.Record) int {
	switch {
	case b.Generation.Less(a.Generation):
		return -1
	case a.Generation.Less(b.Generation):
		return 1
	}
	return int(a.Kind) - int(b.Kind)
}

// sameContent compares two records of one generation, but for the places, which each holder has of its own.
func (m *mountpath) sameContent(have, want *meta.Record) error {
	parts, err := m.index.Parts(have)
	if err != nil {
		return err
	}
	a, b := *have, *want
	a.Parts, a.HasManifest = parts, false
	b.HasManifest = false
	x, err := bare(&a)
	if err != nil {
		return err
	}
	y, err := bare(&b)
	if err != nil {
		return err
	}
	if !bytes.Equal(x, y) || !bytes.Equal(a.Inline, b.Inline) {
		return cluster.Fail("", have.Ref.String(), cluster.KindConflict, "the generation is here with other content")
	}
	return nil
}

// bare encodes a record without its places and shards.
func bare(r *meta.Record) ([]byte, error) {
	c := asHolder(r, 0)
	for i := range datumCount(c) {
		d := datumOf(c, i)
		length := d.place.Length
		if *d.coding != nil {
			length = 0 // some holders have a shard, and others none
		}
		*d.place = disk.Place{Length: length}
	}
	c.PartCount = len(c.Parts)
	return meta.EncodeFooter(c)
}

// preparation is a prepare that is being carried out.
type preparation struct {
	store   *Store
	m       *mountpath
	request *PrepareRequest
	shard   uint8          // that this node keeps
	records []*meta.Record // the request's, with places of this node
	taken   map[Token]stagedBytes
	missing []Piece
	done    bool
}

// find finds this node's bytes for every piece of which it must have some.
func (p *preparation) find() error {
	sources := make(map[Piece]*Source, len(p.request.Sources))
	for i := range p.request.Sources {
		src := &p.request.Sources[i]
		sources[Piece{src.Record, src.Piece}] = src
	}
	for i, r := range p.request.Records {
		mine := *r
		mine.Parts = slices.Clone(r.Parts)
		for j := range datumCount(r) {
			d := datumOf(&mine, j)
			if d.isEmpty() {
				continue
			}
			length := d.as(p.shard)
			*d.place = disk.Place{}
			if length == 0 {
				continue
			}
			var err error
			if *d.place, err = p.findPiece(sources[Piece{i, j}], *d.coding, length); err != nil {
				return err
			}
			if d.place.Kind == disk.Nowhere {
				p.missing = append(p.missing, Piece{i, j})
			}
		}
		p.records = append(p.records, &mine)
	}
	return nil
}

// findPiece returns where a piece of that length lies here, or Nowhere.
func (p *preparation) findPiece(src *Source, coding *meta.Coding, length int64) (disk.Place, error) {
	if src == nil {
		return disk.Place{}, nil
	}
	if b, ok := p.store.staged.take(src.Token); ok {
		if p.taken == nil {
			p.taken = make(map[Token]stagedBytes)
		}
		p.taken[src.Token] = b
		if b.m == p.m && b.place.Length == length {
			return b.place, nil
		}
	}
	if src.From.Kind == 0 {
		return disk.Place{}, nil
	}
	place, shard, _, err := p.m.piece(src.From, src.At)
	if err != nil || place.Length != length || !sameShard(shard, coding) {
		return disk.Place{}, err
	}
	return place, nil
}

// piece returns the place of a piece of a record, which may be Nowhere, and which shard lies there; found says whether there is
// such a record.
func (m *mountpath) piece(ref meta.Ref, at int) (place disk.Place, coding *meta.Coding, found bool, err error) {
	r, err := m.index.Exact(ref)
	if err != nil || r == nil {
		return disk.Place{}, nil, false, err
	}
	d, err := m.datum(r, at)
	if err != nil {
		return disk.Place{}, nil, false, err
	}
	return *d.place, *d.coding, true, nil
}

// commit makes the records durable, in doubt.
func (p *preparation) commit() error {
	r := p.request
	if err := p.m.space(p.records); err != nil {
		return err
	}
	batch := p.m.index.NewBatch()
	defer batch.Close()
	for _, x := range p.records {
		if err := batch.Put(x); err != nil {
			return err
		}
		batch.Doubt(x.Ref)
	}
	for _, x := range r.Beside {
		if err := batch.Put(x); err != nil {
			return err
		}
	}
	abandoned, err := p.m.exact(r.Abandon)
	if err != nil {
		return err
	}
	for _, x := range abandoned {
		batch.Delete(x)
		batch.Settle(x.Ref)
	}
	free, err := p.m.unnamed(r.Records[0].Ref, abandoned, p.records)
	if err != nil {
		return err
	}
	if p.m.written.load(r.Slot) < uint64(r.Epoch) {
		batch.MarkSlot(r.Slot, r.Epoch)
	}
	p.store.slots.foreign.Store(true) // before a list can see it
	shard := p.store.shard(r.Records[0].Bucket, r.Records[0].Key)
	if len(p.records) > 1 || p.records[0].Kind != meta.Upload { // a new upload reaches into no other line
		for _, x := range p.records { // before the batch: an error does not say that it is not durable
			shard.doubt(x.Ref)
		}
	}
	if err := p.store.commit(batch); err != nil {
		return err
	}
	shard.decided(r.Abandon...)
	p.done = true
	p.m.written.raise(r.Slot, uint64(r.Epoch))
	if len(free) > 0 {
		p.m.cleaner.add(cleanup{free: free})
	}
	return nil
}

// space refuses records whose data a full disk has no room for.
func (m *mountpath) space(records []*meta.Record) error {
	if n := inlineIn(records); n > 0 {
		return m.disk.CheckSpace(n)
	}
	return nil
}

// end gives staged bytes back that no record names.
func (p *preparation) end() {
	for token, b := range p.taken {
		if !p.done {
			p.store.staged.giveBack(token, b)
		}
	}
}

// exact returns those of some records that are here.
func (m *mountpath) exact(refs []meta.Ref) ([]*meta.Record, error) {
	var found []*meta.Record
	for _, ref := range refs {
		r, err := m.index.Exact(ref)
		if err != nil {
			return nil, err
		}
		if r != nil {
			found = append(found, r)
		}
	}
	return found, nil
}

// unnamed returns the places that only the removed records of a key name: neither its other records nor those that are
// added do.
func (m *mountpath) unnamed(key meta.Ref, removed, added []*meta.Record) ([]disk.Place, error) {
	gone := make(map[meta.Ref]bool, len(removed))
	var places []disk.Place
	for _, r := range removed {
		gone[r.Ref] = true
		of, err := placesOf(m.index, r)
		if err != nil {
			return nil, err
		}
		places = append(places, of...)
	}
	if len(places) == 0 {
		return nil, nil
	}
	refs := []meta.Ref{{Kind: meta.Current, Bucket: key.Bucket, Key: key.Key}}
	for _, r := range removed { // it may have become a version that is not current, or been one
		refs = append(refs, meta.Ref{Kind: meta.Noncurrent, Bucket: key.Bucket, Key: key.Key, Version: r.KeyVersion()})
	}
	others, err := m.index.Generations(refs...)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(removed, sharesParts) {
		// What was made of parts may be any version by now: those that are not current are looked at, too.
		for _, kind := range []meta.Kind{meta.UploadPart, meta.Noncurrent} {
			for r, err := range m.index.Scan(context.Background(), meta.Range{Kind: kind, Bucket: key.Bucket, Key: key.Key}).All() {
				if err != nil {
					return nil, err
				}
				others = append(others, r)
			}
		}
	}
	stays := make(map[disk.Place]bool)
	for _, r := range slices.Concat(others, added) {
		if gone[r.Ref] {
			continue
		}
		of, err := placesOf(m.index, r)
		if err != nil {
			return nil, err
		}
		for _, p := range of {
			stays[p] = true
		}
	}
	return slices.DeleteFunc(places, func(p disk.Place) bool { return stays[p] }), nil
}

// sharesParts reports whether the bytes of a record may be those of parts of uploads, too: an object's that was made of parts are.
func sharesParts(r *meta.Record) bool {
	return r.Kind != meta.Current && r.Kind != meta.Noncurrent || r.PartCount > 0
}

// Decide takes notice of what the owner decided. It is not synced: what a crash undoes is decided again when it matters.
func (s *Store) Decide(_ context.Context, r *DecideRequest) (Standing, error) {
	const op = "target/store.Decide"
	st := s.current(&r.Sender)
	if st.Refused {
		return st, nil
	}
	inside, err := s.enter(s.commits, op, name{bucket: &cluster.BucketEntry{}})
	if err != nil {
		return st, err
	}
	defer s.commits.leave(inside)
	for i := range r.Decisions {
		d := &r.Decisions[i]
		if len(d.Refs) == 0 {
			continue
		}
		if err := s.decided(r.Node, d); err != nil {
			return st, cluster.E(op, d.Refs[0].String(), cluster.KindOther, err)
		}
	}
	return st, nil
}

// current refuses a message that is for another process, or from a node whose map is newer.
func (s *Store) current(from *Sender) Standing {
	version := s.council.Map().Version
	return Standing{Refused: version < from.Version || from.Incarnation != s.o.Incarnation, Version: version}
}

// decided carries out one decision, unless the slot has another owner by now.
func (s *Store) decided(owner cluster.NodeID, d *Decision) error {
	n := copyName(d.Refs[0].Bucket, d.Refs[0].Key)
	shard := s.shard(n.bucket.ID, n.key)
	shard.copies.Lock()
	defer shard.copies.Unlock()
	m := s.mountpath(n)
	if m.err() != nil {
		return nil //nolint:nilerr // what the mountpath holds is decided when it is back
	}
	now := s.council.Map()
	if _, holds := s.holding(now, n.slot()); !holds || now.Slot(n.slot()).Owner() != owner {
		return nil
	}
	if err := m.follow(d); err != nil {
		return err
	}
	shard.decided(d.Refs...) // those that are not here, too
	return nil
}

// follow carries out a decision about one key. The lock of the key's copies must be held.
func (m *mountpath) follow(d *Decision) error {
	job, err := m.decision(d)
	if err != nil {
		return err
	}
	return m.carryOut(job)
}

// carryOut changes the index at once, for whoever gets the lock of the key's copies next goes by what the index has: a record
// that is about to go must not be taken for one that is here. It is not synced: the cleaner syncs before it frees the bytes,
// by a batch that removes nothing that may be here again by then.
func (m *mountpath) carryOut(job cleanup) error {
	batch := m.index.NewBatch()
	defer batch.Close()
	for _, ref := range job.settle {
		batch.Settle(ref)
	}
	for _, r := range job.remove {
		batch.Delete(r)
	}
	if err := batch.Commit(false); err != nil {
		return err
	}
	m.cleaner.shard(job.id).decided(job.settle...)
	if len(job.free) > 0 {
		m.cleaner.add(cleanup{id: job.id, touched: true, free: job.free})
	}
	return nil
}

// decision is what is to be done about the records of one generation: dropped ones go; with visible ones goes what they
// replaced. A generation that is not here changes nothing.
func (m *mountpath) decision(d *Decision) (cleanup, error) {
	job := cleanup{id: ident{bucket: d.Refs[0].Bucket, key: d.Refs[0].Key}}
	decide := m.accept
	if d.Drop {
		decide = m.reject
	}
	for _, ref := range d.Refs {
		if err := decide(ref, &job); err != nil {
			return job, err
		}
	}
	for _, r := range job.remove {
		job.settle = append(job.settle, r.Ref)
	}
	var err error
	job.free, err = m.unnamed(d.Refs[0], job.remove, nil)
	return job, err
}

// accept settles a record that is visible, and removes what it replaced.
func (m *mountpath) accept(ref meta.Ref, job *cleanup) error {
	if ref.Kind == meta.UploadTombstone {
		here, err := m.exact([]meta.Ref{ref})
		if err != nil || len(here) == 0 {
			return err
		}
		of, err := m.replacedBy(ref)
		job.settle, job.remove = append(job.settle, ref), append(job.remove, of...)
		return err
	}
	line, err := m.line(ref)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(line, func(r *meta.Record) bool { return r.Ref == ref })
	if at < 0 {
		return nil
	}
	job.settle = append(job.settle, ref)
	job.remove = append(job.remove, below(line, ref)...)
	return nil
}

// reject removes a record that is in doubt.
func (m *mountpath) reject(ref meta.Ref, job *cleanup) error {
	here, err := m.exact([]meta.Ref{ref})
	if err != nil || len(here) == 0 {
		return err
	}
	doubt, err := m.index.InDoubt(ref)
	if doubt {
		job.remove = append(job.remove, here...)
	}
	return err
}

// replacedBy returns what goes when a record is visible: older generations, and with the end of an upload all of it.
func (m *mountpath) replacedBy(ref meta.Ref) ([]*meta.Record, error) {
	if ref.Kind == meta.UploadTombstone {
		return uploadRecords(context.Background(), m.index, ref)
	}
	line, err := m.line(ref)
	return below(line, ref), err
}

// below returns those records of a line that are older than one of them.
func below(line []*meta.Record, ref meta.Ref) []*meta.Record {
	return slices.DeleteFunc(line, func(r *meta.Record) bool { return !r.Generation.Less(ref.Generation) })
}

// Doubts returns which generations of some keys are here. Its answer is final for all writes of earlier epochs: this node
// has applied the sender's map, so it refuses them from now on, and those in flight hold the lock that is asked for here.
func (s *Store) Doubts(ctx context.Context, r *DoubtsRequest) (*DoubtsReply, error) {
	const op = "target/store.Doubts"
	reply := &DoubtsReply{Standing: s.current(&r.Sender)}
	if reply.Refused {
		return reply, nil
	}
	if len(r.Keys) > maxPerMessage {
		return nil, cluster.Fail(op, "", cluster.KindInvalid, "too many keys in one message")
	}
	inside, err := s.enter(s.operations, op, name{bucket: &cluster.BucketEntry{}})
	if err != nil {
		return nil, err
	}
	defer s.operations.leave(inside)
	now := s.council.Map()
	for _, k := range r.Keys {
		// Who has lost a mountpath, or catches up, does not know what it had: that it has nothing now would have the asker drop what
		// was acknowledged. The asker learns of it by the map.
		if h, holds := now.Slot(copyName(k.Bucket, k.Key).slot()).Holder(s.o.Node); !holds || !h.Whole() {
			reply.Refused = true
			return reply, nil
		}
		of, err := s.generationsOf(ctx, k)
		if err != nil {
			return nil, copyName(k.Bucket, k.Key).wrap(op, cluster.KindOther, err)
		}
		reply.Generations = append(reply.Generations, of)
	}
	return reply, nil
}

func (s *Store) generationsOf(ctx context.Context, k KeyName) ([]cluster.Generation, error) {
	n := copyName(k.Bucket, k.Key)
	shard := s.shard(k.Bucket, k.Key)
	shard.copies.Lock()
	defer shard.copies.Unlock()
	m := s.mountpath(n)
	if err := m.err(); err != nil {
		return nil, err
	}
	records, err := m.line(n.ref(meta.Current))
	if err != nil {
		return nil, err
	}
	for _, kind := range []meta.Kind{meta.Noncurrent, meta.NoncurrentTombstone, meta.Replaced, meta.Upload, meta.UploadPart, meta.UploadTombstone, meta.Notice} {
		scan := meta.Range{Kind: kind, Bucket: k.Bucket, Key: k.Key, NoData: true}
		for r, err := range m.index.Scan(ctx, scan).All() {
			if err != nil {
				return nil, err
			}
			if kind == meta.Replaced && r.Request == "" {
				continue // it stays when the change that it stood beside was given up, and tells nothing of that
			}
			records = append(records, r)
		}
	}
	var all []cluster.Generation
	for _, r := range records {
		if !slices.Contains(all, r.Generation) {
			all = append(all, r.Generation)
		}
	}
	return all, nil
}

// Forget removes records that no gateway can ask for any more; with a tombstone all that is older, or that only (R6). The sender's
// map is applied here, and its epochs are later than those of the records: nothing of them can come any more (R7).
func (s *Store) Forget(ctx context.Context, r *ForgetRequest) (Standing, error) {
	const op = "target/store.Forget"
	st := s.current(&r.Sender)
	if st.Refused {
		return st, nil
	}
	inside, err := s.enter(s.commits, op, name{bucket: &cluster.BucketEntry{}})
	if err != nil {
		return st, err
	}
	defer s.commits.leave(inside)
	now := s.council.Map()
	defer s.hold()()
	touched := make(map[*mountpath]bool)
	for _, ref := range r.Refs {
		n := copyName(ref.Bucket, ref.Key)
		m := s.mountpath(n)
		if err := m.err(); err != nil {
			return st, cluster.E(op, ref.String(), cluster.KindUnavailable, err)
		}
		owner, epoch := now.Owner(n.slot())
		if owner != r.Node || isGrave(ref.Kind) && epoch <= ref.Generation.Epoch {
			return st, cluster.Fail(op, ref.String(), cluster.KindUnavailable, "it is not the sender's to forget")
		}
		if err := s.forget(m, ref, r.Keep); err != nil {
			return st, cluster.E(op, ref.String(), cluster.KindOther, err)
		}
		touched[m] = true
	}
	for m := range touched {
		err := m.cleaner.drain(ctx)
		if err == nil && r.Keep {
			err = m.index.Sync()
		}
		if err != nil {
			return st, cluster.E(op, "", cluster.KindUnavailable, err)
		}
	}
	return st, nil
}

// forget removes one record and what must go with it, or keeps the record, if it is here, and settles it.
func (s *Store) forget(m *mountpath, ref meta.Ref, keep bool) error {
	shard := s.shard(ref.Bucket, ref.Key)
	shard.copies.Lock()
	defer shard.copies.Unlock()
	here, err := m.exact([]meta.Ref{ref})
	if err != nil {
		return err
	}
	var remove []*meta.Record
	if ref.Kind != meta.Replaced {
		if remove, err = m.replacedBy(ref); err != nil {
			return err
		}
	}
	job := cleanup{id: ident{bucket: ref.Bucket, key: ref.Key}}
	for _, r := range slices.Concat(here, remove) {
		job.settle = append(job.settle, r.Ref)
	}
	if !keep {
		remove = append(remove, here...)
	}
	if job.remove = remove; len(job.settle) == 0 {
		return nil
	}
	if job.free, err = m.unnamed(ref, remove, nil); err != nil {
		return err
	}
	return m.carryOut(job)
}
