package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/aisle-store/aisle/target/internal/ec"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// In a layout of data and parity shards every holder has every record, and of the bytes that it names one shard. Which one it
// is the record says, at each holder for itself. Bytes up to Options.ShardMin are cut into one data shard and as many parity
// shards as the layout has, which are all the same: so many holders have them whole, and the others none.

// codes are the codes in use.
type codes struct {
	mu sync.Mutex
	by map[ec.Shape]*ec.Code // guarded by mu
}

func shapeOf(c *meta.Coding) ec.Shape {
	return ec.Shape{Data: c.Data, Parity: c.Parity, Block: c.Block}
}

func (k *codes) of(c *meta.Coding) (*ec.Code, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	shape := shapeOf(c)
	if code := k.by[shape]; code != nil {
		return code, nil
	}
	code, err := ec.New(shape)
	if err != nil {
		return nil, cluster.E("", "", cluster.KindUnavailable, err)
	}
	if k.by == nil {
		k.by = make(map[ec.Shape]*ec.Code)
	}
	k.by[shape] = code
	return code, nil
}

// layoutOf returns the layout of a bucket in a map.
func layoutOf(m *cluster.Map, bucket cluster.BucketID) cluster.Layout {
	if id := int(bucket.Layout()); id < len(m.Layouts) {
		return m.Layouts[id]
	}
	return cluster.Layout{}
}

// coding says how bytes of a bucket are cut into shards; nil when they are not.
func (s *Store) coding(m *cluster.Map, bucket cluster.BucketID, small bool, shard uint8) *meta.Coding {
	l := layoutOf(m, bucket)
	if l.Data == 0 {
		return nil
	}
	c := &meta.Coding{Data: l.Data, Parity: l.Parity, Block: s.o.ShardBlock, Shard: int(shard)}
	if small {
		c.Data = 1
	}
	return c
}

// datum are bytes that a record names: its own, or those of a part.
type datum struct {
	place  *disk.Place
	coding **meta.Coding
	size   int64 // as they are stored
}

// datumCount is how many data a record may name, and datumOf is one of them.
func datumCount(r *meta.Record) int { return 1 + len(r.Parts) }

func datumOf(r *meta.Record, i int) datum {
	if i == 0 {
		return datum{&r.Place, &r.Coding, r.Stored()}
	}
	p := &r.Parts[i-1]
	return datum{&p.Place, &p.Coding, p.Stored()}
}

// datum is datumOf for a record whose parts may have to be read; without bytes when there is none of that number.
func (m *mountpath) datum(r *meta.Record, i int) (datum, error) {
	c := *r
	var err error
	if c.Parts, err = m.index.Parts(r); err != nil || i < 0 || i >= datumCount(&c) {
		return datumOf(&meta.Record{}, 0), err
	}
	return datumOf(&c, i), nil
}

// isEmpty reports whether there are no bytes, or all of them lie in the record.
func (d datum) isEmpty() bool { return d.place.Kind == disk.Nowhere && *d.coding == nil }

// as makes the datum that of a holder which keeps a shard, and returns how many bytes of it the holder must have: 0 for none.
// The place is still that of whoever made the record.
func (d datum) as(shard uint8) int64 {
	c := *d.coding
	if c == nil {
		return d.place.Length
	}
	mine := *c
	mine.Shard = int(shard)
	*d.coding = &mine
	if int(shard) >= c.Data+c.Parity {
		return 0
	}
	return shapeOf(c).ShardLength(d.size)
}

// asHolder returns a copy of a record as a holder of a shard has it, but for its places.
func asHolder(r *meta.Record, shard uint8) *meta.Record {
	c := *r
	c.Parts = append([]meta.Part(nil), r.Parts...)
	for i := range datumCount(&c) {
		datumOf(&c, i).as(shard)
	}
	return &c
}

// sameShard reports whether two data hold the same bytes of one object, as far as their coding tells.
func sameShard(a, b *meta.Coding) bool { return a == b || a != nil && b != nil && *a == *b }

// keeps reports whether all data of a record that is here are those of a holder of a shard.
func (m *mountpath) keeps(r *meta.Record, shard uint8) (bool, error) {
	parts, err := m.index.Parts(r)
	if err != nil {
		return false, err
	}
	for i := range parts {
		if c := parts[i].Coding; c != nil && c.Shard != int(shard) {
			return false, nil
		}
	}
	return r.Coding == nil || r.Coding.Shard == int(shard), nil
}

// datumRef names a datum by its record.
type datumRef struct {
	ref   meta.Ref
	piece int
}

// spread are the shards of one datum: here, and at the holders of its slot.
type spread struct {
	store   *Store
	ctx     context.Context
	m       *cluster.Map
	holders []cluster.Holder
	records []datumRef     // that name the datum, or the same bytes: a holder has one of them
	here    *mountpath     // nil when nothing of it lies here
	place   disk.Place     // here
	shard   int            // that lies here
	key     name           // for events
	except  cluster.NodeID // is not asked
	code    *ec.Code

	mu      sync.Mutex
	gone    bool // guarded by mu: the slot's owner has none of the records
	unknown bool // guarded by mu: somebody may have a shard who could not be asked for it
}

// open opens a range of a shard, wherever it is.
func (x *spread) open(shard int, offset, length int64) (io.ReadCloser, error) {
	if x.here != nil && x.shard == shard && x.place.Kind != disk.Nowhere {
		return x.openHere(offset, length)
	}
	errs := []error{fmt.Errorf("shard %d", shard)}
	for _, inSync := range []bool{true, false} {
		for _, h := range x.holders {
			if h.InSync != inSync || int(h.Shard) != shard || h.Node == x.store.o.Node || h.Node == x.except {
				continue
			}
			in, err := x.openAt(h.Node, shard, offset, length)
			if err == nil {
				return in, nil
			}
			errs = append(errs, fmt.Errorf("%s: %w", h.Node, err))
		}
	}
	return nil, errors.Join(errs...)
}

func (x *spread) openHere(offset, length int64) (io.ReadCloser, error) {
	reader, err := x.here.disk.Open(x.place)
	if err != nil {
		if errors.Is(err, disk.ErrGone) {
			x.damaged(err)
		}
		return nil, err
	}
	return &shardHere{SectionReader: io.NewSectionReader(reader, offset, length), reader: reader, spread: x}, nil
}

// shardHere reads a shard that lies here.
type shardHere struct {
	*io.SectionReader
	reader *disk.Reader
	spread *spread
}

// Read implements io.Reader.
func (r *shardHere) Read(p []byte) (int, error) {
	n, err := r.SectionReader.Read(p)
	if cluster.Is(err, cluster.KindCorrupt) {
		r.spread.damaged(err)
	}
	return n, err
}

// damaged has what is bad here repaired. The reader does not wait for it: other shards take its place.
func (x *spread) damaged(err error) {
	x.store.o.Events.corrupt(x.here.ID, x.key.bucket.ID, x.key.key, err)
	x.store.damaged(x.here, x.records[0].ref, x.records[0].piece, x.place, err)
}

func (r *shardHere) Close() error { return r.reader.Close() }

// openAt opens a range of a shard at another holder.
func (x *spread) openAt(node cluster.NodeID, shard int, offset, length int64) (io.ReadCloser, error) {
	var last error
	for _, r := range x.records {
		ctx, cancel := context.WithCancel(x.ctx)
		late := time.AfterFunc(x.patience(node), cancel)
		in, err := x.store.peers.Fetch(ctx, node, &FetchRequest{
			Sender: x.store.sender(x.m, node), Ref: r.ref, Piece: r.piece, Range: &ShardRange{Shard: shard, Offset: offset, Length: length},
		})
		inTime := late.Stop()
		x.store.silents.note(node, inTime, x.store.o.Clock())
		if inTime && err == nil {
			return &shardThere{in: in, cancel: cancel, stall: late, spread: x}, nil
		}
		cancel()
		if err == nil {
			err = errors.Join(errSilent, in.Close())
		}
		last = err
		if !cluster.Is(err, cluster.KindObjectNotFound) {
			x.note(!cluster.Is(err, cluster.KindNotFound) && !cluster.Is(err, cluster.KindCorrupt))
			return nil, err
		}
	}
	if len(x.holders) > 0 && node == x.holders[0].Node {
		x.mu.Lock()
		x.gone = true
		x.mu.Unlock()
	}
	return nil, last
}

// patience returns how long to wait for a holder's answer: not for long when it was silent of late and there are enough others.
func (x *spread) patience(node cluster.NodeID) time.Duration {
	now, answering := x.store.o.Clock(), 0
	for _, h := range x.holders {
		switch h.Node {
		case node, x.except:
		case x.store.o.Node:
			if x.here != nil {
				answering++
			}
		default:
			if x.store.silents.patience(h.Node, now) == silence {
				answering++
			}
		}
	}
	if answering < x.code.Data {
		return silence
	}
	return x.store.silents.patience(node, now)
}

// shardThere reads a shard at another holder, and ends it when nothing comes for too long.
type shardThere struct {
	in     io.ReadCloser
	cancel context.CancelFunc
	stall  *time.Timer
	spread *spread
}

// Read implements io.Reader.
func (r *shardThere) Read(p []byte) (int, error) {
	r.stall.Reset(laneStall)
	defer r.stall.Stop()
	n, err := r.in.Read(p)
	r.spread.note(err != nil && err != io.EOF)
	return n, err
}

func (r *shardThere) Close() error {
	r.stall.Stop()
	defer r.cancel()
	return r.in.Close()
}

// note notes that a shard could not be read which may be there.
func (x *spread) note(unknown bool) {
	if unknown {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.unknown = true
	}
}

// failure says why a shard could not be made.
func (x *spread) failure(err error) error {
	l, ok := errors.AsType[*ec.Lost](err)
	if !ok {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.gone:
		return cluster.Fail("", "", cluster.KindObjectNotFound, "the generation was replaced")
	case !x.unknown:
		return fmt.Errorf("%w: %s", errNoOtherCopy, l.Error())
	}
	return lost(err)
}

// lost is the error of shards of which too few can be read: not that of any of them, which may say that an object is absent.
func lost(err error) error {
	if l, ok := errors.AsType[*ec.Lost](err); ok {
		return cluster.Fail("", "", cluster.KindUnavailable, l.Error())
	}
	return err
}
