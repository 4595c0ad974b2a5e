package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/cluster/config"
	"github.com/aisle-store/aisle/proxy/client"
)

// parseBucket reads the address of a bucket; nothing may follow its name.
func parseBucket(s string) (cluster.Bucket, error) {
	b, key, err := cluster.ParseAddress(s)
	switch {
	case err != nil:
		return b, &usageError{err.Error()}
	case b.Name == "":
		return b, &usageError{fmt.Sprintf("%q names no bucket; a bucket is ais://NAME", s)}
	case key != "":
		return b, &usageError{fmt.Sprintf("%q names an object where a bucket is wanted", s)}
	}
	return b, nil
}

// parsePairs reads NAME=VALUE arguments.
func parsePairs(args []string) (map[string]string, error) {
	pairs := make(map[string]string)
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok || name == "" {
			return nil, &usageError{fmt.Sprintf("%q is not NAME=VALUE", arg)}
		}
		pairs[name] = value
	}
	return pairs, nil
}

func (a *app) create(verb string) *cobra.Command {
	var props []string
	var ignore bool
	cmd := a.command(verb+" BUCKET...", "Create buckets", 1, -1, func(ctx context.Context, c *client.Client, args []string) error {
		pairs, err := parsePairs(props)
		if err != nil {
			return err
		}
		for _, arg := range args {
			b, err := parseBucket(arg)
			if err != nil {
				return err
			}
			switch err := c.CreateBucket(ctx, b, pairs); {
			case ignore && cluster.Is(err, cluster.KindBucketExists):
				a.printf("%q already exists\n", b.String())
			case err != nil:
				return err
			default:
				a.printf("%q created\n", b.String())
			}
		}
		return nil
	})
	cmd.Flags().StringSliceVar(&props, "props", nil, "properties of the new buckets: NAME=VALUE,...")
	cmd.Flags().BoolVar(&ignore, "ignore-error", false, "go on where a bucket already exists")
	return cmd
}

func (a *app) rmb(verb string) *cobra.Command {
	var force bool
	cmd := a.command(verb+" BUCKET...", "Remove empty buckets; with --force, their objects too", 1, -1,
		func(ctx context.Context, c *client.Client, args []string) error {
			for _, arg := range args {
				b, err := parseBucket(arg)
				if err != nil {
					return err
				}
				if force {
					if err := a.emptyBucket(ctx, c, b); err != nil {
						return err
					}
				}
				if err := c.DeleteBucket(ctx, b); err != nil {
					return err
				}
				a.printf("%q destroyed\n", b.String())
			}
			return nil
		})
	cmd.Flags().BoolVarP(&force, "force", "f", false, "delete the objects of a bucket, after asking, then the bucket")
	cmd.Flags().BoolVarP(&a.yes, "yes", "y", false, "do not ask")
	return cmd
}

// parallel is how many requests a command has under way at a time.
const parallel = 16

// emptyBucket deletes every object of a bucket after asking.
func (a *app) emptyBucket(ctx context.Context, c *client.Client, b cluster.Bucket) error {
	count, bytes := 0, int64(0)
	for e, err := range c.List(ctx, b, api.ListMsg{Flags: api.ListNameSize}, 0) {
		if err != nil {
			return err
		}
		count, bytes = count+1, bytes+e.Size
	}
	if count == 0 {
		return nil
	}
	question := fmt.Sprintf("Delete %d object%s (%s) of %s, and the bucket?", count, plural(count), formatSize(bytes, "iec"), b)
	if err := a.confirm(question); err != nil {
		return err
	}
	bar := a.bars()
	defer bar.close()
	deleted := bar.count("deleting "+b.String(), count)
	var done atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for e, err := range c.List(ctx, b, api.ListMsg{Flags: api.ListNameOnly}, 0) {
		if err != nil {
			g.Go(func() error { return err })
			break
		}
		g.Go(func() error {
			err := c.DeleteObject(ctx, b, cluster.ObjectKey(e.Name))
			if err != nil && !cluster.Is(err, cluster.KindObjectNotFound) {
				return err
			}
			done.Add(1)
			deleted(1)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("after %d deleted objects: %w", done.Load(), err)
	}
	return nil
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

func (a *app) bucketShow(verb string) *cobra.Command {
	return a.tabular(a.command(verb+" BUCKET [PROPERTY-PREFIX]", "Show the properties of a bucket", 1, 2,
		func(ctx context.Context, c *client.Client, args []string) error {
			b, err := parseBucket(args[0])
			if err != nil {
				return err
			}
			e, err := c.Bucket(ctx, b)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(api.NewBucketProps(e))
			}
			rows := bucketRows(e)
			if len(args) == 2 {
				rows = slices.DeleteFunc(rows, func(r [2]string) bool { return !strings.HasPrefix(r[0], args[1]) })
				if len(rows) == 0 {
					return &usageError{fmt.Sprintf("a bucket has no property that begins with %q", args[1])}
				}
			}
			return a.properties(rows)
		}))
}

func bucketRows(e cluster.BucketEntry) [][2]string {
	rows := [][2]string{
		{"bid", strconv.FormatUint(uint64(e.ID), 10)},
		{"created", formatTime(e.Created)},
		{"creator", string(e.Creator)},
		{"lru", "Disabled"},
		{"provider", string(e.Bucket.Provider)},
		{"state", e.State.String()},
	}
	for name, value := range config.PropsMap(e.Props) {
		rows = append(rows, [2]string{name, value})
	}
	sort.Slice(rows, func(i, j int) bool { return rows[i][0] < rows[j][0] })
	return rows
}

func (a *app) propsSet() *cobra.Command {
	return a.command("set BUCKET NAME=VALUE...", "Change properties of a bucket", 2, -1,
		func(ctx context.Context, c *client.Client, args []string) error {
			b, err := parseBucket(args[0])
			if err != nil {
				return err
			}
			changes, err := parsePairs(args[1:])
			if err != nil {
				return err
			}
			before, err := c.Bucket(ctx, b)
			if err != nil {
				return err
			}
			if err := c.SetBucketProps(ctx, b, changes); err != nil {
				return err
			}
			a.printChanges(config.PropsMap(before.Props), changes)
			a.printf("Bucket props of %s successfully updated.\n", b)
			return nil
		})
}

// printChanges says what became of each setting.
func (a *app) printChanges(before, changes map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(changes)) {
		a.printf("%q set to: %q (was: %q)\n", name, changes[name], before[name])
	}
}

// lsFlags are the flags of ls.
type lsFlags struct {
	prefix     string
	startAfter string
	props      string
	limit      int
	countOnly  bool
	nameOnly   bool
	flat       bool
}

func (a *app) ls(verb string) *cobra.Command {
	var f lsFlags
	cmd := a.tabular(a.command(verb+" [BUCKET[/PREFIX]]", "List buckets, or the objects of a bucket", 0, 1,
		func(ctx context.Context, c *client.Client, args []string) error {
			if len(args) == 0 {
				return a.listBuckets(ctx, c)
			}
			b, prefix, err := cluster.ParseAddress(args[0])
			if err != nil {
				return &usageError{err.Error()}
			}
			if b.Name == "" { // "ais:" or "ais://": all of one provider
				return a.listBuckets(ctx, c)
			}
			f := f
			f.prefix = string(prefix) + f.prefix
			return a.listObjects(ctx, c, b, f)
		}))
	cmd.Flags().StringVar(&f.prefix, "prefix", "", "only names that begin so")
	cmd.Flags().StringVar(&f.startAfter, "start-after", "", "only names after this one")
	cmd.Flags().StringVar(&f.props, "props", "", "columns: all, or of size,checksum,atime,version,copies,custom")
	cmd.Flags().IntVar(&f.limit, "limit", 0, "at most this many names (0: all)")
	cmd.Flags().BoolVar(&f.countOnly, "count-only", false, "print only how many there are")
	cmd.Flags().BoolVar(&f.nameOnly, "name-only", false, "print only names")
	cmd.Flags().BoolVar(&f.flat, "non-recursive", false, "one level: what lies below a / is printed as a directory")
	cmd.Flags().BoolVar(&f.flat, "nr", false, "the same as --non-recursive")
	cmd.Flags().BoolVarP(&a.noFooters, "no-footers", "F", false, "leave out the line below a table")
	return cmd
}

func (a *app) listBuckets(ctx context.Context, c *client.Client) error {
	buckets, err := c.ListBuckets(ctx)
	if err != nil {
		return err
	}
	if a.json {
		names := make([]api.BucketName, len(buckets))
		for i, b := range buckets {
			names[i] = api.NewBucketName(b)
		}
		return a.printJSON(names)
	}
	if len(buckets) == 0 {
		if !a.noHeaders {
			a.printf("No buckets; create one with: aisle create ais://NAME\n")
		}
		return nil
	}
	t := a.table("NAME", "PRESENT")
	for _, b := range buckets {
		t.row(b.String(), "yes")
	}
	if err := t.end(); err != nil {
		return err
	}
	if !a.noFooters {
		a.printf("Total: [AIS buckets: %d] ========\n", len(buckets))
	}
	return nil
}

var lsColumns = []string{"size", "checksum", "atime", "version", "copies", "custom"}

// columns returns the properties to print after the name.
func (f *lsFlags) columns() ([]string, error) {
	switch f.props {
	case "":
		if f.nameOnly {
			return nil, nil
		}
		return []string{"size"}, nil
	case "all":
		return lsColumns, nil
	}
	var columns []string
	for prop := range strings.SplitSeq(f.props, ",") {
		if prop = strings.TrimSpace(prop); prop == "name" {
			continue
		}
		if !slices.Contains(lsColumns, prop) {
			return nil, &usageError{fmt.Sprintf("--props %q: there are all, %s", prop, strings.Join(lsColumns, ", "))}
		}
		columns = append(columns, prop)
	}
	return columns, nil
}

func (a *app) listObjects(ctx context.Context, c *client.Client, b cluster.Bucket, f lsFlags) error {
	columns, err := f.columns()
	if err != nil {
		return err
	}
	msg := api.ListMsg{Prefix: f.prefix, StartAfter: f.startAfter, Props: strings.Join(columns, ",")}
	if f.flat {
		msg.Flags |= api.ListNoRecursion
	}
	if len(columns) == 0 || f.countOnly {
		msg.Flags |= api.ListNameOnly
	}
	began, count := time.Now(), 0
	print, end := a.entryPrinter(columns)
	for e, err := range c.List(ctx, b, msg, f.limit) {
		if err != nil {
			return err
		}
		count++
		if !f.countOnly {
			print(e)
		}
	}
	if f.countOnly {
		a.printf("Listed %d name%s in %s\n", count, plural(count), formatDuration(time.Since(began)))
		return nil
	}
	if err := end(); err != nil || a.json || a.noFooters {
		return err
	}
	a.printf("Listed: %d name%s\n", count, plural(count))
	return nil
}

// entryPrinter returns functions that print one entry and the end of a list.
func (a *app) entryPrinter(columns []string) (print func(api.ListEntry), end func() error) {
	if a.json {
		entries := []api.ListEntry{}
		return func(e api.ListEntry) { entries = append(entries, e) }, func() error { return a.printJSON(entries) }
	}
	headers := []string{"NAME"}
	for _, c := range columns {
		headers = append(headers, strings.ToUpper(c))
	}
	t := a.table(headers...)
	print = func(e api.ListEntry) {
		row := []string{name(e.Name)}
		for _, c := range columns {
			row = append(row, a.cell(e, c))
		}
		t.row(row...)
	}
	return print, t.end
}

func (a *app) cell(e api.ListEntry, column string) string {
	if e.Flags&api.EntryDir != 0 {
		return ""
	}
	switch column {
	case "size":
		return a.size(e.Size)
	case "checksum":
		return e.Checksum
	case "atime":
		return e.Atime
	case "version":
		return e.Version
	case "copies":
		return strconv.Itoa(int(e.Copies))
	}
	return e.Custom
}
