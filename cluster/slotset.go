package cluster

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"iter"
	"math/bits"
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

// The forms in which the slots of one layout are written, after the layout's number.
const (
	formBits byte = iota // a bit for each slot
	formGaps             // how many slots, and how many others are before each, as unsigned varints
)

// MarshalText writes the set as base64, each layout in the shorter form, or as nothing when it is empty.
func (s *SlotSet) MarshalText() ([]byte, error) {
	if s == nil {
		return nil, nil
	}
	var raw []byte
	for layout := range len(s.words) / layoutWords {
		part := SlotSet{words: s.words[layout*layoutWords : (layout+1)*layoutWords]}
		switch n := part.Len(); {
		case n == 0:
		case n < layoutWords*4: // a gap takes two bytes at most
			raw = part.appendGaps(append(raw, byte(layout), formGaps), n)
		default:
			raw = append(raw, byte(layout), formBits)
			for _, w := range part.words {
				raw = binary.LittleEndian.AppendUint64(raw, w)
			}
		}
	}
	return base64.StdEncoding.AppendEncode(nil, raw), nil
}

func (s *SlotSet) appendGaps(raw []byte, n int) []byte {
	raw = binary.AppendUvarint(raw, uint64(n))
	next := Slot(0)
	for slot := range s.All() {
		raw = binary.AppendUvarint(raw, uint64(slot-next))
		next = slot + 1
	}
	return raw
}

// UnmarshalText reads what MarshalText wrote.
func (s *SlotSet) UnmarshalText(text []byte) error {
	*s = SlotSet{}
	raw, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil {
		return err
	}
	for next := 0; len(raw) > 0; {
		layout := int(raw[0])
		if layout < next || layout >= MaxLayouts || len(raw) < 2 {
			return fmt.Errorf("a slot set has layout %d where at least %d and less than %d was expected", layout, next, MaxLayouts)
		}
		next = layout + 1
		s.grow(next)
		if raw, err = s.readLayout(layout, raw[1], raw[2:]); err != nil {
			return err
		}
	}
	return nil
}

// readLayout reads the slots of one layout and returns what follows them.
func (s *SlotSet) readLayout(layout int, form byte, raw []byte) ([]byte, error) {
	words := s.words[layout*layoutWords:]
	switch {
	case form == formBits && len(raw) >= layoutWords*8:
		for i := range layoutWords {
			words[i] = binary.LittleEndian.Uint64(raw[i*8:])
		}
		return raw[layoutWords*8:], nil
	case form == formGaps:
		in := varints{rest: raw}
		slot := uint64(0)
		for range in.next("number of slots", Slots+1) {
			slot += in.next("gap", Slots-min(slot, Slots))
			if in.err != nil {
				return nil, in.err
			}
			words[slot/64] |= 1 << (slot % 64)
			slot++
		}
		return in.rest, in.err
	}
	return nil, fmt.Errorf("the slots of layout %d have form %d and %d bytes", layout, form, len(raw))
}
