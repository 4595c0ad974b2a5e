package disk

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	blobSuffix = ".blob"
	// blobDirBits: 16,384 blobs of one boot share a directory; few enough for any file system, many enough that one sync of
	// the directory serves all writers of a moment.
	blobDirBits = 14
)

// blobs are the blob files of a disk. A directory holds the blobs of one boot with the same upper bits of the sequence.
type blobs struct {
	d *Disk

	mu struct {
		sync.Mutex
		dir *blobDir // in which new blobs are made
	}
}

// blobDir is one directory of blobs that this boot makes blobs in.
type blobDir struct {
	name string
	path string
	sync *groupSync
}

func (g *blobs) root() string { return g.d.fs.PathJoin(g.d.dir, blobsName) }

// dirName returns the name of the directory of a blob.
func blobDirName(id FileID) string {
	return fmt.Sprintf("%06x-%07x", id.Boot(), id.Sequence()>>blobDirBits)
}

func (g *blobs) path(id FileID) string {
	return g.d.fs.PathJoin(g.root(), blobDirName(id), id.String()+blobSuffix)
}

// blobFile is a blob being written.
type blobFile struct {
	id   FileID
	path string
	file vfs.File
	dir  *blobDir
}

// create makes a blob file. Its name is durable only when commit has returned.
func (g *blobs) create() (*blobFile, error) {
	id := g.d.nextFile()
	dir, err := g.current(id)
	if err != nil {
		return nil, g.d.failed("create blob directory", err)
	}
	b := &blobFile{id: id, path: g.path(id), dir: dir}
	if b.file, err = g.d.fs.Create(b.path, category); err != nil {
		return nil, g.d.failed("create blob", err)
	}
	return b, nil
}

// current returns the directory of a new blob, made durably when it is the first in it.
func (g *blobs) current(id FileID) (*blobDir, error) {
	name := blobDirName(id)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.dir != nil && g.mu.dir.name == name {
		return g.mu.dir, nil
	}
	dir := &blobDir{name: name, path: g.d.fs.PathJoin(g.root(), name)}
	dir.sync = newGroupSync(func() error { return syncDir(g.d.fs, dir.path) })
	if err := g.d.fs.MkdirAll(dir.path, 0o755); err != nil {
		return nil, err
	}
	if err := syncDir(g.d.fs, g.root()); err != nil {
		return nil, err
	}
	g.mu.dir = dir
	return dir, nil
}

// commit makes data and name durable.
func (g *blobs) commit(b *blobFile) error {
	if err := b.file.SyncData(); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	if _, err := b.dir.sync.wait(b.dir.sync.ticket()); err != nil {
		g.mu.Lock()
		if g.mu.dir == b.dir {
			g.mu.dir = nil // a failed sync proves nothing about later ones: let another handle try
		}
		g.mu.Unlock()
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}

// discard closes and unlinks a blob that nobody will name.
func (g *blobs) discard(b *blobFile) {
	if err := errors.Join(b.file.Close(), g.d.fs.Remove(b.path)); err != nil {
		_ = g.d.failed("discard blob", err) // the next start collects it
	}
}

// free unlinks a blob. Readers that have it open keep its bytes.
func (g *blobs) free(p Place) {
	err := g.d.fs.Remove(g.path(p.File))
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err != nil {
		_ = g.d.failed("unlink blob", err)
		return
	}
	notify(g.d.o.Events.Freed, p)
}

// using reports whether new blobs may go into a directory.
func (g *blobs) using(dir string) bool {
	return strings.HasPrefix(g.d.fs.PathBase(dir), fmt.Sprintf("%06x-", g.d.boot))
}

// walk calls fn for each blob file, directory by directory; leave is called behind each directory.
func (g *blobs) walk(fn func(id FileID, path string) error, leave func(dir string) error) error {
	dirs, err := g.d.fs.List(g.root())
	if err != nil {
		return err
	}
	for _, name := range dirs {
		dir := g.d.fs.PathJoin(g.root(), name)
		files, err := g.d.fs.List(dir)
		if err != nil {
			return err
		}
		for _, file := range files {
			stem, ok := strings.CutSuffix(file, blobSuffix)
			id, valid := parseFileID(stem)
			if !ok || !valid || blobDirName(id) != name {
				continue
			}
			if err := fn(id, g.d.fs.PathJoin(dir, file)); err != nil {
				return err
			}
		}
		if err := leave(dir); err != nil {
			return err
		}
	}
	return nil
}

// lastBoot returns the highest boot number among the directories of blobs.
func (g *blobs) lastBoot() (uint32, error) {
	dirs, err := g.d.fs.List(g.root())
	if err != nil {
		return 0, err
	}
	var last uint32
	for _, name := range dirs {
		boot, _, _ := strings.Cut(name, "-")
		if id, ok := parseFileID(boot + "-0000000000"); ok {
			last = max(last, id.Boot())
		}
	}
	return last, nil
}
