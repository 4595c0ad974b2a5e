package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/aisle-store/aisle/target/internal/meta"
	"github.com/aisle-store/aisle/xact/pace"
)

// Stat returns what is known of an object.
func (s *Store) Stat(_ context.Context, r *GetRequest) (*Info, error) {
	const op = "target/store.Stat"
	n := name{bucket: &r.Bucket, key: r.Key}
	inside, err := s.enter(s.readers, op, n)
	if err != nil {
		return nil, err
	}
	defer s.readers.leave(inside)
	defer s.still()()
	m := s.mountpath(n)
	record, err := s.find(op, n, m, (*meta.Index).Peek, r)
	if err != nil {
		return nil, err
	}
	info := infoOf(record)
	if !r.Accessed {
		return info, nil
	}
	if info.Accessed, err = m.index.Accessed(n.bucket.ID, n.key); err != nil {
		return nil, s.readFailed(op, n, m, err)
	}
	if info.Accessed.Before(info.Modified) {
		info.Accessed = info.Modified
	}
	return info, nil
}

// Open opens an object, or a range of it, for reading. The bytes stay until Close, whatever is written meanwhile.
func (s *Store) Open(_ context.Context, r *GetRequest) (*Object, error) {
	const op = "target/store.Open"
	began := time.Now()
	defer func() { s.pacer.Observe(pace.Read, time.Since(began)) }()
	n := name{bucket: &r.Bucket, key: r.Key}
	o := &Object{name: n, store: s, keys: r.Keys}
	if s.council != nil && layoutOf(s.council.Map(), r.Bucket.ID).Data > 0 {
		o.reading = s.read(n)
	}
	err := o.find(op, r)
	if err == nil && len(o.pieces) > 0 && *o.pieces[0].coding != nil {
		err = o.openRemote(op)
	}
	if err != nil {
		_ = o.Close()
		return nil, err
	}
	return o, nil
}

// openRemote opens the first piece of an object whose data lie in shards. It is not inside the readers' gate, for it takes a round
// through the network; what the shards need to stay is done. But the mountpath must stay.
func (o *Object) openRemote(op string) error {
	inside, err := o.store.enter(o.store.operations, op, o.name)
	if err != nil {
		return err
	}
	defer o.store.operations.leave(inside)
	if err := o.open(&o.pieces[0]); err != nil {
		return o.store.readFailed(op, o.name, o.m, err)
	}
	return nil
}

// find finds the object, and sees to it that its bytes stay.
func (o *Object) find(op string, r *GetRequest) error {
	s, n := o.store, o.name
	inside, err := s.enter(s.readers, op, n)
	if err != nil {
		return err
	}
	defer s.readers.leave(inside)
	defer s.still()()
	o.m = s.mountpath(n)
	record, err := s.find(op, n, o.m, (*meta.Index).Get, r)
	if err != nil {
		return err
	}
	parts, err := o.m.parts(record)
	if err != nil {
		return s.readFailed(op, n, o.m, err)
	}
	o.ref, o.info, o.length = record.Ref, infoOf(record), record.Size
	if r.Part > 0 {
		if !o.choose(parts, r.Part) {
			return n.fail(op, cluster.KindRange, fmt.Sprintf("there is no part %d", r.Part))
		}
	} else if r.Range != nil && r.If.keepsRange(stateOf(record)) {
		if o.offset, o.length, o.ranged = r.Range.within(record.Size); !o.ranged {
			return n.fail(op, cluster.KindRange, fmt.Sprintf("the range lies outside of %d bytes", record.Size))
		}
	}
	if err := o.pin(record, parts); err != nil {
		return s.readFailed(op, n, o.m, err)
	}
	if o.reading != nil {
		s.found(o.reading, record.Generation)
	}
	o.m.index.Touch(n.bucket.ID, n.key, s.o.Now())
	return nil
}

// ObjectParts returns an object, as Stat does, and the parts that an upload made it of, numbered from 1 in their order.
func (s *Store) ObjectParts(_ context.Context, r *GetRequest) (*Info, []PartInfo, error) {
	const op = "target/store.ObjectParts"
	n := name{bucket: &r.Bucket, key: r.Key}
	inside, err := s.enter(s.readers, op, n)
	if err != nil {
		return nil, nil, err
	}
	defer s.readers.leave(inside)
	defer s.still()()
	m := s.mountpath(n)
	record, err := s.find(op, n, m, (*meta.Index).Get, r)
	if err != nil {
		return nil, nil, err
	}
	parts, err := m.parts(record)
	if err != nil {
		return nil, nil, s.readFailed(op, n, m, err)
	}
	infos := make([]PartInfo, len(parts))
	for i := range parts {
		infos[i] = partInfo(parts, i)
	}
	return infoOf(record), infos, nil
}

func partInfo(parts []meta.Part, i int) PartInfo {
	p := &parts[i]
	return PartInfo{Number: i + 1, Size: p.Size, ETag: p.ETag, Sums: p.Sums, Modified: p.Modified}
}

// parts returns the parts of an object; it has none unless an upload made it.
func (m *mountpath) parts(r *meta.Record) ([]meta.Part, error) {
	if r.PartCount == 0 {
		return nil, nil
	}
	return m.index.Parts(r)
}

// getter is a method of an index: Get, or Peek for those who do not need inline data.
type getter func(index *meta.Index, ref meta.Ref, hidden func(cluster.Generation) bool) (*meta.Record, error)

// find reads the visible record of an object and judges the conditions. The slot must be served before the read: until it is,
// what is in doubt may be settled, and the read may have seen what was before. What may refuse the answer is asked after the
// read: a lease that ran out before proves nothing about what was read since.
func (s *Store) find(op string, n name, m *mountpath, get getter, r *GetRequest) (*meta.Record, error) {
	slot := n.slot()
	if err := s.served(op, n, slot, r.Epoch); err != nil {
		return nil, err
	}
	if err := m.err(); err != nil {
		return nil, s.unreadable(op, n, m, slot, r.Epoch, err)
	}
	record, err := s.look(op, n, m, get, r)
	if err != nil {
		return nil, s.unreadable(op, n, m, slot, r.Epoch, err)
	}
	if err := s.check(op, n, slot, r.Epoch); err != nil {
		return nil, err
	}
	if record != nil && record.Marker {
		return nil, s.foundMarker(op, n, r, record)
	}
	if record != nil && r.Judge != nil {
		if err := r.Judge(infoOf(record)); err != nil {
			return nil, err
		}
	}
	if record != nil && r.Keys != nil {
		if err := r.Keys.Check(record.Encryption, record.PartCount > 0, record.Size); err != nil {
			return nil, err
		}
	}
	return record, r.If.forRead(op, n, stateOf(record))
}

// look reads what a request is about: the visible object or delete marker, or the version that it names.
func (s *Store) look(op string, n name, m *mountpath, get getter, r *GetRequest) (*meta.Record, error) {
	if r.Version != "" {
		number, ok := keyVersion(r.Version)
		if !ok {
			return nil, n.fail(op, cluster.KindInvalid, "that is no id of a version")
		}
		record, err := s.version(m, n, number, get)
		if err == nil && record == nil {
			err = n.fail(op, cluster.KindVersionNotFound, "the version does not exist")
		}
		return record, err
	}
	if n.bucket.Props.Versioning != cluster.VersioningOff {
		current, tombstone, err := s.visibleNow(m, n, get)
		if current == nil && isVersion(tombstone) {
			return tombstone, err
		}
		return current, err
	}
	shard, id := s.shard(n.bucket.ID, n.key), n.ident()
	return get(m.index, n.ref(meta.Current), func(g cluster.Generation) bool { return shard.hidden(id, g) })
}

// foundMarker is how a read ends that came upon a delete marker.
func (s *Store) foundMarker(op string, n name, r *GetRequest, marker *meta.Record) error {
	found := &DeleteMarker{Info: infoOf(marker)}
	if r.Version != "" {
		return n.wrap(op, cluster.KindMethod, found)
	}
	if err := r.If.forRead(op, n, state{}); !cluster.Is(err, cluster.KindObjectNotFound) {
		return err
	}
	return n.wrap(op, cluster.KindObjectNotFound, found)
}

// unreadable reports why a key cannot be read. That another node may own it comes first.
func (s *Store) unreadable(op string, n name, m *mountpath, slot cluster.Slot, epoch cluster.Epoch, err error) error {
	if refused := s.check(op, n, slot, epoch); refused != nil {
		return refused
	}
	return s.readFailed(op, n, m, err)
}

// Object is an open object. It is used by one goroutine at a time.
type Object struct {
	name   name
	store  *Store
	m      *mountpath
	ref    meta.Ref
	info   *Info
	offset int64
	length int64
	ranged bool
	part   *PartInfo // that was asked for
	pieces []piece   // what is left to give; the reader of the first one is open once it gave something
	runs   runs

	keys Keys // nil: the bytes are not encrypted, or not to be decrypted
	raw  bool // gives the bytes as they are stored

	reading *reading // nil when all bytes lie here

	life context.Context // of what is read at other holders; nil until something is
	end  context.CancelFunc
}

// runs gives bytes run by run, each valid until the next call.
type runs interface{ Next() ([]byte, error) }

// piece is a range of one datum.
type piece struct {
	number int // of the datum in its record
	datum
	mended bool      // its bytes were bad, and are repaired
	pinned bool      // the place, in the mountpath; else the reader was opened at once
	reader io.Closer // nil until the piece is reached
	inline []byte
	offset int64 // of the stored bytes, as they are read
	length int64
	sealed *sealed // gives them in the clear; nil: they are not encrypted
}

// Info returns what is known of the object.
func (o *Object) Info() *Info { return o.info }

// Range returns the part of the object that Next gives; ranged is false when that is the whole.
func (o *Object) Range() (offset, length int64, ranged bool) { return o.offset, o.length, o.ranged }

// Part returns the part that was asked for, or nil. It has a number only in an object that an upload made.
func (o *Object) Part() *PartInfo { return o.part }

// choose narrows the object to one of its parts, and reports whether there is such a part.
func (o *Object) choose(parts []meta.Part, number int) bool {
	if parts == nil {
		o.part, o.ranged = &PartInfo{Size: o.length, ETag: o.info.ETag, Sums: o.info.Sums, Modified: o.info.Modified}, o.length > 0
		return number == 1
	}
	if number > len(parts) {
		return false
	}
	part := partInfo(parts, number-1)
	for i := range parts[:number-1] {
		o.offset += parts[i].Size
	}
	o.part, o.length, o.ranged = &part, part.Size, part.Size > 0
	return true
}

// pin makes sure that every place which the range touches stays.
func (o *Object) pin(r *meta.Record, parts []meta.Part) error {
	if o.length == 0 {
		return nil
	}
	if r.PartCount == 0 {
		own := content{datum: datumOf(r, 0), inline: r.Inline, size: r.Size}
		if r.Encryption != nil {
			own.sealed = r.Encryption.Sealed
		}
		if err := o.add(r, own); err != nil || len(r.Inline) > 0 {
			return err
		}
	}
	at := int64(0)
	for i := range parts {
		p := &parts[i]
		err := o.add(r, content{number: i + 1, datum: datum{&p.Place, &p.Coding, p.Stored()}, inline: p.Inline, at: at, size: p.Size, sealed: p.Sealed, part: p.Number})
		if err != nil {
			return err
		}
		at += p.Size
	}
	for i := range o.pieces {
		// A shard that lies here is pinned, too: it is read when others fail.
		p := &o.pieces[i]
		if p.place.Kind != disk.Nowhere && (r.PartCount > 0 || *p.coding != nil) {
			o.m.pin(*p.place)
			p.pinned = true
		}
		if i == 0 && !p.isEmpty() && r.PartCount == 0 && *p.coding == nil {
			// Next finds again what is corrupt, where it can be repaired: nobody waits for a repair inside the gate.
			if err := o.open(p); err != nil && !cluster.Is(err, cluster.KindCorrupt) {
				return err
			}
		}
	}
	return nil
}

// content is a datum of an object, with where its bytes are in the object.
type content struct {
	datum
	number int // in its record
	inline []byte
	at     int64  // of its first byte in the object
	size   int64  // in the clear
	sealed []byte // the key; nil: the bytes are not encrypted
	part   int    // to which the key is bound
}

// add takes in a datum when the range touches it.
func (o *Object) add(r *meta.Record, d content) error {
	begin, end := max(o.offset, d.at), min(o.offset+o.length, d.at+d.size)
	if begin >= end {
		return nil
	}
	have := d.place.Length
	switch {
	case *d.coding != nil:
		have = d.datum.size
	case d.place.Kind == disk.Nowhere:
		have = int64(len(d.inline))
	}
	if have != d.datum.size {
		return cluster.Fail("", "", cluster.KindCorrupt, fmt.Sprintf("the record names %d bytes of data, not %d", have, d.datum.size))
	}
	p := piece{number: d.number, datum: d.datum, inline: d.inline, offset: begin - d.at, length: end - begin}
	switch {
	case r.Encryption == nil:
	case o.raw:
		p.offset, p.length = 0, d.datum.size
	default:
		if err := o.seal(&p, r.Encryption, d.sealed, d.part, d.size); err != nil {
			return err
		}
	}
	o.pieces = append(o.pieces, p)
	return nil
}

// open opens a piece. The index was read and the place is opened, or was pinned, inside the readers' gate, for which frees
// wait: a place that is gone is lost.
func (o *Object) open(p *piece) error {
	if *p.coding != nil {
		return o.openShards(p)
	}
	reader, err := o.m.disk.Open(*p.place)
	if errors.Is(err, disk.ErrGone) {
		if o.m.isElsewhere(o.store.o.Events) {
			return o.m.err()
		}
		return cluster.E("", "", cluster.KindCorrupt, err)
	}
	if err == nil {
		p.reader, o.runs = reader, reader.Runs(p.offset, p.length)
	}
	return err
}

// openShards opens a piece that lies in shards, here and at the other holders of now.
func (o *Object) openShards(p *piece) error {
	code, err := o.store.codes.of(*p.coding)
	if err != nil {
		return err
	}
	if o.life == nil {
		o.life, o.end = context.WithCancel(o.store.life)
	}
	m := o.store.council.Map()
	from := &spread{
		store: o.store, ctx: o.life, m: m, holders: m.Slot(o.name.slot()).Holders, records: []datumRef{{o.ref, p.number}},
		here: o.m, place: *p.place, shard: (*p.coding).Shard, key: o.name, code: code,
	}
	reader, err := code.Open(p.size, p.offset, p.length, from.open)
	if err != nil {
		return lost(err)
	}
	p.reader, o.runs = reader, reader
	return nil
}

// Next returns the next bytes, checked, or io.EOF. They are valid until the next call.
func (o *Object) Next() ([]byte, error) {
	for len(o.pieces) > 0 {
		p := &o.pieces[0]
		var b []byte
		var err error
		if p.sealed != nil {
			b, err = o.decrypted(p)
		} else {
			b, err = o.stored(p)
		}
		if err == nil {
			return b, nil
		}
		if !errors.Is(err, io.EOF) {
			return nil, err
		}
		o.leave(p)
		o.pieces = o.pieces[1:]
	}
	return nil, io.EOF
}

// stored returns the next bytes of a piece as they are stored, or io.EOF.
func (o *Object) stored(p *piece) ([]byte, error) {
	for p.length > 0 || !p.isEmpty() {
		if p.isEmpty() {
			b := p.inline[p.offset : p.offset+p.length]
			p.length = 0
			return b, nil
		}
		b, err := o.read(p)
		if err == nil {
			p.offset, p.length = p.offset+int64(len(b)), p.length-int64(len(b))
			return b, nil
		}
		if cluster.Is(err, cluster.KindCorrupt) {
			if err = o.mend(p, err); err == nil {
				continue
			}
			return nil, o.name.wrap("target/store.Object.Next", cluster.KindOther, err)
		}
		if !errors.Is(err, io.EOF) {
			return nil, o.store.readFailed("target/store.Object.Next", o.name, o.m, err)
		}
		return nil, io.EOF
	}
	return nil, io.EOF
}

// read returns the next bytes of a piece.
func (o *Object) read(p *piece) ([]byte, error) {
	if p.reader == nil {
		if err := o.open(p); err != nil {
			return nil, err
		}
	}
	b, err := o.runs.Next()
	return b, lost(err)
}

// leave lets go of a piece.
func (o *Object) leave(p *piece) {
	if p.reader != nil {
		_ = p.reader.Close() // reading only: there is nothing to lose
	}
	if p.pinned {
		o.m.unpin(*p.place)
	}
	p.reader, p.pinned = nil, false
	o.runs = nil
}

// Close lets go of the bytes.
func (o *Object) Close() error {
	for i := range o.pieces {
		o.leave(&o.pieces[i])
	}
	o.pieces = nil
	if o.end != nil {
		o.end()
	}
	if o.reading != nil {
		o.store.release(o.reading)
		o.reading = nil
	}
	return nil
}

// Reader returns the same bytes as an io.Reader, for copies. Use it or Next, not both.
func (o *Object) Reader() io.Reader { return &objectReader{object: o} }

// objectReader copies what Next returns.
type objectReader struct {
	object *Object
	bytes  []byte
}

// Read implements io.Reader.
func (r *objectReader) Read(p []byte) (int, error) {
	for len(r.bytes) == 0 {
		b, err := r.object.Next()
		if err != nil {
			return 0, err
		}
		r.bytes = b
	}
	n := copy(p, r.bytes)
	r.bytes = r.bytes[n:]
	return n, nil
}

// WriteTo implements io.WriterTo, without copying.
func (r *objectReader) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for {
		b, err := r.object.Next()
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		n, err := w.Write(b)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
}
