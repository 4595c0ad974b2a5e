package cluster

import (
	"encoding/base64"
	"slices"
	"testing"
)

func TestSlotSet(t *testing.T) {
	slots := []Slot{0, 63, 64, Slots - 1, SlotIn(2, 5), SlotIn(MaxLayouts-1, Slots-1)}
	s := SetOf(slots...)
	text, err := s.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	var back SlotSet
	if err := back.UnmarshalText(text); err != nil || !back.Equal(s) || back.Len() != len(slots) || !slices.Equal(slices.Collect(back.All()), slots) {
		t.Errorf("%v, %v", err, slices.Collect(back.All()))
	}
	for _, share := range []int{1, 2, 3, 9, Slots} {
		many := &SlotSet{}
		for i := 0; i < 3*Slots; i += share {
			many.Add(Slot(i))
		}
		text, err := many.MarshalText()
		if err != nil || len(text) > 3*2800 {
			t.Errorf("%d slots take %d bytes, %v", many.Len(), len(text), err)
		}
		if err := back.UnmarshalText(text); err != nil || !back.Equal(many) {
			t.Errorf("%d slots became %d, %v", many.Len(), back.Len(), err)
		}
	}
	if err := back.UnmarshalText(text); err != nil {
		t.Fatal(err)
	}
	if s.Has(1) || !s.Has(63) || s.Has(Slots) || !s.Has(SlotIn(2, 5)) || s.Has(1<<31) {
		t.Error("the wrong slots are in the set")
	}
	var none *SlotSet
	if none.Has(0) || none.Len() != 0 || !none.Equal(&SlotSet{}) || none.Equal(s) || SetOf(1).Equal(SetOf(2)) {
		t.Error("an empty set is not empty")
	}
	if text, err := none.MarshalText(); err != nil || len(text) != 0 {
		t.Errorf("an empty set is %q, %v", text, err)
	}
	back.RemoveAll(SetOf(63, 65, SlotIn(2, 5)))
	back.RemoveAll(nil)
	if back.Len() != 4 || back.Has(63) || back.Has(SlotIn(2, 5)) {
		t.Errorf("after the removal: %v", slices.Collect(back.All()))
	}
	back.AddAll(SetOf(SlotIn(1, 1)))
	back.AddAll(nil)
	if back.Len() != 5 || !back.Has(SlotIn(1, 1)) {
		t.Errorf("after the addition: %v", slices.Collect(back.All()))
	}
}

func TestMalformedSlotSets(t *testing.T) {
	encode := func(raw ...byte) string { return base64.StdEncoding.EncodeToString(raw) }
	f := func(text string) {
		t.Helper()
		if err := new(SlotSet).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%.20q was read", text)
		}
	}
	f("*")                            // not base64
	f(encode(0))                      // no form
	f(encode(0, 0, 0))                // bits are missing
	f(encode(0, 2, 1))                // no such form
	f(encode(0, 1, 1))                // the gap is missing
	f(encode(1, 1, 1, 1, 0, 1, 1, 1)) // out of order
	f(encode(0, 1, 1, 1, 0, 1, 1, 1)) // twice
	f(encode(64, 1, 1, 1))            // layout 64
	f(encode(0, 1, 2, 0xff, 0x7f, 0)) // beyond the last slot
	f(encode(0, 1, 0x82, 0x80, 2))    // too many
	if text, err := SetOf(SlotIn(1, 1)).MarshalText(); err != nil || string(text) != encode(1, 1, 1, 1) {
		t.Errorf("one slot is %s, %v", text, err)
	}
}
