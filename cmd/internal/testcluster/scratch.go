package testcluster

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Root returns the repository's directory.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if exists(filepath.Join(dir, "go.mod")) {
			return dir
		}
	}
	t.Fatal("no go.mod above the working directory")
	return ""
}

// Binary returns the program under test: $AISLE_BINARY, or bin/aisle.
func Binary(t testing.TB) string {
	t.Helper()
	path := os.Getenv("AISLE_BINARY")
	if path == "" {
		path = filepath.Join(Root(t), "bin", "aisle")
	}
	if !exists(path) {
		t.Fatalf("%s does not exist: run make build", path)
	}
	return path
}

// Poll calls f every 100 ms until it succeeds or the limit has passed, then returns its last error.
func Poll(limit time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	last := context.DeadlineExceeded
	for {
		err := f(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return last
		case <-ticker.C:
		}
	}
}

// FreePorts returns ports that nobody listens on now, for TCP and UDP, from outside of the range from which the kernel
// takes the ports of outgoing connections.
func FreePorts(t testing.TB, n int) []int {
	t.Helper()
	var ports []int
	for range 1000 {
		port := 10000 + mathrand.IntN(20000)
		if !free(port) {
			continue
		}
		if ports = append(ports, port); len(ports) == n {
			return ports
		}
	}
	t.Fatalf("no %d free ports", n)
	return nil
}

func free(port int) bool {
	address := fmt.Sprintf(":%d", port)
	l, err := net.Listen("tcp", address)
	if err != nil {
		return false
	}
	defer l.Close()
	u, err := net.ListenPacket("udp", address)
	if err != nil {
		return false
	}
	defer u.Close()
	return true
}

// scratch makes a directory that stays when the test fails.
func scratch(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "aisle-test-")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func removeUnlessFailed(t testing.TB, dir string) {
	if t.Failed() {
		t.Logf("data and logs stay in %s", dir)
		return
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Errorf("remove %s: %v", dir, err)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// makeCertificate writes a certificate for the addresses of all nodes, which is its own authority.
func (c *Cluster) makeCertificate() {
	c.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "aisle test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IsCA: true, BasicConstraintsValid: true,
		DNSNames: []string{"localhost"},
	}
	for i := range c.options.Nodes {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(c.options.Host(i)))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		c.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		c.t.Fatal(err)
	}
	c.CAFile = filepath.Join(c.Dir, "tls.crt")
	c.write("tls.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	c.write("tls.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	c.http.Transport = c.transport()
}

func (c *Cluster) write(name string, text []byte) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.Dir, name), text, 0o600); err != nil {
		c.t.Fatal(err)
	}
}
