//go:build e2e

package target

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// diskFaultsFile names, in programs built for the end-to-end tests, the file that says which operations on files fail or are slow:
// lines of a path's beginning, "read", "write" or "sync", and either "error", "full" or a time. It may be rewritten at any time.
const diskFaultsFile = "AISLE_TEST_DISK_FAULTS"

// machine is the file system of the machine, with faults in it when the test asks for them.
func machine() vfs.FS {
	path := os.Getenv(diskFaultsFile)
	if path == "" {
		return vfs.Default
	}
	return opaque{errorfs.Wrap(vfs.Default, &diskFaults{path: path})}
}

// opaque hides what is below, so that reads do not go around the faults.
type opaque struct{ vfs.FS }

func (opaque) Unwrap() vfs.FS { return nil }

// diskFaults are the faults that the file asks for. It is read again when it is 20 ms old.
type diskFaults struct {
	path string

	mu struct {
		sync.Mutex
		read   time.Time
		faults []diskFault
	}
}

type diskFault struct {
	prefix string // of paths
	kind   string
	err    error
	delay  time.Duration
}

// String implements errorfs.Injector.
func (d *diskFaults) String() string { return "faults from " + d.path }

// MaybeError implements errorfs.Injector.
func (d *diskFaults) MaybeError(op errorfs.Op) error {
	kind := kindOf(op.Kind)
	for _, f := range d.current() {
		if !strings.HasPrefix(op.Path, f.prefix) || f.kind != kind {
			continue
		}
		<-time.After(f.delay)
		if f.err != nil {
			return &os.PathError{Op: kind, Path: op.Path, Err: f.err}
		}
	}
	return nil
}

func kindOf(k errorfs.OpKind) string {
	switch {
	case k == errorfs.OpFileSync || k == errorfs.OpFileSyncData || k == errorfs.OpFileSyncTo || k == errorfs.OpFileFlush:
		return "sync"
	case k == errorfs.OpFileClose || k == errorfs.OpLock || k == errorfs.OpGetDiskUsage:
		return "" // never fails
	case k.ReadOrWrite() == errorfs.OpIsRead:
		return "read"
	}
	return "write"
}

func (d *diskFaults) current() []diskFault {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.mu.read) < 20*time.Millisecond {
		return d.mu.faults
	}
	d.mu.read, d.mu.faults = time.Now(), nil
	text, err := os.ReadFile(d.path)
	if err != nil {
		return nil // no file, no faults
	}
	for line := range strings.Lines(string(text)) {
		f, err := parseDiskFault(line)
		if err != nil {
			f = diskFault{prefix: "/", kind: "write", err: err} // a test that is wrong fails
		}
		d.mu.faults = append(d.mu.faults, f)
	}
	return d.mu.faults
}

func parseDiskFault(line string) (diskFault, error) {
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return diskFault{}, fmt.Errorf("%q is no fault of a disk", line)
	}
	f := diskFault{prefix: fields[0], kind: fields[1]}
	var err error
	switch fields[2] {
	case "error":
		f.err = syscall.EIO
	case "full":
		f.err = syscall.ENOSPC
	default:
		f.delay, err = time.ParseDuration(fields[2])
	}
	return f, err
}
