package access

import (
	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/s3/policy"
)

// MayBecome judges whether a subject may become a role: the role's trust policy has to allow it and, where that names the whole
// account, a policy of the subject too. What the subject's policies deny is denied, and what the policies of a session do not
// allow it may not do by a trust policy either: else it would leave them behind.
func (s *Subject) MayBecome(r *cluster.Role, q *policy.Request) Decision {
	q.Principal, q.Resource = s.Principal, r.ARN()
	trust := named{"that the role " + string(r.Name) + " trusts by", parsedTrust(r.Trust)}
	own := s.Decide(q, Resource{})
	if own.Explicit() {
		return own
	}
	var none []policy.Clause // nothing of it depends on an object
	if bound := s.inBounds(q, &none); !bound.Allowed {
		return bound
	}
	q.Principal = s.Principal
	switch verdict, at := trust.policy.Evaluate(q); verdict {
	case policy.Denied:
		return Decision{source: byBucket, by: trust, at: at}
	case policy.Allowed:
		return Decision{Allowed: true, source: byBucket, by: trust, at: at}
	}
	// Whoever the trust policy allows as the account's root, the account can allow by its own policies.
	q.Principal.Root = true
	if verdict, _ := trust.policy.Evaluate(q); verdict == policy.Allowed {
		return own
	}
	return Decision{source: byBucket, at: -1}
}

// assumeRole and setSourceIdentity are what becoming a role comes to.
var assumeRole, setSourceIdentity = policy.ActionOf("sts:AssumeRole"), policy.ActionOf("sts:SetSourceIdentity")

// MayBecomeAs is MayBecome for sts:AssumeRole and, where the session is to have a source identity, for sts:SetSourceIdentity. A
// session that has one keeps it. The action is the one that decided.
func (s *Subject) MayBecomeAs(source string, r *cluster.Role, q *policy.Request) (policy.Action, Decision) {
	q.Action = assumeRole
	d := s.MayBecome(r, q)
	if !d.Allowed || source == "" {
		return assumeRole, d
	}
	if s.SourceIdentity != "" && s.SourceIdentity != source {
		return setSourceIdentity, Decision{source: byBucket, at: -1}
	}
	q.Action = setSourceIdentity
	return setSourceIdentity, s.MayBecome(r, q)
}

// MayBecomeBy judges whether who has proved a web identity may become a role. principal is what trust policies name: the provider.
func MayBecomeBy(provider string, r *cluster.Role, q *policy.Request) Decision {
	q.Principal, q.Resource = policy.Principal{ARN: provider}, r.ARN()
	trust := named{"that the role " + string(r.Name) + " trusts by", parsedTrust(r.Trust)}
	verdict, at := trust.policy.Evaluate(q)
	if verdict == policy.Silent {
		return Decision{source: byBucket, at: -1}
	}
	return Decision{Allowed: verdict == policy.Allowed, source: byBucket, by: trust, at: at}
}

// parsedTrust compiles a trust policy that was checked when it was stored. One that this build cannot read trusts nobody.
func parsedTrust(document string) *policy.Policy {
	p, err := policy.Parse([]byte(document), policy.Options{Kind: policy.Trust})
	if err != nil {
		return &policy.Policy{}
	}
	return p
}
