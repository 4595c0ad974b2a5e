package s3

import (
	"bytes"
	"strings"

	"github.com/aisle-store/aisle/cluster"
)

// The longest bodies of XML that configure something: of most kinds, and of those that have many rules.
const (
	MaxSmallBody        = 64 << 10
	MaxLifecycleBody    = 1 << 20
	MaxNotificationBody = 256 << 10
)

// BucketConfiguration is what the body of CreateBucket asks for.
type BucketConfiguration struct {
	Location string // the LocationConstraint, "" for none
	Tags     []Field
}

// ParseCreateBucket reads the body of CreateBucket, which may be empty. Settings that are not built are refused.
func ParseCreateBucket(body []byte) (BucketConfiguration, error) {
	const op = "s3.ParseCreateBucket"
	var cfg BucketConfiguration
	if len(bytes.TrimSpace(body)) == 0 {
		return cfg, nil
	}
	root, err := parseXML(body, 256)
	if err != nil {
		return cfg, cluster.E(op, "", cluster.KindOther, err)
	}
	if root.name != "CreateBucketConfiguration" {
		return cfg, malformedXML(op)
	}
	for i := range root.children {
		n := &root.children[i]
		switch n.name {
		case "LocationConstraint":
			cfg.Location = strings.TrimSpace(n.text)
		case "Tags":
			if cfg.Tags, err = parseTagSet(n); err == nil {
				err = checkTags(op, cfg.Tags, MaxBucketTags, "Bucket")
			}
			if err != nil {
				return cfg, err
			}
		case "Location", "Bucket":
			if len(n.children) > 0 {
				return cfg, notImplemented(op, "The element "+n.name+" of CreateBucketConfiguration is not implemented.")
			}
		default:
			return cfg, malformedXML(op)
		}
	}
	return cfg, nil
}
