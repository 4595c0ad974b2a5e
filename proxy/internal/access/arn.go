package access

import (
	"strings"

	"github.com/aisle-store/aisle/cluster"
)

// What policies are asked about is the ARN of what a change is made to, with its own path and in its own letters: names find it in
// whatever case, and policies tell cases apart. A name that finds nothing stands for itself.

// UserARN returns the ARN of the user that a name finds.
func (e *Edit) UserARN(name cluster.UserName) string {
	u, ok := e.now.User(name)
	if !ok {
		u = cluster.User{Name: name, Path: "/"}
	}
	return u.ARN()
}

// GroupARN returns the ARN of the group that a name finds.
func (e *Edit) GroupARN(name cluster.GroupName) string {
	g, ok := e.now.Group(name)
	if !ok {
		g = cluster.Group{Name: name, Path: "/"}
	}
	return g.ARN()
}

// RoleARN returns the ARN of the role that a name finds.
func (e *Edit) RoleARN(name cluster.RoleName) string {
	r, ok := e.now.Role(name)
	if !ok {
		r = cluster.Role{Name: name, Path: "/"}
	}
	return r.ARN()
}

// ManagedARN returns the ARN of the managed policy that a name or an ARN finds, as Policy does.
func (e *Edit) ManagedARN(name string) string {
	if strings.HasPrefix(name, "arn:") {
		if c, ok := cannedByARN(name); ok {
			return c.ARN()
		}
		return name // which finds a policy only when it is its ARN, letter by letter
	}
	if p, ok := e.now.Policy(cluster.PolicyName(name)); ok {
		return p.ARN()
	}
	if c, ok := cannedByName(name); ok {
		return c.ARN()
	}
	return (&cluster.ManagedPolicy{Name: cluster.PolicyName(name), Path: "/"}).ARN()
}
