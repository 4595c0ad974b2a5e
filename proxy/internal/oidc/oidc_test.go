package oidc

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// testIssuer signs tokens.
type testIssuer struct {
	*httptest.Server
	key   *rsa.PrivateKey
	asked atomic.Int32
}

func text64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func newIssuer(t *testing.T) *testIssuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i := &testIssuer{key: key}
	i.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.asked.Add(1)
		var v any = map[string]any{"keys": []map[string]string{{
			"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "one", "n": text64(key.N.Bytes()), "e": text64(big.NewInt(int64(key.E)).Bytes()),
		}}}
		if strings.HasPrefix(r.URL.Path, "/.well-known/") {
			v = map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"}}
		}
		_ = json.NewEncoder(w).Encode(v)
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *testIssuer) mint(t *testing.T, head string, claims map[string]any) string {
	t.Helper()
	body, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed := text64([]byte(head)) + "." + text64(body)
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, i.key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + text64(signature)
}

// TestVerify: which tokens of an issuer hold.
func TestVerify(t *testing.T) {
	i, now := newIssuer(t), time.Now()
	sum := sha1.Sum(i.Certificate().Raw)
	trusted := cluster.OIDCProvider{URL: i.URL, Clients: []string{"app"}, Thumbprints: []string{hex.EncodeToString(sum[:])}}
	v := new(Verifier)
	const head = `{"alg":"RS256","kid":"one"}`
	claims := func(more map[string]any) map[string]any {
		c := map[string]any{"iss": i.URL, "sub": "ann", "aud": "app", "exp": now.Add(time.Minute).Unix(), "email": "a@b"}
		for k, value := range more {
			c[k] = value
		}
		return c
	}
	f := func(want error, token string) {
		t.Helper()
		if issuer, err := Issuer(token); err != nil || issuer == "" {
			t.Fatal(issuer, err)
		}
		c, err := v.Verify(context.Background(), trusted, token, func() time.Time { return now })
		if !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
		if err == nil && (c.Subject != "ann" || c.Email != "a@b" || c.Issuer != i.URL) {
			t.Errorf("%+v", c)
		}
	}
	f(nil, i.mint(t, head, claims(nil)))
	f(nil, i.mint(t, head, claims(map[string]any{"aud": []string{"x", "app"}})))
	f(nil, i.mint(t, head, claims(map[string]any{"aud": "x", "azp": "app"})))
	f(ErrInvalid, i.mint(t, head, claims(map[string]any{"aud": "x"})))
	f(ErrInvalid, i.mint(t, head, claims(map[string]any{"sub": ""})))
	f(ErrInvalid, i.mint(t, head, claims(map[string]any{"iss": i.URL + "/other"})))
	f(ErrExpired, i.mint(t, head, claims(map[string]any{"exp": now.Add(-time.Minute).Unix()})))
	f(ErrInvalid, i.mint(t, `{"alg":"HS256","kid":"one"}`, claims(nil)))
	good := strings.Split(i.mint(t, head, claims(nil)), ".")
	f(ErrInvalid, text64([]byte(`{"alg":"none"}`))+"."+good[1]+".")
	f(ErrInvalid, good[0]+"."+strings.Split(i.mint(t, head, claims(map[string]any{"sub": "eve"})), ".")[1]+"."+good[2])
	before := i.asked.Load()
	for range 50 {
		unknown := i.mint(t, `{"alg":"RS256","kid":"unknown"}`, claims(nil))
		if _, err := v.Verify(context.Background(), trusted, unknown, time.Now); !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrUnreachable) {
			t.Fatalf("a token by a key that there is not: %v", err)
		}
	}
	f(nil, i.mint(t, head, claims(nil)))
	if asked := i.asked.Load() - before; asked > 3*askBurst {
		t.Errorf("the issuer was asked %d times for keys that it does not have", asked)
	}
	other := cluster.OIDCProvider{URL: i.URL, Clients: []string{"app"}, Thumbprints: []string{strings.Repeat("0", 40)}}
	if _, err := v.Verify(context.Background(), other, strings.Join(good, "."), time.Now); !errors.Is(err, ErrUnreachable) {
		t.Errorf("an issuer with another certificate: %v", err)
	}
	for _, bad := range []string{"", "a.b", "a.b.c", "a." + text64([]byte("{}")) + ".c", strings.Repeat("x", maxToken+1)} {
		if _, err := Issuer(bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%.10q has an issuer", bad)
		}
	}
}
