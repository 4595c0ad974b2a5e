package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeebo/xxh3"
	"golang.org/x/sync/errgroup"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/s3/lifecycle"
	"github.com/aisle-store/aisle/target/internal/meta"
	"github.com/aisle-store/aisle/xact"
)

// The rules by which what lies in buckets expires are carried out by each owner of slots, mountpath by mountpath: a pass looks
// at all keys that a rule may be about, some at a time, and removes what is due by turns at the keys like those of clients. A
// turn removes what was judged and nothing else: it names the generation. How far a pass has come is kept in the index
// (expirystate.go).

const (
	expireLook   = 4096 // keys, or uploads, that are looked at in one scan
	expireFind   = 256  // of them, to be removed or looked at more closely, before the scan is ended
	expireGlance = 256  // what a look costs, in bytes
)

// Expiring is a bucket in which something may expire.
type Expiring struct {
	Bucket cluster.BucketEntry
	Rules  *lifecycle.Configuration
}

// Lifecycle tells what expires, by what this node has applied.
type Lifecycle interface {
	// Expiring returns the buckets that have rules, ordered by id, and a number that changes with them.
	Expiring() (buckets []Expiring, print uint64)
	// Rules returns a bucket as it is now, and its rules: the very ones that Expiring returns, until they change; nil for none.
	Rules(id cluster.BucketID) (cluster.BucketEntry, *lifecycle.Configuration)
	Clock() lifecycle.Clock
}

// Expired is how much has expired since the process started.
type Expired struct {
	Current    int64 // current versions, removed or hidden by a delete marker
	Noncurrent int64 // versions that were not current
	Markers    int64 // delete markers that had nothing beneath them
	Uploads    int64 // that were aborted
}

// expiredCount counts what has expired.
type expiredCount struct{ current, noncurrent, markers, uploads atomic.Int64 }

// Expired returns how much has expired here.
func (s *Store) Expired() Expired {
	e := &s.gone
	return Expired{Current: e.current.Load(), Noncurrent: e.noncurrent.Load(), Markers: e.markers.Load(), Uploads: e.uploads.Load()}
}

// expiryPass is one pass over a mountpath, or what is left of it.
type expiryPass struct {
	store  *Store
	m      *mountpath
	job    *xact.Run
	missed atomic.Bool // something could not be looked at, or could not be removed
}

// step goes on from a cursor in a bucket, and returns where the next step begins; nil when the bucket is done.
func (p *expiryPass) step(ctx context.Context, b *Expiring, from *expiryCursor) (*expiryCursor, error) {
	if !from.Uploads {
		if !b.Rules.Expiring() {
			return &expiryCursor{Bucket: from.Bucket, Uploads: true}, nil
		}
		found, next, err := p.findKeys(ctx, b, from)
		if err == nil {
			err = p.each(ctx, len(found), func(ctx context.Context, i int) error { return p.expireKey(ctx, b, &found[i]) })
		}
		return next, err
	}
	if !b.Rules.Aborting() {
		return nil, nil
	}
	found, next, err := p.findUploads(ctx, b, from)
	if err == nil {
		err = p.each(ctx, len(found), func(ctx context.Context, i int) error { return p.abort(ctx, b, found[i]) })
	}
	return next, err
}

// each calls do for some things, a few at the same time.
func (p *expiryPass) each(ctx context.Context, n int, do func(context.Context, int) error) error {
	work, inside := errgroup.WithContext(ctx)
	work.SetLimit(p.store.pacer.Parallel())
	for i := range n {
		work.Go(func() error { return do(inside, i) })
	}
	return work.Wait()
}

// hidden returns what a scan for expired things passes over: what is not visible, or is not this node's to judge.
func (p *expiryPass) hidden() (func(meta.Ref) bool, error) {
	active := p.store.slots.active.Load()
	if active == nil {
		return nil, fmt.Errorf("no slots are served: %w", xact.ErrStopped)
	}
	return func(ref meta.Ref) bool { return p.store.elsewhere(active, ref) || p.store.notShown(p.m, ref) }, nil
}

// foundKey is a key of which something may have expired.
type foundKey struct {
	key  cluster.ObjectKey
	only *meta.Record // its only version, which has expired; nil: all its versions have to be looked at
}

// findKeys looks at the next keys.
func (p *expiryPass) findKeys(ctx context.Context, b *Expiring, from *expiryCursor) (found []foundKey, next *expiryCursor, err error) {
	s, looked, now := p.store, 0, p.store.o.Now()
	clock := s.o.Lifecycle.Clock()
	defer func() {
		if err == nil && !s.yield(ctx, int64(looked)*expireGlance) {
			err = ctx.Err()
		}
	}()
	for _, prefix := range b.Rules.Prefixes() {
		if from.Key != "" && from.Key >= successor(prefix) {
			continue
		}
		last, err := p.scanKeys(ctx, &ListRequest{Bucket: b.Bucket, Prefix: prefix, After: from.Key}, func(h *versionHead, key cluster.ObjectKey) bool {
			looked++
			only := h.alone(key)
			if only == nil {
				found = append(found, foundKey{key: key})
			} else if at, rule := b.Rules.Expires(versionOf(only), clock); rule != nil && !at.After(now) {
				found = append(found, foundKey{key: key, only: only})
			}
			return looked < expireLook && len(found) < expireFind
		})
		if err != nil {
			return nil, nil, err
		}
		if last != "" {
			return found, &expiryCursor{Bucket: from.Bucket, Key: string(last)}, nil
		}
	}
	return found, &expiryCursor{Bucket: from.Bucket, Uploads: true}, nil
}

// scanKeys calls look for the keys of a range until it returns false, and returns the last key then; else "".
func (p *expiryPass) scanKeys(ctx context.Context, r *ListRequest, look func(*versionHead, cluster.ObjectKey) bool) (cluster.ObjectKey, error) {
	const op = "target/store.scanKeys"
	s, n := p.store, name{bucket: &r.Bucket}
	inside, err := s.enter(s.readers, op, n)
	if err != nil {
		return "", err
	}
	defer s.readers.leave(inside)
	hidden, err := p.hidden()
	if err != nil {
		return "", err
	}
	release := sync.OnceFunc(s.still())
	defer release()
	h := newVersionHead(ctx, s, p.m, r, hidden)
	defer h.close()
	if err := h.read(); err != nil {
		return "", s.readFailed(op, n, p.m, err)
	}
	release()
	for !h.ended() {
		key := h.key()
		if !look(h, key) {
			return key, nil
		}
		if err := h.pass(key); err != nil {
			return "", s.readFailed(op, n, p.m, err)
		}
	}
	return "", nil
}

// versionOf is what rules look at of a record.
func versionOf(r *meta.Record) *lifecycle.Version {
	v := &lifecycle.Version{Key: r.Key, Size: r.Size, Modified: r.Modified}
	for _, tag := range r.Tags {
		v.Tags = append(v.Tags, lifecycle.Tag(tag))
	}
	return v
}

// expireKey removes what has expired of a key.
func (p *expiryPass) expireKey(ctx context.Context, b *Expiring, c *foundKey) error {
	if c.only != nil {
		_, err := p.remove(ctx, b, c.only, false)
		return err
	}
	k := &keyExpiry{
		pass: p, bucket: b, head: &versionHead{store: p.store, m: p.m, r: &ListRequest{Bucket: b.Bucket}},
		now: p.store.o.Now(), clock: p.store.o.Lifecycle.Clock(),
	}
	for below := ^uint64(0); ; {
		some, last, err := k.some(c.key, below)
		if err != nil {
			return p.trouble(c.key, err)
		}
		for _, r := range some {
			if err := k.look(ctx, r); err != nil {
				return err
			}
			below = r.Order()
		}
		if last || len(some) == 0 {
			return k.end(ctx)
		}
	}
}

// keyExpiry looks at the versions of a key, the newest first.
type keyExpiry struct {
	pass   *expiryPass
	bucket *Expiring
	head   *versionHead
	now    time.Time
	clock  lifecycle.Clock

	marker     *meta.Record // the current version, when it is a delete marker
	beneath    int          // versions that are not current and stay
	noncurrent int          // versions that were looked at and are not current
	since      time.Time    // when the next version ceased to be current; zero before the first
}

// some returns the next versions of the key.
func (k *keyExpiry) some(key cluster.ObjectKey, below uint64) ([]*meta.Record, bool, error) {
	s := k.pass.store
	inside, err := s.enter(s.readers, "target/store.keyExpiry", k.head.name(key))
	if err != nil {
		return nil, false, err
	}
	defer s.readers.leave(inside)
	return k.head.some(key, below)
}

// look removes a version when it has expired.
func (k *keyExpiry) look(ctx context.Context, r *meta.Record) error {
	since := k.since
	k.since = time.Unix(0, int64(r.Order()))
	rules := k.bucket.Rules
	switch {
	case r.Kind == meta.Tombstone:
		k.marker = r
	case r.Kind == meta.Current:
		if at, rule := rules.Expires(versionOf(r), k.clock); rule != nil && !at.After(k.now) {
			_, err := k.pass.remove(ctx, k.bucket, r, false)
			return err
		}
	case since.IsZero(): // what replaced it is not known
	default:
		at, rule := rules.ExpiresNoncurrent(versionOf(r), since, k.noncurrent, k.clock)
		k.noncurrent++
		gone, err := false, error(nil)
		if rule != nil && !at.After(k.now) {
			gone, err = k.pass.remove(ctx, k.bucket, r, false)
		}
		if !gone {
			k.beneath++
		}
		return err
	}
	return nil
}

// end removes a delete marker that has nothing beneath it.
func (k *keyExpiry) end(ctx context.Context) error {
	if k.marker == nil || k.beneath > 0 {
		return nil
	}
	at, rule := k.bucket.Rules.ExpiresMarker(versionOf(k.marker), k.clock)
	if rule == nil || at.After(k.now) {
		return nil
	}
	_, err := k.pass.remove(ctx, k.bucket, k.marker, true)
	return err
}

// remove removes a version that has expired, unless it is another one by now. alone says that it is a delete marker that must
// have nothing beneath it. The error ends the pass.
func (p *expiryPass) remove(ctx context.Context, b *Expiring, r *meta.Record, alone bool) (bool, error) {
	if !p.store.yield(ctx, objectCost) {
		return false, ctx.Err()
	}
	marked, err := p.store.expireVersion(b, r, alone)
	if err != nil {
		return false, p.trouble(r.Key, err)
	}
	bytes, e := r.Size, &p.store.gone
	switch {
	case alone:
		e.markers.Add(1)
	case r.Kind == meta.Noncurrent:
		e.noncurrent.Add(1)
	default:
		e.current.Add(1)
	}
	if marked {
		bytes = 0
	}
	p.job.Add(1, bytes)
	return true, nil
}

// trouble looks at what kept something from being removed. Most often it has changed, or is locked; else there will be another pass
// soon, and only without a lease this one ends.
func (p *expiryPass) trouble(key cluster.ObjectKey, err error) error {
	switch cluster.KindOf(err) {
	case cluster.KindConflict, cluster.KindObjectNotFound, cluster.KindVersionNotFound, cluster.KindUploadNotFound, cluster.KindBucketNotFound, cluster.KindLocked:
		return nil
	case cluster.KindUnavailable:
	default:
		p.store.o.Events.background(p.m.ID, "expiry of "+string(key), err)
	}
	p.missed.Store(true)
	return p.store.mayExpire()
}

// mayExpire returns nil while passes can go on.
func (s *Store) mayExpire() error {
	err := s.authority.CheckLease()
	if err == nil {
		err = s.o.CheckWall()
	}
	if err == nil && s.slots.closed.Load() {
		err = errors.New("the store is closing")
	}
	if err != nil {
		err = errors.Join(xact.ErrStopped, err)
	}
	return err
}

// beginExpiry begins a turn for something that has expired by rules which still hold.
func (s *Store) beginExpiry(op string, b *Expiring, n name) (*turn, error) {
	epoch, err := s.authority.Owns(n.slot())
	if err == nil {
		err = s.o.CheckWall()
	}
	if err != nil {
		return nil, n.wrap(op, cluster.KindUnavailable, err)
	}
	t, err := s.begin(op, n, Call{Epoch: epoch})
	if err != nil {
		return nil, err
	}
	now, rules := s.o.Lifecycle.Rules(b.Bucket.ID)
	if rules != b.Rules {
		t.end()
		return nil, n.fail(op, cluster.KindConflict, "the bucket has other rules now")
	}
	t.bucket = now // as it was when it had these rules: whether it has versions decides what is done
	return t, nil
}

// expireVersion removes the version that a record is, or hides it when it is current and the bucket has versions: then marked is true.
func (s *Store) expireVersion(b *Expiring, r *meta.Record, alone bool) (marked bool, err error) {
	const op = "target/store.Expire"
	q := &DeleteRequest{Key: r.Key, Base: r.Generation, Alone: alone}
	t, err := s.beginExpiry(op, b, name{bucket: &b.Bucket, key: r.Key})
	if err != nil {
		return false, err
	}
	defer t.end()
	q.Bucket = t.bucket
	q.Owner = q.Bucket.Creator
	if s.o.ExpiryNotices != nil {
		q.Notices = s.o.ExpiryNotices(q.Bucket, q.Key)
	}
	switch {
	case r.Kind != meta.Current:
		q.Version = versionID(r)
		_, err = t.deleteVersion(q)
	case q.Bucket.Props.Versioning == cluster.VersioningOff:
		_, err = t.delete(q)
	default:
		marked = true
		_, err = t.mark(q)
	}
	return marked, err
}

// findUploads looks at the next uploads in progress.
func (p *expiryPass) findUploads(ctx context.Context, b *Expiring, from *expiryCursor) (found []meta.Ref, next *expiryCursor, err error) {
	const op = "target/store.findUploads"
	s, looked, now := p.store, 0, p.store.o.Now()
	n := name{bucket: &b.Bucket}
	clock := s.o.Lifecycle.Clock()
	inside, err := s.enter(s.readers, op, n)
	if err != nil {
		return nil, nil, err
	}
	defer s.readers.leave(inside)
	hidden, err := p.hidden()
	if err != nil {
		return nil, nil, err
	}
	for _, prefix := range b.Rules.Prefixes() {
		if from.Key != "" && from.Key >= successor(prefix) {
			continue
		}
		r := &ListRequest{Bucket: b.Bucket, Prefix: prefix, After: from.Key, AfterUpload: from.Upload}
		for record, err := range p.m.index.Scan(ctx, scanRange(r, meta.Upload, hidden)).All() {
			if err != nil {
				return nil, nil, s.readFailed(op, n, p.m, err)
			}
			looked++
			if at, rule := b.Rules.Aborts(record.Key, record.Modified, clock); rule != nil && !at.After(now) {
				found = append(found, record.Ref)
			}
			if looked == expireLook || len(found) == expireFind {
				return found, &expiryCursor{Bucket: from.Bucket, Uploads: true, Key: string(record.Key), Upload: record.Upload}, nil
			}
		}
	}
	return found, nil, nil
}

// abort aborts an upload that has expired.
func (p *expiryPass) abort(ctx context.Context, b *Expiring, ref meta.Ref) error {
	if !p.store.yield(ctx, objectCost) {
		return ctx.Err()
	}
	if err := p.store.expireUpload(ctx, b, ref); err != nil {
		return p.trouble(ref.Key, err)
	}
	p.store.gone.uploads.Add(1)
	p.job.Add(1, 0)
	return nil
}

func (s *Store) expireUpload(ctx context.Context, b *Expiring, ref meta.Ref) error {
	const op = "target/store.ExpireUpload"
	t, err := s.beginExpiry(op, b, name{bucket: &b.Bucket, key: ref.Key})
	if err != nil {
		return err
	}
	defer t.end()
	return t.abort(ctx, ref.Upload)
}

// ownedPrint is a number that changes with the slots that this node owns.
func (s *Store) ownedPrint(active *activation) uint64 {
	var b []byte
	for i := range active.m.Slots {
		if slot := cluster.Slot(i); active.m.Slots[i].Owner() == s.o.Node {
			b = binary.LittleEndian.AppendUint64(b, uint64(slot))
			b = binary.LittleEndian.AppendUint64(b, s.ownership(active.m, slot))
		}
	}
	return xxh3.Hash(b)
}

// behind returns the first bucket that is not before an id.
func behind(buckets []Expiring, id cluster.BucketID) *Expiring {
	if i := slices.IndexFunc(buckets, func(b Expiring) bool { return b.Bucket.ID >= id }); i >= 0 {
		return &buckets[i]
	}
	return nil
}
