package store

import (
	"errors"
	"slices"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// ETags is the value of an If-Match or If-None-Match header.
type ETags struct {
	Any  bool     // "*"
	Tags []string // without quotes, weak marks removed
}

// IsSet reports whether the header was present.
func (e ETags) IsSet() bool { return e.Any || len(e.Tags) > 0 }

func (e ETags) has(etag string) bool { return e.Any || slices.Contains(e.Tags, etag) }

// Conditions are the conditional headers of a request. The zero value has none. They are evaluated in the order of RFC 9110,
// section 13.2.2. In a read a false If-None-Match or ModifiedSince is KindNotModified, everything else that is false is
// KindPreconditionFailed; If-Match with ETags on an absent object is KindObjectNotFound (as S3 does), with "*" it is
// KindPreconditionFailed.
type Conditions struct {
	Match           ETags
	NoneMatch       ETags
	ModifiedSince   time.Time // compared in whole seconds; zero is none
	UnmodifiedSince time.Time
	RangeETag       string    // If-Range with an ETag: when it is another, the range is ignored
	RangeModified   time.Time // If-Range with a date

	// Of a delete only.
	ModifiedAt time.Time // the object was last modified then, compared in whole seconds; zero is none
	Size       *int64    // it has that many bytes; nil is none
}

// FailedCondition is wrapped by KindPreconditionFailed: it names the condition that does not hold, as HTTP does.
type FailedCondition struct{ Name string }

// Error says which one.
func (c *FailedCondition) Error() string { return "the condition " + c.Name + " does not hold" }

// ConditionOf returns the name of the condition for which a request was refused, or "".
func ConditionOf(err error) string {
	var c *FailedCondition
	if errors.As(err, &c) {
		return c.Name
	}
	return ""
}

// state is what conditions are judged against.
type state struct {
	exists   bool
	etag     string
	size     int64
	modified time.Time
}

// judge returns KindOther when the conditions hold, else the kind of failure, as a read has it, and the condition.
func (c *Conditions) judge(s state) (cluster.Kind, string) {
	switch {
	case c.Match.IsSet():
		if !s.exists && !c.Match.Any {
			return cluster.KindObjectNotFound, "If-Match"
		}
		if !s.exists || !c.Match.has(s.etag) {
			return cluster.KindPreconditionFailed, "If-Match"
		}
	case !c.UnmodifiedSince.IsZero() && s.exists:
		if s.seconds() > c.UnmodifiedSince.Unix() {
			return cluster.KindPreconditionFailed, "If-Unmodified-Since"
		}
	}
	switch {
	case c.NoneMatch.IsSet():
		if s.exists && c.NoneMatch.has(s.etag) {
			return cluster.KindNotModified, "If-None-Match"
		}
	case !c.ModifiedSince.IsZero() && s.exists:
		if s.seconds() <= c.ModifiedSince.Unix() {
			return cluster.KindNotModified, "If-Modified-Since"
		}
	}
	return cluster.KindOther, ""
}

// seconds is the modification time as Last-Modified tells it.
func (s state) seconds() int64 { return s.modified.Unix() }

// forRead judges the conditions of a GET or HEAD.
func (c *Conditions) forRead(op string, n name, s state) error {
	switch kind, failed := c.judge(s); {
	case kind == cluster.KindNotModified:
		return n.fail(op, kind, "the object was not modified")
	case kind == cluster.KindPreconditionFailed:
		return n.wrap(op, kind, &FailedCondition{failed})
	case !s.exists:
		return n.fail(op, cluster.KindObjectNotFound, "does not exist")
	}
	return nil
}

// forWrite judges the conditions of a request that changes the object.
func (c *Conditions) forWrite(op string, n name, s state) error {
	switch kind, failed := c.judge(s); kind {
	case cluster.KindOther:
		return nil
	case cluster.KindObjectNotFound:
		return n.fail(op, kind, "does not exist")
	default:
		return n.wrap(op, cluster.KindPreconditionFailed, &FailedCondition{failed})
	}
}

// forDelete judges the conditions of a delete. They are about what would go: where there is nothing, nothing is in the way.
func (c *Conditions) forDelete(op string, n name, s state) error {
	if !s.exists {
		return nil
	}
	_, failed := c.judge(s)
	switch {
	case failed != "":
	case !c.ModifiedAt.IsZero() && s.seconds() != c.ModifiedAt.Unix():
		failed = "x-amz-if-match-last-modified-time"
	case c.Size != nil && s.size != *c.Size:
		failed = "x-amz-if-match-size"
	default:
		return nil
	}
	return n.wrap(op, cluster.KindPreconditionFailed, &FailedCondition{failed})
}

// isSet reports whether there is any.
func (c *Conditions) isSet() bool {
	return c.Match.IsSet() || c.NoneMatch.IsSet() || !c.ModifiedSince.IsZero() || !c.UnmodifiedSince.IsZero() || !c.ModifiedAt.IsZero() || c.Size != nil
}

// keepsRange judges If-Range: false means that the whole object is to be sent.
func (c *Conditions) keepsRange(s state) bool {
	switch {
	case c.RangeETag != "":
		return c.RangeETag == s.etag
	case !c.RangeModified.IsZero():
		return c.RangeModified.Unix() == s.seconds()
	}
	return true
}

// Range is a byte range as the Range header writes it.
type Range struct {
	First int64 // -1: the last Last bytes
	Last  int64 // inclusive; -1: to the end
}

// within returns the part of an object of that size that the range names; ok is false when it names none.
func (r Range) within(size int64) (offset, length int64, ok bool) {
	switch {
	case r.First < 0:
		length = min(r.Last, size)
		return size - length, length, length > 0
	case r.First >= size:
		return 0, 0, false
	case r.Last < 0 || r.Last >= size:
		return r.First, size - r.First, true
	case r.Last < r.First:
		return 0, 0, false
	}
	return r.First, r.Last - r.First + 1, true
}
