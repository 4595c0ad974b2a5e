package state

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"iter"
	"math/bits"

	"github.com/aisle-store/aisle/cluster"
)

// SlotSet is a set of slots. A nil set is empty.
type SlotSet struct {
	words [cluster.Slots / 64]uint64
}

// Slots returns the set of the given slots.
func Slots(slots ...cluster.Slot) *SlotSet {
	var s SlotSet
	for _, slot := range slots {
		s.Add(slot)
	}
	return &s
}

// Add puts a slot into the set.
func (s *SlotSet) Add(slot cluster.Slot) { s.words[slot/64] |= 1 << (slot % 64) }

// AddAll puts all slots of another set into the set.
func (s *SlotSet) AddAll(t *SlotSet) {
	if t == nil {
		return
	}
	for i := range s.words {
		s.words[i] |= t.words[i]
	}
}

// Has reports whether the slot is in the set.
func (s *SlotSet) Has(slot cluster.Slot) bool {
	return s != nil && int(slot) < cluster.Slots && s.words[slot/64]&(1<<(slot%64)) != 0
}

// Len returns how many slots are in the set.
func (s *SlotSet) Len() int {
	n := 0
	if s != nil {
		for _, w := range s.words {
			n += bits.OnesCount64(w)
		}
	}
	return n
}

// All yields the slots of the set in order.
func (s *SlotSet) All() iter.Seq[cluster.Slot] {
	return func(yield func(cluster.Slot) bool) {
		if s == nil {
			return
		}
		for i, w := range s.words {
			for ; w != 0; w &= w - 1 {
				if !yield(cluster.Slot(i*64 + bits.TrailingZeros64(w))) {
					return
				}
			}
		}
	}
}

// MarshalText writes the set as base64 of its 2 KiB, or as nothing when it is empty.
func (s *SlotSet) MarshalText() ([]byte, error) {
	if s.Len() == 0 {
		return nil, nil
	}
	raw := make([]byte, 0, len(s.words)*8)
	for _, w := range s.words {
		raw = binary.LittleEndian.AppendUint64(raw, w)
	}
	return base64.StdEncoding.AppendEncode(nil, raw), nil
}

// UnmarshalText reads what MarshalText wrote.
func (s *SlotSet) UnmarshalText(text []byte) error {
	*s = SlotSet{}
	if len(text) == 0 {
		return nil
	}
	raw, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil {
		return err
	}
	if len(raw) != len(s.words)*8 {
		return fmt.Errorf("a slot set has %d bytes, want %d", len(raw), len(s.words)*8)
	}
	for i := range s.words {
		s.words[i] = binary.LittleEndian.Uint64(raw[i*8:])
	}
	return nil
}
