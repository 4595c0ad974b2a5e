package node

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/config"
)

// rootKeyFile keeps the root key in the state directory of the node that made the cluster, for its administrator.
const rootKeyFile = "root.json"

// rootKey is the key pair that may do everything.
type rootKey struct {
	AccessKey cluster.AccessKeyID `json:"access_key"`
	SecretKey string              `json:"secret_key"`
}

// loadRootKey returns the root key that a new cluster starts with: the one given by the environment, or the one in the
// state directory, or a new one, which is printed.
func loadRootKey(s *state, settings config.Node, out io.Writer) (rootKey, error) {
	var k rootKey
	text, err := os.ReadFile(s.path(rootKeyFile))
	if err == nil {
		if err = json.Unmarshal(text, &k); err != nil {
			return k, fmt.Errorf("%s: %w", s.path(rootKeyFile), err)
		}
		return k, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	k = rootKey{AccessKey: cluster.AccessKeyID(settings.AccessKey), SecretKey: settings.SecretKey}
	generated := k.AccessKey == ""
	if generated {
		k = newRootKey()
	}
	if err := k.check(); err != nil {
		return k, err
	}
	if text, err = json.MarshalIndent(k, "", "  "); err != nil {
		return k, err
	}
	if err := writeDurably(s.path(rootKeyFile), append(text, '\n')); err != nil {
		return k, err
	}
	if generated {
		fmt.Fprintf(out, "The root key of the new cluster (also in %s):\n  AISLE_ACCESS_KEY=%s\n  AISLE_SECRET_KEY=%s\n", s.path(rootKeyFile), k.AccessKey, k.SecretKey)
	}
	return k, nil
}

// check refuses keys that clients would not take or that are easily guessed.
func (k rootKey) check() error {
	switch {
	case len(k.AccessKey) < 3 || len(k.AccessKey) > 128 || strings.ContainsAny(string(k.AccessKey), "/=,: \t\r\n"):
		return errors.New("AISLE_ACCESS_KEY must have 3 to 128 characters, without blanks, slashes, commas, colons and equals signs")
	case len(k.SecretKey) < 8 || len(k.SecretKey) > 128 || strings.ContainsAny(k.SecretKey, "\r\n"):
		return errors.New("AISLE_SECRET_KEY must have 8 to 128 characters")
	}
	return nil
}

// newRootKey makes a key pair that looks as those of AWS do.
func newRootKey() rootKey {
	var secret [30]byte
	rand.Read(secret[:])
	return rootKey{AccessKey: cluster.AccessKeyID("AISLE" + strings.ToUpper(randomName("") + randomName(""))[:15]), SecretKey: base64.RawURLEncoding.EncodeToString(secret[:])}
}
