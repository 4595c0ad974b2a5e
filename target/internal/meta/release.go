package meta

import (
	"io"
	"sync"
)

// releaser closes iterators on a goroutine of its own. The last reader of a version of the index takes Pebble's main lock
// when it closes, and that lock may be held by a goroutine that parked: a read must not wait for it.
type releaser struct {
	closers chan io.Closer
	dead    <-chan struct{}
	ended   sync.WaitGroup
}

func (r *releaser) start(dead <-chan struct{}) {
	r.closers, r.dead = make(chan io.Closer, 64), dead
	r.ended.Go(func() {
		for {
			select {
			case c, ok := <-r.closers:
				if !ok {
					return
				}
				_ = c.Close() // whoever reads has asked for errors before
			case <-dead:
				return
			}
		}
	})
}

// later closes c soon. On a dead index it may never be closed.
func (r *releaser) later(c io.Closer) {
	select {
	case r.closers <- c:
	case <-r.dead:
	}
}

// drain closes what was left when the index died.
func (r *releaser) drain() {
	r.ended.Wait()
	for {
		select {
		case c := <-r.closers:
			_ = c.Close()
		default:
			return
		}
	}
}

// stop waits until everything is closed.
func (r *releaser) stop() {
	close(r.closers)
	r.ended.Wait()
}
