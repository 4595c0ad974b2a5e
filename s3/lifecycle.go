package s3

import (
	"crypto/rand"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/s3/lifecycle"
)

// Bounds of a lifecycle configuration.
const (
	maxLifecycleRules = 1000
	maxKeptVersions   = 100
	maxFilterSize     = 1000 << 40 // bytes
)

// transitionMinimum is the header that tells below which size nothing changes its storage class.
const transitionMinimum = "x-amz-transition-default-minimum-object-size"

const defaultTransitionMinimum = "all_storage_classes_128K"

// LifecycleDocument is the kind of document of a bucket that is a Lifecycle.
const LifecycleDocument = "lifecycle"

// Lifecycle is the rules of a bucket, as they are set and told.
type Lifecycle struct {
	lifecycle.Configuration
}

// ParseLifecycle reads the body of PutBucketLifecycleConfiguration, and of PutBucketLifecycle.
func ParseLifecycle(body []byte) (*Lifecycle, error) {
	const op = "s3.ParseLifecycle"
	root, err := parseXML(body, 64*maxLifecycleRules)
	if err != nil {
		return nil, cluster.E(op, "", cluster.KindOther, err)
	}
	if root.name != "LifecycleConfiguration" || len(root.children) == 0 {
		return nil, malformedXML(op)
	}
	if len(root.children) > maxLifecycleRules {
		return nil, NewFault(op, InvalidRequest, "The number of lifecycle rules must not exceed the allowed limit of "+itoa(maxLifecycleRules)+" rules.")
	}
	p := lifecycleParser{op: op}
	c := &Lifecycle{}
	for i := range root.children {
		if root.children[i].name != "Rule" {
			return nil, malformedXML(op)
		}
		rule, err := p.rule(&root.children[i])
		if err != nil {
			return nil, err
		}
		c.Rules = append(c.Rules, *rule)
	}
	if err := p.identify(c.Rules); err != nil {
		return nil, err
	}
	if p.transitions {
		return nil, notImplemented(op, "Lifecycle rules with transitions are not implemented.")
	}
	return c, nil
}

// lifecycleParser reads rules.
type lifecycleParser struct {
	op          string
	rules       int
	filtered    bool // the first rule has a Filter: so must all others
	transitions bool // a rule has transitions
}

// rule reads one rule.
func (p *lifecycleParser) rule(n *node) (*lifecycle.Rule, error) {
	r := &lifecycle.Rule{}
	seen := make(map[string]bool, len(n.children))
	status, acts := "", false
	for i := range n.children {
		c := &n.children[i]
		repeats := c.name == "Transition" || c.name == "NoncurrentVersionTransition"
		if seen[c.name] && !repeats {
			return nil, malformedXML(p.op)
		}
		seen[c.name] = true
		var err error
		switch c.name {
		case "ID":
			r.ID, err = p.text(c)
		case "Status":
			status, err = p.text(c)
		case "Prefix":
			r.Prefix, err = p.prefix(c)
		case "Filter":
			r.Filter, err = p.filter(c)
		case "Expiration":
			r.Expiration, err = p.expiration(c)
		case "NoncurrentVersionExpiration":
			r.Noncurrent, err = p.noncurrent(c)
		case "AbortIncompleteMultipartUpload":
			r.AbortDays, err = p.abort(c)
		case "Transition", "NoncurrentVersionTransition":
			err = p.transition(c)
		default:
			err = malformedXML(p.op)
		}
		if err != nil {
			return nil, err
		}
		acts = acts || !slices.Contains([]string{"ID", "Status", "Prefix", "Filter"}, c.name)
	}
	r.Disabled = status == "Disabled"
	switch {
	case status != "Enabled" && status != "Disabled":
		return nil, malformedXML(p.op)
	case !acts:
		return nil, p.refuse("At least one action needs to be specified in a rule")
	}
	return r, p.check(r)
}

// check looks at what must fit together in a rule.
func (p *lifecycleParser) check(r *lifecycle.Rule) error {
	if p.rules++; p.rules == 1 {
		p.filtered = r.Filter != nil
	}
	switch {
	case r.Prefix == nil && r.Filter == nil:
		return malformedXML(p.op)
	case r.Prefix != nil && p.filtered:
		return p.refuse("Base level prefix cannot be used in Lifecycle V2, prefixes are only supported in the Filter.")
	case r.Filter != nil && !p.filtered:
		return p.refuse("Filter element can only be used in Lifecycle V2.")
	case r.Filter == nil && r.Noncurrent != nil && r.Noncurrent.Keep > 0:
		return p.refuse("NewerNoncurrentVersions element can only be used in Lifecycle V2.")
	case r.Filter == nil:
		return nil
	}
	narrowed := ""
	switch f := r.Filter; {
	case len(f.Tags) > 0:
		narrowed = "Tags"
	case f.Larger != nil || f.Smaller != nil:
		narrowed = "Object Size"
	}
	switch {
	case narrowed == "":
		return nil
	case r.Expiration != nil && r.Expiration.Marker != nil:
		return p.refuse("ExpiredObjectDeleteMarker cannot be specified with " + narrowed + ".")
	case r.AbortDays > 0:
		return p.refuse("AbortIncompleteMultipartUpload cannot be specified with " + narrowed + ".")
	}
	return nil
}

// identify checks the ids of the rules, and gives one to those that have none.
func (p *lifecycleParser) identify(rules []lifecycle.Rule) error {
	known := make(map[string]bool, len(rules))
	for i := range rules {
		r := &rules[i]
		if r.ID == "" {
			r.ID = rand.Text()
		}
		switch {
		case utf8.RuneCountInString(r.ID) > maxRuleID:
			return p.argument("ID", r.ID, "ID length should not exceed allowed limit of "+itoa(maxRuleID))
		case known[r.ID]:
			return p.argument("ID", r.ID, "Rule ID must be unique. Found same ID for more than one rule")
		}
		known[r.ID] = true
	}
	return nil
}

// filter reads a Filter: what it names, one thing by itself or several in an And.
func (p *lifecycleParser) filter(n *node) (*lifecycle.Filter, error) {
	f := &lifecycle.Filter{}
	if and := n.only("And"); and != nil && len(n.children) == 1 {
		f.And, n = true, and
		if len(n.children) < 2 {
			return nil, malformedXML(p.op)
		}
	}
	named := 0
	for i := range n.children {
		c := &n.children[i]
		var err error
		switch {
		case c.name == "Prefix" && f.Prefix == nil:
			f.Prefix, err = p.prefix(c)
			named += min(1, len(c.text))
		case c.name == "Tag":
			err = p.tag(f, c)
			named++
		case c.name == "ObjectSizeGreaterThan" && f.Larger == nil:
			f.Larger, err = p.size(c, 0)
			named++
		case c.name == "ObjectSizeLessThan" && f.Smaller == nil:
			f.Smaller, err = p.size(c, 1)
			named++
		default:
			err = malformedXML(p.op)
		}
		if err != nil {
			return nil, err
		}
	}
	switch {
	case !f.And && named > 1:
		return nil, malformedXML(p.op)
	case f.Larger != nil && f.Smaller != nil && *f.Smaller <= *f.Larger:
		return nil, p.refuse("'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'.")
	}
	return f, nil
}

func (p *lifecycleParser) tag(f *lifecycle.Filter, n *node) error {
	tag, err := parseTag(n)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(f.Tags, func(t lifecycle.Tag) bool { return t.Name == tag.Name }) {
		return p.refuse("Duplicate Tag Keys are not allowed.")
	}
	f.Tags = append(f.Tags, lifecycle.Tag(tag))
	return checkTags(p.op, []Field{tag}, 1, "Object")
}

func (p *lifecycleParser) size(n *node, least int64) (*int64, error) {
	size, err := p.integer(n, 64)
	if err != nil {
		return nil, err
	}
	if size < least || size > maxFilterSize {
		return nil, p.refuse("'" + n.name + "' should be between " + strconv.FormatInt(least, 10) + " and " + strconv.FormatInt(maxFilterSize, 10) + ".")
	}
	return &size, nil
}

func (p *lifecycleParser) prefix(n *node) (*string, error) {
	if len(n.children) > 0 {
		return nil, malformedXML(p.op)
	}
	if len(n.text) > cluster.MaxKeyLength {
		return nil, p.refuse("The maximum size of a prefix is " + itoa(cluster.MaxKeyLength) + ".")
	}
	return &n.text, nil
}

// expiration reads an Expiration, which says one thing.
func (p *lifecycleParser) expiration(n *node) (*lifecycle.Expiration, error) {
	if len(n.children) != 1 {
		return nil, malformedXML(p.op)
	}
	e := &lifecycle.Expiration{}
	var err error
	switch c := &n.children[0]; c.name {
	case "Days":
		e.Days, err = p.days(c, n.name)
	case "Date":
		e.Date, err = p.date(c)
	case "ExpiredObjectDeleteMarker":
		var text string
		if text, err = p.text(c); err == nil {
			marker := text == "true" || text == "1"
			if e.Marker = &marker; !marker && text != "false" && text != "0" {
				err = malformedXML(p.op)
			}
		}
	default:
		err = malformedXML(p.op)
	}
	return e, err
}

func (p *lifecycleParser) noncurrent(n *node) (*lifecycle.Noncurrent, error) {
	days, keep := n.only("NoncurrentDays"), n.only("NewerNoncurrentVersions")
	if days == nil || keep == nil && len(n.children) != 1 || keep != nil && len(n.children) != 2 {
		return nil, malformedXML(p.op)
	}
	e := &lifecycle.Noncurrent{}
	var err error
	if e.Days, err = p.days(days, n.name); err != nil || keep == nil {
		return e, err
	}
	kept, err := p.integer(keep, 32)
	if err == nil && (kept < 1 || kept > maxKeptVersions) {
		err = p.argument(keep.name, keep.text, "'NewerNoncurrentVersions' for "+n.name+" action must be a positive integer, and "+itoa(maxKeptVersions)+" at most")
	}
	e.Keep = int(kept)
	return e, err
}

func (p *lifecycleParser) abort(n *node) (int, error) {
	days := n.only("DaysAfterInitiation")
	if days == nil || len(n.children) != 1 {
		return 0, malformedXML(p.op)
	}
	return p.days(days, n.name)
}

// transition reads a transition as far as to tell whether it is one: they are not carried out.
func (p *lifecycleParser) transition(n *node) error {
	p.transitions = true
	class := n.only("StorageClass")
	if class == nil || !slices.Contains(storageClasses, strings.TrimSpace(class.text)) {
		return malformedXML(p.op)
	}
	times := 0
	for i := range n.children {
		c := &n.children[i]
		var err error
		switch c.name {
		case "StorageClass", "NewerNoncurrentVersions":
		case "Days", "NoncurrentDays":
			_, err = p.integer(c, 32)
			times++
		case "Date":
			_, err = p.date(c)
			times++
		default:
			err = malformedXML(p.op)
		}
		if err != nil {
			return err
		}
	}
	if times != 1 {
		return malformedXML(p.op)
	}
	return nil
}

// days reads a number of days.
func (p *lifecycleParser) days(n *node, action string) (int, error) {
	days, err := p.integer(n, 32)
	if err == nil && days < 1 {
		err = p.argument(n.name, n.text, "'"+n.name+"' for "+action+" action must be a positive integer")
	}
	return int(days), err
}

// dateForms are those in which clients write a date.
var dateForms = []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04:05.999", time.DateOnly}

func (p *lifecycleParser) date(n *node) (time.Time, error) {
	text, err := p.text(n)
	if err != nil {
		return time.Time{}, err
	}
	for _, form := range dateForms {
		at, err := time.Parse(form, text)
		if err != nil {
			continue
		}
		if at = at.UTC(); at.Year() < 1970 || at.Year() > 9999 {
			break
		}
		if !at.Equal(at.Truncate(24 * time.Hour)) {
			return at, p.argument(n.name, text, "'Date' must be at midnight GMT")
		}
		return at, nil
	}
	return time.Time{}, malformedXML(p.op)
}

func (p *lifecycleParser) integer(n *node, bits int) (int64, error) {
	text, err := p.text(n)
	if err != nil {
		return 0, err
	}
	i, err := strconv.ParseInt(text, 10, bits)
	if err != nil {
		return 0, malformedXML(p.op)
	}
	return i, nil
}

func (p *lifecycleParser) text(n *node) (string, error) {
	if len(n.children) > 0 {
		return "", malformedXML(p.op)
	}
	return strings.TrimSpace(n.text), nil
}

func (p *lifecycleParser) refuse(message string) error {
	return NewFault(p.op, InvalidRequest, message)
}

func (p *lifecycleParser) argument(name, value, message string) error {
	return invalidArgument(p.op, name, value, message)
}

// ReadHeader takes in what the headers of the request that sets the rules say.
func (l *Lifecycle) ReadHeader(c *Call) error {
	const op = "s3.Lifecycle.ReadHeader"
	switch l.Minimum = c.Get(transitionMinimum); l.Minimum {
	case "":
		l.Minimum = defaultTransitionMinimum
	case defaultTransitionMinimum, "varies_by_storage_class":
	default:
		return NewFault(op, InvalidRequest, "Invalid TransitionDefaultMinimumObjectSize found")
	}
	return nil
}

// Header returns what the replies to requests that set the rules, or ask for them, say in their headers.
func (l *Lifecycle) Header() []Field { return []Field{{transitionMinimum, l.Minimum}} }

// DecodeLifecycle reads the stored form of the rules.
func DecodeLifecycle(value []byte) (any, error) {
	l := &Lifecycle{}
	return l, json.Unmarshal(value, l)
}

// XML returns the reply to GetBucketLifecycleConfiguration.
func (l *Lifecycle) XML() []byte {
	w := newXML(256 + 256*len(l.Rules))
	w.root("LifecycleConfiguration")
	for i := range l.Rules {
		writeRule(w, &l.Rules[i])
	}
	w.close("LifecycleConfiguration")
	return w.bytes()
}

func writeRule(w *xmlWriter, r *lifecycle.Rule) {
	w.open("Rule")
	if e := r.Expiration; e != nil {
		w.open("Expiration")
		switch {
		case e.Marker != nil:
			w.boolean("ExpiredObjectDeleteMarker", *e.Marker)
		case e.Days > 0:
			w.number("Days", int64(e.Days))
		default:
			w.time("Date", e.Date)
		}
		w.close("Expiration")
	}
	w.text("ID", r.ID)
	if r.Filter != nil {
		writeFilter(w, r.Filter)
	}
	if r.Prefix != nil {
		w.text("Prefix", *r.Prefix)
	}
	if r.Disabled {
		w.text("Status", "Disabled")
	} else {
		w.text("Status", "Enabled")
	}
	if n := r.Noncurrent; n != nil {
		w.open("NoncurrentVersionExpiration")
		w.number("NoncurrentDays", int64(n.Days))
		if n.Keep > 0 {
			w.number("NewerNoncurrentVersions", int64(n.Keep))
		}
		w.close("NoncurrentVersionExpiration")
	}
	if r.AbortDays > 0 {
		w.open("AbortIncompleteMultipartUpload")
		w.number("DaysAfterInitiation", int64(r.AbortDays))
		w.close("AbortIncompleteMultipartUpload")
	}
	w.close("Rule")
}

func writeFilter(w *xmlWriter, f *lifecycle.Filter) {
	w.open("Filter")
	if f.And {
		w.open("And")
	}
	if f.Prefix != nil {
		w.text("Prefix", *f.Prefix)
	}
	for _, tag := range f.Tags {
		writeTags(w, []Field{Field(tag)})
	}
	if f.Larger != nil {
		w.number("ObjectSizeGreaterThan", *f.Larger)
	}
	if f.Smaller != nil {
		w.number("ObjectSizeLessThan", *f.Smaller)
	}
	if f.And {
		w.close("And")
	}
	w.close("Filter")
}

// The headers that tell when an object expires, and when an upload is aborted.
const (
	headerExpiration  = "x-amz-expiration"
	headerAbortDate   = "x-amz-abort-date"
	headerAbortRuleID = "x-amz-abort-rule-id"
)

// calendar is the clock of what clients are told: dates are those of the calendar.
var calendar = lifecycle.Clock{}

// ExpirationHeader returns what the replies about a current version say of its expiry: nothing when no rule is about it.
func ExpirationHeader(c *lifecycle.Configuration, v *lifecycle.Version) []Field {
	at, rule := c.Expires(v, calendar)
	if rule == nil {
		return nil
	}
	return []Field{{headerExpiration, `expiry-date="` + FormatHTTPDate(at) + `", rule-id="` + url.QueryEscape(rule.ID) + `"`}}
}

// AbortHeader returns what the replies about an upload say of its end.
func AbortHeader(c *lifecycle.Configuration, key cluster.ObjectKey, initiated time.Time) []Field {
	at, rule := c.Aborts(key, initiated, calendar)
	if rule == nil {
		return nil
	}
	return []Field{{headerAbortDate, FormatHTTPDate(at)}, {headerAbortRuleID, plainID(rule.ID)}}
}

// plainID returns an id that can stand in a header.
func plainID(id string) string {
	for i := range len(id) {
		if id[i] <= ' ' || id[i] >= 0x7f {
			return url.PathEscape(id)
		}
	}
	return id
}
