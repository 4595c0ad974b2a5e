package state

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/aisle-store/aisle/cluster"
)

// BucketConfigs is the documents that configure one bucket, ordered by kind. They lie beside the bucket table: outcomes hold
// its entries, and documents may be large.
type BucketConfigs struct {
	Bucket cluster.BucketID        `json:"bucket"`
	List   []*cluster.BucketConfig `json:"list"`
}

// BucketConfig returns a document of a bucket.
func (s *State) BucketConfig(id cluster.BucketID, kind string) (*cluster.BucketConfig, bool) {
	if len(s.Configs) == 0 {
		return nil, false
	}
	i, ok := s.findConfigs(id)
	if !ok {
		return nil, false
	}
	list := s.Configs[i].List
	i, ok = slices.BinarySearchFunc(list, kind, compareConfig)
	if !ok {
		return nil, false
	}
	return list[i], true
}

func (s *State) findConfigs(id cluster.BucketID) (int, bool) {
	return slices.BinarySearchFunc(s.Configs, id, func(c BucketConfigs, id cluster.BucketID) int { return cmp.Compare(c.Bucket, id) })
}

func compareConfig(c *cluster.BucketConfig, kind string) int { return cmp.Compare(c.Kind, kind) }

// setBucketConfig puts a document in the place of the one of its kind; without a value there is none afterwards.
func (s *State) setBucketConfig(c SetBucketConfig) Result {
	e, refusal := s.activeBucket(c.Bucket)
	if refusal.Refused() {
		return refusal
	}
	if refusal := checkConfig(c.Bucket, c.Config); refusal.Refused() {
		return refusal
	}
	s.setConfig(e.ID, c.Config)
	s.BMDVersion++
	return Result{}
}

func checkConfig(b cluster.Bucket, c *cluster.BucketConfig) Result {
	switch {
	case c == nil || c.Kind == "":
		return Refuse(cluster.KindInvalid, b.String(), "a configuration needs a kind")
	case len(c.Value) > cluster.MaxBucketConfig:
		return Refuse(cluster.KindTooLarge, b.String(), fmt.Sprintf("the configuration has %d bytes, more than %d", len(c.Value), cluster.MaxBucketConfig))
	}
	return Result{}
}

// setConfig changes one document of a bucket.
func (s *State) setConfig(id cluster.BucketID, c *cluster.BucketConfig) {
	at, known := s.findConfigs(id)
	var list []*cluster.BucketConfig
	if known {
		list = slices.Clone(s.Configs[at].List)
	}
	i, ok := slices.BinarySearchFunc(list, c.Kind, compareConfig)
	switch {
	case c.Value == nil && !ok:
		return
	case c.Value == nil:
		list = slices.Delete(list, i, i+1)
	case ok:
		list[i] = c
	default:
		list = slices.Insert(list, i, c)
	}
	s.Configs = slices.Clone(s.Configs)
	switch {
	case len(list) == 0:
		s.Configs = slices.Delete(s.Configs, at, at+1)
	case known:
		s.Configs[at].List = list
	default:
		s.Configs = slices.Insert(s.Configs, at, BucketConfigs{Bucket: id, List: list})
	}
}

// moveConfigs gives the documents of a bucket to the id that it gets.
func (s *State) moveConfigs(from, to cluster.BucketID) {
	i, ok := s.findConfigs(from)
	if !ok {
		return
	}
	list := s.Configs[i].List
	s.dropConfigs(from)
	at, _ := s.findConfigs(to)
	s.Configs = slices.Insert(slices.Clone(s.Configs), at, BucketConfigs{Bucket: to, List: list})
}

// dropConfigs forgets the documents of a bucket that is gone.
func (s *State) dropConfigs(id cluster.BucketID) {
	if i, ok := s.findConfigs(id); ok {
		s.Configs = slices.Delete(slices.Clone(s.Configs), i, i+1)
	}
}
