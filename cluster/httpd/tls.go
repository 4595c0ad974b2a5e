package httpd

import (
	"crypto/tls"
	"sync/atomic"

	"github.com/aisle-store/aisle/cluster"
)

// Certificate is a certificate with its key from files that can be replaced while the server runs.
type Certificate struct {
	certFile, keyFile string
	current           atomic.Pointer[tls.Certificate]
}

// LoadCertificate reads the files.
func LoadCertificate(certFile, keyFile string) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile}
	return c, c.Reload()
}

// Reload reads the files again (on SIGHUP, say). When they are not right, the certificate in use stays.
func (c *Certificate) Reload() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return cluster.E("cluster/httpd.Certificate.Reload", c.certFile, cluster.KindInvalid, err)
	}
	c.current.Store(&pair)
	return nil
}

// Config returns the configuration for Options.TLS: TLS 1.2 or newer, HTTP/1.1 only.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.current.Load(), nil
		},
	}
}
