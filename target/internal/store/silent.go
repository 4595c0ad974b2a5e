package store

import (
	"sync"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// silentPatience is how long a holder that was silent of late is waited for when others can stand in for it, and silentMemory
// is how long that goes on after it was silent last.
const (
	silentPatience = 50 * time.Millisecond
	silentMemory   = 10 * time.Second
)

// silents remembers which holders did not answer in time. Who reads shards waits long for one of them once, not at each object.
type silents struct {
	mu sync.Mutex
	at map[cluster.NodeID]time.Duration // guarded by mu: on the store's clock
}

// patience returns how long to wait for a node.
func (s *silents) patience(node cluster.NodeID, now time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, ok := s.at[node]; ok && now-at < silentMemory {
		return silentPatience
	}
	return silence
}

// note notes whether a node answered.
func (s *silents) note(node cluster.NodeID, answered bool, now time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if answered {
		delete(s.at, node)
		return
	}
	if s.at == nil {
		s.at = make(map[cluster.NodeID]time.Duration)
	}
	s.at[node] = now
}
