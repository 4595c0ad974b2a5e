package policy

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// Principal is who asks, as policies of buckets and roles name them.
type Principal struct {
	ARN       string // of the user or role; "" is anonymous
	ID        string // of the user or role, which no other one ever has
	Session   string // the ARN of an assumed role's session, or ""
	Canonical string // the canonical user id
	Account   string
	Root      bool
}

// principals are those that a statement names.
type principals struct {
	not       bool
	everyone  bool
	aws       []string // ARNs, account ids, and ids of users and roles
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
			case IsID(p), isAccount(p), strings.HasPrefix(p, "arn:aws:iam::"), strings.HasPrefix(p, "arn:aws:sts::"):
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

// IsID reports whether a principal is written as the id of a user or role.
func IsID(s string) bool {
	return len(s) > 4 && (strings.HasPrefix(s, "AIDA") || strings.HasPrefix(s, "AROA")) && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
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
		if text == p.ARN || text == p.ID && p.ID != "" || text == p.Session && p.Session != "" {
			return true
		}
		account := text == p.Account || strings.TrimSuffix(text, ":root") == "arn:aws:iam::"+p.Account
		if account && (p.Root || wholeAccount) {
			return true
		}
	}
	return p.Canonical != "" && slices.Contains(ps.canonical, p.Canonical) || slices.Contains(ps.federated, p.ARN)
}

// Rename returns a document that was checked, with each of its AWS principals replaced by what to returns for it. All else stays as it
// is written.
func Rename(document []byte, to func(principal string) string) ([]byte, error) {
	root, err := readJSON(document)
	if err != nil {
		return nil, err
	}
	var out []byte
	done := 0
	for _, p := range awsPrincipals(root) {
		name := to(p.text)
		if name == p.text {
			continue
		}
		quoted, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		begin := p.from + bytes.IndexByte(document[p.from:p.to], '"')
		out = append(append(out, document[done:begin]...), quoted...)
		done = p.to
	}
	return append(out, document[done:]...), nil
}

// awsPrincipals returns the strings that are AWS principals in a document, in their order.
func awsPrincipals(root *node) []*node {
	list := []*node{root}
	for _, names := range [][]string{{"Statement"}, {"Principal", "NotPrincipal"}, {"AWS"}} {
		var inside []*node
		for _, n := range list {
			for _, m := range n.members {
				if slices.Contains(names, m.name) {
					inside = append(append(inside, m.value), m.value.items...)
				}
			}
		}
		list = inside
	}
	return slices.DeleteFunc(list, func(n *node) bool { return !n.quoted })
}
