package store

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/meta"
	"github.com/aisle-store/aisle/xact"
)

// When a pass for what has expired begins, and where it goes on after a restart.

const (
	expiryNote  = "lifecycle"      // the name of the state in the index
	expiryTick  = time.Second      // how often it is looked whether a pass is due
	expirySave  = 10 * time.Second // how often the state is kept
	expiryRetry = time.Minute      // after a pass that missed something, or that began with other slots
)

// expiryState is how far a mountpath is.
type expiryState struct {
	Began  time.Time     `json:"began,omitzero"`
	Rules  uint64        `json:"rules"`            // print of the rules with which the pass began
	Slots  uint64        `json:"slots"`            // print of the slots that were owned then
	Missed bool          `json:"missed,omitempty"` // something was passed over for now
	Cursor *expiryCursor `json:"cursor,omitempty"` // where the pass goes on; nil: it has ended
}

// expiryCursor is a place in a pass: behind a key, or an upload of it.
type expiryCursor struct {
	Bucket  cluster.BucketID `json:"bucket"`
	Uploads bool             `json:"uploads,omitempty"` // the keys are done
	Key     string           `json:"key,omitempty"`
	Upload  cluster.UploadID `json:"upload,omitempty"`
}

// expirer has what expires on one mountpath removed.
type expirer struct {
	asked chan struct{} // has one in it when somebody has asked for a pass

	state  expiryState   // by its only user
	saved  time.Time     // of the state
	active *activation   // of which slots is the print
	slots  uint64        //
	after  time.Duration // not before, by the store's clock
}

func newExpirer() *expirer { return &expirer{asked: make(chan struct{}, 1)} }

// StartLifecycle has everything looked at that may have expired, now.
func (s *Store) StartLifecycle() {
	for _, m := range s.mounted() {
		if m.expirer != nil {
			select {
			case m.expirer.asked <- struct{}{}:
			default:
			}
		}
	}
}

// expire carries out the rules of buckets on a mountpath whenever it is due, until the context ends or the index dies.
func (s *Store) expire(ctx context.Context, m *mountpath) {
	if err := m.expirer.load(m.index); err != nil {
		s.o.Events.background(m.ID, "lifecycle", err) // it begins anew
	}
	asked := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.index.Dead():
			return
		case <-m.expirer.asked:
			asked = true
		case <-time.After(expiryTick):
		}
		if m.err() != nil {
			continue
		}
		err := s.expireDue(ctx, m, asked)
		if err != nil && ctx.Err() == nil && !errors.Is(err, xact.ErrStopped) {
			s.o.Events.background(m.ID, "lifecycle", err)
			m.expirer.after = s.o.Clock() + expiryRetry
		}
		asked = asked && errors.Is(err, xact.ErrStopped)
	}
}

// expireDue makes a pass when one is due, or was asked for.
func (s *Store) expireDue(ctx context.Context, m *mountpath, asked bool) error {
	e, active := m.expirer, s.slots.active.Load()
	if active == nil {
		return xact.ErrStopped
	}
	if err := s.mayExpire(); err != nil {
		return err
	}
	if e.active != active {
		e.active, e.slots = active, s.ownedPrint(active)
	}
	buckets, rules := s.o.Lifecycle.Expiring()
	if !asked && (len(buckets) == 0 || s.o.Clock() < e.after || !e.isDue(s.o.Now(), s.o.Lifecycle.Clock().Number, rules)) {
		return nil
	}
	if e.state.Cursor == nil {
		e.state = expiryState{Began: s.o.Now(), Rules: rules, Slots: e.slots, Cursor: &expiryCursor{}}
	}
	p := &expiryPass{store: s, m: m, job: s.o.Jobs.Start(xact.Lifecycle, m.Path)}
	err := p.run(ctx)
	p.job.End(err)
	return err
}

// isDue reports whether a pass is to begin, or to go on: once in each day, and when rules or slots have changed.
func (e *expirer) isDue(now time.Time, day func(time.Time) int64, rules uint64) bool {
	state := &e.state
	switch {
	case state.Cursor != nil, state.Began.IsZero(), day(now) != day(state.Began), rules != state.Rules:
		return true
	case state.Missed, e.slots != state.Slots:
		since := now.Sub(state.Began)
		return since >= expiryRetry || since < 0
	}
	return false
}

// run goes on with a pass until its end.
func (p *expiryPass) run(ctx context.Context) error {
	s, e := p.store, p.m.expirer
	for {
		buckets, _ := s.o.Lifecycle.Expiring()
		from := e.state.Cursor
		b := behind(buckets, from.Bucket)
		if b == nil {
			e.state.Cursor = nil
			return e.save(p.m.index)
		}
		if b.Bucket.ID != from.Bucket {
			from = &expiryCursor{Bucket: b.Bucket.ID}
		}
		if err := s.mayExpire(); err != nil {
			return err
		}
		next, err := p.step(ctx, b, from)
		if cluster.Is(err, cluster.KindCorrupt) { // the rest of the bucket waits until that is repaired, other buckets do not
			s.o.Events.background(p.m.ID, "lifecycle", err)
			p.missed.Store(true)
			next, err = nil, nil
		}
		e.state.Missed = e.state.Missed || p.missed.Load()
		if err != nil {
			return errors.Join(err, s.mayExpire())
		}
		if next == nil {
			next = &expiryCursor{Bucket: b.Bucket.ID + 1}
		}
		e.state.Cursor = next
		if time.Since(e.saved) > expirySave {
			if err := e.save(p.m.index); err != nil {
				return err
			}
		}
	}
}

// load takes up the state that an earlier process has kept.
func (e *expirer) load(index *meta.Index) error {
	text, err := index.Note(expiryNote)
	if err != nil || text == nil {
		return err
	}
	var state expiryState
	if err := json.Unmarshal(text, &state); err != nil {
		return err
	}
	e.state = state
	return nil
}

// save keeps the state. It is not synced: a crash costs a little of the way.
func (e *expirer) save(index *meta.Index) error {
	text, err := json.Marshal(&e.state)
	if err != nil {
		return err
	}
	batch := index.NewBatch()
	batch.SetNote(expiryNote, text)
	e.saved = time.Now()
	return batch.Commit(false)
}
