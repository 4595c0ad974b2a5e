package cluster

import "testing"

func TestLayouts(t *testing.T) {
	f := func(l Layout, width int, text string, valid bool) {
		t.Helper()
		if l.Width() != width || l.String() != text || (l.Validate() == nil) != valid {
			t.Errorf("%+v: width %d, %q, %v", l, l.Width(), l, l.Validate())
		}
	}
	f(OneCopy(), 1, "1 copy", true)
	f(Layout{Copies: 3}, 3, "3 copies", true)
	f(Layout{Data: 4, Parity: 2}, 6, "4+2 shards", true)
	f(Layout{}, 0, "0 copies", false)
	f(Layout{Copies: 2, Data: 2, Parity: 1}, 5, "2+1 shards", false)
	f(Layout{Data: 2}, 2, "2+0 shards", false)
	f(Layout{Copies: MaxWidth + 1}, 25, "25 copies", false)
	f(Layout{Data: 16, Parity: 8}, 24, "16+8 shards", true)
	f(Layout{Data: 17, Parity: 1}, 18, "17+1 shards", false)
	f(Layout{Data: 1, Parity: 9}, 10, "1+9 shards", false)
	f(Layout{Copies: -1}, -1, "-1 copies", false)
}

// Two holders of the same shard keep no more than one.
func TestKept(t *testing.T) {
	holders := []Holder{{Node: "a", InSync: true}, {Node: "b", InSync: true, Shard: 2}, {Node: "c", Shard: 1}, {Node: "d", InSync: true, Shard: 2}}
	f := func(l Layout, inSync, kept, needed int) {
		t.Helper()
		if l.InSync(holders) != inSync || l.Kept(holders) != kept || l.Needed() != needed {
			t.Errorf("%s: %d in sync, %d kept, %d needed", l, l.InSync(holders), l.Kept(holders), l.Needed())
		}
	}
	f(Layout{Copies: 4}, 3, 4, 1)
	f(Layout{Data: 2, Parity: 1}, 2, 3, 2)
}

// A bucket's id tells its layout, and its keys fall into the slots of that layout.
func TestSlotsOfLayouts(t *testing.T) {
	f := func(layout LayoutID, sequence uint64) {
		t.Helper()
		id := NewBucketID(layout, sequence)
		s := SlotOf(id, "key")
		if id.Layout() != layout || s.Layout() != layout || SlotIn(layout, s.Range()) != s || s.Range() >= Slots {
			t.Errorf("bucket %x of layout %d has layout %d; slot %d of layout %d", uint64(id), layout, id.Layout(), s, s.Layout())
		}
	}
	f(0, 1)
	f(0, 1<<55)
	f(1, 7)
	f(MaxLayouts-1, 1<<56-1)
	f(255, 0)
	if id := NewBucketID(0, 12); id != 12 {
		t.Errorf("the twelfth bucket of one copy has id %d", id)
	}
}
