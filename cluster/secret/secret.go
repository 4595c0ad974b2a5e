package secret

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/aisle-store/aisle/cluster"
)

// FileName is the name of the cluster secret's file in a state directory.
const FileName = "cluster.secret"

// MinLength is the least length of a cluster secret, in characters.
const MinLength = 32

// maxFile bounds what is read from a file that should hold one line.
const maxFile = 4096

// Secret is the cluster secret. It prints as a placeholder.
type Secret struct{ text string }

// Source says where a node's cluster secret comes from. At most one of File and Value is set.
type Source struct {
	File     string // a file that the user names
	Value    string // the secret itself, from the environment
	StateDir string // where Generate put it, or Save
}

// Load finds the cluster secret: the one the user gives or, without it, the one in the state directory. When both exist
// they must be equal. The kind is KindNotFound when there is none at all, KindInvalid when it cannot be used.
func Load(s Source) (*Secret, error) {
	const op = "secret.Load"
	given, err := s.given()
	if err != nil {
		return nil, cluster.E(op, "", cluster.KindInvalid, err)
	}
	path := filepath.Join(s.StateDir, FileName)
	kept, err := readFile(path)
	switch {
	case s.StateDir == "" || errors.Is(err, fs.ErrNotExist):
		if given == nil {
			return nil, cluster.Fail(op, "", cluster.KindNotFound, "there is no cluster secret: give it as a file or in the environment")
		}
		return given, nil
	case err != nil:
		return nil, cluster.E(op, "", cluster.KindInvalid, err)
	case given != nil && !given.equal(kept):
		return nil, cluster.Fail(op, "", cluster.KindInvalid,
			"the cluster secret given is not the one in "+path+"; this node belongs to another cluster, or the file is to be removed first")
	}
	return kept, nil
}

func (s Source) given() (*Secret, error) {
	switch {
	case s.File != "" && s.Value != "":
		return nil, errors.New("the cluster secret is given twice, as a file and in the environment; leave one out")
	case s.File != "":
		return readFile(s.File)
	case s.Value != "":
		return Parse(s.Value)
	}
	return nil, nil
}

// Parse takes a secret as text; white space around it does not count.
func Parse(text string) (*Secret, error) {
	text = strings.TrimSpace(text)
	if len(text) < MinLength {
		return nil, cluster.Fail("secret.Parse", "", cluster.KindInvalid,
			fmt.Sprintf("the cluster secret has %d characters; it needs at least %d, chosen at random", len(text), MinLength))
	}
	return &Secret{text: text}, nil
}

// Generate makes a new random secret and saves it in a state directory that has none.
func Generate(stateDir string) (*Secret, error) {
	raw := make([]byte, 32)
	rand.Read(raw)
	s := &Secret{text: base64.RawURLEncoding.EncodeToString(raw)}
	if err := writeNew(filepath.Join(stateDir, FileName), []byte(s.text+"\n")); err != nil {
		return nil, cluster.E("secret.Generate", stateDir, kindOfWrite(err), err)
	}
	return s, nil
}

// Save keeps the secret in a state directory, so that the node needs not be given it again. It does nothing when the same
// secret is there, and fails when another is.
func (s *Secret) Save(stateDir string) error {
	const op = "secret.Secret.Save"
	path := filepath.Join(stateDir, FileName)
	kept, err := readFile(path)
	switch {
	case err == nil && kept.equal(s):
		return nil
	case err == nil:
		return cluster.Fail(op, path, cluster.KindConflict, "the file holds another secret")
	case !errors.Is(err, fs.ErrNotExist):
		return cluster.E(op, path, cluster.KindInvalid, err)
	}
	if err := writeNew(path, []byte(s.text+"\n")); err != nil {
		return cluster.E(op, path, kindOfWrite(err), err)
	}
	return nil
}

// Text returns the secret itself, to be handed to a joiner by its user.
func (s *Secret) Text() string { return s.text }

// String hides the secret.
func (s *Secret) String() string { return "(cluster secret)" }

// GoString hides the secret.
func (s *Secret) GoString() string { return s.String() }

// LogValue hides the secret.
func (s *Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// TicketKey returns the 32-byte key of tickets between nodes.
func (s *Secret) TicketKey() []byte { return s.derive("ticket hmac-sha256", 32) }

// GossipKey returns the 32-byte key that encrypts gossip.
func (s *Secret) GossipKey() []byte { return s.derive("gossip aes-256", 32) }

func (s *Secret) equal(t *Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.text), []byte(t.text)) == 1
}

// derive gives independent keys for distinct labels (RFC 5869).
func (s *Secret) derive(label string, size int) []byte {
	key, err := hkdf.Key(sha256.New, []byte(s.text), []byte("aisle cluster secret v1"), label, size)
	if err != nil {
		panic("secret: " + err.Error()) // only for sizes beyond what HKDF can give
	}
	return key
}

// readFile reads a secret that only its owner, and perhaps a group, can read.
func readFile(path string) (*Secret, error) {
	raw, err := readPrivate(path)
	if err != nil {
		return nil, err
	}
	s, err := Parse(string(raw))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// readPrivate reads a small file, and refuses it when others than its owner and group can read it, or others than its
// owner can write it. (Groups read because orchestrators mount secrets that way.)
func readPrivate(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode(); !mode.IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	} else if mode.Perm()&0o027 != 0 {
		return nil, fmt.Errorf("%s has the permissions %#o, which let others in: chmod 600 %s", path, mode.Perm(), path)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s has %d bytes; a secret is one line", path, info.Size())
	}
	raw := make([]byte, info.Size())
	n, err := f.ReadAt(raw, 0)
	if n < len(raw) {
		return nil, err
	}
	return raw, nil
}

// writeNew makes a file that only its owner can read and that did not exist, whole and durably or not at all.
func writeNew(path string, data []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*") // made with 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil { // unlike rename, never replaces
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func kindOfWrite(err error) cluster.Kind {
	if errors.Is(err, fs.ErrExist) {
		return cluster.KindConflict
	}
	return cluster.KindOther
}
