package store

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"hash/crc32"
	"slices"
	"strconv"

	"github.com/zeebo/xxh3"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/checksum"
)

// hasher computes several checksums in one pass.
type hasher struct {
	types  []cluster.ChecksumType
	hashes []hash.Hash
}

// newHasher takes the types that are asked for from several sides; each is computed once.
func newHasher(bucket cluster.ChecksumType, want []cluster.ChecksumType, expect Sums) *hasher {
	h := &hasher{types: make([]cluster.ChecksumType, 0, 4), hashes: make([]hash.Hash, 0, 4)}
	h.add(bucket)
	for _, t := range want {
		h.add(t)
	}
	for _, s := range expect {
		h.add(s.Type)
	}
	return h
}

func (h *hasher) add(t cluster.ChecksumType) {
	if slices.Contains(h.types, t) {
		return
	}
	if f := checksum.New(t); f != nil {
		h.types = append(h.types, t)
		h.hashes = append(h.hashes, f)
	}
}

func (h *hasher) write(p []byte) {
	for _, f := range h.hashes {
		f.Write(p)
	}
}

// sums returns what was computed.
func (h *hasher) sums() Sums {
	sums := make(Sums, len(h.types))
	size := 0
	for _, f := range h.hashes {
		size += f.Size()
	}
	values := make([]byte, 0, size)
	for i, f := range h.hashes {
		begin := len(values)
		values = f.Sum(values)
		sums[i] = Sum{Type: h.types[i], Value: values[begin:len(values):len(values)]}
	}
	return sums
}

// differs returns the first type of want whose value in s is another or unknown, or "".
func (s Sums) differs(want Sums) cluster.ChecksumType {
	for _, w := range want {
		if !bytes.Equal(s.Get(w.Type), w.Value) {
			return w.Type
		}
	}
	return ""
}

// only returns the sums of the given types.
func (s Sums) only(keep func(cluster.ChecksumType) bool) Sums {
	kept := s[:0:0]
	for _, sum := range s {
		if keep(sum.Type) {
			kept = append(kept, sum)
		}
	}
	return kept
}

// etag returns the ETag of bytes written in one piece: their MD5 when that was computed. Anything else has a '-', since
// clients take 32 hexadecimal digits for an MD5: a checksum, filled up with the size, or without any a hash of the unique
// name of this write.
func (s Sums) etag(size int64, unique string) string {
	if sum := s.Get(cluster.ChecksumMD5); sum != nil {
		return hex.EncodeToString(sum)
	}
	var b []byte
	if len(s) > 0 {
		b = append(b, s[0].Value...)
		b = binary.BigEndian.AppendUint64(b, uint64(size))
		b = binary.BigEndian.AppendUint32(b, 0)
	} else {
		h := xxh3.HashString128(unique)
		b = binary.BigEndian.AppendUint64(b, h.Hi)
		b = binary.BigEndian.AppendUint64(b, h.Lo)
	}
	return hex.EncodeToString(b[:16]) + "-1"
}

// compositeETag returns the ETag of an object made of parts: AWS's MD5 of the parts' MD5s where they all have one, else of
// their ETags, with their number.
func compositeETag(parts []PartInfo) string {
	h := md5.New()
	for _, p := range parts {
		if raw, err := hex.DecodeString(p.ETag); err == nil && len(raw) == md5.Size {
			h.Write(raw)
		} else {
			h.Write([]byte(p.ETag))
		}
	}
	return hex.EncodeToString(h.Sum(nil)) + "-" + strconv.Itoa(len(parts))
}

// combinable reports whether the checksum of a whole follows from those of its parts.
func combinable(t cluster.ChecksumType) bool {
	return t == cluster.ChecksumCRC32 || t == cluster.ChecksumCRC32C || t == cluster.ChecksumCRC64NVME
}

// combine returns the checksum of type t of an object made of parts, or nil when a part lacks it or it does not follow.
func combine(t cluster.ChecksumType, composite bool, parts []PartInfo) []byte {
	for _, p := range parts {
		if p.Sums.Get(t) == nil {
			return nil
		}
	}
	if composite {
		h := checksum.New(t)
		for _, p := range parts {
			h.Write(p.Sums.Get(t))
		}
		return h.Sum(nil)
	}
	switch t {
	case cluster.ChecksumCRC32:
		return combineCRC(crc32.IEEE, 32, t, parts)
	case cluster.ChecksumCRC32C:
		return combineCRC(crc32.Castagnoli, 32, t, parts)
	case cluster.ChecksumCRC64NVME:
		return combineCRC(crc64nvmePolynomial, 64, t, parts)
	}
	return nil
}

// crc64nvmePolynomial is the reversed form, as hash/crc64 writes polynomials.
const crc64nvmePolynomial = 0x9a6c9329ac4bc9b5

// combineCRC appends the parts' checksums: crc(AB) = crc(A) * x^(8*len(B)) + crc(B) modulo the polynomial (Adler, zlib's
// crc32_combine).
func combineCRC(polynomial uint64, width uint, t cluster.ChecksumType, parts []PartInfo) []byte {
	var whole uint64
	for _, p := range parts {
		var sum uint64
		for _, b := range p.Sums.Get(t) {
			sum = sum<<8 | uint64(b)
		}
		whole = multiply(whole, power(uint64(p.Size)*8, polynomial, width), polynomial, width) ^ sum
	}
	b := binary.BigEndian.AppendUint64(nil, whole)
	return b[8-width/8:]
}

// multiply returns a*b modulo the polynomial, all in reversed bit order: the highest bit is x^0.
func multiply(a, b, polynomial uint64, width uint) uint64 {
	var product uint64
	for bit := uint64(1) << (width - 1); bit != 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
		}
		if b&1 != 0 {
			b = b>>1 ^ polynomial
		} else {
			b >>= 1
		}
	}
	return product
}

// power returns x^n modulo the polynomial.
func power(n, polynomial uint64, width uint) uint64 {
	result := uint64(1) << (width - 1) // x^0
	square := result >> 1              // x^1
	for ; n != 0; n >>= 1 {
		if n&1 != 0 {
			result = multiply(result, square, polynomial, width)
		}
		square = multiply(square, square, polynomial, width)
	}
	return result
}
