package s3

import (
	"strings"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// CreateUploadXML returns the reply to CreateMultipartUpload.
func CreateUploadXML(bucket cluster.BucketName, key cluster.ObjectKey, id cluster.UploadID) []byte {
	w := newXML(320)
	w.root("InitiateMultipartUploadResult")
	w.text("Bucket", string(bucket))
	w.text("Key", string(key))
	w.text("UploadId", string(id))
	w.close("InitiateMultipartUploadResult")
	return w.bytes()
}

// UploadChecksum reads what CreateMultipartUpload says of checksums: the algorithm (NoAlgorithm for none) and whether
// the object's is composite.
func UploadChecksum(c *Call) (a Algorithm, composite bool, err error) {
	const op = "s3.UploadChecksum"
	name, kind := c.Get("x-amz-checksum-algorithm"), strings.ToUpper(c.Get("x-amz-checksum-type"))
	if name == "" {
		if kind != "" {
			return 0, false, NewFault(op, InvalidRequest, "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.")
		}
		return NoAlgorithm, false, nil
	}
	a, ok := ParseAlgorithm(name)
	if !ok {
		return 0, false, NewFault(op, InvalidRequest, "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]")
	}
	switch kind {
	case "":
		return a, !a.FullObjectOnly(), nil
	case "COMPOSITE":
		composite = true
	case "FULL_OBJECT":
	default:
		return 0, false, NewFault(op, InvalidRequest, "Value for x-amz-checksum-type header is invalid.")
	}
	if composite && a.FullObjectOnly() || !composite && a.CompositeOnly() {
		return 0, false, NewFault(op, InvalidRequest, "The "+kind+" checksum type cannot be used with the "+strings.ToLower(a.String())+" checksum algorithm.")
	}
	return a, composite, nil
}

// CopyChecksum reads x-amz-checksum-algorithm of CopyObject; NoAlgorithm when the request has none.
func CopyChecksum(c *Call) (Algorithm, error) {
	const op = "s3.CopyChecksum"
	name := c.Get("x-amz-checksum-algorithm")
	if name == "" {
		return NoAlgorithm, nil
	}
	a, ok := ParseAlgorithm(name)
	if !ok {
		return 0, NewFault(op, InvalidRequest, "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]")
	}
	return a, nil
}

// ListedPart is one part in the reply to ListParts.
type ListedPart struct {
	Number   int
	Size     int64
	ETag     string
	Modified time.Time
	Sums     []Field // XML elements, as {"ChecksumCRC32", base64}
}

// PartPage is one page of an upload's parts.
type PartPage struct {
	Bucket            cluster.BucketName
	Key               cluster.ObjectKey
	Params            PartListParams
	Owner             Owner
	Parts             []ListedPart
	Truncated         bool
	Class             string // "" for STANDARD
	ChecksumAlgorithm string // "" for none
	ChecksumType      string
}

// XML returns the reply to ListParts.
func (p *PartPage) XML() []byte {
	w := newXML(640 + 220*len(p.Parts))
	key := plainKey
	if p.Params.URL {
		key = EscapeKey
	}
	next := p.Params.After
	if n := len(p.Parts); n > 0 {
		next = p.Parts[n-1].Number
	}
	w.root("ListPartsResult")
	w.text("Bucket", string(p.Bucket))
	w.text("Key", key(string(p.Key)))
	w.text("UploadId", string(p.Params.UploadID))
	writeOwner(w, "Initiator", p.Owner)
	writeOwner(w, "Owner", p.Owner)
	w.text("StorageClass", className(p.Class))
	w.number("PartNumberMarker", int64(p.Params.After))
	w.number("NextPartNumberMarker", int64(next))
	w.number("MaxParts", int64(p.Params.Limit()))
	if p.Params.URL {
		w.text("EncodingType", "url")
	}
	w.optional("ChecksumAlgorithm", p.ChecksumAlgorithm)
	w.optional("ChecksumType", p.ChecksumType)
	w.boolean("IsTruncated", p.Truncated)
	for i := range p.Parts {
		part := &p.Parts[i]
		w.open("Part")
		w.number("PartNumber", int64(part.Number))
		w.time("LastModified", part.Modified)
		w.etag("ETag", part.ETag)
		w.number("Size", part.Size)
		for _, f := range part.Sums {
			w.text(f.Name, f.Value)
		}
		w.close("Part")
	}
	w.close("ListPartsResult")
	return w.bytes()
}

// MaxCompleteBody bounds the body of CompleteMultipartUpload: 10,000 parts with checksums.
const MaxCompleteBody = 8 << 20

// CompletedPart is one part that CompleteMultipartUpload names.
type CompletedPart struct {
	Number   int
	ETag     string // without quotes
	Checksum *Checksum
}

// ParseComplete reads the body of CompleteMultipartUpload. Parts are returned as sent; their order and existence are the
// store's to judge.
func ParseComplete(body []byte) ([]CompletedPart, error) {
	const op = "s3.ParseComplete"
	root, err := parseXML(body, 100000)
	if err != nil {
		return nil, cluster.E(op, "", cluster.KindOther, err)
	}
	if root.name != "CompleteMultipartUpload" {
		return nil, malformedXML(op)
	}
	var parts []CompletedPart
	for i := range root.children {
		n := &root.children[i]
		if n.name != "Part" {
			return nil, malformedXML(op)
		}
		part, err := completedPart(n)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 || len(parts) > 10000 {
		return nil, malformedXML(op)
	}
	return parts, nil
}

func completedPart(n *node) (CompletedPart, error) {
	const op = "s3.completedPart"
	var part CompletedPart
	for i := range n.children {
		child := &n.children[i]
		switch child.name {
		case "PartNumber":
			number, ok := parseCount(strings.TrimSpace(child.text), 1<<31-1)
			if !ok || part.Number != 0 {
				return part, malformedXML(op)
			}
			if number < 1 || number > 10000 {
				return part, invalidArgument(op, "PartNumber", child.text, "PartNumber must be an integer between 1 and 10000, inclusive")
			}
			part.Number = number
		case "ETag":
			part.ETag = strings.Trim(strings.TrimSpace(child.text), `"`)
		default:
			a, ok := ParseAlgorithm(strings.TrimPrefix(child.name, "Checksum"))
			if !ok {
				continue
			}
			value, _, ok := DecodeChecksum(a, strings.TrimSpace(child.text))
			if !ok {
				return part, NewFault(op, InvalidRequest, "Value for "+child.name+" is invalid.")
			}
			part.Checksum = &Checksum{Algorithm: a, Value: value}
		}
	}
	if part.Number == 0 || part.ETag == "" {
		return part, malformedXML(op)
	}
	return part, nil
}

// CompleteChecksums reads what the headers of CompleteMultipartUpload say of the whole object: a checksum in the upload's
// form (nil for none) and the size (-1 for none).
func CompleteChecksums(c *Call) (sum *Checksum, composite bool, size int64, err error) {
	const op = "s3.CompleteChecksums"
	size = -1
	if s := c.Get("x-amz-mp-object-size"); s != "" {
		n, ok := parseOffset(s)
		if !ok {
			return nil, false, 0, invalidArgument(op, "x-amz-mp-object-size", s, "Value for x-amz-mp-object-size header is invalid.")
		}
		size = n
	}
	for _, a := range Algorithms {
		s := c.Get(a.Header())
		if s == "" {
			continue
		}
		if sum != nil {
			return nil, false, 0, NewFault(op, InvalidRequest, "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
		}
		value, parts, ok := DecodeChecksum(a, s)
		if !ok {
			return nil, false, 0, NewFault(op, InvalidRequest, "Value for "+a.Header()+" header is invalid.")
		}
		sum, composite = &Checksum{Algorithm: a, Value: value}, parts > 0
	}
	return sum, composite, size, nil
}

// CompleteResult is the reply to CompleteMultipartUpload.
type CompleteResult struct {
	Location     string
	Bucket       cluster.BucketName
	Key          cluster.ObjectKey
	ETag         string
	Sums         []Field // XML elements
	ChecksumType string
}

// XML returns the reply.
func (r *CompleteResult) XML() []byte {
	w := newXML(512)
	w.root("CompleteMultipartUploadResult")
	w.text("Location", r.Location)
	w.text("Bucket", string(r.Bucket))
	w.text("Key", string(r.Key))
	w.etag("ETag", r.ETag)
	for _, f := range r.Sums {
		w.text(f.Name, f.Value)
	}
	w.optional("ChecksumType", r.ChecksumType)
	w.close("CompleteMultipartUploadResult")
	return w.bytes()
}
