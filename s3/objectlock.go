package s3

import (
	"strconv"
	"strings"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// The headers of object lock: of writes that lock the version which they make, and of the replies to reads.
const (
	lockModeHeader  = "x-amz-object-lock-mode"
	lockUntilHeader = "x-amz-object-lock-retain-until-date"
	lockHoldHeader  = "x-amz-object-lock-legal-hold"
)

// ObjectLock is the lock of a version.
type ObjectLock struct {
	Mode  cluster.LockMode // "" for no retention
	Until time.Time        // of a retention
	Hold  cluster.LegalHold
}

// AsksForLock reads x-amz-bucket-object-lock-enabled, which a bucket is made with.
func AsksForLock(c *Call) (bool, error) {
	const name = "x-amz-bucket-object-lock-enabled"
	return boolHeader(c, name)
}

// AsksForBypass reads x-amz-bypass-governance-retention.
func AsksForBypass(c *Call) (bool, error) {
	const name = "x-amz-bypass-governance-retention"
	return boolHeader(c, name)
}

func boolHeader(c *Call, name string) (bool, error) {
	switch s := c.Get(name); strings.ToLower(s) {
	case "true":
		return true, nil
	case "", "false":
		return false, nil
	default:
		return false, invalidArgument("s3.boolHeader", name, s, "The value of "+name+" must be true or false.")
	}
}

// hasLock reports whether a write locks the version that it makes: few do.
func (c *Call) hasLock() bool {
	for name := range c.amzHeaders() {
		if strings.HasPrefix(name, "x-amz-object-lock-") {
			return true
		}
	}
	return false
}

// ReadLock returns how the headers of a write lock the version that it makes. The zero value is not at all.
func ReadLock(c *Call, now time.Time) (ObjectLock, error) {
	const op = "s3.ReadLock"
	if !c.hasLock() {
		return ObjectLock{}, nil
	}
	mode, until, hold := c.Get(lockModeHeader), c.Get(lockUntilHeader), c.Get(lockHoldHeader)
	l := ObjectLock{Mode: cluster.LockMode(mode), Hold: cluster.LegalHold(hold)}
	if hold != "" && !l.Hold.Valid() {
		return l, invalidArgument(op, lockHoldHeader, hold, "Legal Hold must be either of 'ON' or 'OFF'")
	}
	switch {
	case mode == "" && until == "":
		return l, nil
	case mode == "" || until == "":
		return l, invalidArgument(op, lockUntilHeader, until, lockUntilHeader+" and "+lockModeHeader+" must both be supplied")
	case !l.Mode.Valid():
		return l, invalidArgument(op, lockModeHeader, mode, "Unknown wormMode directive.")
	}
	var ok bool
	if l.Until, ok = parseISODate(until); !ok {
		return l, invalidArgument(op, lockUntilHeader, until, "The retain until date must be provided in ISO 8601 format")
	}
	return l, inFuture(op, l.Until, until, now)
}

// inFuture refuses a date that has passed.
func inFuture(op string, t time.Time, text string, now time.Time) error {
	if !t.After(now) {
		return invalidArgument(op, lockUntilHeader, text, "The retain until date must be in the future!")
	}
	return nil
}

// parseISODate reads a date of ISO 8601, to the millisecond, as it is told.
func parseISODate(s string) (time.Time, bool) {
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04:05", "20060102T150405Z", "2006-01-02"} {
		if t, err := time.Parse(form, s); err == nil {
			t = t.UTC().Truncate(time.Millisecond)
			return t, t.Year() >= 0 && t.Year() < 10000
		}
	}
	return time.Time{}, false
}

// Headers returns what a read tells of a lock.
func (l ObjectLock) Headers() []Field {
	var fields []Field
	if l.Mode != "" {
		fields = append(fields, Field{lockModeHeader, string(l.Mode)}, Field{lockUntilHeader, FormatTime(l.Until)})
	}
	if l.Hold != "" {
		fields = append(fields, Field{lockHoldHeader, string(l.Hold)})
	}
	return fields
}

// ParseRetention reads the body of PutObjectRetention; an empty retention takes one away.
func ParseRetention(body []byte, now time.Time) (ObjectLock, error) {
	const op = "s3.ParseRetention"
	var l ObjectLock
	root, err := parseXML(body, 16)
	if err != nil {
		return l, cluster.E(op, "", cluster.KindOther, err)
	}
	if root.name != "Retention" {
		return l, malformedXML(op)
	}
	if len(root.children) == 0 {
		return l, nil
	}
	mode, until := root.only("Mode"), root.only("RetainUntilDate")
	if len(root.children) != 2 || mode == nil || until == nil {
		return l, malformedXML(op)
	}
	text := strings.TrimSpace(until.text)
	var ok bool
	if l.Until, ok = parseISODate(text); !ok {
		return l, malformedXML(op)
	}
	if l.Mode = cluster.LockMode(strings.TrimSpace(mode.text)); !l.Mode.Valid() {
		return l, malformedXML(op)
	}
	return l, inFuture(op, l.Until, text, now)
}

// RetentionXML returns the reply to GetObjectRetention.
func (l ObjectLock) RetentionXML() []byte {
	w := newXML(192)
	w.root("Retention")
	w.text("Mode", string(l.Mode))
	w.time("RetainUntilDate", l.Until)
	w.close("Retention")
	return w.bytes()
}

// ParseLegalHold reads the body of PutObjectLegalHold.
func ParseLegalHold(body []byte) (ObjectLock, error) {
	const op = "s3.ParseLegalHold"
	var l ObjectLock
	root, err := parseXML(body, 16)
	if err != nil {
		return l, cluster.E(op, "", cluster.KindOther, err)
	}
	status := root.only("Status")
	if root.name != "LegalHold" || len(root.children) != 1 || status == nil {
		return l, malformedXML(op)
	}
	if l.Hold = cluster.LegalHold(strings.TrimSpace(status.text)); !l.Hold.Valid() {
		return l, malformedXML(op)
	}
	return l, nil
}

// LegalHoldXML returns the reply to GetObjectLegalHold.
func (l ObjectLock) LegalHoldXML() []byte {
	w := newXML(160)
	w.root("LegalHold")
	w.text("Status", string(l.Hold))
	w.close("LegalHold")
	return w.bytes()
}

// ParseObjectLock reads the body of PutObjectLockConfiguration.
func ParseObjectLock(body []byte) (cluster.BucketLock, error) {
	const op = "s3.ParseObjectLock"
	l := cluster.BucketLock{Enabled: true}
	root, err := parseXML(body, 16)
	if err != nil {
		return l, cluster.E(op, "", cluster.KindOther, err)
	}
	enabled, rule := root.only("ObjectLockEnabled"), root.only("Rule")
	known := 0
	for _, n := range []*node{enabled, rule} {
		if n != nil {
			known++
		}
	}
	if root.name != "ObjectLockConfiguration" || len(root.children) != known || enabled == nil || strings.TrimSpace(enabled.text) != "Enabled" {
		return l, malformedXML(op)
	}
	if rule == nil {
		return l, nil
	}
	retention := rule.only("DefaultRetention")
	if len(rule.children) != 1 || retention == nil {
		return l, malformedXML(op)
	}
	return l, parseDefaultRetention(retention, &l)
}

func parseDefaultRetention(n *node, l *cluster.BucketLock) error {
	const op = "s3.parseDefaultRetention"
	mode, days, years := n.only("Mode"), n.only("Days"), n.only("Years")
	if len(n.children) != 2 || mode == nil || (days == nil) == (years == nil) {
		return malformedXML(op)
	}
	if l.Mode = cluster.LockMode(strings.TrimSpace(mode.text)); !l.Mode.Valid() {
		return malformedXML(op)
	}
	period, most, into := days, cluster.MaxLockDays, &l.Days
	if days == nil {
		period, most, into = years, cluster.MaxLockYears, &l.Years
	}
	count, err := strconv.Atoi(strings.TrimSpace(period.text))
	switch {
	case err != nil:
		return malformedXML(op)
	case count < 1:
		return NewFault(op, InvalidRetentionPeriod, "")
	case count > most:
		return NewFault(op, InvalidRetentionPeriod, "Default retention period too large: the maximum is "+itoa(most)+" "+strings.ToLower(period.name)+".")
	}
	*into = count
	return nil
}

// ObjectLockXML returns the reply to GetObjectLockConfiguration.
func ObjectLockXML(l cluster.BucketLock) []byte {
	w := newXML(256)
	w.root("ObjectLockConfiguration")
	w.text("ObjectLockEnabled", "Enabled")
	if l.Mode != "" {
		w.open("Rule")
		w.open("DefaultRetention")
		w.text("Mode", string(l.Mode))
		if l.Days > 0 {
			w.number("Days", int64(l.Days))
		} else {
			w.number("Years", int64(l.Years))
		}
		w.close("DefaultRetention")
		w.close("Rule")
	}
	w.close("ObjectLockConfiguration")
	return w.bytes()
}
