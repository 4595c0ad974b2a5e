package httpd

import (
	"bufio"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// benchServe starts a server and returns its address.
func benchServe(b *testing.B, h Handler) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := NewServer(Options{Handler: h})
	go s.Serve(ln)
	b.Cleanup(func() { _ = s.Shutdown(context.Background()) })
	return ln.Addr().String()
}

// benchGet sends a request again and again and reads replies of known size, without allocations of its own.
func benchGet(b *testing.B, addr string, request string, size int) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	getMany(b, nc, request, size, b.N)
}

// getMany sends a request n times and reads the replies.
func getMany(b *testing.B, nc net.Conn, request string, size, n int) {
	br := bufio.NewReaderSize(nc, 64<<10)
	out := []byte(request)
	for range n {
		if _, err := nc.Write(out); err != nil {
			b.Error(err)
			return
		}
		for {
			line, err := br.ReadSlice('\n')
			if err != nil {
				b.Error(err)
				return
			}
			if len(line) == 2 {
				break
			}
		}
		if n, err := br.Discard(size); n != size {
			b.Error(err)
			return
		}
	}
}

const s3Get = "GET /bucket/some/key?x-id=GetObject HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: aws-sdk-go-v2/1.47.7\r\n" +
	"Accept-Encoding: identity\r\nAmz-Sdk-Invocation-Id: 9f3c2f5e-0000-4000-8000-000000000000\r\nAmz-Sdk-Request: attempt=1; max=3\r\n" +
	"Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\r\n" +
	"X-Amz-Content-Sha256: UNSIGNED-PAYLOAD\r\nX-Amz-Date: 20260101T000000Z\r\n\r\n"

func BenchmarkGetMemory4K(b *testing.B) {
	content := make([]byte, 4096)
	addr := benchServe(b, func(_ context.Context, req *Request, rep *Reply) error {
		rep.SetHeader("ETag", `"0123456789abcdef0123456789abcdef"`)
		rep.SetHeader("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
		rep.SetHeader("Accept-Ranges", "bytes")
		rep.Bytes("application/octet-stream", content)
		return nil
	})
	benchGet(b, addr, s3Get, len(content))
}

func BenchmarkGetFile(b *testing.B) {
	for _, size := range []int{4 << 10, 16 << 10, 64 << 10, 1 << 20, 16 << 20} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "data")
			if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
				b.Fatal(err)
			}
			file, err := os.Open(path)
			if err != nil {
				b.Fatal(err)
			}
			defer file.Close()
			addr := benchServe(b, func(_ context.Context, _ *Request, rep *Reply) error {
				rep.Stream(int64(size), FileBody(file, 0, int64(size), false))
				return nil
			})
			benchGet(b, addr, s3Get, size)
		})
	}
}

func BenchmarkPut4K(b *testing.B) {
	addr := benchServe(b, func(_ context.Context, req *Request, rep *Reply) error {
		_, err := io.Copy(io.Discard, req.Body)
		rep.Status = 200
		return err
	})
	benchGet(b, addr, "PUT /b/k HTTP/1.1\r\nHost: h\r\nContent-Length: 4096\r\n\r\n"+string(make([]byte, 4096)), 0)
}
