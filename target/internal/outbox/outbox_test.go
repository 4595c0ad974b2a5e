package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/config"
	"github.com/aisle-store/aisle/notify"
	"github.com/aisle-store/aisle/s3"
	"github.com/aisle-store/aisle/target/internal/store"
)

// fake is the store, the sender and the buckets of an outbox.
type fake struct {
	mu      sync.Mutex
	kept    map[store.NoticeRef]*store.Told
	sent    map[string][]string // keys, by destination
	bodies  []string
	down    map[string]error
	lease   error
	queue   int
	dead    int               // letters that are kept
	bad     cluster.ObjectKey // refused for good
	counter uint64
}

func newFake() *fake {
	return &fake{kept: make(map[store.NoticeRef]*store.Told), sent: make(map[string][]string), down: make(map[string]error), queue: 1000000}
}

func (f *fake) outbox(now func() time.Time) *Outbox {
	return New(Options{
		Store: f, Sender: f, Buckets: func() Buckets { return f }, Sure: f.sure, Queue: func() int { return f.queue },
		Keep: func() time.Duration { return time.Hour }, Dead: func() int { return f.dead }, Bury: func() time.Duration { return 24 * time.Hour }, Region: "us-east-1", Host: "n1", Now: now, Logger: slog.New(slog.DiscardHandler),
	})
}

func (f *fake) sure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lease
}

func (f *fake) Notices(_ context.Context, each func(store.NoticeRef, string, time.Time) bool) error {
	f.mu.Lock()
	all := make(map[store.NoticeRef]*store.Told)
	maps.Copy(all, f.kept)
	f.mu.Unlock()
	for ref, n := range all {
		if !each(ref, n.To, n.About.Modified) {
			break
		}
	}
	return nil
}

func (f *fake) Notice(ref store.NoticeRef) (*store.Told, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.kept[ref], nil
}

func (f *fake) Noticed(_ context.Context, refs []store.NoticeRef) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, ref := range refs {
		delete(f.kept, ref)
	}
	return nil
}

func (f *fake) Find(to string) (config.Destination, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return config.Destination{Name: to}, !cluster.Is(f.down[to], cluster.KindNotFound)
}

func (f *fake) Send(_ context.Context, to string, messages []notify.Message) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.down[to]; err != nil {
		return 0, err
	}
	for i, m := range messages {
		if m.Key == "b/"+string(f.bad) {
			return i, cluster.Fail("", to, cluster.KindInvalid, "too odd")
		}
		f.sent[to], f.bodies = append(f.sent[to], m.Key), append(f.bodies, string(m.Body))
	}
	return len(messages), nil
}

func (f *fake) BucketByID(id cluster.BucketID) (cluster.BucketEntry, bool) {
	return cluster.BucketEntry{ID: id, Bucket: cluster.Native("b"), Creator: "owner", Props: cluster.BucketProps{Versioning: cluster.VersioningEnabled}}, id == 7
}

func (f *fake) BucketOver(cluster.BucketID) (cluster.BucketEntry, bool) {
	return cluster.BucketEntry{}, false
}

// keep adds a notice as a commit does.
func (f *fake) keep(b *Outbox, bucket cluster.BucketID, to string, at time.Time) store.NoticeRef {
	f.mu.Lock()
	f.counter++
	ref := store.NoticeRef{Bucket: bucket, Key: cluster.ObjectKey(fmt.Sprintf("k%d", f.counter)), Generation: cluster.Generation{Epoch: 3, Counter: f.counter}}
	f.kept[ref] = &store.Told{
		Notice: store.Notice{To: to, Rule: "rule", Event: s3.EventPut.String(), Remote: "10.0.0.1"}, Ref: ref, Request: "r",
		About: store.Info{Key: ref.Key, Size: 5, ETag: "e", VersionID: "v", Owner: "key", Modified: at},
	}
	f.mu.Unlock()
	if b != nil {
		b.Add(ref, to)
	}
	return ref
}

func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func stats(b *Outbox, to string) Stats {
	all := b.Stats()
	i := slices.IndexFunc(all, func(s Stats) bool { return s.Destination == to })
	if i < 0 {
		return Stats{}
	}
	return all[i]
}

func TestOutbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		for range 2 * window { // from before a restart: more than are known at a time
			f.keep(nil, 7, "hook", time.Now())
		}
		b := f.outbox(time.Now)
		defer b.Close()
		f.set(func() { f.lease = errors.New("no lease") })
		b.Look()
		time.Sleep(time.Second)
		synctest.Wait()
		if len(f.sent) > 0 {
			t.Fatal("sent without a lease")
		}
		f.set(func() { f.lease = nil })
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(f.sent["hook"]); n != 2*window || len(f.kept) > 0 {
			t.Fatalf("%d were sent, %d are left", n, len(f.kept))
		}

		// one that is down keeps nobody else from being told
		f.set(func() { f.down["dead"] = errors.New("down"); f.sent, f.bodies = make(map[string][]string), nil })
		for range 3 {
			f.keep(b, 7, "dead", time.Now())
			f.keep(b, 7, "hook", time.Now())
		}
		f.keep(b, 8, "hook", time.Now()) // whose bucket is gone
		time.Sleep(time.Second)
		synctest.Wait()
		if n := len(f.sent["hook"]); n != 3 || len(f.kept) != 3 {
			t.Fatalf("%d were sent, %d are left", n, len(f.kept))
		}
		if s := stats(b, "dead"); s.Waiting != 3 || s.Failed == 0 || s.Sent != 0 {
			t.Fatalf("%+v", s)
		}
		time.Sleep(30 * time.Minute)
		f.set(func() { delete(f.down, "dead") })
		time.Sleep(retryLast + time.Second)
		synctest.Wait()
		if got := f.sent["dead"]; len(got) != 3 || !slices.IsSorted(got) || len(f.kept) > 0 {
			t.Fatalf("%v, %d are left", got, len(f.kept))
		}
		var message struct {
			Records []struct {
				EventName string
				S3        struct {
					Object struct {
						Key, ETag, VersionID, Sequencer string
						Size                            int64
					}
				}
			}
		}
		if err := json.Unmarshal([]byte(f.bodies[len(f.bodies)-1]), &message); err != nil {
			t.Fatal(err)
		}
		if o := message.Records[0].S3.Object; o.Size != 5 || o.ETag != "e" || o.VersionID != "v" || len(o.Sequencer) != 32 || message.Records[0].EventName != "ObjectCreated:Put" {
			t.Fatalf("%+v", message)
		}
	})
}

func TestDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.queue = 2
		b := f.outbox(time.Now)
		defer b.Close()
		f.set(func() { f.down["dead"] = errors.New("down") })
		for i := range 4 {
			if admitted := b.Admits("dead"); admitted != (i < 2) {
				t.Fatalf("%d: %v", i, admitted)
			} else if admitted {
				f.keep(b, 7, "dead", time.Now())
			}
		}
		if s := stats(b, "dead"); s.Dropped != 2 || s.Waiting != 2 {
			t.Fatalf("%+v", s)
		}
		time.Sleep(2 * time.Hour) // longer than they are kept
		synctest.Wait()
		if s := stats(b, "dead"); s.Dropped != 4 || s.Waiting != 0 || len(f.kept) > 0 {
			t.Fatalf("%+v, %d are left", s, len(f.kept))
		}
	})
}

// letters returns the keys of the dead letters, and why they are.
func letters(t *testing.T, b *Outbox) map[cluster.ObjectKey]string {
	t.Helper()
	list, more, err := b.Dead(context.Background())
	if err != nil || more > 0 {
		t.Fatal(more, err)
	}
	all := make(map[cluster.ObjectKey]string)
	for _, l := range list {
		all[l.Key] = l.Why
	}
	return all
}

func (b *Outbox) wantDead(t *testing.T, to string, dead, waiting int, dropped int64, kept int) {
	t.Helper()
	if s := stats(b, to); s.Dead != dead || s.Waiting != waiting || s.Dropped != dropped {
		t.Fatalf("%+v, want %d dead, %d waiting, %d dropped", s, dead, waiting, dropped)
	}
	if n := len(letters(t, b)); n != kept {
		t.Fatalf("%d dead letters in the index, want %d", n, kept)
	}
}

// TestTooOld: what waits too long is a dead letter, as far as there is room, until it is sent by hand or its time is over.
func TestTooOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.dead = 3
		b := f.outbox(time.Now)
		f.set(func() { f.down["hook"] = errors.New("down") })
		for range 5 {
			f.keep(b, 7, "hook", time.Now())
		}
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		b.wantDead(t, "hook", 0, 5, 0, 0)
		time.Sleep(time.Hour)
		synctest.Wait()
		b.wantDead(t, "hook", 3, 0, 2, 3)
		b.Close()
		b = f.outbox(time.Now) // a restart, or another owner
		defer func() { b.Close() }()
		b.Look()
		f.keep(b, 7, "other", time.Now())
		time.Sleep(time.Minute)
		synctest.Wait()
		b.wantDead(t, "hook", 3, 0, 0, 3)
		if sent, left, err := b.SendDead(context.Background(), ""); sent != 0 || left != 3 || err == nil {
			t.Fatal(sent, left, err)
		}
		f.set(func() { clear(f.down) })
		time.Sleep(time.Hour)
		synctest.Wait()
		b.wantDead(t, "hook", 3, 0, 0, 3) // nobody sends them by himself
		if sent, left, err := b.SendDead(context.Background(), "other"); sent != 0 || left != 0 || err != nil {
			t.Fatal(sent, left, err)
		}
		f.set(func() { f.down["gone"] = cluster.Fail("", "gone", cluster.KindNotFound, "no such destination") })
		lost := f.keep(nil, 7, "gone", time.Now())
		if sent, left, err := b.SendDead(context.Background(), ""); sent != 3 || left != 1 || !cluster.Is(err, cluster.KindNotFound) { // one that is gone holds up no other
			t.Fatal(sent, left, err)
		}
		f.set(func() { delete(f.kept, lost); clear(f.down) })
		if sent, left, err := b.SendDead(context.Background(), "hook"); sent != 0 || left != 0 || err != nil {
			t.Fatal(sent, left, err)
		}
		b.wantDead(t, "hook", 0, 0, 0, 0)
		if len(f.sent["hook"]) != 3 || len(f.kept) > 0 {
			t.Fatal(f.sent, len(f.kept))
		}

		f.keep(nil, 7, "hook", time.Now().Add(-2*time.Hour))
		f.keep(nil, 7, "hook", time.Now().Add(-20*time.Hour))
		b.Look()
		synctest.Wait()
		b.wantDead(t, "hook", 2, 0, 0, 2)
		time.Sleep(6 * time.Hour)
		synctest.Wait()
		b.wantDead(t, "hook", 1, 0, 1, 1)
		if dropped, left, err := b.DropDead(context.Background(), ""); dropped != 1 || left != 0 || err != nil {
			t.Fatal(dropped, left, err)
		}
		b.wantDead(t, "hook", 0, 0, 2, 0)
	})
}

// TestRefused: a message that is refused for good keeps no other from being sent.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.dead, f.bad = 1, "k2"
		for range 5 {
			f.keep(nil, 7, "hook", time.Now())
		}
		b := f.outbox(time.Now)
		defer b.Close()
		b.Look()
		time.Sleep(2 * lookEvery)
		synctest.Wait()
		b.wantDead(t, "hook", 1, 0, 0, 1)
		if why := letters(t, b)["k2"]; !strings.Contains(why, "too odd") || len(f.sent["hook"]) != 4 {
			t.Fatal(why, f.sent)
		}
		if sent, left, err := b.SendDead(context.Background(), ""); sent != 0 || left != 1 || err != nil {
			t.Fatal(sent, left, err)
		}
		f.set(func() { f.bad = "k7" })
		for range 2 {
			f.keep(b, 7, "hook", time.Now()) // for the second there is no room: it waits
		}
		time.Sleep(2 * lookEvery)
		synctest.Wait()
		b.wantDead(t, "hook", 1, 1, 0, 1)
		if sent, left, err := b.SendDead(context.Background(), ""); sent != 1 || left != 0 || err != nil {
			t.Fatal(sent, left, err)
		}
		time.Sleep(2 * lookEvery)
		synctest.Wait()
		b.wantDead(t, "hook", 1, 0, 0, 1)
		f.set(func() { delete(f.kept, refOf(f, "k7")) }) // its slot is another node's now
		time.Sleep(2 * lookEvery)
		synctest.Wait()
		b.wantDead(t, "hook", 0, 0, 0, 0)
		if q := b.queues["hook"]; len(q.refused) > 0 {
			t.Fatal(q.refused)
		}
	})
}

func refOf(f *fake, key cluster.ObjectKey) store.NoticeRef {
	for ref := range f.kept {
		if ref.Key == key {
			return ref
		}
	}
	return store.NoticeRef{}
}

// TestNoDestination: what is for a destination that is taken out of the setting waits as a dead letter, and is sent when it is back.
func TestNoDestination(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		b := f.outbox(time.Now)
		defer b.Close()
		f.set(func() { f.down["gone"] = cluster.Fail("", "gone", cluster.KindNotFound, "no such destination") })
		f.keep(b, 7, "gone", time.Now())
		f.keep(b, 8, "gone", time.Now()) // whose bucket is gone, too
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		if s := stats(b, "gone"); s.Dead != 1 || s.Waiting != 0 || s.Dropped != 0 || s.Failed > 2 {
			t.Fatalf("%+v", s)
		}
		if why := letters(t, b)["k1"]; why != "there is no such destination" {
			t.Fatal(why)
		}
		f.set(func() { clear(f.down) })
		time.Sleep(2 * lookEvery)
		synctest.Wait()
		if s := stats(b, "gone"); s.Dead != 0 || s.Sent != 1 || len(f.kept) > 0 {
			t.Fatalf("%+v", s)
		}
	})
}
