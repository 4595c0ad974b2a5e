package s3

import (
	"encoding/json"
	"strings"

	"github.com/aisle-store/aisle/cluster"
)

// BucketEncryption is how the objects of a bucket are encrypted unless the request that makes one says it.
type BucketEncryption struct {
	Method    string `json:",omitempty"` // EncryptS3 or EncryptKMS; "": they are not
	KeyID     string `json:",omitempty"` // of EncryptKMS; "": the default key
	BucketKey bool   `json:",omitempty"`
	Blocked   string `json:",omitempty"` // BlockCustomer, BlockNone, or "": nothing was said
}

// What a bucket can say of customers' keys.
const (
	BlockCustomer = "SSE-C"
	BlockNone     = "NONE"
)

// ParseBucketEncryption reads the body of PutBucketEncryption.
func ParseBucketEncryption(body []byte) (*BucketEncryption, error) {
	const op = "s3.ParseBucketEncryption"
	root, err := parseXML(body, 64)
	if err != nil {
		return nil, cluster.E(op, "", cluster.KindOther, err)
	}
	if root.name != "ServerSideEncryptionConfiguration" || len(root.children) != 1 || root.children[0].name != "Rule" {
		return nil, malformedXML(op)
	}
	b := &BucketEncryption{}
	seen := make(map[string]bool)
	rule := &root.children[0]
	for i := range rule.children {
		n := &rule.children[i]
		text := strings.TrimSpace(n.text)
		if seen[n.name] {
			return nil, malformedXML(op)
		}
		seen[n.name] = true
		switch n.name {
		case "ApplyServerSideEncryptionByDefault":
			if err := b.parseDefault(n); err != nil {
				return nil, err
			}
		case "BucketKeyEnabled":
			b.BucketKey = text == "true" || text == "1"
			if !b.BucketKey && text != "false" && text != "0" {
				return nil, malformedXML(op)
			}
		case "BlockedEncryptionTypes":
			if err := b.parseBlocked(n); err != nil {
				return nil, err
			}
		default:
			return nil, malformedXML(op)
		}
	}
	if len(seen) == 0 {
		return nil, malformedXML(op)
	}
	return b, nil
}

func (b *BucketEncryption) parseDefault(n *node) error {
	const op = "s3.BucketEncryption.parseDefault"
	for i := range n.children {
		c := &n.children[i]
		text := strings.TrimSpace(c.text)
		switch {
		case len(c.children) > 0:
			return malformedXML(op)
		case c.name == "SSEAlgorithm" && b.Method == "":
			b.Method = text
		case c.name == "KMSMasterKeyID" && b.KeyID == "":
			b.KeyID = text
		default:
			return malformedXML(op)
		}
	}
	switch b.Method {
	case EncryptS3:
		if b.KeyID != "" {
			return NewFault(op, InvalidArgument, "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse",
				Field{"ArgumentName", "ApplyServerSideEncryptionByDefault"})
		}
	case EncryptKMS:
	case "aws:kms:dsse", "aws:fsx", "aws:backup":
		return notImplemented(op, "The encryption method "+b.Method+" is not implemented.")
	default:
		return malformedXML(op)
	}
	return nil
}

func (b *BucketEncryption) parseBlocked(n *node) error {
	const op = "s3.BucketEncryption.parseBlocked"
	for i := range n.children {
		c := &n.children[i]
		text := strings.TrimSpace(c.text)
		if c.name != "EncryptionType" || b.Blocked != "" || text != BlockCustomer && text != BlockNone {
			return malformedXML(op)
		}
		b.Blocked = text
	}
	return nil
}

// DecodeBucketEncryption reads the stored form.
func DecodeBucketEncryption(value []byte) (any, error) {
	b := &BucketEncryption{}
	return b, json.Unmarshal(value, b)
}

// XML returns the reply to GetBucketEncryption.
func (b *BucketEncryption) XML() []byte {
	w := newXML(384)
	w.root("ServerSideEncryptionConfiguration")
	w.open("Rule")
	if b.Method != "" {
		w.open("ApplyServerSideEncryptionByDefault")
		w.text("SSEAlgorithm", b.Method)
		w.optional("KMSMasterKeyID", b.KeyID)
		w.close("ApplyServerSideEncryptionByDefault")
	}
	w.boolean("BucketKeyEnabled", b.BucketKey)
	if b.Blocked != "" {
		w.open("BlockedEncryptionTypes")
		w.text("EncryptionType", b.Blocked)
		w.close("BlockedEncryptionTypes")
	}
	w.close("Rule")
	w.close("ServerSideEncryptionConfiguration")
	return w.bytes()
}
