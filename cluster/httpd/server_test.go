package httpd

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

func TestDoor(t *testing.T) {
	inside, release := make(chan struct{}, 2), make(chan struct{})
	ts := serve(t, Options{MaxRequests: 2, DoorWait: 20 * time.Millisecond, Handler: func(context.Context, *Request, *Reply) error {
		inside <- struct{}{}
		<-release
		return nil
	}})
	a, b := ts.dial().send(get), ts.dial().send(get)
	<-inside
	<-inside
	c := ts.dial().send(get)
	if got := c.want("GET", 503, "*"); got.header.Get("Retry-After") != "1" || got.close {
		t.Fatalf("%+v", got)
	}
	close(release)
	a.want("GET", 204, "")
	b.want("GET", 204, "")
	c.send(get).want("GET", 204, "")
}

func TestTooManyConnections(t *testing.T) {
	ts := serve(t, Options{MaxConnections: 1, Handler: hello})
	a := ts.dial().send(get)
	a.want("GET", 200, "hello /x")
	b := ts.dial().send(get)
	if got := b.want("GET", 503, "*"); !got.close {
		t.Fatal("must close")
	}
	b.wantClosed()
	a.send(get).want("GET", 200, "hello /x")
}

// TestTooManyConnectionsTLS checks that a client that never shakes hands cannot make a connection stay that is one too many.
func TestTooManyConnectionsTLS(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	selfSigned(t, certFile, keyFile, 1)
	cert, err := LoadCertificate(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	ts := serve(t, Options{MaxConnections: 1, TLS: cert.Config(), Handler: hello})
	ts.dial() // takes the one place
	silent := ts.dial()
	if err := silent.SetReadDeadline(time.Now().Add(4 * lingerTime)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(silent); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the connection stays")
	}
}

func TestShutdown(t *testing.T) {
	inside, release := make(chan struct{}, 1), make(chan struct{})
	ts := serve(t, Options{Handler: func(ctx context.Context, req *Request, rep *Reply) error {
		if req.Path == "/slow" {
			inside <- struct{}{}
			<-release
		}
		return hello(ctx, req, rep)
	}})
	idle, used, busy := ts.dial(), ts.dial(), ts.dial()
	used.send(get).want("GET", 200, "hello /x")
	busy.send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
	<-inside
	done := make(chan error, 1)
	go func() { done <- ts.Shutdown(context.Background()) }()
	idle.wantClosed()
	used.wantClosed()
	select {
	case err := <-done:
		t.Fatalf("shut down while a request is served: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	close(release)
	if a := busy.want("GET", 200, "hello /slow"); !a.close {
		t.Fatal("must say that it closes")
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", ts.addr); err == nil {
		t.Fatal("still listening")
	}
}

func TestShutdownByForce(t *testing.T) {
	inside := make(chan struct{})
	ended := make(chan error, 1)
	ts := serve(t, Options{Handler: func(ctx context.Context, _ *Request, _ *Reply) error {
		close(inside)
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}})
	ts.dial().send(get)
	<-inside
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := ts.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	default:
		t.Fatal("Shutdown did not wait for the handler")
	}
}

func TestContextEndsWithClient(t *testing.T) {
	inside, ended := make(chan struct{}), make(chan struct{})
	ts := serve(t, Options{Handler: func(ctx context.Context, _ *Request, _ *Reply) error {
		close(inside)
		<-ctx.Done()
		close(ended)
		return ctx.Err()
	}})
	c := ts.dial().send(get)
	<-inside
	c.Close()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the handler was not told that the client is gone")
	}
}

func TestContextEndsAfterReply(t *testing.T) {
	var ctx context.Context
	alive := make(chan error, 1)
	ts := serve(t, Options{Handler: func(c context.Context, _ *Request, rep *Reply) error {
		ctx = c
		rep.Stream(2, ReaderBody(readerFunc(func(p []byte) (int, error) {
			alive <- c.Err()
			return copy(p, "ab"), io.EOF
		})))
		return nil
	}})
	c := ts.dial().send(get)
	c.want("GET", 200, "ab")
	if err := <-alive; err != nil {
		t.Fatal("the context ended before the body was sent")
	}
	c.send("GET / HTTP/1.1\r\n\r\n").want("GET", 400, "*") // the next request is there: the first is over
	if ctx.Err() == nil {
		t.Fatal("the context lives on")
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestExchanges(t *testing.T) {
	ts := serve(t, Options{Handler: func(ctx context.Context, req *Request, rep *Reply) error {
		rep.Operation, rep.Identity = "Echo", "AK"
		return echo(ctx, req, rep)
	}})
	ids := make(map[cluster.RequestID]bool)
	c := ts.dial()
	for range 3 {
		c.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
		a := c.want("PUT", 200, "PUT /? host=h len=3 body=abc")
		ids[cluster.RequestID(a.header.Get("X-Amz-Request-Id"))] = true
	}
	if len(ids) != 3 || ids[""] {
		t.Fatal("request ids are not unique:", ids)
	}
	c.send("garbage\r\n\r\n").want("GET", 400, "*")
	c.wantClosed() // after the exit
	if e := ts.exchange(0); e.Status != 200 || e.BytesIn != 3 || e.BytesOut != 28 || e.Err != nil || e.Duration <= 0 {
		t.Fatalf("%+v", e)
	}
	if e := ts.exchange(3); e.Status != 400 || !cluster.Is(e.Err, cluster.KindInvalid) {
		t.Fatalf("%+v", e)
	}
}

// selfSigned writes a certificate for 127.0.0.1 and its key into files.
func selfSigned(t *testing.T, certFile, keyFile string, serial int64) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "aisle"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	first := selfSigned(t, certFile, keyFile, 1)
	cert, err := LoadCertificate(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	if err := os.WriteFile(data, []byte(strings.Repeat("0123456789", 100_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	plain := serve(t, Options{Handler: func(_ context.Context, _ *Request, rep *Reply) error {
		rep.Bytes("", []byte(strings.Repeat("0123456789", 100_000)))
		return nil
	}})
	client := newClient(t, ClientOptions{})
	ts := serve(t, Options{TLS: cert.Config(), Handler: func(ctx context.Context, req *Request, rep *Reply) error {
		if req.Path == "/relay" {
			return client.Relay(ctx, plain.addr, req, rep)
		}
		if req.Path == "/file" {
			f, err := os.Open(data)
			if err != nil {
				return err
			}
			rep.Stream(1_000_000, FileBody(f, 0, 1_000_000, true))
			return nil
		}
		if !req.TLS || req.TLSVersion != tls.VersionTLS13 {
			t.Error("TLS is not told")
		}
		return echo(ctx, req, rep)
	}})
	fetch := func(root *x509.Certificate, method, path, body string) (string, error) {
		pool := x509.NewCertPool()
		pool.AddCert(root)
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
		defer transport.CloseIdleConnections()
		req, _ := http.NewRequest(method, "https://"+ts.addr+path, strings.NewReader(body))
		req.Header.Set("Expect", "100-continue")
		req.Host = "h"
		res, err := transport.RoundTrip(req)
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		return string(b), err
	}
	if got, err := fetch(first, "PUT", "/a", "abc"); err != nil || got != "PUT /a? host=h len=3 body=abc" {
		t.Fatal(got, err)
	}
	for _, path := range []string{"/file", "/relay"} {
		if got, err := fetch(first, "GET", path, ""); err != nil || got != strings.Repeat("0123456789", 100_000) {
			t.Fatal(path, len(got), err)
		}
	}
	second := selfSigned(t, certFile, keyFile, 2)
	if err := cert.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, err := fetch(second, "GET", "/a", ""); err != nil {
		t.Fatal("the new certificate is not served:", err)
	}
	if err := os.WriteFile(certFile, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := cert.Reload(); !cluster.Is(err, cluster.KindInvalid) {
		t.Fatal(err)
	}
	if _, err := fetch(second, "GET", "/a", ""); err != nil {
		t.Fatal("the certificate in use is lost:", err)
	}
	ts.dial().send(get).want("GET", 400, "This port speaks https.\n")
}
