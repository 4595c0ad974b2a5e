package s3

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// Logging says where the log of requests to a bucket goes.
type Logging struct {
	Bucket      cluster.BucketName `json:",omitempty"` // "": nowhere
	Prefix      string             `json:",omitempty"` // of the keys of log objects
	Partitioned string             `json:",omitempty"` // keys tell source and date: "EventTime" or "DeliveryTime"; "": simple keys
	Simple      bool               `json:",omitempty"` // simple keys were asked for
	Grants      []ACLGrant         `json:",omitempty"` // of log objects, besides what their owner may
}

// Empty reports whether there is to be no log.
func (l *Logging) Empty() bool { return l.Bucket == "" }

// maxLogPrefix bounds the prefix, so that keys stay keys.
const maxLogPrefix = 512

// ParseLogging reads the body of PutBucketLogging.
func ParseLogging(body []byte) (*Logging, error) {
	const op = "s3.ParseLogging"
	root, err := parseXML(body, 1000)
	if err != nil {
		return nil, cluster.E(op, "", cluster.KindOther, err)
	}
	l := &Logging{}
	switch enabled := root.only("LoggingEnabled"); {
	case root.name != "BucketLoggingStatus" || len(root.children) > 1 || len(root.children) == 1 && enabled == nil:
		return nil, malformedXML(op)
	case enabled == nil:
		return l, nil
	default:
		for i := range enabled.children {
			if err := l.set(&enabled.children[i]); err != nil {
				return nil, err
			}
		}
	}
	if l.Bucket == "" || len(l.Prefix) > maxLogPrefix {
		return nil, malformedXML(op)
	}
	return l, nil
}

func (l *Logging) set(n *node) error {
	const op = "s3.Logging.set"
	switch n.name {
	case "TargetBucket":
		l.Bucket = cluster.BucketName(strings.TrimSpace(n.text))
	case "TargetPrefix":
		l.Prefix = n.text
	case "TargetGrants":
		return l.setGrants(n)
	case "TargetObjectKeyFormat":
		simple, partitioned := n.only("SimplePrefix"), n.only("PartitionedPrefix")
		if len(n.children) != 1 || simple == nil && partitioned == nil {
			return malformedXML(op)
		}
		l.Simple = simple != nil
		if partitioned == nil {
			return nil
		}
		l.Partitioned = "EventTime"
		if source := partitioned.only("PartitionDateSource"); source != nil {
			l.Partitioned = source.text
		}
		if l.Partitioned != "EventTime" && l.Partitioned != "DeliveryTime" {
			return malformedXML(op)
		}
	default:
		return malformedXML(op)
	}
	return nil
}

// setGrants reads TargetGrants. Whether the grantees exist is not known here.
func (l *Logging) setGrants(n *node) error {
	const op = "s3.Logging.setGrants"
	x := &ACLContext{Known: func(string) bool { return true }}
	for i := range n.children {
		g, err := x.grant(&n.children[i])
		if err != nil {
			return err
		}
		if g.Permission == ReadACP || g.Permission == WriteACP || len(l.Grants) == MaxGrants {
			return malformedXML(op)
		}
		l.Grants = append(l.Grants, g)
	}
	return nil
}

// CheckGrants refuses grants to somebody who does not exist.
func (l *Logging) CheckGrants(x *ACLContext) error {
	for _, g := range l.Grants {
		if _, err := x.canonical(g.Grantee); err != nil && !g.toGroup() {
			return err
		}
	}
	return nil
}

// ACL returns the list of log objects.
func (l *Logging) ACL() *ACL {
	a := privateACL()
	a.Grants = append(a.Grants, l.Grants...)
	return a
}

// XML returns the reply to GetBucketLogging.
func (l *Logging) XML() []byte {
	w := newXML(512)
	w.root("BucketLoggingStatus")
	if l.Bucket != "" {
		w.open("LoggingEnabled")
		w.text("TargetBucket", string(l.Bucket))
		if len(l.Grants) > 0 {
			w.open("TargetGrants")
			for _, g := range l.Grants {
				g.write(w, Owner{}, func(string) string { return "" })
			}
			w.close("TargetGrants")
		}
		w.text("TargetPrefix", l.Prefix)
		if l.Simple || l.Partitioned != "" {
			w.open("TargetObjectKeyFormat")
			if l.Simple {
				w.open("SimplePrefix")
				w.close("SimplePrefix")
			} else {
				w.open("PartitionedPrefix")
				w.text("PartitionDateSource", l.Partitioned)
				w.close("PartitionedPrefix")
			}
			w.close("TargetObjectKeyFormat")
		}
		w.close("LoggingEnabled")
	}
	w.close("BucketLoggingStatus")
	return w.bytes()
}

// DecodeLogging reads the stored form.
func DecodeLogging(value []byte) (any, error) {
	l := &Logging{}
	return l, json.Unmarshal(value, l)
}

// LogKey returns the key of a log object that is delivered now, of requests to a bucket at a time. unique tells it from all others.
func (l *Logging) LogKey(source cluster.BucketName, region string, event, now time.Time, unique string) cluster.ObjectKey {
	const stamp = "2006-01-02-15-04-05-"
	key := l.Prefix
	if l.Partitioned != "" {
		if l.Partitioned == "EventTime" {
			now = event.UTC().Truncate(24 * time.Hour)
		}
		key += cluster.Account + "/" + region + "/" + string(source) + now.UTC().Format("/2006/01/02/")
	}
	return cluster.ObjectKey(key + now.UTC().Format(stamp) + unique)
}

// LogRecord is a request to a bucket as its log tells it.
type LogRecord struct {
	Owner     string
	Bucket    cluster.BucketName
	Time      time.Time
	Remote    string // address of the client
	Requester string // "" without a key
	Request   cluster.RequestID
	Operation string
	Key       cluster.ObjectKey
	Line      string // of the request: method, target, version
	Status    int
	Error     Code
	Sent      int64
	Size      int64 // of the object; negative: not known
	Took      time.Duration
	Referer   string
	Agent     string
	Version   string // that was asked for
	HostID    string
	Signature string // "SigV4", or ""
	AuthType  string // "AuthHeader", "QueryString", or ""
	Host      string
}

// Append appends the line of a log, in AWS's format of server access logs.
func (r *LogRecord) Append(b []byte) []byte {
	field := func(s string) {
		if len(b) > 0 && b[len(b)-1] != '\n' {
			b = append(b, ' ')
		}
		if s == "" {
			s = "-"
		}
		b = appendLogged(b, s, true)
	}
	quoted := func(s string) {
		b = append(b, ' ', '"')
		if s == "" {
			s = "-"
		}
		b = append(appendLogged(b, s, false), '"')
	}
	number := func(n int64, known bool) {
		if !known {
			field("-")
			return
		}
		field(strconv.FormatInt(n, 10))
	}
	field(r.Owner)
	field(string(r.Bucket))
	b = append(b, r.Time.UTC().Format(" [02/Jan/2006:15:04:05 +0000]")...)
	field(r.Remote)
	field(r.Requester)
	field(string(r.Request))
	field(r.Operation)
	field(EscapeKey(string(r.Key)))
	quoted(r.Line)
	number(int64(r.Status), r.Status > 0)
	field(string(r.Error))
	number(r.Sent, r.Sent > 0)
	number(r.Size, r.Size >= 0)
	number(r.Took.Milliseconds(), true)
	field("-") // turn-around time is not told apart from total time
	quoted(r.Referer)
	quoted(r.Agent)
	field(r.Version)
	field(r.HostID)
	field(r.Signature)
	field("-") // cipher suite
	field(r.AuthType)
	field(r.Host)
	field("-") // version of TLS
	field("-") // access point
	field("-") // whether an ACL was needed
	return append(b, '\n')
}

// appendLogged appends a field; what would end it, or the line, is percent-encoded.
func appendLogged(b []byte, s string, blanks bool) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == 0x7f || c == '"' || blanks && c == ' ' {
			b = append(b, '%', hexUpper[c>>4], hexUpper[c&15])
			continue
		}
		b = append(b, s[i])
	}
	return b
}

// LogOperation names what a request asks for as logs do: REST.GET.OBJECT.
func (c *Call) LogOperation() string {
	where, table := onService, []resource(nil)
	switch {
	case c.Key != "":
		where, table = onObject, objectResources
	case c.Bucket != "":
		where, table = onBucket, bucketResources
	}
	method, title := c.Method, scopeTitles[where]
	if sub, err := subResource(c.Params, table); err == nil && sub != nil {
		title = sub.title
	}
	switch c.Op {
	case CopyObject:
		method = "COPY"
	case UploadPart:
		title = "PART"
	case UploadPartCopy:
		method, title = "COPY", "PART"
	case DeleteObjects:
		title = "MULTI_OBJECT_DELETE"
	}
	return "REST." + method + "." + title
}
