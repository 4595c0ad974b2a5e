//go:build e2e

package e2e

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cmd/internal/testcluster"
)

// TestNewcomers tries what people who are new to a store, or not welcome in it, try.
func TestNewcomers(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{})
	s := newContents(t, c, "newcomers")
	s.write("key", 10)
	t.Run("keys", func(t *testing.T) { wrongKeys(t, c) })
	t.Run("requests", func(t *testing.T) { badRequests(t, c) })
	t.Run("ports", func(t *testing.T) { rawPorts(t, c) })
	s.check("after all of that")
}

const deleteOne = "<Delete><Object><Key>key/1</Key></Object></Delete>"

// md5Header is what S3 wants with a list of keys to delete.
func md5Header(body string) map[string]string {
	sum := md5.Sum([]byte(body))
	return map[string]string{"Content-Md5": base64.StdEncoding.EncodeToString(sum[:])}
}

func wrongKeys(t *testing.T, c *testcluster.Cluster) {
	f := func(name, code string, change func(*client)) {
		t.Helper()
		cl := newClient(c)
		change(cl)
		for _, r := range []request{
			{method: http.MethodGet}, {method: http.MethodGet, bucket: "newcomers"}, {method: http.MethodGet, bucket: "newcomers", key: "key/1"},
			{method: http.MethodPut, bucket: "newcomers", key: "key/1", body: []byte("theirs")}, {method: http.MethodPut, bucket: "theirs"},
			{method: http.MethodDelete, bucket: "newcomers", key: "key/1"}, {method: http.MethodGet, bucket: "no-such-bucket", key: "k"},
			{method: http.MethodPost, bucket: "newcomers", query: "delete", body: []byte(deleteOne), header: md5Header(deleteOne)},
			{method: http.MethodPost, bucket: "newcomers", key: "k", query: "uploads"},
		} {
			for _, n := range c.Nodes {
				r.endpoint = n.Endpoint
				rep, err := cl.do(t.Context(), r)
				if err != nil || rep.status != http.StatusForbidden || rep.code() != code {
					t.Errorf("%s: %s /%s/%s?%s: %s %v, want 403 %s", name, r.method, r.bucket, r.key, r.query, rep, err, code)
				}
			}
		}
	}
	f("unknown key", "InvalidAccessKeyId", func(c *client) { c.accessKey = "AKIANOBODYKNOWSTHIS0" })
	f("wrong secret", "SignatureDoesNotMatch", func(c *client) { c.secretKey += "x" })

	for _, path := range []string{"/", "/newcomers", "/newcomers/key/1", "/v1/cluster?what=smap", "/v1/buckets", "/v1/objects/newcomers/key/1"} {
		for _, method := range []string{"GET", "PUT", "DELETE", "POST", "HEAD"} {
			req, err := http.NewRequestWithContext(t.Context(), method, c.Nodes[0].Endpoint+path, strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			rep, err := newClient(c).send(req)
			if err != nil || rep.status < 400 || rep.status == 404 || rep.status >= 500 && rep.status != 501 {
				t.Errorf("%s %s without a key: %s %v, want a refusal", method, path, rep, err)
			}
		}
	}
}

func badRequests(t *testing.T, c *testcluster.Cluster) {
	cl := newClient(c)
	f := func(status int, code string, r request) {
		t.Helper()
		r.endpoint = c.Nodes[len(code)%len(c.Nodes)].Endpoint
		rep, err := cl.do(t.Context(), r)
		if err != nil || rep.status != status || rep.code() != code {
			t.Errorf("%s /%.40s/%.40s?%s: %s %v, want %d %s", r.method, r.bucket, r.key, r.query, rep, err, status, code)
		}
	}
	put := func(bucket, key string) request {
		return request{method: http.MethodPut, bucket: bucket, key: key, body: []byte("text")}
	}
	f(400, "InvalidBucketName", put("Capitals", ""))
	f(400, "InvalidBucketName", put("a", ""))
	f(400, "InvalidBucketName", put("10.1.2.3", ""))
	f(404, "NoSuchBucket", put("no-such-bucket", "key"))
	f(400, "KeyTooLongError", put("newcomers", strings.Repeat("k", 1025)))
	f(400, "MalformedXML", request{method: http.MethodPost, bucket: "newcomers", query: "delete", body: []byte("<Delete><Obj"), header: md5Header("<Delete><Obj")})
	f(400, "InvalidDigest", request{method: http.MethodPut, bucket: "newcomers", key: "d", body: []byte("text"), header: map[string]string{"Content-Md5": "short"}})
	f(400, "BadDigest", request{
		method: http.MethodPut, bucket: "newcomers", key: "d", body: []byte("text"), header: map[string]string{"Content-Md5": "1B2M2Y8AsgTpgAmY7PhCfg=="},
	})
	f(400, "InvalidArgument", request{method: http.MethodGet, bucket: "newcomers", query: "list-type=2&max-keys=many"})
	f(404, "NoSuchUpload", request{method: http.MethodPut, bucket: "newcomers", key: "d", query: "partNumber=1&uploadId=none", body: []byte("text")})
	f(404, "NoSuchKey", request{method: http.MethodGet, bucket: "newcomers", key: "d"})
}

// rawPorts speaks nonsense to every port of a node; the cluster must not care.
func rawPorts(t *testing.T, c *testcluster.Cluster) {
	n := c.Nodes[1]
	_, public, _ := strings.Cut(n.Endpoint, "://")
	for _, address := range []string{public, n.Intra, n.Gossip} {
		for _, text := range []string{
			"\x16\x03\x01\x00\x05nonsense", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\x00\x00\x00\x00", strings.Repeat("A", 200_000),
			"PUT /newcomers/key/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nevil",
			"POST /newcomers HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nDELETE /newcomers/key/2 HTTP/1.1\r\nHost: x\r\n\r\n",
		} {
			conn, err := net.DialTimeout("tcp", address, 5*time.Second)
			if err != nil {
				t.Fatalf("%s after nonsense: %v", address, err)
			}
			_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
			_, _ = io.WriteString(conn, text)
			answer, _ := io.ReadAll(conn)
			conn.Close()
			if bytes.HasPrefix(answer, []byte("HTTP/1.1 2")) {
				t.Errorf("%s answers %.60q with %.60q", address, text, answer)
			}
		}
	}
	for _, path := range []string{"/newcomers/key/1", "/-/node/list", "/-/node/stat", "/v1/cluster?what=smap"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://%s%s", n.Intra, path), nil)
		if err != nil {
			t.Fatal(err)
		}
		rep, err := newClient(c).send(req)
		if err != nil || rep.status < 400 {
			t.Errorf("GET %s on the port between nodes, without a ticket: %s %v", path, rep, err)
		}
	}
}
