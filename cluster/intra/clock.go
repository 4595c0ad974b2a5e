package intra

import (
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// HeaderClock carries the clock of the node that replies, on replies between nodes to writes and on refusals (ClockText).
// It is never sent to a client.
const HeaderClock = "Aisle-Clock"

const (
	// clockFresh is how old a reading may be that a refusal of age is believed with: by then it has lost 3 s to drift.
	clockFresh = 30 * time.Second
	// Clocks may differ in rate by a tenth.
	driftOver, driftUnder = 11, 10
)

// ClockText is the value of HeaderClock: now, by the clock of the process with that incarnation.
func ClockText(i cluster.Incarnation, now time.Duration) string {
	b := strconv.AppendUint(make([]byte, 0, 40), uint64(i), 16)
	return string(strconv.AppendInt(append(b, ' '), int64(now), 10))
}

// Clocks is what a gateway knows of the clocks of owners, so that they can tell how old an attempt is without comparing the
// wall clocks of two machines. It is safe for concurrent use.
type Clocks struct {
	now func() time.Duration

	mu       sync.Mutex
	readings map[cluster.NodeID]reading // guarded by mu: of the latest incarnation that answered
}

// reading says that the clock of an incarnation had passed its value when the gateway's own showed received.
type reading struct {
	incarnation cluster.Incarnation
	value       time.Duration
	received    time.Duration
}

// NewClocks returns clocks that nothing is known of. now is the gateway's own; it never goes back, and goes on while the
// machine sleeps.
func NewClocks(now func() time.Duration) *Clocks {
	return &Clocks{now: now, readings: make(map[cluster.NodeID]reading)}
}

// Now is the gateway's own clock.
func (c *Clocks) Now() time.Duration { return c.now() }

// Note takes in a HeaderClock of a node. Text that is none changes nothing.
func (c *Clocks) Note(node cluster.NodeID, text string) {
	if text == "" {
		return
	}
	first, second, _ := strings.Cut(text, " ")
	incarnation, err1 := strconv.ParseUint(first, 16, 64)
	value, err2 := strconv.ParseInt(second, 10, 64)
	if err1 != nil || err2 != nil || incarnation == 0 {
		return
	}
	r := reading{cluster.Incarnation(incarnation), time.Duration(value), c.now()}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.readings[node]; !ok || old.incarnation != r.incarnation || old.at(r.received) < r.value {
		c.readings[node] = r
	}
}

// at is a lower bound of what the clock showed when the gateway's own showed local.
func (r reading) at(local time.Duration) time.Duration {
	if local < r.received {
		return r.value - (r.received-local)/driftUnder*driftOver - driftOver // what the division dropped
	}
	return r.value + (local-r.received)/driftOver*driftUnder
}

// Stamp notes in a grant for a write when its request began, by the owner's clock: no later than that showed when the
// gateway's own showed began. Without a reading of that incarnation it leaves the grant without one, which the owner
// refuses, telling its clock. sure is false when a refusal may be due to that, or to a reading that is old: then the
// attempt is worth repeating at once.
func (c *Clocks) Stamp(g *Grant, owner cluster.Incarnation, began time.Duration) (sure bool) {
	c.mu.Lock()
	r, ok := c.readings[g.Owner]
	c.mu.Unlock()
	g.Incarnation, g.Began = 0, 0
	if !ok || r.incarnation != owner {
		return false
	}
	g.Incarnation, g.Began = owner, r.at(began)
	return c.now()-r.received < clockFresh
}
