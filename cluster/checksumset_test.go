package cluster

import (
	"slices"
	"testing"
)

// TestChecksumSet: a set has what was put into it, and only what S3 has.
func TestChecksumSet(t *testing.T) {
	set := CompositeChecksums
	for _, typ := range ChecksumTypes {
		set = set.With(typ)
	}
	want := []ChecksumType{ChecksumCRC32, ChecksumCRC32C, ChecksumCRC64NVME, ChecksumSHA1, ChecksumSHA256}
	if got := slices.Collect(set.Types()); !slices.Equal(got, want) || set&CompositeChecksums == 0 {
		t.Errorf("%v", got)
	}
	if got := slices.Collect(ChecksumSet(0).With(ChecksumMD5).With(ChecksumSHA1).Types()); !slices.Equal(got, want[3:4]) {
		t.Errorf("%v", got)
	}
}
