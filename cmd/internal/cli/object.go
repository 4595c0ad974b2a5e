package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/proxy/client"
)

// parseObject reads the address of an object.
func parseObject(s string) (cluster.Bucket, cluster.ObjectKey, error) {
	b, key, err := cluster.ParseAddress(s)
	switch {
	case err != nil:
		return b, key, &usageError{err.Error()}
	case b.Name == "":
		return b, key, &usageError{fmt.Sprintf("%q names no bucket; an object is ais://BUCKET/NAME", s)}
	case key == "":
		return b, key, &usageError{fmt.Sprintf("%q names a bucket where an object is wanted: %s/NAME", s, b)}
	}
	return b, key, checkKey(key)
}

func checkKey(key cluster.ObjectKey) error {
	if err := cluster.ValidateKey(key); err != nil {
		return &usageError{err.Error()}
	}
	return nil
}

func (a *app) get(verb string) *cobra.Command {
	var offset, length int64
	cmd := a.command(verb+" BUCKET/OBJECT [FILE|DIRECTORY|-]", "Read an object into a file", 1, 2,
		func(ctx context.Context, c *client.Client, args []string) error {
			b, key, err := parseObject(args[0])
			if err != nil {
				return err
			}
			part, err := rangeOf(offset, length)
			if err != nil {
				return err
			}
			out := "."
			if len(args) == 2 {
				out = args[1]
			}
			if out == "-" {
				_, err := a.copyOut(ctx, c, b, key, part, a.Out)
				return err
			}
			return a.getFile(ctx, c, b, key, part, out)
		})
	addRange(cmd, &offset, &length)
	a.addProgress(cmd)
	cmd.Flags().StringVar(&a.units, "units", "iec", "units of sizes: iec, si or raw")
	return cmd
}

func (a *app) cat(verb string) *cobra.Command {
	var offset, length int64
	cmd := a.command(verb+" BUCKET/OBJECT", "Write an object to standard output", 1, 1,
		func(ctx context.Context, c *client.Client, args []string) error {
			b, key, err := parseObject(args[0])
			if err != nil {
				return err
			}
			part, err := rangeOf(offset, length)
			if err != nil {
				return err
			}
			_, err = a.copyOut(ctx, c, b, key, part, a.Out)
			return err
		})
	addRange(cmd, &offset, &length)
	return cmd
}

func addRange(cmd *cobra.Command, offset, length *int64) {
	cmd.Flags().Int64Var(offset, "offset", 0, "begin at this byte")
	cmd.Flags().Int64Var(length, "length", -1, "read this many bytes (-1: to the end)")
}

func rangeOf(offset, length int64) (client.Range, error) {
	if offset < 0 || length < -1 || length == 0 {
		return client.Range{}, &usageError{"--offset and --length do not describe a part of an object"}
	}
	return client.Range{Offset: offset, Length: length}, nil
}

func (a *app) addProgress(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&a.progress, "progress", false, "show progress (also shown on a terminal while large files move)")
}

// copyOut streams an object to w.
func (a *app) copyOut(ctx context.Context, c *client.Client, b cluster.Bucket, key cluster.ObjectKey, part client.Range, w io.Writer) (int64, error) {
	body, _, err := c.GetObject(ctx, b, key, part)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	return io.Copy(w, body)
}

// getFile writes an object to a file, which appears only when it is whole.
func (a *app) getFile(ctx context.Context, c *client.Client, b cluster.Bucket, key cluster.ObjectKey, part client.Range, out string) error {
	if info, err := os.Stat(out); err == nil && info.IsDir() {
		base := path.Base(string(key))
		if base == "." || base == ".." || base == "/" || strings.HasSuffix(string(key), "/") || strings.ContainsRune(base, 0) {
			return &usageError{fmt.Sprintf("%q is no name for a file; give one", name(string(key)))}
		}
		out = filepath.Join(out, base)
	}
	body, o, err := c.GetObject(ctx, b, key, part)
	if err != nil {
		return err
	}
	defer body.Close()
	bars := a.bars()
	n, err := writeFile(out, bars.reader(name(string(key)), o.Size, body))
	bars.close()
	if err != nil {
		return err
	}
	what := formatSize(n, a.units)
	if part != client.Whole() {
		what += fmt.Sprintf(" from offset %d", part.Offset)
	}
	a.printf("GET %s from %s as %s (%s)\n", name(string(key)), b, out, what)
	return nil
}

// writeFile writes to a temporary file beside the goal and renames it; what is not a regular file is written directly.
func writeFile(out string, in io.Reader) (int64, error) {
	if info, err := os.Stat(out); err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(out, os.O_WRONLY, 0)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		return io.Copy(f, in)
	}
	f, err := os.CreateTemp(filepath.Dir(out), "."+filepath.Base(out)+".*")
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(f, in)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), out)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return n, err
}

func (a *app) rmo(verb string) *cobra.Command {
	return a.command(verb+" BUCKET/OBJECT...", "Delete objects", 1, -1, func(ctx context.Context, c *client.Client, args []string) error {
		for _, arg := range args {
			b, key, err := parseObject(arg)
			if err != nil {
				return err
			}
			if err := c.DeleteObject(ctx, b, key); err != nil {
				return err
			}
			a.printf("deleted %q from %s\n", key, b)
		}
		return nil
	})
}

func (a *app) cp(verb string) *cobra.Command {
	const op = "cli.cp"
	return a.command(verb+" BUCKET/OBJECT BUCKET[/OBJECT]", "Copy an object within the cluster", 2, 2,
		func(ctx context.Context, c *client.Client, args []string) error {
			from, key, err := cluster.ParseAddress(args[0])
			if err == nil && key == "" {
				return cluster.Fail(op, from.String(), cluster.KindNotImplemented, "copying whole buckets is not implemented yet; copy single objects: aisle cp BUCKET/OBJECT BUCKET")
			}
			if from, key, err = parseObject(args[0]); err != nil {
				return err
			}
			to, toKey, err := cluster.ParseAddress(args[1])
			if err != nil || to.Name == "" {
				return &usageError{fmt.Sprintf("%q names no bucket", args[1])}
			}
			if toKey == "" || strings.HasSuffix(string(toKey), "/") {
				toKey += cluster.ObjectKey(path.Base(string(key)))
			}
			if err := checkKey(toKey); err != nil {
				return err
			}
			if err := c.CopyObject(ctx, from, key, to, toKey); err != nil {
				return err
			}
			a.printf("Copied %s => %s\n", name(from.Object(key)), name(to.Object(toKey)))
			return nil
		})
}

func (a *app) objectShow(verb string) *cobra.Command {
	return a.tabular(a.command(verb+" BUCKET/OBJECT", "Show the properties of an object", 1, 1,
		func(ctx context.Context, c *client.Client, args []string) error {
			b, key, err := parseObject(args[0])
			if err != nil {
				return err
			}
			o, err := c.HeadObject(ctx, b, key)
			if err != nil {
				return err
			}
			rows := a.objectRows(b, key, o)
			if !a.json {
				return a.properties(rows)
			}
			object := make(map[string]string)
			for _, r := range rows {
				object[r[0]] = r[1]
			}
			object["name"], object["size"] = string(key), fmt.Sprint(o.Size)
			return a.printJSON(object)
		}))
}

func (a *app) objectRows(b cluster.Bucket, key cluster.ObjectKey, o client.Object) [][2]string {
	checksum := ""
	if o.Checksum != "" {
		checksum = fmt.Sprintf("%s[%s]", o.ChecksumType, o.Checksum)
	}
	var custom []string
	for _, n := range slices.Sorted(maps.Keys(o.Custom)) {
		custom = append(custom, n+"="+o.Custom[n])
	}
	return [][2]string{
		{"atime", formatTime(o.Accessed)},
		{"bucket", b.String()},
		{"checksum", checksum},
		{"content-type", o.ContentType},
		{"copies", o.Copies},
		{"custom", strings.Join(custom, ", ")},
		{"etag", o.ETag},
		{"location", o.Location},
		{"modified", formatTime(o.Modified)},
		{"name", name(string(key))},
		{"size", a.size(o.Size)},
		{"version", o.Version},
	}
}
