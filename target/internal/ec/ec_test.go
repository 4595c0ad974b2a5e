package ec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func bytesOf(seed uint64, size int) []byte {
	b := make([]byte, size)
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func code(t testing.TB, s Shape) *Code {
	t.Helper()
	c, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// encoded returns all shards of some bytes.
func encoded(t testing.TB, c *Code, data []byte, in io.Reader) [][]byte {
	t.Helper()
	shards := make([][]byte, c.Width())
	size, err := c.Encode(in, func(i int, block []byte) error {
		shards[i] = append(shards[i], block...)
		return nil
	})
	if err != nil || size != int64(len(data)) {
		t.Fatalf("%d bytes of %d: %v", size, len(data), err)
	}
	for i, s := range shards {
		if int64(len(s)) != c.ShardLength(size) {
			t.Fatalf("%+v, %d bytes: shard %d has %d bytes, not %d", c.Shape, size, i, len(s), c.ShardLength(size))
		}
	}
	return shards
}

var errLost = errors.New("lost")

// kept are shards of which some are lost from an offset on: -1 for those that cannot be opened.
type kept struct {
	shards [][]byte
	ends   map[int]int64
	closed int
}

func (k *kept) open(i int, offset, length int64) (io.ReadCloser, error) {
	end, breaks := k.ends[i]
	if breaks && end < 0 {
		return nil, errLost
	}
	in := io.Reader(bytes.NewReader(k.shards[i][offset : offset+length]))
	if breaks {
		in = io.MultiReader(io.LimitReader(in, max(end-offset, 0)), &broken{})
	}
	return &counted{Reader: in, closed: &k.closed}, nil
}

type broken struct{}

func (*broken) Read([]byte) (int, error) { return 0, errLost }

type counted struct {
	io.Reader
	closed *int
}

func (c *counted) Close() error {
	*c.closed++
	return nil
}

// TestRoundTrip: any range of any bytes comes back, whichever shards are lost, from the beginning or in the middle, while
// enough are left; and any shard can be made again.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shape := Shape{
			Data: rapid.IntRange(1, 16).Draw(t, "data"), Parity: rapid.IntRange(1, 8).Draw(t, "parity"), Block: rapid.IntRange(1, 40).Draw(t, "block"),
		}
		c, err := New(shape)
		if err != nil {
			t.Fatal(err)
		}
		data := bytesOf(rapid.Uint64().Draw(t, "seed"), rapid.IntRange(0, 4*shape.Data*shape.Block).Draw(t, "size"))
		size := int64(len(data))
		shards := make([][]byte, c.Width())
		n, err := c.Encode(&slow{data, rapid.IntRange(1, 70).Draw(t, "read")}, func(i int, block []byte) error {
			shards[i] = append(shards[i], block...)
			return nil
		})
		if err != nil || n != size {
			t.Fatal(n, err)
		}
		k := &kept{shards: shards, ends: make(map[int]int64)}
		lost := rapid.IntRange(0, shape.Parity).Draw(t, "lost")
		for range lost {
			k.ends[rapid.IntRange(0, c.Width()-1).Draw(t, "shard")] = rapid.Int64Range(-1, max(c.ShardLength(size), 1)).Draw(t, "end")
		}
		offset := rapid.Int64Range(0, size).Draw(t, "offset")
		length := rapid.Int64Range(0, size-offset).Draw(t, "length")
		r, err := c.Open(size, offset, length, k.open)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, data[offset:offset+length]) {
			t.Fatalf("bytes %d to %d of %d: other bytes, %v", offset, offset+length, size, err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		i := rapid.IntRange(0, c.Width()-1).Draw(t, "made")
		if r, err = c.OpenShard(size, i, k.open); err != nil {
			t.Fatal(err)
		}
		if got, err = io.ReadAll(r); err != nil || !bytes.Equal(got, shards[i]) {
			t.Fatalf("shard %d: other bytes, %v", i, err)
		}
		_ = r.Close()
	})
}

// slow gives a few bytes at a time.
type slow struct {
	left []byte
	n    int
}

func (s *slow) Read(p []byte) (int, error) {
	if len(s.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.n)], s.left)
	s.left = s.left[n:]
	return n, nil
}

// TestEveryLoss loses every set of shards of 4+2: up to two cost nothing, three are told.
func TestEveryLoss(t *testing.T) {
	c := code(t, Shape{Data: 4, Parity: 2, Block: 64})
	data := bytesOf(1, 1000)
	shards := encoded(t, c, data, bytes.NewReader(data))
	for set := range 1 << c.Width() {
		k := &kept{shards: shards, ends: make(map[int]int64)}
		for i := range c.Width() {
			if set>>i&1 == 1 {
				k.ends[i] = -1
			}
		}
		r, err := c.Open(1000, 0, 1000, k.open)
		if len(k.ends) > c.Parity {
			if _, lost := errors.AsType[*Lost](err); !lost || !errors.Is(err, errLost) {
				t.Fatalf("%b: %v", set, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%b: %v", set, err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%b: %v", set, err)
		}
		_ = r.Close()
	}
}

// TestHealthyReads: what is there is read, and nothing else.
func TestHealthyReads(t *testing.T) {
	c := code(t, Shape{Data: 4, Parity: 2, Block: 100})
	data := bytesOf(1, 2000)
	k := &kept{shards: encoded(t, c, data, bytes.NewReader(data))}
	f := func(offset, length int64, want string) {
		t.Helper()
		opened := make([]string, c.Width())
		r, err := c.Open(2000, offset, length, func(i int, offset, length int64) (io.ReadCloser, error) {
			opened[i] = fmt.Sprintf("%d:%d+%d ", i, offset, length)
			return k.open(i, offset, length)
		})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data[offset:offset+length]) {
			t.Fatal(err)
		}
		_ = r.Close()
		got := ""
		for _, s := range opened {
			got += s
		}
		if got != want {
			t.Errorf("%d+%d: %q, want %q", offset, length, got, want)
		}
	}
	f(0, 2000, "0:0+500 1:0+500 2:0+500 3:0+500 ")
	f(0, 1, "0:0+100 ")
	f(399, 1, "3:0+100 ")
	f(420, 200, "0:100+100 1:100+100 2:100+100 ")
	f(390, 20, "0:0+200 1:0+200 2:0+200 3:0+200 ")
	f(0, 0, "")
}

// TestOneDataShard: with one data shard every shard is a copy.
func TestOneDataShard(t *testing.T) {
	c := code(t, Shape{Data: 1, Parity: 3, Block: 64})
	data := bytesOf(1, 150)
	for i, s := range encoded(t, c, data, bytes.NewReader(data)) {
		if !bytes.Equal(s, data) {
			t.Errorf("shard %d is no copy", i)
		}
	}
}

// TestBrokenBody: bytes that end with an error are no end, whatever the error.
func TestBrokenBody(t *testing.T) {
	c := code(t, Shape{Data: 2, Parity: 1, Block: 64})
	for _, err := range []error{errLost, io.ErrUnexpectedEOF} {
		in := io.MultiReader(bytes.NewReader(bytesOf(1, 100)), io.MultiReader(&failing{err}))
		if _, got := c.Encode(in, func(int, []byte) error { return nil }); !errors.Is(got, err) {
			t.Errorf("%v: %v", err, got)
		}
	}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

// TestShapes: what cannot be is refused.
func TestShapes(t *testing.T) {
	for _, s := range []Shape{{0, 1, 1}, {1, 0, 1}, {1, 1, 0}, {200, 100, 1}, {1, 1, 1 << 30}, {-1, 3, 1}} {
		if _, err := New(s); err == nil {
			t.Errorf("%+v", s)
		}
	}
	c := code(t, Shape{Data: 2, Parity: 1, Block: 64})
	if _, err := c.Open(10, 5, 6, nil); err == nil {
		t.Error("a range behind the end")
	}
	if _, err := c.OpenShard(10, 3, nil); err == nil {
		t.Error("a shard too many")
	}
}

// FuzzLengths: the length of a shard is what its stripes have.
func FuzzLengths(f *testing.F) {
	f.Add(uint8(4), uint8(2), uint16(64), uint32(1000))
	f.Fuzz(func(t *testing.T, data, parity uint8, block uint16, size uint32) {
		s := Shape{Data: int(data%16) + 1, Parity: int(parity%8) + 1, Block: int(block%512) + 1}
		var length int64
		left := int64(size % 100_000)
		whole := left
		for n := int64(0); left > 0; n++ {
			at, bytes, block := s.stripe(n, whole)
			if at != whole-left || bytes > left || block*int64(s.Data) < bytes || (block-1)*int64(s.Data) >= bytes {
				t.Fatalf("%+v, stripe %d of %d: %d bytes at %d in blocks of %d", s, n, whole, bytes, at, block)
			}
			left -= bytes
			length += block
		}
		if got := s.ShardLength(whole); got != length {
			t.Fatalf("%+v: %d bytes make shards of %d, not %d", s, whole, got, length)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	for _, s := range []Shape{{2, 1, BlockSize}, {4, 2, BlockSize}, {8, 3, BlockSize}, {16, 8, BlockSize}} {
		b.Run(fmt.Sprintf("%d+%d", s.Data, s.Parity), func(b *testing.B) {
			c := code(b, s)
			data := bytesOf(1, 8<<20)
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := c.Encode(bytes.NewReader(data), func(int, []byte) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, s := range []Shape{{2, 1, BlockSize}, {4, 2, BlockSize}, {8, 3, BlockSize}} {
		for lost := range 2 {
			b.Run(fmt.Sprintf("%d+%d/lost=%d", s.Data, s.Parity, lost), func(b *testing.B) {
				c := code(b, s)
				data := bytesOf(1, 8<<20)
				k := &kept{shards: encoded(b, c, data, bytes.NewReader(data)), ends: map[int]int64{}}
				if lost > 0 {
					k.ends[0] = -1
				}
				b.SetBytes(int64(len(data)))
				for b.Loop() {
					r, err := c.Open(int64(len(data)), 0, int64(len(data)), k.open)
					if err != nil {
						b.Fatal(err)
					}
					for err == nil {
						_, err = r.Next()
					}
					_ = r.Close()
				}
			})
		}
	}
}
