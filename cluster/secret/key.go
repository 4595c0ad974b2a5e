package secret

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/aisle-store/aisle/cluster"
)

// KeyFileName is the name of the cluster key's file in a state directory.
const KeyFileName = "cluster.key"

// KeySize is the length of a cluster key in bytes.
const KeySize = 32

// Key is the cluster key: it seals secrets in the replicated state (AES-256-GCM). It prints as a placeholder.
type Key struct {
	raw  [KeySize]byte
	id   [keyIDSize]byte
	aead cipher.AEAD
}

// An envelope is: version (1 byte), id of the key (4), nonce (12), ciphertext and tag. The version and the id are
// authenticated together with the caller's context.
const (
	envelopeV1  = 1
	keyIDSize   = 4
	nonceSize   = 12
	tagSize     = 16
	envelopeMin = 1 + keyIDSize + nonceSize + tagSize
)

// NewKey makes a random cluster key, once in the life of a cluster.
func NewKey() *Key {
	raw := make([]byte, KeySize)
	rand.Read(raw)
	k, err := ParseKey(raw)
	if err != nil {
		panic("secret: " + err.Error()) // the size is right
	}
	return k
}

// ParseKey takes what Bytes returned.
func ParseKey(raw []byte) (*Key, error) {
	if len(raw) != KeySize {
		return nil, cluster.Fail("secret.ParseKey", "", cluster.KindInvalid, fmt.Sprintf("a cluster key has %d bytes, not %d", KeySize, len(raw)))
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	k := &Key{aead: aead}
	copy(k.raw[:], raw)
	sum := sha256.Sum256(append([]byte("aisle cluster key id\x00"), raw...))
	copy(k.id[:], sum[:])
	return k, nil
}

// Bytes returns the key itself, to be handed to a joining node over a control call.
func (k *Key) Bytes() []byte { return bytes.Clone(k.raw[:]) }

// ID returns a short public name of the key.
func (k *Key) ID() string { return hex.EncodeToString(k.id[:]) }

// String hides the key.
func (k *Key) String() string { return "(cluster key " + k.ID() + ")" }

// GoString hides the key.
func (k *Key) GoString() string { return k.String() }

// LogValue hides the key.
func (k *Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// Seal encrypts a secret. The context, which Open needs too, says what the secret is for (as "access key AKIA..."), so
// that one sealed secret cannot be put into another's place. Two calls never give the same envelope.
func (k *Key) Seal(plain []byte, context string) []byte {
	head := k.head()
	out := make([]byte, len(head)+nonceSize, envelopeMin+len(plain))
	copy(out, head)
	nonce := out[len(head):]
	rand.Read(nonce)
	return k.aead.Seal(out, nonce, plain, append(head, context...))
}

// Open decrypts what Seal returned for the same context. It fails with KindInvalid on an envelope of another form or
// key, and with KindCorrupt on one that was changed or belongs to another context.
func (k *Key) Open(envelope []byte, context string) ([]byte, error) {
	const op = "secret.Key.Open"
	head := k.head()
	switch {
	case len(envelope) < envelopeMin:
		return nil, cluster.Fail(op, "", cluster.KindInvalid, "a sealed secret is too short")
	case envelope[0] != envelopeV1:
		return nil, cluster.Fail(op, "", cluster.KindInvalid, fmt.Sprintf("a sealed secret has version %d, which this build does not know", envelope[0]))
	case !bytes.Equal(envelope[:len(head)], head):
		return nil, cluster.Fail(op, "", cluster.KindInvalid,
			fmt.Sprintf("a secret is sealed under the cluster key %x; this node has %s", envelope[1:len(head)], k.ID()))
	}
	body := envelope[len(head):]
	plain, err := k.aead.Open(nil, body[:nonceSize], body[nonceSize:], append(head, context...))
	if err != nil {
		return nil, cluster.Fail(op, "", cluster.KindCorrupt, "a sealed secret was changed, or belongs to something else")
	}
	return plain, nil
}

// Derive returns 32 bytes that follow from the key and a label, and tell nothing of either.
func (k *Key) Derive(label string) ([]byte, error) {
	return hkdf.Key(sha256.New, k.raw[:], nil, "aisle "+label, sha256.Size)
}

func (k *Key) head() []byte {
	return append([]byte{envelopeV1}, k.id[:]...)
}

// Save keeps the key in a state directory. It does nothing when the same key is there, and fails when another is: a
// cluster never changes its key this way.
func (k *Key) Save(stateDir string) error {
	const op = "secret.Key.Save"
	path := filepath.Join(stateDir, KeyFileName)
	kept, err := LoadKey(stateDir)
	switch {
	case err == nil && kept.raw == k.raw:
		return nil
	case err == nil:
		return cluster.Fail(op, path, cluster.KindConflict, "the file holds the key of another cluster")
	case !cluster.Is(err, cluster.KindNotFound):
		return err
	}
	if err := writeNew(path, []byte(hex.EncodeToString(k.raw[:])+"\n")); err != nil {
		return cluster.E(op, path, kindOfWrite(err), err)
	}
	return nil
}

// LoadKey reads the key from a state directory; KindNotFound when there is none.
func LoadKey(stateDir string) (*Key, error) {
	const op = "secret.LoadKey"
	path := filepath.Join(stateDir, KeyFileName)
	text, err := readPrivate(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, cluster.E(op, path, cluster.KindNotFound, err)
	}
	if err != nil {
		return nil, cluster.E(op, path, cluster.KindInvalid, err)
	}
	raw, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, cluster.E(op, path, cluster.KindInvalid, err)
	}
	k, err := ParseKey(raw)
	if err != nil {
		return nil, cluster.E(op, path, cluster.KindInvalid, err)
	}
	return k, nil
}
