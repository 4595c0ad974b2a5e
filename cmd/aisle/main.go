// Command aisle is the whole of Aisle: node, command line client and load generator.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/aisle-store/aisle/cmd/internal/cli"
)

// version is set by the linker: -X main.version=v1.2.3.
var version string

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	info, err := os.Stderr.Stat()
	return cli.Run(ctx, os.Args[1:], cli.Streams{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.Getenv, Version: version,
		Terminal: err == nil && info.Mode()&os.ModeCharDevice != 0,
	})
}
