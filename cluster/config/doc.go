// Package config declares every setting of Aisle once: its name, default, help, scope and rules. Command-line flags,
// environment variables, the configuration file, the replicated cluster settings, bucket properties and docs/config.md
// all follow from these declarations.
//
// A setting is read through its Key, which knows its type:
//
//	mode := config.S3Redirect.Get(view.Setting)
//	node, err := config.LoadNode(source)
package config

//go:generate go test . -run TestDocumentation -update
