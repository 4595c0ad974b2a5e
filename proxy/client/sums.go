package client

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/OneOfOne/xxhash"

	"github.com/aisle-store/aisle/cluster"
)

// xxhashSeed is the seed of the checksum type xxhash, AIStore's.
const xxhashSeed = 1103515245

// sums computes checksums of what is written to it: both of the types that buckets have by default, or only one.
type sums struct {
	single bool
	hashes map[cluster.ChecksumType]hash.Hash
}

func newSums() *sums {
	return &sums{hashes: map[cluster.ChecksumType]hash.Hash{cluster.ChecksumXXHash: newHash(cluster.ChecksumXXHash), cluster.ChecksumMD5: newHash(cluster.ChecksumMD5)}}
}

// only reduces s to one type; of a type that is not known here nothing is computed.
func (s *sums) only(t cluster.ChecksumType) *sums {
	if !s.single {
		s.single, s.hashes = true, make(map[cluster.ChecksumType]hash.Hash)
		if h := newHash(t); h != nil {
			s.hashes[t] = h
		}
	}
	return s
}

func (s *sums) add(p []byte) {
	for _, h := range s.hashes {
		h.Write(p)
	}
}

// Write adds bytes.
func (s *sums) Write(p []byte) (int, error) {
	s.add(p)
	return len(p), nil
}

// check compares with the checksum that the node names; one that is not computed here passes.
func (s *sums) check(t cluster.ChecksumType, want string) error {
	h, ok := s.hashes[t]
	if !ok || want == "" {
		return nil
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return fmt.Errorf("the bytes have the %s %s, and the node says %s", t, got, want)
	}
	return nil
}

func newHash(t cluster.ChecksumType) hash.Hash {
	switch t {
	case cluster.ChecksumMD5:
		return md5.New()
	case cluster.ChecksumXXHash:
		return xxhash.NewS64(xxhashSeed)
	case cluster.ChecksumCRC32:
		return crc32.NewIEEE()
	case cluster.ChecksumCRC32C:
		return crc32.New(crc32.MakeTable(crc32.Castagnoli))
	case cluster.ChecksumSHA1:
		return sha1.New()
	case cluster.ChecksumSHA256:
		return sha256.New()
	case cluster.ChecksumSHA512:
		return sha512.New()
	}
	return nil
}

// sumAhead computes the xxhash of the rest of a body and seeks back to where it began.
func sumAhead(in io.Reader, seeker io.Seeker) (sum string, start int64, err error) {
	if start, err = seeker.Seek(0, io.SeekCurrent); err != nil {
		return "", 0, err
	}
	h := newHash(cluster.ChecksumXXHash)
	if _, err = io.Copy(h, in); err != nil {
		return "", 0, err
	}
	_, err = seeker.Seek(start, io.SeekStart)
	return hex.EncodeToString(h.Sum(nil)), start, err
}
