package s3

import (
	"slices"
	"strings"

	"github.com/aisle-store/aisle/cluster"
)

const (
	aclHeader   = "x-amz-acl"
	grantPrefix = "x-amz-grant-"
)

// grantHeaders are the headers that grant, with what they grant.
var grantHeaders = []struct {
	name       string
	permission Permission
}{
	{"x-amz-grant-full-control", FullControl}, {"x-amz-grant-read", Read}, {"x-amz-grant-read-acp", ReadACP},
	{"x-amz-grant-write", Write}, {"x-amz-grant-write-acp", WriteACP},
}

// cannedGrants are AWS's canned lists: what they grant beside full control to the owner.
var cannedGrants = map[string][]ACLGrant{
	"private":                   nil,
	"public-read":               {{AllUsers, Read}},
	"public-read-write":         {{AllUsers, Read}, {AllUsers, Write}},
	"authenticated-read":        {{AuthenticatedUsers, Read}},
	"aws-exec-read":             {{"6aa5a366c34c1cbe25dc49211496e913e0351eb0e8c37aa3477e40942ec6b97c", Read}},
	"log-delivery-write":        {{LogDelivery, Write}, {LogDelivery, ReadACP}},
	"bucket-owner-read":         nil, // of objects; see canned
	"bucket-owner-full-control": nil,
}

// ACLContext is what a request that gives an access control list is read by.
type ACLContext struct {
	Bucket      bool   // the list is of a bucket
	BucketOwner string // its canonical user id
	// Known reports whether somebody has a canonical user id.
	Known func(canonical string) bool
}

// checkACLHeader refuses canned lists and modes of ownership that there are not.
func checkACLHeader(name, value string) error {
	const op = "s3.checkACLHeader"
	if name == OwnershipHeader && !IsOwnership(value) {
		return invalidArgument(op, name, value, "Invalid x-amz-object-ownership header: "+value)
	}
	if name != aclHeader {
		return nil
	}
	if _, known := cannedGrants[value]; !known {
		return invalidArgument(op, name, value, "")
	}
	return nil
}

// canned returns a canned list.
func (x *ACLContext) canned(name string) *ACL {
	a := privateACL()
	switch {
	case x.Bucket:
	case name == "bucket-owner-read":
		a.Grants = append(a.Grants, ACLGrant{x.BucketOwner, Read})
	case name == "bucket-owner-full-control":
		a.Grants = append(a.Grants, ACLGrant{x.BucketOwner, FullControl})
	case name == "log-delivery-write":
		return a
	}
	a.Grants = append(a.Grants, cannedGrants[name]...)
	return a
}

// HasACL reports whether the headers of a call give a list.
func HasACL(c *Call) bool {
	for name := range c.amzHeaders() {
		if name == aclHeader || strings.HasPrefix(name, grantPrefix) {
			return true
		}
	}
	return false
}

// CannedACL returns the name of the canned list that a call gives, or "".
func CannedACL(c *Call) string { return c.Get(aclHeader) }

// HarmlessACL reports whether the headers of a call ask for no more than what is so anyway where lists are off.
func HarmlessACL(c *Call) bool {
	for name := range c.amzHeaders() {
		if strings.HasPrefix(name, grantPrefix) {
			return false
		}
	}
	switch c.Get(aclHeader) {
	case "private", "bucket-owner-full-control", "bucket-owner-read":
		return true
	}
	return false
}

// ReadACLHeaders returns the list that the headers of a call give; nil when they give none.
func ReadACLHeaders(c *Call, x *ACLContext) (*ACL, error) {
	const op = "s3.ReadACLHeaders"
	if !HasACL(c) {
		return nil, nil
	}
	a := &ACL{}
	granted := false
	for _, h := range grantHeaders {
		value := c.Get(h.name)
		if value == "" {
			continue
		}
		granted = true
		for part := range strings.SplitSeq(value, ",") {
			grantee, err := x.headerGrantee(h.name, value, part)
			if err != nil {
				return nil, err
			}
			a.Grants = append(a.Grants, ACLGrant{grantee, h.permission})
		}
	}
	name := c.Get(aclHeader)
	switch {
	case granted && name != "":
		return nil, NewFault(op, InvalidRequest, "Specifying both Canned ACLs and Header Grants is not allowed")
	case name != "":
		a = x.canned(name)
	}
	return a, a.check(op)
}

func (a *ACL) check(op string) error {
	if len(a.Grants) > MaxGrants {
		return NewFault(op, MalformedACL, "")
	}
	return nil
}

// headerGrantee reads KIND="VALUE".
func (x *ACLContext) headerGrantee(header, whole, part string) (string, error) {
	const op = "s3.headerGrantee"
	kind, value, ok := strings.Cut(strings.TrimSpace(part), "=")
	value = strings.Trim(strings.TrimSpace(value), `"`)
	if !ok || value == "" {
		return "", invalidArgument(op, header, whole, "Argument format not recognized")
	}
	switch {
	case strings.EqualFold(kind, "id"):
		return x.canonical(value)
	case strings.EqualFold(kind, "uri"):
		return group(value)
	case strings.EqualFold(kind, "emailAddress"):
		return "", NewFault(op, UnresolvableGrant, "")
	}
	return "", invalidArgument(op, header, whole, "Argument format not recognized")
}

func (x *ACLContext) canonical(id string) (string, error) {
	if id == "" || !x.Known(id) {
		return "", invalidArgument("s3.ACLContext.canonical", "CanonicalUser/ID", id, "Invalid id")
	}
	return id, nil
}

func group(uri string) (string, error) {
	switch uri {
	case AllUsers, AuthenticatedUsers, LogDelivery:
		return uri, nil
	}
	return "", invalidArgument("s3.group", "Group/URI", uri, "Invalid group uri")
}

// ReadACL returns the list that a request to set one gives, in its headers or its body, and the owner that the body names.
func ReadACL(c *Call, body []byte, x *ACLContext) (a *ACL, owner string, err error) {
	const op = "s3.ReadACL"
	a, err = ReadACLHeaders(c, x)
	switch {
	case err != nil:
		return nil, "", err
	case a != nil && len(body) > 0:
		return nil, "", NewFault(op, UnexpectedContent, "")
	case a != nil:
		return a, "", nil
	case len(body) == 0:
		return nil, "", NewFault(op, MissingSecurityHeader, "", Field{"MissingHeaderName", aclHeader})
	}
	return x.parse(body)
}

// maxACLElements bounds the elements of a list in XML: six for each grant.
const maxACLElements = 8 * MaxGrants

// parse reads an AccessControlPolicy.
func (x *ACLContext) parse(body []byte) (a *ACL, owner string, err error) {
	const op = "s3.ACLContext.parse"
	root, err := parseXML(body, maxACLElements)
	if err != nil {
		return nil, "", cluster.E(op, "", cluster.KindOther, err)
	}
	list := root.only("AccessControlList")
	if root.name != "AccessControlPolicy" || list == nil {
		return nil, "", NewFault(op, MalformedACL, "")
	}
	if who := root.only("Owner"); who != nil {
		if id := who.only("ID"); id != nil {
			owner = strings.TrimSpace(id.text)
		}
	}
	if owner == "" {
		return nil, "", NewFault(op, MalformedACL, "")
	}
	a = &ACL{}
	for i := range list.children {
		g, err := x.grant(&list.children[i])
		if err != nil {
			return nil, "", err
		}
		a.Grants = append(a.Grants, g)
	}
	return a, owner, a.check(op)
}

var permissions = []Permission{FullControl, Read, Write, ReadACP, WriteACP}

func (x *ACLContext) grant(n *node) (ACLGrant, error) {
	const op = "s3.ACLContext.grant"
	grantee, permission := n.only("Grantee"), n.only("Permission")
	if n.name != "Grant" || grantee == nil || permission == nil {
		return ACLGrant{}, NewFault(op, MalformedACL, "")
	}
	g := ACLGrant{Permission: Permission(strings.TrimSpace(permission.text))}
	if !slices.Contains(permissions, g.Permission) {
		return g, NewFault(op, MalformedACL, "")
	}
	id, uri, email := grantee.only("ID"), grantee.only("URI"), grantee.only("EmailAddress")
	var err error
	switch {
	case email != nil:
		err = NewFault(op, UnresolvableGrant, "")
	case id != nil && uri == nil:
		g.Grantee, err = x.canonical(strings.TrimSpace(id.text))
	case uri != nil && id == nil:
		g.Grantee, err = group(strings.TrimSpace(uri.text))
	default:
		err = NewFault(op, MalformedACL, "")
	}
	return g, err
}
