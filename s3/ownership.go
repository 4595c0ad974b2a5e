package s3

import (
	"encoding/json"
	"strings"

	"github.com/aisle-store/aisle/cluster"
)

// PublicAccessBlock says what is closed to the public, whatever policies and access control lists say.
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

// OwnershipControls say who owns the objects of a bucket, and whether it has access control lists.
type OwnershipControls struct {
	Ownership string // "" after the controls were deleted: as ObjectWriter
}

// The modes of ownership.
const (
	BucketOwnerEnforced  = "BucketOwnerEnforced"  // the bucket's owner owns all objects, and there are no access control lists
	BucketOwnerPreferred = "BucketOwnerPreferred" // ... owns those that are written with the ACL bucket-owner-full-control
	ObjectWriter         = "ObjectWriter"         // who writes an object owns it
)

// OwnershipHeader gives the ownership of a bucket that is made.
const OwnershipHeader = "x-amz-object-ownership"

// IsOwnership reports whether text is a mode of ownership.
func IsOwnership(text string) bool {
	return text == BucketOwnerEnforced || text == BucketOwnerPreferred || text == ObjectWriter
}

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
	if IsOwnership(ownership.text) {
		return &OwnershipControls{ownership.text}, nil
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
