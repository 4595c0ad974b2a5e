// Package lint holds Aisle's house rules as tests. Each failure names the file, the rule and the cure. There is nothing
// here to import: run it with `make lint` or `go test ./cmd/lint`.
//
// The rules on imports are also explained in docs/architecture.md, with their reasons.
package lint
