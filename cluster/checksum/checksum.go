// Package checksum computes the checksums that buckets and clients may ask for: the owner when it receives bytes, the
// command line when it sends and reads them.
package checksum

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"hash/crc32"

	"github.com/OneOfOne/xxhash"
	"github.com/minio/crc64nvme"
	"github.com/zeebo/xxh3"

	"github.com/aisle-store/aisle/cluster"
)

// xxhashSeed is the seed of AIStore's xxhash.
const xxhashSeed = 1103515245

// New returns the hash of a checksum type, or nil when there is none.
func New(t cluster.ChecksumType) hash.Hash {
	switch t {
	case cluster.ChecksumMD5:
		return md5.New()
	case cluster.ChecksumXXHash:
		return xxhash.NewS64(xxhashSeed)
	case cluster.ChecksumXXH3:
		return xxh3.New()
	case cluster.ChecksumCRC32:
		return crc32.NewIEEE()
	case cluster.ChecksumCRC32C:
		return crc32.New(crc32.MakeTable(crc32.Castagnoli))
	case cluster.ChecksumCRC64NVME:
		return crc64nvme.New()
	case cluster.ChecksumSHA1:
		return sha1.New()
	case cluster.ChecksumSHA256:
		return sha256.New()
	case cluster.ChecksumSHA512:
		return sha512.New()
	}
	return nil
}
