package meta

import (
	"testing"
	"testing/synctest"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"
)

func TestCloseLeavesNothing(t *testing.T) {
	before := goleak.IgnoreCurrent()
	x := opened(t, vfs.NewMem(), testDir, Options{})
	putAll(t, x, current("k", 1))
	if _, err := x.Get(current("k", 1).Ref, nil); err != nil {
		t.Fatal(err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	goleak.VerifyNone(t, before)
}

// TestInABubble: simulations run indexes under a fake clock.
func TestInABubble(t *testing.T) {
	for range 2 { // what one bubble leaves in pools must not disturb the next
		synctest.Test(t, func(t *testing.T) {
			mem := vfs.NewCrashableMem()
			syncedDir(t, mem)
			x := opened(t, mem, testDir, Options{MemTable: 64 << 10})
			var acknowledged []string
			for _, key := range []string{"a", "b", "c"} {
				if err := commitKey(x, key); err != nil {
					t.Fatal(err)
				}
				acknowledged = append(acknowledged, key)
			}
			crashed := mem.CrashClone(vfs.CrashCloneCfg{})
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
			wantAcknowledged(t, crashed, acknowledged)
		})
	}
}
