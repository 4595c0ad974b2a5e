package meta

import (
	"bytes"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	defaultCache       = 64 << 20
	defaultMemTable    = 32 << 20
	defaultAccessTimes = 65536
	defaultAccessFlush = time.Minute
)

// Cache is the block cache that all indexes of a process share.
type Cache struct{ cache *pebble.Cache }

// NewCache makes a cache of that many bytes of blocks, for that many indexes with options o. Close it after the indexes that
// use it.
func NewCache(blocks int64, indexes int, o Options) *Cache {
	return &Cache{pebble.NewCache(blocks + int64(indexes)*o.withDefaults().reserved())}
}

// reserved is what the memtables of an index take of its cache: Pebble counts them towards it, and without room for them
// nothing would be left for blocks. One is being written, one flushed, one kept to be used again.
func (o Options) reserved() int64 { return 3 * int64(o.MemTable) }

// Close lets go of the cache.
func (c *Cache) Close() { c.cache.Unref() }

// Options are the settings of one Index. The zero value of each field means its default.
type Options struct {
	Cache       *Cache        // nil: one of 64 MiB of blocks for itself
	MemTable    uint64        // bytes of a memtable; 32 MiB
	AccessTimes int           // access times kept in memory at most; 65,536. More make a flush.
	AccessFlush time.Duration // how often they are flushed; a minute
	ReadOnly    bool          // nothing is changed on the disk; writing fails
	Events      Events
}

// Events are optional callbacks for logs, metrics and tests. They must return soon and not call the index.
type Events struct {
	Died       func(err error)          // the index serves nothing any more until it is opened again
	Corrupt    func(ref Ref, err error) // a record without its checksum was read; ref is as far as the key could be read
	Unreadable func(err error)          // a block of the index does not have its checksum; told again each time it is met
	Stalled    func(reason string)      // writes wait for Pebble
	Resumed    func()
	Background func(err error) // a flush or compaction failed and will be tried again
}

func (o Options) withDefaults() Options {
	if o.MemTable == 0 {
		o.MemTable = defaultMemTable
	}
	if o.AccessTimes == 0 {
		o.AccessTimes = defaultAccessTimes
	}
	if o.AccessFlush == 0 {
		o.AccessFlush = defaultAccessFlush
	}
	return o
}

// comparer orders keys by their bytes. Its prefix is what all generations and versions of an object key share, so that a
// seek to one key asks the Bloom filters. Separators are not shortened: a shortened one might be cut within a prefix.
func comparer() *pebble.Comparer {
	c := *pebble.DefaultComparer
	c.Name = "aisle.1"
	c.Split = split
	c.Compare = bytes.Compare
	c.ComparePointSuffixes = bytes.Compare
	c.CompareRangeSuffixes = bytes.Compare
	c.Separator = func(dst, a, _ []byte) []byte { return append(dst, a...) }
	c.Successor = func(dst, a []byte) []byte { return append(dst, a...) }
	return &c
}

// pebbleOptions returns the settings for small records that are committed in groups and read by key.
func (x *Index) pebbleOptions(fs vfs.FS, cache *pebble.Cache) *pebble.Options {
	o := &pebble.Options{
		FS:                          parkingFS{fs, x},
		ReadOnly:                    x.o.ReadOnly,
		Cache:                       cache,
		Comparer:                    comparer(),
		FormatMajorVersion:          pebble.FormatNewest,
		Logger:                      (*logger)(x),
		MemTableSize:                x.o.MemTable,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       2,
		L0StopWritesThreshold:       1000, // reads stay exact and only slow down; stalled commits would hold up every client
		LBaseMaxBytes:               64 << 20,
		BytesPerSync:                512 << 10,
		MaxOpenFiles:                1000,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { report(x.o.Events.Background, err) },
			WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
				x.stalls.Add(1)
				report(x.o.Events.Stalled, info.Reason)
			},
			WriteStallEnd: func() {
				if x.o.Events.Resumed != nil {
					x.o.Events.Resumed()
				}
			},
			// By default Pebble ends the process here. The read that found it returns the error, which is enough.
			DataCorruption: func(info pebble.DataCorruptionInfo) { report(x.o.Events.Background, info.Details) },
		},
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].FilterType = pebble.TableFilter
		o.Levels[i].BlockSize = 8 << 10 // a miss reads and unpacks one
	}
	return o
}

// report calls an event's callback when there is one.
func report[T any](callback func(T), value T) {
	if callback != nil {
		callback(value)
	}
}
