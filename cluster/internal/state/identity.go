package state

import (
	"slices"

	"github.com/aisle-store/aisle/cluster"
)

// changeIdentities makes a change whose proposer saw the identities as they are now. The root key stays.
func (s *State) changeIdentities(c ChangeIdentities) Result {
	if c.Change.Base != s.Identities.Version {
		return Refuse(cluster.KindConflict, "", "identities were changed meanwhile")
	}
	for _, k := range c.Keys {
		if old, ok := s.Key(k.ID); k.Root || ok && old.Root {
			return Refuse(cluster.KindConflict, string(k.ID), "the root key cannot be changed")
		}
	}
	keys := slices.Clone(s.Keys)
	for _, k := range c.Keys {
		i, ok := slices.BinarySearchFunc(keys, k, compareKeys)
		if ok {
			keys[i] = k
		} else {
			keys = slices.Insert(keys, i, k)
		}
	}
	s.Keys = slices.DeleteFunc(keys, func(k Key) bool { return !k.Root && slices.Contains(c.RemoveKeys, k.ID) })
	s.Identities = s.Identities.Changed(c.Change)
	return Result{}
}
