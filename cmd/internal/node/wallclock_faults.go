//go:build e2e

package node

import (
	"os"
	"strings"
	"sync"
	"time"
)

// clockFile names, in programs built for the end-to-end tests, the file that says by how much the wall clock of the node is ahead
// of the true time. It may be rewritten at any time.
const clockFile = "AISLE_TEST_CLOCK"

// wallClock is the wall clock of the machine, set as the test asks for it.
func wallClock() func() time.Time {
	path := os.Getenv(clockFile)
	if path == "" {
		return time.Now
	}
	return (&wrongClock{path: path}).now
}

// wrongClock is read again from its file when that was 20 ms ago.
type wrongClock struct {
	path string

	mu struct {
		sync.Mutex
		read  time.Time
		ahead time.Duration
	}
}

// now has no monotonic reading, by which the jumps of the clock would be seen where those of a real one are not.
func (c *wrongClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.mu.read) > 20*time.Millisecond {
		c.mu.read, c.mu.ahead = time.Now(), 0
		if text, err := os.ReadFile(c.path); err == nil { // no file, no fault
			c.mu.ahead, _ = time.ParseDuration(strings.TrimSpace(string(text)))
		}
	}
	return time.Now().Round(0).Add(c.mu.ahead)
}
