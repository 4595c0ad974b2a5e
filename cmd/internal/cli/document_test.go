package cli

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestDocumentation keeps docs/cli.md equal to the commands: go test ./cmd/internal/cli -run Documentation -update
func TestDocumentation(t *testing.T) {
	path := filepath.Join("..", "..", "..", "docs", "cli.md")
	want := document()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("docs/cli.md is stale (%v): run go test ./cmd/internal/cli -run Documentation -update", err)
	}
}

func document() string {
	var b strings.Builder
	b.WriteString(`# The command line

Generated from the commands in cmd/internal/cli; do not edit.

Buckets are written ` + "`ais://NAME`" + ` (or just ` + "`NAME`" + `), objects ` + "`ais://NAME/KEY`" + `. The cluster is the one that --endpoint, AISLE_ENDPOINT or the
profile of the last ` + "`aisle login`" + ` or ` + "`aisle dev`" + ` names; the key comes from AISLE_ACCESS_KEY and AISLE_SECRET_KEY, or from the
profile. An error is one line on standard error, with the next step.

## Exit codes

| code | meaning |
| --- | --- |
`)
	for _, c := range []struct {
		code    int
		meaning string
	}{
		{exitOK, "done"},
		{exitFailure, "any other failure"},
		{exitUsage, "the command line or a value in it is wrong"},
		{exitNotFound, "the bucket, object or node does not exist"},
		{exitDenied, "no valid key, or one without the right"},
		{exitConflict, "exists already, is not empty, or changed meanwhile"},
		{exitUnavailable, "the cluster cannot be reached, or cannot answer now: try again"},
		{exitUnsupported, "not implemented"},
		{exitInterrupted, "interrupted"},
	} {
		fmt.Fprintf(&b, "| %d | %s |\n", c.code, c.meaning)
	}
	a := &app{}
	describeCommand(&b, a.root())
	return b.String()
}

// describeCommand writes a command and, in order, those below it.
func describeCommand(b *strings.Builder, c *cobra.Command) {
	if c.HasParent() && !isGroup(c) {
		fmt.Fprintf(b, "\n## %s\n\n`%s`\n\n%s\n", c.CommandPath(), c.UseLine(), cmp.Or(c.Long, c.Short+"."))
		var flags strings.Builder
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && c.Name() != "node" {
				fmt.Fprintf(&flags, "| %s | %s |\n", flagName(f), strings.ReplaceAll(f.Usage, "|", "\\|"))
			}
		})
		if flags.Len() > 0 {
			b.WriteString("\n| flag | |\n| --- | --- |\n" + flags.String())
		}
	}
	for _, sub := range c.Commands() {
		if sub.Name() != "help" && sub.Name() != "completion" {
			describeCommand(b, sub)
		}
	}
}

// isGroup reports whether a command does nothing but to hold others.
func isGroup(c *cobra.Command) bool {
	return c.HasSubCommands() && reflect.ValueOf(c.RunE).Pointer() == reflect.ValueOf(group).Pointer()
}

func flagName(f *pflag.Flag) string {
	name := "`--" + f.Name
	if f.Shorthand != "" {
		name = "`-" + f.Shorthand + "`, " + name
	}
	if f.Value.Type() != "bool" && f.DefValue != "" && f.DefValue != "[]" {
		name += "=" + f.DefValue
	}
	return name + "`"
}
