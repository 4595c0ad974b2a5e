//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aisle-store/aisle/cmd/internal/testcluster"
)

// TestDocumentedCommands runs, against a fresh cluster, every block of shell commands in README.md and docs/ that follows
// the mark <!-- run -->. All blocks of one document run in order in one shell, which stops at the first failure. The
// endpoint in the text, http://localhost:8080, stands for the cluster's own; AISLE_* and AWS_* keys are set, as the text
// tells readers to do.
func TestDocumentedCommands(t *testing.T) {
	root := testcluster.Root(t)
	documents, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := 0
	for _, path := range append([]string{filepath.Join(root, "README.md")}, documents...) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		script, n := marked(string(text))
		if blocks += n; n == 0 {
			continue
		}
		t.Run(filepath.Base(path), func(t *testing.T) { runScript(t, script) })
	}
	if blocks < 5 {
		t.Errorf("only %d blocks of commands are marked to be run", blocks)
	}
}

// marked joins the fenced blocks that the mark precedes.
func marked(markdown string) (script string, blocks int) {
	_, after, found := strings.Cut(markdown, "<!-- run -->\n```")
	for found {
		_, block, _ := strings.Cut(after, "\n")
		block, after, _ = strings.Cut(block, "\n```")
		script += block + "\n"
		blocks++
		_, after, found = strings.Cut(after, "<!-- run -->\n```")
	}
	return script, blocks
}

func runScript(t *testing.T, script string) {
	d := testcluster.StartDev(t)
	s := d.State()
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(testcluster.Root(t), "bin"), filepath.Join(dir, "bin")); err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(s.Endpoints[0], "http://")
	script = strings.ReplaceAll(script, "localhost:8080", host)
	path := filepath.Join(dir, "script")
	if err := os.WriteFile(path, []byte("set -euo pipefail\n"+script), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{
		"PATH=" + filepath.Join(testcluster.Root(t), "bin") + ":" + os.Getenv("PATH"), "HOME=" + dir, "LC_ALL=C.UTF-8",
		"AWS_ACCESS_KEY_ID=" + s.AccessKey, "AWS_SECRET_ACCESS_KEY=" + s.SecretKey, "AWS_DEFAULT_REGION=us-east-1",
		"AISLE_ENDPOINT=" + s.Endpoints[0], "AISLE_ACCESS_KEY=" + s.AccessKey, "AISLE_SECRET_KEY=" + s.SecretKey,
	}
	out, err := command(t, env, "bash", "-c", `cd "$0" && exec bash -x script 2>&1`, dir)
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
