package front

import (
	"cmp"
	"context"
	"log/slog"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/control"
	"github.com/aisle-store/aisle/proxy/internal/access"
	"github.com/aisle-store/aisle/s3"
	"github.com/aisle-store/aisle/s3/policy"
)

// stsAction answers one action of STS.
type stsAction func(f *Front, ctx context.Context, q *query) (func(*queryXML), error)

// stsActions is what of STS is built.
var stsActions = map[string]stsAction{
	"GetCallerIdentity": (*Front).callerIdentity,
	"AssumeRole":        (*Front).assumeRole,
	"GetSessionToken":   (*Front).sessionToken,
	webIdentityAction:   (*Front).assumeRoleWithWebIdentity,
}

// webIdentityAction is the one action that is not signed: what it proves is in its token.
const webIdentityAction = "AssumeRoleWithWebIdentity"

// Bounds of sessions (AWS: "AWS STS API Reference").
const (
	maxSessionToken  = 129600 // seconds that a session of GetSessionToken lasts
	maxRootToken     = 3600
	longToken        = 43200
	maxSessionPolicy = policy.MaxSessionDocument
	maxPolicyARNs    = 10
	maxPacked        = 8 << 10 // bytes of a token
)

var sessionNames = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)

func (f *Front) callerIdentity(_ context.Context, q *query) (func(*queryXML), error) {
	return func(w *queryXML) {
		w.text("Arn", q.who.ARN())
		w.text("UserId", q.who.ID)
		w.text("Account", cluster.Account)
	}, nil
}

func invalidParameter(name, value, constraint string) error {
	return access.Refuse(access.ValidationError, "1 validation error detected: Value '"+value+"' at '"+name+"' failed to satisfy constraint: "+constraint)
}

// seconds reads DurationSeconds.
func seconds(p url.Values, initial, longest int) (int, error) {
	text := p.Get("DurationSeconds")
	if text == "" {
		return min(initial, longest), nil
	}
	n, err := strconv.Atoi(text)
	switch {
	case err != nil || n < access.MinSession:
		return 0, invalidParameter("durationSeconds", text, "Member must have value greater than or equal to "+strconv.Itoa(access.MinSession))
	case n > longest:
		return 0, access.Refuse(access.ValidationError, "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	return n, nil
}

// newSession begins a session that lasts so many seconds.
func newSession(now time.Time, last int) *access.Session {
	return &access.Session{Key: access.NewKeyID(true), Issued: now.Unix(), Expires: now.Unix() + int64(last)}
}

// readRoleSession reads what both ways to become a role have in common.
func readRoleSession(p url.Values, ids *cluster.Identities, now time.Time, longest int) (*access.Session, *cluster.Role, error) {
	arn, name := p.Get("RoleArn"), p.Get("RoleSessionName")
	if len(arn) < 20 || len(arn) > 2048 {
		return nil, nil, invalidParameter("roleArn", arn, "Member must have length between 20 and 2048")
	}
	if !sessionNames.MatchString(name) {
		return nil, nil, invalidParameter("roleSessionName", name, `Member must satisfy regular expression pattern: [\w+=,.@-]{2,64}`)
	}
	role, ok := ids.Role(cluster.RoleName(arn[strings.LastIndexByte(arn, '/')+1:]))
	if !ok || role.ARN() != arn {
		role = cluster.Role{MaxSeconds: access.MaxSession} // that it does not exist is told as that it may not be assumed
	}
	last, err := seconds(p, access.DefaultSession, min(longest, role.MaxSeconds))
	if err != nil {
		return nil, nil, err
	}
	s := newSession(now, last)
	s.Role, s.RoleID, s.Name = role.Name, role.ID, name
	for key := range p {
		if strings.HasPrefix(key, "Tags.") || strings.HasPrefix(key, "TransitiveTagKeys.") || strings.HasPrefix(key, "ProvidedContexts.") {
			return nil, nil, access.Refuse(access.ValidationError, "Session tags and contexts are not supported.")
		}
	}
	if role.ID == "" {
		return s, nil, nil
	}
	return s, &role, sessionPolicies(s, p, ids)
}

// sessionPolicies reads the policies that bound a session.
func sessionPolicies(s *access.Session, p url.Values, ids *cluster.Identities) error {
	size := 0
	if document := p.Get("Policy"); document != "" {
		size += len(document)
		if size > maxSessionPolicy {
			return access.Refuse(access.PackedPolicyTooLarge, "Packed policy consumes "+strconv.Itoa(100*size/maxSessionPolicy)+"% of allotted space, please use smaller policy.")
		}
		if _, err := policy.Parse([]byte(document), policy.Options{}); err != nil {
			return access.Refuse(access.MalformedPolicyDocument, err.Error())
		}
		s.Policies = append(s.Policies, document)
	}
	for i := 1; p.Get("PolicyArns.member."+strconv.Itoa(i)+".arn") != ""; i++ {
		arn := p.Get("PolicyArns.member." + strconv.Itoa(i) + ".arn")
		if _, ok := access.ManagedDocument(ids, arn); !ok {
			return access.Refuse(access.MalformedPolicyDocument, "ARN "+arn+" is not valid.")
		}
		if i > maxPolicyARNs {
			return access.Refuse(access.ValidationError, "A session has "+strconv.Itoa(maxPolicyARNs)+" managed policies at most.")
		}
		s.Managed = append(s.Managed, arn)
	}
	return nil
}

// assumeRole makes the caller a role for a while.
func (f *Front) assumeRole(_ context.Context, q *query) (func(*queryXML), error) {
	longest := access.MaxSession
	if q.who.Type == "AssumedRole" {
		longest = access.DefaultSession // from role to role
	}
	s, role, err := readRoleSession(q.form, q.view.Identities(), f.o.Now(), longest)
	if err != nil {
		return nil, err
	}
	if given := q.form.Get("SourceIdentity"); given != "" && !sessionNames.MatchString(given) {
		return nil, invalidParameter("sourceIdentity", given, `Member must satisfy regular expression pattern: [\w+=,.@-]{2,64}`)
	}
	s.Source = cmp.Or(q.form.Get("SourceIdentity"), q.who.SourceIdentity) // which stays from role to role
	action, resource := policy.ActionOf("sts:AssumeRole"), q.form.Get("RoleArn")
	q.context.sts = map[string][]string{
		"sts:externalid": one(q.form.Get("ExternalId")), "sts:rolesessionname": {s.Name}, "sts:sourceidentity": one(s.Source),
	}
	decision := access.Decision{}
	if role != nil {
		action, decision = q.who.MayBecomeAs(s.Source, role, &policy.Request{Context: &q.context})
	}
	if !decision.Allowed {
		return nil, f.notBecome(q, action, resource, &decision)
	}
	return f.become(q, s, role)
}

// notBecome is the answer to who may not become a role.
func (f *Front) notBecome(q *query, action policy.Action, resource string, d *access.Decision) error {
	_ = f.denied(&q.judged, action, resource, d)
	return denyBecome("User: " + q.who.ARN() + " is not authorized to perform: " + action.String() + " on resource: " + resource)
}

func denyBecome(message string) error {
	return s3.NewFault("proxy/front.assumeRole", s3.AccessDenied, message)
}

// become answers with the credentials of a session of a role.
func (f *Front) become(q *query, s *access.Session, role *cluster.Role) (func(*queryXML), error) {
	credentials, size, err := f.credentials(q.view, s)
	if err != nil {
		return nil, err
	}
	f.o.Logger.LogAttrs(context.Background(), slog.LevelInfo, "role assumed", slog.String("request", string(q.req.ID)), slog.String("identity", string(q.key.ID)),
		slog.String("principal", q.who.ARN()), slog.String("role", role.ARN()), slog.String("session", s.Name), slog.String("key", string(s.Key)))
	return func(w *queryXML) {
		credentials(w)
		w.in("AssumedRoleUser", func() {
			w.text("AssumedRoleId", role.ID+":"+s.Name)
			w.text("Arn", access.SessionARN(role.Name, s.Name))
		})
		if len(s.Policies)+len(s.Managed) > 0 {
			w.text("PackedPolicySize", strconv.Itoa(100*size/maxPacked))
		}
		if s.Source != "" {
			w.text("SourceIdentity", s.Source)
		}
	}, nil
}

// credentials returns what writes the credentials of a session, and the size of its token.
func (f *Front) credentials(view *control.View, s *access.Session) (func(*queryXML), int, error) {
	token, err := f.sealSession(s)
	if err != nil {
		return nil, 0, err
	}
	if len(token) > maxPacked {
		return nil, 0, access.Refuse(access.PackedPolicyTooLarge, "Packed policy consumes "+strconv.Itoa(100*len(token)/maxPacked)+"% of allotted space, please use smaller policy.")
	}
	key, ok := view.Key(s.Key)
	if !ok {
		return nil, 0, cluster.Fail("proxy/front.credentials", "", cluster.KindUnavailable, "this node has no cluster key yet")
	}
	return func(w *queryXML) {
		w.in("Credentials", func() {
			w.text("AccessKeyId", string(s.Key))
			w.text("SecretAccessKey", key.Secret)
			w.text("SessionToken", token)
			w.time("Expiration", time.Unix(s.Expires, 0))
		})
	}, len(token), nil
}

// sessionToken gives the caller temporary credentials of its own.
func (f *Front) sessionToken(_ context.Context, q *query) (func(*queryXML), error) {
	if q.key.ID.IsTemporary() {
		return nil, s3.NewFault("proxy/front.sessionToken", s3.AccessDenied, "Cannot call GetSessionToken with session credentials")
	}
	initial, longest := longToken, maxSessionToken
	if q.key.Root {
		initial, longest = maxRootToken, maxRootToken
	}
	last, err := seconds(q.form, initial, longest)
	if err != nil {
		return nil, err
	}
	s := newSession(f.o.Now(), last)
	s.Parent, s.User = q.key.ID, q.who.User
	if !q.key.Root {
		s.UserID = q.who.ID
	}
	credentials, _, err := f.credentials(q.view, s)
	return credentials, err
}
