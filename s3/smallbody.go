package s3

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"hash"
	"hash/crc32"

	"github.com/minio/crc64nvme"
)

// newHash returns the hash of an algorithm.
func (a Algorithm) newHash() hash.Hash {
	switch a {
	case CRC32:
		return crc32.NewIEEE()
	case CRC32C:
		return crc32.New(crc32.MakeTable(crc32.Castagnoli))
	case CRC64NVME:
		return crc64nvme.New()
	case SHA1:
		return sha1.New()
	default:
		return sha256.New()
	}
}

// CheckSmallBody verifies a body that was read whole against what RequestChecksums found: Content-MD5 and the additional
// checksum, one sent as a trailer included.
func CheckSmallBody(data, contentMD5 []byte, sum *Checksum) error {
	const op = "s3.CheckSmallBody"
	if contentMD5 != nil {
		got := md5.Sum(data)
		if subtle.ConstantTimeCompare(got[:], contentMD5) != 1 {
			return NewFault(op, BadDigest, "")
		}
	}
	if sum == nil {
		return nil
	}
	h := sum.Algorithm.newHash()
	h.Write(data)
	if subtle.ConstantTimeCompare(h.Sum(nil), sum.Value) != 1 {
		return NewFault(op, BadDigest, "The "+sum.Algorithm.String()+" you specified did not match the calculated checksum.")
	}
	return nil
}
