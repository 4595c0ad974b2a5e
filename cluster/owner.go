package cluster

import "sync/atomic"

// Owner is somebody who can own buckets and objects, and whom access control lists can name.
type Owner struct {
	ID        string // of the user or role, which is never used again; Account for the root key
	Canonical string // the canonical user id of ID
	Name      string
}

// rootOwner is who has the root key.
var rootOwner = Owner{Account, CanonicalID(Account), "root"}

// Owners finds owners among identities. It is immutable.
type Owners struct {
	of          *Identities
	byID        map[string]Owner
	byCanonical map[string]Owner
}

// newOwners returns the owners among some identities.
func newOwners(i *Identities) *Owners {
	o := &Owners{of: i, byID: make(map[string]Owner), byCanonical: make(map[string]Owner)}
	add := func(one Owner) { o.byID[one.ID], o.byCanonical[one.Canonical] = one, one }
	add(rootOwner)
	for n := range i.Users {
		add(i.Users[n].Owner())
	}
	for n := range i.Roles {
		r := &i.Roles[n]
		add(Owner{r.ID, CanonicalID(r.ID), string(r.Name)})
	}
	return o
}

// Owner returns the user as an owner.
func (u *User) Owner() Owner { return Owner{u.ID, CanonicalID(u.ID), string(u.Name)} }

// ByID returns the owner of that id. One that is gone has no name.
func (o *Owners) ByID(id string) Owner {
	if one, ok := o.byID[id]; ok {
		return one
	}
	return Owner{ID: id, Canonical: CanonicalID(id)}
}

// ByCanonical returns the owner of a canonical user id.
func (o *Owners) ByCanonical(id string) (Owner, bool) {
	one, ok := o.byCanonical[id]
	return one, ok
}

// AnonymousOwner is who owns what was written without a key.
var AnonymousOwner = Owner{Canonical: "65a011a29cdf8ec533ec3d1ccaae921c"}

// Recorded returns the owner that a record names: by its id or, in old records, by the access key that wrote, whose user the
// caller knows.
func (o *Owners) Recorded(text AccessKeyID, user func(AccessKeyID) (name UserName, root, ok bool)) Owner {
	if text == "" {
		return AnonymousOwner
	}
	if one, ok := o.byID[string(text)]; ok {
		return one
	}
	if name, root, ok := user(text); ok {
		return o.user(name, root)
	}
	return o.ByID(string(text))
}

// user returns the owner that a user, or the root key, is.
func (o *Owners) user(name UserName, root bool) Owner {
	if root || name == "" {
		return rootOwner
	}
	if u, ok := o.of.User(name); ok {
		return u.Owner()
	}
	return Owner{ID: "user " + string(name), Canonical: CanonicalID("user " + string(name)), Name: string(name)}
}

// Bucket returns the owner of a bucket: the user or role that made it, and no other one of its name.
func (o *Owners) Bucket(e *BucketEntry) Owner {
	if e.OwnerID != "" {
		return o.ByID(e.OwnerID)
	}
	return o.user(e.Owner, false)
}

// BucketUser returns the name that the user who made a bucket has now; none when it was a role or the root key, or is gone.
func (o *Owners) BucketUser(e *BucketEntry) UserName {
	if e.OwnerID == "" {
		return e.Owner
	}
	if u, ok := o.of.User(UserName(o.byID[e.OwnerID].Name)); ok && u.ID == e.OwnerID {
		return u.Name
	}
	return ""
}

// OwnersCache keeps the owners of the identities that were last asked about.
type OwnersCache struct{ last atomic.Pointer[Owners] }

// Of returns the owners among some identities.
func (c *OwnersCache) Of(i *Identities) *Owners {
	o := c.last.Load()
	if o == nil || o.of != i {
		o = newOwners(i)
		c.last.Store(o)
	}
	return o
}
