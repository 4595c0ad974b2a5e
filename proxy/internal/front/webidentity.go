package front

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/proxy/internal/access"
	"github.com/aisle-store/aisle/proxy/internal/oidc"
	"github.com/aisle-store/aisle/s3/policy"
)

// Issuers verify tokens of web identities; *oidc.Verifier does.
type Issuers interface {
	Verify(ctx context.Context, trusted cluster.OIDCProvider, token string, now func() time.Time) (*oidc.Claims, error)
}

// assumeRoleWithWebIdentity makes who has a token of a trusted issuer a role for a while.
func (f *Front) assumeRoleWithWebIdentity(ctx context.Context, q *query) (func(*queryXML), error) {
	token := q.form.Get("WebIdentityToken")
	s, role, err := readRoleSession(q.form, q.view.Identities(), f.o.Now(), access.MaxSession)
	if err != nil {
		return nil, err
	}
	issuer, err := oidc.Issuer(token)
	if err != nil {
		return nil, access.Refuse(access.InvalidIdentityToken, "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
	}
	trusted, ok := q.view.Identities().Provider(issuer)
	if !ok {
		return nil, access.Refuse(access.InvalidIdentityToken, "No OpenIDConnect provider found in your account for "+issuer)
	}
	claims, err := f.issuers.Verify(ctx, trusted, token, f.o.Now)
	if err != nil {
		return nil, tokenFault(err)
	}
	q.who = &access.Subject{Name: claims.Subject, ID: trusted.ARN() + ":" + claims.Subject, Type: "FederatedUser", Principal: policy.Principal{ARN: trusted.ARN()}}
	s.Web = webKeys(&trusted, claims)
	q.who.Web = s.Web
	q.context.who, q.context.sts = q.who, map[string][]string{"sts:rolesessionname": {s.Name}}
	action, resource := policy.ActionOf("sts:"+webIdentityAction), q.form.Get("RoleArn")
	decision := access.Decision{}
	if role != nil {
		decision = access.MayBecomeBy(trusted.ARN(), role, &policy.Request{Action: action, Context: &q.context})
	}
	if !decision.Allowed {
		_ = f.notBecome(q, action, resource, &decision)
		return nil, denyBecome("Not authorized to perform sts:" + webIdentityAction)
	}
	become, err := f.become(q, s, role)
	if err != nil {
		return nil, err
	}
	return func(w *queryXML) {
		become(w)
		w.text("SubjectFromWebIdentityToken", claims.Subject)
		w.text("Audience", strings.Join(claims.Audience, ","))
		w.text("Provider", trusted.ARN())
	}, nil
}

// tokenFault is what a client is told of a token that does not hold.
func tokenFault(err error) error {
	switch {
	case errors.Is(err, oidc.ErrExpired):
		return access.Refuse(access.ExpiredIdentityToken, "Token expired")
	case errors.Is(err, oidc.ErrUnreachable):
		return access.Refuse(access.IDPCommunicationError, "Couldn't retrieve verification key from your identity provider, please reference AssumeRoleWithWebIdentity documentation for requirements")
	case strings.Contains(err.Error(), "audience"):
		return access.Refuse(access.InvalidIdentityToken, "Incorrect token audience")
	}
	return access.Refuse(access.InvalidIdentityToken, "The identity token cannot be verified")
}

// webKeys are the condition keys of a web identity: those of the provider, as AWS names them.
func webKeys(trusted *cluster.OIDCProvider, c *oidc.Claims) map[string][]string {
	prefix := strings.ToLower(trusted.Host()) + ":"
	keys := map[string][]string{"aws:federatedprovider": {trusted.ARN()}, prefix + "sub": {c.Subject}, prefix + "aud": c.Audience, prefix + "oaud": c.Audience}
	if c.Party != "" {
		keys[prefix+"aud"], keys[prefix+"azp"] = []string{c.Party}, []string{c.Party}
	}
	if c.Email != "" {
		keys[prefix+"email"] = []string{c.Email}
	}
	if len(c.Methods) > 0 {
		keys[prefix+"amr"] = c.Methods
	}
	return keys
}
