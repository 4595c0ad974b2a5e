package state

import (
	"cmp"
	"slices"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// EncryptionKey is a named key under which the data keys of objects are sealed.
type EncryptionKey struct {
	Name     string       `json:"name"`
	Revision uint64       `json:"revision"` // index of the last command that changed it
	Versions []KeyVersion `json:"versions"` // oldest first: the last one seals, all of them open
}

// KeyVersion is one version of an EncryptionKey. The key itself is sealed under a master key or the cluster key, and opaque
// here.
type KeyVersion struct {
	Number  uint64    `json:"number"` // index of the command that added it: never used twice, also not by a key of the same name
	Sealed  []byte    `json:"sealed"`
	Created time.Time `json:"created"`
}

// EncryptionKey returns the key of that name.
func (s *State) EncryptionKey(name string) (EncryptionKey, bool) {
	i, ok := s.findEncryptionKey(name)
	if !ok {
		return EncryptionKey{}, false
	}
	return s.EncryptionKeys[i], true
}

func (s *State) findEncryptionKey(name string) (int, bool) {
	return slices.BinarySearchFunc(s.EncryptionKeys, name, func(k EncryptionKey, name string) int { return cmp.Compare(k.Name, name) })
}

// setEncryptionKey makes one change of a key whose proposer saw it as it is now.
func (s *State) setEncryptionKey(c SetEncryptionKey) Result {
	at, known := s.findEncryptionKey(c.Name)
	var k EncryptionKey
	if known {
		k = s.EncryptionKeys[at]
	}
	switch {
	case c.Name == "" || len(c.Name) > cluster.MaxKeyName:
		return Refuse(cluster.KindInvalid, c.Name, "an encryption key needs a name")
	case c.Base == 0 && known:
		return Refuse(cluster.KindConflict, c.Name, "there is an encryption key of that name")
	case !known && (c.Base != 0 || c.Remove):
		return Refuse(cluster.KindNotFound, c.Name, "there is no such encryption key")
	case c.Base != k.Revision:
		return Refuse(cluster.KindConflict, c.Name, "the encryption key was changed meanwhile")
	case len(c.Resealed) > 0 && len(c.Resealed) != len(k.Versions):
		return Refuse(cluster.KindInvalid, c.Name, "an encryption key is sealed anew with all its versions")
	case !c.Remove && len(c.Resealed) == 0 && len(c.Add) == 0:
		return Refuse(cluster.KindInvalid, c.Name, "a version of an encryption key needs the key")
	}
	keys := slices.Clone(s.EncryptionKeys)
	if c.Remove {
		s.EncryptionKeys = slices.Delete(keys, at, at+1)
		return Result{}
	}
	k.Name, k.Revision, k.Versions = c.Name, s.Index, slices.Clone(k.Versions)
	for i, sealed := range c.Resealed {
		k.Versions[i].Sealed = sealed
	}
	if len(c.Add) > 0 {
		k.Versions = append(k.Versions, KeyVersion{Number: s.Index, Sealed: c.Add, Created: s.Time})
	}
	if known {
		keys[at] = k
	} else {
		keys = slices.Insert(keys, at, k)
	}
	s.EncryptionKeys = keys
	return Result{}
}
