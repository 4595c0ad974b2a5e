package store

import (
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
}

// state is what conditions are judged against.
type state struct {
	exists   bool
	etag     string
	modified time.Time
}

// judge returns KindOther when the conditions hold, else the kind of failure, as a read has it.
func (c *Conditions) judge(s state) cluster.Kind {
	switch {
	case c.Match.IsSet():
		if !s.exists && !c.Match.Any {
			return cluster.KindObjectNotFound
		}
		if !s.exists || !c.Match.has(s.etag) {
			return cluster.KindPreconditionFailed
		}
	case !c.UnmodifiedSince.IsZero() && s.exists:
		if s.seconds() > c.UnmodifiedSince.Unix() {
			return cluster.KindPreconditionFailed
		}
	}
	switch {
	case c.NoneMatch.IsSet():
		if s.exists && c.NoneMatch.has(s.etag) {
			return cluster.KindNotModified
		}
	case !c.ModifiedSince.IsZero() && s.exists:
		if s.seconds() <= c.ModifiedSince.Unix() {
			return cluster.KindNotModified
		}
	}
	return cluster.KindOther
}

// seconds is the modification time as Last-Modified tells it.
func (s state) seconds() int64 { return s.modified.Unix() }

// forRead judges the conditions of a GET or HEAD.
func (c *Conditions) forRead(op string, n name, s state) error {
	switch kind := c.judge(s); {
	case kind == cluster.KindNotModified:
		return n.fail(op, kind, "the object was not modified")
	case kind == cluster.KindPreconditionFailed:
		return n.fail(op, kind, "a condition of the request does not hold")
	case !s.exists:
		return n.fail(op, cluster.KindObjectNotFound, "does not exist")
	}
	return nil
}

// forWrite judges the conditions of a request that changes the object.
func (c *Conditions) forWrite(op string, n name, s state) error {
	switch kind := c.judge(s); kind {
	case cluster.KindOther:
		return nil
	case cluster.KindObjectNotFound:
		return n.fail(op, kind, "does not exist")
	default:
		return n.fail(op, cluster.KindPreconditionFailed, "a condition of the request does not hold")
	}
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
