package secret

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// Protocol is what a TLS connection between nodes carries; it is negotiated by ALPN.
type Protocol string

// The protocols.
const (
	Raft    Protocol = "aisle-raft"    // streams of raft
	Control Protocol = "aisle-control" // control calls: see Server and Caller
)

// Identity is the TLS identity that every node of a cluster derives from the cluster secret. Whoever proves to hold its
// key knows the secret. There is no certificate authority: each side compares the other's public key with its own.
type Identity struct {
	certificate tls.Certificate
	public      ed25519.PublicKey
}

// Identity derives the TLS identity.
func (s *Secret) Identity() (*Identity, error) {
	key := ed25519.NewKeyFromSeed(s.derive("tls identity ed25519", ed25519.SeedSize))
	// Nobody checks anything of the certificate but its key.
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "aisle node"},
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	}
	public := key.Public().(ed25519.PublicKey)
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	if err != nil {
		return nil, cluster.E("secret.Secret.Identity", "", cluster.KindOther, err)
	}
	return &Identity{certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, public: public}, nil
}

// config is TLS 1.3 with this identity on both sides.
func (i *Identity) config(protocols ...Protocol) *tls.Config {
	c := &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{i.certificate},
		ClientAuth:             tls.RequireAnyClientCert,
		InsecureSkipVerify:     true, // replaced by VerifyConnection, which runs on both sides
		VerifyConnection:       i.verify,
		SessionTicketsDisabled: true,
	}
	for _, p := range protocols {
		c.NextProtos = append(c.NextProtos, string(p))
	}
	return c
}

// errStranger is what a handshake with a node of another cluster fails with.
var errStranger = errors.New("the peer does not know this cluster's secret")

// verify accepts the peer when its key, which the handshake proves it to hold, is ours.
func (i *Identity) verify(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return errStranger
	}
	public, ok := state.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	if !ok || !public.Equal(i.public) {
		return errStranger
	}
	return nil
}

// Dial opens a connection for a protocol to a node's intra-cluster address, and returns when both sides have proved to
// know the secret.
func (i *Identity) Dial(ctx context.Context, p Protocol, addr string) (net.Conn, error) {
	const op = "secret.Identity.Dial"
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, cluster.E(op, addr, cluster.KindUnavailable, err)
	}
	t := tls.Client(c, i.config(p))
	if err := t.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, cluster.E(op, addr, kindOfTLS(err), err)
	}
	// In TLS 1.3 the client ends its handshake before the server has judged its certificate. The first read tells.
	return t, nil
}

// kindOfTLS tells a peer that is not of this cluster, which is judged here or there, from one that cannot be reached.
func kindOfTLS(err error) cluster.Kind {
	var alert tls.AlertError
	var op *net.OpError
	if errors.Is(err, errStranger) || errors.As(err, &alert) || errors.As(err, &op) && op.Op == "remote error" {
		return cluster.KindUnauthenticated
	}
	return cluster.KindUnavailable
}
