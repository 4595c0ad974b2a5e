package raftnode_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/internal/raftnode"
)

// chaos breaks a cluster at random and checks what clients were told.
type chaos struct {
	*simulation
	random *rand.Rand
	mu     struct {
		sync.Mutex
		down  map[*member]bool
		acked []string
		sure  map[string]bool // commands that were certainly refused
	}
}

// TestChaos crashes, restarts, cuts, pauses and delays members at random while clients propose. In the end, all members
// have applied the same commands, each at most once; every acknowledged one is among them, in the order of the
// acknowledgements of one client, and none that was certainly refused.
func TestChaos(t *testing.T) {
	for seed := range uint64(25) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &chaos{simulation: newSimulation(t, 3+2*int(seed%2)), random: rand.New(rand.NewPCG(seed, 7))}
				c.mu.down, c.mu.sure = make(map[*member]bool), make(map[string]bool)
				c.net.DelayAll(0, 20*time.Millisecond)
				c.run()
			})
		})
	}
}

func (c *chaos) run() {
	ctx, cancel := context.WithCancel(c.t.Context())
	var clients sync.WaitGroup
	for i := range 3 {
		clients.Go(func() { c.client(ctx, i) })
	}
	for range 40 {
		c.disturb()
		time.Sleep(time.Duration(c.random.IntN(1500)) * time.Millisecond)
	}
	cancel()
	clients.Wait()
	c.net.HealAll()
	for _, m := range c.members {
		c.net.Resume(m.id)
		c.restart(m)
	}
	c.propose(c.leader(), "last")
	c.judge()
	c.stop()
}

// disturb does one bad thing, or undoes some.
func (c *chaos) disturb() {
	m := c.members[c.random.IntN(len(c.members))]
	o := c.members[c.random.IntN(len(c.members))]
	switch c.random.IntN(8) {
	case 0:
		c.mu.Lock()
		down := c.mu.down[m]
		c.mu.down[m] = true
		c.mu.Unlock()
		if !down {
			m.Crash()
		}
	case 1, 2:
		c.restart(m)
	case 3:
		c.net.Cut(m.id, o.id)
	case 4:
		ids, _ := c.others(m)
		c.net.Partition([]cluster.NodeID{m.id}, ids)
	case 5:
		c.net.HealAll()
	case 6:
		c.net.Pause(m.id)
	case 7:
		c.net.Resume(m.id)
		c.net.Resume(o.id)
	}
}

func (c *chaos) restart(m *member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.down[m] {
		c.start(m)
		delete(c.mu.down, m)
	}
}

// client proposes one numbered command after another to whoever leads, and takes note of the answers.
func (c *chaos) client(ctx context.Context, id int) {
	for i := 0; ctx.Err() == nil; i++ {
		command := fmt.Sprintf("%d-%04d", id, i)
		time.Sleep(50 * time.Millisecond)
		e := c.alive(i)
		if e == nil {
			continue
		}
		call, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		_, _, err := e.Propose(call, []byte(command))
		cancel()
		c.mu.Lock()
		switch {
		case err == nil:
			c.mu.acked = append(c.mu.acked, command)
		case errors.As(err, new(*raftnode.NotLeaderError)):
			c.mu.sure[command] = true
		}
		c.mu.Unlock()
	}
}

// alive returns a leader or, without one, some member.
func (c *chaos) alive(i int) *raftnode.Engine {
	c.mu.Lock()
	defer c.mu.Unlock()
	up := slices.DeleteFunc(slices.Clone(c.members), func(m *member) bool { return c.mu.down[m] })
	for _, m := range up {
		if m.IsLeader() {
			return m.Engine
		}
	}
	if len(up) == 0 {
		return nil
	}
	return up[i%len(up)].Engine
}

func (c *chaos) judge() {
	want := []string(nil)
	c.until("all members agree", func() bool {
		want = c.members[0].journal.all()
		return slices.Contains(want, "last") &&
			!slices.ContainsFunc(c.members, func(m *member) bool { return !slices.Equal(m.journal.all(), want) })
	})
	at := make(map[string]int)
	for i, command := range want {
		if _, twice := at[command]; twice {
			c.t.Fatalf("%s was applied twice", command)
		}
		if c.mu.sure[command] {
			c.t.Fatalf("%s was refused and applied", command)
		}
		at[command] = i
	}
	latest := make(map[byte]int)
	for _, command := range c.mu.acked {
		i, ok := at[command]
		if !ok {
			c.t.Fatalf("%s was acknowledged and is lost", command)
		}
		if before, ok := latest[command[0]]; ok && i < before {
			c.t.Fatalf("%s was applied before an earlier command of its client", command)
		}
		latest[command[0]] = i
	}
	if len(c.mu.acked) < 20 {
		c.t.Fatalf("only %d commands went through", len(c.mu.acked))
	}
}
