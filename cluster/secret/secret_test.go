package secret_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	textA = "correct-horse-battery-staple-and-more"
	textB = "quite-another-secret-of-a-good-length"
)

func parse(t *testing.T, text string) *secret.Secret {
	t.Helper()
	s, err := secret.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func write(t *testing.T, path, text string, mode fs.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoad(t *testing.T) {
	file := write(t, filepath.Join(t.TempDir(), "s"), textA+"\n", 0o600)
	group := write(t, filepath.Join(t.TempDir(), "s"), textA, 0o440)
	world := write(t, filepath.Join(t.TempDir(), "s"), textA, 0o644)
	short := write(t, filepath.Join(t.TempDir(), "s"), "short", 0o600)
	kept := t.TempDir()
	write(t, filepath.Join(kept, secret.FileName), textA, 0o600)
	other := t.TempDir()
	write(t, filepath.Join(other, secret.FileName), textB, 0o600)
	empty := t.TempDir()

	f := func(s secret.Source, wantKind cluster.Kind, wantText string) {
		t.Helper()
		got, err := secret.Load(s)
		if wantKind == cluster.KindOther {
			if err != nil || got.Text() != wantText {
				t.Fatalf("got %v, %v", got, err)
			}
			return
		}
		if !cluster.Is(err, wantKind) || !strings.Contains(err.Error(), wantText) {
			t.Fatalf("got %v, want kind %v and %q", err, wantKind, wantText)
		}
	}
	f(secret.Source{File: file}, cluster.KindOther, textA)
	f(secret.Source{File: group}, cluster.KindOther, textA)
	f(secret.Source{Value: " " + textA + "\n"}, cluster.KindOther, textA)
	f(secret.Source{StateDir: kept}, cluster.KindOther, textA)
	f(secret.Source{StateDir: kept, Value: textA}, cluster.KindOther, textA)
	f(secret.Source{StateDir: empty, File: file}, cluster.KindOther, textA)
	f(secret.Source{}, cluster.KindNotFound, "no cluster secret")
	f(secret.Source{StateDir: empty}, cluster.KindNotFound, "no cluster secret")
	f(secret.Source{File: file, Value: textA}, cluster.KindInvalid, "given twice")
	f(secret.Source{File: world}, cluster.KindInvalid, "chmod 600")
	f(secret.Source{File: short}, cluster.KindInvalid, "needs at least 32")
	f(secret.Source{Value: "short"}, cluster.KindInvalid, "needs at least 32")
	f(secret.Source{File: empty}, cluster.KindInvalid, "not a regular file")
	f(secret.Source{File: filepath.Join(empty, "none")}, cluster.KindInvalid, "no such file")
	f(secret.Source{StateDir: other, Value: textA}, cluster.KindInvalid, "not the one in")
}

func TestGenerate(t *testing.T) {
	dir := t.TempDir()
	s, err := secret.Generate(dir)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, secret.FileName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	got, err := secret.Load(secret.Source{StateDir: dir})
	if err != nil || got.Text() != s.Text() {
		t.Fatalf("got %v, %v", got, err)
	}
	if _, err := secret.Generate(dir); !cluster.Is(err, cluster.KindConflict) || !errors.Is(err, fs.ErrExist) {
		t.Fatalf("a second secret: %v", err)
	}
	if again, err := secret.Generate(t.TempDir()); err != nil || again.Text() == s.Text() {
		t.Fatalf("two secrets are equal, or %v", err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Fatalf("temporary files stay: %v, %v", left, err)
	}
}

func TestSave(t *testing.T) {
	dir := t.TempDir()
	s := parse(t, textA)
	for range 2 {
		if err := s.Save(dir); err != nil {
			t.Fatal(err)
		}
	}
	if err := parse(t, textB).Save(dir); !cluster.Is(err, cluster.KindConflict) {
		t.Fatalf("another secret: %v", err)
	}
	if got, err := secret.Load(secret.Source{StateDir: dir}); err != nil || got.Text() != textA {
		t.Fatalf("got %v, %v", got, err)
	}
}

func TestDerivedKeysDiffer(t *testing.T) {
	s, o := parse(t, textA), parse(t, textB)
	keys := [][]byte{s.TicketKey(), s.GossipKey(), o.TicketKey(), o.GossipKey()}
	for i, a := range keys {
		if len(a) != 32 {
			t.Fatalf("key %d has %d bytes", i, len(a))
		}
		for _, b := range keys[:i] {
			if bytes.Equal(a, b) {
				t.Fatal("two derived keys are equal")
			}
		}
	}
	if !bytes.Equal(s.TicketKey(), parse(t, textA).TicketKey()) {
		t.Fatal("derivation is not deterministic")
	}
}

// TestDerivedKeysStay holds the derivation: nodes of different builds must understand each other.
func TestDerivedKeysStay(t *testing.T) {
	s := parse(t, textA)
	got := fmt.Sprintf("%x %x", s.TicketKey()[:8], s.GossipKey()[:8])
	if want := "d25f399a30ec7718 040ef6785e4a2414"; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
}

func TestNothingPrintsASecret(t *testing.T) {
	s, k := parse(t, textA), secret.NewKey()
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if out := fmt.Sprintf(format, s) + fmt.Sprintf(format, k); strings.Contains(out, textA) || strings.Contains(out, string(k.Bytes())) {
			t.Fatalf("%s prints %s", format, out)
		}
	}
}

func TestSealedSecrets(t *testing.T) {
	k, other := secret.NewKey(), secret.NewKey()
	plain := []byte("the secret half of a key pair")
	sealed := k.Seal(plain, "key AKIA1")
	if bytes.Contains(sealed, plain) || bytes.Equal(sealed, k.Seal(plain, "key AKIA1")) {
		t.Fatal("the envelope shows its content or repeats")
	}
	if got, err := k.Open(sealed, "key AKIA1"); err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("got %q, %v", got, err)
	}
	again, err := secret.ParseKey(k.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Open(sealed, "key AKIA1"); err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("the key handed over: %q, %v", got, err)
	}
	f := func(k *secret.Key, envelope []byte, context string, want cluster.Kind) {
		t.Helper()
		if got, err := k.Open(envelope, context); !cluster.Is(err, want) {
			t.Fatalf("got %q, %v; want kind %v", got, err, want)
		}
	}
	f(k, sealed, "key AKIA2", cluster.KindCorrupt)
	f(other, sealed, "key AKIA1", cluster.KindInvalid)
	f(k, nil, "key AKIA1", cluster.KindInvalid)
	f(k, sealed[:20], "key AKIA1", cluster.KindInvalid)
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		want := cluster.KindCorrupt
		if i < 5 {
			want = cluster.KindInvalid // version and id of the key
		}
		f(k, changed, "key AKIA1", want)
	}
}

func FuzzOpen(f *testing.F) {
	k, err := secret.ParseKey(bytes.Repeat([]byte{7}, secret.KeySize))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(k.Seal([]byte("x"), "c"))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, envelope []byte) {
		plain, err := k.Open(envelope, "other")
		if err == nil {
			t.Fatalf("opened %x to %q", envelope, plain)
		}
	})
}

func TestKeyring(t *testing.T) {
	open := func(dir string) *secret.Keyring {
		t.Helper()
		r, err := secret.OpenKeyring(dir)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first, second := t.TempDir(), t.TempDir()
	founder, joiner := open(first), open(second)
	if _, err := founder.Seal([]byte("x")); !cluster.Is(err, cluster.KindUnavailable) {
		t.Fatalf("without a key: %v", err)
	}
	if err := founder.Create(); err != nil {
		t.Fatal(err)
	}
	sealed, err := founder.Seal([]byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := founder.Export()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := joiner.Import(raw); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range []*secret.Keyring{joiner, open(first), open(second)} {
		if err := r.Create(); err != nil {
			t.Fatal(err)
		}
		if got, err := r.Open(sealed); err != nil || string(got) != "x" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	if err := joiner.Import(secret.NewKey().Bytes()); !cluster.Is(err, cluster.KindConflict) {
		t.Fatalf("another cluster's key: %v", err)
	}
	info, err := os.Stat(filepath.Join(first, secret.KeyFileName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	if err := os.WriteFile(filepath.Join(first, secret.KeyFileName), []byte("zz"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := secret.OpenKeyring(first); !cluster.Is(err, cluster.KindInvalid) {
		t.Fatalf("a damaged key file: %v", err)
	}
}
