package store

import (
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/ec"
)

// TestPatience: a holder that was silent is not waited for as long as enough others answer, for a while.
func TestPatience(t *testing.T) {
	now := time.Hour
	s := &Store{o: Options{Node: "t1", Clock: func() time.Duration { return now }}}
	code, err := ec.New(ec.Shape{Data: 2, Parity: 1, Block: 1024})
	if err != nil {
		t.Fatal(err)
	}
	x := &spread{store: s, holders: []cluster.Holder{{Node: "t1"}, {Node: "t2"}, {Node: "t3"}}, here: &mountpath{}, code: code}
	f := func(node cluster.NodeID, want time.Duration) {
		t.Helper()
		if got := x.patience(node); got != want {
			t.Errorf("%s is waited for %v, want %v", node, got, want)
		}
	}
	f("t3", silence)
	s.silents.note("t3", false, now)
	f("t3", silentPatience)
	f("t2", silence)
	s.silents.note("t2", false, now) // now both are needed
	f("t3", silence)
	f("t2", silence)
	s.silents.note("t2", true, now)
	f("t3", silentPatience)
	x.except = "t2"
	f("t3", silence)
	x.except, x.here = "", nil
	f("t3", silence)
	x.here = &mountpath{}
	now += silentMemory
	f("t3", silence)
}
