package disk

import (
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aisle-store/aisle/cluster"
)

// healthName is the file that Check writes.
const healthName = "health"

// CheckIdentity looks whether the path still leads to what was opened: it may have been unmounted, or another disk mounted over
// it, while files that are open go on working. The error is ErrMissing, ErrUnformatted or ErrForeign, or of the file system.
func (d *Disk) CheckIdentity() error {
	id, err := ReadIdentity(d.fs, d.dir)
	if err != nil {
		return err
	}
	if err := id.check(d.identity); err != nil {
		return refuse("disk.CheckIdentity", d.dir, err)
	}
	return nil
}

// CheckWrites writes a small file, syncs it, and reads it back. A full disk is no failure.
func (d *Disk) CheckWrites() error {
	const op = "disk.CheckWrites"
	path := d.fs.PathJoin(d.dir, healthName)
	content := rand.Text()
	if err := createFile(d.fs, path, []byte(content)); err != nil {
		if vfs.IsNoSpaceError(err) {
			return nil
		}
		return refuse(op, d.dir, fmt.Errorf("it cannot be written: %w", err))
	}
	back, err := readFile(d.fs, path)
	if err == nil && string(back) != content {
		err = errors.New("it reads other bytes than were written")
	}
	if err != nil {
		return refuse(op, d.dir, err)
	}
	return nil
}

// GiveUp refuses writes from now on, as several operations in a row that failed do. Reads may still work.
func (d *Disk) GiveUp(err error) {
	d.broken.CompareAndSwap(nil, cluster.E("disk.GiveUp", d.dir, cluster.KindUnavailable, err))
}
