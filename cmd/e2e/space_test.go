//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/aisle-store/aisle/cmd/internal/testcluster"
)

// segments returns how many bytes each segment occupies. They are preallocated; what is given back are holes in them.
func segments(t *testing.T, c *testcluster.Cluster) map[string]int64 {
	t.Helper()
	occupied := make(map[string]int64)
	for _, node := range c.Nodes {
		for _, dir := range node.Mountpaths {
			files, err := filepath.Glob(filepath.Join(dir, "segments", "*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				var stat syscall.Stat_t
				if err := syscall.Stat(f, &stat); err == nil { // else it was removed just now
					occupied[f] = stat.Blocks * 512
				}
			}
		}
	}
	return occupied
}

// shrunk returns how many bytes segments have given back.
func shrunk(from, to map[string]int64) (n int64) {
	for f, bytes := range to {
		n += max(0, from[f]-bytes)
	}
	return n
}

// testSpaceReturns has rules remove objects, versions and the parts of an upload, and looks at what the disks hold then. Days are
// short in the cluster, in which nothing else is done.
func testSpaceReturns(t *testing.T, c *testcluster.Cluster) {
	const (
		bucket       = "returns"
		large, small = 2 << 20, 40_000
		keys, little = 3, 80
	)
	g := &goSession{t: t, ctx: t.Context(), bucket: bucket}
	for _, e := range c.Endpoints() {
		g.clients = append(g.clients, sdk(c, e))
	}
	_, err := g.s3().CreateBucket(g.ctx, &s3.CreateBucketInput{Bucket: &g.bucket})
	g.check(err)
	_, err = g.s3().PutBucketVersioning(g.ctx, &s3.PutBucketVersioningInput{
		Bucket: &g.bucket, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	})
	g.check(err)
	text := randomBytes(rand.New(rand.NewPCG(3, 4)), 5<<20)
	put := func(key string, size int) {
		t.Helper()
		_, err := g.s3().PutObject(g.ctx, &s3.PutObjectInput{Bucket: &g.bucket, Key: &key, Body: bytes.NewReader(text[:size])})
		g.check(err)
	}
	put("kept/large", large)
	before := blobs(t, c)
	for i := range keys {
		for range 2 { // of which one is noncurrent
			put(fmt.Sprintf("gone/large-%d", i), large)
		}
	}
	for i := range little {
		put(fmt.Sprintf("gone/small-%d", i), small)
		if i%8 == 0 {
			put(fmt.Sprintf("kept/small-%d", i), small) // a segment stays as long as anything in it
		}
	}
	up, err := g.s3().CreateMultipartUpload(g.ctx, &s3.CreateMultipartUploadInput{Bucket: &g.bucket, Key: aws.String("gone/never done")})
	g.check(err)
	_, err = g.s3().UploadPart(g.ctx, &s3.UploadPartInput{Bucket: &g.bucket, Key: up.Key, UploadId: up.UploadId, PartNumber: aws.Int32(1), Body: bytes.NewReader(text)})
	g.check(err)
	const bytesOfLarge = 2*keys*large + 5<<20
	grown := blobs(t, c) - before
	copies := grown / bytesOfLarge
	if copies < 1 {
		t.Fatalf("blobs have grown by %d of %d bytes", grown, bytesOfLarge)
	}
	full := segments(t, c)
	prefix := &types.LifecycleRuleFilter{Prefix: aws.String("gone/")}
	_, err = g.s3().PutBucketLifecycleConfiguration(g.ctx, &s3.PutBucketLifecycleConfigurationInput{
		Bucket: &g.bucket, LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: []types.LifecycleRule{{
			ID: aws.String("gone"), Status: types.ExpirationStatusEnabled, Filter: prefix, Expiration: &types.LifecycleExpiration{Days: aws.Int32(1)},
			NoncurrentVersionExpiration:    &types.NoncurrentVersionExpiration{NoncurrentDays: aws.Int32(1)},
			AbortIncompleteMultipartUpload: &types.AbortIncompleteMultipartUpload{DaysAfterInitiation: aws.Int32(1)},
		}}},
	})
	g.check(err)
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		stay, back := blobs(t, c)-before, shrunk(full, segments(t, c))
		if stay <= 0 && back >= copies*little*small {
			t.Logf("%d copies: blobs grew by %d bytes and lost them again, segments gave %d back", copies, grown, back)
			break
		}
		if time.Now().After(end) {
			t.Fatalf("of %d bytes in blobs %d stay, of %d in segments %d came back", grown, stay, copies*little*small, back)
		}
	}
	page, err := g.s3().ListObjectVersions(g.ctx, &s3.ListObjectVersionsInput{Bucket: &g.bucket})
	g.check(err)
	if want := 1 + little/8; len(page.Versions) != want {
		t.Errorf("%d versions are left, want %d", len(page.Versions), want)
	}
	for _, v := range page.Versions {
		if got := g.read(*v.Key, ""); !bytes.Equal(got, text[:len(got)]) || int64(len(got)) != *v.Size {
			t.Errorf("%s came back with other content, %d bytes", *v.Key, len(got))
		}
	}
}
