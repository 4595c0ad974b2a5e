package s3

import (
	"encoding/json"
	"strings"

	"github.com/aisle-store/aisle/cluster"
)

// cannedACLs are AWS's, with whether they say what is so anyway where the bucket's owner owns all objects.
var cannedACLs = map[string]bool{
	"private": true, "bucket-owner-full-control": true, "bucket-owner-read": true,
	"public-read": false, "public-read-write": false, "authenticated-read": false, "aws-exec-read": false, "log-delivery-write": false,
}

// checkACLHeader refuses headers that ask for an access control list: objects belong to their bucket's owner, and policies
// say who may what.
func checkACLHeader(c *Call, name, value string) error {
	const op = "s3.checkACLHeader"
	code := ACLNotSupported
	if c.Key == "" && c.Method == "PUT" && !c.Params.Has("acl") {
		code = InvalidACLWithOwnership
	}
	if strings.HasPrefix(name, "x-amz-grant-") {
		return NewFault(op, code, "")
	}
	if name != "x-amz-acl" {
		return nil
	}
	harmless, known := cannedACLs[value]
	switch {
	case !known:
		return invalidArgument(op, name, value, "")
	case !harmless:
		return NewFault(op, code, "")
	}
	return nil
}

// ACLXML returns the access control list of a bucket or object: its owner may do everything.
func ACLXML(owner Owner) []byte {
	w := newXML(512)
	w.root("AccessControlPolicy")
	user := func() {
		w.text("ID", owner.ID)
		w.optional("DisplayName", owner.DisplayName)
	}
	w.open("Owner")
	user()
	w.close("Owner")
	w.open("AccessControlList")
	w.open("Grant")
	w.open(`Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser"`)
	user()
	w.close("Grantee")
	w.text("Permission", "FULL_CONTROL")
	w.close("Grant")
	w.close("AccessControlList")
	w.close("AccessControlPolicy")
	return w.bytes()
}

// PublicAccessBlock says what is closed to the public, whatever policies say. There are no access control lists: two of the
// four are kept and told.
type PublicAccessBlock struct {
	BlockPublicAcls, IgnorePublicAcls, BlockPublicPolicy, RestrictPublicBuckets bool
}

// ParsePublicAccessBlock reads the body of PutPublicAccessBlock.
func ParsePublicAccessBlock(body []byte) (*PublicAccessBlock, error) {
	const op = "s3.ParsePublicAccessBlock"
	root, err := parseXML(body, 16)
	if err != nil {
		return nil, cluster.E(op, "", cluster.KindOther, err)
	}
	if root.name != "PublicAccessBlockConfiguration" {
		return nil, malformedXML(op)
	}
	p := &PublicAccessBlock{}
	into := map[string]*bool{
		"BlockPublicAcls": &p.BlockPublicAcls, "IgnorePublicAcls": &p.IgnorePublicAcls, "BlockPublicPolicy": &p.BlockPublicPolicy,
		"RestrictPublicBuckets": &p.RestrictPublicBuckets,
	}
	for _, n := range root.children {
		to, text := into[n.name], strings.ToLower(strings.TrimSpace(n.text))
		if to == nil || text != "true" && text != "false" {
			return nil, malformedXML(op)
		}
		delete(into, n.name)
		*to = text == "true"
	}
	return p, nil
}

// DecodePublicAccessBlock reads the stored form.
func DecodePublicAccessBlock(value []byte) (any, error) {
	p := &PublicAccessBlock{}
	return p, json.Unmarshal(value, p)
}

// XML returns the reply to GetPublicAccessBlock.
func (p *PublicAccessBlock) XML() []byte {
	w := newXML(384)
	w.root("PublicAccessBlockConfiguration")
	w.boolean("BlockPublicAcls", p.BlockPublicAcls)
	w.boolean("IgnorePublicAcls", p.IgnorePublicAcls)
	w.boolean("BlockPublicPolicy", p.BlockPublicPolicy)
	w.boolean("RestrictPublicBuckets", p.RestrictPublicBuckets)
	w.close("PublicAccessBlockConfiguration")
	return w.bytes()
}

// OwnershipControls say who owns the objects of a bucket: its owner.
type OwnershipControls struct {
	Ownership string
}

// BucketOwnerEnforced is the ownership without access control lists, the only one there is.
const BucketOwnerEnforced = "BucketOwnerEnforced"

// ParseOwnershipControls reads the body of PutBucketOwnershipControls.
func ParseOwnershipControls(body []byte) (*OwnershipControls, error) {
	const op = "s3.ParseOwnershipControls"
	root, err := parseXML(body, 16)
	if err != nil {
		return nil, cluster.E(op, "", cluster.KindOther, err)
	}
	rule := root.only("Rule")
	if root.name != "OwnershipControls" || rule == nil || len(root.children) != 1 {
		return nil, malformedXML(op)
	}
	ownership := rule.only("ObjectOwnership")
	if ownership == nil {
		return nil, malformedXML(op)
	}
	switch ownership.text {
	case BucketOwnerEnforced:
		return &OwnershipControls{ownership.text}, nil
	case "BucketOwnerPreferred", "ObjectWriter":
		return nil, notImplemented(op, "The object ownership "+ownership.text+" is not implemented: there are no access control lists.")
	}
	return nil, malformedXML(op)
}

// DecodeOwnershipControls reads the stored form.
func DecodeOwnershipControls(value []byte) (any, error) {
	o := &OwnershipControls{}
	return o, json.Unmarshal(value, o)
}

// XML returns the reply to GetBucketOwnershipControls.
func (o *OwnershipControls) XML() []byte {
	w := newXML(256)
	w.root("OwnershipControls")
	w.open("Rule")
	w.text("ObjectOwnership", o.Ownership)
	w.close("Rule")
	w.close("OwnershipControls")
	return w.bytes()
}

// PolicyStatusXML returns the reply to GetBucketPolicyStatus.
func PolicyStatusXML(public bool) []byte {
	w := newXML(192)
	w.root("PolicyStatus")
	w.boolean("IsPublic", public)
	w.close("PolicyStatus")
	return w.bytes()
}

// GrantsOwnerOnly reports whether the body of a request that sets an ACL grants full control to the owner, and nothing else to
// anybody: what is so where ACLs are off. Some clients send back what they were told of another object.
func GrantsOwnerOnly(body []byte, owner string) bool {
	root, err := parseXML(body, 64)
	if err != nil || root.name != "AccessControlPolicy" {
		return false
	}
	list := root.only("AccessControlList")
	if list == nil || len(list.children) != 1 {
		return false
	}
	grantee, permission := list.children[0].only("Grantee"), list.children[0].only("Permission")
	if grantee == nil || permission == nil || permission.text != "FULL_CONTROL" {
		return false
	}
	id := grantee.only("ID")
	return id != nil && id.text == owner
}
