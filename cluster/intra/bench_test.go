package intra

import (
	"fmt"
	"testing"

	"github.com/aisle-store/aisle/cluster"
)

// BenchmarkListReply writes a page of 1,000 entries as targets do, and reads it as gateways do.
func BenchmarkListReply(b *testing.B) {
	var page ListReply
	for i := range 1000 {
		page.Entries = append(page.Entries, cluster.Entry{
			Key: cluster.ObjectKey(fmt.Sprintf("some/prefix/of/a/key-%010d.bin", i)), Size: 4096, ETag: "9b8e4e177592785629d5bd8184f82a97", Modified: epoch,
			Version: 1, ChecksumType: cluster.ChecksumMD5, Owner: "AISLETESTROOTKEY0001", Additional: cluster.ChecksumSet(0).With(cluster.ChecksumCRC64NVME),
		})
	}
	var wire []byte
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var err error
			if wire, err = page.MarshalMsg(nil); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(wire)), "bytes")
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var got ListReply
			if _, err := got.UnmarshalMsg(wire); err != nil || len(got.Entries) != 1000 {
				b.Fatal(err)
			}
		}
	})
}
