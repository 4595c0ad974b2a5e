package store

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/s3/lifecycle"
	"github.com/aisle-store/aisle/target/internal/meta"
	"github.com/aisle-store/aisle/xact"
)

// testRules are the rules of one bucket, and the time, as a test sets them.
type testRules struct {
	mu     sync.Mutex
	bucket cluster.BucketEntry
	rules  *lifecycle.Configuration
	print  uint64
	now    time.Time
}

func newTestRules() *testRules {
	return &testRules{now: time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)}
}

func (r *testRules) Expiring() ([]Expiring, uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rules == nil {
		return nil, r.print
	}
	return []Expiring{{Bucket: r.bucket, Rules: r.rules}}, r.print
}

func (r *testRules) Rules(cluster.BucketID) (cluster.BucketEntry, *lifecycle.Configuration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bucket, r.rules
}

func (r *testRules) Clock() lifecycle.Clock { return lifecycle.Clock{} }

// set has the rules apply to a bucket.
func (r *testRules) set(bucket cluster.BucketEntry, rules ...lifecycle.Rule) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bucket, r.rules = bucket, &lifecycle.Configuration{Rules: rules}
	r.print++
}

func (r *testRules) time() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *testRules) pass(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

const testDay = 24 * time.Hour

// expireNow returns when passes have ended that began after it was called, one on each mountpath at least.
func (s *Store) expireNow(t testing.TB) {
	t.Helper()
	for range 2 { // the first to end may have begun before
		want := s.o.Jobs.Moved()[xact.Lifecycle].Ended + int64(len(s.mounted()))
		s.StartLifecycle()
		for deadline := time.Now().Add(20 * time.Second); s.o.Jobs.Moved()[xact.Lifecycle].Ended < want; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("no pass ends")
			}
		}
	}
}

func newExpiryBed(t testing.TB, fs vfs.FS, mountpaths int) (*bed, *testRules) {
	rules := newTestRules()
	b := newBed(t, fs, mountpaths, func(o *Options) {
		o.InlineMax = 64
		o.Now, o.Lifecycle = rules.time, rules
	})
	return b, rules
}

func prefixed(p string) *lifecycle.Filter { return &lifecycle.Filter{Prefix: &p} }

func expiresAfter(days int) *lifecycle.Expiration { return &lifecycle.Expiration{Days: days} }

// TestExpire removes objects and uploads when they are due, not before, and gives their space back.
func TestExpire(t *testing.T) {
	b, rules := newExpiryBed(t, vfs.NewMem(), 2)
	defer b.close()
	ctx := context.Background()
	for i := range 20 {
		b.put(fmt.Sprintf("logs/%d", i), pattern(i, 100_000))
	}
	b.put("kept", pattern(1, 100_000))
	tagged := b.putRequest("logs/tagged", pattern(2, 100))
	tagged.Tags = []Pair{{Name: "keep", Value: "no"}}
	if _, err := b.store.Put(ctx, tagged); err != nil {
		t.Fatal(err)
	}
	upload := func(key string) cluster.UploadID {
		id, err := b.store.CreateUpload(ctx, &CreateUploadRequest{Call: b.call(key), Bucket: b.bucket, Key: cluster.ObjectKey(key)})
		if err == nil {
			_, err = b.store.PutPart(ctx, &PutPartRequest{Call: b.call(key), Bucket: b.bucket, Key: cluster.ObjectKey(key), Upload: id, Number: 1, Body: bytes.NewReader(pattern(9, 200_000)), Size: -1})
		}
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	upload("up/a")
	upload("up/a")
	upload("else")
	count := func() (objects, uploads int) {
		for _, err := range b.store.List(ctx, b.listRequest()) {
			if err != nil {
				t.Fatal(err)
			}
			objects++
		}
		for _, err := range b.store.Uploads(ctx, b.listRequest()) {
			if err != nil {
				t.Fatal(err)
			}
			uploads++
		}
		return objects, uploads
	}
	want := func(objects, uploads int, expired Expired) {
		t.Helper()
		b.store.expireNow(t)
		if o, u := count(); o != objects || u != uploads {
			t.Fatalf("%d objects and %d uploads, want %d and %d", o, u, objects, uploads)
		}
		if got := b.store.Expired(); got != expired {
			t.Fatalf("expired: %+v, want %+v", got, expired)
		}
	}
	want(22, 3, Expired{})
	rules.set(b.bucket,
		lifecycle.Rule{ID: "off", Disabled: true, Filter: prefixed(""), Expiration: expiresAfter(1)},
		lifecycle.Rule{ID: "tag", Filter: &lifecycle.Filter{Tags: []lifecycle.Tag{{Name: "keep", Value: "no"}}}, Expiration: expiresAfter(1)},
		lifecycle.Rule{ID: "logs", Filter: prefixed("logs/"), Expiration: expiresAfter(3)},
		lifecycle.Rule{ID: "uploads", Filter: prefixed("up/"), AbortDays: 2})
	want(22, 3, Expired{})
	rules.pass(testDay + testDay/2 - time.Nanosecond) // a moment before the second midnight
	want(22, 3, Expired{})
	rules.pass(time.Nanosecond)
	want(21, 3, Expired{Current: 1})
	rules.pass(testDay)
	want(21, 1, Expired{Current: 1, Uploads: 2})
	rules.pass(testDay)
	want(1, 1, Expired{Current: 21, Uploads: 2})
	b.drain()
	var extents int64
	for _, m := range b.store.mounted() {
		extents += m.disk.Stats().Extents
	}
	if extents != 2 { // of the object and the part that stay
		t.Errorf("%d extents are left", extents)
	}
	if b.failures.Load() > 0 {
		t.Errorf("%d failures", b.failures.Load())
	}
}

// TestExpireByItself passes midnight, sets a rule, and restarts in the middle of a pass: nobody asks for anything.
func TestExpireByItself(t *testing.T) {
	b, rules := newExpiryBed(t, vfs.NewMem(), 1)
	defer func() { b.close() }()
	gone := func(key string) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			if _, _, err := b.read(b.getRequest(key)); cluster.Is(err, cluster.KindObjectNotFound) {
				return
			}
		}
		t.Fatalf("%s is still there", key)
	}
	b.put("a", pattern(1, 100))
	rules.pass(10 * testDay)
	rules.set(b.bucket, lifecycle.Rule{ID: "r", Filter: prefixed(""), Expiration: expiresAfter(1)})
	gone("a")
	b.put("b", pattern(1, 100))
	b.store.expireNow(t)
	b.get("b")
	rules.pass(2 * testDay)
	gone("b")

	b.put("c", pattern(1, 100))
	b.store.expireNow(t)
	b.close()
	b.o.Lifecycle = nil // the pass must not be over before its state is looked at
	b.start()
	m := b.store.mounted()[0]
	e := newExpirer()
	if err := e.load(m.index); err != nil || e.state.Cursor != nil || e.state.Began.IsZero() {
		t.Fatalf("state %+v, %v", e.state, err)
	}
	rules.pass(2 * testDay)
	e.state.Began, e.state.Cursor = rules.time(), &expiryCursor{Bucket: b.bucket.ID} // as a crash in the middle leaves it
	if err := e.save(m.index); err != nil {
		t.Fatal(err)
	}
	b.o.Lifecycle = rules
	b.restart()
	gone("c")
}

// TestExpireJudged removes what was judged, and nothing else.
func TestExpireJudged(t *testing.T) {
	b, rules := newExpiryBed(t, vfs.NewMem(), 1)
	defer b.close()
	b.versioning(cluster.VersioningEnabled)
	// What is tried here has expired by a rule that no pass carries out: the object is too young.
	rules.set(b.bucket, lifecycle.Rule{ID: "r", Filter: prefixed("none"), Expiration: expiresAfter(1)})
	of := func() *Expiring {
		all, _ := rules.Expiring()
		return &all[0]
	}
	judged := func(key string) *meta.Record {
		m := b.store.mounted()[0]
		current, tombstone, err := b.store.visibleNow(m, name{bucket: &b.bucket, key: cluster.ObjectKey(key)}, (*meta.Index).Peek)
		if err != nil {
			t.Fatal(err)
		}
		return newest(current, tombstone)
	}
	refused := func(e *Expiring, r *meta.Record, alone bool) {
		t.Helper()
		if _, err := b.store.expireVersion(e, r, alone); !cluster.Is(err, cluster.KindConflict) {
			t.Errorf("%v, want a conflict", err)
		}
	}
	b.put("a", pattern(1, 100))
	old := judged("a")
	b.put("a", pattern(2, 100))
	refused(of(), old, false) // it is not current any more
	if got := b.get("a"); !bytes.Equal(got, pattern(2, 100)) {
		t.Error("another version is current")
	}
	update := &UpdateRequest{Call: b.call("a"), Bucket: b.bucket, Key: "a", KeepModified: true, Edit: func(md *Metadata) { md.Tags = []Pair{{Name: "keep", Value: "yes"}} }}
	now := judged("a")
	if _, err := b.store.Update(context.Background(), update); err != nil {
		t.Fatal(err)
	}
	refused(of(), now, false) // it has other tags

	before := of()
	rules.set(b.bucket)
	refused(before, judged("a"), false) // by a rule that there was
	b.get("a")

	// A bucket that has got versions meanwhile loses nothing.
	b.versioning(cluster.VersioningOff)
	rules.set(b.bucket)
	e := of()
	b.put("b", pattern(1, 100))
	r := judged("b")
	b.versioning(cluster.VersioningEnabled)
	rules.mu.Lock()
	rules.bucket = b.bucket
	rules.mu.Unlock()
	if marked, err := b.store.expireVersion(e, r, false); err != nil || !marked {
		t.Fatalf("marked %v, %v", marked, err)
	}
	marker := judged("b")
	if !marker.Marker {
		t.Fatal("no delete marker")
	}
	refused(of(), marker, true) // there is a version beneath it
	b.store.expireNow(t)
	if _, err := b.store.Delete(context.Background(), &DeleteRequest{Call: b.call("b"), Bucket: b.bucket, Key: "b", Version: nullVersion}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.store.expireVersion(of(), marker, true); err != nil {
		t.Fatal(err)
	}
	if judged("b").Marker {
		t.Error("the marker is still there")
	}
}

// TestExpireLocked lets versions expire that are retained: they stay until they are not.
func TestExpireLocked(t *testing.T) {
	b, rules := newExpiryBed(t, vfs.NewMem(), 1)
	defer b.close()
	b.versioning(cluster.VersioningEnabled)
	r := b.putRequest("a", pattern(1, 100))
	r.Lock = Lock{Mode: cluster.LockCompliance, Until: rules.time().Add(5 * testDay)}
	locked, err := b.store.Put(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	rules.pass(time.Minute)
	b.put("a", pattern(2, 100))
	rules.set(b.bucket, lifecycle.Rule{ID: "all", Filter: prefixed(""), Expiration: expiresAfter(1), Noncurrent: &lifecycle.Noncurrent{Days: 1}})
	there := func() bool {
		q := b.getRequest("a")
		q.Version = locked.VersionID
		_, _, err := b.read(q)
		if err != nil && !cluster.Is(err, cluster.KindVersionNotFound) {
			t.Fatal(err)
		}
		return err == nil
	}
	for range 4 {
		rules.pass(testDay)
		b.store.expireNow(t)
		if !there() {
			t.Fatal("a version went that is retained")
		}
	}
	if m := b.store.mounted()[0]; b.failures.Load() > 0 {
		t.Errorf("%d failures on %s", b.failures.Load(), m.ID)
	}
	rules.pass(2 * testDay)
	b.store.expireNow(t)
	if there() {
		t.Error("the version is still there")
	}
}

// expiryModel is what a bucket with versions must be while they expire.
type expiryModel struct {
	*bed
	t     *testing.T
	r     *rand.Rand
	rules *testRules
	keys  map[string][]expiringVersion // the newest first
	rule  []lifecycle.Rule
}

type expiringVersion struct {
	id     cluster.VersionID
	at     time.Time
	marker bool
}

// TestExpireVersions lets versions of few keys expire, by rules and at times of chance, while versions are suspended and enabled and the
// process crashes, and compares with a model.
func TestExpireVersions(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			mem := vfs.NewCrashableMem()
			m := &expiryModel{t: t, r: rand.New(rand.NewPCG(seed, 3)), keys: make(map[string][]expiringVersion)}
			m.bed, m.rules = newExpiryBed(t, mem, 1+m.r.IntN(2))
			defer func() { m.close() }()
			m.write()
			for range 12 {
				m.versioning([]cluster.Versioning{cluster.VersioningEnabled, cluster.VersioningEnabled, cluster.VersioningSuspended}[m.r.IntN(3)])
				for range m.r.IntN(12) {
					m.write()
				}
				m.rules.pass(time.Duration(m.r.IntN(80)) * time.Hour)
				m.choose()
				m.expect()
				m.expect() // a delete marker that was made is one more version
				m.store.expireNow(t)
				m.verify()
				m.rules.set(m.bucket) // while more is written nothing expires
				if m.r.IntN(4) == 0 {
					clone := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: m.r.IntN(2) * 100, RNG: m.r})
					m.close()
					mem, m.fs = clone, clone
					m.start()
					m.verify()
				}
			}
			// Everything goes in the end.
			m.rules.set(m.bucket, lifecycle.Rule{ID: "all", Filter: prefixed(""), Expiration: expiresAfter(1), Noncurrent: &lifecycle.Noncurrent{Days: 1}})
			for range 3 {
				m.rules.pass(2 * testDay)
				m.store.expireNow(t)
			}
			clear(m.keys)
			m.verify()
			m.restart()
			m.drain()
			for _, mp := range m.store.mounted() {
				if st := mp.disk.Stats(); st.Extents != 0 {
					t.Fatalf("%d extents are left", st.Extents)
				}
			}
		})
	}
}

// write makes a version, or a delete marker.
func (m *expiryModel) write() {
	m.rules.pass(time.Duration(1+m.r.IntN(40)) * time.Minute)
	key := versionKeys[m.r.IntN(len(versionKeys))]
	v := expiringVersion{at: m.rules.time()}
	if m.bucket.Props.Versioning != cluster.VersioningOff && m.r.IntN(4) == 0 {
		d, err := m.store.Delete(context.Background(), &DeleteRequest{Call: m.call(key), Bucket: m.bucket, Key: cluster.ObjectKey(key)})
		if err != nil {
			m.t.Fatal(err)
		}
		v.id, v.marker = d.Version, true
	} else {
		v.id = m.put(key, pattern(m.r.IntN(1000), []int{10, 5000}[m.r.IntN(2)])).VersionID
	}
	m.add(key, v)
}

func (m *expiryModel) add(key string, v expiringVersion) {
	if m.bucket.Props.Versioning != cluster.VersioningEnabled {
		m.keys[key] = slices.DeleteFunc(m.keys[key], func(o expiringVersion) bool { return o.id == nullVersion })
	}
	m.keys[key] = slices.Insert(m.keys[key], 0, v)
}

// choose sets rules.
func (m *expiryModel) choose() {
	m.rule = []lifecycle.Rule{{ID: "0", Filter: prefixed([]string{"", "a", "a/"}[m.r.IntN(3)])}}
	yes := true
	if m.r.IntN(2) == 0 {
		m.rule[0].Expiration = expiresAfter(1 + m.r.IntN(3))
	} else {
		m.rule[0].Expiration = &lifecycle.Expiration{Marker: &yes}
	}
	if m.r.IntN(2) == 0 {
		m.rule[0].Noncurrent = &lifecycle.Noncurrent{Days: 1 + m.r.IntN(2), Keep: m.r.IntN(3)}
	}
	m.rules.set(m.bucket, m.rule...)
}

// expect is what a pass does, to the model.
func (m *expiryModel) expect() {
	now := m.rules.time()
	due := func(at time.Time, days int) bool {
		midnight := at.Truncate(testDay)
		if !midnight.Equal(at) {
			midnight = midnight.Add(testDay)
		}
		return !midnight.Add(time.Duration(days) * testDay).After(now)
	}
	rule := m.rule[0]
	for key, versions := range m.keys {
		if len(versions) == 0 || !strings.HasPrefix(key, *rule.Filter.Prefix) {
			continue
		}
		kept := []expiringVersion{versions[0]}
		for i := 1; i < len(versions); i++ {
			if n := rule.Noncurrent; n == nil || !due(versions[i-1].at, n.Days) || i-1 < n.Keep {
				kept = append(kept, versions[i])
			}
		}
		m.keys[key] = kept
		current, days := versions[0], rule.Expiration.Days
		switch {
		case !current.marker && days > 0 && due(current.at, days):
			v := expiringVersion{at: now, marker: true, id: nullVersion}
			if m.bucket.Props.Versioning == cluster.VersioningEnabled {
				v.id = "?" // the list will tell
			}
			m.add(key, v)
		case current.marker && len(kept) == 1 && (days == 0 || due(current.at, days)):
			m.keys[key] = nil
		}
	}
}

// verify compares the list of all versions with the model.
func (m *expiryModel) verify() {
	m.t.Helper()
	want := make(map[string][]string)
	for key, versions := range m.keys {
		for _, v := range versions {
			want[key] = append(want[key], fmt.Sprint(v.id, v.marker))
		}
	}
	got := make(map[string][]string)
	for e, err := range m.store.Versions(context.Background(), m.listRequest()) {
		if err != nil {
			m.t.Fatal(err)
		}
		key := string(e.Key)
		if versions := m.keys[key]; e.Latest && len(versions) > 0 && versions[0].id == "?" {
			versions[0].id = e.VersionID
			want[key][0] = fmt.Sprint(e.VersionID, versions[0].marker)
		}
		got[key] = append(got[key], fmt.Sprint(e.VersionID, e.Marker))
	}
	for _, key := range versionKeys {
		if !slices.Equal(got[key], want[key]) {
			m.t.Fatalf("%s: %v, want %v\nrules %+v, %+v", key, got[key], want[key], m.rule[0].Expiration, m.rule[0].Noncurrent)
		}
	}
	if m.failures.Load() > 0 || m.corrupt.Load() > 0 {
		m.t.Fatalf("%d failures, %d corruptions", m.failures.Load(), m.corrupt.Load())
	}
}

// TestSeveralExpireFresh writes few keys while they expire, days pass, owners crash and slots move: what was written stays until it
// is due, whatever had expired at its key before.
func TestSeveralExpireFresh(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rules := newTestRules()
			s := newSeveral(t, 3, 3, func(o *Options) { o.Lifecycle, o.Now = rules, rules.time })
			rules.set(s.bucket, lifecycle.Rule{ID: "r", Filter: prefixed(""), Expiration: expiresAfter(1)})
			stop := make(chan struct{})
			var work sync.WaitGroup
			during := func(every time.Duration, do func()) {
				work.Go(func() {
					for {
						select {
						case <-stop:
							return
						case <-time.After(every):
							do()
						}
					}
				})
			}
			during(5*time.Millisecond, func() { rules.pass(4 * time.Hour) })
			during(3*time.Millisecond, func() {
				for _, p := range s.running() {
					p.store.StartLifecycle()
				}
			})
			var gone, kept atomic.Int64
			for i := range versionKeys {
				r, key := rand.New(rand.NewPCG(seed, uint64(i))), versionKeys[i]
				during(time.Millisecond, func() {
					before, data := rules.time(), pattern(r.IntN(1000), []int{10, 6000}[r.IntN(2)])
					s.put(key, data)
					for range r.IntN(10) {
						got, err := s.tryGet(key)
						due := before.Add(testDay - 1).Truncate(testDay).Add(testDay) // or later: it may have been written after before
						switch {
						case cluster.Is(err, cluster.KindObjectNotFound):
							if now := rules.time(); now.Before(due) {
								t.Errorf("%s, written after %s, is gone at %s", key, before, now)
							}
							gone.Add(1)
							return
						case err == nil && !bytes.Equal(got, data):
							t.Errorf("%s has other bytes", key)
						case err == nil:
							kept.Add(1)
						}
						time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
					}
				})
			}
			late := s.disturb(rand.New(rand.NewPCG(seed, 99)), 2*time.Second)
			s.heal()
			close(stop)
			work.Wait()
			late.Wait()
			t.Logf("seen %d times, gone %d times", kept.Load(), gone.Load())
		})
	}
}

// TestSeveralExpire lets objects with copies expire while their owners crash, and slots move: no node keeps anything of them.
func TestSeveralExpire(t *testing.T) {
	rules := newTestRules()
	s := newSeveral(t, 3, 3, func(o *Options) { o.Lifecycle, o.Now = rules, rules.time })
	for i := range 60 {
		s.put(fmt.Sprintf("logs/%d", i), pattern(i, 20_000))
	}
	kept := s.put("kept", pattern(1, 20_000))
	before := s.placed()
	rules.pass(3 * testDay)
	rules.set(s.bucket, lifecycle.Rule{ID: "r", Filter: prefixed("logs/"), Expiration: expiresAfter(1)})
	s.crash(nodeIDs[0])
	s.start(nodeIDs[0])
	s.promote(nodeIDs[1], "")
	s.eventually("what has expired is gone", func() bool {
		for i := range 60 {
			if _, err := s.tryGet(fmt.Sprintf("logs/%d", i)); !cluster.Is(err, cluster.KindObjectNotFound) {
				for _, p := range s.running() {
					p.store.StartLifecycle()
				}
				return false
			}
		}
		return true
	})
	for round := 0; s.placed() != before/61; round++ {
		if round == 10 {
			t.Fatalf("%d bytes are in use, want %d", s.placed(), before/61)
		}
		for wait := 0; wait < 200 && s.placed() != before/61; wait++ {
			time.Sleep(10 * time.Millisecond)
		}
		s.promote(nodeIDs[round%3], "") // who missed a decision learns it as an owner
	}
	if got := s.get("kept"); int64(len(got)) != kept.Size {
		t.Errorf("%d bytes", len(got))
	}
}
