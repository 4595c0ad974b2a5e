package control

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/internal/state"
)

// TestConfirmCountsVotersNotAddresses: a leader that is alone, and believes that another voter is where it is itself, must not
// count its own word twice.
func TestConfirmCountsVotersNotAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(1, flaw{})
		defer s.shutDown()
		if !s.form(3) {
			t.Fatal(s.checks.found())
		}
		time.Sleep(5 * time.Second) // until all three have votes
		var leader *term
		for _, n := range s.all() {
			if l := n.running().control.term.Load(); l != nil {
				leader = l
			}
		}
		if leader == nil {
			t.Fatal("nobody leads")
		}
		if err := leader.confirm(); err != nil {
			t.Fatal(err)
		}
		self := leader.options.Node.ID
		for _, n := range s.all() {
			if n.id != self {
				leader.book.note(cluster.Node{ID: n.id, IntraAddr: string(self)})
			}
		}
		if err := leader.confirm(); err == nil {
			t.Error("a leader confirmed itself in the name of the others")
		}
	})
}

// aloneTerm is a term whose leader has applied the given maps, and does nothing by itself.
func aloneTerm(active, pending *cluster.Map) *term {
	c := New(Options{})
	s := state.New()
	s.Active, s.Pending = active, pending
	c.view.Store(&View{state: s, next: make(chan struct{})})
	t := &term{Control: c, changed: newSignal()}
	t.mu.holders = make(map[process]*holder)
	return t
}

// TestStaleGiveUp: a node that a map is to be without gives its lease up, the map is cancelled, the node gets another lease;
// then a copy of its first report arrives.
func TestStaleGiveUp(t *testing.T) {
	node := cluster.Node{ID: "n", Incarnation: 7}
	p := processOf(node)
	with := &cluster.Map{Version: 1}
	with.SetNode(node)
	without := &cluster.Map{Version: 2}
	report := renewal{Node: node.ID, Incarnation: node.Incarnation, Ack: acknowledgement{Map: 2}, GiveUp: true}
	leased := func(l *term) bool {
		_, leased := l.mu.holders[p].leased(l.clock.Now())
		return leased
	}

	l := aloneTerm(with, nil)
	l.note(p, renewal{Node: node.ID, Incarnation: node.Incarnation})
	if !l.grant(p).Granted {
		t.Fatal("no lease")
	}
	l.note(p, report)
	if !leased(l) {
		t.Error("a report from before the lease gave it up")
	}
	l.view.Store(aloneTerm(with, without).View())
	l.note(p, report)
	if leased(l) {
		t.Error("the lease lasts although it was given up")
	}

	l = aloneTerm(with, nil)
	l.note(p, renewal{Node: node.ID, Incarnation: node.Incarnation})
	l.grant(p)
	l.note(p, renewal{Node: node.ID, Incarnation: node.Incarnation, GiveUp: true, Last: true})
	if leased(l) {
		t.Error("the lease lasts although its holder has stopped")
	}
}

// TestGrantsOutOfOrder: whoever reads the clock first may note its grant second.
func TestGrantsOutOfOrder(t *testing.T) {
	h := &holder{}
	h.add(grant{until: 12, index: 3}, 2)
	h.add(grant{until: 10, index: 3}, 1)
	if rest, _ := h.leased(0); rest != 12 || len(h.grants) != 1 {
		t.Fatalf("a lease until 12 is taken to end at %d", rest)
	}
}
