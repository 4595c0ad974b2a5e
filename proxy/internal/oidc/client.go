package oidc

import (
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// Limits of what an issuer is asked.
const (
	askTime   = 10 * time.Second
	maxAnswer = 1 << 20
	askBurst  = 5           // requests at once
	askEvery  = time.Second // and one more after each
)

// newClient returns what asks an issuer. Tokens that name keys which the issuer does not have make it ask again: how often is
// bounded, for anybody can send them.
func newClient(trusted cluster.OIDCProvider) *http.Client {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConns: 2, IdleConnTimeout: 30 * time.Second, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	if len(trusted.Thumbprints) > 0 {
		pin(transport.TLSClientConfig, trusted.Thumbprints)
	}
	return &http.Client{
		Transport: &bounded{next: transport, left: askBurst, since: time.Now()}, Timeout: askTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("an issuer must not redirect") },
	}
}

// bounded bounds how often an issuer is asked, and how much it may say.
type bounded struct {
	next  http.RoundTripper
	mu    sync.Mutex
	left  float64
	since time.Time
}

// RoundTrip implements http.RoundTripper.
func (b *bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	if !b.take(time.Now()) {
		return nil, errors.New("the issuer was asked too often")
	}
	rep, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	rep.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(rep.Body, maxAnswer), rep.Body}
	return rep, nil
}

func (b *bounded) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = min(askBurst, b.left+float64(now.Sub(b.since))/float64(askEvery))
	b.since = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// pin makes a connection trust those certificates only, as roots, whose SHA-1 is one of the thumbprints.
func pin(c *tls.Config, thumbprints []string) {
	c.InsecureSkipVerify = true // VerifyConnection does it, against other roots
	c.VerifyConnection = func(state tls.ConnectionState) error {
		roots, others := x509.NewCertPool(), x509.NewCertPool()
		for _, cert := range state.PeerCertificates {
			sum := sha1.Sum(cert.Raw)
			if slices.Contains(thumbprints, strings.ToLower(hex.EncodeToString(sum[:]))) {
				roots.AddCert(cert)
			}
			others.AddCert(cert)
		}
		if len(state.PeerCertificates) == 0 {
			return errors.New("the issuer has no certificate")
		}
		_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{DNSName: state.ServerName, Roots: roots, Intermediates: others})
		return err
	}
}
