package cluster

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// randomTable is a table as a cluster that has seen some changes has it.
func randomTable(r *rand.Rand, layouts, nodes int) SlotTable {
	states := make([]SlotState, 1+r.IntN(40))
	for i := range states {
		states[i].Epoch, states[i].Owned = Epoch(r.IntN(1000)), Epoch(r.IntN(1000))
		for range r.IntN(4) {
			states[i].Holders = append(states[i].Holders, Holder{
				Node: NodeID(fmt.Sprintf("node-%d", r.IntN(nodes))), InSync: r.IntN(2) == 0, Admitted: Epoch(r.IntN(1000)), Shard: uint8(r.IntN(1 + i%2*3)),
			})
		}
	}
	table := make(SlotTable, 0, layouts*Slots)
	for len(table) < cap(table) {
		s := states[r.IntN(len(states))]
		for range min(1+r.IntN(1+r.IntN(100)), cap(table)-len(table)) {
			table = append(table, s)
		}
	}
	return table
}

func TestSlotTableText(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		table := randomTable(r, 1+r.IntN(3), 1+r.IntN(9))
		text, err := json.Marshal(table)
		if err != nil {
			t.Fatal(err)
		}
		var back SlotTable
		if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(table, back) {
			t.Fatalf("another table came back: %v", err)
		}
		// The text does not tell which slots shared their holders.
		for i := range back {
			back[i].Holders = append([]Holder(nil), back[i].Holders...)
		}
		if again, err := json.Marshal(back); err != nil || string(again) != string(text) {
			t.Fatalf("another text for the same table: %v", err)
		}
	}
	for _, none := range []SlotTable{nil, {}} {
		if text, err := json.Marshal(none); err != nil || string(text) != "null" {
			t.Errorf("an empty table is %s, %v", text, err)
		}
	}
}

// What is replicated often must be small: a byte or two for each slot.
func TestSlotTableIsSmall(t *testing.T) {
	m := &Map{}
	m.AddLayout(Layout{Copies: 3})
	nodes := targets(12)
	holders := make(map[string][]Holder)
	for i := range m.Slots {
		ids := RankTargets(Slot(i), nodes)[:3]
		key := fmt.Sprint(ids)
		if holders[key] == nil {
			holders[key] = []Holder{
				{Node: ids[0], InSync: true, Admitted: 3}, {Node: ids[1], InSync: true, Partial: true, Admitted: 3, Shard: 1},
				{Node: ids[2], InSync: true, Admitted: 3, Shard: 2},
			}
		}
		m.Slots[i] = SlotState{Epoch: 3, Holders: holders[key]}
	}
	text, err := json.Marshal(m.Slots)
	if err != nil || len(text) > 80<<10 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}

func TestMalformedSlotTables(t *testing.T) {
	good := make(SlotTable, Slots)
	good[7] = SlotState{Epoch: 3, Owned: 1, Holders: []Holder{{Node: "a", InSync: true, Admitted: 2}}}
	text, err := json.Marshal(good)
	if err != nil {
		t.Fatal(err)
	}
	read := func(nodes, states, slots string) error {
		return json.Unmarshal(fmt.Appendf(nil, `{"nodes":[%s],"states":%q,"slots":%q}`, nodes, states, slots), new(SlotTable))
	}
	var parts struct{ States, Slots string }
	if err := json.Unmarshal(text, &parts); err != nil {
		t.Fatal(err)
	}
	if err := read(`"a"`, parts.States, parts.Slots); err != nil {
		t.Fatal(err)
	}
	f := func(nodes, states, slots string) {
		t.Helper()
		if err := read(nodes, states, slots); err == nil {
			t.Errorf("%s %s %s was read", nodes, states, slots)
		}
	}
	f(``, parts.States, parts.Slots)               // a node that is not there
	f(`"a","a"`, parts.States, parts.Slots)        // twice
	f(`"b","a"`, parts.States, parts.Slots)        // not in order
	f(`"a"`, "", parts.Slots)                      // no states
	f(`"a"`, "AAAA"+"AwA=", parts.Slots)           // ends in the middle of a state
	f(`"a"`, "gIA=", parts.Slots)                  // ends in the middle of a number
	f(`"a"`, "AAD//////////wE=", parts.Slots)      // too many holders
	f(`"a"`, parts.States, "")                     // no slots
	f(`"a"`, parts.States, "AA==")                 // too few
	f(`"a"`, parts.States, "Af///////////wE=")     // a run that is too long
	f(`"a"`, parts.States, "AfX/PwH1/z8=")         // too many
	f(`"a"`, parts.States, "AQ==")                 // ends before the run
	f(`"a"`, parts.States, strings.Repeat("?", 4)) // not base64
}

func FuzzSlotTable(f *testing.F) {
	for seed := range uint64(3) {
		text, err := json.Marshal(randomTable(rand.New(rand.NewPCG(seed, 1)), 1+int(seed), 3))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"nodes":["a"],"states":"AAABAQE=","slots":"Af5/"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var table SlotTable
		if json.Unmarshal(data, &table) != nil {
			return
		}
		text, err := json.Marshal(table)
		if err != nil {
			t.Fatal(err)
		}
		var back SlotTable
		if err := json.Unmarshal(text, &back); err != nil || len(back) != len(table) {
			t.Fatalf("%v: %d slots of %d", err, len(back), len(table))
		}
		for i := range table {
			if !sameState(table[i], back[i]) {
				t.Fatalf("slot %d is %+v, was %+v", i, back[i], table[i])
			}
		}
	})
}
