package control

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/internal/state"
)

// Master holds the master keys under which encryption keys are sealed; *secret.Master is one.
type Master interface {
	Seal(plain []byte) []byte
	Open(sealed []byte) ([]byte, error)
	Holds(sealed []byte) bool // one of its keys has sealed it
}

// EncryptionKey is one version of an encryption key in the clear. It prints as a placeholder.
type EncryptionKey struct {
	Name    string
	Number  uint64
	Key     [EncryptionKeySize]byte
	Created time.Time
}

// EncryptionKeySize is the length of an encryption key in bytes.
const EncryptionKeySize = 32

// String hides the key.
func (k EncryptionKey) String() string {
	return fmt.Sprintf("(encryption key %s, version %d)", k.Name, k.Number)
}

// GoString hides the key.
func (k EncryptionKey) GoString() string { return k.String() }

// EncryptionKeyInfo is what may be told of an encryption key.
type EncryptionKeyInfo struct {
	Name     string
	Created  time.Time // its first version
	Rotated  time.Time // its last version
	Versions int
	Opens    bool // this node can open it
	Master   bool // it is sealed under a master key, not under the cluster key
}

// EncryptionKey opens a version of an encryption key; number 0 is the newest. The kind is KindNotFound when there is none,
// KindUnavailable when this node cannot open it.
func (v *View) EncryptionKey(name string, number uint64) (EncryptionKey, error) {
	const op = "control.View.EncryptionKey"
	k, ok := v.state.EncryptionKey(name)
	if !ok || len(k.Versions) == 0 {
		return EncryptionKey{}, cluster.Fail(op, name, cluster.KindNotFound, "there is no such encryption key")
	}
	for i := len(k.Versions) - 1; i >= 0; i-- {
		version := &k.Versions[i]
		if number != 0 && version.Number != number {
			continue
		}
		if opened, ok := v.encryptionKeys.Load(version.Number); ok {
			return *opened.(*EncryptionKey), nil
		}
		plain, err := v.unseal(name, version.Sealed)
		if err != nil {
			return EncryptionKey{}, cluster.E(op, name, cluster.KindUnavailable, err)
		}
		opened := &EncryptionKey{Name: name, Number: version.Number, Key: plain, Created: version.Created}
		v.encryptionKeys.Store(version.Number, opened)
		return *opened, nil
	}
	return EncryptionKey{}, cluster.Fail(op, name, cluster.KindNotFound, "the encryption key does not have that version")
}

// EncryptionKeys tells what encryption keys there are, ordered by name.
func (v *View) EncryptionKeys() []EncryptionKeyInfo {
	infos := make([]EncryptionKeyInfo, 0, len(v.state.EncryptionKeys))
	for _, k := range v.state.EncryptionKeys {
		if len(k.Versions) == 0 {
			continue
		}
		last := k.Versions[len(k.Versions)-1]
		info := EncryptionKeyInfo{
			Name: k.Name, Created: k.Versions[0].Created, Rotated: last.Created, Versions: len(k.Versions), Opens: true, Master: !v.clusterSealed(last.Sealed),
		}
		for _, version := range k.Versions {
			if _, err := v.unseal(k.Name, version.Sealed); err != nil {
				info.Opens = false
			}
		}
		infos = append(infos, info)
	}
	return infos
}

// LockedKeys names the encryption keys that this node cannot open.
func (v *View) LockedKeys() []string {
	var names []string
	for _, k := range v.EncryptionKeys() {
		if !k.Opens {
			names = append(names, k.Name)
		}
	}
	return names
}

// AddEncryptionKey makes a new encryption key of that name. See CreateBucket.
func (c *Control) AddEncryptionKey(ctx context.Context, req cluster.RequestID, name string) error {
	return c.addKeyVersion(ctx, req, name, 0)
}

// RotateEncryptionKey gives an encryption key a new version: objects written from now on are sealed under that one, older ones
// stay as they are. See CreateBucket.
func (c *Control) RotateEncryptionKey(ctx context.Context, req cluster.RequestID, name string) error {
	const op = "control.RotateEncryptionKey"
	k, ok := c.View().state.EncryptionKey(name)
	if !ok {
		return cluster.Fail(op, name, cluster.KindNotFound, "there is no such encryption key")
	}
	return c.addKeyVersion(ctx, req, name, k.Revision)
}

func (c *Control) addKeyVersion(ctx context.Context, req cluster.RequestID, name string, base uint64) error {
	key := make([]byte, EncryptionKeySize)
	rand.Read(key) // never fails
	defer clear(key)
	sealed, err := c.sealKey(name, key)
	if err != nil {
		return err
	}
	return c.setEncryptionKey(ctx, req, &state.SetEncryptionKey{Name: name, Base: base, Add: sealed})
}

// RemoveEncryptionKey removes an encryption key. What is encrypted under it can never be read again. See CreateBucket.
func (c *Control) RemoveEncryptionKey(ctx context.Context, req cluster.RequestID, name string) error {
	const op = "control.RemoveEncryptionKey"
	k, ok := c.View().state.EncryptionKey(name)
	if !ok {
		return cluster.Fail(op, name, cluster.KindNotFound, "there is no such encryption key")
	}
	return c.setEncryptionKey(ctx, req, &state.SetEncryptionKey{Name: name, Base: k.Revision, Remove: true})
}

// ResealEncryptionKey seals all versions of an encryption key under the current master key of this node. See CreateBucket.
func (c *Control) ResealEncryptionKey(ctx context.Context, req cluster.RequestID, name string) error {
	const op = "control.ResealEncryptionKey"
	k, ok := c.View().state.EncryptionKey(name)
	if !ok {
		return cluster.Fail(op, name, cluster.KindNotFound, "there is no such encryption key")
	}
	set := &state.SetEncryptionKey{Name: name, Base: k.Revision}
	for _, version := range k.Versions {
		key, err := c.unsealKey(name, version.Sealed)
		if err != nil {
			return cluster.E(op, name, cluster.KindUnavailable, err)
		}
		sealed, err := c.sealKey(name, key[:])
		clear(key[:])
		if err != nil {
			return cluster.E(op, name, cluster.KindOther, err)
		}
		set.Resealed = append(set.Resealed, sealed)
	}
	return c.setEncryptionKey(ctx, req, set)
}

func (c *Control) setEncryptionKey(ctx context.Context, req cluster.RequestID, set *state.SetEncryptionKey) error {
	const op = "control.setEncryptionKey"
	a, err := c.change(ctx, state.Command{Request: req, SetEncryptionKey: set})
	if err == nil {
		err = a.Result.Err(op)
	}
	if err != nil {
		return cluster.E(op, set.Name, cluster.KindOther, err)
	}
	return nil
}

// sealKey seals an encryption key under the master key of this node or, where there are no master keys, under the cluster key.
// Its name is sealed with it, so that one key cannot be put into another's place.
func (c *Control) sealKey(name string, key []byte) ([]byte, error) {
	const op = "control.sealKey"
	plain := append(key[:len(key):len(key)], name...)
	defer clear(plain)
	if c.options.Master != nil {
		return c.options.Master.Seal(plain), nil
	}
	for _, k := range c.View().state.EncryptionKeys {
		for _, version := range k.Versions {
			if !c.clusterSealed(version.Sealed) {
				return nil, cluster.Fail(op, name, cluster.KindUnavailable, "the encryption keys of the cluster are sealed under a master key, which this node was not given")
			}
		}
	}
	return c.options.Keyring.Seal(plain)
}

// unsealKey opens an encryption key.
func (c *Control) unsealKey(name string, sealed []byte) (key [EncryptionKeySize]byte, err error) {
	const op = "control.unsealKey"
	open := c.options.Keyring.Open
	if c.options.Master != nil && c.options.Master.Holds(sealed) {
		open = c.options.Master.Open
	} else if !c.clusterSealed(sealed) {
		return key, cluster.Fail(op, name, cluster.KindUnavailable, "the encryption key is sealed under a master key that this node was not given")
	}
	plain, err := open(sealed)
	if err != nil {
		return key, cluster.E(op, name, cluster.KindUnavailable, err)
	}
	defer clear(plain)
	if len(plain) < EncryptionKeySize || string(plain[EncryptionKeySize:]) != name {
		return key, cluster.Fail(op, name, cluster.KindCorrupt, "it is another encryption key")
	}
	copy(key[:], plain)
	return key, nil
}

// clusterSealed reports whether something is sealed under the cluster key.
func (c *Control) clusterSealed(sealed []byte) bool { return c.options.Keyring.Sealed(sealed) }
