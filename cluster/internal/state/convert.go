package state

import (
	"slices"

	"github.com/aisle-store/aisle/cluster"
)

// beginConversion freezes a bucket that is to have another layout. The outcome of the request comes with convert; a copy of it
// waits for the same one.
func (s *State) beginConversion(old *cluster.BucketEntry, c SetBucketProps, req cluster.RequestID) Result {
	if old.Under != 0 {
		return converting(c.Bucket)
	}
	if layout := c.Props.Layout(); !s.hasLayout(layout) {
		return s.tooWide(c.Bucket, layout)
	}
	e := *old
	e.State = cluster.BucketFreezing
	s.setBucket(&e)
	s.Conversions = append(slices.Clone(s.Conversions), Conversion{Index: s.Index, Bucket: c.Bucket, From: e.ID, Props: c.Props, Request: req})
	return Result{Begun: true}
}

func (s *State) hasLayout(l cluster.Layout) bool {
	_, ok := s.Active.LayoutID(l)
	return ok
}

// convert decides whether a frozen bucket gets its new id, and records the outcome of the request that began the conversion.
func (s *State) convert(c Convert) Result {
	i := slices.IndexFunc(s.Conversions, func(v Conversion) bool { return v.Index == c.Conversion && !v.Moving })
	if i < 0 {
		return Refuse(cluster.KindConflict, "", "the conversion is decided already")
	}
	s.Conversions = slices.Clone(s.Conversions)
	v := &s.Conversions[i]
	old, _ := s.BucketByID(v.From)
	e, outcome := *old, c.Refusal
	e.State = cluster.BucketActive
	if !outcome.Refused() {
		layout, _ := s.Active.LayoutID(v.Props.Layout()) // layouts never go
		s.LastBucket++
		e.ID, e.Under, e.Props = cluster.NewBucketID(layout, s.LastBucket), old.ID, v.Props
		s.moveConfigs(old.ID, e.ID)
		outcome = Result{Bucket: &e}
	}
	s.replaceBucket(old, &e)
	request := v.Request
	if c.Refusal.Refused() {
		s.Conversions = slices.Delete(s.Conversions, i, i+1)
	} else {
		v.Moving = true
	}
	s.remember(request, outcome)
	return Result{}
}

// endConversion forgets the old id of a bucket.
func (s *State) endConversion(c EndConversion) Result {
	i := slices.IndexFunc(s.Conversions, func(v Conversion) bool { return v.Index == c.Conversion && v.Moving })
	if i < 0 {
		return Refuse(cluster.KindConflict, "", "there is no such conversion any more")
	}
	old, _ := s.Bucket(s.Conversions[i].Bucket)
	e := *old
	e.Under = 0
	s.setBucket(&e)
	s.Conversions = slices.Delete(slices.Clone(s.Conversions), i, i+1)
	return Result{}
}

// replaceBucket puts an entry, which may have another id, in the place of one of the same name.
func (s *State) replaceBucket(old, e *cluster.BucketEntry) {
	if old.ID != e.ID {
		s.byID = slices.DeleteFunc(slices.Clone(s.byID), func(other *cluster.BucketEntry) bool { return other.ID == old.ID })
	}
	s.setBucket(e)
}
