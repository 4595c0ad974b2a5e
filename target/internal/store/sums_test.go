package store

import (
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"github.com/aisle-store/aisle/cluster"
)

// Values from other programs: md5sum, xxhsum, the AWS documentation.
func TestSums(t *testing.T) {
	h := newHasher(cluster.ChecksumMD5, cluster.ChecksumTypes, nil)
	h.write([]byte("123456"))
	h.write([]byte("789"))
	sums := h.sums()
	f := func(typ cluster.ChecksumType, want string) {
		t.Helper()
		if got := hex.EncodeToString(sums.Get(typ)); got != want {
			t.Errorf("%s = %s, want %s", typ, got, want)
		}
	}
	f(cluster.ChecksumMD5, "25f9e794323b453885f5181f1b624d0b")
	f(cluster.ChecksumCRC32, "cbf43926")
	f(cluster.ChecksumCRC32C, "e3069283")
	f(cluster.ChecksumCRC64NVME, "ae8b14860a799888")
	f(cluster.ChecksumSHA1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441")
	f(cluster.ChecksumSHA256, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225")
	if len(sums) != len(cluster.ChecksumTypes)-1 {
		t.Errorf("%d sums of %d types", len(sums), len(cluster.ChecksumTypes))
	}
}

func TestCombine(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, typ := range []cluster.ChecksumType{cluster.ChecksumCRC32, cluster.ChecksumCRC32C, cluster.ChecksumCRC64NVME} {
		for range 20 {
			whole := newHasher(typ, nil, nil)
			var parts []PartInfo
			for range 1 + r.IntN(5) {
				data := make([]byte, r.IntN(3000))
				for i := range data {
					data[i] = byte(r.Uint32())
				}
				whole.write(data)
				h := newHasher(typ, nil, nil)
				h.write(data)
				parts = append(parts, PartInfo{Size: int64(len(data)), Sums: h.sums()})
			}
			got, want := hex.EncodeToString(combine(typ, false, parts)), hex.EncodeToString(whole.sums().Get(typ))
			if got != want {
				t.Fatalf("%s of %d parts: %s, want %s", typ, len(parts), got, want)
			}
		}
	}
}

func TestETag(t *testing.T) {
	f := func(typ cluster.ChecksumType, want string) {
		t.Helper()
		h := newHasher(typ, nil, nil)
		h.write([]byte("123456789"))
		if got := h.sums().etag(9, "unique"); got != want {
			t.Errorf("%s: ETag %s, want %s", typ, got, want)
		}
	}
	f(cluster.ChecksumMD5, "25f9e794323b453885f5181f1b624d0b")
	f(cluster.ChecksumCRC32, "cbf43926000000000000000900000000-1")
	f(cluster.ChecksumSHA256, "15e2b0d3c33891ebb0f1ef609ec41942-1")
}
