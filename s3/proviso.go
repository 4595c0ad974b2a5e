package s3

import (
	"encoding/json"
	"strings"

	"github.com/aisle-store/aisle/s3/policy"
)

// Proviso is what is left of the decision about a request where that depends on the object: on its tags, or on its access
// control list. The owner of the object decides the rest, at the record that it reads or changes.
type Proviso struct {
	Action    string `json:"action"`
	Resource  string `json:"resource"`
	Principal string `json:"principal,omitempty"` // "" is somebody without a key

	Allowed   bool            `json:"allowed,omitempty"`   // unless a clause denies it
	Unbounded bool            `json:"unbounded,omitempty"` // no policy of a session has to allow it, or one does
	Clauses   []policy.Clause `json:"clauses,omitempty"`   // of which those that deny count more than those that allow
	Bounds    []policy.Clause `json:"bounds,omitempty"`    // of the policies of a session

	Permission   Permission `json:"permission,omitempty"` // that the list would have to grant; none where lists do not count
	Canonical    string     `json:"canonical,omitempty"`  // who asks
	IgnorePublic bool       `json:"ignore_public,omitempty"`
	Reason       string     `json:"reason"` // in AWS's words, when it is denied
}

// ProvisoObject is what the owner of an object knows of it.
type ProvisoObject struct {
	Owner string // canonical user id
	ACL   *ACL
	Tags  []Field
}

// EncodeProvisos returns provisos as a grant carries them.
func EncodeProvisos(list []Proviso) ([]byte, error) {
	if len(list) == 0 {
		return nil, nil
	}
	return json.Marshal(list)
}

// DecodeProvisos reads what EncodeProvisos returned.
func DecodeProvisos(b []byte) ([]Proviso, error) {
	if len(b) == 0 {
		return nil, nil
	}
	var list []Proviso
	err := json.Unmarshal(b, &list)
	return list, err
}

// Judge decides the rest, and says why.
func (p *Proviso) Judge(o *ProvisoObject) (allowed bool, why string) {
	tag := func(key string) (string, bool) {
		for _, t := range o.Tags {
			if strings.EqualFold(t.Name, key) {
				return t.Value, true
			}
		}
		return "", false
	}
	allowed, bounded := p.Allowed, !p.Unbounded
	for _, list := range [][]policy.Clause{p.Clauses, p.Bounds} {
		for i := range list {
			c := &list[i]
			if c.Effect == policy.Deny && c.Holds(tag) {
				return false, "statement " + c.Statement + " of the policy " + c.Policy + " denies it"
			}
		}
	}
	if p.Permission != NoPermission && o.ACL.Allows(p.Permission, Asker{Canonical: p.Canonical, Owner: o.Owner, IgnorePublic: p.IgnorePublic}) {
		allowed = true
	}
	for i := range p.Clauses {
		allowed = allowed || p.Clauses[i].Effect == policy.Allow && p.Clauses[i].Holds(tag)
	}
	for i := range p.Bounds {
		bounded = bounded && !(p.Bounds[i].Effect == policy.Allow && p.Bounds[i].Holds(tag))
	}
	switch {
	case !allowed && p.Permission != NoPermission:
		return false, "no statement of any policy allows it, and the object's access control list does not grant " + string(p.Permission)
	case !allowed:
		return false, "no statement of any policy allows it"
	case bounded:
		return false, "no statement of the session's policies allows it"
	}
	return true, ""
}

// Denied is the error about a request that its proviso denies.
func (p *Proviso) Denied() error {
	message := ""
	if p.Principal != "" {
		message = "User: " + p.Principal + " is not authorized to perform: " + p.Action + ` on resource: "` + p.Resource + `" ` + p.Reason
	}
	return NewFault("s3.Proviso.Denied", AccessDenied, message)
}
