package access

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/aisle-store/aisle/cluster"
)

// Lengths of keys that users choose; AWS's are 20 and 40.
const (
	minKeyID, maxKeyID   = 3, 128
	minSecret, maxSecret = 8, 128
)

// KeysOf returns the keys of a user, ordered by id.
func (e *Edit) KeysOf(name cluster.UserName) []Key {
	var list []Key
	for _, k := range e.keys {
		if !k.Root && strings.EqualFold(string(k.User), string(name)) {
			list = append(list, k)
		}
	}
	return list
}

// Key returns a key of a user.
func (e *Edit) Key(id cluster.AccessKeyID) (Key, error) {
	i, ok := e.findKey(id)
	if !ok || e.keys[i].Root {
		return Key{}, fail(NoSuchEntity, "The Access Key with id "+string(id)+" cannot be found.")
	}
	return e.keys[i], nil
}

func (e *Edit) findKey(id cluster.AccessKeyID) (int, bool) {
	return slices.BinarySearchFunc(e.keys, id, func(k Key, id cluster.AccessKeyID) int { return cmp.Compare(k.ID, id) })
}

func (e *Edit) putKey(k Key) {
	i, ok := e.findKey(k.ID)
	e.keys = slices.Clone(e.keys)
	if ok {
		e.keys[i] = k
	} else {
		e.keys = slices.Insert(e.keys, i, k)
	}
	e.put = append(slices.DeleteFunc(e.put, func(old Key) bool { return old.ID == k.ID }), k)
}

func (e *Edit) removeKey(id cluster.AccessKeyID) {
	e.keys = slices.DeleteFunc(slices.Clone(e.keys), func(k Key) bool { return k.ID == id })
	e.removed = append(e.removed, id)
}

// CreateKey gives a user a key: the one that is given, or a new one where it is empty.
func (e *Edit) CreateKey(name cluster.UserName, id cluster.AccessKeyID, secret string) (Key, error) {
	u, err := e.User(name)
	if err != nil {
		return Key{}, err
	}
	if len(e.KeysOf(u.Name)) == maxKeys {
		return Key{}, fail(LimitExceeded, "Cannot exceed quota for AccessKeysPerUser: "+strconv.Itoa(maxKeys))
	}
	k := Key{ID: id, Secret: secret, User: u.Name, Created: e.time}
	if k.ID == "" {
		k.ID = NewKeyID(false)
	}
	if k.Secret == "" {
		k.Secret = NewSecret()
	}
	if n := len(k.ID); n < minKeyID || n > maxKeyID || strings.ContainsFunc(string(k.ID), unprintable) || strings.HasPrefix(string(k.ID), "ASIA") {
		return Key{}, fail(ValidationError, "An access key has 3 to 128 printable characters without blanks, commas and equals signs, and does not begin with ASIA")
	}
	if n := len(k.Secret); n < minSecret || n > maxSecret {
		return Key{}, fail(ValidationError, "A secret key has 8 to 128 characters")
	}
	if _, ok := e.findKey(k.ID); ok {
		return Key{}, fail(EntityAlreadyExists, "The access key "+string(k.ID)+" already exists.")
	}
	e.putKey(k)
	return k, nil
}

// unprintable reports characters that no credential in a header may have.
func unprintable(c rune) bool { return c <= ' ' || c > '~' || c == ',' || c == '=' }

// UpdateKey makes a key active or not, and says who is sent to the owners of objects; nil leaves it.
func (e *Edit) UpdateKey(id cluster.AccessKeyID, inactive *bool, redirect *string) error {
	k, err := e.Key(id)
	if err != nil {
		return err
	}
	if inactive != nil {
		k.Inactive = *inactive
	}
	if redirect != nil {
		if !slices.Contains([]string{"", "auto", "always", "never"}, *redirect) {
			return fail(ValidationError, "redirect is auto, always, never, or empty when the key does not matter")
		}
		k.Redirect = *redirect
	}
	e.putKey(k)
	return nil
}

// DeleteKey removes a key.
func (e *Edit) DeleteKey(id cluster.AccessKeyID) error {
	if _, err := e.Key(id); err != nil {
		return err
	}
	e.removeKey(id)
	return nil
}

// Keys returns all keys, the root key too, ordered by id.
func (e *Edit) Keys() []Key { return slices.Clone(e.keys) }
