// Package lifecycle has the rules by which what lies in a bucket expires, and when: values and decisions about them. What carries
// them out is the store; what reads and writes them as XML is the package s3.
package lifecycle

import (
	"slices"
	"strings"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// Configuration is the rules of a bucket. It is immutable.
type Configuration struct {
	Rules   []Rule
	Minimum string `json:",omitempty"` // the size below which nothing would change its storage class: kept and told
}

// Rule says what of some objects expires.
type Rule struct {
	ID         string
	Disabled   bool        `json:",omitempty"`
	Prefix     *string     `json:",omitempty"` // of a rule in the first form of the API, which has no Filter
	Filter     *Filter     `json:",omitempty"`
	Expiration *Expiration `json:",omitempty"`
	Noncurrent *Noncurrent `json:",omitempty"`
	AbortDays  int         `json:",omitempty"` // after so many days uploads are aborted; 0: never
}

// Filter says which objects a rule is about: those for which all that it names holds.
type Filter struct {
	And     bool    `json:",omitempty"` // what it names stands in an element And
	Prefix  *string `json:",omitempty"`
	Tags    []Tag   `json:",omitempty"`
	Larger  *int64  `json:",omitempty"` // than so many bytes
	Smaller *int64  `json:",omitempty"`
}

// Tag is a tag of an object.
type Tag struct{ Name, Value string }

// Expiration says when current versions expire: one of its fields is set.
type Expiration struct {
	Days   int       `json:",omitempty"`
	Date   time.Time `json:",omitzero"`
	Marker *bool     `json:",omitempty"` // whether delete markers that have nothing beneath them go
}

// Noncurrent says when other versions expire.
type Noncurrent struct {
	Days int // since they are not current
	Keep int `json:",omitempty"` // so many of the newest stay
}

// Clock counts in days, which begin at multiples of their length since 1970.
type Clock struct {
	Day time.Duration // zero: 24 hours
}

func (c Clock) length() int64 {
	if c.Day <= 0 {
		return int64(24 * time.Hour)
	}
	return int64(c.Day)
}

// Number returns the number of the day in which a time lies.
func (c Clock) Number(t time.Time) int64 {
	n := t.UnixNano()
	day := n / c.length()
	if n%c.length() < 0 {
		day--
	}
	return day
}

// after returns the beginning of the first day that does not begin before so many days have passed since a time.
func (c Clock) after(t time.Time, days int) time.Time {
	n := c.Number(t)
	if n*c.length() != t.UnixNano() {
		n++
	}
	return time.Unix(0, min(n+int64(days), last/c.length())*c.length()).UTC()
}

// last is the last moment that fits into nanoseconds since 1970.
const last = 1<<63 - 1

// Version is what rules look at: an object, as it is in one version.
type Version struct {
	Key      cluster.ObjectKey
	Size     int64
	Tags     []Tag
	Modified time.Time
}

// covers reports whether a rule is about an object.
func (r *Rule) covers(v *Version) bool {
	return !r.Disabled && strings.HasPrefix(string(v.Key), r.prefix()) && (r.Filter == nil || r.Filter.matches(v))
}

// matches reports whether what the filter says beside the prefix holds.
func (f *Filter) matches(v *Version) bool {
	if f.Larger != nil && v.Size <= *f.Larger || f.Smaller != nil && v.Size >= *f.Smaller {
		return false
	}
	for _, tag := range f.Tags {
		if !slices.Contains(v.Tags, tag) {
			return false
		}
	}
	return true
}

func (r *Rule) prefix() string {
	switch {
	case r.Prefix != nil:
		return *r.Prefix
	case r.Filter != nil && r.Filter.Prefix != nil:
		return *r.Filter.Prefix
	}
	return ""
}

// narrow reports whether the rule is only about some of the objects with its prefix. Delete markers and uploads have neither tags nor a
// size: such a rule is not about them.
func (r *Rule) narrow() bool {
	return r.Filter != nil && (len(r.Filter.Tags) > 0 || r.Filter.Larger != nil || r.Filter.Smaller != nil)
}

// Expires returns when a current version expires, and by which rule; nil: never.
func (c *Configuration) Expires(v *Version, clock Clock) (time.Time, *Rule) {
	var first earliest
	for i := range c.Rules {
		r := &c.Rules[i]
		if e := r.Expiration; e != nil && e.Marker == nil && r.covers(v) {
			first.add(e.due(v.Modified, clock), r)
		}
	}
	return first.at, first.rule
}

func (e *Expiration) due(since time.Time, clock Clock) time.Time {
	if e.Days > 0 {
		return clock.after(since, e.Days)
	}
	return e.Date
}

// ExpiresMarker returns when a delete marker goes that is the only version of its key.
func (c *Configuration) ExpiresMarker(v *Version, clock Clock) (time.Time, *Rule) {
	var first earliest
	for i := range c.Rules {
		r := &c.Rules[i]
		switch e := r.Expiration; {
		case e == nil || r.narrow() || !r.covers(v):
		case e.Marker == nil:
			first.add(e.due(v.Modified, clock), r)
		case *e.Marker:
			first.add(v.Modified, r)
		}
	}
	return first.at, first.rule
}

// ExpiresNoncurrent returns when a version goes that is not current: since when it is not, and how many of the versions that are
// newer than it are not either. A delete marker is a version without size and tags.
func (c *Configuration) ExpiresNoncurrent(v *Version, since time.Time, newer int, clock Clock) (time.Time, *Rule) {
	var first earliest
	for i := range c.Rules {
		r := &c.Rules[i]
		if n := r.Noncurrent; n != nil && newer >= n.Keep && r.covers(v) {
			first.add(clock.after(since, n.Days), r)
		}
	}
	return first.at, first.rule
}

// Aborts returns when an upload is aborted.
func (c *Configuration) Aborts(key cluster.ObjectKey, initiated time.Time, clock Clock) (time.Time, *Rule) {
	var first earliest
	v := &Version{Key: key}
	for i := range c.Rules {
		if r := &c.Rules[i]; r.AbortDays > 0 && !r.narrow() && r.covers(v) {
			first.add(clock.after(initiated, r.AbortDays), r)
		}
	}
	return first.at, first.rule
}

// earliest keeps the rule that is carried out first.
type earliest struct {
	at   time.Time
	rule *Rule
}

func (e *earliest) add(at time.Time, r *Rule) {
	if e.rule == nil || at.Before(e.at) {
		e.at, e.rule = at, r
	}
}

// Prefixes returns prefixes of all the keys that a rule is about, in order; none is a prefix of another one.
func (c *Configuration) Prefixes() []string {
	var all []string
	for i := range c.Rules {
		if r := &c.Rules[i]; !r.Disabled {
			all = append(all, r.prefix())
		}
	}
	slices.Sort(all)
	kept := all[:0]
	for _, p := range all {
		if len(kept) == 0 || !strings.HasPrefix(p, kept[len(kept)-1]) {
			kept = append(kept, p)
		}
	}
	return kept
}

// Aborting reports whether any rule aborts uploads.
func (c *Configuration) Aborting() bool {
	return slices.ContainsFunc(c.Rules, func(r Rule) bool { return !r.Disabled && r.AbortDays > 0 })
}

// Expiring reports whether any rule is about versions.
func (c *Configuration) Expiring() bool {
	return slices.ContainsFunc(c.Rules, func(r Rule) bool { return !r.Disabled && (r.Expiration != nil || r.Noncurrent != nil) })
}
