// Command compare puts the same load on Aisle and on MinIO, one node with one drive each, in turns within one run, and
// prints the medians as the tables of docs/performance.md. `make bench` runs it. Both sync what they acknowledge and
// verify signatures; MinIO is a process of its own, as everything here is.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	aisle, minio string
	dir          string
	rounds       int
	seconds      float64
	connections  int
	shared       bool
	parts        string
	large        int
	moved        int
}

func main() {
	var o options
	flag.StringVar(&o.aisle, "aisle", "bin/aisle", "the aisle binary")
	flag.StringVar(&o.minio, "minio", ".cache/bin/minio", "the MinIO binary")
	flag.StringVar(&o.dir, "dir", ".cache/compare", "directory for data, on the disk to be measured; emptied")
	flag.IntVar(&o.rounds, "rounds", 5, "how often each load runs on each server")
	flag.Float64Var(&o.seconds, "seconds", 5, "how long each load runs")
	flag.IntVar(&o.connections, "connections", 16, "connections")
	flag.BoolVar(&o.shared, "shared", false, "all cores for the servers and for the load generator, in place of one half for each")
	flag.StringVar(&o.parts, "parts", "rates,relay,memory,list", "what to measure; also copies: what a second copy costs a PUT; rebalance: what a joining node does to others' requests")
	flag.IntVar(&o.large, "large", 1_000_000, "objects of the large bucket in part list")
	flag.IntVar(&o.moved, "moved", 10_000, "objects that there are when a node joins in part rebalance")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

// run measures the parts that were asked for, one after another, each with servers of its own.
func run(ctx context.Context, o options, out io.Writer) (err error) {
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return err
	}
	o.dir = dir
	if err := os.RemoveAll(o.dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	fmt.Fprintf(out, "%s, %s\n", time.Now().UTC().Format(time.DateOnly), machine(o))
	wanted := strings.Split(o.parts, ",")
	for _, part := range []struct {
		name    string
		measure func(context.Context, options, io.Writer) error
	}{{"rates", rates}, {"relay", relay}, {"memory", memory}, {"list", lists}, {"copies", copies}, {"rebalance", rebalance}} {
		if !slices.Contains(wanted, part.name) {
			continue
		}
		if err := part.measure(ctx, o, out); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}
