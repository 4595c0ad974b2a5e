package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// incoming is a body that is to be received, with what is said of its checksums.
type incoming struct {
	body    io.Reader
	size    int64 // -1: unknown
	bucket  cluster.ChecksumType
	want    []cluster.ChecksumType
	expect  Sums
	trailer SumSource
	unique  string // names this write for the ETag of bytes without a checksum

	encrypt *Encrypt // nil: the bytes are stored as they come
	part    int      // whose bytes they are; 0: of an object
}

// body is what was received: durable in its place, or in memory when it will lie in the record. Exactly one of discard and
// the commit of its record ends it.
type body struct {
	disk   *disk.Disk
	size   int64
	etag   string
	sums   Sums // what is kept: the bucket's, what was asked for, and an MD5 that was needed anyway
	place  disk.Place
	inline []byte
	coding *meta.Coding // of the bytes in place; nil: they lie whole

	encryption *Encryption // of the bytes in place or inline
	kept       bool
	tokens     map[cluster.NodeID]sent // the bytes at other holders
}

// discard frees the bytes unless a commit took them over.
func (b *body) discard() {
	if !b.kept {
		b.disk.Free(b.place)
	}
}

// adopt brings a body that was received on another mountpath to the one of its key, which has moved since.
func (t *turn) adopt(ctx context.Context, b *body, record *meta.Record) error {
	if err := t.bring(ctx, b, record); err != nil {
		return err
	}
	record.Place = b.place
	return nil
}

// bring is adopt, but for what the record says of the place.
func (t *turn) bring(ctx context.Context, b *body, record *meta.Record) error {
	if b.disk == t.m.disk || b.place.Kind == disk.Nowhere {
		b.disk = t.m.disk
		return nil
	}
	place, err := transfer(ctx, b.disk, t.m.disk, b.place, record)
	if err != nil {
		return t.wrap(err)
	}
	b.disk.Free(b.place)
	b.disk, b.place = t.m.disk, place
	return nil
}

// transfer copies checked bytes from one disk to another, where they are durable when it returns, with the record beside them.
func transfer(ctx context.Context, from, to *disk.Disk, place disk.Place, record *meta.Record) (disk.Place, error) {
	in, err := from.Open(place)
	if err != nil {
		return disk.Place{}, err
	}
	defer in.Close()
	w, err := to.Create(ctx, place.Length)
	if err != nil {
		return disk.Place{}, err
	}
	defer w.Abort()
	if _, err := io.Copy(w, io.NewSectionReader(in, 0, place.Length)); err != nil {
		return disk.Place{}, err
	}
	footer, err := meta.EncodeFooter(record)
	if err != nil {
		return disk.Place{}, err
	}
	return w.Seal(ctx, footer)
}

// receive reads a body through the checksums into a place of its own, and makes it durable there. footer gives the record
// that is kept beside the bytes for salvage.
func (s *Store) receive(ctx context.Context, m *mountpath, n name, in incoming, footer func(*body) *meta.Record) (*body, error) {
	if err := m.writeErr(); err != nil {
		return nil, err
	}
	src := &source{ctx: ctx, body: in.body, hasher: newHasher(in.hashed(), in.want, in.expect)}
	b := &body{disk: m.disk}
	seal := newEncrypter(in.encrypt)
	defer seal.end()
	var out *outlet
	inline, err := s.receiveInline(m, src, in.size, seal.inlineMax(s.o.InlineMax))
	if err == nil && inline == nil {
		if out, err = s.outlet(ctx, m, n, src, in.size, seal); err == nil {
			defer out.abort()
			var stored io.Reader
			if stored, err = seal.reader(src); err == nil {
				err = out.take(stored)
			}
		}
	}
	switch {
	case src.err != nil:
		return nil, src.failure()
	case err != nil:
		return nil, err
	case in.size >= 0 && src.size != in.size:
		return nil, cluster.Fail("", "", cluster.KindInvalid, fmt.Sprintf("the body has %d bytes, not %d as declared", src.size, in.size))
	}
	b.size = src.size
	if err := b.check(src.hasher, in); err != nil {
		return nil, err
	}
	b.encryption = seal.encryption(in.part, b.size)
	if b.inline, err = seal.bytes(inline); err != nil {
		return nil, err
	}
	if out == nil {
		return b, nil
	}
	if b.size > 0 {
		b.coding = out.coding
	}
	if err := out.seal(ctx, b, footer(b)); err != nil {
		b.discard()
		return nil, err
	}
	return b, nil
}

// receiveInline reads a body that lies in its record when it is small enough. It returns nil when it is not; what was read by
// then is read again by the caller.
func (s *Store) receiveInline(m *mountpath, src *source, size, limit int64) ([]byte, error) {
	if size > limit || limit < 0 {
		return nil, nil
	}
	if err := m.disk.CheckSpace(max(size, limit)); err != nil {
		return nil, err
	}
	if size < 0 {
		return src.peek(int(limit))
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(src, data); err != nil && src.err == nil {
		return nil, cluster.E("", "", cluster.KindInvalid, err)
	}
	// The end must be seen: it may carry trailers, and there must be no more.
	if n, _ := src.Read(make([]byte, 1)); n > 0 {
		src.size += int64(n)
	}
	return data, nil
}

// check verifies the checksums that are expected, and keeps those that are to be kept.
func (b *body) check(h *hasher, in incoming) error {
	sums := h.sums()
	if t := sums.differs(in.expect); t != "" {
		return cluster.Fail("", "", cluster.KindChecksum, fmt.Sprintf("the body does not have the %s that the request states", t))
	}
	if in.trailer != nil {
		late, err := in.trailer.Sums()
		if err != nil {
			return err
		}
		if t := sums.differs(late); t != "" {
			return cluster.Fail("", "", cluster.KindChecksum, fmt.Sprintf("the body does not have the %s that its trailer states", t))
		}
	}
	if in.secret() {
		b.etag = Sums(nil).etag(b.size, in.unique)
		b.sums = sums.only(func(t cluster.ChecksumType) bool { return slices.Contains(in.want, t) })
		return nil
	}
	b.etag = sums.etag(b.size, in.unique)
	b.sums = sums.only(func(t cluster.ChecksumType) bool {
		return t == in.bucket || t == cluster.ChecksumMD5 || slices.Contains(in.want, t)
	})
	return nil
}

// secret reports whether neither ETag nor checksums that nobody asked for may tell what the bytes are.
func (in *incoming) secret() bool { return in.encrypt != nil && in.encrypt.IsSecret() }

// hashed is the checksum that is computed also when nobody asks for it.
func (in *incoming) hashed() cluster.ChecksumType {
	if in.secret() {
		return cluster.ChecksumNone
	}
	return in.bucket
}

// source reads a body, counts and hashes it, and remembers why it ended.
type source struct {
	ctx    context.Context
	body   io.Reader
	hasher *hasher
	ahead  []byte // read and hashed by peek
	size   int64
	err    error // of the body; not io.EOF
	ended  bool
}

// Read implements io.Reader for the disk's writer.
func (s *source) Read(p []byte) (int, error) {
	if len(s.ahead) > 0 {
		n := copy(p, s.ahead)
		s.ahead = s.ahead[n:]
		return n, nil
	}
	switch {
	case s.ended:
		return 0, io.EOF
	case s.err != nil:
		return 0, s.err
	case s.ctx.Err() != nil:
		s.err = context.Cause(s.ctx)
		return 0, s.err
	}
	n, err := s.body.Read(p)
	s.hasher.write(p[:n])
	s.size += int64(n)
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		s.ended = true
		return n, io.EOF
	}
	s.err = err
	return n, err
}

// peek reads the whole body when it has at most limit bytes. Else it returns nil, and Read gives everything again.
func (s *source) peek(limit int) ([]byte, error) {
	buf, _ := peekBuffers.Get().(*[]byte)
	if buf == nil || cap(*buf) <= limit {
		b := make([]byte, limit+1)
		buf = &b
	}
	n, err := io.ReadFull(s, (*buf)[:limit+1])
	if err == nil {
		s.ahead = (*buf)[:n] // stays with the body
		return nil, nil
	}
	data := make([]byte, n)
	copy(data, *buf)
	peekBuffers.Put(buf)
	return data, nil
}

// gather reads up to limit bytes ahead, and sets size when that is the whole body.
func (s *source) gather(limit int, size *int64) error {
	whole, err := s.peek(limit)
	if whole != nil {
		s.ahead, *size = whole, int64(len(whole))
	}
	return err
}

var peekBuffers sync.Pool // of *[]byte

// failure is the error of a body that did not come whole.
func (s *source) failure() error {
	var classified *cluster.Error
	switch {
	case errors.As(s.err, &classified):
		return s.err
	case errors.Is(s.err, io.ErrUnexpectedEOF):
		return cluster.E("", "", cluster.KindInvalid, fmt.Errorf("the body ended after %d bytes: %w", s.size, s.err))
	case errors.Is(s.err, context.Canceled), errors.Is(s.err, context.DeadlineExceeded):
		return cluster.E("", "", cluster.KindTimeout, s.err)
	}
	return s.err
}
