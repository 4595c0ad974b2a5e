package front

import (
	"context"
	"sync"

	"github.com/aisle-store/aisle/cluster"
)

// settlingKey names a key.
type settlingKey struct {
	bucket cluster.BucketID
	key    cluster.ObjectKey
}

// settling has each key moved once, whoever waits for it.
type settling struct {
	mu   sync.Mutex
	busy map[settlingKey]chan struct{} // guarded by mu: closed when whoever moves the key is done, or has given up
}

// take waits until nobody moves a key. Then it is the caller's to move until release.
func (s *settling) take(ctx context.Context, k settlingKey) (release func(), err error) {
	for {
		s.mu.Lock()
		other := s.busy[k]
		if other == nil {
			break
		}
		s.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	defer s.mu.Unlock()
	if s.busy == nil {
		s.busy = make(map[settlingKey]chan struct{})
	}
	done := make(chan struct{})
	s.busy[k] = done
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.busy, k)
		close(done)
	}, nil
}
