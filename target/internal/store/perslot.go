package store

import (
	"sync/atomic"

	"github.com/aisle-store/aisle/cluster"
)

// perSlot keeps a number for each slot of any layout, zero until it is set. Layouts are added to a map while the store runs:
// the numbers of one are made when the first of them is set, so reading one costs a load more than an array would.
type perSlot struct {
	layouts [256]atomic.Pointer[layoutNumbers] // by every value that a LayoutID can have
}

type layoutNumbers [cluster.Slots]atomic.Uint64

func (p *perSlot) load(s cluster.Slot) uint64 {
	l := p.layouts[s.Layout()].Load()
	if l == nil {
		return 0
	}
	return l[s.Range()].Load()
}

func (p *perSlot) store(s cluster.Slot, n uint64) {
	if l := p.layout(s, n != 0); l != nil {
		l[s.Range()].Store(n)
	}
}

// raise sets the number of a slot unless it is as high already.
func (p *perSlot) raise(s cluster.Slot, n uint64) {
	l := p.layout(s, true)
	for {
		had := l[s.Range()].Load()
		if had >= n || l[s.Range()].CompareAndSwap(had, n) {
			return
		}
	}
}

// layout returns the numbers of a slot's layout; when there are none yet it makes them, or returns nil.
func (p *perSlot) layout(s cluster.Slot, needed bool) *layoutNumbers {
	l := p.layouts[s.Layout()].Load()
	if l == nil && needed {
		p.layouts[s.Layout()].CompareAndSwap(nil, new(layoutNumbers))
		l = p.layouts[s.Layout()].Load()
	}
	return l
}
