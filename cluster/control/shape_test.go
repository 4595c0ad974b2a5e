package control

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/internal/state"
)

// parseStandings reads "a b:D c:B": all targets, with what is the matter with them. D is dead, A away for less than the repair
// delay (and its lease has ended), F away for longer, B barred, S suspect, L leaving, P parked, X lost.
func parseStandings(list string) standings {
	all := make(standings)
	for w := range strings.FieldsSeq(list) {
		id, flags, _ := strings.Cut(w, ":")
		has := func(f string) bool { return strings.Contains(flags, f) }
		all[cluster.NodeID(id)] = standing{
			leased: !has("A") && !has("D") && !has("F"), near: !has("F") || has("P"), dead: has("D") || has("F"),
			barred: has("B") || has("S") || has("L") || has("P"), suspect: has("S"), leaving: has("L"), parked: has("P"), lost: has("X"),
		}
	}
	return all
}

// parseHolders reads "a b c~ d!", and "a0 b1~" with shards: ~ catches up, ! is partial.
func parseHolders(list string) []cluster.Holder {
	var holders []cluster.Holder
	for w := range strings.FieldsSeq(list) {
		id, lagging := strings.CutSuffix(w, "~")
		id, partial := strings.CutSuffix(id, "!")
		h := cluster.Holder{Node: cluster.NodeID(id), InSync: !lagging, Partial: partial}
		if len(id) > 1 {
			h.Node, h.Shard = cluster.NodeID(id[:1]), id[1]-'0'
		}
		holders = append(holders, h)
	}
	return holders
}

func showPlaces(places []state.Place, layout cluster.Layout) string {
	var words []string
	for _, p := range places {
		w := string(p.Node)
		if layout.Data > 0 {
			w += fmt.Sprint(p.Shard)
		}
		if !p.InSync {
			w += "~"
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}

func (d decision) show(layout cluster.Layout) string {
	switch {
	case d.heir != "":
		return "heir " + string(d.heir)
	case d.places != nil:
		return showPlaces(d.places, layout)
	case d.owner != "":
		return "owner " + string(d.owner)
	}
	return "-"
}

// testRanking ranks the targets in the order of their names.
func testRanking(list string) (*ranking, []cluster.NodeID) {
	r := &ranking{standings: parseStandings(list)}
	var ranked []cluster.NodeID
	for w := range strings.FieldsSeq(list) {
		id, _, _ := strings.Cut(w, ":")
		if at := r.standings[cluster.NodeID(id)]; at.near && !at.leaving && !at.suspect {
			ranked = append(ranked, cluster.NodeID(id))
		}
	}
	return r, ranked
}

func TestShape(t *testing.T) {
	f := func(width int, holders, targets, want string) {
		t.Helper()
		r, ranked := testRanking(targets)
		layout := cluster.Layout{Copies: width}
		if got := r.decision(parseHolders(holders), ranked, layout).show(layout); got != want {
			t.Errorf("%d of %s in %s: %s, want %s", width, holders, targets, got, want)
		}
	}
	f(2, "a b", "a b c", "-")
	f(2, "", "a b c", "-")
	// The owner is lost, or suspect.
	f(2, "a b", "a:D b c", "heir b")
	f(3, "a b~ c", "a:D b c", "heir c")
	f(3, "a b c", "a:D b:A c", "heir c")
	f(3, "a b c", "a:D b:S c", "heir c")
	f(2, "a b~", "a:D b c", "-")
	f(1, "a", "a:F b c", "-")
	f(2, "a b", "a:S b c", "heir b")
	f(2, "a b~", "a:S b c", "a b~ c~")
	// Who is away for a moment, or cannot be asked, stays.
	f(2, "a b", "a:A b c", "-")
	f(2, "a b", "a b:A c", "-")
	f(2, "a b", "a b:D c", "-")
	// Copies are missing.
	f(2, "a b", "a b:F c", "a b c~")
	f(2, "a", "a b c", "a b~")
	f(2, "a", "a b:A c", "a c~")
	f(2, "a", "a b:B c", "a c~")
	f(2, "a", "a b:B c:B", "-")
	f(3, "a", "a b", "a b~")
	f(3, "a b c~", "a b c:F d", "a b c~ d~")
	// A target joins or comes back, and takes its place when it is in sync.
	f(2, "b c", "a b c", "b c a~")
	f(2, "b c a~", "a b c", "-")
	f(2, "b c a", "a b c", "b a")
	f(2, "b a", "a b c", "owner a")
	f(1, "b", "a b", "b a~")
	f(1, "b a", "a b", "owner a")
	f(1, "a b", "a b", "a")
	// Stand-ins go when nobody misses them.
	f(2, "a c b~", "a b c", "-")
	f(2, "a c b", "a b c", "a b")
	f(2, "a c b", "a b:A c", "-")
	// A target leaves.
	f(2, "a b", "a:L b c", "a b c~")
	f(2, "a b c", "a:L b c", "owner b")
	f(2, "b a c", "a:L b c", "b c")
	f(1, "a", "a:L b", "a b~")
	// The owner, or another one, is partial: a whole one takes over, and gives the others what they lost.
	f(2, "a! b", "a b c", "heir b")
	f(2, "a! b!", "a b c", "-")
	f(2, "a! b~", "a b c", "-")
	f(2, "a b! c~", "a b c:L", "a b~ c~")
	f(2, "a b!", "a:D b c", "-")
	f(1, "a!", "a b", "-")
	f(1, "b!", "a b", "b a~")
	// A target is in maintenance: it owns nothing that another one can own, and nobody takes its place.
	f(2, "a b", "a:P b c", "heir b")
	f(2, "b a", "a:P b c", "-")
	f(2, "b a", "a:PF b c", "-")
	f(2, "b", "a:PF b c", "-")
	f(2, "b", "a:P b c", "-")
	f(1, "a", "a:P b", "-")
	f(3, "b a c", "a:PF b:F c d", "heir c")
	f(3, "c a b", "a:PF b:F c d", "c a b d~")
	f(2, "b c", "a:P b c", "-")
	f(2, "b c", "a b c", "b c a~")
	// A target is lost, and with it what nobody else has.
	f(1, "a", "a:FLX b c", "heir b")
	f(1, "a c~", "a:FLX b c", "heir c")
	f(2, "a b", "a:FLX b c", "heir b")
	f(2, "a b", "a:FLX b:F c", "-")
	f(2, "a b", "a:FLX b:FLX c", "heir c")
	f(1, "a", "a:LX b c", "a b~")
	// Who is in maintenance is replaced when writes would be refused without it.
	g := func(holders, targets, want string) {
		t.Helper()
		r, ranked := testRanking(targets)
		layout := cluster.Layout{Copies: 2}
		r.least = map[cluster.Layout]int{layout: 2}
		if got := r.decision(parseHolders(holders), ranked, layout).show(layout); got != want {
			t.Errorf("%s in %s, two awake: %s, want %s", holders, targets, got, want)
		}
	}
	g("a b", "a:P b c", "heir b")
	g("b a", "a:P b c", "b a c~")
	g("b a c", "a:P b c", "-")
	g("b", "a:PF b c", "b c~")
	g("b a c", "a b c", "b a")
}

// TestShapeOfShards: of those that are to hold a slot each keeps another shard, and does not change it without need.
func TestShapeOfShards(t *testing.T) {
	f := func(holders, targets, want string) {
		t.Helper()
		r, ranked := testRanking(targets)
		layout := cluster.Layout{Data: 2, Parity: 1}
		if got := r.decision(parseHolders(holders), ranked, layout).show(layout); got != want {
			t.Errorf("%s in %s: %s, want %s", holders, targets, got, want)
		}
	}
	f("a0 b1 c2", "a b c d", "-")
	f("b1 a0 c2", "a b c", "owner a")
	f("a0 b1 c2", "a:D b c", "heir b")
	// A target joins: it gets the shard of the one that it replaces, which stays until then.
	f("b0 c1 d2", "a b c d", "b0 c1 d2 a2~")
	f("b0 c1 d2 a2~", "a b c d", "-")
	f("b0 c1 d2 a2", "a b c d", "b0 c1 a2")
	f("d0 c1 b2", "a b c d", "d0 c1 b2 a0~")
	f("d0 c1 b2 a0", "a b c d", "owner a") // the owner stays until another one takes over
	f("a0 d0 c1 b2", "a b c d", "a0 c1 b2")
	// One is away for long, and another one stands in; who comes back takes over from it.
	f("a0 b1 c2", "a b:F c d", "a0 b1 c2 d1~")
	f("a0 b1 c2 d1", "a b:F c d", "a0 c2 d1")
	f("a0 c2 d1", "a b c d", "a0 c2 d1 b1~")
	f("a0 c2", "a b:B c d", "a0 c2 d1~")
	f("a0 c2", "a b:A c", "-")
	f("a0 b1 c2", "a b c:F", "a0 b1")
	// Fewer than are needed are never left.
	f("a0 b1 c2", "a b:F c:F", "-")
	f("a0 b1~ c2", "a b c:F", "-")
	// Two that are wanted keep the same shard: the one that has less of it gets another.
	f("a0 b1 c2 d2~", "a c d b:F", "a0 b1 c2 d1~")
	f("a0 b1 c2 d2", "a c d b:F", "a0 b1 c2 d1~")
	f("a0 b1 c2~ d2", "a c d b:F", "a0 b1 c1~ d2")
	f("a0 b1 c2 d2~", "a b d c:F", "-")
	// A target leaves.
	f("a0 b1 c2", "a b c:L d", "a0 b1 c2 d2~")
	f("a0 b1 c2 d2", "a b c:L d", "a0 b1 d2")
}

func TestWithout(t *testing.T) {
	g := func(layout cluster.Layout, holders, targets, accused, want string) {
		t.Helper()
		r, ranked := testRanking(targets)
		r.active = &cluster.Map{}
		r.active.AddLayout(layout)
		for i := range r.active.Slots {
			r.active.Slots[i].Holders = parseHolders(holders)
		}
		r.rank = func(cluster.Slot) []cluster.NodeID { return ranked }
		var ids []cluster.NodeID
		for id := range strings.FieldsSeq(accused) {
			ids = append(ids, cluster.NodeID(id))
		}
		got := "-"
		if changes := r.without(ids, func(cluster.SlotState) bool { return true }); len(changes) > 0 {
			got = showPlaces(changes[0].Holders, layout)
			if len(changes) != 1 || changes[0].Slots.Len() != cluster.Slots {
				t.Errorf("%d changes of %d slots", len(changes), changes[0].Slots.Len())
			}
		}
		if got != want {
			t.Errorf("%s without %s: %s, want %s", holders, accused, got, want)
		}
	}
	f := func(width int, holders, targets, accused, want string) {
		t.Helper()
		g(cluster.Layout{Copies: width}, holders, targets, accused, want)
	}
	f(2, "a b", "a b c", "b", "a c~")
	f(2, "a b", "a b c", "c", "-")
	f(2, "a b", "a b c", "a", "-")
	f(3, "a b c", "a b c d", "b", "a c d~")
	f(3, "a b c", "a b c d", "b c", "a d~")
	f(3, "a b c~", "a b c d:A", "b", "a c~")
	f(1, "a b~", "a b c", "b", "a")
	f(2, "a! b", "a b c", "b", "-") // nobody else has what the owner lost
	f(3, "a! b c", "a b c d", "b", "a c d~")
	f(2, "a! b~", "a b c", "b", "a c~")
	shards := cluster.Layout{Data: 2, Parity: 1}
	g(shards, "a0 b1 c2", "a b c d", "b", "a0 c2 d1~")
	g(shards, "a0 b1 c2", "a b c", "b", "a0 c2")
	g(shards, "a0 c2", "a b:A c", "c", "-")
	g(shards, "a0 c2 d1~", "a b:A c d", "d", "a0 c2")
	g(shards, "a0 c2 d1~", "a b:A c d", "c", "-")
	g(shards, "a0 b1 c2 d2", "a b c d", "b c", "a0 d2")
	g(shards, "a0 b1 c2 d2", "a b c d", "c d", "a0 b1")
	g(shards, "a0 b1 c2 d2", "a b:F c d e", "c", "a0 b1 d2 e1~")
}

func TestRankTargets(t *testing.T) {
	targets := []cluster.Node{{ID: "a", Weight: 1}, {ID: "b", Weight: 1}, {ID: "c", Weight: 3}}
	var r ranks
	order := r.of(targets, rankTargets)
	for _, slot := range []cluster.Slot{0, 7, cluster.SlotIn(2, 7), 7} {
		if got, want := fmt.Sprint(order(slot)), fmt.Sprint(cluster.RankTargets(slot, targets)); got != want {
			t.Errorf("slot %d: %s, want %s", slot, got, want)
		}
	}
	if fewer := r.of(targets[:1], rankTargets)(7); len(fewer) != 1 {
		t.Errorf("targets that are gone are ranked: %v", fewer)
	}
}
