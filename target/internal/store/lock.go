package store

import (
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// Lock is what keeps a version from being removed: a retention, which ends, and a legal hold, which somebody ends.
type Lock struct {
	Mode  cluster.LockMode // "" for no retention
	Until time.Time        // of a retention
	Hold  cluster.LegalHold
}

// retained reports whether the retention lasts.
func (l *Lock) retained(now time.Time) bool { return l.Mode != "" && now.Before(l.Until) }

// LockChange is what becomes of a lock.
type LockChange struct {
	Retention *Lock             // its Mode and Until, where Mode "" is none; nil: the retention stays
	Hold      cluster.LegalHold // "": what was said of a legal hold stays
	Bypass    bool              // the caller may, and wants to, take back a retention in governance mode
}

// apply makes the change.
func (c *LockChange) apply(l *Lock) {
	if c.Retention != nil {
		l.Mode, l.Until = c.Retention.Mode, c.Retention.Until
	}
	if c.Hold != "" {
		l.Hold = c.Hold
	}
}

// lockOf is the lock of a record.
func lockOf(r *meta.Record) Lock { return Lock{r.LockMode, r.LockUntil, r.LegalHold} }

// retain gives a new version the retention of its bucket, unless it came with one.
func retain(r *meta.Record, l cluster.BucketLock) {
	if r.LockMode == "" && l.Mode != "" {
		r.LockMode, r.LockUntil = l.Mode, l.Until(r.Modified)
	}
}

// retains reports whether a retention lasts. The wall clock of the owner decides, as it did when a period became a date; one that is
// far from the cluster's ends none.
func (t *turn) retains(l *Lock) (bool, error) {
	if l.Mode == "" || l.retained(t.store.o.Now()) {
		return l.Mode != "", nil
	}
	if err := t.store.o.CheckWall(); err != nil {
		return true, t.name.wrap(t.op, cluster.KindUnavailable, err)
	}
	return false, nil
}

// unlocked refuses to make a version unreachable that is locked.
func (t *turn) unlocked(r *meta.Record) error {
	if r == nil || r.LockMode == "" && r.LegalHold == "" {
		return nil
	}
	l := lockOf(r)
	retained, err := t.retains(&l)
	switch {
	case l.Hold == cluster.HoldOn:
		return t.refuse(t.fail(cluster.KindLocked, "the version is under legal hold"))
	case t.bypass && l.Mode == cluster.LockGovernance:
	case err != nil:
		return err
	case retained:
		return t.refuse(t.fail(cluster.KindLocked, "the version is retained until "+l.Until.UTC().Format(time.RFC3339)))
	}
	return nil
}

// relockable refuses to take back a retention that lasts: it can be extended only, and in governance mode by those who may
// bypass it changed at will.
func (t *turn) relockable(r *meta.Record, c *LockChange) error {
	l := lockOf(r)
	if c.Retention == nil {
		return nil
	}
	retained, err := t.retains(&l)
	switch {
	case err == nil && !retained:
		return nil
	case c.Retention.Mode == l.Mode && !c.Retention.Until.Before(l.Until):
		return nil
	case c.Bypass && l.Mode == cluster.LockGovernance:
		return nil
	case err != nil:
		return err
	}
	return t.fail(cluster.KindLocked, "the version is retained until "+l.Until.UTC().Format(time.RFC3339))
}
