package cli

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the transcripts again")

// TestTranscripts runs the command lines in testdata and compares what they print. A line that begins with "$ " is a
// command line; "$ NAME=VALUE ..." sets the environment for the rest; "< text" is its input. To accept a change of
// behaviour: go test ./cmd/internal/cli -run Transcripts -update, and read the difference.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			file, err := filepath.Abs(file)
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := newScript(t).run(string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(text) {
				t.Errorf("the transcript differs:\n%s", difference(string(text), got))
			}
		})
	}
}

// script runs command lines in a scratch directory against a fake cluster.
type script struct {
	t        *testing.T
	dir      string
	endpoint string
	env      map[string]string
}

func newScript(t *testing.T) *script {
	t.Setenv("TZ", "UTC")
	s := &script{t: t, dir: t.TempDir(), endpoint: newFake(t)}
	t.Chdir(s.dir)
	s.env = map[string]string{"HOME": s.dir, "AISLE_ENDPOINT": s.endpoint, "AISLE_ACCESS_KEY": "AKID", "AISLE_SECRET_KEY": "secret-secret"}
	s.write("README.md", 12)
	s.write("tree/a.txt", 10)
	s.write("tree/b.txt", 2048)
	s.write("tree/c.bin", 3<<20)
	s.write("tree/sub/d.txt", 1)
	return s
}

func (s *script) write(name string, size int) {
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Repeat([]byte("x"), size), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s *script) run(text string) string {
	var out strings.Builder
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		switch {
		case strings.HasPrefix(line, "#"):
			out.WriteString(line + "\n")
		case strings.HasPrefix(line, "$ "):
			input := ""
			out.WriteString(line + "\n")
			if i+1 < len(lines) && strings.HasPrefix(lines[i+1], "< ") {
				i++
				input = lines[i][2:] + "\n"
				out.WriteString(lines[i] + "\n")
			}
			out.WriteString(s.command(line[2:], input) + "\n")
		}
	}
	return out.String()
}

func (s *script) command(line, input string) string {
	args := words(line)
	if name, value, ok := strings.Cut(args[0], "="); ok {
		s.env[name] = strings.ReplaceAll(value, "ENDPOINT", s.endpoint)
		return ""
	}
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "ENDPOINT", s.endpoint)
	}
	var out bytes.Buffer
	code := Run(context.Background(), args[1:], Streams{
		In: strings.NewReader(input), Out: &out, Err: &out, Env: func(name string) string { return s.env[name] }, Version: "v1.2.3",
	})
	text := strings.ReplaceAll(out.String(), s.endpoint, "ENDPOINT")
	text = strings.ReplaceAll(text, s.dir, "DIR")
	text = strings.ReplaceAll(text, fmt.Sprintf("%s %s/%s", runtime.Version(), runtime.GOOS, runtime.GOARCH), "GO")
	text = regexp.MustCompile(` in \d+m?s`).ReplaceAllString(text, " in TIME")
	text = regexp.MustCompile(`(?m)[ \t]+$`).ReplaceAllString(text, "")
	if code != 0 {
		text += fmt.Sprintf("[exit %d]\n", code)
	}
	return text
}

// words splits a line at blanks; double quotes keep a word together.
func words(line string) []string {
	var all []string
	for i, part := range strings.Split(line, `"`) {
		if i%2 == 1 {
			all = append(all, part)
			continue
		}
		all = append(all, strings.Fields(part)...)
	}
	return all
}

func difference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		a, b := "", ""
		if i < len(w) {
			a = w[i]
		}
		if i < len(g) {
			b = g[i]
		}
		if a != b {
			return fmt.Sprintf("line %d:\n  want %q\n  got  %q", i+1, a, b)
		}
	}
	return ""
}
