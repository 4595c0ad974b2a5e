package lint

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// TestGeneratedCode runs every generator in a copy of the tree and compares: generated files are checked in, and true.
func TestGeneratedCode(t *testing.T) {
	directive := regexp.MustCompile(`(?m)^//go:generate `)
	copyDir := t.TempDir()
	var dirs []string
	seen := make(map[string]bool)
	before := make(map[string][]byte)
	for _, path := range paths(t) {
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			continue // deleted, or a link to nowhere
		}
		before[path] = text
		to := filepath.Join(copyDir, path)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, text, 0o644); err != nil {
			t.Fatal(err)
		}
		if dir := "./" + filepath.Dir(path); filepath.Ext(path) == ".go" && !seen[dir] && directive.Match(text) {
			seen[dir] = true
			dirs = append(dirs, dir)
		}
	}
	if len(dirs) == 0 {
		t.Fatal("no go:generate directive found: the records' msgpack code and docs/config.md are generated")
	}
	cmd := exec.Command("go", append([]string{"generate"}, dirs...)...)
	cmd.Dir = copyDir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go generate: %v\n%s", err, out)
	}
	compareTrees(t, copyDir, before)
}

func compareTrees(t *testing.T, copyDir string, before map[string][]byte) {
	t.Helper()
	err := filepath.WalkDir(copyDir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(copyDir, path)
		text, err := os.ReadFile(path)
		if err == nil && !bytes.Equal(text, before[rel]) {
			t.Errorf("%s is stale: run make generate", rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
