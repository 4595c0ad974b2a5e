package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Scope says whom a setting belongs to.
type Scope uint8

// The scopes.
const (
	ScopeNode    Scope = iota // one node: flag, environment or configuration file, read at its start
	ScopeCluster              // the whole cluster: replicated, changed by `aisle config cluster`
	ScopeBucket               // one bucket: changed by `aisle bucket props set`
	ScopeClient               // the command line client: environment or profile
)

// String returns "node", "cluster", "bucket" or "client".
func (s Scope) String() string {
	return [...]string{"node", "cluster", "bucket", "client"}[s]
}

// Setting is the declaration of one setting.
type Setting struct {
	Name    string // as in flags and files: "intra-listen", "s3.redirect"
	Scope   Scope
	Type    string // what a value looks like, for the documentation: "duration", "auto|always|never"
	Default string // as a user would write it; empty means that there is none
	Help    string // one sentence, without a full stop at its end
	Restart bool   // a change has effect when the node starts again
	Secret  bool   // never printed
	EnvOnly bool   // no flag and no line in a file: secrets do not belong into process lists
	Repeat  bool   // may be given several times; several values in one string are separated by commas
	check   func(string) error
	show    func(string) string // what of a value is shown, when not all of it is; nil: all
}

// Env returns the environment variable of the setting: "AISLE_" and the name in capitals.
func (s *Setting) Env() string {
	return "AISLE_" + strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(s.Name))
}

// Check reports what is wrong with a value, or nil.
func (s *Setting) Check(value string) error {
	if s.check == nil {
		return nil
	}
	if err := s.check(value); err != nil {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	return nil
}

// Key is a setting together with the Go type of its value.
type Key[T any] struct {
	*Setting
	parse func(string) (T, error)
}

func key[T any](s Setting, parse func(string) (T, error)) Key[T] {
	s.check = func(v string) error {
		_, err := parse(v)
		return err
	}
	return Key[T]{Setting: &s, parse: parse}
}

// Parse reads a value of the setting.
func (k Key[T]) Parse(value string) (T, error) {
	v, err := k.parse(value)
	if err != nil {
		return v, fmt.Errorf("%s: %w", k.Name, err)
	}
	return v, nil
}

// Get returns the value that lookup has for the setting, or its default. Values are checked where they are set, so one
// that does not parse was written by another version; the default stands in for it.
func (k Key[T]) Get(lookup func(name string) string) T {
	if s := lookup(k.Name); s != "" {
		if v, err := k.parse(s); err == nil {
			return v
		}
	}
	v, _ := k.parse(k.Default)
	return v
}

func text(s Setting) Key[string] {
	s.Type = orDefault(s.Type, "text")
	return key(s, func(v string) (string, error) { return v, nil })
}

func list(s Setting) Key[[]string] {
	s.Type, s.Repeat = orDefault(s.Type, "list"), true
	return key(s, func(v string) ([]string, error) { return splitList(v), nil })
}

func choice(s Setting, choices ...string) Key[string] {
	s.Type = strings.Join(choices, "|")
	return key(s, func(v string) (string, error) {
		for _, c := range choices {
			if v == c {
				return v, nil
			}
		}
		return "", fmt.Errorf("%q is not one of %s", v, strings.Join(choices, ", "))
	})
}

func duration(s Setting, low, high time.Duration) Key[time.Duration] {
	s.Type = "duration"
	return key(s, func(v string) (time.Duration, error) {
		d, err := time.ParseDuration(v)
		if err != nil {
			return 0, fmt.Errorf("%q is not a duration such as 500ms, 3s or 10m", v)
		}
		if d < low || d > high {
			return 0, fmt.Errorf("%s is outside of %s to %s", v, low, high)
		}
		return d, nil
	})
}

func size(s Setting, low, high int64) Key[int64] {
	s.Type = "size"
	return key(s, func(v string) (int64, error) {
		n, err := ParseSize(v)
		if err != nil {
			return 0, err
		}
		if n < low || n > high {
			return 0, fmt.Errorf("%s is outside of %s to %s", v, FormatSize(low), FormatSize(high))
		}
		return n, nil
	})
}

func number(s Setting, low, high int) Key[int] {
	s.Type = "number"
	return key(s, func(v string) (int, error) {
		n, err := strconv.Atoi(v)
		if err != nil {
			return 0, fmt.Errorf("%q is not a whole number", v)
		}
		if n < low || n > high {
			return 0, fmt.Errorf("%s is outside of %d to %d", v, low, high)
		}
		return n, nil
	})
}

func orDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func splitList(v string) []string {
	var all []string
	for part := range strings.SplitSeq(v, ",") {
		if part = strings.TrimSpace(part); part != "" {
			all = append(all, part)
		}
	}
	return all
}

var sizeUnits = []struct {
	suffix string
	factor int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1},
}

// ParseSize reads a number of bytes with an optional unit: 4096, 4KiB, 1.5MiB, 1GB.
func ParseSize(v string) (int64, error) {
	digits, factor := strings.TrimSpace(v), int64(1)
	for _, u := range sizeUnits {
		if rest, ok := cutSuffixFold(digits, u.suffix); ok {
			digits, factor = strings.TrimSpace(rest), u.factor
			break
		}
	}
	if n, err := strconv.ParseInt(digits, 10, 64); err == nil && n >= 0 && n <= (1<<62)/factor {
		return n * factor, nil
	}
	f, err := strconv.ParseFloat(digits, 64)
	if err != nil || !(f >= 0) || f*float64(factor) > 1<<62 {
		return 0, fmt.Errorf("%q is not a size such as 4096, 4KiB or 1.5MiB", v)
	}
	return int64(f * float64(factor)), nil
}

func cutSuffixFold(s, suffix string) (string, bool) {
	if n := len(s) - len(suffix); n >= 0 && strings.EqualFold(s[n:], suffix) {
		return s[:n], true
	}
	return s, false
}

// FormatSize prints a number of bytes in the largest binary unit that divides it.
func FormatSize(n int64) string {
	for _, u := range sizeUnits[:4] {
		if n >= u.factor && n%u.factor == 0 {
			return strconv.FormatInt(n/u.factor, 10) + u.suffix
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}
