//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/aisle-store/aisle/cmd/internal/testcluster"
)

// sdk returns a client of the AWS SDK for one endpoint. It follows redirects as the SDK does by default.
func sdk(c *testcluster.Cluster, endpoint string) *s3.Client {
	return s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(endpoint), UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(testcluster.AccessKey, testcluster.SecretKey, ""),
		HTTPClient:  &http.Client{Transport: &http.Transport{TLSClientConfig: c.TLSConfig(), MaxIdleConnsPerHost: 16}},
	})
}

func testGoSDK(t *testing.T, c *testcluster.Cluster) {
	g := &goSession{t: t, ctx: t.Context(), bucket: "with-aws-sdk-go-v2"}
	for _, e := range c.Endpoints() {
		g.clients = append(g.clients, sdk(c, e))
	}
	_, err := g.s3().CreateBucket(g.ctx, &s3.CreateBucketInput{Bucket: &g.bucket})
	g.check(err)
	random := rand.New(rand.NewPCG(1, 2))
	g.smallObjects(random)
	large := randomBytes(random, 64<<20)
	g.multipart(large)
	g.partSums(large)
	g.manyKeys()
	g.presigned(c)
	g.removeAll()
}

// goSession is the SDK's work in one bucket, each request through the next node.
type goSession struct {
	t       *testing.T
	ctx     context.Context
	bucket  string
	clients []*s3.Client

	mu   sync.Mutex
	next int
}

func (g *goSession) s3() *s3.Client {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.next++
	return g.clients[g.next%len(g.clients)]
}

func (g *goSession) check(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

func (g *goSession) wantCode(err error, code string) {
	g.t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != code {
		g.t.Errorf("error is %v, want code %s", err, code)
	}
}

func (g *goSession) read(key, rng string) []byte {
	g.t.Helper()
	in := &s3.GetObjectInput{Bucket: &g.bucket, Key: &key, ChecksumMode: types.ChecksumModeEnabled}
	if rng != "" {
		in.Range = &rng
	}
	out, err := g.s3().GetObject(g.ctx, in)
	g.check(err)
	defer out.Body.Close()
	text, err := io.ReadAll(out.Body)
	g.check(err)
	return text
}

func (g *goSession) smallObjects(random *rand.Rand) {
	for _, size := range []int{0, 1, 4096, 70_000, 3 << 20} {
		for _, algorithm := range []types.ChecksumAlgorithm{types.ChecksumAlgorithmCrc32, types.ChecksumAlgorithmCrc32c,
			types.ChecksumAlgorithmSha1, types.ChecksumAlgorithmSha256, types.ChecksumAlgorithmCrc64nvme} {
			key, text := fmt.Sprintf("size/%d %s", size, algorithm), randomBytes(random, size)
			_, err := g.s3().PutObject(g.ctx, &s3.PutObjectInput{
				Bucket: &g.bucket, Key: &key, Body: bytes.NewReader(text), ChecksumAlgorithm: algorithm,
			})
			g.check(err)
			for range g.clients {
				if got := g.read(key, ""); !bytes.Equal(got, text) {
					g.t.Errorf("%s: %d bytes came back of %d, or other ones", key, len(got), size)
				}
			}
			if size > 100 && !bytes.Equal(g.read(key, "bytes=50-99"), text[50:100]) {
				g.t.Errorf("%s: bytes 50 to 99 came back wrong", key)
			}
		}
	}
	_, err := g.s3().PutObject(g.ctx, &s3.PutObjectInput{
		Bucket: &g.bucket, Key: aws.String("size/0 CRC32"), Body: bytes.NewReader(nil), IfNoneMatch: aws.String("*"),
	})
	g.wantCode(err, "PreconditionFailed")
	_, err = g.s3().GetObject(g.ctx, &s3.GetObjectInput{Bucket: &g.bucket, Key: aws.String("nothing")})
	g.wantCode(err, "NoSuchKey")
}

func (g *goSession) multipart(text []byte) {
	const partSize = 8 << 20
	key := "large"
	up, err := g.s3().CreateMultipartUpload(g.ctx, &s3.CreateMultipartUploadInput{Bucket: &g.bucket, Key: &key})
	g.check(err)
	parts := make([]types.CompletedPart, len(text)/partSize)
	var wait sync.WaitGroup
	for i := range parts {
		wait.Go(func() {
			number := int32(i + 1)
			out, err := g.s3().UploadPart(g.ctx, &s3.UploadPartInput{
				Bucket: &g.bucket, Key: &key, UploadId: up.UploadId, PartNumber: &number, Body: bytes.NewReader(text[i*partSize:][:partSize]),
			})
			if err != nil {
				g.t.Errorf("part %d: %v", number, err)
				return
			}
			parts[i] = types.CompletedPart{ETag: out.ETag, PartNumber: &number, ChecksumCRC32: out.ChecksumCRC32}
		})
	}
	wait.Wait()
	_, err = g.s3().CompleteMultipartUpload(g.ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &g.bucket, Key: &key, UploadId: up.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	})
	g.check(err)
	for range g.clients {
		if !bytes.Equal(g.read(key, ""), text) {
			g.t.Error("64 MiB came back with other content")
		}
	}
	if got := g.read(key, "bytes=8388600-16777300"); !bytes.Equal(got, text[8388600:16777301]) {
		g.t.Errorf("a range over three parts came back wrong, %d bytes", len(got))
	}
	g.parts(key, text, partSize)
	_, err = g.s3().CopyObject(g.ctx, &s3.CopyObjectInput{Bucket: &g.bucket, Key: aws.String("copy of large"), CopySource: aws.String(g.bucket + "/" + key)})
	g.check(err)
	if !bytes.Equal(g.read("copy of large", ""), text) {
		g.t.Error("a copy of 64 MiB has other content")
	}
}

// parts reads an object of several parts one by one; the SDK verifies their checksums.
func (g *goSession) parts(key string, text []byte, partSize int) {
	g.t.Helper()
	count := len(text) / partSize
	for i := range count {
		number := int32(i + 1)
		out, err := g.s3().GetObject(g.ctx, &s3.GetObjectInput{Bucket: &g.bucket, Key: &key, PartNumber: &number, ChecksumMode: types.ChecksumModeEnabled})
		g.check(err)
		got, err := io.ReadAll(out.Body)
		out.Body.Close()
		g.check(err)
		if !bytes.Equal(got, text[i*partSize:][:partSize]) || int(aws.ToInt32(out.PartsCount)) != count {
			g.t.Errorf("part %d of %d: %d bytes came back, or other ones", number, aws.ToInt32(out.PartsCount), len(got))
		}
	}
	about, err := g.s3().GetObjectAttributes(g.ctx, &s3.GetObjectAttributesInput{Bucket: &g.bucket, Key: &key, ObjectAttributes: []types.ObjectAttributes{
		types.ObjectAttributesObjectParts, types.ObjectAttributesObjectSize, types.ObjectAttributesEtag,
	}})
	g.check(err)
	if about.ObjectParts == nil || int(aws.ToInt32(about.ObjectParts.TotalPartsCount)) != count || aws.ToInt64(about.ObjectSize) != int64(len(text)) {
		g.t.Errorf("attributes of %s: %+v", key, about)
	}
}

// manyKeys writes 1,000 objects by 16 writers and lists them in pages.
func (g *goSession) manyKeys() {
	var wait sync.WaitGroup
	for w := range 16 {
		wait.Go(func() {
			for i := w; i < 1000; i += 16 {
				key := fmt.Sprintf("many/%04d", i)
				if _, err := g.s3().PutObject(g.ctx, &s3.PutObjectInput{Bucket: &g.bucket, Key: &key, Body: bytes.NewReader([]byte(key))}); err != nil {
					g.t.Errorf("%s: %v", key, err)
					return
				}
			}
		})
	}
	wait.Wait()
	count := 0
	var token *string
	for page := 0; ; page++ {
		out, err := g.s3().ListObjectsV2(g.ctx, &s3.ListObjectsV2Input{
			Bucket: &g.bucket, Prefix: aws.String("many/"), MaxKeys: aws.Int32(170), ContinuationToken: token,
		})
		g.check(err)
		for _, o := range out.Contents {
			if want := fmt.Sprintf("many/%04d", count); *o.Key != want {
				g.t.Fatalf("key %d of the list is %s, want %s", count, *o.Key, want)
			}
			count++
		}
		if token = out.NextContinuationToken; token == nil {
			break
		}
	}
	if count != 1000 {
		g.t.Errorf("%d keys are listed, want 1000", count)
	}
}

func (g *goSession) presigned(c *testcluster.Cluster) {
	key := "many/0007"
	signed, err := s3.NewPresignClient(g.s3()).PresignGetObject(g.ctx, &s3.GetObjectInput{Bucket: &g.bucket, Key: &key})
	g.check(err)
	req, err := http.NewRequestWithContext(g.ctx, signed.Method, signed.URL, nil)
	g.check(err)
	rep, err := newFollower(c).send(req)
	g.check(err)
	if rep.status != 200 || string(rep.body) != key {
		g.t.Errorf("presigned GET: %s", rep)
	}
	req.URL.Path += "8"
	if rep, err = newFollower(c).send(req); err != nil || rep.status != 403 || rep.code() != "SignatureDoesNotMatch" {
		g.t.Errorf("a presigned URL of another key: %s, %v", rep, err)
	}
}

func (g *goSession) removeAll() {
	pages := s3.NewListObjectsV2Paginator(g.s3(), &s3.ListObjectsV2Input{Bucket: &g.bucket})
	for pages.HasMorePages() {
		page, err := pages.NextPage(g.ctx)
		g.check(err)
		var ids []types.ObjectIdentifier
		for _, o := range page.Contents {
			ids = append(ids, types.ObjectIdentifier{Key: o.Key})
		}
		out, err := g.s3().DeleteObjects(g.ctx, &s3.DeleteObjectsInput{Bucket: &g.bucket, Delete: &types.Delete{Objects: ids}})
		g.check(err)
		if len(out.Errors) > 0 || len(out.Deleted) != len(ids) {
			g.t.Errorf("%d of %d objects deleted, %d errors", len(out.Deleted), len(ids), len(out.Errors))
		}
	}
	_, err := g.s3().DeleteBucket(g.ctx, &s3.DeleteBucketInput{Bucket: &g.bucket})
	g.check(err)
}
