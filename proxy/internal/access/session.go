package access

import (
	"slices"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// Session is what a token of temporary credentials says. It is sealed, so nothing of it is kept in the cluster: what it is good
// for is looked up anew, and ends with the role or user that it is of.
type Session struct {
	Key     cluster.AccessKeyID `json:"k"` // the temporary access key that the token belongs to
	Issued  int64               `json:"i"` // seconds since 1970
	Expires int64               `json:"e"`

	Role     cluster.RoleName    `json:"r,omitempty"`
	RoleID   string              `json:"R,omitempty"` // another role of that name is another role
	Name     string              `json:"n,omitempty"` // of the session
	Policies []string            `json:"p,omitempty"` // documents that bound it
	Managed  []string            `json:"m,omitempty"` // ARNs of managed policies that do
	Source   string              `json:"s,omitempty"` // aws:SourceIdentity
	Web      map[string][]string `json:"w,omitempty"` // of a web identity: what conditions can ask of it

	Parent cluster.AccessKeyID `json:"P,omitempty"` // of GetSessionToken: the key that asked, which still has to be good
	User   cluster.UserName    `json:"u,omitempty"` // whose it is; "" is the root key's
	UserID string              `json:"U,omitempty"`
}

// Ended reports whether a session is over.
func (s *Session) Ended(now time.Time) bool { return now.Unix() >= s.Expires }

// OfSelf returns a user, or who has the root key, in a session of GetSessionToken.
func (s *Subject) OfSelf(of *Session) *Subject {
	in := *s
	in.Issued = time.Unix(of.Issued, 0)
	return &in
}

// maxSubjects bounds the subjects of sessions that a book keeps.
const maxSubjects = 4096

// OfRole returns the subject of a session, unless the role is gone.
func (b *Book) OfRole(s *Session) (*Subject, bool) {
	b.sessions.Lock()
	defer b.sessions.Unlock()
	if of, ok := b.sessions.of[s.Key]; ok {
		return of, true
	}
	r, ok := b.identities.Role(s.Role)
	if !ok || r.ID != s.RoleID {
		return nil, false
	}
	documents := slices.Clone(s.Policies)
	for _, arn := range s.Managed {
		document, ok := ManagedDocument(b.identities, arn)
		if !ok {
			document = unreadable // a bound that is gone may have denied anything
		}
		documents = append(documents, document)
	}
	of, ok := b.Session(s.Role, s.Name, documents)
	if !ok {
		return nil, false
	}
	of.Issued, of.SourceIdentity, of.Web = time.Unix(s.Issued, 0), s.Source, s.Web
	if b.sessions.of == nil || len(b.sessions.of) >= maxSubjects {
		b.sessions.of = make(map[cluster.AccessKeyID]*Subject)
	}
	b.sessions.of[s.Key] = of
	return of, true
}
