package disk

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func benchDisk(b *testing.B) *Disk {
	b.Helper()
	dir := b.TempDir()
	formatted(b, vfs.Default, dir)
	d := opened(b, vfs.Default, dir, Options{})
	b.Cleanup(func() { _ = d.Close() })
	recovered(b, d)
	return d
}

// BenchmarkWrite is durable writes by 32 writers on the real file system; what was written is freed at once.
func BenchmarkWrite(b *testing.B) {
	for _, size := range []int{8 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20} {
		b.Run(fmt.Sprintf("%dK", size>>10), func(b *testing.B) {
			d := benchDisk(b)
			data := content(1, size)
			b.SetBytes(int64(size))
			b.SetParallelism(16) // of 2 cores
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					p, err := put(d, data, int64(size), "record")
					if err != nil {
						b.Error(err)
						return
					}
					d.Free(p)
				}
			})
			if st := d.Stats(); st.Syncs > 0 {
				b.ReportMetric(float64(st.Synced)/float64(st.Syncs), "writes/sync")
			}
		})
	}
}

// BenchmarkRead reads whole bodies from the page cache, checked.
func BenchmarkRead(b *testing.B) {
	for _, size := range []int{8 << 10, 64 << 10, 1 << 20, 16 << 20} {
		b.Run(fmt.Sprintf("%dK", size>>10), func(b *testing.B) {
			d := benchDisk(b)
			p := mustPut(b, d, content(1, size), int64(size))
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				r, err := d.Open(p)
				if err != nil {
					b.Fatal(err)
				}
				for runs := r.Runs(0, r.Size()); ; {
					if _, err := runs.Next(); err != nil {
						break
					}
				}
				if err := r.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
