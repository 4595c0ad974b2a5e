package node

import (
	"context"
	"errors"
	"io"

	"github.com/aisle-store/aisle/cluster/config"
)

// Options are what a node is made of.
type Options struct {
	Settings config.Node
	Version  string
	Out      io.Writer // what its administrator must see once: the root key
	Log      io.Writer
}

// Run runs a node until the context ends, or until it cannot go on.
func Run(ctx context.Context, o Options) error {
	return errors.New("the parts are being wired")
}
