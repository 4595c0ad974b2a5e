package disk

import "time"

// Sizes that are part of the format, and the defaults of those that are settings.
const (
	// BlockSize is the size of the blocks of data that have a CRC-32C each.
	BlockSize = 64 << 10
	// Alignment is the boundary at which extents begin and the unit in which their space is freed.
	Alignment = 4 << 10

	defaultSegmentSize   = 64 << 20
	defaultExtentMax     = 1 << 20
	defaultBufferBytes   = 64 << 20
	defaultBallast       = 64 << 20
	defaultHighWatermark = 0.95
	defaultPunchDelay    = 5 * time.Second
)

// Options are the settings of one Disk. The zero value of each field means its default.
type Options struct {
	Identity      Identity      // what format.json must say; empty fields are not compared
	SegmentSize   int64         // bytes of a segment; 64 MiB
	ExtentMax     int64         // data up to this size goes into an extent; 1 MiB, at most a quarter of a segment
	BufferBytes   int64         // bound of the memory of extents being received; writers beyond it stream into blobs; 64 MiB
	HighWatermark float64       // share of the file system in use from which writes are refused; 0.95
	Ballast       int64         // bytes of the ballast file; 64 MiB; negative: none
	PunchDelay    time.Duration // how long freed space waits to be given back together with more of it; 5 s; negative: not at all
	Events        Events
}

func (o Options) withDefaults() Options {
	if o.SegmentSize == 0 {
		o.SegmentSize = defaultSegmentSize
	}
	if o.ExtentMax == 0 {
		o.ExtentMax = min(defaultExtentMax, o.SegmentSize/4)
	}
	o.ExtentMax = min(o.ExtentMax, o.SegmentSize/4)
	if o.BufferBytes == 0 {
		o.BufferBytes = defaultBufferBytes
	}
	if o.HighWatermark == 0 {
		o.HighWatermark = defaultHighWatermark
	}
	if o.PunchDelay == 0 {
		o.PunchDelay = defaultPunchDelay
	}
	if o.Ballast == 0 {
		o.Ballast = defaultBallast
	}
	return o
}

// Events are optional callbacks for logs, metrics and tests. They are called on whatever goroutine the event happens, must
// return soon, and must not call the disk.
type Events struct {
	SegmentCreated func(FileID)
	SegmentSealed  func(FileID)
	SegmentRemoved func(FileID)
	Freed          func(Place)                // the bytes of a place were punched out or unlinked
	Orphan         func(file string, n int64) // start-up collected n bytes that no record names
	Corrupt        func(Place, error)         // a read or Verify found bytes without their checksum
	Failed         func(op string, err error) // an operation of the file system failed
	Full           func(full bool)            // writes are refused for lack of space, or accepted again
	Ballast        func(held bool)            // the ballast was given up, or made again
}
