package cluster

import "iter"

// ChecksumSet says which of S3's additional checksums an object has.
type ChecksumSet uint8

// CompositeChecksums in a set says that they are of the checksums of parts.
const CompositeChecksums ChecksumSet = 1 << 7

// additionalChecksums are the types that can be in a set, each by its bit. A bit is never used for another type.
var additionalChecksums = [...]ChecksumType{ChecksumCRC32, ChecksumCRC32C, ChecksumCRC64NVME, ChecksumSHA1, ChecksumSHA256}

// With returns the set with a type in it, if it is one of S3's.
func (s ChecksumSet) With(t ChecksumType) ChecksumSet {
	switch t {
	case ChecksumCRC32:
		s |= 1 << 0
	case ChecksumCRC32C:
		s |= 1 << 1
	case ChecksumCRC64NVME:
		s |= 1 << 2
	case ChecksumSHA1:
		s |= 1 << 3
	case ChecksumSHA256:
		s |= 1 << 4
	}
	return s
}

// Types yields the types in the set.
func (s ChecksumSet) Types() iter.Seq[ChecksumType] {
	return func(yield func(ChecksumType) bool) {
		for i, t := range additionalChecksums {
			if s&(1<<i) != 0 && !yield(t) {
				return
			}
		}
	}
}
