package secret

import (
	"sync"

	"github.com/aisle-store/aisle/cluster"
)

// Keyring holds the cluster key of one node, from the moment when the node forms or joins a cluster, and keeps it in the
// state directory.
type Keyring struct {
	dir string
	mu  struct {
		sync.RWMutex
		key *Key // nil until there is one
	}
}

// OpenKeyring reads the key from a state directory, if it is there.
func OpenKeyring(stateDir string) (*Keyring, error) {
	r := &Keyring{dir: stateDir}
	key, err := LoadKey(stateDir)
	if err != nil && !cluster.Is(err, cluster.KindNotFound) {
		return nil, err
	}
	r.mu.key = key
	return r, nil
}

// Create makes and saves the key of a new cluster, unless there is one.
func (r *Keyring) Create() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.key != nil {
		return nil
	}
	return r.set(NewKey())
}

// Import saves the key that a member exported. It fails with KindConflict when this node has another one.
func (r *Keyring) Import(raw []byte) error {
	key, err := ParseKey(raw)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.set(key)
}

func (r *Keyring) set(key *Key) error {
	if err := key.Save(r.dir); err != nil {
		return err
	}
	r.mu.key = key
	return nil
}

// Export returns the key itself, for a node that joins.
func (r *Keyring) Export() ([]byte, error) {
	key, err := r.get("secret.Keyring.Export")
	if err != nil {
		return nil, err
	}
	return key.Bytes(), nil
}

// Seal is Key.Seal without a context.
func (r *Keyring) Seal(plain []byte) ([]byte, error) {
	key, err := r.get("secret.Keyring.Seal")
	if err != nil {
		return nil, err
	}
	return key.Seal(plain, ""), nil
}

// Open is Key.Open without a context.
func (r *Keyring) Open(sealed []byte) ([]byte, error) {
	key, err := r.get("secret.Keyring.Open")
	if err != nil {
		return nil, err
	}
	return key.Open(sealed, "")
}

// Sealed reports whether the cluster key has sealed something.
func (r *Keyring) Sealed(envelope []byte) bool {
	key, err := r.get("secret.Keyring.Sealed")
	return err == nil && key.sealed(envelope)
}

// Derive is Key.Derive.
func (r *Keyring) Derive(label string) ([]byte, error) {
	key, err := r.get("secret.Keyring.Derive")
	if err != nil {
		return nil, err
	}
	return key.Derive(label)
}

func (r *Keyring) get(op string) (*Key, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.mu.key == nil {
		return nil, cluster.Fail(op, "", cluster.KindUnavailable, "this node has no cluster key yet")
	}
	return r.mu.key, nil
}
