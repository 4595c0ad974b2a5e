package access

import (
	"strings"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/s3/policy"
)

// The policies of buckets and roles name users and roles by ARN. They are kept with their ids instead: so a policy is never about
// another user who gets a name later, and follows one who is renamed. Policies of earlier versions have ARNs, which count.

// Stored returns a checked policy of a bucket or role as it is kept. It refuses one that names somebody who does not exist.
func Stored(i *cluster.Identities, document string) (string, error) {
	var unknown string
	stored, err := policy.Rename([]byte(document), func(principal string) string {
		id, ok := idOf(i, principal)
		if !ok && unknown == "" {
			unknown = principal
		}
		return id
	})
	if err == nil && unknown != "" {
		err = &policy.Error{Message: `Invalid principal in policy: "AWS":"` + unknown + `"`}
	}
	return string(stored), err
}

// Shown returns a policy as it is told: with the ARNs that its users and roles have now. Who is gone stays an id.
func Shown(i *cluster.Identities, document string) string {
	shown, err := policy.Rename([]byte(document), func(principal string) string {
		if arn, ok := arnOf(i, principal); ok {
			return arn
		}
		return principal
	})
	if err != nil { // a document that this build cannot read is told as it is
		return document
	}
	return string(shown)
}

// idOf returns what stands for a principal in a policy that is kept, and whether there is one.
func idOf(i *cluster.Identities, principal string) (string, bool) {
	if policy.IsID(principal) {
		_, ok := arnOf(i, principal)
		return principal, ok
	}
	if principal == "*" || principal == cluster.Account || principal == cluster.RootARN || strings.HasPrefix(principal, "arn:aws:sts::"+cluster.Account+":assumed-role/") {
		return principal, true
	}
	kind, path, _ := strings.Cut(strings.TrimPrefix(principal, "arn:aws:iam::"+cluster.Account+":"), "/")
	name := path[strings.LastIndexByte(path, '/')+1:]
	switch kind {
	case "user":
		u, ok := i.User(cluster.UserName(name))
		return u.ID, ok && u.ARN() == principal
	case "role":
		r, ok := i.Role(cluster.RoleName(name))
		return r.ID, ok && r.ARN() == principal
	}
	return principal, false
}

// arnOf returns the ARN of the user or role of an id.
func arnOf(i *cluster.Identities, id string) (string, bool) {
	if !policy.IsID(id) {
		return "", false
	}
	for n := range i.Users {
		if i.Users[n].ID == id {
			return i.Users[n].ARN(), true
		}
	}
	for n := range i.Roles {
		if i.Roles[n].ID == id {
			return i.Roles[n].ARN(), true
		}
	}
	return "", false
}
