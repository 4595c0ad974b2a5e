//go:build !e2e

package target

import "github.com/cockroachdb/pebble/v2/vfs"

// machine is the file system of the machine.
func machine() vfs.FS { return vfs.Default }
