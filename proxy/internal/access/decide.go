package access

import (
	"strings"

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
	Policy *policy.Policy // nil when it has none
	Owner  bool           // the policy is to be changed by the root key, whatever it says
	Grant  bool           // an ACL allows the request
}

// Decide judges a request: a statement that denies it counts more than any that allows it, and without one that does it is
// denied. What a bucket's policy allows needs no policy of who asks; what a session may is bounded by its own policies. The
// root key may do all that no bucket's policy denies.
func (s *Subject) Decide(r *policy.Request, bucket Resource) Decision {
	r.Principal = s.Principal
	allowed := Decision{at: -1}
	found := func(src source, p named, at int) {
		if !allowed.Allowed {
			allowed = Decision{Allowed: true, source: src, by: p, at: at}
		}
	}
	if p := bucket.Policy; p != nil && !(s.Principal.Root && bucket.Owner) {
		switch verdict, at := p.Evaluate(r); verdict {
		case policy.Denied:
			return Decision{source: byBucket, by: named{"of the bucket", p}, at: at}
		case policy.Allowed:
			found(byBucket, named{"of the bucket", p}, at)
		}
	}
	for _, p := range s.policies {
		switch verdict, at := p.policy.Evaluate(r); verdict {
		case policy.Denied:
			return Decision{source: byIdentity, by: p, at: at}
		case policy.Allowed:
			found(byIdentity, p, at)
		}
	}
	if s.Principal.Root {
		return Decision{Allowed: true, source: byRoot, at: -1}
	}
	if bucket.Grant {
		found(byGrant, named{}, -1)
	}
	if len(s.session) > 0 && allowed.Allowed {
		return s.bounded(r, allowed)
	}
	return allowed
}

// bounded judges a request by the policies of a session, one of which has to allow it too.
func (s *Subject) bounded(r *policy.Request, allowed Decision) Decision {
	bound := Decision{source: bySession, at: -1}
	for _, p := range s.session {
		switch verdict, at := p.policy.Evaluate(r); verdict {
		case policy.Denied:
			return Decision{source: bySession, by: p, at: at}
		case policy.Allowed:
			bound = allowed
		}
	}
	return bound
}

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
