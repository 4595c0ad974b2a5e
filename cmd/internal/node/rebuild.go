package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/aisle-store/aisle/target"
)

// Rebuild makes the index of a mountpath of a node that does not run anew.
func Rebuild(ctx context.Context, dir, mountpath string, dry bool) (*target.Rebuilt, error) {
	if _, err := os.Stat(filepath.Join(dir, identityFile)); err != nil {
		return nil, fmt.Errorf("%s is not the state directory of a node: %w", dir, err)
	}
	s, err := openState(dir)
	if err != nil {
		return nil, err
	}
	did, err := s.rebuild(ctx, mountpath, dry)
	return did, errors.Join(err, s.close())
}

func (s *state) rebuild(ctx context.Context, mountpath string, dry bool) (*target.Rebuilt, error) {
	path, err := filepath.Abs(mountpath)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(s.id.Mountpaths, func(m registeredMountpath) bool { return m.Path == path }) {
		return nil, fmt.Errorf("%s is no mountpath of this node", path)
	}
	return target.Rebuild(ctx, path, dry)
}
