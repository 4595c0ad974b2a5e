package control

import (
	"encoding/base64"
	"maps"
	"sync"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/internal/state"
)

// View is everything a node has applied. It is immutable.
type View struct {
	state  *state.State
	open   func(state.Key) (Key, bool)        // opens a sealed secret
	derive func(label string) ([]byte, error) // from the cluster key
	keys   sync.Map                           // by cluster.AccessKeyID: the Key of each that was opened
	next   chan struct{}                      // closed when a later view is published

	unseal         func(name string, sealed []byte) ([EncryptionKeySize]byte, error) // opens an encryption key
	clusterSealed  func(sealed []byte) bool                                          // the cluster key has sealed it
	encryptionKeys sync.Map                                                          // by number: *EncryptionKey of each version that was opened

	owners struct { // of the slots of each layout in the active map, found when they are first asked for
		sync.Once
		of [][]cluster.NodeID
	}
}

// Key is an access key with its secret in the clear.
type Key struct {
	ID     cluster.AccessKeyID
	Secret string
	Root   bool

	User     cluster.UserName // whose it is, unless it is the root key
	Inactive bool             // it is known, and refused
	Created  time.Time
	Redirect string // who is sent to the owners of objects: "auto", "always", "never", or "" when the key does not matter
}

// Index returns the index of the last command applied.
func (v *View) Index() uint64 { return v.state.Index }

// Map returns the active map, by which slots are served. Before the node has joined it is an empty one of version 0.
func (v *View) Map() *cluster.Map { return v.state.Active }

// Owners returns the targets that own slots of a layout in the active map, ordered by id. The caller must not change it.
func (v *View) Owners(of cluster.LayoutID) []cluster.NodeID {
	v.owners.Do(func() { v.owners.of = v.Map().Owners() })
	if int(of) >= len(v.owners.of) {
		return nil
	}
	return v.owners.of[of]
}

// Pending returns the map that is being changed to, or nil.
func (v *View) Pending() *cluster.Map { return v.state.Pending }

// Bucket returns the bucket of that name, deleting ones included.
func (v *View) Bucket(b cluster.Bucket) (cluster.BucketEntry, bool) {
	return entry(v.state.Bucket(b))
}

// BucketByID returns the bucket of that id, deleting ones included.
func (v *View) BucketByID(id cluster.BucketID) (cluster.BucketEntry, bool) {
	return entry(v.state.BucketByID(id))
}

// BucketConfig returns the document of a kind that configures a bucket.
func (v *View) BucketConfig(id cluster.BucketID, kind string) (*cluster.BucketConfig, bool) {
	return v.state.BucketConfig(id, kind)
}

// BucketOver returns the bucket whose objects are being moved away from an id.
func (v *View) BucketOver(id cluster.BucketID) (cluster.BucketEntry, bool) {
	return entry(v.state.BucketOver(id))
}

func entry(e *cluster.BucketEntry, ok bool) (cluster.BucketEntry, bool) {
	if !ok {
		return cluster.BucketEntry{}, false
	}
	return *e, true
}

// Buckets returns all buckets, ordered by name.
func (v *View) Buckets() []cluster.BucketEntry {
	all := make([]cluster.BucketEntry, len(v.state.Buckets))
	for i, e := range v.state.Buckets {
		all[i] = *e
	}
	return all
}

// LastBucket returns the sequence number of the newest bucket that was ever made.
func (v *View) LastBucket() uint64 { return v.state.LastBucket }

// BMDVersion returns the version of the bucket table.
func (v *View) BMDVersion() uint64 { return v.state.BMDVersion }

// Key returns an access key; also of any session that there could be, whose token has to be looked at. Its secret is opened once in each view: every request asks for it twice.
func (v *View) Key(id cluster.AccessKeyID) (Key, bool) {
	if opened, ok := v.keys.Load(id); ok {
		return *opened.(*Key), true
	}
	sealed, ok := v.state.Key(id)
	if !ok {
		return v.temporary(id)
	}
	key, ok := v.open(sealed)
	if ok {
		v.keys.Store(key.ID, &key)
	}
	return key, ok
}

// temporary returns a key of a session. Its secret follows from the cluster key; whether there is such a session, its token says.
func (v *View) temporary(id cluster.AccessKeyID) (Key, bool) {
	if !id.IsTemporary() || v.derive == nil {
		return Key{}, false
	}
	secret, err := v.derive("session key " + string(id))
	if err != nil {
		return Key{}, false
	}
	return Key{ID: id, Secret: base64.StdEncoding.EncodeToString(secret)[:40]}, true
}

// Keys returns the access keys, ordered by id, without their secrets.
func (v *View) Keys() []Key {
	keys := make([]Key, len(v.state.Keys))
	for i, k := range v.state.Keys {
		keys[i] = keyOf(k)
	}
	return keys
}

// keyOf returns a key without its secret.
func keyOf(k state.Key) Key {
	return Key{ID: k.ID, Root: k.Root, User: k.User, Inactive: k.Inactive, Created: k.Created, Redirect: k.Redirect}
}

// Identities returns those who may ask, and what they may. The same value is returned until they change.
func (v *View) Identities() *cluster.Identities { return v.state.Identities }

// Setting returns the value of a cluster-wide setting, or "" when it was never set.
func (v *View) Setting(name string) string { return v.state.Settings[name] }

// Settings returns the cluster-wide settings that were set.
func (v *View) Settings() map[string]string { return maps.Clone(v.state.Settings) }
