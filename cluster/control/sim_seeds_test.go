package control

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// seeds returns the range of seeds to run: AISLE_SIM_SEEDS of them, from AISLE_SIM_FIRST on.
func seeds(t *testing.T) (first, count uint64) {
	count = 500
	if testing.Short() {
		count = 10
	}
	return environment(t, "AISLE_SIM_FIRST", 1), environment(t, "AISLE_SIM_SEEDS", count)
}

func environment(t *testing.T, name string, fallback uint64) uint64 {
	s := os.Getenv(name)
	if s == "" {
		return fallback
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// workers is how many seeds run at a time.
const workers = 2

// TestSimulation runs the seeds. A seed that fails prints itself, what was violated, and where its transcript is.
func TestSimulation(t *testing.T) {
	first, count := seeds(t)
	began := time.Now()
	var next, answers, reads, writes, changes, settles atomic.Uint64
	next.Store(first)
	t.Run("seeds", func(t *testing.T) {
		for w := range workers {
			t.Run(strconv.Itoa(w), func(t *testing.T) {
				t.Parallel()
				for seed := next.Add(1) - 1; seed < first+count; seed = next.Add(1) - 1 {
					c := runSeed(t, seed, flaw{})
					report(t, seed, c)
					answers.Add(uint64(c.mu.answers))
					reads.Add(uint64(c.mu.reads))
					writes.Add(uint64(c.mu.writes))
					settles.Add(uint64(c.mu.settles))
					changes.Add(uint64(len(c.mu.promised)))
				}
			})
		}
	})
	t.Logf("%d seeds in %v: %d answers, %d reads, %d writes, %d changes, %d slots settled", count, time.Since(began).Round(time.Millisecond),
		answers.Load(), reads.Load(), writes.Load(), changes.Load(), settles.Load())
}

// report fails the test for a seed that violated something.
func report(t *testing.T, seed uint64, c *checks) {
	t.Helper()
	found := c.found()
	if len(found) == 0 {
		return
	}
	path := filepath.Join(os.TempDir(), fmt.Sprintf("aisle-sim-%d.txt", seed))
	if err := os.WriteFile(path, []byte(c.transcript.String()), 0o644); err != nil {
		t.Log(err)
	}
	t.Errorf("seed %d (AISLE_SIM_FIRST=%[1]d AISLE_SIM_SEEDS=1): %s\ntranscript: %s", seed, found[0], path)
}
