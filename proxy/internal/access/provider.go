package access

import (
	"encoding/hex"
	"net/url"
	"slices"
	"strings"

	"github.com/aisle-store/aisle/cluster"
)

// Limits of issuers (AWS: "IAM and AWS STS quotas").
const (
	maxProviders   = 100
	maxClients     = 100
	maxThumbprints = 5
	maxProviderURL = 255
	thumbprintSize = 20 // of SHA-1
)

// Provider returns an issuer of web identities by its ARN.
func (e *Edit) Provider(arn string) (cluster.OIDCProvider, error) {
	for _, p := range e.now.Providers {
		if p.ARN() == arn {
			return p, nil
		}
	}
	return cluster.OIDCProvider{}, fail(NoSuchEntity, "OpenIDConnect Provider not found for arn "+arn)
}

// CreateProvider makes an issuer trusted.
func (e *Edit) CreateProvider(issuer string, clients, thumbprints []string) (cluster.OIDCProvider, error) {
	u, err := url.Parse(issuer)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || len(issuer) > maxProviderURL {
		return cluster.OIDCProvider{}, fail(ValidationError, "Invalid Open ID Connect Provider URL")
	}
	p := cluster.OIDCProvider{URL: issuer, Created: e.time}
	if _, err := e.Provider(p.ARN()); err == nil {
		return p, fail(EntityAlreadyExists, "Provider with url "+issuer+" already exists.")
	}
	if len(e.now.Providers) == maxProviders {
		return p, fail(LimitExceeded, "Cannot exceed quota for OpenIdConnectProvidersPerAccount: 100")
	}
	if p.Thumbprints, err = checkThumbprints(thumbprints); err != nil {
		return p, err
	}
	for _, c := range clients {
		if p.Clients, err = addClient(p.Clients, c); err != nil {
			return p, err
		}
	}
	e.putProvider(p)
	return p, nil
}

func (e *Edit) putProvider(p cluster.OIDCProvider) {
	e.do(cluster.IdentityChange{Put: cluster.Identities{Providers: []cluster.OIDCProvider{p}}})
}

func checkThumbprints(list []string) ([]string, error) {
	if len(list) > maxThumbprints {
		return nil, fail(ValidationError, "Thumbprint list must contain fewer than 5 entries.")
	}
	var checked []string
	for _, t := range list {
		raw, err := hex.DecodeString(t)
		if err != nil || len(raw) != thumbprintSize {
			return nil, fail(ValidationError, "Invalid thumbprint: a SHA-1 in hexadecimal")
		}
		checked = append(checked, strings.ToLower(t))
	}
	return checked, nil
}

func addClient(list []string, client string) ([]string, error) {
	switch {
	case len(client) < 1 || len(client) > 255:
		return list, fail(ValidationError, "A client ID has 1 to 255 characters")
	case slices.Contains(list, client):
		return list, nil
	case len(list) == maxClients:
		return list, fail(LimitExceeded, "Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: 100")
	}
	return append(slices.Clone(list), client), nil
}

// AddClient lets an issuer's tokens be for another client, too.
func (e *Edit) AddClient(arn, client string) error {
	p, err := e.Provider(arn)
	if err == nil {
		p.Clients, err = addClient(p.Clients, client)
	}
	if err == nil {
		e.putProvider(p)
	}
	return err
}

// RemoveClient refuses an issuer's tokens for a client.
func (e *Edit) RemoveClient(arn, client string) error {
	p, err := e.Provider(arn)
	if err == nil {
		p.Clients = slices.DeleteFunc(slices.Clone(p.Clients), func(c string) bool { return c == client })
		e.putProvider(p)
	}
	return err
}

// SetThumbprints says which certificates an issuer may have.
func (e *Edit) SetThumbprints(arn string, list []string) error {
	p, err := e.Provider(arn)
	if err == nil {
		p.Thumbprints, err = checkThumbprints(list)
	}
	if err == nil {
		e.putProvider(p)
	}
	return err
}

// DeleteProvider makes an issuer trusted no more.
func (e *Edit) DeleteProvider(arn string) error {
	p, err := e.Provider(arn)
	if err == nil {
		e.do(cluster.IdentityChange{Providers: []string{p.URL}})
	}
	return err
}
