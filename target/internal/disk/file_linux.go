package disk

import (
	"errors"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// What vfs.File lacks. Each works on the descriptor when there is one; without (file systems in memory) truncate and
// startWriteback do nothing, and punch makes the bytes unreadable in another way.

// files is a file that is one on several file systems, each of which has it.
type files interface {
	EachFile(op func(f vfs.File) error) error
}

// onEach carries an operation out on a file, or on each of several that it is.
func onEach(f vfs.File, op func(f vfs.File) error) error {
	if all, ok := f.(files); ok {
		return all.EachFile(op)
	}
	return op(f)
}

// punch gives the range back to the file system. Where that is not supported its first unit is overwritten with zeros, so
// that nobody can take it for a body any more.
func punch(f vfs.File, offset, length int64) error {
	return onEach(f, func(f vfs.File) error {
		if done, err := punchHole(f, offset, length); done || err != nil {
			return err
		}
		_, err := f.WriteAt(make([]byte, min(length, Alignment)), offset)
		return err
	})
}

// punchHole gives the range back to the file system, or reports false where that is not supported.
func punchHole(f vfs.File, offset, length int64) (bool, error) {
	fd := f.Fd()
	if fd == vfs.InvalidFd {
		return false, nil
	}
	err := unix.Fallocate(int(fd), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, offset, length)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return false, nil
	}
	return err == nil, err
}

// truncate cuts a file, and what was preallocated behind its end, to size.
func truncate(f vfs.File, size int64) error {
	return onEach(f, func(f vfs.File) error {
		if fd := f.Fd(); fd != vfs.InvalidFd {
			return unix.Ftruncate(int(fd), size)
		}
		return nil
	})
}

// startWriteback asks the kernel to begin writing the range, so that the sync at the end has less to do. It promises
// nothing.
func startWriteback(f vfs.File, offset, length int64) {
	_ = onEach(f, func(f vfs.File) error {
		if fd := f.Fd(); fd != vfs.InvalidFd {
			_ = unix.SyncFileRange(int(fd), offset, length, unix.SYNC_FILE_RANGE_WRITE)
		}
		return nil
	})
}

// allocated returns how many bytes a file occupies, or -1 when that cannot be told.
func allocated(f vfs.File) int64 {
	fd := f.Fd()
	if fd == vfs.InvalidFd {
		return -1
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(fd), &st); err != nil {
		return -1
	}
	return st.Blocks * 512
}
