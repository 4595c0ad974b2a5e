package access

import (
	"crypto/rand"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/s3/policy"
)

// Key is an access key; its secret is known while it is made.
type Key struct {
	ID       cluster.AccessKeyID
	Secret   string
	User     cluster.UserName
	Root     bool
	Inactive bool
	Created  time.Time
	Redirect string
}

// Limits (AWS: "IAM and AWS STS quotas"), as far as they protect the replicated state. AWS allows two keys per user.
const (
	maxKeys     = 16
	maxAttached = 20
	maxInline   = 2048 // bytes of a user's documents, blanks not counted
	maxGroup    = 5120
	maxRole     = 10240
)

// Edit is a change of identities in the making: what it does is seen by itself at once, and by others when the control plane
// has made the change.
type Edit struct {
	now     *cluster.Identities
	time    time.Time
	change  cluster.IdentityChange
	keys    []Key // all, ordered by id
	put     []Key
	removed []cluster.AccessKeyID
}

// NewEdit begins a change of what is.
func NewEdit(i *cluster.Identities, keys []Key, now time.Time) *Edit {
	return &Edit{now: i, time: now.UTC().Truncate(time.Second), keys: keys, change: cluster.IdentityChange{Base: i.Version}}
}

// Identities returns what is, the change included.
func (e *Edit) Identities() *cluster.Identities { return e.now }

// Change returns what is to be changed.
func (e *Edit) Change() (change cluster.IdentityChange, put []Key, removed []cluster.AccessKeyID) {
	return e.change, e.put, e.removed
}

// do makes one step of the change.
func (e *Edit) do(step cluster.IdentityChange) {
	e.now = e.now.Changed(step)
	p, q := &e.change.Put, &step.Put
	p.Users, p.Groups, p.Policies = append(p.Users, q.Users...), append(p.Groups, q.Groups...), append(p.Policies, q.Policies...)
	p.Roles, p.Providers = append(p.Roles, q.Roles...), append(p.Providers, q.Providers...)
	c := &e.change
	c.Users, c.Groups, c.Policies = append(c.Users, step.Users...), append(c.Groups, step.Groups...), append(c.Policies, step.Policies...)
	c.Roles, c.Providers = append(c.Roles, step.Roles...), append(c.Providers, step.Providers...)
}

func (e *Edit) putUser(u cluster.User) {
	e.do(cluster.IdentityChange{Put: cluster.Identities{Users: []cluster.User{u}}})
}

func (e *Edit) putGroup(g cluster.Group) {
	e.do(cluster.IdentityChange{Put: cluster.Identities{Groups: []cluster.Group{g}}})
}

func (e *Edit) putRole(r cluster.Role) {
	e.do(cluster.IdentityChange{Put: cluster.Identities{Roles: []cluster.Role{r}}})
}

func (e *Edit) putPolicy(p cluster.ManagedPolicy) {
	e.do(cluster.IdentityChange{Put: cluster.Identities{Policies: []cluster.ManagedPolicy{p}}})
}

// newID returns an id that is never used again, as AWS makes them.
func newID(prefix string) string { return prefix + rand.Text()[:17] }

// NewSecret returns a secret for a key: 40 characters.
func NewSecret() string {
	raw := make([]byte, 30)
	rand.Read(raw) // never fails
	return base64.StdEncoding.EncodeToString(raw)
}

// NewKeyID returns the id of a new access key; temporary ones begin otherwise.
func NewKeyID(temporary bool) cluster.AccessKeyID {
	prefix := "AKIA"
	if temporary {
		prefix = "ASIA"
	}
	return cluster.AccessKeyID(prefix + rand.Text()[:16])
}

// checkName applies the rules of IAM to a name.
func checkName(what, name string, longest int) error {
	if len(name) < 1 || len(name) > longest {
		return fail(ValidationError, "1 validation error detected: Value '"+name+"' at '"+what+"' failed to satisfy constraint: Member must have length between 1 and "+strconv.Itoa(longest))
	}
	for _, c := range name {
		if c > 127 || !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+=,.@-", c) {
			return fail(ValidationError, "The specified value for "+what+" is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-")
		}
	}
	return nil
}

// checkPath returns the path of an identity, "/" when there is none.
func checkPath(path string) (string, error) {
	if path == "" {
		return "/", nil
	}
	if path[0] != '/' || path[len(path)-1] != '/' || len(path) > 512 || strings.ContainsFunc(path, func(c rune) bool { return c < '!' || c > '~' }) {
		return "", fail(ValidationError, "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.")
	}
	return path, nil
}

// checkDocument reads a policy that is to be stored.
func checkDocument(document string, kind policy.Kind) error {
	if n := policy.Normalized(document); n > policy.MaxIdentityDocument {
		return fail(LimitExceeded, "Cannot exceed quota for PolicySize: "+strconv.Itoa(policy.MaxIdentityDocument))
	}
	if _, err := policy.Parse([]byte(document), policy.Options{Kind: kind}); err != nil {
		return fail(MalformedPolicyDocument, err.Error())
	}
	return nil
}

// User returns a user.
func (e *Edit) User(name cluster.UserName) (cluster.User, error) {
	u, ok := e.now.User(name)
	if !ok {
		return u, fail(NoSuchEntity, "The user with name "+string(name)+" cannot be found.")
	}
	return u, nil
}

// CreateUser makes a user.
func (e *Edit) CreateUser(name cluster.UserName, path string) (cluster.User, error) {
	if err := checkName("userName", string(name), 64); err != nil {
		return cluster.User{}, err
	}
	path, err := checkPath(path)
	if err != nil {
		return cluster.User{}, err
	}
	if _, ok := e.now.User(name); ok {
		return cluster.User{}, fail(EntityAlreadyExists, "User with name "+string(name)+" already exists.")
	}
	u := cluster.User{Name: name, Path: path, ID: newID("AIDA"), Created: e.time}
	e.putUser(u)
	return u, nil
}

// UpdateUser gives a user another name or path.
func (e *Edit) UpdateUser(name, to cluster.UserName, path string) error {
	u, err := e.User(name)
	if err != nil {
		return err
	}
	if path != "" {
		if u.Path, err = checkPath(path); err != nil {
			return err
		}
	}
	if to != "" && to != u.Name {
		if err := checkName("newUserName", string(to), 64); err != nil {
			return err
		}
		if _, ok := e.now.User(to); ok && !strings.EqualFold(string(to), string(u.Name)) {
			return fail(EntityAlreadyExists, "User with name "+string(to)+" already exists.")
		}
		for _, k := range e.KeysOf(u.Name) {
			k.User = to
			e.putKey(k)
		}
		if !strings.EqualFold(string(to), string(u.Name)) {
			e.do(cluster.IdentityChange{Users: []cluster.UserName{u.Name}})
		}
		u.Name = to
	}
	e.putUser(u)
	return nil
}

// DeleteUser removes a user; with all, whatever belongs to it too, else it must have nothing.
func (e *Edit) DeleteUser(name cluster.UserName, all bool) error {
	u, err := e.User(name)
	if err != nil {
		return err
	}
	keys := e.KeysOf(u.Name)
	if !all {
		switch {
		case len(keys) > 0:
			return fail(DeleteConflict, "Cannot delete entity, must delete access keys first.")
		case len(u.Attached) > 0:
			return fail(DeleteConflict, "Cannot delete entity, must detach all policies first.")
		case len(u.Inline) > 0:
			return fail(DeleteConflict, "Cannot delete entity, must delete policies first.")
		case len(u.Groups) > 0:
			return fail(DeleteConflict, "Cannot delete entity, must remove users from group first.")
		}
	}
	for _, k := range keys {
		e.removeKey(k.ID)
	}
	e.do(cluster.IdentityChange{Users: []cluster.UserName{u.Name}})
	return nil
}

// Group returns a group.
func (e *Edit) Group(name cluster.GroupName) (cluster.Group, error) {
	g, ok := e.now.Group(name)
	if !ok {
		return g, fail(NoSuchEntity, "The group with name "+string(name)+" cannot be found.")
	}
	return g, nil
}

// Members returns the users of a group.
func (e *Edit) Members(name cluster.GroupName) []cluster.User {
	var list []cluster.User
	for _, u := range e.now.Users {
		if u.InGroup(name) {
			list = append(list, u)
		}
	}
	return list
}

// CreateGroup makes a group.
func (e *Edit) CreateGroup(name cluster.GroupName, path string) (cluster.Group, error) {
	if err := checkName("groupName", string(name), 128); err != nil {
		return cluster.Group{}, err
	}
	path, err := checkPath(path)
	if err != nil {
		return cluster.Group{}, err
	}
	if _, ok := e.now.Group(name); ok {
		return cluster.Group{}, fail(EntityAlreadyExists, "Group with name "+string(name)+" already exists.")
	}
	g := cluster.Group{Name: name, Path: path, ID: newID("AGPA"), Created: e.time}
	e.putGroup(g)
	return g, nil
}

// UpdateGroup gives a group another name or path.
func (e *Edit) UpdateGroup(name, to cluster.GroupName, path string) error {
	g, err := e.Group(name)
	if err != nil {
		return err
	}
	if path != "" {
		if g.Path, err = checkPath(path); err != nil {
			return err
		}
	}
	before := g.Name
	if to != "" && to != before {
		if err := checkName("newGroupName", string(to), 128); err != nil {
			return err
		}
		same := strings.EqualFold(string(to), string(before))
		if _, ok := e.now.Group(to); ok && !same {
			return fail(EntityAlreadyExists, "Group with name "+string(to)+" already exists.")
		}
		for _, u := range e.Members(before) {
			u.Groups = slices.DeleteFunc(slices.Clone(u.Groups), func(n cluster.GroupName) bool { return strings.EqualFold(string(n), string(before)) })
			u.Groups = append(u.Groups, to)
			slices.Sort(u.Groups)
			e.putUser(u)
		}
		if !same {
			e.do(cluster.IdentityChange{Groups: []cluster.GroupName{before}})
		}
		g.Name = to
	}
	e.putGroup(g)
	return nil
}

// DeleteGroup removes a group; with all, also one that has users and policies.
func (e *Edit) DeleteGroup(name cluster.GroupName, all bool) error {
	g, err := e.Group(name)
	if err != nil {
		return err
	}
	members := e.Members(g.Name)
	if !all && len(members) > 0 {
		return fail(DeleteConflict, "Cannot delete entity, must remove users from group first.")
	}
	if !all && len(g.Attached)+len(g.Inline) > 0 {
		return fail(DeleteConflict, "Cannot delete entity, must detach all policies first.")
	}
	for _, u := range members {
		if err := e.Leave(u.Name, g.Name); err != nil {
			return err
		}
	}
	e.do(cluster.IdentityChange{Groups: []cluster.GroupName{g.Name}})
	return nil
}

// Join puts a user into a group.
func (e *Edit) Join(user cluster.UserName, group cluster.GroupName) error {
	g, err := e.Group(group)
	if err != nil {
		return err
	}
	u, err := e.User(user)
	if err != nil || u.InGroup(g.Name) {
		return err
	}
	u.Groups = append(slices.Clone(u.Groups), g.Name)
	slices.Sort(u.Groups)
	e.putUser(u)
	return nil
}

// Leave takes a user out of a group.
func (e *Edit) Leave(user cluster.UserName, group cluster.GroupName) error {
	u, err := e.User(user)
	if err != nil {
		return err
	}
	if _, err := e.Group(group); err != nil {
		return err
	}
	u.Groups = slices.DeleteFunc(slices.Clone(u.Groups), func(g cluster.GroupName) bool { return strings.EqualFold(string(g), string(group)) })
	e.putUser(u)
	return nil
}

// Policy returns a managed policy by its ARN or its name; one that every cluster has, too. The user's own count first.
func (e *Edit) Policy(name string) (cluster.ManagedPolicy, error) {
	if !strings.HasPrefix(name, "arn:") {
		if p, ok := e.now.Policy(cluster.PolicyName(name)); ok {
			return p, nil
		}
		if c, ok := cannedByName(name); ok {
			return c.managed(), nil
		}
	} else if c, ok := cannedByARN(name); ok {
		return c.managed(), nil
	} else if p, ok := e.now.Policy(cluster.PolicyName(name[strings.LastIndexByte(name, '/')+1:])); ok && p.ARN() == name {
		return p, nil
	}
	return cluster.ManagedPolicy{}, fail(NoSuchEntity, "Policy "+name+" does not exist or is not attachable.")
}

// managed returns a canned policy in the form of others. Its path is not its own: use its ARN.
func (c *Canned) managed() cluster.ManagedPolicy {
	return cluster.ManagedPolicy{Name: c.Name, Path: "/", ID: "ANPA" + strings.ToUpper(string(c.Name)), Description: c.Help, Document: c.Document, Version: 1, Created: cannedSince, Updated: cannedSince}
}

// cannedSince is when the canned policies were made: long ago.
var cannedSince = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// PolicyARN returns the ARN of a policy that Policy returned.
func (e *Edit) PolicyARN(p cluster.ManagedPolicy) string {
	if _, own := e.now.Policy(p.Name); own {
		return p.ARN()
	}
	return cannedPath + string(p.Name)
}

// PutPolicy makes a managed policy; with replace, it may be there and gets another document.
func (e *Edit) PutPolicy(name cluster.PolicyName, path, description, document string, replace bool) (cluster.ManagedPolicy, error) {
	if err := checkName("policyName", string(name), 128); err != nil {
		return cluster.ManagedPolicy{}, err
	}
	path, err := checkPath(path)
	if err != nil {
		return cluster.ManagedPolicy{}, err
	}
	if err := checkDocument(document, policy.Identity); err != nil {
		return cluster.ManagedPolicy{}, err
	}
	p, ok := e.now.Policy(name)
	switch {
	case ok && !replace:
		return p, fail(EntityAlreadyExists, "A policy called "+string(name)+" already exists. Duplicate names are not allowed.")
	case !ok:
		p = cluster.ManagedPolicy{Name: name, Path: path, ID: newID("ANPA"), Description: description, Created: e.time}
	}
	p.Last = max(p.Last, p.Version) + 1
	p.Document, p.Version, p.Updated, p.Dated = document, p.Last, e.time, e.time
	e.putPolicy(p)
	return p, nil
}

// DeletePolicy removes a managed policy that nobody has; with all, also one that has versions besides the one that counts.
func (e *Edit) DeletePolicy(name string, all bool) error {
	p, err := e.Policy(name)
	if err != nil {
		return err
	}
	if strings.HasPrefix(e.ManagedARN(name), cannedPath) {
		return fail(UnmodifiableEntity, "The policy "+string(p.Name)+" is part of every cluster and cannot be deleted.")
	}
	if users, groups, roles := e.Having(p.ARN()); len(users)+len(groups)+len(roles) > 0 {
		return fail(DeleteConflict, "Cannot delete a policy attached to entities.")
	}
	if !all && len(p.Versions) > 0 {
		return fail(DeleteConflict, "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.")
	}
	e.do(cluster.IdentityChange{Policies: []cluster.PolicyName{p.Name}})
	return nil
}

// Having returns who has a managed policy.
func (e *Edit) Having(arn string) (users []cluster.User, groups []cluster.Group, roles []cluster.Role) {
	for _, u := range e.now.Users {
		if slices.Contains(u.Attached, arn) {
			users = append(users, u)
		}
	}
	for _, g := range e.now.Groups {
		if slices.Contains(g.Attached, arn) {
			groups = append(groups, g)
		}
	}
	for _, r := range e.now.Roles {
		if slices.Contains(r.Attached, arn) {
			roles = append(roles, r)
		}
	}
	return users, groups, roles
}
