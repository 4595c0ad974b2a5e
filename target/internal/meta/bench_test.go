package meta

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/aisle-store/aisle/cluster"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// filled returns an index on the real file system with n objects in bucket 1.
func filled(b *testing.B, n int) *Index {
	b.Helper()
	cache := NewCache(256<<20, 1, Options{})
	x := opened(b, vfs.Default, b.TempDir(), Options{Cache: cache})
	b.Cleanup(func() { _ = x.Close(); cache.Close() })
	for i := 0; i < n; {
		batch := x.NewBatch()
		for range 1000 {
			if err := batch.Put(current(fmt.Sprintf("dir%03d/object-%08d", i%100, i), 1)); err != nil {
				b.Fatal(err)
			}
			i++
		}
		if err := batch.Commit(false); err != nil {
			b.Fatal(err)
		}
	}
	if err := x.db.Flush(); err != nil {
		b.Fatal(err)
	}
	return x
}

func BenchmarkGet(b *testing.B) {
	const n = 200000
	x := filled(b, n)
	b.Run("present", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i = (i + 7919) % n {
			r, err := x.Get(Ref{Kind: Current, Bucket: 1, Key: cluster.ObjectKey(fmt.Sprintf("dir%03d/object-%08d", i%100, i))}, nil)
			if err != nil || r == nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("absent", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if r, err := x.Get(Ref{Kind: Current, Bucket: 1, Key: cluster.ObjectKey(fmt.Sprintf("dir%03d/objekt-%08d", i%100, i))}, nil); err != nil || r != nil {
				b.Fatal(r, err)
			}
		}
	})
}

// BenchmarkScan reads list pages of 1,000 that begin somewhere in the bucket: their cost must not depend on its size.
func BenchmarkScan(b *testing.B) {
	for _, n := range []int{10000, 500000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			x := filled(b, n)
			b.ReportAllocs()
			for i := 0; b.Loop(); i = (i + 7919) % (n / 2) {
				left := 1000
				from := cluster.ObjectKey(fmt.Sprintf("dir%03d/object-%08d", i%99, i))
				for _, err := range x.Scan(context.Background(), Range{Kind: Current, Bucket: 1, From: from, Hidden: func(Ref) bool { return false }}).All() {
					if err != nil {
						b.Fatal(err)
					}
					if left--; left == 0 {
						break
					}
				}
			}
		})
	}
}

// BenchmarkCommit is what a PUT costs the index: one synced batch of record, in-doubt key, and one that is not synced.
func BenchmarkCommit(b *testing.B) {
	for _, inline := range []int{0, 4096} {
		b.Run(fmt.Sprintf("inline%d", inline), func(b *testing.B) {
			x := opened(b, vfs.Default, b.TempDir(), Options{})
			defer x.Close()
			var n atomic.Int64
			b.SetParallelism(16) // of 2 cores: 32 writers
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					r := current(fmt.Sprintf("object-%08d", n.Add(1)), 1)
					r.Inline = make([]byte, inline)
					r.Size = int64(inline)
					batch := x.NewBatch()
					if err := batch.Put(r); err != nil {
						b.Error(err)
					}
					batch.Doubt(r.Ref)
					if err := batch.Commit(true); err != nil {
						b.Error(err)
					}
					batch = x.NewBatch()
					batch.Settle(r.Ref)
					if err := batch.Commit(false); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
