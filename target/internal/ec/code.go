package ec

import (
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/reedsolomon"
)

// BlockSize is the size of a block of every stripe but the last, in bytes that are written now.
const BlockSize = 64 << 10

// Limits of a Shape that is read from elsewhere.
const (
	maxShards = 256
	maxBlock  = 16 << 20
)

// Shape tells one code from others: what must be known to read shards again.
type Shape struct {
	Data   int // shards that are enough
	Parity int // shards beside them
	Block  int // bytes of a block in a whole stripe
}

// Width is how many shards there are.
func (s Shape) Width() int { return s.Data + s.Parity }

// ShardLength returns the length of each shard of so many bytes.
func (s Shape) ShardLength(size int64) int64 {
	stripe := int64(s.Data) * int64(s.Block)
	return size/stripe*int64(s.Block) + s.last(size%stripe)
}

// last is the length of the blocks of a stripe of so many bytes, fewer than a whole one has.
func (s Shape) last(bytes int64) int64 { return (bytes + int64(s.Data) - 1) / int64(s.Data) }

// stripe returns where a stripe begins in the bytes, how many of them it has, and how long its blocks are.
func (s Shape) stripe(n, size int64) (at, bytes, block int64) {
	whole := int64(s.Data) * int64(s.Block)
	at = n * whole
	if bytes = min(whole, size-at); bytes == whole {
		return at, bytes, int64(s.Block)
	}
	return at, bytes, s.last(bytes)
}

// Code encodes and decodes one shape. It may be used by many at the same time.
type Code struct {
	Shape
	matrix  reedsolomon.Encoder
	stripes sync.Pool // of *stripe
}

// New returns the code of a shape.
func New(s Shape) (*Code, error) {
	if s.Data < 1 || s.Parity < 1 || s.Width() > maxShards || s.Block < 1 || s.Block > maxBlock {
		return nil, fmt.Errorf("there is no code of shape %+v", s)
	}
	matrix, err := reedsolomon.New(s.Data, s.Parity, reedsolomon.WithMaxGoroutines(1))
	if err != nil {
		return nil, err
	}
	return &Code{Shape: s, matrix: matrix}, nil
}

// stripe is room for the blocks of one stripe: those of data lie one behind the other.
type stripe struct {
	bytes  []byte
	shards [][]byte // of bytes, cut to the length of the blocks
}

func (c *Code) newStripe() *stripe {
	if s, ok := c.stripes.Get().(*stripe); ok {
		return s
	}
	return &stripe{bytes: make([]byte, c.Width()*c.Block), shards: make([][]byte, c.Width())}
}

// cut gives each shard its block of that length.
func (s *stripe) cut(block int64) {
	for i := range s.shards {
		s.shards[i] = s.bytes[int64(i)*block : int64(i+1)*block]
	}
}

// Encode reads to the end of r and hands out the blocks of all shards, stripe by stripe. A block is valid during the call.
func (c *Code) Encode(r io.Reader, put func(shard int, block []byte) error) (size int64, err error) {
	s := c.newStripe()
	defer c.stripes.Put(s)
	data := s.bytes[:c.Data*c.Block]
	for {
		n, ended, err := fill(r, data)
		size += int64(n)
		if err == nil && n > 0 {
			err = c.encode(s, n, put)
		}
		if err != nil || ended {
			return size, err
		}
	}
}

// fill is io.ReadFull, but for the end: bytes that end early are an error of r, and not the end.
func fill(r io.Reader, p []byte) (n int, ended bool, err error) {
	for idle := 0; n < len(p); idle++ {
		m, err := r.Read(p[n:])
		n += m
		switch {
		case err == io.EOF:
			return n, true, nil
		case err != nil:
			return n, false, err
		case m > 0:
			idle = 0
		case idle == 100:
			return n, false, io.ErrNoProgress
		}
	}
	return n, false, nil
}

// encode hands out one stripe, whose bytes lie in s.
func (c *Code) encode(s *stripe, bytes int, put func(shard int, block []byte) error) error {
	_, _, block := c.stripe(0, int64(bytes))
	s.cut(block)
	clear(s.bytes[bytes : int64(c.Data)*block])
	if err := c.matrix.Encode(s.shards); err != nil {
		return err
	}
	for i, b := range s.shards {
		if err := put(i, b); err != nil {
			return err
		}
	}
	return nil
}
