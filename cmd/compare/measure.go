package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
)

// rates measures rate and CPU of the same loads on both servers, interleaved: both see the same moods of the machine.
func rates(ctx context.Context, o options, out io.Writer) error {
	aisle, err := startAisle(ctx, o, "Aisle", nil)
	if err != nil {
		return err
	}
	defer aisle.stop()
	minio, err := startMinIO(ctx, o)
	if err != nil {
		return err
	}
	defer minio.stop()
	fmt.Fprintf(out, "\n%d connections, UNSIGNED-PAYLOAD, one node and one drive each, median of %d interleaved runs of %gs.\n\n", o.connections, o.rounds, o.seconds)
	fmt.Fprintln(out, "| load | Aisle | MinIO | ratio | Aisle CPU/op | MinIO CPU/op | ratio | p50 / p99 Aisle | p50 / p99 MinIO |")
	fmt.Fprintln(out, "| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, l := range []load{
		{operation: "put", size: "4KiB", objects: 2000, prefix: "put-4k"},
		{operation: "get", size: "4KiB", objects: 2000, prefix: "4k"},
		{operation: "head", size: "4KiB", objects: 2000, prefix: "4k"},
		{operation: "put", size: "64KiB", objects: 1000, prefix: "put-64k"},
		{operation: "get", size: "64KiB", objects: 1000, prefix: "64k"},
		{operation: "range", size: "1MiB", objects: 200, prefix: "1m", more: []string{"--range-size", "64KiB"}},
		{operation: "mixed", size: "64KiB", objects: 1000, prefix: "mixed"},
		{operation: "list", size: "1KiB", objects: 10_000, prefix: "list"},
		{operation: "delete", size: "4KiB", objects: 4000, prefix: "delete"},
		{operation: "put", size: "1MiB", objects: 200, prefix: "put-1m"},
		{operation: "get", size: "1MiB", objects: 200, prefix: "1m"},
		{operation: "put", size: "16MiB", objects: 32, prefix: "put-16m"},
		{operation: "get", size: "16MiB", objects: 32, prefix: "16m"},
		{operation: "multipart", size: "32MiB", objects: 16, prefix: "multipart", more: []string{"--part-size", "8MiB"}},
	} {
		if err := compare(ctx, o, out, l, aisle, minio); err != nil {
			return err
		}
	}
	return nil
}

// compare runs one load in turns and prints a row.
func compare(ctx context.Context, o options, out io.Writer, l load, aisle, minio *server) error {
	var results [2][]result
	pair := [2]*server{aisle, minio}
	for round := range o.rounds {
		for i := range pair {
			i := (i + round) % 2 // neither always comes first
			one := o.timed(l)
			if leavesGaps(l) || round == 0 {
				one.more = slices.DeleteFunc(one.more, func(s string) bool { return s == "--prepared" })
			}
			r, err := bench(ctx, o, one, pair[i])
			if err != nil {
				return err
			}
			results[i] = append(results[i], r)
		}
	}
	a, m := medians(results[0]), medians(results[1])
	name, rate := l.operation, func(r result) string { return fmt.Sprintf("%.0f/s", r.OpsPerSec) }
	if l.operation != "list" {
		name += " " + l.size
	}
	if a.MiBPerSec > 100 && l.operation != "list" {
		rate = func(r result) string { return fmt.Sprintf("%.0f MiB/s", r.MiBPerSec) }
	}
	_, err := fmt.Fprintf(out, "| %s | %s | %s | **%.1f** | %.0f µs | %.0f µs | **%.2f** | %.1f / %.1f ms | %.1f / %.1f ms |\n", name,
		rate(a), rate(m), a.OpsPerSec/m.OpsPerSec, a.ServerCPU, m.ServerCPU, a.ServerCPU/m.ServerCPU, a.P50, a.P99, m.P50, m.P99)
	return err
}

// leavesGaps reports whether a load leaves deleted keys behind, so that its objects must be written again for the next run.
func leavesGaps(l load) bool { return l.operation == "delete" || l.operation == "mixed" }

// relay measures what a GET costs both nodes when it goes through a gateway, against one that reaches its owner at once.
func relay(ctx context.Context, o options, out io.Writer) error {
	owner, err := startAisle(ctx, o, "owner", nil)
	if err != nil {
		return err
	}
	defer owner.stop()
	gateway, err := startAisle(ctx, o, "gateway", owner)
	if err != nil {
		return err
	}
	defer gateway.stop()
	fmt.Fprint(out, "\nGET, CPU of both nodes for one operation:\n\n| size | local | relayed | ratio | rate local | rate relayed |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, l := range []load{
		{operation: "get", size: "4KiB", objects: 2000, prefix: "4k"},
		{operation: "get", size: "64KiB", objects: 1000, prefix: "64k"},
		{operation: "get", size: "16MiB", objects: 32, prefix: "16m"},
	} {
		if err := prepare(ctx, o, l, owner); err != nil {
			return err
		}
		var local, relayed []result
		for range o.rounds {
			a, err := bench(ctx, o, o.timed(l), owner, gateway)
			if err != nil {
				return err
			}
			b, err := bench(ctx, o, o.timed(l), gateway, owner)
			if err != nil {
				return err
			}
			local, relayed = append(local, a), append(relayed, b)
		}
		a, b := medians(local), medians(relayed)
		fmt.Fprintf(out, "| %s | %.0f µs | %.0f µs | **%.2f** | %.0f/s | %.0f/s |\n", l.size, a.ServerCPU, b.ServerCPU, b.ServerCPU/a.ServerCPU, a.OpsPerSec, b.OpsPerSec)
	}
	return nil
}

// memory measures the resident memory of a node while 64 connections stream objects of 64 MiB.
func memory(ctx context.Context, o options, out io.Writer) error {
	s, err := startAisle(ctx, o, "memory", nil)
	if err != nil {
		return err
	}
	defer s.stop()
	fmt.Fprint(out, "\n64 connections, objects of 64 MiB:\n\n| load | rate | largest resident memory |\n| --- | --- | --- |\n")
	o.connections, o.seconds = 64, 3*o.seconds
	for _, l := range []load{
		{operation: "put", size: "64MiB", objects: 64, prefix: "64m"},
		{operation: "get", size: "64MiB", objects: 64, prefix: "64m"},
	} {
		r, err := bench(ctx, o, o.timed(l), s)
		if err != nil {
			return err
		}
		peak := int64(0)
		for _, n := range r.PeakRSS {
			peak = max(peak, n)
		}
		fmt.Fprintf(out, "| %s | %.0f MiB/s | %d MiB |\n", l.operation, r.MiBPerSec, peak>>20)
	}
	return nil
}

// lists measures pages of 1,000 keys of a small and of a large bucket, in turns, once the server has nothing left to do of
// what filling them made. Pages from one small place of the large bucket show what its depth costs without its spread over memory.
func lists(ctx context.Context, o options, out io.Writer) error {
	s, err := startAisle(ctx, o, "lists", nil)
	if err != nil {
		return err
	}
	defer s.stop()
	wide := o
	wide.connections = 64
	loads := []titled{listLoad("10000", "list-0", 10_000), listLoad(strconv.Itoa(o.large), "list-1", o.large)}
	for _, l := range loads {
		if err := prepare(ctx, wide, l.load, s); err != nil {
			return err
		}
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	loads = append(loads, listLoad(fmt.Sprintf("%d, pages of the first 10000", o.large), "list-1", 10_000))
	results := make([][]result, len(loads))
	for round := range o.rounds + 1 {
		for i := range loads {
			i := (i + round) % len(loads) // none always comes first
			r, err := bench(ctx, o, o.timed(loads[i].load), s)
			if err != nil {
				return err
			}
			if round > 0 { // the first fills the cache
				results[i] = append(results[i], r)
			}
		}
	}
	fmt.Fprint(out, "\nPages of 1,000 keys:\n\n| objects in the bucket | pages | p50 / p99 | CPU/page |\n| --- | --- | --- | --- |\n")
	for i, l := range loads {
		r := medians(results[i])
		fmt.Fprintf(out, "| %s | %.0f/s | %.1f / %.1f ms | %.0f µs |\n", l.title, r.OpsPerSec, r.P50, r.P99, r.ServerCPU)
	}
	return nil
}

// titled is a load with the name of its row.
type titled struct {
	load
	title string
}

// listLoad reads pages of a bucket that begin at one of its first objects.
func listLoad(title, bucket string, objects int) titled {
	return titled{load{operation: "list", size: "0", objects: objects, prefix: bucket, more: []string{"--bucket", bucket}}, title}
}

// medians returns the median of each figure by itself.
func medians(all []result) result {
	median := func(of func(result) float64) float64 {
		var values []float64
		for _, r := range all {
			values = append(values, of(r))
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	return result{
		OpsPerSec: median(func(r result) float64 { return r.OpsPerSec }),
		MiBPerSec: median(func(r result) float64 { return r.MiBPerSec }),
		P50:       median(func(r result) float64 { return r.P50 }),
		P99:       median(func(r result) float64 { return r.P99 }),
		ServerCPU: median(func(r result) float64 { return r.ServerCPU }),
	}
}

// copies measures what a PUT into a bucket with two copies costs three nodes, against one into a bucket with one copy on the
// same nodes, in turns.
func copies(ctx context.Context, o options, out io.Writer) error {
	servers, err := startTargets(ctx, o, "first", "second", "third")
	defer stopAll(servers)
	if err != nil {
		return err
	}
	for _, n := range []string{"1", "2"} {
		if err := servers[0].createBucket(ctx, o, "copies-"+n, "replicas="+n); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "\nPUT with two copies against one, three nodes, %d connections to one of them, CPU of all, median of %d interleaved runs of %gs.\n\n", o.connections, o.rounds, o.seconds)
	fmt.Fprintln(out, "| size | CPU one copy | CPU two copies | ratio | rate one copy | rate two copies | p50 / p99 one | p50 / p99 two |")
	fmt.Fprintln(out, "| --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, l := range []load{
		{operation: "put", size: "4KiB", objects: 2000, prefix: "4k"},
		{operation: "put", size: "64KiB", objects: 1000, prefix: "64k"},
		{operation: "put", size: "1MiB", objects: 200, prefix: "1m"},
	} {
		var results [2][]result
		for round := range o.rounds {
			for i := range results {
				i := (i + round) % 2 // neither always comes first
				one := o.timed(l)
				one.more = append(one.more, "--bucket", fmt.Sprintf("copies-%d", i+1))
				r, err := bench(ctx, o, one, servers...)
				if err != nil {
					return err
				}
				results[i] = append(results[i], r)
			}
		}
		a, b := medians(results[0]), medians(results[1])
		fmt.Fprintf(out, "| %s | %.0f µs | %.0f µs | **%.2f** | %.0f/s | %.0f/s | %.1f / %.1f ms | %.1f / %.1f ms |\n", l.size, a.ServerCPU, b.ServerCPU,
			b.ServerCPU/a.ServerCPU, a.OpsPerSec, b.OpsPerSec, a.P50, a.P99, b.P50, b.P99)
	}
	return nil
}

// rebalance measures the same load on three nodes before a fourth joins, while that takes over its share, and afterwards.
func rebalance(ctx context.Context, o options, out io.Writer) error {
	servers, err := startTargets(ctx, o, "first", "second", "third")
	defer func() { stopAll(servers) }()
	if err != nil {
		return err
	}
	if err := servers[0].createBucket(ctx, o, "rebalance", "replicas=2"); err != nil {
		return err
	}
	more := []string{"--bucket", "rebalance"}
	fill := load{operation: "get", size: "64KiB", objects: o.moved, prefix: "moved", more: more}
	if err := prepare(ctx, o, fill, servers[0]); err != nil {
		return err
	}
	loads := []load{fill, {operation: "put", size: "64KiB", objects: 1000, prefix: "put", more: more}}
	fmt.Fprintf(out, "\nA fourth node joins three with %d objects of 64 KiB in two copies; %d connections to the first, medians of runs of %gs.\n\n", o.moved, o.connections, o.seconds)
	fmt.Fprintln(out, "| load | runs before, during, after | p50 / p99 before | during | after | p99 during / before |")
	fmt.Fprintln(out, "| --- | --- | --- | --- | --- | --- |")
	var results [2][3][]result // by load; before, during, after
	run := func(phase int) error {
		for i, l := range loads {
			r, err := bench(ctx, o, o.timed(l), servers...)
			if err != nil {
				return err
			}
			results[i][phase] = append(results[i][phase], r)
		}
		return nil
	}
	for range o.rounds + 1 { // the first writes what the load needs
		if err := run(0); err != nil {
			return err
		}
	}
	joined, err := startTarget(ctx, o, "fourth", servers[0])
	if err != nil {
		return err
	}
	servers = append(servers, joined)
	for behind := 1.0; behind > 0 || len(results[0][1]) < 3; { // it is not behind before it is admitted
		if err := run(1); err != nil {
			return err
		}
		if behind, err = joined.gauge(ctx, "aisle_node_behind_slots"); err != nil {
			return err
		}
	}
	for range o.rounds {
		if err := run(2); err != nil {
			return err
		}
	}
	for i, l := range loads {
		var m [3]result
		for phase := range m {
			m[phase] = medians(results[i][phase])
		}
		fmt.Fprintf(out, "| %s %s | %d, %d, %d | %.1f / %.1f ms | %.1f / %.1f ms | %.1f / %.1f ms | **%.2f** |\n", l.operation, l.size, len(results[i][0]), len(results[i][1]), len(results[i][2]),
			m[0].P50, m[0].P99, m[1].P50, m[1].P99, m[2].P50, m[2].P99, m[1].P99/m[0].P99)
	}
	return nil
}
