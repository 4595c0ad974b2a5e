package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/aisle-store/aisle/cluster"
)

// Master is the master keys of a node, under which the encryption keys of the cluster are sealed: the first one seals, all of
// them open. It prints as a placeholder.
type Master struct{ keys []*Key }

// LoadMaster reads the master keys from a file, or takes them from the environment: one in a line, 32 bytes in hexadecimal or
// base64, the current one first. It returns nil when there are none at all.
func LoadMaster(file, value string) (*Master, error) {
	const op = "secret.LoadMaster"
	switch {
	case file != "" && value != "":
		return nil, cluster.Fail(op, "", cluster.KindInvalid, "the master key is given twice, as a file and in the environment; leave one out")
	case file == "" && value == "":
		return nil, nil
	case file != "":
		text, err := readPrivate(file)
		if err != nil {
			return nil, cluster.E(op, file, cluster.KindInvalid, err)
		}
		value = string(text)
	}
	m := &Master{}
	for line := range strings.Lines(value) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, err := parseMaster(line)
		if err != nil {
			return nil, cluster.E(op, file, cluster.KindInvalid, err)
		}
		m.keys = append(m.keys, key)
	}
	if len(m.keys) == 0 {
		return nil, cluster.E(op, file, cluster.KindInvalid, errors.New("there is no master key in it"))
	}
	return m, nil
}

func parseMaster(text string) (*Key, error) {
	raw, err := hex.DecodeString(text)
	if err != nil {
		raw, err = base64.StdEncoding.DecodeString(text)
	}
	if err != nil || len(raw) != KeySize {
		return nil, fmt.Errorf("a master key is %d bytes in hexadecimal or base64, as of: openssl rand -hex %d", KeySize, KeySize)
	}
	return ParseKey(raw)
}

// Seal seals under the current key.
func (m *Master) Seal(plain []byte) []byte { return m.keys[0].Seal(plain, masterContext) }

// Open opens what one of the keys has sealed.
func (m *Master) Open(envelope []byte) ([]byte, error) {
	for _, k := range m.keys {
		if k.sealed(envelope) {
			return k.Open(envelope, masterContext)
		}
	}
	return nil, cluster.Fail("secret.Master.Open", "", cluster.KindInvalid, "it is sealed under another master key")
}

// Holds reports whether one of the keys has sealed an envelope.
func (m *Master) Holds(envelope []byte) bool {
	for _, k := range m.keys {
		if k.sealed(envelope) {
			return true
		}
	}
	return false
}

// masterContext is what master keys are for.
const masterContext = "encryption key"

// sealed reports whether an envelope names this key.
func (k *Key) sealed(envelope []byte) bool {
	head := k.head()
	return len(envelope) >= len(head) && bytes.Equal(envelope[:len(head)], head)
}

// SealedBy returns the public name of the key that sealed an envelope.
func SealedBy(envelope []byte) string {
	if len(envelope) < envelopeMin {
		return ""
	}
	return hex.EncodeToString(envelope[1 : 1+keyIDSize])
}

// String hides the keys.
func (m *Master) String() string { return "(master key " + m.keys[0].ID() + ")" }

// GoString hides the keys.
func (m *Master) GoString() string { return m.String() }

// LogValue hides the keys.
func (m *Master) LogValue() slog.Value { return slog.StringValue(m.String()) }
