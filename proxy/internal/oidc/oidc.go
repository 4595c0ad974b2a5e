// Package oidc verifies tokens of web identities: JSON web tokens that issuers which the cluster trusts have signed. The keys of
// an issuer are found by OpenID Connect's discovery, fetched and kept. Nobody else imports the library for it.
package oidc

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/aisle-store/aisle/cluster"
)

// What is wrong with a token.
var (
	ErrExpired     = errors.New("the token is expired")
	ErrInvalid     = errors.New("the token is not valid")
	ErrUnreachable = errors.New("the issuer cannot be reached")
)

// Claims are what a token proves.
type Claims struct {
	Issuer   string
	Subject  string
	Audience []string // whom it is for
	Party    string   // azp: who asked for it, "" when it does not say
	Email    string
	Methods  []string // amr
}

// maxToken bounds a token.
const maxToken = 20000

// Issuer returns the issuer that a token names, which proves nothing.
func Issuer(token string) (string, error) {
	parts := strings.Split(token, ".")
	if len(token) > maxToken || len(parts) != 3 {
		return "", ErrInvalid
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", ErrInvalid
	}
	var claims struct {
		Issuer string `json:"iss"`
	}
	if json.Unmarshal(body, &claims) != nil || claims.Issuer == "" {
		return "", ErrInvalid
	}
	return claims.Issuer, nil
}

// Verifier verifies tokens. It keeps what it learned of each issuer for a while.
type Verifier struct {
	mu struct {
		sync.Mutex
		issuers map[string]*issuer // by URL
	}
}

// issuer is what is known of one.
type issuer struct {
	sync.Mutex  // while it is asked
	thumbprints []string
	learned     time.Time
	provider    *oidc.Provider
	err         error
}

const (
	keepIssuer  = time.Hour
	keepFailure = 5 * time.Second
)

// fetching is in errors of the library about keys that could not be fetched, for which it has no type.
const fetching = "fetching keys"

// Verify checks a token of an issuer that the cluster trusts.
func (v *Verifier) Verify(ctx context.Context, trusted cluster.OIDCProvider, token string, now func() time.Time) (*Claims, error) {
	provider, err := v.issuer(trusted).learn(ctx, trusted, now())
	if err != nil {
		return nil, errors.Join(ErrUnreachable, err)
	}
	verified, err := provider.Verifier(&oidc.Config{SkipClientIDCheck: true, Now: now}).Verify(ctx, token)
	if expired := (*oidc.TokenExpiredError)(nil); errors.As(err, &expired) {
		return nil, ErrExpired
	}
	if err != nil && strings.Contains(err.Error(), fetching) {
		return nil, errors.Join(ErrUnreachable, err)
	}
	if err != nil {
		return nil, errors.Join(ErrInvalid, err)
	}
	var more struct {
		Party   string   `json:"azp"`
		Email   string   `json:"email"`
		Methods []string `json:"amr"`
	}
	if err := verified.Claims(&more); err != nil {
		return nil, errors.Join(ErrInvalid, err)
	}
	c := &Claims{verified.Issuer, verified.Subject, verified.Audience, more.Party, more.Email, more.Methods}
	if c.Subject == "" || !slices.ContainsFunc(append(slices.Clone(c.Audience), c.Party), func(a string) bool { return a != "" && slices.Contains(trusted.Clients, a) }) {
		return nil, errors.Join(ErrInvalid, errors.New("incorrect token audience"))
	}
	return c, nil
}

func (v *Verifier) issuer(trusted cluster.OIDCProvider) *issuer {
	v.mu.Lock()
	defer v.mu.Unlock()
	i := v.mu.issuers[trusted.URL]
	if i == nil || !slices.Equal(i.thumbprints, trusted.Thumbprints) {
		if v.mu.issuers == nil {
			v.mu.issuers = make(map[string]*issuer)
		}
		i = &issuer{thumbprints: trusted.Thumbprints}
		v.mu.issuers[trusted.URL] = i
	}
	return i
}

// learn asks an issuer where its keys are, unless that is known.
func (i *issuer) learn(ctx context.Context, trusted cluster.OIDCProvider, now time.Time) (*oidc.Provider, error) {
	i.Lock()
	defer i.Unlock()
	keep := keepIssuer
	if i.err != nil {
		keep = keepFailure
	}
	if age := now.Sub(i.learned); !i.learned.IsZero() && age >= 0 && age < keep {
		return i.provider, i.err
	}
	// The keys are fetched by this client for as long as the provider is kept: not only while this request lasts.
	client := oidc.ClientContext(context.WithoutCancel(ctx), newClient(trusted))
	i.provider, i.err = oidc.NewProvider(client, trusted.URL)
	i.learned = now
	return i.provider, i.err
}
