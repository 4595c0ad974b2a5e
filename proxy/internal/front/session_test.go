package front

import (
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/control"
	"github.com/aisle-store/aisle/proxy/internal/access"
)

// TestSessionOfSelf: sessions of GetSessionToken tell when they began, and make no lasting credentials; those of roles, and keys,
// may ask for what policies allow.
func TestSessionOfSelf(t *testing.T) {
	book := access.NewBook(staff(t).Identities())
	me, _ := book.User("me")
	role, _ := book.Session("Boss", "s", nil)
	of := &access.Session{Issued: 1000}
	f := func(id cluster.AccessKeyID, who *access.Subject, issued time.Time, refused bool) {
		t.Helper()
		c := caller{control.Key{ID: id}, who}
		if err := c.notOfSelf(); (err != nil) != refused || !who.Issued.Equal(issued) {
			t.Errorf("%s of %s: %v, issued %v", id, who.Type, err, who.Issued)
		}
	}
	f("AKIA0000000000000001", me, time.Time{}, false)
	f("ASIA0000000000000001", me.OfSelf(of), time.Unix(1000, 0), true)
	f("ASIA0000000000000001", access.Root().OfSelf(of), time.Unix(1000, 0), true)
	f("ASIA0000000000000001", role, time.Time{}, false)
	if !me.Issued.IsZero() {
		t.Error("the user is changed by a session")
	}
}
