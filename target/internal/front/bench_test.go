package front

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/httpd"
)

// BenchmarkServe measures what the front adds to the store: a read of 4 KiB, of its metadata, and a write of one byte.
func BenchmarkServe(b *testing.B) {
	bed := newBed(b, "n1")
	bed.do("PUT", "/bucket/k", strings.Repeat("x", 4096), "x-amz-meta-a", "1").want(b, 200)
	for _, c := range []struct{ name, method, body string }{{"get", "GET", ""}, {"head", "HEAD", ""}, {"put", "PUT", "x"}} {
		b.Run(c.name, func(b *testing.B) {
			path := "/bucket/k"
			if c.method == "PUT" {
				path = "/bucket/put"
			}
			first := httpd.NewRequest(c.method, path, strings.NewReader(c.body), int64(len(c.body)), "Host", "h", "x-amz-content-sha256", "UNSIGNED-PAYLOAD",
				"x-amz-date", "20260101T000000Z", "Authorization", strings.Repeat("a", 200), "User-Agent", "bench")
			g, err := bed.grant(first)
			if err != nil {
				b.Fatal(err)
			}
			f := bed.fronts["n1"]
			b.ReportAllocs()
			for b.Loop() {
				req := *first
				req.Body = strings.NewReader(c.body)
				grant := *g
				bed.next++
				grant.Request = cluster.RequestID(strconv.Itoa(bed.next))
				rep := httpd.NewReply()
				if err := f.ServeObject(context.Background(), &grant, &req, rep); err != nil {
					b.Fatal(err)
				}
				if _, err := rep.ReadAll(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
