package policy

import (
	"slices"
	"strings"
)

// Principal is who asks, as policies of buckets and roles name them.
type Principal struct {
	ARN       string // of the user or role; "" is anonymous
	Session   string // the ARN of an assumed role's session, or ""
	Canonical string // the canonical user id
	Account   string
	Root      bool
}

// principals are those that a statement names.
type principals struct {
	not       bool
	everyone  bool
	aws       []string // ARNs and account ids
	canonical []string
	federated []string
	service   []string
}

func (r *reader) principals(s *statement, w *raw) error {
	if r.o.Kind == Identity {
		if w.principal != nil || w.notPrincipal != nil {
			return malformed("Policy document should not specify a principal.")
		}
		return nil
	}
	n := w.principal
	if n == nil {
		n = w.notPrincipal
	}
	switch {
	case w.principal != nil && w.notPrincipal != nil:
		return malformed("Statement has both Principal and NotPrincipal")
	case n == nil:
		return malformed("Missing required field Principal")
	}
	ps := &principals{not: w.notPrincipal != nil}
	s.principals = ps
	if ps.not && s.effect == Allow {
		return malformed("Allow with NotPrincipal is not allowed.")
	}
	if n.kind == 0 {
		if n.text != "*" || !n.quoted {
			return malformed("Invalid policy syntax.")
		}
		ps.everyone = true
		return nil
	}
	if n.kind != '{' || len(n.members) == 0 {
		return malformed("Invalid principal in policy")
	}
	for _, m := range n.members {
		list, ok := m.value.strings()
		if !ok || len(list) == 0 {
			return malformed("Invalid principal in policy")
		}
		if err := ps.add(m.name, list); err != nil {
			return err
		}
	}
	return nil
}

// add takes the principals of one kind.
func (ps *principals) add(kind string, list []string) error {
	switch kind {
	case "AWS":
		for _, p := range list {
			switch {
			case p == "*":
				ps.everyone = true
			case isAccount(p), strings.HasPrefix(p, "arn:aws:iam::"), strings.HasPrefix(p, "arn:aws:sts::"):
				if strings.ContainsAny(p, "*?") {
					return malformed("Invalid principal in policy")
				}
				ps.aws = append(ps.aws, p)
			default:
				return malformed("Invalid principal in policy")
			}
		}
	case "CanonicalUser":
		ps.canonical = append(ps.canonical, list...)
	case "Federated":
		ps.federated = append(ps.federated, list...)
	case "Service":
		ps.service = append(ps.service, list...)
	default:
		return malformed("Invalid principal in policy")
	}
	return nil
}

func isAccount(s string) bool { return len(s) == 12 && strings.Trim(s, "0123456789") == "" }

// match reports whether the statement is about p. An account stands for all of its identities where they are denied, and
// for its root where they are allowed or excepted: what it allows, policies of the identities have to allow, too.
func (ps *principals) match(p *Principal, effect Effect) bool {
	return ps.not != ps.names(p, effect == Deny && !ps.not)
}

func (ps *principals) names(p *Principal, wholeAccount bool) bool {
	if ps.everyone {
		return true
	}
	if p.ARN == "" {
		return false
	}
	for _, text := range ps.aws {
		if text == p.ARN || text == p.Session && p.Session != "" {
			return true
		}
		account := text == p.Account || strings.TrimSuffix(text, ":root") == "arn:aws:iam::"+p.Account
		if account && (p.Root || wholeAccount) {
			return true
		}
	}
	return p.Canonical != "" && slices.Contains(ps.canonical, p.Canonical) || slices.Contains(ps.federated, p.ARN)
}

// Principals returns every ARN, account and canonical id that the document names, so that who takes it can look whether they
// exist.
func (p *Policy) Principals() (aws, canonical []string) {
	for i := range p.statements {
		if ps := p.statements[i].principals; ps != nil {
			aws, canonical = append(aws, ps.aws...), append(canonical, ps.canonical...)
		}
	}
	return aws, canonical
}
