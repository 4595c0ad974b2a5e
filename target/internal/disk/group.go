package disk

import "sync"

// groupSync lets one sync serve all that is written before it begins. A writer takes a ticket when its write is done and
// waits for it; whoever finds no sync running runs one for all tickets given out by then. A failed sync fails for ever:
// the kernel may have dropped the dirty pages, so a later success would prove nothing.
type groupSync struct {
	run func() error // the sync

	mu struct {
		sync.Mutex
		given   uint64 // tickets given out
		durable uint64 // tickets up to this one are on stable storage
		running bool
		err     error
	}
	changed sync.Cond // durable, running or err changed
}

func newGroupSync(run func() error) *groupSync {
	g := &groupSync{run: run}
	g.changed.L = &g.mu.Mutex
	return g
}

// ticket stands for everything that the caller has written so far.
func (g *groupSync) ticket() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.given++
	return g.mu.given
}

// wait returns when what the ticket stands for is durable; led tells that this call ran a sync, for how many tickets.
func (g *groupSync) wait(ticket uint64) (led uint64, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.mu.durable < ticket {
		switch {
		case g.mu.err != nil:
			return led, g.mu.err
		case g.mu.running:
			g.changed.Wait()
		default:
			led += g.lead()
		}
	}
	return led, nil
}

// lead runs one sync with the lock released.
func (g *groupSync) lead() uint64 {
	covered, before := g.mu.given, g.mu.durable
	g.mu.running = true
	g.mu.Unlock()
	err := g.run()
	g.mu.Lock()
	g.mu.running = false
	if err != nil {
		g.mu.err = err
	} else {
		g.mu.durable = covered
	}
	g.changed.Broadcast()
	return covered - before
}
