package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aisle-store/aisle/cluster/config"
	"github.com/aisle-store/aisle/cmd/internal/bench"
)

// benchFlags are the flags of bench, as text where they have a form of their own.
type benchFlags struct {
	bench.Options
	size, rangeSize, partSize string
}

func (a *app) bench() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench " + strings.Join(bench.Operations, "|"),
		Short: "Put load on an S3 endpoint and measure it",
		Long: `Put load on an S3 endpoint, this cluster's or any other, and measure it.

Objects that the load needs are written first and deleted afterwards. mixed is 45 % get, 30 % head, 15 % put and 10 % delete;
an operation of multipart is a whole upload; of list, a page.`,
		Args: arguments(1, 1),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		f.Operation = args[0]
		return a.runBench(cmd.Context(), f)
	}
	flags := cmd.Flags()
	flags.StringVar(&a.endpoint, "endpoint", "", "URLs of the endpoint, separated by commas, instead of AISLE_ENDPOINT or the profile's")
	flags.StringVar(&a.profile, "profile", "", "profile of `aisle login`")
	flags.StringVar(&f.Bucket, "bucket", "aisle-bench", "bucket to use; made when it does not exist")
	flags.StringVar(&f.Prefix, "prefix", "bench/", "prefix of the objects")
	flags.StringVar(&f.Region, "region", "us-east-1", "region that requests are signed for")
	flags.StringVar(&f.size, "size", "4KiB", "size of objects")
	flags.StringVar(&f.rangeSize, "range-size", "4KiB", "range: bytes to read")
	flags.StringVar(&f.partSize, "part-size", "8MiB", "multipart: size of parts")
	flags.IntVar(&f.PageSize, "page-size", 1000, "list: keys of a page")
	flags.IntVar(&f.Objects, "objects", 10000, "how many objects the load is spread over")
	flags.IntVarP(&f.Concurrency, "concurrency", "c", 16, "connections")
	flags.DurationVarP(&f.Duration, "duration", "d", 10*time.Second, "how long the load runs (0: until --ops)")
	flags.Int64Var(&f.Ops, "ops", 0, "end after this many operations")
	flags.DurationVar(&f.Timeout, "timeout", time.Minute, "an operation that takes longer is an error")
	flags.IntSliceVar(&f.PIDs, "pid", nil, "server processes on this machine whose CPU time and memory to report")
	flags.BoolVar(&f.Prepared, "prepared", false, "the objects are in place: do not write them first")
	flags.BoolVar(&f.Keep, "keep", false, "leave the objects in place")
	flags.BoolVarP(&a.json, "json", "j", false, "print JSON")
	flags.BoolVarP(&a.noHeaders, "no-headers", "H", false, "leave out the headers of the table")
	return cmd
}

func (a *app) runBench(ctx context.Context, f benchFlags) error {
	o := f.Options
	for _, size := range []struct {
		name, text string
		value      *int64
	}{{"size", f.size, &o.Size}, {"range-size", f.rangeSize, &o.RangeSize}, {"part-size", f.partSize, &o.PartSize}} {
		n, err := config.ParseSize(size.text)
		if err != nil {
			return &usageError{fmt.Sprintf("--%s: %v", size.name, err)}
		}
		*size.value = n
	}
	p, err := a.target()
	if err != nil {
		return err
	}
	if len(p.Endpoints) == 0 || p.AccessKey == "" || p.SecretKey == "" {
		return &usageError{"the endpoint and its key are needed: use aisle login, or set AISLE_ENDPOINT, AISLE_ACCESS_KEY and AISLE_SECRET_KEY"}
	}
	o.Endpoints, o.AccessKey, o.SecretKey = p.Endpoints, p.AccessKey, p.SecretKey
	if o.TLS, err = tlsConfig(p.CAFile); err != nil {
		return err
	}
	res, err := bench.Run(ctx, o)
	if err != nil {
		return err
	}
	return a.printBench(res)
}

func (a *app) printBench(r bench.Result) error {
	if a.json {
		return a.printJSON(r)
	}
	t := a.table("OPERATION", "SIZE", "CONNECTIONS", "OPS", "ERRORS", "OPS/S", "MIB/S", "P50(ms)", "P99(ms)", "P99.9(ms)", "CLIENT CPU/OP", "SERVER CPU/OP", "PEAK RSS")
	rss, server := int64(0), ""
	for _, n := range r.PeakRSS {
		rss = max(rss, n)
	}
	peak := ""
	if len(r.PeakRSS) > 0 {
		peak, server = formatSize(rss, "iec"), fmt.Sprintf("%.0fµs", r.ServerCPU)
	}
	t.row(r.Operation, formatSize(r.Size, "iec"), fmt.Sprint(r.Concurrency), fmt.Sprint(r.Ops), fmt.Sprint(r.Errors),
		fmt.Sprintf("%.0f", r.OpsPerSec), fmt.Sprintf("%.1f", r.MiBPerSec), fmt.Sprintf("%.2f", r.P50), fmt.Sprintf("%.2f", r.P99),
		fmt.Sprintf("%.2f", r.P999), fmt.Sprintf("%.0fµs", r.ClientCPU), server, peak)
	if err := t.end(); err != nil {
		return err
	}
	if r.Errors > 0 {
		return fmt.Errorf("%d operations failed; the first: %s", r.Errors, r.FirstError)
	}
	return nil
}
