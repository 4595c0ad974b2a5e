package mirror

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aisle-store/aisle/cluster"
)

// Open returns a file system over those of the sides that can be used, as check says, after a crash or without one. The others are
// out of step from now on; if none can be used, none is, and the error says why. The crash may have left what was not synced on one
// side only: the first one tells, and the others are made the same.
func Open(o Options, check func(fs vfs.FS, s Side) error) (*FS, error) {
	var good, bad []Side
	var errs []error
	for _, s := range o.Sides {
		if err := check(o.FS, s); err != nil {
			bad, errs = append(bad, s), append(errs, err)
			continue
		}
		good = append(good, s)
	}
	if len(good) == 0 {
		return nil, errors.Join(append(errs, errors.New("no copy of the mirror can be used"))...)
	}
	whole, failed, failures := alignAll(o.FS, good)
	bad, errs = append(bad, failed...), append(errs, failures...)
	if len(bad) > 0 { // before anything is written without them
		if err := o.Note(ids(whole)); err != nil {
			return nil, err
		}
	}
	for i, s := range bad {
		if o.Lost != nil {
			o.Lost(s.ID, errs[i])
		}
	}
	o.Sides = whole
	return New(o), nil
}

// alignAll makes sides the same as the first one that can be read: each has all that was synced, whatever was copied to it so far. The
// others have failed.
func alignAll(fs vfs.FS, good []Side) (whole, failed []Side, errs []error) {
	for {
		first, left := good[0], good[:1:1]
		var unread error
		for _, s := range good[1:] {
			err := align(fs, first.Dir, s.Dir)
			var source *sourceError
			if errors.As(err, &source) {
				unread, left = err, append(left, s)
				continue
			}
			if err != nil {
				failed, errs = append(failed, s), append(errs, err)
				continue
			}
			left = append(left, s)
		}
		if unread == nil {
			return left, failed, errs
		}
		failed, errs, good = append(failed, first), append(errs, unread), left[1:]
	}
}

// sourceError says that the side that the others are made like could not be read.
type sourceError struct{ error }

// Unwrap returns what was wrong.
func (e *sourceError) Unwrap() error { return e.error }

func ofSource(err error) error {
	if err == nil {
		return nil
	}
	return &sourceError{err}
}

// sourceFile has its errors say that they are of the source.
type sourceFile struct{ io.Reader }

// Read implements io.Reader.
func (f sourceFile) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = ofSource(err)
	}
	return n, err
}

func ids(sides []Side) []cluster.MountpathID {
	all := make([]cluster.MountpathID, len(sides))
	for i, s := range sides {
		all[i] = s.ID
	}
	return all
}

// aligning is the end of the names of copies that are being made.
const aligning = ".aligning"

// align makes a directory the same as another one, so that at any moment it has all that was ever synced in both: files are
// replaced whole, those that tell which of the others count (Pebble's markers) behind all others, and what the other side does not
// have goes last. Data files that both have are not compared: where they differ, it was never synced, and nothing names it.
func align(fs vfs.FS, from, to string) error {
	for _, markers := range []bool{false, true} {
		if err := copyInto(fs, from, to, markers); err != nil {
			return err
		}
	}
	return removeExtra(fs, from, to)
}

func isMarker(name string) bool { return strings.HasPrefix(name, "marker.") }

// isData reports whether a file is only ever named by others after it was synced.
func isData(name string) bool {
	for _, suffix := range []string{".sst", ".seg", ".blob", "ballast"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// copyInto copies the markers of a directory and of those in it, or everything else.
func copyInto(fs vfs.FS, from, to string, markers bool) error {
	names, err := fs.List(from)
	if err != nil {
		return ofSource(err)
	}
	if err := fs.MkdirAll(to, 0o755); err != nil {
		return err
	}
	changed := false
	for _, name := range names {
		source, target := fs.PathJoin(from, name), fs.PathJoin(to, name)
		info, err := fs.Stat(source)
		if err != nil {
			return ofSource(err)
		}
		if info.IsDir() {
			if err := copyInto(fs, source, target, markers); err != nil {
				return err
			}
			continue
		}
		if isMarker(name) != markers || strings.HasSuffix(name, aligning) {
			continue
		}
		same, err := isSame(fs, name, source, target)
		if err != nil {
			return err
		}
		if same {
			continue
		}
		if err := copyFile(fs, source, target); err != nil {
			return err
		}
		changed = true
	}
	if !changed && !markers {
		return nil
	}
	return syncDir(fs, to)
}

// isSame reports whether both sides have a file, as far as it matters.
func isSame(fs vfs.FS, name, source, target string) (bool, error) {
	there, err := fs.Stat(target)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil || isData(name) {
		return err == nil, err
	}
	here, err := fs.Stat(source)
	if err != nil || here.Size() != there.Size() {
		return false, ofSource(err)
	}
	a, err := fs.Open(source)
	if err != nil {
		return false, ofSource(err)
	}
	defer a.Close()
	b, err := fs.Open(target)
	if err != nil {
		return false, err
	}
	defer b.Close()
	p, q := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(sourceFile{a}, p)
		m, failed := io.ReadFull(b, q)
		if n != m || !bytes.Equal(p[:n], q[:m]) {
			return false, nil
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return true, nil
		case err != nil || failed != nil:
			return false, errors.Join(err, failed)
		}
	}
}

// copyFile replaces a file whole. Its directory is synced later.
func copyFile(fs vfs.FS, source, target string) error {
	in, err := fs.Open(source)
	if err != nil {
		return ofSource(err)
	}
	defer in.Close()
	out, err := fs.Create(target+aligning, "aisle-mirror")
	if err != nil {
		return err
	}
	_, err = io.Copy(struct{ io.Writer }{out}, sourceFile{in})
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	return fs.Rename(target+aligning, target)
}

// removeExtra removes what only the one side has.
func removeExtra(fs vfs.FS, from, to string) error {
	keep, err := fs.List(from)
	if err != nil {
		return ofSource(err)
	}
	names, err := fs.List(to)
	if err != nil {
		return err
	}
	changed := false
	for _, name := range names {
		target := fs.PathJoin(to, name)
		if !slices.Contains(keep, name) {
			changed = true
			if err := fs.RemoveAll(target); err != nil {
				return err
			}
			continue
		}
		info, err := fs.Stat(target)
		if err != nil {
			return err
		}
		if info.IsDir() {
			if err := removeExtra(fs, fs.PathJoin(from, name), target); err != nil {
				return err
			}
		}
	}
	if !changed {
		return nil
	}
	return syncDir(fs, to)
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
