package target

import (
	"context"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aisle-store/aisle/target/internal/store"
)

// Rebuilt is what a rebuild found.
type Rebuilt = store.Rebuilt

// Rebuild makes the index of a mountpath anew, of what can be found. No process may use the mountpath. With dry it only looks.
func Rebuild(ctx context.Context, path string, dry bool) (*Rebuilt, error) {
	return store.Rebuild(ctx, vfs.Default, path, dry)
}
