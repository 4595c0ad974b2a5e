package s3

import (
	"encoding/json"
	"slices"
	"strings"
)

// Permission is what a grant of an access control list allows.
type Permission string

// The permissions of S3.
const (
	NoPermission Permission = ""
	FullControl  Permission = "FULL_CONTROL"
	Read         Permission = "READ"
	Write        Permission = "WRITE"
	ReadACP      Permission = "READ_ACP"
	WriteACP     Permission = "WRITE_ACP"
)

// Grantees beside canonical user ids.
const (
	TheOwner           = "owner" // of the object or bucket, whoever that is
	AllUsers           = "http://acs.amazonaws.com/groups/global/AllUsers"
	AuthenticatedUsers = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
	LogDelivery        = "http://acs.amazonaws.com/groups/s3/LogDelivery"
)

// MaxGrants is how many grants a list has at most.
const MaxGrants = 100

// ACLGrant allows somebody something.
type ACLGrant struct {
	Grantee    string // a canonical user id, TheOwner, or the URI of a group
	Permission Permission
}

// ACL is an access control list.
type ACL struct {
	Grants []ACLGrant
}

// privateACL is the list of a bucket or object that was given none.
func privateACL() *ACL { return &ACL{[]ACLGrant{{TheOwner, FullControl}}} }

// DecodeACL reads what Encode wrote. Nothing stands for the list that is given to everything by default.
func DecodeACL(text string) *ACL {
	if text == "" {
		return privateACL()
	}
	a := &ACL{}
	for line := range strings.Lines(text) {
		permission, grantee, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if ok {
			a.Grants = append(a.Grants, ACLGrant{grantee, Permission(permission)})
		}
	}
	return a
}

// emptyACL is how a list without grants is kept.
const emptyACL = "-"

// Encode returns the list as it is kept: "" when it is the one that everything has by default.
func (a *ACL) Encode() string {
	if slices.Equal(a.Grants, privateACL().Grants) {
		return ""
	}
	var b strings.Builder
	for _, g := range a.Grants {
		b.WriteString(string(g.Permission))
		b.WriteByte(' ')
		b.WriteString(g.Grantee)
		b.WriteByte('\n')
	}
	if b.Len() == 0 {
		return emptyACL
	}
	return b.String()
}

// DecodeBucketACL reads the stored form of a bucket's list.
func DecodeBucketACL(value []byte) (any, error) {
	a := &ACL{}
	return a, json.Unmarshal(value, a)
}

// Asker is who asks for what a list may allow.
type Asker struct {
	Canonical    string // "" is somebody without a key
	Owner        string // canonical id of who owns the bucket or object
	IgnorePublic bool   // grants to everybody do not count
}

// Allows reports whether the list allows somebody something. An owner may always read and change the list.
func (a *ACL) Allows(p Permission, who Asker) bool {
	if p == NoPermission {
		return false
	}
	owner := who.Canonical != "" && who.Canonical == who.Owner
	if owner && (p == ReadACP || p == WriteACP) {
		return true
	}
	for _, g := range a.Grants {
		if g.Permission != p && g.Permission != FullControl {
			continue
		}
		switch g.Grantee {
		case TheOwner:
			if owner {
				return true
			}
		case AllUsers:
			if !who.IgnorePublic {
				return true
			}
		case AuthenticatedUsers:
			if !who.IgnorePublic && who.Canonical != "" {
				return true
			}
		default:
			if who.Canonical != "" && g.Grantee == who.Canonical {
				return true
			}
		}
	}
	return false
}

// Public reports whether the list allows everybody, or everybody with a key, anything.
func (a *ACL) Public() bool {
	return slices.ContainsFunc(a.Grants, func(g ACLGrant) bool { return g.Grantee == AllUsers || g.Grantee == AuthenticatedUsers })
}

// OwnerOnly reports whether the list allows the owner everything and others nothing: what is so where lists are off.
func (a *ACL) OwnerOnly(owner string) bool {
	return len(a.Grants) > 0 && !slices.ContainsFunc(a.Grants, func(g ACLGrant) bool {
		return g.Permission != FullControl || g.Grantee != TheOwner && g.Grantee != owner
	})
}

// XML returns the list as GetBucketAcl and GetObjectAcl show it. name tells the name of a grantee.
func (a *ACL) XML(owner Owner, name func(canonical string) string) []byte {
	w := newXML(512 + 256*len(a.Grants))
	w.root("AccessControlPolicy")
	writeOwner(w, "Owner", owner)
	w.open("AccessControlList")
	for _, g := range a.Grants {
		g.write(w, owner, name)
	}
	w.close("AccessControlList")
	w.close("AccessControlPolicy")
	return w.bytes()
}

// toGroup reports whether the grant is to a group.
func (g *ACLGrant) toGroup() bool { return strings.HasPrefix(g.Grantee, "http://") }

func (g *ACLGrant) write(w *xmlWriter, owner Owner, name func(canonical string) string) {
	w.open("Grant")
	if g.toGroup() {
		w.open(`Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="Group"`)
		w.text("URI", g.Grantee)
	} else {
		w.open(`Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser"`)
		if g.Grantee == TheOwner || g.Grantee == owner.ID {
			w.text("ID", owner.ID)
			w.optional("DisplayName", owner.DisplayName)
		} else {
			w.text("ID", g.Grantee)
			w.optional("DisplayName", name(g.Grantee))
		}
	}
	w.close("Grantee")
	w.text("Permission", string(g.Permission))
	w.close("Grant")
}

// OwnerACL returns the list of everything where lists are off.
func OwnerACL() *ACL { return privateACL() }
