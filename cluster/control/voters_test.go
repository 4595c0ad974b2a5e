package control

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aisle-store/aisle/cluster"
)

// parseMembers reads "a:VP/z1 b:C/z2": id, flags and zone. Flags: V votes, C has caught up, P proxy, D dead, L leaving,
// G gone, X not in the map, M in maintenance.
func parseMembers(list string) []voterCandidate {
	var all []voterCandidate
	for w := range strings.FieldsSeq(list) {
		id, rest, _ := strings.Cut(w, ":")
		flags, zone, _ := strings.Cut(rest, "/")
		has := func(f string) bool { return strings.Contains(flags, f) }
		all = append(all, voterCandidate{
			id: cluster.NodeID(id), voter: has("V"), caughtUp: has("C"), proxy: has("P"), alive: !has("D"), zone: zone,
			parked: has("M"), leaving: has("L") || has("G"), gone: has("G"), inMap: !has("L") && !has("G") && !has("X"),
		})
	}
	return all
}

func (a voterAction) String() string {
	return [...]string{"-", "add ", "demote ", "remove ", "hand over "}[a.kind] + string(a.node)
}

func TestPlanVoters(t *testing.T) {
	f := func(members, want string) {
		t.Helper()
		if got := planVoters(parseMembers(members), "a").String(); got != want {
			t.Errorf("%s: %s, want %s", members, got, want)
		}
	}
	// How many.
	f("a:V", "-")
	f("a:V b:C", "-")
	f("a:V b:C c:C", "add b")
	f("a:V b:V c:C", "add c")
	f("a:V b:V c:V d:C", "-")
	f("a:V b:V c:V d:C e:C", "add d")
	f("a:V b:V c:V d:V e:V f:C", "-")
	f("a:V b:V c:V d:V e:V f:V", "demote f")
	// Who is in maintenance votes only where nobody else can.
	f("a:V b:VM c:V", "-")
	f("a:V b:VM c:V d:C", "add d")
	f("a:V b:VM c:V d:V", "demote b")
	f("a:VM b:V c:V", "hand over a")
	f("a:VM b:VM c:VM", "-")
	// Not before it has caught up, and not alone where that makes an even number.
	f("a:V b: c:C", "-")
	f("a:V b: c:", "-")
	f("a:V b:V c: d:C", "add d")
	f("a:V b:V c:V d:C e:", "-")
	// Distinct zones, then proxies, then who votes already.
	f("a:V/1 b:C/1 c:C/2 d:C/1", "add c")
	f("a:V/1 b:V/1 c:V/2 d:C/3", "add d")
	f("a:V/1 b:V/1 c:V/2 d:V/3", "demote b")
	f("a:VP b:C c:CP d:C", "add c")
	f("a:VP b:V c:V d:CP", "add d")
	f("a:VP b:V c:V d:VP", "demote c")
	f("a:V b:C c:V d:V", "-")
	// A dead voter is replaced, first added, then removed; not without somebody to take its place.
	f("a:V b:VD c:V", "-")
	f("a:V b:VD c:V d:C", "add d")
	f("a:V b:VD c:V d:V", "demote b")
	f("a:V b:VD c:V d:CD", "-")
	// Who leaves loses the vote and then the membership; a leader hands over before.
	f("a:V b:V c:VL d:C", "add d")
	f("a:V b:V c:VL d:V", "demote c")
	f("a:V b:V c:G", "remove c")
	f("a:VL b:C", "add b")
	f("a:VL b:V", "hand over a")
	f("a:VL b:", "-")
	f("a:V b:VL", "demote b")
	f("a:VG b:V", "hand over a")
	f("a:V b:X", "-")
}

// TestPlanVotersEnds shows that the changes come to an end, from any start.
func TestPlanVotersEnds(t *testing.T) {
	for voters := range 1 << 7 {
		var list []string
		for i := range 7 {
			flags := "C"
			if voters&(1<<i) != 0 || i == 0 {
				flags += "V"
			}
			if i%2 == 0 {
				flags += "P"
			}
			list = append(list, fmt.Sprintf("%c:%s/%d", 'a'+i, flags, i%3))
		}
		all := parseMembers(strings.Join(list, " "))
		for step := 0; ; step++ {
			a := planVoters(all, "a")
			if a.kind == keepAsIs {
				break
			}
			if step > 20 {
				t.Fatalf("voters %07b: no end", voters)
			}
			for i := range all {
				if all[i].id == a.node {
					all[i].voter = a.kind == addVoter
				}
			}
		}
		n := 0
		for _, m := range all {
			if m.voter {
				n++
			}
		}
		if n != 5 {
			t.Errorf("voters %07b: %d at the end", voters, n)
		}
	}
}
