package s3

import (
	"io"
	"strings"
	"testing"

	"github.com/aisle-store/aisle/cluster"
)

func BenchmarkVerify(b *testing.B) {
	v := exampleVerifier()
	req := Request{Method: "GET", Path: "/test.txt", Host: "examplebucket.s3.amazonaws.com", Header: exampleGet()}
	b.ReportAllocs()
	for b.Loop() {
		c, err := new(Router).Parse(Request{Method: "GET", Path: "/bucket/test.txt", Host: req.Host, Header: req.Header})
		if err != nil {
			b.Fatal(err)
		}
		c.Request = req
		if _, err := v.Verify(c, exampleTime); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSignedChunks(b *testing.B) {
	body := exampleChunks()
	key := DeriveKey(exampleSecret, "20130524/us-east-1/s3/aws4_request")
	o := BodyOptions{Key: key, Payload: Payload{
		Mode: modeSignedChunks, Length: 66560, Seed: "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
		Scope: "20130524/us-east-1/s3/aws4_request", Date: "20130524T000000Z",
	}}
	b.SetBytes(66560)
	b.ReportAllocs()
	for b.Loop() {
		r, err := OpenBody(strings.NewReader(body), o)
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, struct{ io.Reader }{r}); err != nil || n != 66560 {
			b.Fatal(n, err)
		}
		r.Close()
	}
}

func BenchmarkListXML(b *testing.B) {
	page := ListPage{Params: ListParams{V2: true, Bucket: "bucket", MaxKeys: 1000}, Truncated: true}
	for range 1000 {
		page.Entries = append(page.Entries, cluster.Entry{Key: "some/prefix/of/a/key-0000001234.bin", Size: 4096, ETag: "9b8e4e177592785629d5bd8184f82a97", Modified: exampleTime, Additional: cluster.ChecksumSet(0).With(cluster.ChecksumCRC64NVME)})
	}
	b.ReportAllocs()
	for b.Loop() {
		page.XML()
	}
}
