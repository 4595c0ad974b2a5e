package disk

import (
	"bytes"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestInABubble: simulations run disks under a fake clock.
func TestInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewCrashableMem()
		formatted(t, mem, testDir)
		x := newIndex()
		if err := scenario(mem, x, smallOptions()); err != nil {
			t.Fatal(err)
		}
		wantRecovered(t, mem.CrashClone(vfs.CrashCloneCfg{}), x)
	})
}

// TestIndexGetsTheBallast: a write of the index that finds the disk full goes through on the space of the ballast.
func TestIndexGetsTheBallast(t *testing.T) {
	mem := vfs.NewMem()
	formatted(t, mem, testDir)
	mem.TestingSetDiskUsage(vfs.DiskUsage{TotalBytes: 1000 << 20, AvailBytes: 900 << 20, UsedBytes: 100 << 20})
	ballast := mem.PathJoin(testDir, ballastName)
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if _, err := mem.Stat(ballast); err == nil && op.Kind == errorfs.OpFileWrite && op.Path != ballast {
			return syscall.ENOSPC // as long as the ballast is there, nothing is left
		}
		return nil
	}))
	o := smallOptions()
	o.Ballast = 1 << 20
	d := opened(t, fs, testDir, o)
	defer d.Close()
	recovered(t, d)
	path := mem.PathJoin(d.IndexDir(), "file")
	f, err := d.IndexFS().Create(path, category)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write([]byte("a delete")); err != nil {
		t.Fatalf("write on a full disk: %v", err)
	}
	if got, err := readFile(mem, path); err != nil || !bytes.Equal(got, []byte("a delete")) {
		t.Errorf("got %q, %v", got, err)
	}
	if full, held := d.space.state(); !full || held {
		t.Errorf("full %v, ballast held %v", full, held)
	}
}
