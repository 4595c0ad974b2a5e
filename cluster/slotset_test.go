package cluster

import (
	"slices"
	"strings"
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
	one, _ := SetOf(1).MarshalText()
	two, _ := SetOf(SlotIn(1, 1)).MarshalText()
	f := func(text string) {
		t.Helper()
		if err := new(SlotSet).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%.20q was read", text)
		}
	}
	f("AAAA")
	f("*")
	f(string(one[:len(one)-4]))
	f(string(two) + string(one))                // out of order
	f(string(one) + string(one))                // twice
	f("QAAA" + strings.Repeat("A", len(one)-4)) // layout 64
}
