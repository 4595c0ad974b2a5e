package api

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/aisle-store/aisle/cluster"
)

var update = flag.Bool("update", false, "write the generated documentation")

const documentPath = "../../docs/api.md"

// TestDocumentation keeps docs/api.md equal to the tables: go test ./cluster/api -run Documentation -update
func TestDocumentation(t *testing.T) {
	want := document()
	if *update {
		if err := os.WriteFile(documentPath, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(documentPath)
	if err != nil || string(got) != want {
		t.Errorf("docs/api.md is stale (%v): run go test ./cluster/api -run Documentation -update", err)
	}
}

func document() string {
	var b strings.Builder
	b.WriteString(`# The native API

Generated from the tables in cluster/api; do not edit.

Paths and bodies are AIStore's. A request is signed with AWS Signature Version 4 (service ` + "`s3`" + `), or carries
` + "`Authorization: Bearer TOKEN`" + ` with a token that ` + "`aisle login --token`" + ` prints. Buckets are named by the path and the parameters
` + "`provider`" + ` (ais) and ` + "`namespace`" + ` (none); control requests have a body ` + "`{\"action\": …, \"value\": …}`" + `. 64-bit numbers in JSON are
strings. Every path, action and ` + "`what`" + ` that is not in this table is refused with 501.

| method | path | action | what | does | answer |
| --- | --- | --- | --- | --- | --- |
`)
	for _, r := range Routes() {
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s | %s | %s |\n", r.Method, r.Path, r.Action, r.What, r.Help, r.Answer)
	}
	b.WriteString(`
## Errors

An error has the JSON body ` + "`{\"tcode\", \"message\", \"kind\", \"status\", …}`" + `, for HEAD in the header ` + "`Hdr-Error`" + `. The message begins with
` + "`ais://bucket`" + ` or ` + "`ais://bucket/object`" + ` where it is about one. 503 carries Retry-After.

| kind | status | tcode |
| --- | --- | --- |
`)
	for _, k := range cluster.Kinds() {
		fmt.Fprintf(&b, "| %s | %d | %s |\n", k, outcomes[k].status, outcomes[k].code)
	}
	return b.String()
}
