package s3

import (
	"encoding/base64"
	"strings"

	"github.com/aisle-store/aisle/cluster"
)

// Algorithm is a checksum algorithm of S3's x-amz-checksum-* headers.
type Algorithm uint8

// The algorithms.
const (
	NoAlgorithm Algorithm = iota
	CRC32
	CRC32C
	CRC64NVME
	SHA1
	SHA256
)

// algorithms is the table of S3's checksums.
var algorithms = [...]struct {
	name   string
	header string
	kind   cluster.ChecksumType
	size   int
}{
	CRC32:     {"CRC32", "x-amz-checksum-crc32", cluster.ChecksumCRC32, 4},
	CRC32C:    {"CRC32C", "x-amz-checksum-crc32c", cluster.ChecksumCRC32C, 4},
	CRC64NVME: {"CRC64NVME", "x-amz-checksum-crc64nvme", cluster.ChecksumCRC64NVME, 8},
	SHA1:      {"SHA1", "x-amz-checksum-sha1", cluster.ChecksumSHA1, 20},
	SHA256:    {"SHA256", "x-amz-checksum-sha256", cluster.ChecksumSHA256, 32},
}

// Algorithms lists every algorithm of S3.
var Algorithms = []Algorithm{CRC32, CRC32C, CRC64NVME, SHA1, SHA256}

// DefaultAlgorithm is that of the checksum, of the whole object, which uploads get that ask for none.
const DefaultAlgorithm = CRC64NVME

// String returns the name as in x-amz-checksum-algorithm.
func (a Algorithm) String() string { return algorithms[a].name }

// Header returns the name of the algorithm's header, lower case.
func (a Algorithm) Header() string { return algorithms[a].header }

// Element returns the name of the algorithm's XML element.
func (a Algorithm) Element() string { return "Checksum" + algorithms[a].name }

// Type returns the algorithm as the cluster names it.
func (a Algorithm) Type() cluster.ChecksumType { return algorithms[a].kind }

// Size returns the length of a checksum in bytes.
func (a Algorithm) Size() int { return algorithms[a].size }

// FullObjectOnly reports whether S3 knows no composite form of it.
func (a Algorithm) FullObjectOnly() bool { return a == CRC64NVME }

// CompositeOnly reports whether a multipart upload can have it only as a checksum of the parts' checksums.
func (a Algorithm) CompositeOnly() bool { return a == SHA1 || a == SHA256 }

// ParseAlgorithm reads the name of an algorithm, without case.
func ParseAlgorithm(s string) (Algorithm, bool) {
	for _, a := range Algorithms {
		if strings.EqualFold(s, a.String()) {
			return a, true
		}
	}
	return NoAlgorithm, false
}

// AlgorithmOf returns the algorithm of a checksum type, if S3 has it.
func AlgorithmOf(t cluster.ChecksumType) (Algorithm, bool) {
	for _, a := range Algorithms {
		if a.Type() == t {
			return a, true
		}
	}
	return NoAlgorithm, false
}

// Checksum is the additional checksum of an upload. One that comes as a trailer has its value once the body has been
// read to its end.
type Checksum struct {
	Algorithm Algorithm
	Value     []byte
	Trailer   bool
}

// RequestChecksums reads what a request says of its body's checksums: Content-MD5 (nil when absent) and the additional
// checksum (nil when there is none).
func RequestChecksums(c *Call) (md5 []byte, sum *Checksum, err error) {
	if md5, err = contentMD5(c); err != nil {
		return nil, nil, err
	}
	if sum, err = headerChecksum(c); err != nil {
		return nil, nil, err
	}
	if trailer := c.Get("x-amz-trailer"); trailer != "" {
		if sum, err = trailerChecksum(trailer, sum); err != nil {
			return nil, nil, err
		}
	}
	return md5, sum, checkSDKAlgorithm(c, sum)
}

func contentMD5(c *Call) ([]byte, error) {
	const op = "s3.contentMD5"
	s := c.Header.Get("Content-MD5")
	if s == "" && !hasField(c.Header, "Content-MD5") {
		return nil, nil
	}
	sum, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(sum) != 16 {
		return nil, NewFault(op, InvalidDigest, "", Field{"Content-MD5", s})
	}
	return sum, nil
}

// hasField reports whether a header is there, empty or not.
func hasField(h Header, name string) bool {
	for found := range h.All() {
		if strings.EqualFold(found, name) {
			return true
		}
	}
	return false
}

// headerChecksum returns the one x-amz-checksum-* header of a known algorithm.
func headerChecksum(c *Call) (*Checksum, error) {
	const op = "s3.headerChecksum"
	var sum *Checksum
	for _, a := range Algorithms {
		s := c.Get(a.Header())
		if s == "" {
			continue
		}
		if sum != nil {
			return nil, NewFault(op, InvalidRequest, "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
		}
		value, err := base64.StdEncoding.DecodeString(s)
		if err != nil || len(value) != a.Size() {
			return nil, NewFault(op, InvalidRequest, "Value for "+a.Header()+" header is invalid.")
		}
		sum = &Checksum{Algorithm: a, Value: value}
	}
	return sum, nil
}

// trailerChecksum returns the checksum that x-amz-trailer announces.
func trailerChecksum(trailer string, header *Checksum) (*Checksum, error) {
	const op = "s3.trailerChecksum"
	if header != nil {
		return nil, NewFault(op, InvalidRequest, "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
	}
	for _, a := range Algorithms {
		if strings.EqualFold(strings.TrimSpace(trailer), a.Header()) {
			return &Checksum{Algorithm: a, Trailer: true}, nil
		}
	}
	return nil, NewFault(op, InvalidRequest, "The value specified in the x-amz-trailer header is not supported")
}

// checkSDKAlgorithm demands that x-amz-sdk-checksum-algorithm names the checksum that is there.
func checkSDKAlgorithm(c *Call, sum *Checksum) error {
	const op = "s3.checkSDKAlgorithm"
	s := c.Get("x-amz-sdk-checksum-algorithm")
	if s == "" {
		return nil
	}
	a, ok := ParseAlgorithm(s)
	if !ok {
		return NewFault(op, InvalidRequest, "Value for x-amz-sdk-checksum-algorithm header is invalid.")
	}
	md5 := c.Header.Get("Content-MD5") != ""
	switch {
	case sum == nil && !md5 && c.Op != CreateMultipartUpload && c.Op != CopyObject:
		return NewFault(op, InvalidRequest, "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.")
	case sum != nil && sum.Algorithm != a:
		return NewFault(op, InvalidRequest, "Value for x-amz-sdk-checksum-algorithm header is invalid.")
	}
	return nil
}

// EncodeChecksum returns a checksum in the form of headers and XML.
func EncodeChecksum(value []byte) string { return base64.StdEncoding.EncodeToString(value) }

// DecodeChecksum reads a checksum of an algorithm in the form of headers and XML. A composite one has the suffix "-N",
// which is returned as parts.
func DecodeChecksum(a Algorithm, s string) (value []byte, parts int, ok bool) {
	if sum, suffix, found := strings.Cut(s, "-"); found {
		n, good := parseCount(suffix, 10000)
		if !good || n == 0 {
			return nil, 0, false
		}
		s, parts = sum, n
	}
	value, err := base64.StdEncoding.DecodeString(s)
	return value, parts, err == nil && len(value) == a.Size()
}

// parseCount reads a decimal number from 0 to limit, digits only.
func parseCount(s string, limit int) (int, bool) {
	if s == "" || len(s) > 10 {
		return 0, false
	}
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, n <= limit
}
