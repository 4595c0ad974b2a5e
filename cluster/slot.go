package cluster

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/bits"
	"slices"

	"github.com/zeebo/xxh3"
)

// Slots is the number of hash ranges of keys. It is fixed for ever: it is part of every record's place.
const (
	Slots    = 1 << slotBits
	slotBits = 14
)

// Slot is one of the hash ranges that keys fall into, and the unit in which ownership moves. Each layout has its own: the
// lower 14 bits are the hash range, the bits above them the LayoutID.
type Slot uint32

// SlotIn returns the slot of a hash range in a layout.
func SlotIn(layout LayoutID, hashRange int) Slot { return Slot(layout)<<slotBits | Slot(hashRange) }

// Layout returns the layout that the slot belongs to.
func (s Slot) Layout() LayoutID { return LayoutID(s >> slotBits) }

// Range returns the slot's hash range, below Slots.
func (s Slot) Range() int { return int(s % Slots) }

// SlotOf returns the slot of a key: of the bucket's layout, and of the hash range xxh3 of the bucket id (8 bytes, big
// endian) and the key, modulo Slots.
func SlotOf(bucket BucketID, key ObjectKey) Slot {
	var buf [8 + MaxKeyLength]byte
	b := binary.BigEndian.AppendUint64(buf[:0], uint64(bucket))
	b = append(b, key...)
	return SlotIn(bucket.Layout(), int(xxh3.Hash(b)%Slots))
}

// score is weighted rendezvous hashing: -weight / ln(h), h uniform in (0,1). The highest score wins; a change of one
// contender's weight moves keys only to or from it (Schindelhauer and Schomaker, "Weighted distributed hash tables").
func score(seed uint64, id string, weight uint32) float64 {
	h := xxh3.HashStringSeed(id, seed)
	// 53 random bits, moved off 0 and 1 by half a step.
	u := (float64(h>>11) + 0.5) / (1 << 53)
	return -float64(weight) / math.Log(u)
}

// RankTargets orders the targets for a slot: highest score first, but the best of each zone before the second best of any.
// The first R are the slot's ideal holders for a bucket of R copies; the first of all is its ideal owner.
func RankTargets(s Slot, targets []Node) []NodeID {
	type contender struct {
		node  Node
		score float64
		round int // how many better ones are in the same zone
	}
	ranked := make([]contender, 0, len(targets))
	seed := bits.ReverseBytes64(uint64(s) + 1)
	for _, t := range targets {
		if t.Weight > 0 {
			ranked = append(ranked, contender{node: t, score: score(seed, string(t.ID), t.Weight)})
		}
	}
	slices.SortFunc(ranked, func(a, b contender) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.node.ID, b.node.ID))
	})
	seen := make(map[string]int)
	for i := range ranked {
		zone := ranked[i].node.Zone
		if zone == "" {
			zone = "node:" + string(ranked[i].node.ID)
		}
		ranked[i].round = seen[zone]
		seen[zone]++
	}
	slices.SortStableFunc(ranked, func(a, b contender) int { return cmp.Compare(a.round, b.round) })
	ids := make([]NodeID, len(ranked))
	for i, c := range ranked {
		ids[i] = c.node.ID
	}
	return ids
}

// PlaceMountpath returns the index of the mountpath that holds a key within a target, by HRW over mountpath ids, or -1
// when no mountpath has a weight.
func PlaceMountpath(bucket BucketID, key ObjectKey, mountpaths []Mountpath) int {
	if len(mountpaths) == 1 && mountpaths[0].Weight > 0 {
		return 0
	}
	var buf [8 + MaxKeyLength]byte
	b := binary.BigEndian.AppendUint64(buf[:0], uint64(bucket))
	b = append(b, key...)
	seed := xxh3.HashSeed(b, 0x6d70) // "mp": independent of the slot's hash
	best, bestScore := -1, 0.0
	for i, mp := range mountpaths {
		if mp.Weight == 0 {
			continue
		}
		if s := score(seed, string(mp.ID), mp.Weight); best < 0 || s > bestScore || s == bestScore && mp.ID < mountpaths[best].ID {
			best, bestScore = i, s
		}
	}
	return best
}
