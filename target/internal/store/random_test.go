package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/aisle-store/aisle/cluster"
)

// TestSeveralLinearizable lets clients race on few keys of three holders, while holders crash and come back, messages are
// lost, repeated and late, wall clocks are set to any time, and ownership moves, with copies and with shards, and checks the history of each key. AISLE_STORE_SEEDS=N runs more seeds.
func TestSeveralLinearizable(t *testing.T) {
	seeds, _ := strconv.Atoi(os.Getenv("AISLE_STORE_SEEDS"))
	first, _ := strconv.Atoi(os.Getenv("AISLE_STORE_FIRST"))
	for seed := uint64(first); seed < uint64(first+max(seeds, 2)); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			wantLinear(t, seed, raceSeveral(newSeveral(t, 3, 3, nil), seed))
		})
		if seeds == 0 && seed > 0 {
			continue
		}
		t.Run(fmt.Sprintf("%d/shards", seed), func(t *testing.T) {
			wantLinear(t, seed, raceSeveral(newCoded(t, 3, 2, 1, nil), seed))
		})
	}
}

func wantLinear(t *testing.T, seed uint64, history []porcupine.Operation) {
	t.Helper()
	t.Logf("%d operations", len(history))
	if result, _ := porcupine.CheckOperationsVerbose(register(), history, time.Minute); result != porcupine.Ok {
		t.Fatalf("seed %d: %d operations: %s", seed, len(history), result)
	}
}

// TestResilverLinearizable is the same while mountpaths are attached, drained and enabled, in the middle of all.
func TestResilverLinearizable(t *testing.T) {
	seeds, _ := strconv.Atoi(os.Getenv("AISLE_STORE_SEEDS"))
	for seed := range uint64(max(seeds, 1)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := newSeveral(t, 3, 3, onThree)
			s.also = (*several).shuffleDisks
			wantLinear(t, seed, raceSeveral(s, seed))
		})
	}
}

// shuffleDisks changes what one of the mountpaths of a node is used for.
func (s *several) shuffleDisks(r *rand.Rand) {
	id := nodeIDs[r.IntN(3)]
	s.mu.Lock()
	p := s.nodes[id].process
	s.mu.Unlock()
	n, _ := s.active().Node(id)
	all := slices.Clone(n.Mountpaths)
	if p == nil {
		return
	}
	if len(all) < 3 {
		mp := mountpaths(3)[2]
		mp.State = cluster.MountpathFilling
		all = append(all, mp)
	} else {
		at, used := r.IntN(3), 0
		for _, mp := range all {
			if mp.State == cluster.MountpathEnabled || mp.State == cluster.MountpathFilling {
				used++
			}
		}
		switch all[at].State {
		case cluster.MountpathDisabled, cluster.MountpathDraining:
			all[at].State = cluster.MountpathFilling
		case cluster.MountpathEnabled, cluster.MountpathFilling:
			if used > 1 {
				all[at].State = cluster.MountpathDraining
			}
		}
	}
	_ = s.remount(p, n.Remounted+1, all, false, nil) // refused when the node was faster
}

func raceSeveral(s *several, seed uint64) []porcupine.Operation {
	s.encrypts = seed%2 == 1
	start := time.Now()
	var mu sync.Mutex
	var history []porcupine.Operation
	var group sync.WaitGroup
	stop := make(chan struct{})
	for c := range 5 {
		group.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(c)))
			last := ""
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				i := input{key: fmt.Sprintf("k%d", r.IntN(3)), op: []string{"get", "get", "put", "delete", "create", "swap"}[r.IntN(6)], old: last}
				if i.op != "get" && i.op != "delete" {
					i.value = fmt.Sprintf("%d.%d", c, n)
					if r.IntN(3) == 0 {
						i.value += string(pattern(n, 6000))
					}
				}
				op := porcupine.Operation{ClientId: c, Input: i, Call: int64(time.Since(start))}
				o := s.do(i)
				op.Output, op.Return = o, int64(time.Since(start))
				if i.op == "get" && o.value != "" {
					last = o.value
				}
				mu.Lock()
				history = append(history, op)
				mu.Unlock()
				time.Sleep(time.Duration(r.IntN(3000)) * time.Microsecond)
			}
		})
	}
	late := s.disturb(rand.New(rand.NewPCG(seed, 99)), 4*time.Second)
	s.heal()
	close(stop)
	group.Wait()
	late.Wait()
	for key := range 3 { // what is there at the end is on every holder
		i := input{key: fmt.Sprintf("k%d", key), op: "get"}
		for range 3 {
			op := porcupine.Operation{ClientId: 9, Input: i, Call: int64(time.Since(start))}
			op.Output, op.Return = s.do(i), int64(time.Since(start))
			history = append(history, op)
			for _, id := range nodeIDs {
				s.promote(id, "")
			}
		}
	}
	return history
}

var nodeIDs = []cluster.NodeID{"t1", "t2", "t3"}

// do runs one operation as a gateway does: again, under one request id, until there is an answer.
func (s *several) do(i input) output {
	request := cluster.RequestID(fmt.Sprintf("r%d", s.requests.Add(1)))
	for begun := time.Now(); ; {
		if time.Since(begun) > time.Minute {
			s.t.Errorf("%s of %s: no answer for a minute", i.op, i.key)
			return output{}
		}
		p, call := s.at(i.key, request)
		if p == nil {
			time.Sleep(time.Millisecond)
			continue
		}
		o, err := s.onceAt(p, i, call)
		if p.CheckLease() == nil && !cluster.Is(err, cluster.KindUnavailable) {
			return o
		}
		time.Sleep(time.Millisecond)
	}
}

func (s *several) onceAt(p *process, i input, call Call) (o output, err error) {
	b := &bed{store: p.store, bucket: s.bucket}
	return b.once(i, call)
}

// disturb does what may happen to a cluster, for a while. The waiter is done when no late message is left.
func (s *several) disturb(r *rand.Rand, life time.Duration) *sync.WaitGroup {
	var late sync.WaitGroup
	var mu sync.Mutex
	network := rand.New(rand.NewPCG(r.Uint64(), 1)) // messages draw from it, in whatever order they come
	chance := func(n int) bool {
		mu.Lock()
		defer mu.Unlock()
		return network.IntN(n) == 0
	}
	var bad [2]cluster.NodeID // nothing gets from one to the other
	s.setFault(func(from, to cluster.NodeID, m string) error {
		mu.Lock()
		cut := bad[0] == from && bad[1] == to
		mu.Unlock()
		if cut || m != "pull" && m != "compare" && m != "fetch" && chance(200) {
			return errNetwork
		}
		return nil
	})
	s.setLost(func(_, _ cluster.NodeID, _ string) error {
		if chance(200) {
			return errNetwork
		}
		return nil
	})
	s.setRepeat(func(again func()) {
		if !chance(20) {
			return
		}
		late.Go(func() {
			time.Sleep(20 * time.Millisecond)
			again()
		})
	})
	down := cluster.NodeID("")
	for begun := time.Now(); time.Since(begun) < life; {
		time.Sleep(time.Duration(r.IntN(60)) * time.Millisecond)
		id := nodeIDs[r.IntN(3)]
		if s.also != nil && r.IntN(2) == 0 {
			s.also(s, r)
			continue
		}
		switch r.IntN(7) {
		case 6:
			s.nodes[id].ahead.Store(int64(time.Duration(r.IntN(101)-50) * time.Hour))
		case 0:
			if down == "" {
				down = id
				s.crash(id)
				if r.IntN(3) > 0 {
					s.promote(id, "")
				}
			}
		case 1, 2:
			if down != "" {
				s.start(down)
				down = ""
			}
		case 3:
			s.promote(id, "")
		case 4:
			mu.Lock()
			bad = [2]cluster.NodeID{id, nodeIDs[r.IntN(3)]}
			mu.Unlock()
		case 5:
			mu.Lock()
			bad = [2]cluster.NodeID{}
			mu.Unlock()
			for _, id := range nodeIDs {
				if id != down {
					s.admit(id)
				}
			}
		}
	}
	if down != "" {
		s.start(down)
	}
	return &late
}

// heal brings every node back in sync.
func (s *several) heal() {
	s.setFault(nil)
	s.setLost(nil)
	s.setRepeat(nil)
	for _, id := range nodeIDs {
		s.admit(id)
	}
	s.eventually("every node is in sync", func() bool {
		for _, id := range nodeIDs {
			if !s.allInSync(id) {
				s.admit(id)
				return false
			}
		}
		return true
	})
}

// setRepeat has f decide about each prepare whether it arrives once more.
func (s *several) setRepeat(f func(again func())) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.repeat = f
}

// repeated lets a message arrive again, at whatever process the node has by then.
func (p *process) repeated(to cluster.NodeID, r *PrepareRequest) {
	p.node.s.mu.Lock()
	repeat := p.node.s.repeat
	p.node.s.mu.Unlock()
	if repeat == nil {
		return
	}
	c := *r
	c.Records, c.Beside = copied(r.Records), copied(r.Beside)
	repeat(func() {
		_, _ = reach(p, to, "late", func(s *Store) (*PrepareReply, error) { return s.Prepare(context.Background(), &c) })
	})
}
