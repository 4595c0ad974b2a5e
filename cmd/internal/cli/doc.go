// Package cli is the command line of aisle: its commands, their flags and output, profiles of clusters, confirmation and
// progress, and the table of exit codes. Names and output follow AIStore's CLI.
package cli

//go:generate go test . -run TestDocumentation -update
