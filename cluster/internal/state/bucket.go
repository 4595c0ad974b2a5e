package state

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/aisle-store/aisle/cluster"
)

func (s *State) createBucket(c CreateBucket) Result {
	if e, ok := s.Bucket(c.Bucket); ok {
		if e.State == cluster.BucketDeleting {
			return deleting(c.Bucket)
		}
		r := Refuse(cluster.KindBucketExists, c.Bucket.String(), "the bucket exists")
		r.Bucket = e
		return r
	}
	if err := c.Props.Validate(); err != nil {
		return Refuse(cluster.KindInvalid, c.Bucket.String(), err.Error())
	}
	layout := c.Props.Layout()
	if refusal := s.tooFewDisks(c.Bucket, layout); refusal.Refused() {
		return refusal
	}
	id, ok := s.Active.LayoutID(layout)
	if !ok {
		return s.tooWide(c.Bucket, layout)
	}
	for _, config := range c.Configs {
		if refusal := checkConfig(c.Bucket, config); refusal.Refused() {
			return refusal
		}
	}
	s.LastBucket++
	e := &cluster.BucketEntry{ID: cluster.NewBucketID(id, s.LastBucket), Bucket: c.Bucket, Props: c.Props, Created: s.Time, Creator: c.Creator, OwnerID: c.Owner}
	if key, ok := s.Key(c.Creator); ok {
		e.Owner = key.User
	}
	s.setBucket(e)
	for _, config := range c.Configs {
		s.setConfig(e.ID, config)
	}
	return Result{Bucket: e}
}

// tooFewDisks refuses a layout that keeps each object on more mountpaths of a target than one has.
func (s *State) tooFewDisks(b cluster.Bucket, layout cluster.Layout) Result {
	n, short := s.Active.TooFewDisks(layout)
	if !short {
		return Result{}
	}
	return Refuse(cluster.KindConflict, b.String(),
		fmt.Sprintf("mirror.copies=%d needs as many mountpaths at each target, and %s has %d", layout.Mirror, n.ID, len(cluster.Disks(n.Mountpaths))))
}

// tooWide refuses a layout that the map does not have: the leader adds those for which there are targets.
func (s *State) tooWide(b cluster.Bucket, layout cluster.Layout) Result {
	return Refuse(cluster.KindConflict, b.String(),
		fmt.Sprintf("%s of each object need %d targets, and the cluster has %d", layout, layout.Width(), len(s.Active.Targets())))
}

func (s *State) setBucketProps(c SetBucketProps, req cluster.RequestID) Result {
	if _, ok := s.Conversion(req); ok && req != "" {
		return Result{Begun: true}
	}
	old, refusal := s.activeBucket(c.Bucket)
	if refusal.Refused() {
		return refusal
	}
	if c.Was != nil && *c.Was != old.Props {
		return Refuse(cluster.KindConflict, c.Bucket.String(), "the bucket's properties have been changed meanwhile")
	}
	if err := c.Props.Validate(); err != nil {
		return Refuse(cluster.KindInvalid, c.Bucket.String(), err.Error())
	}
	if old.Props.Versioning != cluster.VersioningOff && c.Props.Versioning == cluster.VersioningOff {
		return Refuse(cluster.KindConflict, c.Bucket.String(), "the bucket had versions by now: it can only suspend them")
	}
	if old.Props.Lock.Enabled && !c.Props.Lock.Enabled {
		return Refuse(cluster.KindConflict, c.Bucket.String(), "the bucket had object lock by now: it has it for ever")
	}
	if old.Under != 0 && old.Props.Versioning != c.Props.Versioning {
		return Refuse(cluster.KindConflict, c.Bucket.String(), "the bucket's layout is being changed")
	}
	if old.Props.Layout() != c.Props.Layout() {
		if refusal := s.tooFewDisks(c.Bucket, c.Props.Layout()); refusal.Refused() {
			return refusal
		}
		return s.beginConversion(old, c, req)
	}
	e := *old
	e.Props = c.Props
	s.setBucket(&e)
	return Result{Bucket: &e}
}

// beginDelete makes a bucket refuse writes. The outcome comes with endDelete; a copy of the request waits for the same one.
func (s *State) beginDelete(c BeginDelete, req cluster.RequestID) Result {
	if _, ok := s.Deletion(req); ok {
		return Result{Begun: true}
	}
	old, refusal := s.activeBucket(c.Bucket)
	if refusal.Refused() {
		return refusal
	}
	if old.Under != 0 {
		return converting(c.Bucket) // what has not been moved yet keeps it from being proved empty
	}
	e := *old
	e.State = cluster.BucketDeleting
	s.setBucket(&e)
	s.Deletions = append(slices.Clone(s.Deletions), Deletion{Index: s.Index, Bucket: e.ID, Request: req})
	return Result{Begun: true}
}

// endDelete decides a deletion that is under way and records the outcome of the request that began it.
func (s *State) endDelete(c EndDelete) Result {
	i := slices.IndexFunc(s.Deletions, func(d Deletion) bool { return d.Index == c.Deletion })
	if i < 0 {
		return Refuse(cluster.KindConflict, "", "the deletion is decided already")
	}
	d := s.Deletions[i]
	s.Deletions = slices.Delete(slices.Clone(s.Deletions), i, i+1)
	old, _ := s.BucketByID(d.Bucket)
	if c.Refusal.Refused() {
		e := *old
		e.State = cluster.BucketActive
		s.setBucket(&e)
	} else {
		s.removeBucket(old)
	}
	s.remember(d.Request, c.Refusal)
	return Result{}
}

// activeBucket returns a bucket that can be changed.
func (s *State) activeBucket(b cluster.Bucket) (*cluster.BucketEntry, Result) {
	e, ok := s.Bucket(b)
	switch {
	case !ok:
		return nil, Refuse(cluster.KindBucketNotFound, b.String(), "the bucket does not exist")
	case e.State == cluster.BucketDeleting:
		return nil, deleting(b)
	case e.State != cluster.BucketActive:
		return nil, converting(b)
	}
	return e, Result{}
}

func deleting(b cluster.Bucket) Result {
	return Refuse(cluster.KindConflict, b.String(), "the bucket is being deleted")
}

func converting(b cluster.Bucket) Result {
	return Refuse(cluster.KindConflict, b.String(), "the layout of the bucket is being changed")
}

// setBucket adds a bucket or replaces the one of the same name.
func (s *State) setBucket(e *cluster.BucketEntry) {
	i, ok := s.findBucket(e.Bucket)
	s.Buckets = put(s.Buckets, i, ok, e)
	i, ok = slices.BinarySearchFunc(s.byID, e.ID, compareID)
	s.byID = put(s.byID, i, ok, e)
	s.BMDVersion++
}

// put returns the list with e at i, in the place of the one that is there or before it.
func put(list []*cluster.BucketEntry, i int, replace bool, e *cluster.BucketEntry) []*cluster.BucketEntry {
	list = slices.Clone(list)
	if replace {
		list[i] = e
		return list
	}
	return slices.Insert(list, i, e)
}

func (s *State) removeBucket(e *cluster.BucketEntry) {
	same := func(other *cluster.BucketEntry) bool { return other.ID == e.ID }
	s.Buckets = slices.DeleteFunc(slices.Clone(s.Buckets), same)
	s.byID = slices.DeleteFunc(slices.Clone(s.byID), same)
	s.dropConfigs(e.ID)
	s.BMDVersion++
}

func (s *State) findBucket(b cluster.Bucket) (int, bool) {
	return slices.BinarySearchFunc(s.Buckets, b, func(e *cluster.BucketEntry, b cluster.Bucket) int { return compareBuckets(e.Bucket, b) })
}

func compareKeys(a, b Key) int { return cmp.Compare(a.ID, b.ID) }
