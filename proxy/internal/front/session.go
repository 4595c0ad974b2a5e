package front

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/control"
	"github.com/aisle-store/aisle/proxy/internal/access"
	"github.com/aisle-store/aisle/s3"
)

// sessions opens the tokens of temporary credentials. A token is a session sealed under the cluster key: any gateway can open it,
// and none has to keep anything.
type sessions struct {
	mu struct {
		sync.Mutex
		opened map[string]*access.Session // by token
	}
}

const (
	maxOpened    = 1024
	sessionMagic = "session\x00" // nothing else that is sealed begins so
	maxToken     = 12 << 10
)

// sealSession returns the token of a session.
func (f *Front) sealSession(s *access.Session) (string, error) {
	const op = "proxy/front.sealSession"
	text, err := json.Marshal(s)
	if err != nil {
		return "", cluster.E(op, "", cluster.KindOther, err)
	}
	sealed, err := f.o.Control.Seal(append([]byte(sessionMagic), text...))
	if err != nil {
		return "", cluster.E(op, "", cluster.KindOther, err)
	}
	return base64.StdEncoding.EncodeToString(sealed), nil
}

// session opens a token.
func (f *Front) session(token string) (*access.Session, bool) {
	f.sessions.mu.Lock()
	s, ok := f.sessions.mu.opened[token]
	f.sessions.mu.Unlock()
	if ok {
		return s, true
	}
	if len(token) > maxToken {
		return nil, false
	}
	sealed, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		return nil, false
	}
	plain, err := f.o.Control.Open(sealed)
	if err != nil {
		return nil, false
	}
	text, ok := bytes.CutPrefix(plain, []byte(sessionMagic))
	s = new(access.Session)
	if !ok || json.Unmarshal(text, s) != nil {
		return nil, false
	}
	f.sessions.mu.Lock()
	defer f.sessions.mu.Unlock()
	if f.sessions.mu.opened == nil || len(f.sessions.mu.opened) >= maxOpened {
		f.sessions.mu.opened = make(map[string]*access.Session)
	}
	f.sessions.mu.opened[strings.Clone(token)] = s
	return s, true
}

// checkSession looks whether a token belongs to a temporary key and is not over.
func (f *Front) checkSession(id cluster.AccessKeyID, token string, now time.Time) error {
	const op = "proxy/front.checkSession"
	s, ok := f.session(token)
	switch {
	case !ok || s.Key != id:
		return s3.NewFault(op, s3.InvalidToken, "")
	case s.Ended(now):
		return s3.NewFault(op, s3.ExpiredToken, "")
	}
	return nil
}

// sessionCaller finds whose session a token is of. It ends with the role or user, and with the key that it was asked for with.
func (f *Front) sessionCaller(view *control.View, id cluster.AccessKeyID, token string) (caller, bool) {
	s, ok := f.session(token)
	if !ok || s.Key != id {
		return caller{}, false
	}
	key := control.Key{ID: id}
	if s.Parent == "" {
		who, ok := f.book(view).OfRole(s)
		return caller{key, who}, ok
	}
	parent, ok := view.Key(s.Parent)
	if !ok || parent.Inactive || parent.ID.IsTemporary() {
		return caller{}, false
	}
	if parent.Root {
		key.Root = true
		return caller{key, f.root.OfSelf(s)}, s.UserID == ""
	}
	key.User = parent.User
	who, ok := f.book(view).User(parent.User)
	if !ok || who.ID != s.UserID {
		return caller{}, false
	}
	return caller{key, who.OfSelf(s)}, true
}

// notOfSelf refuses requests about identities in sessions of GetSessionToken, as AWS does where they were not asked for with a
// second factor: who has got hold of such credentials cannot make lasting ones of them.
func (c *caller) notOfSelf() error {
	if c.key.ID.IsTemporary() && c.who.Type != "AssumedRole" {
		return s3.NewFault("proxy/front.notOfSelf", s3.AccessDenied, "Cannot call IAM operations with the credentials of GetSessionToken")
	}
	return nil
}
