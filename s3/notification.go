package s3

import (
	"crypto/rand"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/aisle-store/aisle/cluster"
)

// Bounds of a notification configuration.
const (
	maxNotificationRules = 100
	maxFilterValue       = 1024
)

// NotificationKind is the kind of a bucket's document that is its notification configuration.
const NotificationKind = "notification"

// EventBridge is the name of the destination that a bucket sends all its events to when its configuration has an
// EventBridgeConfiguration.
const EventBridge = "eventbridge"

// Notification is whom a bucket tells about changes of its objects.
type Notification struct {
	Rules  []NotificationRule `json:",omitempty"`
	Bridge bool               `json:",omitempty"` // every event is told to EventBridge
}

// Empty reports whether nobody is told of anything.
func (n *Notification) Empty() bool { return len(n.Rules) == 0 && !n.Bridge }

// NotificationRule tells some events of some objects to one destination.
type NotificationRule struct {
	ID     string
	Kind   string   // of the element that it came in: "Queue", "Topic" or "CloudFunction"
	ARN    string   // of the destination
	Events []string // by their names in the configuration
	Filter []Field  `json:",omitempty"` // rules about keys: "prefix" and "suffix", as they were sent

	set            events
	prefix, suffix *string
}

// notificationKinds are the elements that a rule can be, with AWS's service in the ARN of each.
var notificationKinds = map[string]string{"Queue": "sqs", "Topic": "sns", "CloudFunction": "lambda"}

// ParseNotification reads the body of PutBucketNotificationConfiguration.
func ParseNotification(body []byte) (*Notification, error) {
	const op = "s3.ParseNotification"
	root, err := parseXML(body, 10000)
	if err != nil {
		return nil, cluster.E(op, "", cluster.KindOther, err)
	}
	if root.name != "NotificationConfiguration" {
		return nil, malformedXML(op)
	}
	n := &Notification{}
	ids := make(map[string]bool)
	for i := range root.children {
		c := &root.children[i]
		if c.name == "EventBridgeConfiguration" {
			n.Bridge = true
			continue
		}
		kind, ok := strings.CutSuffix(c.name, "Configuration")
		if !ok || notificationKinds[kind] == "" {
			return nil, malformedXML(op)
		}
		rule := NotificationRule{Kind: kind}
		if err := rule.parse(c); err != nil {
			return nil, err
		}
		if ids[rule.ID] {
			return nil, NewFault(op, InvalidArgument, "Same ID used for multiple configurations. IDs must be unique.")
		}
		ids[rule.ID] = true
		n.Rules = append(n.Rules, rule)
	}
	if len(n.Rules) > maxNotificationRules {
		return nil, NewFault(op, InvalidArgument, "The number of notification configurations exceeds the limit of "+itoa(maxNotificationRules)+".")
	}
	return n, n.check()
}

func (r *NotificationRule) parse(n *node) error {
	const op = "s3.NotificationRule.parse"
	for i := range n.children {
		c := &n.children[i]
		switch text := strings.TrimSpace(c.text); c.name {
		case "Id":
			r.ID = text
		case r.Kind:
			r.ARN = text
		case "Event":
			if _, known := eventsOf(text); !known {
				return NewFault(op, InvalidArgument, "The event '"+text+"' is not supported for notifications", Field{"ArgumentName", "Event"}, Field{"ArgumentValue", text})
			}
			r.Events = append(r.Events, text)
		case "Filter":
			if err := r.parseFilter(c); err != nil {
				return err
			}
		case "InvocationRole": // of the first form of the API
		default:
			return malformedXML(op)
		}
	}
	if r.ID == "" {
		r.ID = rand.Text()
	}
	if r.ARN == "" || len(r.Events) == 0 || len(r.ID) > maxRuleID {
		return malformedXML(op)
	}
	r.index()
	return nil
}

func (r *NotificationRule) parseFilter(n *node) error {
	const op = "s3.NotificationRule.parseFilter"
	for i := range n.children {
		of := &n.children[i]
		if of.name != "S3Key" {
			return malformedXML(op)
		}
		for j := range of.children {
			rule := &of.children[j]
			name, value := rule.only("Name"), rule.only("Value")
			if rule.name != "FilterRule" || name == nil || value == nil || len(rule.children) != 2 {
				return malformedXML(op)
			}
			if err := r.filter(name.text, value.text); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *NotificationRule) filter(name, value string) error {
	const op = "s3.NotificationRule.filter"
	if len(value) > maxFilterValue || !utf8.ValidString(value) {
		return invalidArgument(op, "FilterRule.Value", value, "Size of filter rule value cannot exceed "+itoa(maxFilterValue)+" bytes in UTF-8 representation")
	}
	for i := range r.Filter {
		if strings.EqualFold(r.Filter[i].Name, name) {
			return invalidArgument(op, "FilterRule.Name", name, "Cannot specify more than one "+strings.ToLower(name)+" rule in a filter.")
		}
	}
	r.Filter = append(r.Filter, Field{name, value})
	if !r.index() {
		return invalidArgument(op, "FilterRule.Name", name, "filter rule name must be either prefix or suffix")
	}
	return nil
}

// index derives what is looked at for each event, and reports whether it knows all filters.
func (r *NotificationRule) index() bool {
	for _, name := range r.Events {
		set, _ := eventsOf(name)
		r.set |= set
	}
	for i := range r.Filter {
		switch strings.ToLower(r.Filter[i].Name) {
		case "prefix":
			r.prefix = &r.Filter[i].Value
		case "suffix":
			r.suffix = &r.Filter[i].Value
		default:
			return false
		}
	}
	return true
}

// check refuses rules of which it is not clear which one an event is told by.
func (n *Notification) check() error {
	const op = "s3.Notification.check"
	for i := range n.Rules {
		for j := range i {
			a, b := &n.Rules[i], &n.Rules[j]
			switch {
			case !a.sharesEvent(b) || !overlap(a.prefix, b.prefix, strings.HasPrefix) || !overlap(a.suffix, b.suffix, strings.HasSuffix):
			case len(a.Filter) == 0 && len(b.Filter) == 0:
				return NewFault(op, InvalidArgument, "Configurations overlap. Configurations on the same bucket cannot share a common event type.")
			default:
				return NewFault(op, InvalidArgument, "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes are overlapping for the same event type.")
			}
		}
	}
	return nil
}

// sharesEvent reports whether there is an event that both rules ask for, also one that never happens here.
func (r *NotificationRule) sharesEvent(other *NotificationRule) bool {
	if r.set&other.set != 0 {
		return true
	}
	for _, a := range r.Events {
		for _, b := range other.Events {
			family, all := strings.CutSuffix(a, "*")
			of, every := strings.CutSuffix(b, "*")
			if a == b || all && strings.HasPrefix(b, family) || every && strings.HasPrefix(a, of) {
				return true
			}
		}
	}
	return false
}

// overlap reports whether a key can have both.
func overlap(a, b *string, has func(s, part string) bool) bool {
	return a == nil || b == nil || has(*a, *b) || has(*b, *a)
}

// XML returns the reply to GetBucketNotificationConfiguration.
func (n *Notification) XML() []byte {
	w := newXML(512)
	w.root("NotificationConfiguration")
	for i := range n.Rules {
		n.Rules[i].write(w)
	}
	if n.Bridge {
		w.open("EventBridgeConfiguration")
		w.close("EventBridgeConfiguration")
	}
	w.close("NotificationConfiguration")
	return w.bytes()
}

func (r *NotificationRule) write(w *xmlWriter) {
	w.open(r.Kind + "Configuration")
	w.text("Id", r.ID)
	w.text(r.Kind, r.ARN)
	for _, e := range r.Events {
		w.text("Event", e)
	}
	if len(r.Filter) > 0 {
		w.open("Filter")
		w.open("S3Key")
		for _, rule := range r.Filter {
			w.open("FilterRule")
			w.text("Name", rule.Name)
			w.text("Value", rule.Value)
			w.close("FilterRule")
		}
		w.close("S3Key")
		w.close("Filter")
	}
	w.close(r.Kind + "Configuration")
}

// DecodeNotification reads the stored form of a configuration.
func DecodeNotification(value []byte) (any, error) {
	n := &Notification{}
	if err := json.Unmarshal(value, n); err != nil {
		return nil, err
	}
	for i := range n.Rules {
		n.Rules[i].index()
	}
	return n, nil
}

// Destination reads the ARN of a destination: arn:aisle:SERVICE:REGION:NAME:TYPE. The region does not matter.
func (r *NotificationRule) Destination() (name, kind string, ok bool) {
	parts := strings.Split(r.ARN, ":")
	if len(parts) != 6 || parts[0] != "arn" || parts[1] != "aisle" || parts[2] != "sqs" && parts[2] != notificationKinds[r.Kind] || parts[4] == "" {
		return "", "", false
	}
	return parts[4], parts[5], true
}

// Told is a destination that is told of an event, and the rule by which it is.
type Told struct{ Destination, Rule string }

// Match returns whom an event of a key is told to.
func (n *Notification) Match(e Event, key cluster.ObjectKey) []Told {
	var told []Told
	for i := range n.Rules {
		r := &n.Rules[i]
		if r.set&e.set() == 0 || r.prefix != nil && !strings.HasPrefix(string(key), *r.prefix) || r.suffix != nil && !strings.HasSuffix(string(key), *r.suffix) {
			continue
		}
		if name, _, ok := r.Destination(); ok {
			told = append(told, Told{name, r.ID})
		}
	}
	if n.Bridge {
		told = append(told, Told{EventBridge, EventBridge})
	}
	return told
}
