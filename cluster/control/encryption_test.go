package control

import (
	"bytes"
	"errors"
	"testing"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/internal/state"
)

// prefixMaster seals by a prefix.
type prefixMaster []string

func (m prefixMaster) Seal(plain []byte) []byte { return append([]byte(m[0]), plain...) }

func (m prefixMaster) Open(sealed []byte) ([]byte, error) {
	for _, p := range m {
		if plain, ok := bytes.CutPrefix(sealed, []byte(p)); ok {
			return bytes.Clone(plain), nil
		}
	}
	return nil, errors.New("another master key")
}

func (m prefixMaster) Holds(sealed []byte) bool {
	_, err := m.Open(sealed)
	return err == nil
}

func TestEncryptionKeys(t *testing.T) {
	node := func(m Master, s *state.State) *Control {
		c := New(Options{Node: cluster.Node{ID: "n"}, Keyring: &simKeyring{}, Master: m})
		c.view.Store(c.newView(s))
		return c
	}
	s := state.New()
	add := func(c *Control, name string, number uint64) {
		t.Helper()
		sealed, err := c.sealKey(name, bytes.Repeat([]byte{byte(number)}, EncryptionKeySize))
		if err != nil {
			t.Fatal(err)
		}
		next := *s
		version := state.KeyVersion{Number: number, Sealed: sealed}
		if k, ok := s.EncryptionKey(name); ok {
			next.EncryptionKeys = []state.EncryptionKey{{Name: name, Versions: append(k.Versions, version)}}
		} else {
			next.EncryptionKeys = append(next.EncryptionKeys, state.EncryptionKey{Name: name, Versions: []state.KeyVersion{version}})
		}
		s = &next
	}
	want := func(c *Control, number, key uint64, kind cluster.Kind) {
		t.Helper()
		k, err := c.View().EncryptionKey("a", number)
		if kind != 0 {
			if !cluster.Is(err, kind) {
				t.Fatalf("%v, want %s", err, kind)
			}
			return
		}
		if err != nil || k.Number != key || k.Key != [EncryptionKeySize]byte(bytes.Repeat([]byte{byte(key)}, EncryptionKeySize)) {
			t.Fatalf("%v, %v", k, err)
		}
	}

	none := node(nil, s)
	want(none, 0, 0, cluster.KindNotFound)
	add(none, "a", 7)
	none = node(nil, s)
	want(none, 0, 7, 0)
	want(none, 7, 7, 0)
	want(none, 8, 0, cluster.KindNotFound)

	// A node with a master key opens what the cluster key has sealed, and seals under the master key.
	with := node(prefixMaster{"m1 "}, s)
	want(with, 0, 7, 0)
	add(with, "a", 9)
	with, none, other := node(prefixMaster{"m1 "}, s), node(nil, s), node(prefixMaster{"m2 "}, s)
	both := node(prefixMaster{"m2 ", "m1 "}, s)
	want(with, 0, 9, 0)
	want(with, 7, 7, 0)
	want(both, 0, 9, 0)
	for _, c := range []*Control{none, other} {
		want(c, 0, 0, cluster.KindUnavailable)
		want(c, 7, 7, 0)
		if locked := c.View().LockedKeys(); len(locked) != 1 || locked[0] != "a" {
			t.Fatalf("locked: %v", locked)
		}
	}
	if infos := with.View().EncryptionKeys(); len(infos) != 1 || !infos[0].Opens || !infos[0].Master || infos[0].Versions != 2 {
		t.Fatalf("%+v", infos)
	}
	// A node without the master key does not weaken what is sealed under one.
	if _, err := none.sealKey("b", make([]byte, EncryptionKeySize)); !cluster.Is(err, cluster.KindUnavailable) {
		t.Fatal(err)
	}
	// A key under another's name is none.
	k, _ := s.EncryptionKey("a")
	moved := *s
	moved.EncryptionKeys = []state.EncryptionKey{{Name: "b", Versions: k.Versions}}
	if _, err := node(prefixMaster{"m1 "}, &moved).View().EncryptionKey("b", 0); !cluster.Is(err, cluster.KindUnavailable) && !cluster.Is(err, cluster.KindCorrupt) {
		t.Fatal(err)
	}
}
