package client

import (
	"encoding/hex"
	"fmt"
	"hash"
	"io"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/checksum"
)

// sums computes checksums of what is written to it: both of the types that buckets have by default, or only one.
type sums struct {
	single bool
	hashes map[cluster.ChecksumType]hash.Hash
}

func newSums() *sums {
	return &sums{hashes: map[cluster.ChecksumType]hash.Hash{cluster.ChecksumXXHash: checksum.New(cluster.ChecksumXXHash), cluster.ChecksumMD5: checksum.New(cluster.ChecksumMD5)}}
}

// only reduces s to one type; of a type that is not known here nothing is computed.
func (s *sums) only(t cluster.ChecksumType) *sums {
	if !s.single {
		s.single, s.hashes = true, make(map[cluster.ChecksumType]hash.Hash)
		if h := checksum.New(t); h != nil {
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

// sumAhead computes the xxhash of the rest of a body and seeks back to where it began.
func sumAhead(in io.Reader, seeker io.Seeker) (sum string, start int64, err error) {
	if start, err = seeker.Seek(0, io.SeekCurrent); err != nil {
		return "", 0, err
	}
	h := checksum.New(cluster.ChecksumXXHash)
	if _, err = io.Copy(h, in); err != nil {
		return "", 0, err
	}
	_, err = seeker.Seek(start, io.SeekStart)
	return hex.EncodeToString(h.Sum(nil)), start, err
}
