package state

import (
	"cmp"
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
	s.LastBucket++
	e := &cluster.BucketEntry{ID: s.LastBucket, Bucket: c.Bucket, Props: c.Props, Created: s.Time, Creator: c.Creator}
	s.setBucket(e)
	return Result{Bucket: e}
}

func (s *State) setBucketProps(c SetBucketProps) Result {
	old, refusal := s.activeBucket(c.Bucket)
	if refusal.Refused() {
		return refusal
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
		s.removeBucket(old.Bucket)
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
	}
	return e, Result{}
}

func deleting(b cluster.Bucket) Result {
	return Refuse(cluster.KindConflict, b.String(), "the bucket is being deleted")
}

// setBucket adds a bucket or replaces the one of the same name.
func (s *State) setBucket(e *cluster.BucketEntry) {
	i, ok := s.findBucket(e.Bucket)
	s.Buckets = slices.Clone(s.Buckets)
	if ok {
		s.Buckets[i] = e
	} else {
		s.Buckets = slices.Insert(s.Buckets, i, e)
	}
	s.BMDVersion++
}

func (s *State) removeBucket(b cluster.Bucket) {
	if i, ok := s.findBucket(b); ok {
		s.Buckets = slices.Delete(slices.Clone(s.Buckets), i, i+1)
		s.BMDVersion++
	}
}

func (s *State) findBucket(b cluster.Bucket) (int, bool) {
	return slices.BinarySearchFunc(s.Buckets, b, func(e *cluster.BucketEntry, b cluster.Bucket) int { return compareBuckets(e.Bucket, b) })
}

func compareKeys(a, b Key) int { return cmp.Compare(a.ID, b.ID) }
