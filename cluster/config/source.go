package config

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Source is where a node's settings come from: flags win over the environment, which wins over the file.
type Source struct {
	Flags map[string][]string // what was given on the command line, by name
	Env   func(string) string // os.Getenv
	File  map[string][]string // what ReadFile returned; may be nil
}

// Lookup returns the text of a setting, or "". Several values of a list are joined by commas.
func (s *Source) Lookup(name string) string {
	if v, ok := s.Flags[name]; ok {
		return strings.Join(v, ",")
	}
	setting := find(fileSettings(), name)
	if setting == nil {
		return ""
	}
	if v := s.Env(setting.Env()); v != "" {
		return v
	}
	return strings.Join(s.File[name], ",")
}

// Check looks at each value for itself.
func (s *Source) Check() error {
	for _, setting := range fileSettings() {
		v := s.Lookup(setting.Name)
		if v == "" {
			continue
		}
		if err := setting.Check(v); err != nil {
			return err
		}
	}
	return nil
}

func fileSettings() []*Setting { return append(Nodes(), Cluster()...) }

// ReadFile reads a configuration file: lines of "name = value". Blank lines and lines that begin with # are skipped; a
// value with a # or with blanks at its ends stands in double quotes, as in Go; a setting that is a list may be repeated.
// An unknown name is an error, so that a misspelled one is not ignored.
func ReadFile(r io.Reader) (map[string][]string, error) {
	values := make(map[string][]string)
	scan := bufio.NewScanner(r)
	for line := 1; scan.Scan(); line++ {
		text := strings.TrimSpace(scan.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		name, value, err := parseLine(text)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		setting := find(fileSettings(), name)
		switch {
		case setting == nil:
			return nil, fmt.Errorf("line %d: there is no setting %q", line, name)
		case setting.EnvOnly:
			return nil, fmt.Errorf("line %d: %s is given by the environment only (%s)", line, name, setting.Env())
		case !setting.Repeat && len(values[name]) > 0:
			return nil, fmt.Errorf("line %d: %s is given twice", line, name)
		}
		if err := setting.Check(value); err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		values[name] = append(values[name], value)
	}
	return values, scan.Err()
}

func parseLine(text string) (name, value string, err error) {
	name, value, ok := strings.Cut(text, "=")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	if !ok || name == "" {
		return "", "", fmt.Errorf("%q is not name = value", text)
	}
	if !strings.HasPrefix(value, `"`) {
		if i := strings.IndexByte(value, '#'); i >= 0 {
			value = strings.TrimSpace(value[:i])
		}
		return name, value, nil
	}
	quoted, err := strconv.QuotedPrefix(value)
	if err != nil {
		return "", "", fmt.Errorf("the quotes of %s do not close", name)
	}
	rest := strings.TrimSpace(value[len(quoted):])
	if rest != "" && rest[0] != '#' {
		return "", "", fmt.Errorf("after the value of %s stands %q", name, rest)
	}
	value, err = strconv.Unquote(quoted)
	return name, value, err
}
