package cli

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/proxy/client"
)

// putFlags are the flags of put.
type putFlags struct {
	recursive bool
	workers   int
}

func (a *app) put(verb string) *cobra.Command {
	var f putFlags
	cmd := a.command(verb+" FILE|DIRECTORY|- BUCKET[/OBJECT|/PREFIX]", "Write a file, a directory or standard input", 2, 2,
		func(ctx context.Context, c *client.Client, args []string) error {
			b, key, err := cluster.ParseAddress(args[1])
			if err != nil || b.Name == "" {
				return &usageError{fmt.Sprintf("%q names no bucket; put to ais://BUCKET[/NAME]", args[1])}
			}
			if args[0] == "-" {
				return a.putInput(ctx, c, b, key)
			}
			info, err := os.Stat(args[0])
			switch {
			case err != nil:
				return err
			case info.IsDir():
				return a.putDirectory(ctx, c, args[0], b, key, f)
			case key == "" || key[len(key)-1] == '/':
				key += cluster.ObjectKey(filepath.Base(args[0]))
			}
			return a.putFile(ctx, c, args[0], b, key)
		})
	cmd.Flags().BoolVarP(&f.recursive, "recursive", "r", false, "of a directory: also what lies in its subdirectories")
	cmd.Flags().IntVar(&f.workers, "num-workers", parallel, "files to send at the same time")
	cmd.Flags().BoolVarP(&a.yes, "yes", "y", false, "do not ask before a directory is written")
	cmd.Flags().StringVar(&a.units, "units", "iec", "units of sizes: iec, si or raw")
	a.addProgress(cmd)
	return cmd
}

func (a *app) putInput(ctx context.Context, c *client.Client, b cluster.Bucket, key cluster.ObjectKey) error {
	if key == "" {
		return &usageError{fmt.Sprintf("standard input has no name; give one: %s/NAME", b)}
	}
	if err := checkKey(key); err != nil {
		return err
	}
	if _, err := c.PutObject(ctx, b, key, struct{ io.Reader }{a.In}, -1); err != nil {
		return err
	}
	a.printf("PUT (standard input) => %s\n", name(b.Object(key)))
	return nil
}

func (a *app) putFile(ctx context.Context, c *client.Client, file string, b cluster.Bucket, key cluster.ObjectKey) error {
	if err := checkKey(key); err != nil {
		return err
	}
	bars := a.bars()
	err := sendFile(ctx, c, file, b, key, bars)
	bars.close()
	if err != nil {
		return err
	}
	a.printf("PUT %q => %s\n", file, name(b.Object(key)))
	return nil
}

// sendFile writes one file; a file that changes its size meanwhile is an error.
func sendFile(ctx context.Context, c *client.Client, file string, b cluster.Bucket, key cluster.ObjectKey, bars *bars) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		_, err := c.PutObject(ctx, b, key, struct{ io.Reader }{f}, -1)
		return err
	}
	_, err = c.PutObject(ctx, b, key, bars.file(file, info.Size(), f), info.Size())
	return err
}

// upload is one file of a directory.
type upload struct {
	path string
	key  cluster.ObjectKey
	size int64
}

// putDirectory shows what would be written, asks, and writes it.
func (a *app) putDirectory(ctx context.Context, c *client.Client, dir string, b cluster.Bucket, prefix cluster.ObjectKey, f putFlags) error {
	files, err := collect(dir, prefix, f.recursive)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return &usageError{fmt.Sprintf("%s holds no files; with --recursive, those in its subdirectories are written too", dir)}
	}
	total, err := a.printExtensions(files)
	if err != nil {
		return err
	}
	goal := b.String()
	if prefix != "" {
		goal = name(b.Object(prefix))
	}
	what := fmt.Sprintf("%d file%s (%s)", len(files), plural(len(files)), a.size(total))
	if err := a.confirm(fmt.Sprintf("PUT %s => %s?", what, goal)); err != nil {
		return err
	}
	if done, err := a.sendAll(ctx, c, files, b, total, f.workers); err != nil {
		return fmt.Errorf("after %d of %d files: %w", done, len(files), err)
	}
	a.printf("PUT %s => %s\n", what, goal)
	return nil
}

// collect finds the regular files of a directory; links to files are followed, links to directories are not.
func collect(dir string, prefix cluster.ObjectKey, recursive bool) ([]upload, error) {
	var files []upload
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != dir && !recursive {
				return fs.SkipDir
			}
			return nil
		}
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		relative, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		key := prefix + cluster.ObjectKey(filepath.ToSlash(relative))
		if prefix != "" && prefix[len(prefix)-1] != '/' {
			key = prefix + "/" + cluster.ObjectKey(filepath.ToSlash(relative))
		}
		files = append(files, upload{path: path, key: key, size: info.Size()})
		return checkKey(key)
	})
	return files, err
}

// printExtensions prints how many files of each extension there are, and returns their size.
func (a *app) printExtensions(files []upload) (int64, error) {
	type sum struct {
		count int
		size  int64
	}
	sums, total := make(map[string]sum), int64(0)
	for _, f := range files {
		extension := filepath.Ext(f.path)
		s := sums[extension]
		sums[extension] = sum{s.count + 1, s.size + f.size}
		total += f.size
	}
	t := a.table("EXTENSION", "COUNT", "SIZE")
	for _, extension := range slices.Sorted(maps.Keys(sums)) {
		t.row(extension, fmt.Sprint(sums[extension].count), a.size(sums[extension].size))
	}
	t.row("TOTAL", fmt.Sprint(len(files)), a.size(total))
	return total, t.end()
}

// sendAll writes files, several at a time, and returns how many it wrote.
func (a *app) sendAll(ctx context.Context, c *client.Client, files []upload, b cluster.Bucket, total int64, workers int) (int64, error) {
	bars := a.bars()
	defer bars.close()
	sent := bars.total("PUT => "+b.String(), total)
	var done atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, workers))
	for _, f := range files {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := sendFile(ctx, c, f.path, b, f.key, nil); err != nil {
				return err
			}
			sent(f.size)
			done.Add(1)
			return nil
		})
	}
	err := g.Wait()
	return done.Load(), err
}
