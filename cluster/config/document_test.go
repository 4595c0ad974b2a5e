package config

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the generated documentation")

const documentPath = "../../docs/config.md"

// TestDocumentation keeps docs/config.md equal to the declarations: go test ./cluster/config -run Documentation -update
func TestDocumentation(t *testing.T) {
	want := document()
	if *update {
		if err := os.WriteFile(documentPath, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(documentPath)
	if err != nil || string(got) != want {
		t.Errorf("docs/config.md is stale (%v): run go test ./cluster/config -run Documentation -update", err)
	}
}

func document() string {
	var b strings.Builder
	b.WriteString(`# Settings

Generated from the declarations in cluster/config; do not edit.

Durations are written as 500ms, 3s or 10m; sizes as 4096, 4KiB or 1.5MiB.

## Node

Given to ` + "`aisle node`" + ` as a flag, by the environment, or in the file that ` + "`--config FILE`" + ` names (AISLE_CONFIG); in this
order of precedence. The file has lines of ` + "`name = value`" + ` with the names below, without dashes in front; ` + "`#`" + ` begins a comment, a
value may stand in double quotes, and a list is given by repeating its name.

| flag | environment | value | default | meaning |
| --- | --- | --- | --- | --- |
`)
	for _, s := range Nodes() {
		flag := "`--" + s.Name + "`"
		if s.EnvOnly {
			flag = "(none)"
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s | %s |\n", flag, s.Env(), cell(s.Type), code(s.Default), cell(s.Help))
	}
	b.WriteString(`
## Cluster

Replicated; changed with ` + "`aisle config cluster NAME=VALUE`" + ` (an empty value sets the default again). A node that makes a new
cluster also takes them from its environment and configuration file, as the cluster's first values.

| name | environment | value | default | takes effect | meaning |
| --- | --- | --- | --- | --- | --- |
`)
	for _, s := range Cluster() {
		effect := "at once"
		if s.Restart {
			effect = "when a node restarts"
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s | %s | %s |\n", s.Name, s.Env(), cell(s.Type), code(s.Default), effect, cell(s.Help))
	}
	b.WriteString(`
## Bucket

Changed with ` + "`aisle bucket props set BUCKET NAME=VALUE`" + `.

| name | value | default | meaning |
| --- | --- | --- | --- |
`)
	for _, s := range Bucket() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", s.Name, cell(s.Type), code(s.Default), cell(s.Help))
	}
	b.WriteString(`
## Client

Read by the commands of ` + "`aisle`" + ` that talk to a cluster; AISLE_ACCESS_KEY and AISLE_SECRET_KEY as above. What is not set comes
from the profile that ` + "`aisle login`" + ` or ` + "`aisle dev`" + ` wrote.

| environment | value | default | meaning |
| --- | --- | --- | --- |
`)
	for _, s := range Client() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", s.Env(), cell(s.Type), code(s.Default), cell(s.Help))
	}
	return b.String()
}

func cell(s string) string { return strings.ReplaceAll(s, "|", "\\|") }

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}
