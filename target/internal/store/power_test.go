package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aisle-store/aisle/cluster"
)

// crashAll cuts the power of all nodes at the same moment: what none of them has synced is lost.
func (s *several) crashAll() {
	running := s.running()
	s.mu.Lock()
	for _, n := range s.nodes {
		n.process = nil
	}
	s.mu.Unlock()
	for _, p := range running {
		p.mu.Lock()
		p.dead = true
		p.mu.Unlock()
	}
	for _, p := range running {
		p.node.fs = p.node.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 0, RNG: rand.New(rand.NewPCG(1, 2))})
	}
	var work sync.WaitGroup
	for _, p := range running {
		work.Go(p.end)
	}
	work.Wait()
}

// lastWrites is what clients know of one key: what was acknowledged last, and what may have been written since.
type lastWrites struct {
	acknowledged []byte // nil: absent
	unknown      [][]byte
}

// The power of all nodes fails at once, again and again, in the middle of writes; they are started in any order. Every key shows
// what was acknowledged last, or what was being written.
func TestPowerLossOfAll(t *testing.T) {
	s := newSeveral(t, 3, 3, nil)
	const keys = 6
	known := make([]lastWrites, keys)
	random := rand.New(rand.NewPCG(7, 7))
	for round := range 4 {
		var stop atomic.Bool
		var writers sync.WaitGroup
		for k := range known {
			writers.Go(func() { s.writeUntil(&stop, k, round, &known[k]) })
		}
		time.Sleep(time.Duration(20+random.IntN(60)) * time.Millisecond)
		s.crashAll()
		stop.Store(true)
		writers.Wait()
		s.held = round%2 == 0 // the leader takes nobody out: owners wait for the others
		order := s.ids()
		random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, id := range order {
			s.start(id)
		}
		for k := range known {
			s.checkLast(k, round, &known[k])
		}
		s.held = false
		for _, id := range order {
			s.admit(id)
		}
		s.eventually("everybody is in sync again", func() bool {
			m := s.active()
			for i := sharedLayout * cluster.Slots; i < len(m.Slots); i++ {
				st := &m.Slots[i]
				if len(st.Holders) < 3 || slices.ContainsFunc(st.Holders, func(h cluster.Holder) bool { return !h.InSync }) {
					return false
				}
			}
			return true
		})
	}
	s.wantWhole()
}

// writeUntil writes and deletes a key, noting what is known of it.
func (s *several) writeUntil(stop *atomic.Bool, k, round int, known *lastWrites) {
	key := fmt.Sprintf("k%d", k)
	for i := 0; !stop.Load(); i++ {
		if i%4 == 3 {
			if _, err := s.tryDelete(key); err == nil {
				*known = lastWrites{}
			} else {
				known.unknown = append(known.unknown, nil)
				return
			}
			continue
		}
		data := pattern(round*10_000+k*1000+i, 100+i%3*6000)
		if _, err := s.tryPut(key, data, ""); err == nil {
			*known = lastWrites{acknowledged: data}
		} else {
			known.unknown = append(known.unknown, data)
			return
		}
	}
}

// checkLast reads a key, and notes what it shows from now on.
func (s *several) checkLast(k, round int, known *lastWrites) {
	s.t.Helper()
	got := again(s, func(cluster.RequestID) ([]byte, error) {
		data, err := s.tryGet(fmt.Sprintf("k%d", k))
		if cluster.Is(err, cluster.KindObjectNotFound) {
			return nil, nil
		}
		return data, err
	})
	for _, may := range append(known.unknown, known.acknowledged) {
		if bytes.Equal(got, may) && (got == nil) == (may == nil) {
			*known = lastWrites{acknowledged: got}
			return
		}
	}
	s.t.Errorf("round %d: key %d shows %d bytes that were neither acknowledged last nor being written", round, k, len(got))
}
