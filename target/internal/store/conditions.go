package store

import (
	"time"
)

// ETags is the value of an If-Match or If-None-Match header.
type ETags struct {
	Any  bool     // "*"
	Tags []string // without quotes, weak marks removed
}

// IsSet reports whether the header was present.
func (e ETags) IsSet() bool { return e.Any || len(e.Tags) > 0 }

// Conditions are the conditional headers of a request. The zero value has none. They are evaluated in the order of RFC 9110,
// section 13.2.2. In a read a false If-None-Match or ModifiedSince is KindNotModified, everything else that is false is
// KindPreconditionFailed; If-Match on an absent object is KindObjectNotFound in a read or with a single ETag (as S3 does).
type Conditions struct {
	Match           ETags
	NoneMatch       ETags
	ModifiedSince   time.Time // compared in whole seconds; zero is none
	UnmodifiedSince time.Time
	RangeETag       string    // If-Range with an ETag: else the range is ignored
	RangeModified   time.Time // If-Range with a date
}
