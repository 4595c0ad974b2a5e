package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
)

// Options are what a Client is made from.
type Options struct {
	Endpoints []string // URLs of gateways; the first one that answers is used
	AccessKey string
	SecretKey string
	Token     string        // bearer token, instead of a key pair
	TLS       *tls.Config   // nil trusts the system's authorities
	Patience  time.Duration // how long to try again what the cluster cannot answer now; 15 s when zero
}

// Client speaks to one cluster. It is safe for concurrent use.
type Client struct {
	endpoints []*url.URL
	current   atomic.Int32 // index of the endpoint that answered last
	signer    *Signer
	token     string
	patience  time.Duration
	http      *http.Client
}

// New returns a client. It does not connect.
func New(o Options) (*Client, error) {
	const op = "proxy/client.New"
	c := &Client{token: o.Token, patience: o.Patience}
	if c.patience == 0 {
		c.patience = 15 * time.Second
	}
	for _, endpoint := range o.Endpoints {
		u, err := url.Parse(strings.TrimRight(endpoint, "/"))
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" {
			return nil, cluster.Fail(op, endpoint, cluster.KindInvalid, "an endpoint is http(s)://HOST:PORT")
		}
		c.endpoints = append(c.endpoints, u)
	}
	switch {
	case len(c.endpoints) == 0:
		return nil, cluster.Fail(op, "", cluster.KindInvalid, "no endpoint is given")
	case o.Token == "" && (o.AccessKey == "" || o.SecretKey == ""):
		return nil, cluster.Fail(op, "", cluster.KindUnauthenticated, "no access key is given")
	}
	c.signer = &Signer{AccessKey: o.AccessKey, SecretKey: o.SecretKey, Region: "us-east-1"}
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	c.http = &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSClientConfig: o.TLS, TLSHandshakeTimeout: 10 * time.Second,
			MaxIdleConnsPerHost: 64, IdleConnTimeout: 30 * time.Second, ExpectContinueTimeout: 10 * time.Second,
			WriteBufferSize: 256 << 10, ReadBufferSize: 256 << 10, DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Endpoint returns the URL of the gateway in use.
func (c *Client) Endpoint() string { return c.endpoints[c.current.Load()].String() }

// request is one operation; it is sent as often as it takes.
type request struct {
	op      string
	method  string
	path    string // escaped
	query   url.Values
	header  []Header
	body    body
	payload string // what x-amz-content-sha256 says
}

// body is what a request carries; the zero value is nothing.
type body struct {
	reader io.Reader
	length int64 // -1 when unknown
	seeker io.Seeker
	start  int64
	read   atomic.Bool // whether any byte was taken from reader
}

// Read takes bytes for the connection.
func (b *body) Read(p []byte) (int, error) {
	b.read.Store(true)
	return b.reader.Read(p)
}

// rewind makes the body whole again; it reports whether it is.
func (b *body) rewind() bool {
	if b.reader == nil || !b.read.Load() {
		return true
	}
	if b.seeker == nil {
		return false
	}
	if _, err := b.seeker.Seek(b.start, io.SeekStart); err != nil {
		return false
	}
	b.read.Store(false)
	return true
}

func (r *request) setBytes(b []byte) {
	sum := sha256.Sum256(b)
	reader := bytes.NewReader(b)
	r.body.reader, r.body.seeker, r.body.length, r.payload = reader, reader, int64(len(b)), hex.EncodeToString(sum[:])
}

// do sends a request until it has an answer that is not "try again", and returns the reply when it is a success. Every
// request that failed before it reached a node, and every one that a node refused with "try again", is sent again.
func (c *Client) do(ctx context.Context, r *request) (*http.Response, error) {
	deadline := time.Now().Add(c.patience)
	for attempt := 0; ; attempt++ {
		res, err := c.follow(ctx, r)
		if err == nil {
			return res, nil
		}
		wait, again := retry(err, attempt, r)
		if !again || time.Now().Add(wait).After(deadline) || !r.body.rewind() || ctx.Err() != nil {
			return nil, err
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, cluster.E(r.op, "", cluster.KindTimeout, ctx.Err())
		case <-timer.C:
		}
	}
}

// retry says whether a failed request may be sent again, and when.
func retry(err error, attempt int, r *request) (time.Duration, bool) {
	wait := min(100*time.Millisecond<<min(attempt, 5), 2*time.Second)
	var e *cluster.Error
	if errors.As(err, &e) && e.Kind == cluster.KindUnavailable {
		return max(wait, min(e.RetryAfter, 3*time.Second)), true
	}
	var lost *lostError
	if errors.As(err, &lost) {
		return wait, lost.unsent || r.method == http.MethodGet || r.method == http.MethodHead
	}
	return 0, false
}

// lostError is a connection that broke or was never made: without an answer, nobody knows what the request has done.
type lostError struct {
	endpoint string
	unsent   bool // certain that the request did not reach the node
	err      error
}

// Error returns what happened in words.
func (e *lostError) Error() string {
	cause := e.err
	var u *url.Error
	if errors.As(cause, &u) {
		cause = u.Err
	}
	if e.unsent {
		return fmt.Sprintf("cannot reach %s: %v", e.endpoint, cause)
	}
	return fmt.Sprintf("the connection to %s broke: %v", e.endpoint, cause)
}

// Unreachable reports whether the request certainly did not reach a node.
func (e *lostError) Unreachable() bool { return e.unsent }

// Unwrap returns the cause.
func (e *lostError) Unwrap() error { return e.err }

// maxRedirects bounds a chain of redirects; from gateway to owner it takes one.
const maxRedirects = 4

// follow sends a request to the current endpoint, and on to where it redirects.
func (c *Client) follow(ctx context.Context, r *request) (*http.Response, error) {
	index := c.current.Load()
	target := *c.endpoints[index]
	target.RawPath, target.RawQuery = r.path, Query(r.query)
	target.Path, _ = url.PathUnescape(r.path)
	now, signed := time.Now(), true // one time for all hops: a ticket covers it
	for range maxRedirects {
		res, err := c.send(ctx, r, &target, now, signed)
		if err != nil {
			c.current.CompareAndSwap(index, (index+1)%int32(len(c.endpoints)))
			return nil, cluster.E(r.op, "", cluster.KindOther, err)
		}
		if res.StatusCode != http.StatusMovedPermanently && res.StatusCode != http.StatusTemporaryRedirect {
			return res, c.failure(r, res)
		}
		drain(res)
		next, err := target.Parse(res.Header.Get("Location"))
		if err != nil || !r.body.rewind() {
			return nil, cluster.Fail(r.op, "", cluster.KindOther, "the node redirects, and the input cannot be sent twice; set s3.redirect=auto")
		}
		target, signed = *next, false // the ticket in the URL stands for the signature
	}
	return nil, cluster.Fail(r.op, "", cluster.KindOther, "too many redirects")
}

// send sends a request to one URL.
func (c *Client) send(ctx context.Context, r *request, target *url.URL, now time.Time, signed bool) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, target.String(), nil)
	if err != nil {
		return nil, err
	}
	req.URL = target
	if r.body.reader != nil {
		req.Body, req.ContentLength = io.NopCloser(&r.body), r.body.length
		if r.body.length < 0 || r.body.length > 64<<10 {
			req.Header.Set("Expect", "100-continue")
		}
	}
	for _, h := range r.header {
		req.Header.Add(h.Name, h.Value)
	}
	req.Header.Set("User-Agent", "aisle")
	c.authorize(req, r, now, signed)
	res, err := c.http.Do(req)
	if err != nil {
		var untrusted *tls.CertificateVerificationError
		if errors.As(err, &untrusted) {
			return nil, fmt.Errorf("the certificate of %s is not trusted: %w; give its authority by AISLE_CA_FILE, or by aisle login --ca-file", target.Host, untrusted.Err)
		}
		var dial *net.OpError
		unsent := errors.As(err, &dial) && dial.Op == "dial"
		return nil, &lostError{endpoint: target.Scheme + "://" + target.Host, unsent: unsent, err: err}
	}
	return res, nil
}

func (c *Client) authorize(req *http.Request, r *request, now time.Time, signed bool) {
	payload := r.payload
	if payload == "" {
		payload = EmptyPayload
	}
	if c.token != "" {
		if signed {
			req.Header.Set("Authorization", "Bearer "+c.token)
		}
		return
	}
	req.Header.Set("X-Amz-Date", now.UTC().Format(amzTime))
	req.Header.Set("X-Amz-Content-Sha256", payload)
	if signed {
		req.Header.Set("Authorization", c.signer.Sign(req.Method, req.URL.Host, req.URL.EscapedPath(), req.URL.RawQuery, now, payload, r.header...))
	}
}

// failure turns a reply that is not a success into an error, and closes it.
func (c *Client) failure(r *request, res *http.Response) error {
	if res.StatusCode < 300 {
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(res.Body, api.MaxBody))
	res.Body.Close()
	if r.method == http.MethodHead {
		text = []byte(res.Header.Get(api.HeaderError))
	}
	e := api.RemoteError(r.op, res.StatusCode, text)
	if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil {
		e.RetryAfter = time.Duration(seconds) * time.Second
	}
	return e
}

// drain reads the rest of a short reply, so that the connection can be used again.
func drain(res *http.Response) {
	_, _ = io.CopyN(io.Discard, res.Body, 64<<10) // else the connection closes
	res.Body.Close()
}

// call sends a control request and reads a JSON answer into v, unless v is nil.
func (c *Client) call(ctx context.Context, r *request, v any) error {
	res, err := c.do(ctx, r)
	if err != nil {
		return err
	}
	defer drain(res)
	if v == nil {
		return nil
	}
	if err := json.NewDecoder(res.Body).Decode(v); err != nil {
		return cluster.E(r.op, "", cluster.KindOther, fmt.Errorf("the answer of %s is not understood: %w", c.Endpoint(), err))
	}
	return nil
}

// action makes a control request with an action message.
func action(op, method, path string, query url.Values, name string, value any) (*request, error) {
	text, err := api.NewAction(name, value)
	if err != nil {
		return nil, cluster.E(op, "", cluster.KindInvalid, err)
	}
	r := &request{op: op, method: method, path: path, query: query, header: []Header{{"content-type", api.JSON}}}
	r.setBytes(text)
	return r, nil
}
