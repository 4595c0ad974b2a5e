// Package outbox sends what the store keeps to be told outside of the cluster: the events of buckets. A notice lies in the index
// from before its change is acknowledged until its destination has taken it (store.Notices); here is only which ones are waiting, and
// which ones are dead letters: not sent by themselves any more.
package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/config"
	"github.com/aisle-store/aisle/notify"
	"github.com/aisle-store/aisle/s3"
	"github.com/aisle-store/aisle/target/internal/store"
)

const (
	window     = 4096 // notices of one destination that are known here at a time; the others wait in the index
	batch      = 64   // sent together
	retryFirst = 100 * time.Millisecond
	retryLast  = 30 * time.Second
	lookEvery  = 30 * time.Second
)

// Store is what has the notices; *store.Store does.
type Store interface {
	Notices(ctx context.Context, each func(ref store.NoticeRef, to string, at time.Time) bool) error
	Notice(ref store.NoticeRef) (*store.Told, error)
	Noticed(ctx context.Context, refs []store.NoticeRef) error
}

// Sender sends messages; *notify.Sender does. That the next message is refused for good is KindInvalid, that there is no such
// destination KindNotFound.
type Sender interface {
	Find(destination string) (config.Destination, bool)
	Send(ctx context.Context, destination string, messages []notify.Message) (int, error)
}

// Buckets finds buckets, frozen ids included, by the state of now.
type Buckets interface {
	BucketByID(id cluster.BucketID) (cluster.BucketEntry, bool)
	BucketOver(id cluster.BucketID) (cluster.BucketEntry, bool)
}

// Options are what an outbox is made of.
type Options struct {
	Store   Store
	Sender  Sender
	Buckets func() Buckets
	Sure    func() error         // nil while this node knows the cluster's settings and buckets
	Queue   func() int           // notices that may wait for one destination
	Keep    func() time.Duration // how long one may wait
	Dead    func() int           // dead letters that are kept of one destination
	Bury    func() time.Duration // how long they are kept when they have waited too long
	Region  string
	Host    string
	Now     func() time.Time
	Logger  *slog.Logger
}

// Stats is what an outbox has done for one destination since the node started.
type Stats struct {
	Destination string
	Waiting     int   // now
	Sent        int64 // taken by the destination
	Failed      int64 // attempts that failed
	Dead        int   // dead letters now
	Dropped     int64 // never sent: the queue was full, or there was no room or time left among the dead letters
}

// Outbox sends notices. Its methods may be called at the same time.
type Outbox struct {
	o    Options
	life context.Context
	stop context.CancelFunc
	work sync.WaitGroup

	byHand sync.Mutex    // held by who sends or drops dead letters
	look   chan struct{} // one token: the index is to be looked through

	mu     sync.Mutex
	queues map[string]*queue // guarded by mu, by destination
}

// queue is what waits for one destination. Its fields are guarded by Outbox.mu.
type queue struct {
	refs    []store.NoticeRef
	known   map[store.NoticeRef]struct{} // those of refs, and those being sent
	more    bool                         // there are others in the index
	waiting int                          // in the index, about
	dead    int                          // in the index, about, and not waiting
	refused map[store.NoticeRef]string   // of the dead, those that the destination refuses for good, and why
	stats   Stats
	wake    chan struct{} // one token
}

// New returns an outbox that works until Close.
func New(o Options) *Outbox {
	life, stop := context.WithCancel(context.Background())
	b := &Outbox{o: o, life: life, stop: stop, look: make(chan struct{}, 1), queues: make(map[string]*queue)}
	b.work.Go(b.lookOften)
	return b
}

// Close stops sending; what is not sent stays in the index.
func (b *Outbox) Close() {
	b.stop()
	b.work.Wait()
}

// queue returns the queue of a destination. mu is held.
func (b *Outbox) queue(to string) *queue {
	q := b.queues[to]
	if q == nil {
		q = &queue{known: make(map[store.NoticeRef]struct{}), refused: make(map[store.NoticeRef]string), wake: make(chan struct{}, 1), stats: Stats{Destination: to}}
		b.queues[to] = q
		if b.life.Err() == nil {
			b.work.Go(func() { b.send(to, q) })
		}
	}
	return q
}

// Admits reports whether one more notice may wait for a destination; if not, it is counted as dropped.
func (b *Outbox) Admits(to string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.queue(to)
	if q.waiting < b.o.Queue() {
		return true
	}
	q.stats.Dropped++
	if q.stats.Dropped&(q.stats.Dropped-1) == 0 {
		b.o.Logger.Error("events are dropped: too many wait for their destination", "destination", to, "dropped", q.stats.Dropped)
	}
	return false
}

// Add has a notice that was made be sent.
func (b *Outbox) Add(ref store.NoticeRef, to string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.queue(to)
	q.waiting++
	q.add(ref)
}

// add takes a notice up, if there is room, and wakes the sender.
func (q *queue) add(ref store.NoticeRef) {
	if _, known := q.known[ref]; known {
		return
	}
	if len(q.refs) >= window {
		q.more = true
		return
	}
	q.refs = append(q.refs, ref)
	q.known[ref] = struct{}{}
	q.awake()
}

func (q *queue) awake() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Look has the index looked through: slots may have come to this node with notices.
func (b *Outbox) Look() {
	select {
	case b.look <- struct{}{}:
	default:
	}
}

// lookOften looks through the index when it is told to, and from time to time: a mountpath may be back, or another node have left
// what it had sent.
func (b *Outbox) lookOften() {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-b.life.Done():
			return
		case <-b.look:
		case <-tick.C:
		}
		if err := b.lookThrough(); err != nil && b.life.Err() == nil {
			b.o.Logger.Warn("events that wait could not be looked for; it is tried again", "error", err)
			if !b.pause(retryFirst) {
				return
			}
			b.Look()
		}
	}
}

// lookThrough takes up what is in the index, and removes the dead letters whose time is over.
func (b *Outbox) lookThrough() error {
	sure := b.o.Sure() == nil
	b.mu.Lock()
	unseen := make(map[string]map[store.NoticeRef]string)
	for to, q := range b.queues {
		q.more = false
		unseen[to] = maps.Clone(q.refused)
	}
	b.mu.Unlock()
	waiting, dead := make(map[string]int), make(map[string]int)
	var over []store.NoticeRef
	err := b.o.Store.Notices(b.life, func(ref store.NoticeRef, to string, at time.Time) bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		q := b.queue(to)
		delete(unseen[to], ref)
		switch {
		case b.whyDead(q, ref, at) == "":
			waiting[to]++
			q.add(ref)
		case sure && len(over) < window && b.o.Now().Sub(at) > b.o.Keep()+b.o.Bury():
			over = append(over, ref)
			q.stats.Dropped++
		default:
			dead[to]++
		}
		return b.life.Err() == nil
	})
	if err != nil {
		return err
	}
	b.mu.Lock()
	for to, q := range b.queues {
		q.waiting, q.dead = waiting[to], dead[to]
		for ref := range unseen[to] { // sent or dropped, or another node's by now
			delete(q.refused, ref)
		}
	}
	b.mu.Unlock()
	if len(over) == 0 {
		return nil
	}
	b.o.Logger.Error("dead letters are dropped: nobody has sent them again in time", "events", len(over), "first", over[0].String())
	return b.o.Store.Noticed(b.life, over)
}

// send sends what waits for one destination, until the outbox is closed.
func (b *Outbox) send(to string, q *queue) {
	wait := retryFirst
	for {
		refs := b.take(q)
		if len(refs) == 0 {
			select {
			case <-b.life.Done():
				return
			case <-q.wake:
			}
			continue
		}
		err := b.sendSome(to, q, refs)
		if err == nil {
			wait = retryFirst
			continue
		}
		if b.life.Err() != nil {
			return
		}
		b.o.Logger.Warn("events could not be sent; it is tried again", "destination", to, "error", err, "wait", wait)
		if !b.pause(wait) {
			return
		}
		wait = min(2*wait, retryLast)
	}
}

func (b *Outbox) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-b.life.Done():
		return false
	case <-timer.C:
		return true
	}
}

// take takes the next notices, in the order of their changes. When all that is known is sent, the others are looked for.
func (b *Outbox) take(q *queue) []store.NoticeRef {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(q.refs) == 0 {
		if q.more {
			q.more = false
			b.Look()
		}
		return nil
	}
	n := min(len(q.refs), batch)
	refs := slices.Clone(q.refs[:n])
	q.refs = slices.Delete(q.refs, 0, n)
	slices.SortStableFunc(refs, func(x, y store.NoticeRef) int {
		switch {
		case x.Generation.Less(y.Generation):
			return -1
		case y.Generation.Less(x.Generation):
			return 1
		}
		return 0
	})
	return refs
}

// sendSome sends some notices and removes those that were taken, or will never be. The others wait again, or are dead letters.
func (b *Outbox) sendSome(to string, q *queue, refs []store.NoticeRef) error {
	if err := b.o.Sure(); err != nil {
		b.putBack(q, refs)
		return err
	}
	fresh, gone := b.aged(q, b.read(refs))
	told, messages, lost := b.messages(to, fresh)
	gone = append(gone, lost...)
	taken, err := 0, error(nil)
	if len(messages) > 0 {
		taken, err = b.o.Sender.Send(b.life, to, messages)
	}
	left := told[taken:]
	gone = append(gone, told[:taken]...)
	b.count(q, taken, len(gone), err)
	switch {
	case cluster.Is(err, cluster.KindNotFound): // they wait for it to come back, or for somebody who drops them
		b.bury(q, left, "there is no such destination")
		left, err = nil, nil
	case cluster.Is(err, cluster.KindInvalid) && b.room(q) > 0: // the others need not wait for this one
		b.refuse(q, left[0], err)
		b.bury(q, left[:1], "the destination refuses it: "+err.Error())
		left, err = left[1:], nil
	}
	if removeErr := b.o.Store.Noticed(b.life, gone); removeErr != nil && b.life.Err() == nil {
		b.o.Logger.Warn("events that were sent could not be removed; they may be sent again", "destination", to, "error", removeErr)
	}
	b.putBack(q, left)
	return err
}

// read reads notices. What is no longer this node's to send, or cannot be read now, is passed over.
func (b *Outbox) read(refs []store.NoticeRef) []*store.Told {
	all := make([]*store.Told, 0, len(refs))
	for _, ref := range refs {
		if n, err := b.o.Store.Notice(ref); err == nil && n != nil {
			all = append(all, n)
		}
	}
	return all
}

// aged makes dead letters of those notices that have waited too long. Those of gone have no room there: they are dropped.
func (b *Outbox) aged(q *queue, all []*store.Told) (fresh []*store.Told, gone []store.NoticeRef) {
	var old []store.NoticeRef
	for _, n := range all {
		if b.o.Now().Sub(n.About.Modified) > b.o.Keep() {
			old = append(old, n.Ref)
		} else {
			fresh = append(fresh, n)
		}
	}
	room := min(len(old), b.room(q))
	b.bury(q, old[:room], "they waited too long")
	b.drop(q, old[room:], "they waited too long, and there are too many dead letters")
	return fresh, old[room:]
}

// messages writes the messages of some notices. Those of gone will never be sent: their bucket is gone.
func (b *Outbox) messages(to string, all []*store.Told) (told []store.NoticeRef, messages []notify.Message, gone []store.NoticeRef) {
	for _, n := range all {
		message, err := b.message(n)
		if err != nil {
			b.o.Logger.Warn("an event cannot be told", "destination", to, "error", err)
			gone = append(gone, n.Ref)
			continue
		}
		told, messages = append(told, n.Ref), append(messages, message)
	}
	return told, messages, gone
}

// message writes the message of a notice.
func (b *Outbox) message(told *store.Told) (notify.Message, error) {
	const op = "target/outbox.message"
	bucket, ok := b.bucket(told.Ref.Bucket)
	if !ok {
		return notify.Message{}, cluster.Fail(op, told.Ref.String(), cluster.KindBucketNotFound, "the bucket does not exist any more")
	}
	g := told.Ref.Generation
	r := s3.EventRecord{
		Event: told.Event, Configuration: told.Rule, Time: told.About.Modified, Region: b.o.Region, Bucket: bucket.Bucket.Name,
		BucketOwner: string(bucket.Creator), Principal: string(told.About.Owner), SourceIP: told.Remote, Request: told.Request, Host: b.o.Host,
		Key: told.Ref.Key, Sequencer: fmt.Sprintf("%016X%016X", uint64(g.Epoch), g.Counter),
	}
	if bucket.Props.Versioning != cluster.VersioningOff {
		r.Version = told.About.VersionID
	}
	if !told.Removed {
		r.Size, r.ETag = &told.About.Size, told.About.ETag
	}
	body, err := r.JSON()
	return notify.Message{Key: string(bucket.Bucket.Name) + "/" + string(told.Ref.Key), Body: body}, err
}

// bucket finds a bucket by the id that it has now, or had.
func (b *Outbox) bucket(id cluster.BucketID) (cluster.BucketEntry, bool) {
	buckets := b.o.Buckets()
	bucket, ok := buckets.BucketByID(id)
	if !ok {
		bucket, ok = buckets.BucketOver(id)
	}
	return bucket, ok
}

// drop counts notices that are never sent.
func (b *Outbox) drop(q *queue, refs []store.NoticeRef, why string) {
	if len(refs) == 0 {
		return
	}
	b.mu.Lock()
	q.stats.Dropped += int64(len(refs))
	b.mu.Unlock()
	b.o.Logger.Error("events are dropped", "destination", q.stats.Destination, "why", why, "events", len(refs), "first", refs[0].String())
}

// count notes what became of an attempt.
func (b *Outbox) count(q *queue, sent, gone int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q.stats.Sent += int64(sent)
	if err != nil {
		q.stats.Failed++
	}
	q.waiting = max(0, q.waiting-gone)
}

// putBack has notices wait again, before all others, and forgets the rest of what was taken.
func (b *Outbox) putBack(q *queue, refs []store.NoticeRef) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q.refs = slices.Concat(refs, q.refs)
	clear(q.known)
	for _, ref := range q.refs {
		q.known[ref] = struct{}{}
	}
	if len(refs) > 0 {
		q.awake()
	}
}

// Stats returns what was done for each destination.
func (b *Outbox) Stats() []Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]Stats, 0, len(b.queues))
	for _, q := range b.queues {
		s := q.stats
		s.Waiting, s.Dead = q.waiting, q.dead
		all = append(all, s)
	}
	slices.SortFunc(all, func(x, y Stats) int {
		if x.Destination < y.Destination {
			return -1
		}
		return 1
	})
	return all
}
