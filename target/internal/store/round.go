package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// How long a write waits for other holders.
const (
	roundsLife = 8 * time.Second      // for the whole commit; then its outcome is unknown
	silence    = 2 * time.Second      // for the answer of one holder, until it is accused
	behindLife = 5 * time.Second      // for a holder that answers, but does not follow the map
	askPause   = 5 * time.Millisecond // before a holder is asked again
)

// rounds is the commit of a change in a slot with several holders. Each round prepares at every holder of the map applied
// when it begins, under a generation of its own (so a holder that is admitted meanwhile never sees one older than its
// admission), and counts when all have answered and the epoch is still the same. When the map changes there is another round,
// which removes what the one before it has prepared.
//
// Between rounds the slot may not have been another node's: it could have come back here only by a pending map that this node
// acknowledged, and Fence does not return before the commits in flight have ended.
type rounds struct {
	turn     *turn
	change   *change
	deadline time.Time

	m       *cluster.Map // of the round
	state   cluster.SlotState
	request PrepareRequest // to all, but for the receiver and the sources
	refs    []meta.Ref     // in doubt, of this round
	earlier []meta.Ref     // of the rounds before, as far as they may be in an index
	beside  []meta.Ref     // of the round before
	begun   bool           // something was prepared

	mu     sync.Mutex
	tokens map[cluster.NodeID]map[Piece]sent // guarded by mu
}

// isShared reports whether other nodes hold the turn's slot, too, or should.
func (t *turn) isShared() bool {
	return t.store.council != nil && (len(t.store.council.Map().Slot(t.slot).Holders) > 1 || t.name.bucket.Props.LeastCopies() > 1)
}

// commitShared is commit for a slot with several holders. before are what a round for this holder alone has prepared.
func (t *turn) commitShared(c *change, before []meta.Ref) error {
	ctx, cancel := context.WithTimeout(t.store.life, roundsLife)
	defer cancel()
	r := &rounds{turn: t, change: c, earlier: before, begun: len(before) > 0, tokens: make(map[cluster.NodeID]map[Piece]sent)}
	r.deadline, _ = ctx.Deadline()
	c.keep(true)
	for i, b := range c.all() {
		piece := Piece{Piece: i}
		if c.body == nil {
			piece.Piece++ // of a part
		}
		for node, token := range b.tokens {
			if r.tokens[node] == nil {
				r.tokens[node] = make(map[Piece]sent)
			}
			r.tokens[node][piece] = token
		}
	}
	for {
		done, err := r.round(ctx)
		if err != nil {
			r.giveUp()
			return err
		}
		if done {
			return r.reveal()
		}
	}
}

// giveUp leaves what was prepared in doubt: it is never shown in this ownership, and the next turn removes it.
func (r *rounds) giveUp() {
	t := r.turn
	if !r.begun {
		r.change.keep(false)
		return
	}
	if r.change.part {
		t.shard.bury(t.id, abandoned{generation: t.last, m: t.m, refs: slices.Concat(r.earlier, r.refs), places: r.change.places()})
		return
	}
	t.shard.abandon(t.id, t.m, slices.Concat(r.earlier, r.refs), r.change.places())
}

// reveal makes the change visible and tells the other holders.
func (r *rounds) reveal() error {
	t := r.turn
	if !r.change.part {
		t.shard.reveal(t.id, r.change.deletes())
		t.remember(0, outcome{wrote: true})
	}
	t.m.cleaner.add(r.change.cleanup(t.id, t.last, r.refs))
	t.store.tell(r.state.Holders, Decision{Refs: r.refs})
	t.store.announced(r.change)
	return nil
}

// round makes one attempt. It returns false without an error when there must be another.
func (r *rounds) round(ctx context.Context) (done bool, err error) {
	t := r.turn
	if err := r.begin(ctx); err != nil {
		return false, err
	}
	batch, err := r.batch()
	if err != nil {
		return false, err
	}
	defer batch.Close()
	if err := r.askSpace(ctx); err != nil {
		return false, err
	}
	r.begun = true
	answers := r.ask(ctx)
	localErr := t.store.commit(batch)
	answers.wait()
	if localErr != nil {
		return false, t.name.wrap(t.op, cluster.KindUnavailable, localErr)
	}
	t.m.written.raise(t.slot, uint64(t.epoch))
	switch {
	case answers.refused != nil: // the others may have it, and let it go forward
		return false, t.name.wrap(t.op, cluster.KindUnavailable, answers.refused)
	case len(answers.silent) > 0:
		return false, r.demote(ctx, answers.silent)
	case answers.moved:
		return false, nil
	}
	return r.isStillTrue()
}

// isStillTrue reports whether all holders of now have answered in the epoch of now, and this node may answer.
func (r *rounds) isStillTrue() (bool, error) {
	t := r.turn
	epoch, err := t.store.authority.Owns(t.slot)
	if err != nil {
		return false, t.name.wrap(t.op, cluster.KindUnavailable, err)
	}
	if epoch != t.epoch {
		return false, nil
	}
	if err := t.store.authority.CheckLease(); err != nil {
		return false, t.name.wrap(t.op, cluster.KindUnavailable, err)
	}
	return true, nil
}

// begin takes the map of the round, the slot's epoch and a generation.
func (r *rounds) begin(ctx context.Context) error {
	t := r.turn
	for {
		epoch, err := t.store.authority.Owns(t.slot)
		if err != nil {
			return t.name.wrap(t.op, cluster.KindUnavailable, err)
		}
		r.m = t.store.council.Map()
		r.state = r.m.Slot(t.slot)
		if r.state.Epoch == epoch && r.state.Owner() == t.store.o.Node {
			t.epoch = epoch
			break
		}
		// The map changed between the two looks.
		if !pause(ctx, askPause) {
			return t.fail(cluster.KindUnavailable, "the slot's map does not come to rest")
		}
	}
	if t.store.slots.closed.Load() {
		return t.fail(cluster.KindUnavailable, "the store is closing")
	}
	if time.Until(r.deadline) <= 0 {
		return t.fail(cluster.KindUnavailable, "the other holders did not answer in time")
	}
	return r.enough()
}

// enough returns nil when the slot has holders for the fewest copies, or different shards, that may be acknowledged.
func (r *rounds) enough() error {
	layout := layoutOf(r.m, r.turn.id.bucket)
	if have, want := layout.Kept(r.state.Holders), max(r.turn.name.bucket.Props.LeastCopies(), layout.Needed()); have < want {
		return r.turn.fail(cluster.KindUnavailable, fmt.Sprintf("only %d of at least %d copies or shards can be made now", have, want))
	}
	return nil
}

// batch collects what this node makes durable, and the message to the others. What the rounds before have prepared goes.
func (r *rounds) batch() (*meta.Batch, error) {
	t, c := r.turn, r.change
	g, err := t.generation(c)
	if err != nil {
		return nil, err
	}
	r.earlier = append(r.earlier, r.refs...)
	batch, refs, beside, err := t.batch(c, g)
	if err != nil {
		return nil, err
	}
	for _, ref := range r.earlier {
		batch.Delete(&meta.Record{Ref: ref, Fields: meta.Fields{HasManifest: true}})
		batch.Settle(ref)
	}
	for _, ref := range r.beside {
		batch.Delete(&meta.Record{Ref: ref})
	}
	r.refs, t.last = refs, g
	r.request = PrepareRequest{
		Slot: t.slot, Epoch: t.epoch, Generation: g, Records: c.put, Abandon: slices.Concat(r.earlier, r.beside),
	}
	r.request.Beside, r.beside = beside, nil
	for _, record := range beside {
		r.beside = append(r.beside, record.Ref)
	}
	if !c.part {
		t.shard.prepareNext(t.id, g)
	}
	return batch, nil
}

// answers are what the other holders said in one round.
type answers struct {
	work   sync.WaitGroup
	cancel context.CancelFunc

	mu      sync.Mutex
	moved   bool             // guarded by mu until wait: the map changed
	silent  []cluster.NodeID // guarded by mu until wait
	refused error            // guarded by mu until wait: a holder cannot take it, and need not be taken out for that
}

func (a *answers) wait() {
	a.work.Wait()
	a.cancel()
}

// Why a holder has not prepared.
var (
	errMoved  = errors.New("the map changed")
	errSilent = errors.New("the holder does not answer")
)

// ask sends the round's prepare to every other holder.
func (r *rounds) ask(ctx context.Context) *answers {
	ctx, cancel := context.WithCancel(ctx)
	a := &answers{cancel: cancel}
	for _, h := range r.state.Holders[1:] {
		a.work.Go(func() {
			err := r.prepareAt(ctx, h.Node)
			switch {
			case !cluster.Is(err, cluster.KindNoSpace):
			case h.InSync:
				r.turn.store.full.Store(h.Node, true)
			default:
				err = errSilent // it can be done without, and another one can catch up in its place
			}
			a.mu.Lock()
			defer a.mu.Unlock()
			switch {
			case err == nil:
			case errors.Is(err, errMoved):
				a.moved = true
			case errors.Is(err, errSilent):
				a.silent = append(a.silent, h.Node)
			default:
				a.refused = err
			}
		})
	}
	return a
}

// prepareAt prepares at one holder, and sends it the bytes that it lacks.
func (r *rounds) prepareAt(ctx context.Context, to cluster.NodeID) error {
	message := r.request
	message.Sender = r.turn.store.sender(r.m, to)
	begun, failures := time.Now(), 0
	for {
		message.Sources = r.sources(to)
		reply, err := r.prepareOnce(ctx, to, &message)
		switch {
		case r.hasMoved():
			return errMoved
		case cluster.Is(err, cluster.KindConflict), cluster.Is(err, cluster.KindNoSpace):
			return err
		case err != nil:
			if failures++; failures > 1 || time.Since(begun) >= silence {
				return fmt.Errorf("%w: %w", errSilent, err)
			}
		case reply.Refused && time.Since(begun) >= behindLife:
			return errSilent
		case reply.Refused:
		case reply.Failed != "":
			return fmt.Errorf("%w: %s", errSilent, reply.Failed)
		case len(reply.Doubts) > 0:
			visible, dead, err := r.judge(reply.Doubts)
			if err != nil {
				return err
			}
			message.Visible, message.Abandon = slices.Concat(message.Visible, visible), slices.Concat(message.Abandon, dead)
			continue
		case len(reply.Missing) > 0:
			if err := r.supply(ctx, to, reply.Missing); err == nil {
				continue
			} else if cluster.Is(err, cluster.KindNoSpace) || cluster.Is(err, cluster.KindCorrupt) {
				return err
			}
			if failures++; failures > 1 {
				return errSilent
			}
		default:
			return nil
		}
		if !pause(ctx, askPause) {
			return errSilent
		}
	}
}

func (r *rounds) prepareOnce(ctx context.Context, to cluster.NodeID, message *PrepareRequest) (*PrepareReply, error) {
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	return r.turn.store.peers.Prepare(ctx, to, message)
}

// hasMoved reports whether the round can not count any more.
func (r *rounds) hasMoved() bool {
	m := r.turn.store.council.Map()
	return m.Version != r.m.Version && m.Slot(r.turn.slot).Epoch != r.turn.epoch
}

// sources says where a holder finds the bytes of the records.
func (r *rounds) sources(to cluster.NodeID) []Source {
	h, _ := r.state.Holder(to)
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Source
	for i, record := range r.change.put {
		for j := range datumCount(record) {
			if datumOf(record, j).isEmpty() {
				continue
			}
			src := Source{Record: i, Piece: j}
			if at := r.tokens[to][Piece{i, j}]; at.shard == h.Shard {
				src.Token = at.token
			}
			src.From, src.At = r.change.origin(i, j)
			if src.From.Kind == 0 && len(r.earlier) > 0 {
				src.From, src.At = r.earlier[len(r.earlier)-len(r.refs)+i], j
			}
			all = append(all, src)
		}
	}
	return all
}

// origin returns the record here, and at the other holders, from which a piece of the i-th record comes; none when it is new.
func (c *change) origin(i, piece int) (meta.Ref, int) {
	switch {
	case i < len(c.from) && c.from[i].Kind != 0:
		return c.from[i], piece
	case len(c.parts) > 0 && i == 0 && piece > 0:
		number := uint32(c.put[0].Parts[piece-1].Number)
		i, found := slices.BinarySearchFunc(c.parts, number, func(p *meta.Record, n uint32) int { return int(p.Part) - int(n) })
		if found {
			return c.parts[i].Ref, 0
		}
	}
	return meta.Ref{}, 0
}

// supply sends a holder the bytes of pieces from their places here.
func (r *rounds) supply(ctx context.Context, to cluster.NodeID, missing []Piece) error {
	for _, p := range missing {
		if p.Record < 0 || p.Record >= len(r.change.put) || p.Piece < 0 || p.Piece >= datumCount(r.change.put[p.Record]) {
			return errors.New("the holder lacks what was not sent")
		}
		token, err := r.supplyPiece(ctx, to, p)
		if err != nil {
			return err
		}
		r.mu.Lock()
		if r.tokens[to] == nil {
			r.tokens[to] = make(map[Piece]sent)
		}
		r.tokens[to][p] = token
		r.mu.Unlock()
	}
	return nil
}

func (r *rounds) supplyPiece(ctx context.Context, to cluster.NodeID, p Piece) (sent, error) {
	h, _ := r.state.Holder(to)
	body, size, err := r.openPiece(ctx, h, p)
	if err != nil {
		return sent{}, err
	}
	defer body.Close()
	var bad atomic.Pointer[error] // what is damaged here says nothing about the holder
	if here, ok := body.(*pieceReader); ok {
		here.damaged = func(err error) { bad.Store(&err) }
	}
	record, in := r.change.put[p.Record], &summed{r: body}
	staged, err := r.turn.store.peers.Stage(ctx, to, &StageRequest{
		Sender: r.turn.store.sender(r.m, to), Bucket: record.Bucket, Key: record.Key, Size: size, Body: in,
		Footer: func() ([]byte, error) { return meta.EncodeFooter(asHolder(record, h.Shard)) },
	})
	switch here := bad.Load(); {
	case here != nil:
		err = *here
	case err == nil && (staged.Length != size || staged.Sum != in.crc):
		err = errors.New("the bytes arrived changed")
	}
	return sent{staged.Token, h.Shard}, err
}

// openPiece opens what a holder is to have of a piece, and says how many bytes that are. A shard that is not here is made of
// others: those of a fresh write can be read where the write is prepared, so they are asked for until this is so.
func (r *rounds) openPiece(ctx context.Context, to cluster.Holder, p Piece) (io.ReadCloser, int64, error) {
	t := r.turn
	d := datumOf(r.change.put[p.Record], p.Piece)
	coding, place := *d.coding, *d.place
	if coding == nil {
		reader, err := t.m.disk.Open(place)
		if errors.Is(err, disk.ErrGone) {
			err = cluster.E("target/store.supply", t.name.String(), cluster.KindCorrupt, err) // the turn keeps it from being freed
		}
		if err != nil {
			return nil, 0, err
		}
		return &pieceReader{SectionReader: io.NewSectionReader(reader, 0, place.Length), reader: reader}, place.Length, nil
	}
	code, err := t.store.codes.of(coding)
	if err != nil {
		return nil, 0, err
	}
	from := &spread{
		store: t.store, ctx: ctx, m: r.m, holders: r.state.Holders, records: r.namedBy(p), here: t.m, place: place, shard: coding.Shard, key: t.name, code: code, except: to.Node,
	}
	for begun := time.Now(); ; {
		reader, err := code.OpenShard(d.size, int(to.Shard), from.open)
		if err == nil || time.Since(begun) >= silence || r.hasMoved() || !pause(ctx, askPause) {
			return reader, code.ShardLength(d.size), err
		}
	}
}

// namedBy are the records that name a piece at other holders: that of this round, those of earlier ones, and the one that it
// comes from.
func (r *rounds) namedBy(p Piece) []datumRef {
	all := []datumRef{{r.refs[p.Record], p.Piece}}
	for i := len(r.earlier) - len(r.refs) + p.Record; i >= 0; i -= len(r.refs) {
		all = append(all, datumRef{r.earlier[i], p.Piece})
	}
	if from, at := r.change.origin(p.Record, p.Piece); from.Kind != 0 {
		all = append(all, datumRef{from, at})
	}
	return all
}

// demote accuses holders that do not answer, and waits for another map.
func (r *rounds) demote(ctx context.Context, silent []cluster.NodeID) error {
	t := r.turn
	if err := t.store.council.Accuse(ctx, t.slot, t.epoch, silent); err != nil {
		return t.name.wrap(t.op, cluster.KindUnavailable, fmt.Errorf("other holders do not answer: %v: %w", silent, err))
	}
	return nil
}
