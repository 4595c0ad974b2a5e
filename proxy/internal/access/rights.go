package access

import (
	"maps"
	"slices"
	"strconv"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/s3/policy"
)

// Whose says whose rights a change is about.
type Whose struct {
	User  cluster.UserName
	Group cluster.GroupName
	Role  cluster.RoleName
}

// Rights returns the policies of a user, group or role.
func (e *Edit) Rights(w Whose) (cluster.Rights, error) {
	switch {
	case w.Group != "":
		g, err := e.Group(w.Group)
		return g.Rights, err
	case w.Role != "":
		r, err := e.Role(w.Role)
		return r.Rights, err
	}
	u, err := e.User(w.User)
	return u.Rights, err
}

// setRights replaces the policies of somebody whom Rights found.
func (e *Edit) setRights(w Whose, r cluster.Rights) {
	switch {
	case w.Group != "":
		g, _ := e.now.Group(w.Group)
		g.Rights = r
		e.putGroup(g)
	case w.Role != "":
		role, _ := e.now.Role(w.Role)
		role.Rights = r
		e.putRole(role)
	default:
		u, _ := e.now.User(w.User)
		u.Rights = r
		e.putUser(u)
	}
}

// Attach gives a managed policy to somebody.
func (e *Edit) Attach(w Whose, name string) error {
	r, err := e.Rights(w)
	if err != nil {
		return err
	}
	p, err := e.Policy(name)
	if err != nil {
		return err
	}
	arn := name
	if p.ARN() != name {
		arn = e.PolicyARN(p)
		if c, ok := cannedByARN(name); ok {
			arn = c.ARN()
		}
	}
	if slices.Contains(r.Attached, arn) {
		return nil
	}
	if len(r.Attached) == maxAttached {
		return fail(LimitExceeded, "Cannot exceed quota for PoliciesPerUser: "+strconv.Itoa(maxAttached))
	}
	r.Attached = append(slices.Clone(r.Attached), arn)
	slices.Sort(r.Attached)
	e.setRights(w, r)
	return nil
}

// Detach takes a managed policy from somebody.
func (e *Edit) Detach(w Whose, name string) error {
	r, err := e.Rights(w)
	if err != nil {
		return err
	}
	p, err := e.Policy(name)
	if err != nil {
		return err
	}
	arns := []string{name, p.ARN(), cannedPath + string(p.Name)}
	i := slices.IndexFunc(r.Attached, func(arn string) bool { return slices.Contains(arns, arn) })
	if i < 0 {
		return fail(NoSuchEntity, "Policy "+name+" was not found.")
	}
	r.Attached = slices.Delete(slices.Clone(r.Attached), i, i+1)
	e.setRights(w, r)
	return nil
}

// SetAttached makes these managed policies the only ones that somebody has.
func (e *Edit) SetAttached(w Whose, names []string) error {
	r, err := e.Rights(w)
	if err != nil {
		return err
	}
	r.Attached = nil
	e.setRights(w, r)
	for _, name := range names {
		if err := e.Attach(w, name); err != nil {
			return err
		}
	}
	return nil
}

// PutInline gives somebody a policy of their own.
func (e *Edit) PutInline(w Whose, name, document string) error {
	r, err := e.Rights(w)
	if err != nil {
		return err
	}
	if err := checkName("policyName", name, 128); err != nil {
		return err
	}
	if err := checkDocument(document, policy.Identity); err != nil {
		return err
	}
	r.Inline = maps.Clone(r.Inline)
	if r.Inline == nil {
		r.Inline = make(map[string]string)
	}
	r.Inline[name] = document
	limit, size := maxInline, 0
	switch {
	case w.Group != "":
		limit = maxGroup
	case w.Role != "":
		limit = maxRole
	}
	for _, d := range r.Inline {
		size += policy.Normalized(d)
	}
	if size > limit {
		return fail(LimitExceeded, "Maximum policy size of "+strconv.Itoa(limit)+" bytes exceeded")
	}
	e.setRights(w, r)
	return nil
}

// Inline returns the document of somebody's own policy.
func (e *Edit) Inline(w Whose, name string) (string, error) {
	r, err := e.Rights(w)
	if err != nil {
		return "", err
	}
	document, ok := r.Inline[name]
	if !ok {
		return "", fail(NoSuchEntity, "The policy with name "+name+" cannot be found.")
	}
	return document, nil
}

// DeleteInline takes somebody's own policy away.
func (e *Edit) DeleteInline(w Whose, name string) error {
	if _, err := e.Inline(w, name); err != nil {
		return err
	}
	r, _ := e.Rights(w)
	r.Inline = maps.Clone(r.Inline)
	delete(r.Inline, name)
	e.setRights(w, r)
	return nil
}
