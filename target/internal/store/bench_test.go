package store

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aisle-store/aisle/cluster"
)

// realBed is a store with its default sizes on the real file system.
func realBed(tb testing.TB, checksum cluster.ChecksumType) *bed {
	dir := tb.TempDir()
	b := newBed(tb, vfs.Default, 1, func(o *Options) {
		o.Disk.SegmentSize, o.Index.MemTable, o.CacheBytes = 0, 0, 0
		for i := range o.Mountpaths {
			o.Mountpaths[i].Path = dir + o.Mountpaths[i].Path
		}
	})
	b.configure(func(p *cluster.BucketProps) { p.Checksum = checksum })
	return b
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// parallel runs op with 16 goroutines and reports the processor time of one.
func parallel(b *testing.B, size int, op func(i int64) error) {
	b.SetParallelism(8)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	start := cpu()
	var n atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := op(n.Add(1)); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64((cpu()-start).Microseconds())/float64(b.N), "cpu-us/op")
}

var benchSizes = []int{4 << 10, 64 << 10, 1 << 20, 16 << 20}

func BenchmarkPut(b *testing.B) {
	for _, checksum := range []cluster.ChecksumType{cluster.ChecksumMD5, cluster.ChecksumXXHash} {
		for _, size := range benchSizes {
			b.Run(fmt.Sprintf("%s/%dKiB", checksum, size>>10), func(b *testing.B) {
				bed := realBed(b, checksum)
				data := pattern(1, size)
				limit := int64(4<<30) / int64(size) // the disk is not endless
				parallel(b, size, func(i int64) error {
					_, err := bed.store.Put(context.Background(), bed.putRequest(fmt.Sprintf("k%d", i%limit), data))
					return err
				})
				bed.close()
			})
		}
	}
}

func (b *bed) fill(count, size int) {
	data := pattern(1, size)
	for i := range count {
		b.put(fmt.Sprintf("k%06d", i), data)
	}
	b.drain()
}

func BenchmarkGet(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			bed := realBed(b, cluster.ChecksumMD5)
			count := min(2000, 256<<20/size)
			bed.fill(count, size)
			parallel(b, size, func(i int64) error {
				r := bed.getRequest(fmt.Sprintf("k%06d", i%int64(count)))
				o, err := bed.store.Open(context.Background(), r)
				if err != nil {
					return err
				}
				for err == nil {
					_, err = o.Next()
				}
				if err != io.EOF {
					return err
				}
				return o.Close()
			})
			bed.close()
		})
	}
}

func BenchmarkStat(b *testing.B) {
	bed := realBed(b, cluster.ChecksumMD5)
	bed.fill(2000, 4<<10)
	parallel(b, 0, func(i int64) error {
		_, err := bed.store.Stat(context.Background(), bed.getRequest(fmt.Sprintf("k%06d", i%2000)))
		return err
	})
	bed.close()
}

func BenchmarkList(b *testing.B) {
	for _, size := range []int{100, 4 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("1000 of %d bytes", size), func(b *testing.B) {
			bed := realBed(b, cluster.ChecksumMD5)
			data := pattern(1, size)
			for i := range 3000 {
				put := bed.putRequest(fmt.Sprintf("k%06d", i), data)
				put.Want = []cluster.ChecksumType{cluster.ChecksumCRC64NVME} // as of what S3 clients write
				if _, err := bed.store.Put(context.Background(), put); err != nil {
					b.Fatal(err)
				}
			}
			bed.drain()
			parallel(b, 0, func(int64) error {
				n := 0
				r := bed.listRequest()
				r.After = "k000500"
				for _, err := range bed.store.List(context.Background(), r) {
					if err != nil {
						return err
					}
					if n++; n == 1000 {
						break
					}
				}
				return nil
			})
			bed.close()
		})
	}
}
