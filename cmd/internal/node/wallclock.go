//go:build !e2e

package node

import "time"

// wallClock is the wall clock of the machine.
func wallClock() func() time.Time { return time.Now }
