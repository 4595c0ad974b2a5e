package disk

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/aisle-store/aisle/cluster"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// FormatVersion is the format number that this binary writes. It goes up with every change of the layout that an older
// binary would misread; an older binary refuses a higher number.
const FormatVersion = 1

const (
	formatName   = "format.json"
	lockName     = "LOCK"
	ballastName  = "ballast"
	bootPrefix   = "boot."
	segmentsName = "segments"
	blobsName    = "blobs"
	indexName    = "index"

	maxBoot = 1<<24 - 1
	// category tells vfs who writes, for its statistics.
	category vfs.DiskWriteCategory = "aisle-data"
)

// Identity is what format.json says of a mountpath.
type Identity struct {
	Format    int                 `json:"format"`
	Cluster   string              `json:"cluster"`
	Node      cluster.NodeID      `json:"node"`
	Mountpath cluster.MountpathID `json:"mountpath"`
}

// Format writes format.json into an existing, empty directory, durably. It refuses one that holds anything but a file
// system's own lost+found and what a Format left that did not come to its end. The format number of id is set.
func Format(fs vfs.FS, dir string, id Identity) error {
	const op = "disk.Format"
	names, err := fs.List(dir)
	if err != nil {
		return refuse(op, dir, missing(err))
	}
	for _, name := range names {
		if !blank(fs, dir, name) {
			return refuse(op, dir, fmt.Errorf("%w: it holds %s", ErrFormatted, name))
		}
	}
	id.Format = FormatVersion
	text, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return refuse(op, dir, err)
	}
	for _, sub := range []string{segmentsName, blobsName, indexName} {
		if err := fs.MkdirAll(fs.PathJoin(dir, sub), 0o755); err != nil {
			return refuse(op, dir, err)
		}
	}
	if err := replaceFile(fs, dir, formatName, append(text, '\n')); err != nil {
		return refuse(op, dir, err)
	}
	return nil
}

// blank reports whether an entry of a directory may be there before it is formatted.
func blank(fs vfs.FS, dir, name string) bool {
	switch name {
	case "lost+found", formatName + ".new":
		return true
	case segmentsName, blobsName, indexName:
		inside, err := fs.List(fs.PathJoin(dir, name))
		return err == nil && len(inside) == 0
	}
	return false
}

// ReadIdentity reads format.json. The error is ErrMissing, ErrUnformatted, ErrTooNew or of the file system.
func ReadIdentity(fs vfs.FS, dir string) (Identity, error) {
	const op = "disk.ReadIdentity"
	if _, err := fs.Stat(dir); err != nil {
		return Identity{}, refuse(op, dir, missing(err))
	}
	text, err := readFile(fs, fs.PathJoin(dir, formatName))
	if errors.Is(err, os.ErrNotExist) {
		return Identity{}, refuse(op, dir, fmt.Errorf("%w (is its disk mounted?)", ErrUnformatted))
	}
	if err != nil {
		return Identity{}, refuse(op, dir, err)
	}
	var id Identity
	if err := json.Unmarshal(text, &id); err != nil {
		return Identity{}, cluster.E(op, dir, cluster.KindCorrupt, fmt.Errorf("%s: %w", formatName, err))
	}
	if id.Format > FormatVersion {
		return Identity{}, refuse(op, dir, fmt.Errorf("%w: format %d, this binary knows up to %d", ErrTooNew, id.Format, FormatVersion))
	}
	if id.Format < 1 {
		return Identity{}, cluster.Fail(op, dir, cluster.KindCorrupt, formatName+" has no format number")
	}
	return id, nil
}

// check compares what format.json says with what is expected; empty expectations are not compared.
func (id Identity) check(want Identity) error {
	differ := func(what, got, want string) error {
		if want != "" && got != want {
			return fmt.Errorf("%w: %s %q, expected %q", ErrForeign, what, got, want)
		}
		return nil
	}
	return errors.Join(
		differ("cluster", id.Cluster, want.Cluster),
		differ("node", string(id.Node), string(want.Node)),
		differ("mountpath", string(id.Mountpath), string(want.Mountpath)),
	)
}

// nextBoot durably takes a boot number above all that were ever used here: those of the marker files, and, should those be
// lost, those in the names of segments and blobs.
func nextBoot(fs vfs.FS, dir string, seen uint32) (uint32, error) {
	names, err := fs.List(dir)
	if err != nil {
		return 0, err
	}
	last, old := seen, []string(nil)
	for _, name := range names {
		digits, ok := strings.CutPrefix(name, bootPrefix)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(digits, 16, 24)
		if err != nil {
			continue
		}
		last, old = max(last, uint32(n)), append(old, name)
	}
	if last >= maxBoot {
		return 0, fmt.Errorf("the mountpath was opened %d times and has no more boot numbers", last)
	}
	boot := last + 1
	if err := createFile(fs, fs.PathJoin(dir, fmt.Sprintf("%s%06x", bootPrefix, boot)), nil); err != nil {
		return 0, err
	}
	if err := syncDir(fs, dir); err != nil {
		return 0, err
	}
	for _, name := range old {
		if err := fs.Remove(fs.PathJoin(dir, name)); err != nil {
			return 0, err
		}
	}
	return boot, nil
}

func refuse(op, dir string, err error) error { return cluster.E(op, dir, cluster.KindUnavailable, err) }

func missing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return ErrMissing
	}
	return err
}

// replaceFile writes a small file so that a crash leaves either the old or the new content.
func replaceFile(fs vfs.FS, dir, name string, content []byte) error {
	path := fs.PathJoin(dir, name)
	if err := createFile(fs, path+".new", content); err != nil {
		return err
	}
	if err := fs.Rename(path+".new", path); err != nil {
		return err
	}
	return syncDir(fs, dir)
}

func createFile(fs vfs.FS, path string, content []byte) error {
	f, err := fs.Create(path, category)
	if err != nil {
		return err
	}
	if len(content) > 0 {
		_, err = f.Write(content)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func readFile(fs vfs.FS, path string) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 1<<20))
}

func syncDir(fs vfs.FS, dir string) error {
	f, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
