package access

import (
	"slices"
	"strings"

	"github.com/aisle-store/aisle/s3"
	"github.com/aisle-store/aisle/s3/policy"
)

// ARN returns how errors name the subject: a session by its own ARN.
func (s *Subject) ARN() string {
	if s.Principal.Session != "" {
		return s.Principal.Session
	}
	return s.Principal.ARN
}

// Decision is what became of a request, and why.
type Decision struct {
	Allowed bool
	Rest    *s3.Proviso // what the owner of the object has to decide, when Allowed says that it depends on the object
	source  source
	by      named
	at      int // the statement, or -1
}

// source is what kind of policy decided, or should have allowed the request and did not.
type source uint8

const (
	byIdentity source = iota
	byBucket
	bySession
	byRoot
	byGrant // an ACL
)

// Resource is what the bucket of a request adds to the decision.
type Resource struct {
	Policy     *policy.Policy // nil when it has none
	Restricted bool           // what the policy allows does not count, what it denies does
	Owner      bool           // the policy is to be changed by the root key, whatever it says
	ACL        *ACL           // nil where there are no access control lists
}

// Decide judges a request: a statement that denies it counts more than any that allows it, and without one that does it is
// denied. What a bucket's policy allows needs no policy of who asks; what a session may is bounded by its own policies. The
// root key may do all that no bucket's policy denies. Where r.Defer is set and the decision depends on the object, Rest is the
// part of it that is left.
func (s *Subject) Decide(r *policy.Request, bucket Resource) Decision {
	r.Principal = s.Principal
	allowed := Decision{at: -1}
	found := func(src source, p named, at int) {
		if !allowed.Allowed {
			allowed = Decision{Allowed: true, source: src, by: p, at: at}
		}
	}
	var rest []policy.Clause
	if p := bucket.Policy; p != nil && !(s.Principal.Root && bucket.Owner) {
		ofBucket := named{"of the bucket", p}
		switch verdict, at := ofBucket.evaluate(r, &rest); verdict {
		case policy.Denied:
			return Decision{source: byBucket, by: ofBucket, at: at}
		case policy.Allowed:
			if !bucket.Restricted {
				found(byBucket, ofBucket, at)
			}
		}
		if bucket.Restricted {
			rest = slices.DeleteFunc(rest, func(c policy.Clause) bool { return c.Effect == policy.Allow })
		}
	}
	for _, p := range s.policies {
		switch verdict, at := p.evaluate(r, &rest); verdict {
		case policy.Denied:
			return Decision{source: byIdentity, by: p, at: at}
		case policy.Allowed:
			found(byIdentity, p, at)
		}
	}
	if s.Principal.Root && !allowed.Allowed {
		allowed = Decision{Allowed: true, source: byRoot, at: -1}
	}
	if bucket.ACL.Grants(s, r.Action) {
		found(byGrant, named{}, -1)
	}
	return s.bounded(r, allowed, rest, bucket.ACL)
}

// bounded judges a request by the policies of a session, one of which has to allow it too, and finds out whether anything is
// left to decide.
func (s *Subject) bounded(r *policy.Request, allowed Decision, rest []policy.Clause, acl *ACL) Decision {
	permission := s3.NoPermission
	if r.Defer && acl != nil && !allowed.Allowed {
		permission = objectPermissions[r.Action]
	}
	grantable := slices.ContainsFunc(rest, func(c policy.Clause) bool { return c.Effect == policy.Allow })
	if !allowed.Allowed && !grantable && permission == s3.NoPermission {
		return allowed
	}
	var bounds []policy.Clause
	bound := s.inBounds(r, &bounds)
	if bound.Explicit() || !bound.Allowed && !slices.ContainsFunc(bounds, func(c policy.Clause) bool { return c.Effect == policy.Allow }) {
		return bound
	}
	denies := func(c policy.Clause) bool { return c.Effect == policy.Deny }
	if allowed.Allowed && bound.Allowed && !slices.ContainsFunc(rest, denies) && !slices.ContainsFunc(bounds, denies) {
		return allowed
	}
	left := allowed
	left.Allowed, left.Rest = true, &s3.Proviso{
		Action: r.Action.String(), Resource: r.Resource, Principal: s.ARN(), Allowed: allowed.Allowed, Unbounded: bound.Allowed,
		Clauses: rest, Bounds: bounds, Permission: permission, Canonical: s.Principal.Canonical, Reason: allowed.Reason(r.Action.String()),
	}
	if acl != nil {
		left.Rest.IgnorePublic = acl.IgnorePublic
	}
	return left
}

// inBounds judges a request by the policies of a session alone.
func (s *Subject) inBounds(r *policy.Request, rest *[]policy.Clause) Decision {
	bound := Decision{Allowed: len(s.session) == 0, source: bySession, at: -1}
	for _, p := range s.session {
		switch verdict, at := p.evaluate(r, rest); verdict {
		case policy.Denied:
			return Decision{source: bySession, by: p, at: at}
		case policy.Allowed:
			bound.Allowed = true
		}
	}
	return bound
}

// evaluate asks a policy, and collects what it leaves to the owner of the object.
func (n *named) evaluate(r *policy.Request, rest *[]policy.Clause) (policy.Verdict, int) {
	r.Deferred = nil
	verdict, at := n.policy.Evaluate(r)
	for _, c := range r.Deferred {
		c.Policy = n.label
		*rest = append(*rest, c)
	}
	return verdict, at
}

// Explicit reports whether a statement denies the request; else none allows it.
func (d *Decision) Explicit() bool { return !d.Allowed && d.by.policy != nil }

// Why says what decided, for the log: which statement of which policy, or that none allows the request.
func (d *Decision) Why() string {
	switch {
	case d.source == byRoot:
		return "the root key may do everything"
	case d.source == byGrant:
		return "the access control list allows it"
	case d.by.policy != nil && d.Allowed:
		return "statement " + d.by.policy.Statement(d.at) + " of the policy " + d.by.label + " allows it"
	case d.by.policy != nil:
		return "statement " + d.by.policy.Statement(d.at) + " of the policy " + d.by.label + " denies it"
	case d.source == bySession:
		return "no statement of the session's policies allows it"
	}
	return "no statement of any policy allows it"
}

// Reason is Why in AWS's words, which name no statement.
func (d *Decision) Reason(action string) string {
	kind := [...]string{byIdentity: "n identity-based", byBucket: " resource-based", bySession: " session"}[min(d.source, bySession)]
	if d.by.policy != nil {
		return "with an explicit deny in a" + kind + " policy"
	}
	return "because no" + strings.TrimPrefix(kind, "n") + " policy allows the " + action + " action"
}
