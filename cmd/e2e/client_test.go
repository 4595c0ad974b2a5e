//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/aisle-store/aisle/cmd/internal/testcluster"
)

// client is a plain HTTP client that signs with the AWS SDK's signer, sends exactly what a test says, repeats nothing and
// follows no redirect. It is safe for concurrent use.
type client struct {
	http      *http.Client
	signer    *v4.Signer
	agent     string // User-Agent
	accessKey string
	secretKey string
}

// reply is a whole answer.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// code returns the S3 error code of an error reply.
func (r reply) code() string {
	_, rest, _ := strings.Cut(string(r.body), "<Code>")
	code, _, _ := strings.Cut(rest, "</Code>")
	return code
}

func (r reply) String() string {
	return fmt.Sprintf("%d %s", r.status, bytes.TrimSpace(r.body[:min(len(r.body), 300)]))
}

func newClient(c *testcluster.Cluster) *client {
	return &client{
		http: &http.Client{
			Transport: &http.Transport{
				TLSClientConfig: c.TLSConfig(), MaxIdleConnsPerHost: 64, DisableCompression: true,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		signer:    v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }),
		agent:     "aisle-e2e", // unknown, so that every request is relayed
		accessKey: testcluster.AccessKey, secretKey: testcluster.SecretKey,
	}
}

// newFollower returns a client that calls itself an AWS SDK and, as that, follows redirects of GET and HEAD.
func newFollower(c *testcluster.Cluster) *client {
	f := newClient(c)
	f.agent = "aws-sdk-go-v2/1.47.7 ua/2.1"
	f.http.CheckRedirect = nil
	return f
}

// request is what a test sends; the zero value is GET / of an endpoint.
type request struct {
	method   string
	endpoint string
	host     string // when it is not that of the endpoint
	bucket   string
	key      string
	query    string // raw
	header   map[string]string
	body     []byte
}

// escapeKey writes a key as AWS's SDKs put it into a path.
func escapeKey(key string) string {
	var b strings.Builder
	for i := range len(key) {
		c := key[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~/", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// build makes the unsigned HTTP request.
func (r request) build(ctx context.Context) (*http.Request, error) {
	target := r.endpoint + "/"
	if r.bucket != "" {
		target += r.bucket
	}
	if r.key != "" {
		target += "/" + escapeKey(r.key)
	}
	if r.query != "" {
		target += "?" + r.query
	}
	method := r.method
	if method == "" {
		method = http.MethodGet
	}
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, err
	}
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	if r.host != "" {
		req.Host = r.host
	}
	return req, nil
}

// do sends a signed request and reads the whole reply. An error means that the outcome is not known.
func (c *client) do(ctx context.Context, r request) (reply, error) {
	req, err := c.sign(ctx, r)
	if err != nil {
		return reply{}, err
	}
	return c.send(req)
}

// sign makes a signed HTTP request.
func (c *client) sign(ctx context.Context, r request) (*http.Request, error) {
	req, err := r.build(ctx)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(r.body)
	hash := hex.EncodeToString(sum[:])
	req.Header.Set("X-Amz-Content-Sha256", hash)
	key := aws.Credentials{AccessKeyID: c.accessKey, SecretAccessKey: c.secretKey}
	return req, c.signer.SignHTTP(ctx, key, req, hash, "s3", "us-east-1", time.Now())
}

func (c *client) send(req *http.Request) (reply, error) {
	req.Header.Set("User-Agent", c.agent)
	res, err := c.http.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Header, body}, err
}

// must sends a request that has to be answered with one of the given statuses.
func (c *client) must(t *testing.T, r request, statuses ...int) reply {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	rep, err := c.do(ctx, r)
	if err != nil {
		t.Fatalf("%s /%s/%s?%s: %v", r.method, r.bucket, r.key, r.query, err)
	}
	for _, s := range statuses {
		if rep.status == s {
			return rep
		}
	}
	t.Fatalf("%s /%s/%s?%s: %s, want status %v", r.method, r.bucket, r.key, r.query, rep, statuses)
	return reply{}
}

// query encodes parameters in order.
func query(pairs ...string) string {
	var parts []string
	for i := 0; i+1 < len(pairs); i += 2 {
		parts = append(parts, url.QueryEscape(pairs[i])+"="+url.QueryEscape(pairs[i+1]))
	}
	return strings.Join(parts, "&")
}
