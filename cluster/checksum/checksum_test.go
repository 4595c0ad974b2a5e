package checksum

import (
	"encoding/hex"
	"testing"

	"github.com/aisle-store/aisle/cluster"
)

// Every type has a hash, with the value that others compute of "123456789".
func TestNew(t *testing.T) {
	f := func(typ cluster.ChecksumType, want string) {
		t.Helper()
		h := New(typ)
		if _, err := h.Write([]byte("123456789")); err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != want {
			t.Errorf("%s: %s, want %s", typ, got, want)
		}
	}
	f(cluster.ChecksumMD5, "25f9e794323b453885f5181f1b624d0b")
	f(cluster.ChecksumCRC32, "cbf43926")
	f(cluster.ChecksumCRC32C, "e3069283")
	f(cluster.ChecksumCRC64NVME, "ae8b14860a799888")
	f(cluster.ChecksumSHA1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441")
	f(cluster.ChecksumSHA256, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225")
	for _, typ := range cluster.ChecksumTypes {
		if (New(typ) == nil) != (typ == cluster.ChecksumNone) {
			t.Errorf("%s has no hash", typ)
		}
	}
}
