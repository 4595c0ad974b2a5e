//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cmd/internal/testcluster"
)

// wallClocks sets the wall clocks of nodes, whose programs were built for it.
type wallClocks struct {
	t   *testing.T
	dir string
}

func newWallClocks(t *testing.T) *wallClocks { return &wallClocks{t, t.TempDir()} }

func (w *wallClocks) file(node int) string { return filepath.Join(w.dir, strconv.Itoa(node)) }

// environment is what a node needs to be told.
func (w *wallClocks) environment(node int) []string {
	return []string{"AISLE_TEST_CLOCK=" + w.file(node)}
}

// set sets the clocks of some nodes so far ahead of the true time.
func (w *wallClocks) set(ahead time.Duration, nodes ...int) {
	w.t.Helper()
	for _, n := range nodes {
		fresh := w.file(n) + ".new"
		if err := os.WriteFile(fresh, []byte(ahead.String()), 0o600); err != nil {
			w.t.Fatal(err)
		}
		if err := os.Rename(fresh, w.file(n)); err != nil {
			w.t.Fatal(err)
		}
	}
}

// faultyBinary is the program under test with faults built in.
func faultyBinary(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("AISLE_BINARY"); path != "" {
		return path
	}
	return filepath.Join(testcluster.Root(t), "bin", "aisle-faults")
}

// TestFaultClocks sets wall clocks under load: of a node by less than what signatures may be off, and by more than what nodes
// may; of the leader, by hours; of all nodes, there and back.
func TestFaultClocks(t *testing.T) {
	t.Parallel()
	clocks := newWallClocks(t)
	c := testcluster.Start(t, testcluster.Options{Binary: faultyBinary(t), NodeEnv: clocks.environment})
	h := startHistory(t, c, "fault-clocks")
	time.Sleep(calm)
	h.faultBegins()
	leads, other := leader(t, c), follower(t, c)
	clocks.set(5*time.Minute, other)
	time.Sleep(8 * time.Second)
	clocks.set(-2*time.Hour, leads)
	time.Sleep(8 * time.Second)
	clocks.set(0, leads, other)
	time.Sleep(5 * time.Second)
	for _, ahead := range []time.Duration{26 * time.Hour, -26 * time.Hour, 0} {
		clocks.set(ahead, 0, 1, 2)
		time.Sleep(5 * time.Second)
	}
	h.faultEnds()
	time.Sleep(calm)
	h.finish()
}
