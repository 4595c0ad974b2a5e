package store

import (
	"sync"
	"testing"

	"github.com/aisle-store/aisle/cluster"
)

// Layouts come while others read and set numbers.
func TestPerSlotGrows(t *testing.T) {
	var p perSlot
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for layout := range cluster.LayoutID(4) {
				s := cluster.SlotIn(layout, i)
				if got := p.load(s); got != 0 {
					t.Errorf("slot %d begins with %d", s, got)
				}
				p.store(s, uint64(s)+1)
				if got := p.load(s); got != uint64(s)+1 {
					t.Errorf("slot %d has %d", s, got)
				}
			}
		})
	}
	all.Wait()
	p.store(cluster.SlotIn(255, 1), 0)
	if p.load(cluster.SlotIn(255, 1)) != 0 || p.layouts[255].Load() != nil {
		t.Error("a zero took room")
	}
}
