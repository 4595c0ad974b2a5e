package lint

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// unfinished are the marks of work put off. They are spelled in two halves so that this file does not contain them.
var unfinished = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X|HA` + `CK)\b`)

// elsewhere matches paths that exist on one person's machine only.
var elsewhere = regexp.MustCompile("(^|[\\s\"'`(=:])/(home|Users|root|work)/[A-Za-z0-9_.]")

func TestNothingUnfinished(t *testing.T) {
	for _, f := range files(t, ".go", ".md", ".mod", ".yml", ".yaml", ".sh", ".txt", "") {
		if f.path == "LICENSE" || f.path == "NOTICE" {
			continue
		}
		for i, line := range strings.Split(string(f.text), "\n") {
			if m := unfinished.FindString(line); m != "" {
				t.Errorf("%s:%d: %s: finish it, refuse it with 501, or open an issue", f.path, i+1, m)
			}
			if m := elsewhere.FindString(line); m != "" {
				t.Errorf("%s:%d: path of one machine: %q", f.path, i+1, strings.TrimSpace(m))
			}
		}
	}
}

// TestNoSkippedTests: a test that cannot run says what it needs, and fails. Only -short, the inner loop, leaves tests out.
func TestNoSkippedTests(t *testing.T) {
	skip := regexp.MustCompile(`\.(Skip|Skipf|SkipNow)\(`)
	for _, f := range files(t, ".go") {
		if !f.test() || strings.HasPrefix(f.path, "cmd/lint/") {
			continue
		}
		lines := strings.Split(string(f.text), "\n")
		for i, line := range lines {
			if skip.MatchString(line) && (i == 0 || !strings.Contains(lines[i-1], "testing.Short()")) {
				t.Errorf("%s:%d: skipped test: make it run everywhere, or fail with what is missing", f.path, i+1)
			}
		}
	}
}

// TestDocumentedFilesExist checks relative links, and words in backquotes that look like paths of this repository.
func TestDocumentedFilesExist(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#\s]+)(#[^)]*)?\)`)
	quoted := regexp.MustCompile("`((?:cluster|proxy|target|s3|cmd|docs|tools|deploy|xact|backend)/[A-Za-z0-9_./-]*[A-Za-z0-9_])`")
	for _, f := range files(t, ".md") {
		text := withoutFences(string(f.text))
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(m[1], "://") && !strings.HasPrefix(m[1], "mailto:") {
				mustExist(t, f.path, filepath.Join(filepath.Dir(f.path), m[1]))
			}
		}
		for _, m := range quoted.FindAllStringSubmatch(text, -1) {
			mustExist(t, f.path, m[1])
		}
	}
}

func mustExist(t *testing.T, document, path string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(root, path)); err == nil {
		return
	}
	dir, name := filepath.Split(path)
	if dir, err := filepath.Glob(filepath.Join(root, dir, name+"*.go")); err == nil && len(dir) > 0 {
		return
	}
	// "target/store.Put" names a function, not a file.
	if i := strings.IndexByte(name, '.'); i > 0 {
		if _, err := os.Stat(filepath.Join(root, dir, name[:i])); err == nil {
			return
		}
	}
	t.Errorf("%s mentions %s, which does not exist: correct the document", document, path)
}

// withoutFences drops fenced code blocks, whose paths are those of a user's machine.
func withoutFences(markdown string) string {
	var kept []string
	fenced := false
	for _, line := range strings.Split(markdown, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
			continue
		}
		if !fenced {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}
