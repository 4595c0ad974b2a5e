package lint

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write NOTICE instead of comparing it")

// linkedModule is a module whose code is part of bin/aisle.
type linkedModule struct {
	Path, Version, Dir string
	Main               bool
}

// TestNotice compares NOTICE with the modules that are linked into bin/aisle and the licences they came with.
func TestNotice(t *testing.T) {
	want := notice(t)
	path := filepath.Join(root, "NOTICE")
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(path)
	if err != nil || string(have) != want {
		t.Errorf("NOTICE does not name what bin/aisle is linked from: run go test ./cmd/lint -run TestNotice -update")
	}
}

func notice(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("Aisle\nCopyright the Aisle authors\n\nLicensed under the Apache License, Version 2.0; see LICENSE.\n\n" +
		"bin/aisle contains code of the modules below. Their licences and notices follow.\n\n")
	texts := make(map[string][]string) // licence text -> the modules under it
	var notices strings.Builder
	for _, m := range linkedModules(t) {
		text := moduleFile(t, m, `(?i)^((un)?licen[cs]e|copying)([.-].*)?$`)
		if text == "" {
			t.Errorf("%s has no licence file: it cannot be linked", m.Path)
			continue
		}
		kind := licenceKind(text)
		if kind == "" {
			t.Errorf("%s: unknown licence: read it, then teach licenceKind its name, or drop the module", m.Path)
		}
		fmt.Fprintf(&b, "%-72s %s\n", m.Path+" "+m.Version, kind)
		texts[text] = append(texts[text], m.Path)
		if m.Path == "golang.org/x/sys" { // Go itself comes under the same text
			texts[text] = append(texts[text], "the Go standard library")
		}
		if n := moduleFile(t, m, `(?i)^notice(\..*)?$`); n != "" {
			fmt.Fprintf(&notices, "\n%s\nNotice of %s\n\n%s\n", rule, m.Path, n)
		}
	}
	b.WriteString(notices.String())
	for _, text := range byFirstModule(texts) {
		fmt.Fprintf(&b, "\n%s\nLicence of %s\n\n%s\n", rule, strings.Join(texts[text], ", "), text)
	}
	return b.String()
}

const rule = "--------------------------------------------------------------------------------"

// byFirstModule orders licence texts by the first module that each covers.
func byFirstModule(texts map[string][]string) []string {
	var order []string
	for text := range texts {
		order = append(order, text)
	}
	sort.Slice(order, func(i, j int) bool { return texts[order[i]][0] < texts[order[j]][0] })
	return order
}

// linkedModules asks the go command, for the platform we release for, so that NOTICE is the same everywhere.
func linkedModules(t *testing.T) []linkedModule {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}\t{{.Version}}\t{{.Dir}}\t{{.Main}}{{end}}", "./cmd/aisle")
	cmd.Dir, cmd.Stderr = root, os.Stderr
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(lines)
	var list []linkedModule
	for _, line := range slices.Compact(lines) {
		f := strings.Split(line, "\t")
		if len(f) == 4 && f[3] != "true" {
			list = append(list, linkedModule{Path: f[0], Version: f[1], Dir: f[2]})
		}
	}
	return list
}

// moduleFile returns the text of the first file in the module's root whose name matches, with lines trimmed on the right.
func moduleFile(t *testing.T, m linkedModule, pattern string) string {
	t.Helper()
	entries, err := os.ReadDir(m.Dir)
	if err != nil {
		t.Fatalf("%s: %v: run go mod download", m.Path, err)
	}
	for _, e := range entries {
		if e.IsDir() || !regexp.MustCompile(pattern).MatchString(e.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(m.Dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.ReplaceAll(string(text), "\r", ""), "\n")
		for i := range lines {
			lines[i] = strings.TrimRight(lines[i], " \t\f")
		}
		return strings.Trim(strings.Join(lines, "\n"), "\n")
	}
	return ""
}

// licenceKind names a licence by a sentence that only it has.
func licenceKind(text string) string {
	flat := strings.Join(strings.Fields(text), " ")
	for _, known := range []struct{ sentence, name string }{
		{"GNU AFFERO", ""}, {"GNU GENERAL PUBLIC", ""},
		{"Mozilla Public License, version 2.0", "MPL-2.0"}, {"Mozilla Public License Version 2.0", "MPL-2.0"},
		{"Apache License Version 2.0", "Apache-2.0"},
		{"Permission is hereby granted, free of charge", "MIT"},
		{"Permission to use, copy, modify, and/or distribute", "ISC"}, {"Permission to use, copy, modify, and distribute", "ISC"},
		{"Neither the name of", "BSD-3-Clause"}, {"nor the names of", "BSD-3-Clause"},
		{"Redistributions in binary form must reproduce", "BSD-2-Clause"},
		{"This is free and unencumbered software", "Unlicense"},
		{"CC0 1.0 Universal", "CC0-1.0"},
	} {
		if strings.Contains(flat, known.sentence) {
			return known.name
		}
	}
	return ""
}
