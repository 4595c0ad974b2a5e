package cluster

import (
	"fmt"
	"time"
)

// LockMode says who may take back the retention of a version before its time; "" is no retention.
type LockMode string

// The modes of a retention.
const (
	LockGovernance LockMode = "GOVERNANCE" // whoever has the right to bypass it
	LockCompliance LockMode = "COMPLIANCE" // nobody
)

// Valid reports whether the mode is one of a retention.
func (m LockMode) Valid() bool { return m == LockGovernance || m == LockCompliance }

// LegalHold says whether a version is kept until somebody says otherwise; "" is that nobody ever said anything.
type LegalHold string

// What can be said of a legal hold.
const (
	HoldOn  LegalHold = "ON"
	HoldOff LegalHold = "OFF"
)

// Valid reports whether something was said.
func (h LegalHold) Valid() bool { return h == HoldOn || h == HoldOff }

// BucketLock is the object lock of a bucket: whether versions can be locked in it, and what retention a new version has that
// does not say. Once a bucket has it, it has it for ever.
type BucketLock struct {
	Enabled bool     `json:"enabled,omitempty"`
	Mode    LockMode `json:"mode,omitempty"` // of new versions; "" for none
	Days    int      `json:"days,omitempty"` // either these or Years
	Years   int      `json:"years,omitempty"`
}

// The longest default retention (AWS: "Object Lock").
const (
	MaxLockYears = 100
	MaxLockDays  = 36500
)

// Until returns how long a version is kept that was made at a time and says nothing itself.
func (l BucketLock) Until(made time.Time) time.Time {
	return made.UTC().AddDate(l.Years, 0, l.Days).Truncate(time.Millisecond)
}

// validate reports what cannot be, or cannot be beside what the bucket does with versions.
func (l BucketLock) validate(v Versioning) error {
	switch {
	case !l.Enabled && l != BucketLock{}:
		return fmt.Errorf("a default retention needs object lock")
	case !l.Enabled:
		return nil
	case v != VersioningEnabled:
		return fmt.Errorf("object lock needs versioning, which cannot be suspended while a bucket has it")
	case l.Mode == "" && l.Days == 0 && l.Years == 0:
		return nil
	case !l.Mode.Valid() || (l.Days > 0) == (l.Years > 0) || l.Days < 0 || l.Years < 0 || l.Days > MaxLockDays || l.Years > MaxLockYears:
		return fmt.Errorf("a default retention is a mode and a number of days or years, up to %d years", MaxLockYears)
	}
	return nil
}
