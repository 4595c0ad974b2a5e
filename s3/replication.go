package s3

import (
	"crypto/rand"
	"encoding/json"
	"slices"
	"strings"

	"github.com/aisle-store/aisle/cluster"
)

const maxReplicationRules = 1000

// Replication is the replication configuration of a bucket. Nothing is replicated: one is kept, and told, that has no rule which is
// to be carried out.
type Replication struct {
	Document     string               // as it is told
	Enabled      bool                 // a rule is to be carried out
	Destinations []cluster.BucketName // of all rules
}

// replicationSchema says which elements stand in which; all others have text.
var replicationSchema = map[string][]string{
	"ReplicationConfiguration": {"Role", "Rule"},
	"Rule": {
		"ID", "Priority", "Prefix", "Filter", "Status", "SourceSelectionCriteria", "ExistingObjectReplication", "Destination", "DeleteMarkerReplication",
	},
	"Filter":                    {"Prefix", "Tag", "And"},
	"And":                       {"Prefix", "Tag"},
	"Tag":                       {"Key", "Value"},
	"SourceSelectionCriteria":   {"SseKmsEncryptedObjects", "ReplicaModifications"},
	"SseKmsEncryptedObjects":    {"Status"},
	"ReplicaModifications":      {"Status"},
	"ExistingObjectReplication": {"Status"},
	"DeleteMarkerReplication":   {"Status"},
	"Destination": {
		"Bucket", "Account", "StorageClass", "AccessControlTranslation", "EncryptionConfiguration", "ReplicationTime", "Metrics",
	},
	"AccessControlTranslation": {"Owner"},
	"EncryptionConfiguration":  {"ReplicaKmsKeyID"},
	"ReplicationTime":          {"Status", "Time"},
	"Time":                     {"Minutes"},
	"Metrics":                  {"Status", "EventThreshold"},
	"EventThreshold":           {"Minutes"},
}

// ParseReplication reads the body of PutBucketReplication.
func ParseReplication(body []byte) (*Replication, error) {
	const op = "s3.ParseReplication"
	root, err := parseXML(body, 64*maxReplicationRules)
	if err != nil {
		return nil, cluster.E(op, "", cluster.KindOther, err)
	}
	role := root.only("Role")
	if root.name != "ReplicationConfiguration" || role == nil || len(root.children) < 2 || !fits(root) {
		return nil, malformedXML(op)
	}
	if len(root.children)-1 > maxReplicationRules {
		return nil, NewFault(op, InvalidRequest, "The number of replication rules must not exceed the allowed limit of "+itoa(maxReplicationRules)+" rules.")
	}
	if !strings.HasPrefix(role.text, "arn:aws:iam::") || !strings.Contains(role.text, ":role/") {
		return nil, invalidArgument(op, "Role", role.text, "Invalid Role specified in replication configuration")
	}
	p := replicationParser{ids: make(map[string]bool), priorities: make(map[string]bool), made: &Replication{}}
	for i := range root.children {
		if n := &root.children[i]; n.name == "Rule" {
			if err := p.rule(n); err != nil {
				return nil, err
			}
		}
	}
	w := newXML(len(body) + 128)
	w.root(root.name)
	for i := range root.children {
		w.node(&root.children[i])
	}
	w.close(root.name)
	p.made.Document = string(w.bytes())
	return p.made, nil
}

// fits reports whether an element has only what the schema says, and nothing twice that is there once.
func fits(n *node) bool {
	inside, known := replicationSchema[n.name]
	if !known {
		return len(n.children) == 0
	}
	seen := make(map[string]bool, len(n.children))
	for i := range n.children {
		c := &n.children[i]
		many := c.name == "Rule" || c.name == "Tag" && n.name == "And"
		if !slices.Contains(inside, c.name) || seen[c.name] && !many || !fits(c) {
			return false
		}
		seen[c.name] = true
	}
	return true
}

// node writes an element with all that is in it.
func (w *xmlWriter) node(n *node) {
	if len(n.children) == 0 {
		w.text(n.name, n.text)
		return
	}
	w.open(n.name)
	for i := range n.children {
		w.node(&n.children[i])
	}
	w.close(n.name)
}

// replicationParser reads rules.
type replicationParser struct {
	ids, priorities map[string]bool
	prefixes        []string // of rules without a filter
	made            *Replication
}

// newerReplication are the elements that only rules with a filter have, and of those the ones that they must have.
var newerReplication = []struct {
	name     string
	required bool
}{{"Priority", true}, {"DeleteMarkerReplication", true}, {"ExistingObjectReplication", false}}

func (p *replicationParser) rule(n *node) error {
	const op = "s3.replicationParser.rule"
	if err := p.identify(n); err != nil {
		return err
	}
	filter, prefix, to := n.only("Filter"), n.only("Prefix"), n.only("Destination")
	if filter != nil == (prefix != nil) || to == nil || !switched(n) {
		return malformedXML(op)
	}
	p.made.Enabled = p.made.Enabled || n.only("Status").text == "Enabled"
	const schema = " this version of Cross Region Replication configuration schema. Please refer to S3 Developer Guide for more information."
	for _, e := range newerReplication {
		switch there := n.only(e.name) != nil; {
		case filter == nil && there:
			return NewFault(op, InvalidRequest, e.name+" cannot be used for"+schema)
		case filter != nil && e.required && !there:
			return NewFault(op, InvalidRequest, e.name+" must be specified for"+schema)
		}
	}
	var err error
	if filter != nil {
		err = p.filtered(n, filter)
	} else {
		err = p.prefixed(prefix.text)
	}
	if err != nil {
		return err
	}
	return p.destination(n, to)
}

// identify checks the id of a rule, or gives it one.
func (p *replicationParser) identify(n *node) error {
	const op = "s3.replicationParser.identify"
	id := n.only("ID")
	if id == nil {
		n.children = append([]node{{name: "ID", text: rand.Text()}}, n.children...)
		return nil
	}
	if len(id.text) > maxRuleID {
		return invalidArgument(op, "ID", id.text, "ID length should not exceed allowed limit of "+itoa(maxRuleID))
	}
	if p.ids[id.text] {
		return invalidArgument(op, "ID", id.text, "Rule ID must be unique. Found same ID for more than one rule")
	}
	p.ids[id.text] = true
	return nil
}

// switched reports whether an element and those within it that have a status have one of the two that there are.
func switched(n *node) bool {
	if slices.Contains(replicationSchema[n.name], "Status") {
		status := n.only("Status")
		if status == nil || status.text != "Enabled" && status.text != "Disabled" {
			return false
		}
	}
	for i := range n.children {
		if !switched(&n.children[i]) {
			return false
		}
	}
	return true
}

// filtered checks a rule with a filter.
func (p *replicationParser) filtered(rule, filter *node) error {
	const op = "s3.replicationParser.filtered"
	priority := rule.only("Priority").text
	if _, ok := parseCount(priority, 1<<31-1); !ok {
		return malformedXML(op)
	}
	if p.priorities[priority] {
		return NewFault(op, InvalidRequest, "Found duplicate priority values across rules in the replication configuration: "+priority)
	}
	p.priorities[priority] = true
	if len(filter.children) > 1 {
		return malformedXML(op)
	}
	if and := filter.only("And"); and != nil {
		if len(and.children) < 2 {
			return malformedXML(op)
		}
		filter = and
	}
	var tags []Field
	for i := range filter.children {
		c := &filter.children[i]
		if c.name == "Prefix" {
			if err := checkReplicationPrefix(c.text); err != nil {
				return err
			}
			continue
		}
		tag, err := parseTag(c)
		if err != nil {
			return err
		}
		tags = append(tags, tag)
	}
	if err := checkTags(op, tags, MaxObjectTags, "Object"); err != nil {
		return err
	}
	if len(tags) > 0 && rule.only("DeleteMarkerReplication").only("Status").text == "Enabled" {
		return NewFault(op, InvalidRequest, "Delete marker replication is not supported if any Tag filter is specified. Please refer to S3 Developer Guide for more information.")
	}
	return nil
}

// prefixed checks a rule of the first form of rules, which must not be about the same objects as another.
func (p *replicationParser) prefixed(prefix string) error {
	if err := checkReplicationPrefix(prefix); err != nil {
		return err
	}
	for _, other := range p.prefixes {
		if strings.HasPrefix(other, prefix) || strings.HasPrefix(prefix, other) {
			return NewFault("s3.replicationParser.prefixed", InvalidRequest, "Found overlapping prefixes '"+other+"' and '"+prefix+"'")
		}
	}
	p.prefixes = append(p.prefixes, prefix)
	return nil
}

func checkReplicationPrefix(prefix string) error {
	if len(prefix) > cluster.MaxKeyLength {
		return NewFault("s3.checkReplicationPrefix", InvalidRequest, "The maximum size of a prefix is "+itoa(cluster.MaxKeyLength)+".")
	}
	return nil
}

// destination checks where a rule would replicate to, and how.
func (p *replicationParser) destination(rule, n *node) error {
	const op = "s3.replicationParser.destination"
	bucket := n.only("Bucket")
	if bucket == nil {
		return malformedXML(op)
	}
	name, ok := strings.CutPrefix(bucket.text, "arn:aws:s3:::")
	if !ok || cluster.ValidateBucketName(cluster.BucketName(name)) != nil {
		return invalidArgument(op, "Bucket", bucket.text, "Invalid bucket ARN")
	}
	p.made.Destinations = append(p.made.Destinations, cluster.BucketName(name))
	if class := n.only("StorageClass"); class != nil && class.text != StandardClass && !slices.Contains(storageClasses, class.text) {
		return malformedXML(op)
	}
	if owner := n.only("AccessControlTranslation"); owner != nil {
		if to := owner.only("Owner"); to == nil || to.text != "Destination" {
			return malformedXML(op)
		}
		if n.only("Account") == nil {
			return NewFault(op, InvalidRequest, "Account must be specified if AccessControlTranslation is present.")
		}
	}
	if err := p.checkKMS(rule, n); err != nil {
		return err
	}
	return p.checkTime(n)
}

// checkKMS demands the key of the replicas of objects with aws:kms, and only of those.
func (p *replicationParser) checkKMS(rule, destination *node) error {
	const op = "s3.replicationParser.checkKMS"
	asked := false
	if source := rule.only("SourceSelectionCriteria"); source != nil && source.only("SseKmsEncryptedObjects") != nil {
		asked = source.only("SseKmsEncryptedObjects").only("Status").text == "Enabled"
	}
	given := destination.only("EncryptionConfiguration")
	switch {
	case given != nil && given.only("ReplicaKmsKeyID") == nil:
		return malformedXML(op)
	case asked && given == nil:
		return NewFault(op, InvalidRequest, "EncryptionConfiguration must be specified if SseKmsEncryptedObjects tag is present.")
	case !asked && given != nil:
		return NewFault(op, InvalidRequest, "SseKmsEncryptedObjects must be specified if EncryptionConfiguration is present.")
	}
	return nil
}

// checkTime checks what is said of the time that replication takes: fifteen minutes.
func (p *replicationParser) checkTime(n *node) error {
	const op = "s3.replicationParser.checkTime"
	limit, metrics := n.only("ReplicationTime"), n.only("Metrics")
	if limit != nil && metrics == nil {
		return NewFault(op, InvalidRequest, "Metrics must be specified if ReplicationTime is present.")
	}
	for _, e := range []struct {
		in   *node
		name string
	}{{limit, "Time"}, {metrics, "EventThreshold"}} {
		if e.in == nil {
			continue
		}
		within := e.in.only(e.name)
		if within == nil {
			if e.name == "Time" {
				return malformedXML(op)
			}
			continue
		}
		if minutes := within.only("Minutes"); minutes == nil {
			return malformedXML(op)
		} else if minutes.text != "15" {
			return invalidArgument(op, "Minutes", minutes.text, "Minutes must be 15.")
		}
	}
	return nil
}

// XML returns the reply to GetBucketReplication.
func (r *Replication) XML() []byte { return []byte(r.Document) }

// DecodeReplication reads the stored form.
func DecodeReplication(value []byte) (any, error) {
	r := &Replication{}
	return r, json.Unmarshal(value, r)
}
