package state

import (
	"fmt"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// TestOutcomes: outcomes are forgotten after a while, by the time in the commands, but the latest are not: the clock of a leader
// may jump.
func TestOutcomes(t *testing.T) {
	s, index, now := New(), uint64(0), time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	apply := func(c Command) {
		t.Helper()
		index++
		c.Time = now
		data, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if s, _, err = s.Apply(index, data); err != nil {
			t.Fatal(err)
		}
	}
	request := 0
	decide := func(count int) {
		for range count {
			request++
			apply(Command{Request: cluster.RequestID(fmt.Sprint("r", request)), SetSettings: &SetSettings{}})
		}
	}
	kept := func(first, last int) {
		t.Helper()
		_, before := s.Outcome(cluster.RequestID(fmt.Sprint("r", first-1)))
		_, from := s.Outcome(cluster.RequestID(fmt.Sprint("r", first)))
		if before || !from || len(s.Outcomes) != last-first+1 {
			t.Fatalf("%d outcomes, from %s on, want %d to %d", len(s.Outcomes), s.Outcomes[0].Request, first, last)
		}
	}
	apply(Command{Form: &Form{ClusterID: "c1", Format: Format, Node: cluster.Node{ID: "a", Incarnation: 1}}})
	decide(10)
	now = now.Add(1000 * time.Hour) // another leader
	decide(1)
	now = now.Add(-1000 * time.Hour) // and another
	decide(1)
	kept(1, 12)
	decide(2000)
	kept(11, 2012)
	now = now.Add(1001 * time.Hour)
	decide(2000)
	kept(2013, 4012)
	now = now.Add(11 * time.Minute)
	decide(1)
	kept(4013-outcomeLatest+1, 4013)
	decide(outcomeLimit)
	kept(4014, 4013+outcomeLimit)
}
