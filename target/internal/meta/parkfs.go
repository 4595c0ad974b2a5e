package meta

import (
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// parkingFS is what Pebble writes to. When a log cannot be made or written, or a directory cannot be synced, Pebble panics
// or ends the process, partly on goroutines of its own, and would take the other mountpaths with it. Here such an operation
// does not return: it marks the index dead and parks, as Fatalf does.
type parkingFS struct {
	vfs.FS
	x *Index
}

// Unwrap implements vfs.FS.
func (f parkingFS) Unwrap() vfs.FS { return f.FS }

// OpenDir implements vfs.FS.
func (f parkingFS) OpenDir(name string) (vfs.File, error) {
	dir, err := f.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return parkingFile{dir, f.x}, nil
}

// Create implements vfs.FS.
func (f parkingFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, category)
	return f.log(name, file, err)
}

// ReuseForWrite implements vfs.FS.
func (f parkingFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.ReuseForWrite(oldname, newname, category)
	return f.log(newname, file, err)
}

// log returns a file that was made: a log is wrapped, and parks when it could not be made.
func (f parkingFS) log(name string, file vfs.File, err error) (vfs.File, error) {
	if !strings.HasSuffix(name, ".log") {
		return file, err
	}
	f.x.mustWork("make a log", err)
	return parkingFile{file, f.x}, nil
}

// parkingFile is a log or a directory.
type parkingFile struct {
	vfs.File
	x *Index
}

// Write implements vfs.File.
func (f parkingFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.x.mustWork("write the log", err)
	return n, nil
}

// Sync implements vfs.File.
func (f parkingFile) Sync() error {
	f.x.mustWork("sync", f.File.Sync())
	return nil
}

// SyncData implements vfs.File.
func (f parkingFile) SyncData() error {
	f.x.mustWork("sync the log", f.File.SyncData())
	return nil
}

// SyncTo implements vfs.File.
func (f parkingFile) SyncTo(length int64) (bool, error) {
	full, err := f.File.SyncTo(length)
	f.x.mustWork("sync the log", err)
	return full, nil
}

// Stat implements vfs.File.
func (f parkingFile) Stat() (vfs.FileInfo, error) {
	info, err := f.File.Stat()
	f.x.mustWork("stat", err)
	return info, nil
}

// Close implements vfs.File.
func (f parkingFile) Close() error {
	f.x.mustWork("close", f.File.Close())
	return nil
}

// mustWork returns when err is nil, and else not at all.
func (x *Index) mustWork(what string, err error) {
	if err != nil {
		x.park(fmt.Errorf("%s: %w", what, err))
	}
}

// park marks the index dead and never returns. It must not end the goroutine either: Pebble parks with locks held or given
// up for a moment, and what it deferred would unlock what is not locked, which ends the process.
func (x *Index) park(err error) {
	x.kill(err)
	x.parks.Do(func() { close(x.parked) })
	select {}
}
