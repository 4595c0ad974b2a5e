package disk

import (
	"errors"
	"strings"
	"testing"

	"github.com/aisle-store/aisle/cluster"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

func TestOpenRefuses(t *testing.T) {
	fs := vfs.NewMem()
	formatted(t, fs, testDir)
	f := func(want error, dir string, id Identity) {
		t.Helper()
		d, err := Open(fs, dir, Options{Identity: id})
		if !errors.Is(err, want) || !cluster.Is(err, cluster.KindUnavailable) {
			t.Errorf("got %v, want %v", err, want)
		}
		if d != nil {
			t.Error("it is open")
		}
		if names, err := fs.List(testDir); err != nil || len(names) != 4 {
			t.Errorf("the mountpath was touched: %v, %v", names, err)
		}
	}
	f(ErrMissing, "/nothing", testIdentity)
	if err := fs.MkdirAll("/unmounted", 0o755); err != nil {
		t.Fatal(err)
	}
	f(ErrUnformatted, "/unmounted", testIdentity)
	if names, err := fs.List("/unmounted"); err != nil || len(names) != 0 {
		t.Errorf("an unformatted directory got %v, %v", names, err)
	}
	f(ErrForeign, testDir, Identity{Cluster: "c2", Node: "n1", Mountpath: "m1"})
	f(ErrForeign, testDir, Identity{Cluster: "c1", Node: "n2", Mountpath: "m1"})
	f(ErrForeign, testDir, Identity{Cluster: "c1", Node: "n1", Mountpath: "m2"})
	if err := replaceFile(fs, testDir, formatName, []byte(`{"format": 99, "cluster": "c1", "node": "n1", "mountpath": "m1"}`)); err != nil {
		t.Fatal(err)
	}
	f(ErrTooNew, testDir, testIdentity)
	for _, text := range []string{"", "{", `{"cluster": "c1"}`} {
		if err := replaceFile(fs, testDir, formatName, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(fs, testDir, Options{}); !cluster.Is(err, cluster.KindCorrupt) {
			t.Errorf("format.json %q: %v", text, err)
		}
	}
}

func TestFormatRefuses(t *testing.T) {
	fs := vfs.NewMem()
	if err := Format(fs, "/nothing", testIdentity); !errors.Is(err, ErrMissing) {
		t.Errorf("a missing directory: %v", err)
	}
	formatted(t, fs, testDir)
	if err := Format(fs, testDir, testIdentity); !errors.Is(err, ErrFormatted) {
		t.Errorf("twice: %v", err)
	}
	if err := fs.MkdirAll("/data/of/somebody", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Format(fs, "/data", testIdentity); !errors.Is(err, ErrFormatted) {
		t.Errorf("a directory with data: %v", err)
	}
	if err := fs.MkdirAll("/fresh/lost+found", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Format(fs, "/fresh", testIdentity); err != nil {
		t.Errorf("a fresh file system: %v", err)
	}
}

// TestFormatAfterFailure formats with the n-th operation failing, for every n: what it left can be formatted again, unless it
// was done.
func TestFormatAfterFailure(t *testing.T) {
	for n := int32(0); ; n++ {
		fs := vfs.NewMem()
		if err := fs.MkdirAll(testDir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := Format(errorfs.Wrap(fs, errorfs.OnIndex(n)), testDir, testIdentity); err == nil {
			break
		}
		if _, err := ReadIdentity(fs, testDir); err == nil {
			continue // only the last sync failed
		}
		if err := Format(fs, testDir, testIdentity); err != nil {
			t.Fatalf("operation %d: %v", n, err)
		}
	}
}

func TestOnlyOneProcess(t *testing.T) {
	fs, _ := fresh(t, smallOptions())
	if _, err := Open(fs, testDir, smallOptions()); !cluster.Is(err, cluster.KindUnavailable) || !strings.Contains(err.Error(), "another process") {
		t.Errorf("open twice: %v", err)
	}
}

// TestBootNumbersNeverRepeat opens again and again, with a crash or a failed operation in between: no number comes twice,
// not even when the marker of the last is lost.
func TestBootNumbersNeverRepeat(t *testing.T) {
	fs := vfs.NewCrashableMem()
	formatted(t, fs, testDir)
	last := uint32(0)
	for n := int32(0); n < 60; n++ {
		d, err := Open(errorfs.Wrap(fs, errorfs.OnIndex(n)), testDir, smallOptions())
		if err == nil {
			if d.boot <= last {
				t.Fatalf("boot %d after %d", d.boot, last)
			}
			last = d.boot
		}
		fs = fs.CrashClone(vfs.CrashCloneCfg{})
	}
	d := opened(t, fs, testDir, smallOptions())
	recovered(t, d)
	p := mustPut(t, d, content(1, 10), -1)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := fs.List(testDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, bootPrefix) {
			if err := fs.Remove(fs.PathJoin(testDir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	d = opened(t, fs, testDir, smallOptions())
	defer d.Close()
	if d.boot <= p.File.Boot() {
		t.Errorf("boot %d, and there are files of boot %d", d.boot, p.File.Boot())
	}
}
