package store

import (
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// This file keeps a request from running twice, whatever the network does to its attempts. docs/consistency.md, "Attempts of
// a request", says why it is enough.

// claim is an attempt that is accepted before its body is received: until release, no other attempt of its request is.
type claim struct {
	shard   *shard
	attempt attempt
}

// accept lets an attempt in that is going to receive a body. When an earlier attempt may have ended, found is called in a
// turn; it returns true when it knows the outcome, and so does accept. Else the claim must be released when there is no
// error.
func (s *Store) accept(op string, n name, call Call, part int, found func(*turn) (bool, error)) (*claim, bool, error) {
	if call.Request == "" {
		return nil, false, nil
	}
	c := &claim{shard: s.shard(n.bucket.ID, n.key), attempt: attemptOf(call.Request, n.ident(), part)}
	known, running := c.shard.claim(c.attempt, call.Epoch)
	if running {
		return nil, false, n.fail(op, cluster.KindUnavailable, "an earlier attempt of the request is under way")
	}
	var ended bool
	var err error
	if known || s.young(n) {
		ended, err = s.lookBack(op, n, call, c, found)
	}
	if err == nil && !ended {
		err = s.checkAge(op, n, call)
	}
	if err != nil || ended {
		c.release()
		return nil, ended, err
	}
	return c, false, nil
}

// lookBack calls found in a turn.
func (s *Store) lookBack(op string, n name, call Call, c *claim, found func(*turn) (bool, error)) (bool, error) {
	t, err := s.begin(op, n, call)
	if err != nil {
		return false, err
	}
	defer t.end()
	t.claim = c
	return found(t)
}

// release ends a claim; nil is none.
func (c *claim) release() {
	if c != nil {
		c.shard.release(c.attempt)
	}
}

// checkAge refuses an attempt whose request began so long ago that the outcome of an earlier attempt may be forgotten. It
// must be asked after memory was: then that still had what it may have forgotten by now.
func (s *Store) checkAge(op string, n name, call Call) error {
	if call.Aged && s.o.Clock()-call.Began > s.o.RetryWindow {
		return n.fail(op, cluster.KindUnavailable, "the request began longer ago than the retry window")
	}
	return nil
}

// young reports whether a request that is not too old may have ended under an earlier epoch of the slot, or under the id that
// the bucket had before.
func (s *Store) young(n name) bool {
	slot := n.slot()
	return n.bucket.Under != 0 || time.Duration(s.slots.since.load(slot))+s.o.RetryWindow >= s.o.Clock()
}

// remember keeps the outcome of an attempt for the retry window.
func (t *turn) remember(part int, o outcome) {
	if t.call.Request == "" {
		return
	}
	now := t.store.o.Clock()
	o.epoch, o.until = t.epoch, now+t.store.o.RetryWindow
	t.shard.remember(attemptOf(t.call.Request, t.name.ident(), part), o, now)
}

// refuse remembers that the request failed, unless it may be sent again for that, and returns err.
func (t *turn) refuse(err error) error {
	if !cluster.Is(err, cluster.KindUnavailable) {
		t.remember(0, outcome{err: err})
	}
	return err
}

// recall returns the outcome of an earlier attempt in this epoch. It fails while one is under way.
func (t *turn) recall(part int) (o outcome, known bool, err error) {
	if t.call.Request == "" {
		return outcome{}, false, nil
	}
	o, known, running := t.shard.recall(attemptOf(t.call.Request, t.name.ident(), part), t.call.Epoch)
	if running && t.claim == nil {
		return outcome{}, false, t.fail(cluster.KindUnavailable, "an earlier attempt of the request is under way")
	}
	return o, known, nil
}

// earlier returns how an earlier attempt of the request ended: with a record that it made, in this epoch or in one before,
// or without one. When none has, the turn may go on. newest is the object's record, or its tombstone.
func (t *turn) earlier(newest *meta.Record) (made *meta.Record, ended bool, err error) {
	o, known, err := t.recall(0)
	switch {
	case err != nil:
		return nil, false, err
	case known && !o.wrote:
		return nil, true, o.err
	case known || t.store.young(t.name):
		if made, err = t.replayed(newest); made != nil || err != nil {
			return made, made != nil, err
		}
	}
	if known {
		return nil, false, t.fail(cluster.KindUnavailable, "how the request ended is not known any more")
	}
	return nil, false, t.store.checkAge(t.op, t.name, t.call)
}

// replayed returns how an earlier attempt of the request ended: what was noted of it, or of the record that it made when that was
// replaced; else the visible record, if it made that.
func (t *turn) replayed(visible *meta.Record) (*meta.Record, error) {
	if t.call.Request == "" {
		return nil, nil
	}
	ref := t.name.ref(meta.Replaced)
	ref.Upload = cluster.UploadID(t.call.Request)
	r, err := t.m.index.Get(ref, t.store.givenUp(t.name))
	if r == nil && err == nil && visible != nil && visible.Request == t.call.Request {
		r = visible
	}
	return r, t.readFailed(err)
}

// earlierObject is earlier for requests that make objects.
func (t *turn) earlierObject() (*Info, bool, error) {
	current, tombstone, err := t.visible((*meta.Index).Peek)
	if err != nil {
		return nil, false, err
	}
	made, ended, err := t.earlier(newest(current, tombstone))
	return infoOf(made), ended, err
}
