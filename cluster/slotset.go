package cluster

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"iter"
	"math/bits"
	"slices"
)

// SlotSet is a set of slots of any layouts. A nil set is empty.
type SlotSet struct {
	words []uint64 // grows by whole layouts
}

// layoutWords is how many words the slots of one layout take.
const layoutWords = Slots / 64

// SetOf returns the set of the given slots.
func SetOf(slots ...Slot) *SlotSet {
	var s SlotSet
	for _, slot := range slots {
		s.Add(slot)
	}
	return &s
}

// Add puts a slot into the set.
func (s *SlotSet) Add(slot Slot) {
	s.grow(int(slot.Layout()) + 1)
	s.words[slot/64] |= 1 << (slot % 64)
}

// grow makes room for so many layouts.
func (s *SlotSet) grow(layouts int) {
	if missing := layouts*layoutWords - len(s.words); missing > 0 {
		s.words = append(s.words, make([]uint64, missing)...)
	}
}

// AddAll puts all slots of another set into the set.
func (s *SlotSet) AddAll(t *SlotSet) {
	if t == nil {
		return
	}
	s.grow(len(t.words) / layoutWords)
	for i := range t.words {
		s.words[i] |= t.words[i]
	}
}

// RemoveAll takes all slots of another set out of the set.
func (s *SlotSet) RemoveAll(t *SlotSet) {
	if t == nil {
		return
	}
	for i := range min(len(s.words), len(t.words)) {
		s.words[i] &^= t.words[i]
	}
}

// Has reports whether the slot is in the set.
func (s *SlotSet) Has(slot Slot) bool {
	return s != nil && int(slot/64) < len(s.words) && s.words[slot/64]&(1<<(slot%64)) != 0
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

// Equal reports whether both sets have the same slots.
func (s *SlotSet) Equal(t *SlotSet) bool {
	n := s.Len()
	if n != t.Len() {
		return false
	}
	for slot := range s.All() {
		if !t.Has(slot) {
			return false
		}
	}
	return true
}

// All yields the slots of the set in order.
func (s *SlotSet) All() iter.Seq[Slot] {
	return func(yield func(Slot) bool) {
		if s == nil {
			return
		}
		for i, w := range s.words {
			for ; w != 0; w &= w - 1 {
				if !yield(Slot(i*64 + bits.TrailingZeros64(w))) {
					return
				}
			}
		}
	}
}

// chunkSize is the size of one layout's slots in the text of a set: the layout's number and a bit for each slot.
const chunkSize = 1 + layoutWords*8

// MarshalText writes the set as base64 of 2 KiB for each layout of which a slot is in it, or as nothing when it is empty.
func (s *SlotSet) MarshalText() ([]byte, error) {
	if s == nil {
		return nil, nil
	}
	var raw []byte
	for layout := range len(s.words) / layoutWords {
		words := s.words[layout*layoutWords : (layout+1)*layoutWords]
		if !slices.ContainsFunc(words, func(w uint64) bool { return w != 0 }) {
			continue
		}
		raw = append(raw, byte(layout))
		for _, w := range words {
			raw = binary.LittleEndian.AppendUint64(raw, w)
		}
	}
	return base64.StdEncoding.AppendEncode(nil, raw), nil
}

// UnmarshalText reads what MarshalText wrote.
func (s *SlotSet) UnmarshalText(text []byte) error {
	*s = SlotSet{}
	raw, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil {
		return err
	}
	if len(raw)%chunkSize != 0 {
		return fmt.Errorf("a slot set has %d bytes, want a multiple of %d", len(raw), chunkSize)
	}
	next := 0
	for chunk := range slices.Chunk(raw, chunkSize) {
		layout := int(chunk[0])
		if layout < next || layout >= MaxLayouts {
			return fmt.Errorf("a slot set has layout %d where at least %d and less than %d was expected", layout, next, MaxLayouts)
		}
		next = layout + 1
		s.grow(next)
		for i := range layoutWords {
			s.words[layout*layoutWords+i] = binary.LittleEndian.Uint64(chunk[1+i*8:])
		}
	}
	return nil
}
