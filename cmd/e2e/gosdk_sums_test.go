//go:build e2e

package e2e

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// sumKind is an algorithm of checksums, and where requests and replies of the SDK have its value.
type sumKind struct {
	algorithm types.ChecksumAlgorithm
	hash      func() hash.Hash
	ofPart    func(in *s3.UploadPartInput) **string
	named     func(p *types.CompletedPart) **string
	told      func(p *types.ObjectPart) *string
	ofWhole   func(in *s3.CompleteMultipartUploadInput) **string
	result    func(out *s3.CompleteMultipartUploadOutput) *string
	head      func(out *s3.HeadObjectOutput) *string
}

var sumKinds = []sumKind{
	{
		types.ChecksumAlgorithmCrc32, func() hash.Hash { return crc32.NewIEEE() },
		func(in *s3.UploadPartInput) **string { return &in.ChecksumCRC32 },
		func(p *types.CompletedPart) **string { return &p.ChecksumCRC32 },
		func(p *types.ObjectPart) *string { return p.ChecksumCRC32 },
		func(in *s3.CompleteMultipartUploadInput) **string { return &in.ChecksumCRC32 },
		func(out *s3.CompleteMultipartUploadOutput) *string { return out.ChecksumCRC32 },
		func(out *s3.HeadObjectOutput) *string { return out.ChecksumCRC32 },
	},
	{
		types.ChecksumAlgorithmCrc32c, func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) },
		func(in *s3.UploadPartInput) **string { return &in.ChecksumCRC32C },
		func(p *types.CompletedPart) **string { return &p.ChecksumCRC32C },
		func(p *types.ObjectPart) *string { return p.ChecksumCRC32C },
		func(in *s3.CompleteMultipartUploadInput) **string { return &in.ChecksumCRC32C },
		func(out *s3.CompleteMultipartUploadOutput) *string { return out.ChecksumCRC32C },
		func(out *s3.HeadObjectOutput) *string { return out.ChecksumCRC32C },
	},
	{
		types.ChecksumAlgorithmCrc64nvme, func() hash.Hash { return crc64.New(crc64.MakeTable(0x9a6c9329ac4bc9b5)) },
		func(in *s3.UploadPartInput) **string { return &in.ChecksumCRC64NVME },
		func(p *types.CompletedPart) **string { return &p.ChecksumCRC64NVME },
		func(p *types.ObjectPart) *string { return p.ChecksumCRC64NVME },
		func(in *s3.CompleteMultipartUploadInput) **string { return &in.ChecksumCRC64NVME },
		func(out *s3.CompleteMultipartUploadOutput) *string { return out.ChecksumCRC64NVME },
		func(out *s3.HeadObjectOutput) *string { return out.ChecksumCRC64NVME },
	},
	{
		types.ChecksumAlgorithmSha1, sha1.New,
		func(in *s3.UploadPartInput) **string { return &in.ChecksumSHA1 },
		func(p *types.CompletedPart) **string { return &p.ChecksumSHA1 },
		func(p *types.ObjectPart) *string { return p.ChecksumSHA1 },
		func(in *s3.CompleteMultipartUploadInput) **string { return &in.ChecksumSHA1 },
		func(out *s3.CompleteMultipartUploadOutput) *string { return out.ChecksumSHA1 },
		func(out *s3.HeadObjectOutput) *string { return out.ChecksumSHA1 },
	},
	{
		types.ChecksumAlgorithmSha256, sha256.New,
		func(in *s3.UploadPartInput) **string { return &in.ChecksumSHA256 },
		func(p *types.CompletedPart) **string { return &p.ChecksumSHA256 },
		func(p *types.ObjectPart) *string { return p.ChecksumSHA256 },
		func(in *s3.CompleteMultipartUploadInput) **string { return &in.ChecksumSHA256 },
		func(out *s3.CompleteMultipartUploadOutput) *string { return out.ChecksumSHA256 },
		func(out *s3.HeadObjectOutput) *string { return out.ChecksumSHA256 },
	},
}

// of returns the checksum of some bytes as S3 writes it.
func (k *sumKind) of(pieces ...[]byte) string {
	h := k.hash()
	for _, p := range pieces {
		h.Write(p)
	}
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// compositeOf returns the checksum of the parts' checksums.
func (k *sumKind) compositeOf(parts ...[]byte) string {
	var sums []byte
	for _, p := range parts {
		h := k.hash()
		h.Write(p)
		sums = h.Sum(sums)
	}
	return fmt.Sprintf("%s-%d", k.of(sums), len(parts))
}

// partSums makes an object of parts by each algorithm and each form that AWS has of it.
func (g *goSession) partSums(text []byte) {
	parts := [][]byte{text[:5<<20], text[5<<20 : 10<<20], text[10<<20 : 10<<20+1234]}
	for i := range sumKinds {
		kind := &sumKinds[i]
		for _, form := range []types.ChecksumType{types.ChecksumTypeComposite, types.ChecksumTypeFullObject} {
			key := fmt.Sprintf("sums/%s %s", kind.algorithm, form)
			up, err := g.s3().CreateMultipartUpload(g.ctx, &s3.CreateMultipartUploadInput{
				Bucket: &g.bucket, Key: &key, ChecksumAlgorithm: kind.algorithm, ChecksumType: form,
			})
			composite := form == types.ChecksumTypeComposite
			if isSHA := strings.HasPrefix(string(kind.algorithm), "SHA"); isSHA && !composite || kind.algorithm == types.ChecksumAlgorithmCrc64nvme && composite {
				g.wantCode(err, "InvalidRequest")
				continue
			}
			g.check(err)
			g.summed(kind, form, key, up.UploadId, parts)
		}
	}
}

// summed uploads the parts and completes the upload, with wrong checksums first.
func (g *goSession) summed(kind *sumKind, form types.ChecksumType, key string, upload *string, parts [][]byte) {
	g.t.Helper()
	named := make([]types.CompletedPart, len(parts))
	for i, text := range parts {
		number, sum := int32(i+1), kind.of(text)
		in := &s3.UploadPartInput{Bucket: &g.bucket, Key: &key, UploadId: upload, PartNumber: &number, ChecksumAlgorithm: kind.algorithm}
		if i == len(parts)-1 {
			in.Body = bytes.NewReader(text)
			*kind.ofPart(in) = aws.String(kind.of(text[1:]))
			_, err := g.s3().UploadPart(g.ctx, in)
			g.wantCode(err, "BadDigest")
			*kind.ofPart(in) = nil // the SDK works it out
		}
		in.Body = bytes.NewReader(text)
		out, err := g.s3().UploadPart(g.ctx, in)
		g.check(err)
		named[i] = types.CompletedPart{ETag: out.ETag, PartNumber: &number}
		*kind.named(&named[i]) = &sum
	}
	want := kind.of(parts...)
	if form == types.ChecksumTypeComposite {
		want = kind.compositeOf(parts...)
	}
	complete := &s3.CompleteMultipartUploadInput{
		Bucket: &g.bucket, Key: &key, UploadId: upload, ChecksumType: form, MultipartUpload: &types.CompletedMultipartUpload{Parts: named},
	}
	*kind.ofWhole(complete) = aws.String(kind.of(nil))
	_, err := g.s3().CompleteMultipartUpload(g.ctx, complete)
	g.wantCode(err, "BadDigest")
	*kind.ofWhole(complete) = &want
	done, err := g.s3().CompleteMultipartUpload(g.ctx, complete)
	g.check(err)
	if got := aws.ToString(kind.result(done)); got != want || done.ChecksumType != form {
		g.t.Errorf("%s: completed with %s %s, want %s", key, done.ChecksumType, got, want)
	}
	head, err := g.s3().HeadObject(g.ctx, &s3.HeadObjectInput{Bucket: &g.bucket, Key: &key, ChecksumMode: types.ChecksumModeEnabled})
	g.check(err)
	if got := aws.ToString(kind.head(head)); got != want || head.ChecksumType != form {
		g.t.Errorf("%s: HEAD tells %s %s, want %s", key, head.ChecksumType, got, want)
	}
	if got := g.read(key, ""); !bytes.Equal(got, bytes.Join(parts, nil)) {
		g.t.Errorf("%s: %d bytes came back, or other ones", key, len(got))
	}
	g.attributePages(kind, form, key, parts)
}

// attributePages reads what GetObjectAttributes tells of the parts, one a page.
func (g *goSession) attributePages(kind *sumKind, form types.ChecksumType, key string, parts [][]byte) {
	g.t.Helper()
	var marker *string
	for i, text := range parts {
		out, err := g.s3().GetObjectAttributes(g.ctx, &s3.GetObjectAttributesInput{
			Bucket: &g.bucket, Key: &key, MaxParts: aws.Int32(1), PartNumberMarker: marker,
			ObjectAttributes: []types.ObjectAttributes{types.ObjectAttributesObjectParts, types.ObjectAttributesChecksum},
		})
		g.check(err)
		p := out.ObjectParts
		if p == nil || len(p.Parts) != 1 || out.Checksum == nil || out.Checksum.ChecksumType != form {
			g.t.Fatalf("%s: page %d of the attributes: %+v %+v", key, i, p, out.Checksum)
		}
		only := &p.Parts[0]
		marker = p.NextPartNumberMarker
		if aws.ToInt32(only.PartNumber) != int32(i+1) || aws.ToInt64(only.Size) != int64(len(text)) || aws.ToString(kind.told(only)) != kind.of(text) ||
			aws.ToString(marker) != fmt.Sprint(i+1) || aws.ToInt32(p.TotalPartsCount) != int32(len(parts)) || aws.ToBool(p.IsTruncated) != (i < len(parts)-1) {
			g.t.Errorf("%s: page %d of the parts: %+v of %+v", key, i, *only, *p)
		}
	}
}
