package node

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aisle-store/aisle/cluster/config"
)

func mustOpenState(t *testing.T, dir string) *state {
	t.Helper()
	s, err := openState(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close() })
	return s
}

func TestIdentityStays(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s := mustOpenState(t, dir)
	first, err := s.register([]string{filepath.Join(dir, "..", "a"), filepath.Join(dir, "..", "b")})
	if err != nil || len(first) != 2 || first[0].ID == first[1].ID || first[0].Weight == 0 {
		t.Fatalf("%+v, %v", first, err)
	}
	if _, err := openState(dir); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("the directory opens twice: %v", err)
	}
	s.close()
	again := mustOpenState(t, dir)
	if again.id.ID != s.id.ID {
		t.Errorf("the id changed from %s to %s", s.id.ID, again.id.ID)
	}
	second, err := again.register([]string{first[0].Path, first[1].Path})
	if err != nil || second[0] != first[0] || second[1] != first[1] {
		t.Errorf("%+v, %v", second, err)
	}
	if id, err := ID(dir); err != nil || id != s.id.ID {
		t.Errorf("ID is %s, %v", id, err)
	}
	if _, err := again.register([]string{first[0].Path}); err == nil || !strings.Contains(err.Error(), "is not given") {
		t.Errorf("a mountpath may be left out: %v", err)
	}
	if _, err := again.register([]string{first[0].Path, first[0].Path}); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("a mountpath may be given twice: %v", err)
	}
}

func TestIdentityOfAnotherVersion(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		`{"version":2,"id":"n1"}`: "newer version",
		`{"version":1}`:           "names no node",
		`{`:                       identityFile,
	} {
		if err := os.WriteFile(filepath.Join(dir, identityFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openState(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestFormatOnce shows that a formatted mountpath which is empty at a later start is left alone: its disk is not mounted.
func TestFormatOnce(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "disk")
	s := mustOpenState(t, filepath.Join(dir, "state"))
	if _, err := s.register([]string{path}); err != nil {
		t.Fatal(err)
	}
	if err := s.format("c1"); err != nil || !s.owns(path) {
		t.Fatal(err)
	}
	if err := s.format("c1"); err != nil {
		t.Errorf("formatted twice: %v", err)
	}
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	s.close()
	s = mustOpenState(t, filepath.Join(dir, "state"))
	if _, err := s.register([]string{path}); err != nil {
		t.Fatal(err)
	}
	if err := s.format("c1"); err != nil || s.owns(path) {
		t.Errorf("a missing mountpath was formatted: %v", err)
	}
}

// TestFormatInterrupted shows that a node which ended between formatting and noting that goes on.
func TestFormatInterrupted(t *testing.T) {
	dir := t.TempDir()
	s := mustOpenState(t, filepath.Join(dir, "state"))
	if _, err := s.register([]string{filepath.Join(dir, "disk")}); err != nil {
		t.Fatal(err)
	}
	if err := s.format("c1"); err != nil {
		t.Fatal(err)
	}
	s.id.Mountpaths[0].Formatted = false
	if err := s.format("c1"); err != nil || !s.id.Mountpaths[0].Formatted {
		t.Errorf("%+v, %v", s.id.Mountpaths, err)
	}
}

func TestRootKey(t *testing.T) {
	s := mustOpenState(t, t.TempDir())
	var out bytes.Buffer
	k, err := loadRootKey(s, config.Node{}, &out)
	if err != nil || len(k.AccessKey) != 20 || len(k.SecretKey) < 30 || !strings.Contains(out.String(), k.SecretKey) {
		t.Fatalf("%+v, %v, printed %q", k, err, out.String())
	}
	if info, err := os.Stat(s.path(rootKeyFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	out.Reset()
	again, err := loadRootKey(s, config.Node{AccessKey: "other", SecretKey: "other-secret"}, &out)
	if err != nil || again != k || out.Len() != 0 {
		t.Errorf("%+v, %v, printed %q", again, err, out.String())
	}
	given := mustOpenState(t, t.TempDir())
	k, err = loadRootKey(given, config.Node{AccessKey: "root", SecretKey: "root-secret"}, &out)
	if err != nil || k.AccessKey != "root" || k.SecretKey != "root-secret" || out.Len() != 0 {
		t.Errorf("%+v, %v, printed %q", k, err, out.String())
	}
	for _, bad := range []config.Node{{AccessKey: "a/b", SecretKey: "12345678"}, {AccessKey: "root", SecretKey: "short"}} {
		if _, err := loadRootKey(mustOpenState(t, t.TempDir()), bad, &out); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

func TestSettingsOfTheLastRun(t *testing.T) {
	s := mustOpenState(t, t.TempDir())
	got, err := s.loadSettings(map[string]string{"log.level": "warn"})
	if err != nil || levelOf(got).String() != "WARN" {
		t.Errorf("%v, %v", got, err)
	}
	if err := s.saveSettings(map[string]string{"log.level": "debug"}); err != nil {
		t.Fatal(err)
	}
	got, err = s.loadSettings(map[string]string{"log.level": "warn"})
	if err != nil || levelOf(got).String() != "DEBUG" {
		t.Errorf("%v, %v", got, err)
	}
	if levelOf(nil).String() != "INFO" {
		t.Error("the default level")
	}
}

func TestAdvertisedAddresses(t *testing.T) {
	f := func(listen, want string) {
		t.Helper()
		if got, err := advertisedText(listen); err != nil || got != want {
			t.Errorf("%s is advertised as %s, %v; want %s", listen, got, err, want)
		}
	}
	f("127.0.0.1:80", "127.0.0.1:80")
	f("localhost:80", "127.0.0.1:80")
	f(":80", firstAddress().String()+":80")
	f("0.0.0.0:80", firstAddress().String()+":80")
}
