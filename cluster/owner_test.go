package cluster

import "testing"

// TestBucketOwner: a bucket belongs to who made it, under whatever name, and to nobody else who has that name later; buckets of
// earlier versions, which recorded the name only, to who has it.
func TestBucketOwner(t *testing.T) {
	made, former := &BucketEntry{Owner: "carol", OwnerID: "AIDA1"}, &BucketEntry{Owner: "carol"}
	byRole, byRoot := &BucketEntry{OwnerID: "AROA1"}, &BucketEntry{OwnerID: Account}
	f := func(i Identities, e *BucketEntry, id string, user UserName) {
		t.Helper()
		o := newOwners(&i)
		if got := o.Bucket(e); got.ID != id || got.Canonical != CanonicalID(id) {
			t.Errorf("%+v belongs to %+v", e, got)
		}
		if got := o.BucketUser(e); got != user {
			t.Errorf("%+v was made by the user %q, want %q", e, got, user)
		}
	}
	carol := Identities{Users: []User{{Name: "carol", ID: "AIDA1"}}}
	f(carol, made, "AIDA1", "carol")
	f(carol, former, "AIDA1", "carol")
	renamed := Identities{Users: []User{{Name: "caroline", ID: "AIDA1"}}}
	f(renamed, made, "AIDA1", "caroline")
	another := Identities{Users: []User{{Name: "carol", ID: "AIDA2"}}}
	f(another, made, "AIDA1", "")
	role := Identities{Users: []User{{Name: "worker", ID: "AIDA3"}}, Roles: []Role{{Name: "worker", ID: "AROA1"}}}
	f(role, byRole, "AROA1", "")
	f(Identities{Users: []User{{Name: "root", ID: "AIDA4"}}}, byRoot, Account, "")
	f(Identities{}, &BucketEntry{}, Account, "")
}
