package control

import (
	"time"

	"golang.org/x/sys/unix"
)

// bootClock is the machine's.
type bootClock struct{}

// Now implements Clock.
func (bootClock) Now() time.Duration { return BootTime() }

// BootTime is the clock of the machine since it booted, time asleep included.
func BootTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 1<<63 - 1 // without a clock nothing is certain: every lease has ended
	}
	return time.Duration(ts.Nano())
}
