package access

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/s3/policy"
)

// Book is one version of the identities with their policies compiled, each when it is first asked for.
type Book struct {
	identities *cluster.Identities
	subjects   sync.Map // by ARN: *Subject
	compiled   sync.Map // by ARN of a managed policy: *policy.Policy
	sessions   struct {
		sync.Mutex
		of map[cluster.AccessKeyID]*Subject
	}
}

// NewBook returns the book of some identities.
func NewBook(i *cluster.Identities) *Book { return &Book{identities: i} }

// Identities returns what the book was made of.
func (b *Book) Identities() *cluster.Identities { return b.identities }

// Subject is somebody who asks, with the policies that say what they may. It is immutable.
type Subject struct {
	Name      string // of the user or role
	ID        string // aws:userid
	Type      string // aws:PrincipalType: Account, User, AssumedRole or Anonymous
	Principal policy.Principal
	User      cluster.UserName  // "" unless it is a user
	Tags      map[string]string // of the user or role, by their keys in lower case
	OwnerID   string            // under which what it makes is owned: the id of the user or role; "" without a key

	// Of sessions.
	Issued         time.Time
	SourceIdentity string
	Web            map[string][]string // condition keys of the web identity, in lower case

	policies []named
	session  []named // what a session may at most, when it has policies of its own
}

// named is a compiled policy with what it is called in logs.
type named struct {
	label  string
	policy *policy.Policy
}

// Root returns the subject of the root key, which may do everything that no bucket policy denies.
func Root() *Subject {
	return &Subject{Name: "root", ID: cluster.Account, Type: "Account", OwnerID: cluster.Account, Principal: policy.Principal{
		ARN: cluster.RootARN, Account: cluster.Account, Canonical: cluster.CanonicalID(cluster.Account), Root: true,
	}}
}

// Anonymous returns the subject of requests without a key.
func Anonymous() *Subject { return &Subject{Type: "Anonymous", ID: "anonymous"} }

// User returns the subject of a user.
func (b *Book) User(name cluster.UserName) (*Subject, bool) {
	u, ok := b.identities.User(name)
	if !ok {
		return nil, false
	}
	if s, ok := b.subjects.Load(u.ID); ok {
		return s.(*Subject), true
	}
	s := &Subject{
		Name: string(u.Name), ID: u.ID, Type: "User", User: u.Name, OwnerID: u.ID, Tags: tagKeys(u.Tags),
		Principal: policy.Principal{ARN: u.ARN(), ID: u.ID, Account: cluster.Account, Canonical: cluster.CanonicalID(u.ID)},
	}
	s.policies = b.rights(&u.Rights, "user "+string(u.Name))
	for _, name := range u.Groups {
		if g, ok := b.identities.Group(name); ok {
			s.policies = append(s.policies, b.rights(&g.Rights, "group "+string(g.Name))...)
		}
	}
	b.subjects.Store(u.ID, s)
	return s, true
}

// Session returns the subject of a role's session. policies are documents that bound it.
func (b *Book) Session(name cluster.RoleName, session string, policies []string) (*Subject, bool) {
	r, ok := b.identities.Role(name)
	if !ok {
		return nil, false
	}
	s := &Subject{
		Name: string(r.Name), ID: r.ID + ":" + session, Type: "AssumedRole", OwnerID: r.ID, Tags: tagKeys(r.Tags),
		Principal: policy.Principal{
			ARN: r.ARN(), ID: r.ID, Session: SessionARN(r.Name, session),
			Account: cluster.Account, Canonical: cluster.CanonicalID(r.ID),
		},
	}
	s.policies = b.rights(&r.Rights, "role "+string(r.Name))
	for _, document := range policies {
		s.session = append(s.session, named{"of the session", parsed(document)})
	}
	return s, true
}

// SessionARN returns the ARN of a role's session.
func SessionARN(role cluster.RoleName, session string) string {
	return "arn:aws:sts::" + cluster.Account + ":assumed-role/" + string(role) + "/" + session
}

// rights compiles the policies of a user, group or role.
func (b *Book) rights(r *cluster.Rights, whose string) []named {
	var list []named
	for _, arn := range r.Attached {
		if p, ok := b.managed(arn); ok {
			list = append(list, named{arn[strings.LastIndexByte(arn, '/')+1:] + " of " + whose, p})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Inline)) {
		list = append(list, named{name + " of " + whose, parsed(r.Inline[name])})
	}
	return list
}

// managed returns a managed policy, compiled.
func (b *Book) managed(arn string) (*policy.Policy, bool) {
	if p, ok := b.compiled.Load(arn); ok {
		return p.(*policy.Policy), true
	}
	document, ok := ManagedDocument(b.identities, arn)
	if !ok {
		return nil, false
	}
	p := parsed(document)
	b.compiled.Store(arn, p)
	return p, true
}

// ManagedDocument returns the text of a managed policy, a canned one too.
func ManagedDocument(i *cluster.Identities, arn string) (string, bool) {
	if c, ok := cannedByARN(arn); ok {
		return c.Document, true
	}
	p, ok := i.Policy(cluster.PolicyName(arn[strings.LastIndexByte(arn, '/')+1:]))
	if !ok || p.ARN() != arn {
		return "", false
	}
	return p.Document, true
}

// unreadable denies everything: it stands in the place of a document that this build cannot read, which may deny.
const unreadable = `{"Version":"2012-10-17","Statement":[{"Sid":"Unreadable","Effect":"Deny","Action":"*","Resource":"*"}]}`

// parsed compiles a document that was checked when it was stored.
func parsed(document string) *policy.Policy {
	p, err := policy.Parse([]byte(document), policy.Options{})
	if err != nil {
		p, _ = policy.Parse([]byte(unreadable), policy.Options{})
	}
	return p
}
