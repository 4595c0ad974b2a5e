package cluster

import (
	"fmt"
)

// LayoutID numbers a layout: its place in Map.Layouts, for ever.
type LayoutID uint8

// MaxLayouts is how many layouts a map can have.
const MaxLayouts = 64

// Layout is how the objects of a bucket are kept: as whole copies on so many targets, or in shards of which Data are enough
// to read an object. Exactly one of Copies and Data is set. With Mirror each target keeps what it has of an object on so many
// of its mountpaths; zero: on one.
type Layout struct {
	Copies int `json:"copies,omitempty"`
	Data   int `json:"data,omitempty"`
	Parity int `json:"parity,omitempty"`
	Mirror int `json:"mirror,omitempty"`
}

// How many holders a slot can have, and how many of their shards can be data or parity.
const (
	MaxData   = 16
	MaxParity = 8
	MaxWidth  = MaxData + MaxParity
	MaxMirror = 8 // on how many mountpaths of a target an object can be
)

// OneCopy is the layout that every map begins with.
func OneCopy() Layout { return Layout{Copies: 1} }

// Width returns how many targets hold a slot of the layout.
func (l Layout) Width() int { return l.Copies + l.Data + l.Parity }

// Needed returns how many copies, or different shards, are enough to read an object.
func (l Layout) Needed() int { return max(l.Data, 1) }

// InSync returns how many copies, or different shards, the holders in sync keep.
func (l Layout) InSync(holders []Holder) int {
	return l.kept(holders, func(h Holder) bool { return h.InSync })
}

// Whole returns how many copies, or different shards, the holders keep that are whole.
func (l Layout) Whole(holders []Holder) int { return l.kept(holders, Holder.Whole) }

// Kept returns how many copies, or different shards, of a new object the holders keep.
func (l Layout) Kept(holders []Holder) int { return l.kept(holders, func(Holder) bool { return true }) }

func (l Layout) kept(holders []Holder, counts func(Holder) bool) int {
	var shards [MaxWidth]bool
	n := 0
	for _, h := range holders {
		switch {
		case !counts(h):
		case l.Data == 0:
			n++
		case int(h.Shard) < l.Width() && !shards[h.Shard]:
			shards[h.Shard] = true
			n++
		}
	}
	return n
}

// Validate reports what is wrong with a layout.
func (l Layout) Validate() error {
	copies := l.Copies >= 1 && l.Data == 0 && l.Parity == 0
	shards := l.Copies == 0 && l.Data >= 1 && l.Parity >= 1
	if !copies && !shards {
		return fmt.Errorf("%+v is not a layout: want copies, or data and parity shards", l)
	}
	if l.Mirror != 0 && (l.Mirror < 2 || l.Mirror > MaxMirror || !copies) {
		return fmt.Errorf("%+v is not a layout: want copies on 2 to %d mountpaths", l, MaxMirror)
	}
	if l.Copies > MaxWidth || l.Data > MaxData || l.Parity > MaxParity {
		return fmt.Errorf("a layout of %s is wider than %d targets, %d+%d", l, MaxWidth, MaxData, MaxParity)
	}
	return nil
}

// String returns "1 copy", "3 copies" or "4+2 shards".
func (l Layout) String() string {
	mirrored := ""
	if l.Mirror > 0 {
		mirrored = fmt.Sprintf(" on %d mountpaths each", l.Mirror)
	}
	switch {
	case l.Data > 0:
		return fmt.Sprintf("%d+%d shards", l.Data, l.Parity)
	case l.Copies == 1:
		return "1 copy" + mirrored
	default:
		return fmt.Sprintf("%d copies%s", l.Copies, mirrored)
	}
}

// A bucket's id tells its layout: the top byte is the LayoutID, the rest a sequence number.
const bucketLayoutShift = 56

// NewBucketID returns the id of the bucket of that sequence number in a layout.
func NewBucketID(layout LayoutID, sequence uint64) BucketID {
	return BucketID(uint64(layout)<<bucketLayoutShift | sequence)
}

// Sequence returns the bucket's sequence number: buckets that are made later have higher ones.
func (b BucketID) Sequence() uint64 { return uint64(b) & (1<<bucketLayoutShift - 1) }

// Layout returns how the bucket's objects are kept. A bucket never changes it.
func (b BucketID) Layout() LayoutID { return LayoutID(b >> bucketLayoutShift) }
