package policy

import (
	"strconv"
	"strings"
)

// Request is what a policy is asked about.
type Request struct {
	Principal Principal // of interest to policies of buckets and roles
	Action    Action
	Resource  string  // an ARN; of OnService "*"
	Context   Context // condition keys and variables

	// Defer says that the object's tags are not known here: statements that depend on them decide nothing, and are put into
	// Deferred.
	Defer    bool
	Deferred []Clause
}

// Verdict is what a policy says of a request.
type Verdict uint8

const (
	Silent  Verdict = iota // nothing applies
	Allowed                // a statement allows it, and none denies it
	Denied                 // a statement denies it
)

// Evaluate returns what the policy says of a request, and the index of the statement that decided it.
func (p *Policy) Evaluate(r *Request) (Verdict, int) {
	verdict, by := Silent, -1
	for i := range p.statements {
		s := &p.statements[i]
		if verdict == Allowed && s.effect == Allow || !s.applies(r) {
			continue
		}
		if s.ofObject && r.Defer {
			r.Deferred = append(r.Deferred, s.clause(p.Statement(i), r.Context))
			continue
		}
		if s.effect == Deny {
			return Denied, i
		}
		verdict, by = Allowed, i
	}
	return verdict, by
}

// Statement names a statement: by its Sid, or by its number, from 1, when it has none.
func (p *Policy) Statement(i int) string {
	if i < 0 || i >= len(p.statements) {
		return ""
	}
	if sid := p.statements[i].sid; sid != "" {
		return sid
	}
	return strconv.Itoa(i + 1)
}

// applies reports whether a statement is about a request.
func (s *statement) applies(r *Request) bool {
	if !s.actions.has(r.Action) {
		return false
	}
	if s.principals != nil && !s.principals.match(&r.Principal, s.effect) {
		return false
	}
	if s.resources != nil && s.notIn == s.names(r) {
		return false
	}
	for i := range s.conditions {
		if c := &s.conditions[i]; (!r.Defer || c.values == nil) && !c.holds(r.Context) {
			return false
		}
	}
	return true
}

// names reports whether the resource of the request is one that the statement lists.
func (s *statement) names(r *Request) bool {
	for i := range s.resources {
		if s.resources[i].match(r.Resource, r.Context) {
			return true
		}
	}
	return false
}

// fixingKeys are the condition keys whose value keeps a grant to everybody from being public (AWS: "The meaning of
// public").
var fixingKeys = map[string]bool{
	"aws:principalorgid": true, "aws:principalorgpaths": true, "aws:principalarn": true, "aws:principalaccount": true, "aws:sourceip": true,
	"aws:sourcevpc": true, "aws:sourcevpce": true, "aws:sourceowner": true, "aws:sourceaccount": true, "aws:sourcearn": true, "aws:userid": true,
	"aws:username": true, "s3:x-amz-server-side-encryption-aws-kms-key-id": true, "s3:dataaccesspointarn": true, "s3:dataaccesspointaccount": true,
}

// Public reports whether the policy of a bucket grants anything to everybody: a statement that allows it to all, without a
// condition that fixes who or where they are.
func (p *Policy) Public() bool {
	for i := range p.statements {
		s := &p.statements[i]
		if s.effect == Allow && s.principals != nil && s.principals.everyone && !s.principals.not && !s.fixed() {
			return true
		}
	}
	return false
}

// fixed reports whether a condition of the statement names a fixed value of one of fixingKeys.
func (s *statement) fixed() bool {
	for i := range s.conditions {
		c := &s.conditions[i]
		if !fixingKeys[c.key] || c.negated || c.null || c.ifExists || c.quantity == forAll {
			continue
		}
		if c.narrow() {
			return true
		}
	}
	return false
}

// The widest address ranges that AWS does not call public.
const (
	widestIPv4 = 8
	widestIPv6 = 32
)

// narrow reports whether none of the values can stand for everything.
func (c *condition) narrow() bool {
	for _, p := range c.prefixes {
		if p.Addr().Is4() && p.Bits() < widestIPv4 || !p.Addr().Is4() && p.Bits() < widestIPv6 {
			return false
		}
	}
	for i := range c.patterns {
		if c.key == "aws:userid" && strings.EqualFold(c.patterns[i].source, "anonymous") {
			return false // as those are called who have none
		}
		if c.patterns[i].wild() || c.patterns[i].variables() {
			return false
		}
	}
	for _, arn := range c.arns {
		for i := range arn {
			if arn[i].variables() || arn[i].wild() && i < arnParts-1 {
				return false
			}
		}
	}
	return true
}
