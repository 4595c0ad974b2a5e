package outbox

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/store"
)

// Dead letters are notices that are not sent by themselves any more. They stay in the index, where every holder of their slot has
// them; that one is dead follows from its age and from the setting of destinations, so every owner comes to the same. Only a refusal
// is remembered in memory: after a restart, or at another owner, it is tried once more.

const (
	byHandLimit  = 10 * time.Second // for one call; who wants more calls again
	maxRefusal   = 256              // bytes of a reason that are kept
	maxDeadShown = 1000
)

// DeadLetter is a notice that is not sent by itself any more.
type DeadLetter struct {
	Destination string
	Bucket      cluster.Bucket // without a name when it is gone
	Key         cluster.ObjectKey
	Version     cluster.VersionID
	Event       string
	Time        time.Time
	Why         string
}

// whyDead returns why a notice is a dead letter, or "". mu is held.
func (b *Outbox) whyDead(q *queue, ref store.NoticeRef, at time.Time) string {
	if why := q.refused[ref]; why != "" {
		return why
	}
	if b.o.Now().Sub(at) > b.o.Keep() {
		return "it waited too long"
	}
	if _, ok := b.o.Sender.Find(q.stats.Destination); !ok {
		return "there is no such destination"
	}
	return ""
}

// room returns how many more dead letters may be kept.
func (b *Outbox) room(q *queue) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return max(0, b.o.Dead()-q.dead)
}

// bury counts notices that waited as dead letters.
func (b *Outbox) bury(q *queue, refs []store.NoticeRef, why string) {
	if len(refs) == 0 {
		return
	}
	b.mu.Lock()
	q.dead += len(refs)
	q.waiting = max(0, q.waiting-len(refs))
	b.mu.Unlock()
	b.o.Logger.Error("events are dead letters now", "destination", q.stats.Destination, "why", why, "events", len(refs), "first", refs[0].String())
}

// refuse remembers that a destination refuses a notice.
func (b *Outbox) refuse(q *queue, ref store.NoticeRef, err error) {
	text := err.Error()
	b.mu.Lock()
	defer b.mu.Unlock()
	q.refused[ref] = "refused: " + text[:min(len(text), maxRefusal)]
}

// deadRefs returns the dead letters for a destination, for all when to is "", by destination.
func (b *Outbox) deadRefs(ctx context.Context, to string) (map[string][]store.NoticeRef, error) {
	found := make(map[string][]store.NoticeRef)
	err := b.o.Store.Notices(ctx, func(ref store.NoticeRef, of string, at time.Time) bool {
		if to != "" && of != to {
			return ctx.Err() == nil
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.whyDead(b.queue(of), ref, at) != "" {
			found[of] = append(found[of], ref)
		}
		return ctx.Err() == nil
	})
	if err == nil {
		err = ctx.Err()
	}
	return found, err
}

// Dead returns dead letters of this node, and how many there are beyond those.
func (b *Outbox) Dead(ctx context.Context) (list []DeadLetter, more int, err error) {
	found, err := b.deadRefs(ctx, "")
	if err != nil {
		return nil, 0, err
	}
	for to, refs := range found {
		for _, ref := range refs {
			if len(list) == maxDeadShown {
				more++
				continue
			}
			n, err := b.o.Store.Notice(ref)
			if err != nil || n == nil {
				continue
			}
			b.mu.Lock()
			why := b.whyDead(b.queue(to), ref, n.About.Modified)
			b.mu.Unlock()
			letter := DeadLetter{Destination: to, Key: ref.Key, Event: n.Event, Time: n.About.Modified, Why: why}
			if bucket, ok := b.bucket(ref.Bucket); ok {
				letter.Bucket = bucket.Bucket
				if bucket.Props.Versioning != cluster.VersioningOff {
					letter.Version = n.About.VersionID
				}
			}
			list = append(list, letter)
		}
	}
	slices.SortStableFunc(list, func(x, y DeadLetter) int { return x.Time.Compare(y.Time) })
	return list, more, nil
}

// SendDead sends the dead letters for a destination, for all when to is "", and returns how many were taken and how many are left.
// It passes over those that are refused, stops when the destination fails otherwise, and after some time.
func (b *Outbox) SendDead(ctx context.Context, to string) (sent, left int, err error) {
	return b.handle(ctx, to, func(ctx context.Context, q *queue, refs []store.NoticeRef) ([]store.NoticeRef, int, error) {
		to, count := q.stats.Destination, 0
		told, messages, done := b.messages(to, b.read(refs))
		for len(messages) > 0 {
			taken, err := b.o.Sender.Send(ctx, to, messages)
			count, done = count+taken, append(done, told[:taken]...)
			b.count(q, taken, 0, err)
			switch {
			case cluster.Is(err, cluster.KindInvalid):
				b.refuse(q, told[taken], err)
				told, messages = told[taken+1:], messages[taken+1:]
			case err != nil:
				return done, count, err
			default:
				messages = nil
			}
		}
		return done, count, nil
	})
}

// DropDead removes the dead letters for a destination, for all when to is "", and returns how many it removed and how many are left.
func (b *Outbox) DropDead(ctx context.Context, to string) (dropped, left int, err error) {
	return b.handle(ctx, to, func(_ context.Context, q *queue, refs []store.NoticeRef) ([]store.NoticeRef, int, error) {
		b.drop(q, refs, "an operator dropped these dead letters")
		return refs, len(refs), nil
	})
}

// handle does something with the dead letters for a destination, some at a time, until one fails or the time is over. do returns those
// that are to be removed, and how many of them count.
func (b *Outbox) handle(ctx context.Context, to string, do func(ctx context.Context, q *queue, refs []store.NoticeRef) ([]store.NoticeRef, int, error)) (count, left int, err error) {
	if err := b.o.Sure(); err != nil {
		return 0, 0, err
	}
	b.byHand.Lock()
	defer b.byHand.Unlock()
	found, err := b.deadRefs(ctx, to)
	if err != nil {
		return 0, 0, err
	}
	for _, refs := range found {
		left += len(refs)
	}
	limited, cancel := context.WithTimeout(ctx, byHandLimit)
	defer cancel()
	var failed []error
	for to, refs := range found {
		b.mu.Lock()
		q := b.queue(to)
		b.mu.Unlock()
		for chunk := range slices.Chunk(refs, batch) {
			if limited.Err() != nil {
				return count, left, errors.Join(failed...)
			}
			done, n, err := do(limited, q, chunk)
			count, left = count+n, left-len(done)
			if limited.Err() != nil && ctx.Err() == nil {
				err = nil // the time is over
			}
			if removeErr := b.o.Store.Noticed(b.life, done); err == nil {
				err = removeErr
			}
			b.mu.Lock()
			q.dead = max(0, q.dead-len(done))
			for _, ref := range done {
				delete(q.refused, ref)
			}
			b.mu.Unlock()
			if err != nil { // the other destinations may be well
				failed = append(failed, err)
				break
			}
		}
	}
	return count, left, errors.Join(failed...)
}
