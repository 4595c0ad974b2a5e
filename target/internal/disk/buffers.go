package disk

import (
	"sync"
	"sync/atomic"
)

const (
	smallBuffer = 16 << 10
	largeBuffer = 128 << 10
	readBuffer  = 256 << 10
)

// buffers hands out memory for bytes on their way. What writers of extents hold is bounded; they ask with try and go to a
// blob when it is used up.
type buffers struct {
	limit int64
	held  atomic.Int64

	small, large, read sync.Pool
}

// try returns a buffer for an extent being received, of the small size when that is enough for want bytes, or nil.
func (b *buffers) try(want int64) []byte {
	size := int64(largeBuffer)
	if want <= smallBuffer {
		size = smallBuffer
	}
	if b.held.Add(size) > b.limit {
		b.held.Add(-size)
		return nil
	}
	if size == smallBuffer {
		return take(&b.small, smallBuffer)
	}
	return take(&b.large, largeBuffer)
}

// giveBack ends the use of a buffer that try returned.
func (b *buffers) giveBack(p []byte) {
	b.held.Add(-int64(cap(p)))
	b.drop(p)
}

// one returns a buffer for a blob being received.
func (b *buffers) one() []byte { return take(&b.large, largeBuffer) }

// reader returns a buffer for a reader that needs n bytes at a time at most.
func (b *buffers) reader(n int64) []byte {
	switch {
	case n <= smallBuffer:
		return take(&b.small, smallBuffer)
	case n <= largeBuffer:
		return take(&b.large, largeBuffer)
	default:
		return take(&b.read, readBuffer)
	}
}

// drop puts a buffer back into its pool.
func (b *buffers) drop(p []byte) {
	p = p[:0]
	switch cap(p) {
	case smallBuffer:
		b.small.Put((*[smallBuffer]byte)(p[:smallBuffer]))
	case largeBuffer:
		b.large.Put((*[largeBuffer]byte)(p[:largeBuffer]))
	case readBuffer:
		b.read.Put((*[readBuffer]byte)(p[:readBuffer]))
	}
}

// take returns an empty slice with the given capacity.
func take(pool *sync.Pool, size int) []byte {
	switch p := pool.Get().(type) {
	case *[smallBuffer]byte:
		return p[:0]
	case *[largeBuffer]byte:
		return p[:0]
	case *[readBuffer]byte:
		return p[:0]
	}
	return make([]byte, 0, size)
}
