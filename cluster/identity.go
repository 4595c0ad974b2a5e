package cluster

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

// Account is the number of the one account that a cluster is, as ARNs have it.
const Account = "000000000000"

// Names of those who may ask, and of what they may. They compare without case.
type (
	UserName   string
	GroupName  string
	PolicyName string
	RoleName   string
)

// Rights are what users, groups and roles have in common: the policies that say what they may.
type Rights struct {
	Attached []string          `json:"attached,omitempty"` // ARNs of managed policies, ordered
	Inline   map[string]string `json:"inline,omitempty"`   // documents by name
}

// User is somebody with access keys.
type User struct {
	Name    UserName    `json:"name"`
	Path    string      `json:"path"`
	ID      string      `json:"id"` // never used again
	Created time.Time   `json:"created"`
	Groups  []GroupName `json:"groups,omitempty"` // ordered
	Tags    []Tag       `json:"tags,omitempty"`
	Rights
}

// Tag is a name and a value that an identity has. Names compare without case.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Group gives rights to its users.
type Group struct {
	Name    GroupName `json:"name"`
	Path    string    `json:"path"`
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	Rights
}

// ManagedPolicy is a document that users, groups and roles can have in common.
type ManagedPolicy struct {
	Name        PolicyName `json:"name"`
	Path        string     `json:"path"`
	ID          string     `json:"id"`
	Description string     `json:"description,omitempty"`
	Created     time.Time  `json:"created"`
	Updated     time.Time  `json:"updated"`
	Version     int        `json:"version"` // of the document that counts
	Document    string     `json:"document"`
	Dated       time.Time  `json:"dated,omitzero"`     // when that version was made; zero: when the policy was updated
	Last        int        `json:"last,omitempty"`     // the highest number of a version that there was; 0: Version
	Versions    []Edition  `json:"versions,omitempty"` // the others, ordered by number
	Tags        []Tag      `json:"tags,omitempty"`
}

// Edition is a document of a managed policy that can be made the one that counts.
type Edition struct {
	Version  int       `json:"version"`
	Document string    `json:"document"`
	Created  time.Time `json:"created"`
}

// Role is what others can become for a while.
type Role struct {
	Name        RoleName  `json:"name"`
	Path        string    `json:"path"`
	ID          string    `json:"id"`
	Description string    `json:"description,omitempty"`
	Created     time.Time `json:"created"`
	Trust       string    `json:"trust"` // the document that says who may become it
	MaxSeconds  int       `json:"max_seconds"`
	Tags        []Tag     `json:"tags,omitempty"`
	Rights
}

// OIDCProvider is an issuer of web identities that roles can trust.
type OIDCProvider struct {
	URL         string    `json:"url"` // of the issuer, with its scheme
	Clients     []string  `json:"clients"`
	Thumbprints []string  `json:"thumbprints,omitempty"`
	Created     time.Time `json:"created"`
}

// Identities are those who may ask and what they may, except for their keys. A value that was published is not changed.
type Identities struct {
	Version   uint64          `json:"version"` // grows with every change, of keys too
	Users     []User          `json:"users,omitempty"`
	Groups    []Group         `json:"groups,omitempty"`
	Policies  []ManagedPolicy `json:"policies,omitempty"`
	Roles     []Role          `json:"roles,omitempty"`
	Providers []OIDCProvider  `json:"providers,omitempty"`
}

// IdentityChange is a change of identities, in one step: what is to be there, and the names of what is to go.
type IdentityChange struct {
	Base uint64     `json:"base"` // the version of the identities that it was made from; another one refuses it
	Put  Identities `json:"put"`  // without a version

	Users     []UserName   `json:"remove_users,omitempty"`
	Groups    []GroupName  `json:"remove_groups,omitempty"`
	Policies  []PolicyName `json:"remove_policies,omitempty"`
	Roles     []RoleName   `json:"remove_roles,omitempty"`
	Providers []string     `json:"remove_providers,omitempty"`
}

// fold is the form in which names compare.
func fold[S ~string](s S) string { return strings.ToLower(string(s)) }

func compareUsers(a, b User) int             { return cmp.Compare(fold(a.Name), fold(b.Name)) }
func compareGroups(a, b Group) int           { return cmp.Compare(fold(a.Name), fold(b.Name)) }
func comparePolicies(a, b ManagedPolicy) int { return cmp.Compare(fold(a.Name), fold(b.Name)) }
func compareRoles(a, b Role) int             { return cmp.Compare(fold(a.Name), fold(b.Name)) }
func compareProviders(a, b OIDCProvider) int { return cmp.Compare(a.URL, b.URL) }

func find[T any](list []T, want T, compare func(a, b T) int) (T, bool) {
	i, ok := slices.BinarySearchFunc(list, want, compare)
	if !ok {
		return want, false
	}
	return list[i], true
}

// User returns the user of that name.
func (i *Identities) User(name UserName) (User, bool) {
	return find(i.Users, User{Name: name}, compareUsers)
}

// Group returns the group of that name.
func (i *Identities) Group(name GroupName) (Group, bool) {
	return find(i.Groups, Group{Name: name}, compareGroups)
}

// Policy returns the managed policy of that name.
func (i *Identities) Policy(name PolicyName) (ManagedPolicy, bool) {
	return find(i.Policies, ManagedPolicy{Name: name}, comparePolicies)
}

// Role returns the role of that name.
func (i *Identities) Role(name RoleName) (Role, bool) {
	return find(i.Roles, Role{Name: name}, compareRoles)
}

// Provider returns the issuer of that URL.
func (i *Identities) Provider(url string) (OIDCProvider, bool) {
	return find(i.Providers, OIDCProvider{URL: url}, compareProviders)
}

// changed returns a list with some values put in and others taken out, in order.
func changed[T any](list, put []T, removed []T, compare func(a, b T) int) []T {
	if len(put) == 0 && len(removed) == 0 {
		return list
	}
	list = slices.Clone(list)
	for _, v := range put {
		at, ok := slices.BinarySearchFunc(list, v, compare)
		if ok {
			list[at] = v
		} else {
			list = slices.Insert(list, at, v)
		}
	}
	for _, v := range removed {
		if at, ok := slices.BinarySearchFunc(list, v, compare); ok {
			list = slices.Delete(list, at, at+1)
		}
	}
	return list
}

// named makes a value of each name, to be found by it.
func named[N, T any](names []N, of func(N) T) []T {
	list := make([]T, len(names))
	for i, n := range names {
		list[i] = of(n)
	}
	return list
}

// Changed returns the identities after a change. The receiver stays as it is.
func (i *Identities) Changed(c IdentityChange) *Identities {
	return &Identities{
		Version:   i.Version + 1,
		Users:     changed(i.Users, c.Put.Users, named(c.Users, func(n UserName) User { return User{Name: n} }), compareUsers),
		Groups:    changed(i.Groups, c.Put.Groups, named(c.Groups, func(n GroupName) Group { return Group{Name: n} }), compareGroups),
		Policies:  changed(i.Policies, c.Put.Policies, named(c.Policies, func(n PolicyName) ManagedPolicy { return ManagedPolicy{Name: n} }), comparePolicies),
		Roles:     changed(i.Roles, c.Put.Roles, named(c.Roles, func(n RoleName) Role { return Role{Name: n} }), compareRoles),
		Providers: changed(i.Providers, c.Put.Providers, named(c.Providers, func(n string) OIDCProvider { return OIDCProvider{URL: n} }), compareProviders),
	}
}

// arn returns the ARN of an identity.
func arn(kind, path, name string) string {
	return "arn:aws:iam::" + Account + ":" + kind + path + name
}

// ARN returns the user's ARN.
func (u *User) ARN() string { return arn("user", u.Path, string(u.Name)) }

// ARN returns the group's ARN.
func (g *Group) ARN() string { return arn("group", g.Path, string(g.Name)) }

// ARN returns the policy's ARN.
func (p *ManagedPolicy) ARN() string { return arn("policy", p.Path, string(p.Name)) }

// ARN returns the role's ARN.
func (r *Role) ARN() string { return arn("role", r.Path, string(r.Name)) }

// ARN returns the provider's ARN, which has no scheme.
func (p *OIDCProvider) ARN() string {
	return arn("oidc-provider", "/", p.Host())
}

// Host returns the URL without its scheme, as ARNs and condition keys have it.
func (p *OIDCProvider) Host() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.URL, "https://"), "http://")
}

// RootARN is that of the root key.
const RootARN = "arn:aws:iam::" + Account + ":root"

// CanonicalID returns the canonical user id of an identity, which ACLs and owners have: 64 hexadecimal digits.
func CanonicalID(id string) string {
	sum := sha256.Sum256([]byte("canonical user id of " + id))
	return hex.EncodeToString(sum[:])
}

// InGroup reports whether the user is in a group.
func (u *User) InGroup(name GroupName) bool {
	return slices.ContainsFunc(u.Groups, func(g GroupName) bool { return fold(g) == fold(name) })
}
