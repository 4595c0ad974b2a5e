package secret_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/secret"
)

func TestMaster(t *testing.T) {
	const (
		old     = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
		current = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	)
	path := filepath.Join(t.TempDir(), "master")
	if err := os.WriteFile(path, []byte("# the new one first\n"+current+"\n\n"+old+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	load := func(file, value string) *secret.Master {
		t.Helper()
		m, err := secret.LoadMaster(file, value)
		if err != nil || m == nil {
			t.Fatal(m, err)
		}
		return m
	}
	before, both, after := load("", old), load(path, ""), load("", current)
	sealed := before.Seal([]byte("secret"))
	if got, err := both.Open(sealed); err != nil || !bytes.Equal(got, []byte("secret")) || !both.Holds(sealed) {
		t.Fatal(err)
	}
	if _, err := after.Open(sealed); !cluster.Is(err, cluster.KindInvalid) || after.Holds(sealed) {
		t.Fatal(err)
	}
	if got, err := after.Open(both.Seal([]byte("x"))); err != nil || string(got) != "x" {
		t.Fatal("the first line does not seal", err)
	}
	if text := both.String() + both.GoString() + both.LogValue().String(); strings.Contains(text, "001122") || strings.Contains(text, "AAEC") {
		t.Fatal(text)
	}
	if m, err := secret.LoadMaster("", ""); m != nil || err != nil {
		t.Fatal(m, err)
	}
	for _, f := range [][2]string{{path, old}, {path + "x", ""}, {"", "short"}, {"", old + "00"}, {"", "\n#\n"}} {
		if _, err := secret.LoadMaster(f[0], f[1]); !cluster.Is(err, cluster.KindInvalid) {
			t.Errorf("%q: %v", f, err)
		}
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := secret.LoadMaster(path, ""); !cluster.Is(err, cluster.KindInvalid) {
		t.Errorf("a file that everybody can read: %v", err)
	}
}
