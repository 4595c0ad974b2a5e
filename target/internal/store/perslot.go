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
	l := p.layouts[s.Layout()].Load()
	if l == nil {
		if n == 0 {
			return
		}
		p.layouts[s.Layout()].CompareAndSwap(nil, new(layoutNumbers))
		l = p.layouts[s.Layout()].Load()
	}
	l[s.Range()].Store(n)
}
