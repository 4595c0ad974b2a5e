package cluster

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// SlotTable is the state of every slot of every layout of a map, by Slot. Many slots share their holders: replace them,
// never write into them.
type SlotTable []SlotState

// slotTableText is the JSON form of a SlotTable: the distinct states once, and then the state of each slot as an index into
// them. It is hundreds of times smaller than the plain form, and snapshots of the control state hold it twice.
type slotTableText struct {
	Nodes []NodeID `json:"nodes"` // that States refer to, ordered
	// States holds the distinct states in the order in which slots have them first. For each, as unsigned varints: the epoch,
	// the epoch since which the owner is it, the number of holders, and for each holder its node (an index, times two, plus one if it is in sync) and the epoch that
	// admitted it. To the index of the node of a partial holder the number of nodes is added.
	States []byte `json:"states"`
	// Slots has an unsigned varint for each run of slots of the same state: the state's index, times two. When the run is longer
	// than one slot, one is added, and the number of further slots less one follows.
	Slots []byte `json:"slots"`
	// Shards has a byte for each holder in States: the shard that it keeps. It is empty when all are 0.
	Shards []byte `json:"shards,omitempty"`
}

// MarshalJSON writes the table in its short form.
func (t SlotTable) MarshalJSON() ([]byte, error) {
	if len(t) == 0 {
		return []byte("null"), nil
	}
	w := tableWriter{shared: make(map[sharedState]uint64), states: make(map[string]uint64), nodes: t.nodes()}
	for from := 0; from < len(t); {
		index, to := w.index(t[from]), from+1
		for to < len(t) && sameState(t[to], t[from]) {
			to++
		}
		if further := to - from - 1; further > 0 {
			w.text.Slots = binary.AppendUvarint(binary.AppendUvarint(w.text.Slots, index<<1|1), uint64(further-1))
		} else {
			w.text.Slots = binary.AppendUvarint(w.text.Slots, index<<1)
		}
		from = to
	}
	w.text.Nodes = w.nodes
	if !slices.ContainsFunc(w.text.Shards, func(shard byte) bool { return shard > 0 }) {
		w.text.Shards = nil
	}
	return json.Marshal(w.text)
}

// nodes returns every node that holds a slot, ordered.
func (t SlotTable) nodes() []NodeID {
	ids, seen := []NodeID{}, make(map[NodeID]bool)
	var last *Holder
	for _, s := range t {
		if len(s.Holders) == 0 || &s.Holders[0] == last {
			continue
		}
		last = &s.Holders[0]
		for _, h := range s.Holders {
			if !seen[h.Node] {
				seen[h.Node] = true
				ids = append(ids, h.Node)
			}
		}
	}
	slices.Sort(ids)
	return ids
}

func sameState(a, b SlotState) bool {
	if a.Epoch != b.Epoch || a.Owned != b.Owned || len(a.Holders) != len(b.Holders) {
		return false
	}
	return len(a.Holders) == 0 || &a.Holders[0] == &b.Holders[0] || slices.Equal(a.Holders, b.Holders)
}

// tableWriter gives numbers to states.
type tableWriter struct {
	text   slotTableText
	nodes  []NodeID
	shared map[sharedState]uint64 // finds those again that share their holders
	states map[string]uint64      // finds equal ones, by their text
}

type sharedState struct {
	epoch, owned Epoch
	holders      *Holder
	count        int
}

// index returns the number of a state, new or known.
func (w *tableWriter) index(s SlotState) uint64 {
	key := sharedState{epoch: s.Epoch, owned: s.Owned, count: len(s.Holders)}
	if key.count > 0 {
		key.holders = &s.Holders[0]
	}
	if i, ok := w.shared[key]; ok {
		return i
	}
	var buf [64]byte
	b := binary.AppendUvarint(binary.AppendUvarint(buf[:0], uint64(s.Epoch)), uint64(s.Owned))
	b = binary.AppendUvarint(b, uint64(len(s.Holders)))
	for _, h := range s.Holders {
		n, _ := slices.BinarySearch(w.nodes, h.Node)
		if h.Partial {
			n += len(w.nodes)
		}
		ref := uint64(n) << 1
		if h.InSync {
			ref |= 1
		}
		b = binary.AppendUvarint(binary.AppendUvarint(b, ref), uint64(h.Admitted))
	}
	end := len(b)
	for _, h := range s.Holders {
		b = append(b, h.Shard)
	}
	i, ok := w.states[string(b)]
	if !ok {
		i = uint64(len(w.states))
		w.states[string(b)] = i
		w.text.States = append(w.text.States, b[:end]...)
		w.text.Shards = append(w.text.Shards, b[end:]...)
	}
	w.shared[key] = i
	return i
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (t *SlotTable) UnmarshalJSON(data []byte) error {
	*t = nil
	if string(data) == "null" {
		return nil
	}
	var text slotTableText
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	states, err := text.readStates()
	if err != nil {
		return err
	}
	table, err := text.readSlots(states)
	*t = table
	return err
}

var errEnds = errors.New("slots end in the middle of a number")

// varints reads unsigned varints, each below a limit.
type varints struct {
	rest []byte
	err  error
}

func (v *varints) next(what string, limit uint64) uint64 {
	if v.err != nil {
		return 0
	}
	n, size := binary.Uvarint(v.rest)
	switch {
	case size <= 0:
		v.err = errEnds
		return 0
	case n >= limit:
		v.err = fmt.Errorf("slots have %s %s, want less than %s", what, strconv.FormatUint(n, 10), strconv.FormatUint(limit, 10))
		return 0
	}
	v.rest = v.rest[size:]
	return n
}

func (x *slotTableText) readStates() ([]SlotState, error) {
	if !slices.IsSorted(x.Nodes) || len(slices.Compact(slices.Clone(x.Nodes))) != len(x.Nodes) {
		return nil, errors.New("the nodes of a slot table are not in order")
	}
	var states []SlotState
	in, shards := varints{rest: x.States}, x.Shards
	for len(in.rest) > 0 && in.err == nil {
		s := SlotState{Epoch: Epoch(in.next("epoch", 1<<63)), Owned: Epoch(in.next("epoch", 1<<63))}
		if n := in.next("number of holders", MaxWidth*2+1); n > 0 {
			s.Holders = make([]Holder, n)
		}
		for i := range s.Holders {
			nodes := uint64(len(x.Nodes))
			ref := in.next("node", nodes*4)
			if in.err != nil {
				break
			}
			s.Holders[i] = Holder{
				Node: x.Nodes[ref>>1%nodes], InSync: ref&1 != 0, Partial: ref>>1 >= nodes, Admitted: Epoch(in.next("epoch", 1<<63)),
			}
			if len(shards) > 0 {
				s.Holders[i].Shard, shards = shards[0], shards[1:]
			} else if len(x.Shards) > 0 {
				return nil, errEnds
			}
		}
		states = append(states, s)
	}
	return states, in.err
}

func (x *slotTableText) readSlots(states []SlotState) (SlotTable, error) {
	var table SlotTable
	in := varints{rest: x.Slots}
	for len(in.rest) > 0 {
		ref := in.next("state", uint64(len(states))*2)
		run := 1
		if ref&1 != 0 {
			run = 2 + int(in.next("run", MaxLayouts*Slots))
		}
		if in.err != nil {
			return nil, in.err
		}
		if len(table)+run > MaxLayouts*Slots {
			return nil, fmt.Errorf("a slot table has more than %d slots", MaxLayouts*Slots)
		}
		table = slices.Grow(table, run)
		for range run {
			table = append(table, states[ref>>1])
		}
	}
	if len(table) == 0 || len(table)%Slots != 0 {
		return nil, fmt.Errorf("a slot table has %d slots, want a multiple of %d", len(table), Slots)
	}
	return table, nil
}
