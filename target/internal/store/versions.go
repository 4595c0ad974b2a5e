package store

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// versionsChunk is how many versions of a key a list reads at a time.
const versionsChunk = 1000

// Versions yields all versions and delete markers of a bucket, ordered by the bytes of their keys, the newest of a key first.
// After an error it ends.
func (s *Store) Versions(ctx context.Context, r *ListRequest) iter.Seq2[cluster.Entry, error] {
	const op = "target/store.Versions"
	return func(yield func(cluster.Entry, error) bool) {
		n := name{bucket: &r.Bucket}
		inside, err := s.enter(s.readers, op, n)
		if err == nil {
			defer s.readers.leave(inside)
			err = s.mergeVersions(ctx, op, r, func(e cluster.Entry) bool { return yield(e, nil) })
		}
		if err != nil {
			yield(cluster.Entry{}, n.wrap(op, cluster.KindOther, err))
		}
	}
}

// mergeVersions yields the versions of all mountpaths in order, until yield returns false. All of a key are on one of them.
func (s *Store) mergeVersions(ctx context.Context, op string, r *ListRequest, yield func(cluster.Entry) bool) error {
	begun, err := s.mayList(op, r)
	if err != nil {
		return err
	}
	release := sync.OnceFunc(s.still()) // the scans see each key in one place
	defer release()
	heads := make([]*versionHead, 0, len(s.mounted()))
	defer func() {
		for _, h := range heads {
			h.close()
		}
	}()
	placing := s.placingBy(begun.m)
	for _, m := range s.mounted() {
		if placing.skips(m, r.Bucket.ID, begun.partial) {
			continue
		}
		if err := m.err(); err != nil {
			return err
		}
		h := newVersionHead(ctx, s, m, r, func(ref meta.Ref) bool {
			return s.elsewhere(begun, ref) || !s.matters(placing, m, ref.Slot()) || s.notShown(m, ref)
		})
		heads = append(heads, h)
		if err := h.read(); err != nil {
			return s.readFailed(op, name{bucket: &r.Bucket}, m, err)
		}
	}
	release()
	if now, err := s.mayList(op, r); err != nil {
		return err
	} else if now != begun {
		return cluster.Fail(op, r.Bucket.Bucket.String(), cluster.KindUnavailable, "the slots changed while the list began")
	}
	for {
		first := leastVersion(heads)
		if first == nil {
			return nil
		}
		more, err := s.yieldKey(op, r, heads, first, yield)
		if err != nil || !more {
			return err
		}
	}
}

// yieldKey yields what the list shows of the next key, and moves on behind it.
func (s *Store) yieldKey(op string, r *ListRequest, heads []*versionHead, h *versionHead, yield func(cluster.Entry) bool) (bool, error) {
	key := h.key()
	if prefix, rolled := rollUp(r, key); rolled {
		shown, err := h.shows(key)
		for _, other := range heads {
			if err == nil {
				err = other.skip(string(prefix), shown)
			}
		}
		if err != nil {
			return false, s.readFailed(op, name{bucket: &r.Bucket}, h.m, err)
		}
		return !shown || yield(cluster.Entry{Key: prefix, Prefix: true}), nil
	}
	more, err := h.versions(key, r, yield)
	if err == nil && more {
		err = h.pass(key)
	}
	return more, s.readFailed(op, name{bucket: &r.Bucket}, h.m, err)
}

// versionHead is a mountpath in a merge of versions: the next record of each kind, as the index was at one moment.
type versionHead struct {
	store *Store
	m     *mountpath
	r     *ListRequest
	scans [3]*meta.Scan   // of Current, Tombstone and Noncurrent
	heads [3]*meta.Record // nil where there is no more
}

func newVersionHead(ctx context.Context, s *Store, m *mountpath, r *ListRequest, hidden func(meta.Ref) bool) *versionHead {
	h := &versionHead{store: s, m: m, r: r}
	of := *r
	if r.AfterVersion != "" { // the rest of that key's versions first
		of.After = ""
	}
	for i, kind := range []meta.Kind{meta.Current, meta.Tombstone, meta.Noncurrent} {
		scan := scanRange(&of, kind, hidden)
		if r.AfterVersion != "" {
			scan.From = cluster.ObjectKey(r.After)
		}
		scan.Listed, scan.NoData = false, true
		if i == 0 {
			h.scans[i] = m.index.Scan(ctx, scan)
		} else {
			h.scans[i] = h.scans[0].Beside(scan)
		}
	}
	return h
}

func (h *versionHead) close() {
	for _, scan := range h.scans {
		scan.Close()
	}
}

// read reads the first records.
func (h *versionHead) read() error {
	for i := range h.scans {
		if err := h.next(i); err != nil {
			return err
		}
	}
	return nil
}

// next reads the next record of a scan. Tombstones that are no versions are passed over.
func (h *versionHead) next(i int) (err error) {
	for {
		h.heads[i], err = h.scans[i].Next()
		if err != nil || h.heads[i] == nil || isVersion(h.heads[i]) || h.heads[i].Kind == meta.Noncurrent {
			return err
		}
	}
}

// key returns the least key of the records ahead.
func (h *versionHead) key() cluster.ObjectKey {
	var least *meta.Record
	for _, r := range h.heads {
		if r != nil && (least == nil || r.Key < least.Key) {
			least = r
		}
	}
	return least.Key
}

func (h *versionHead) ended() bool { return h.heads == [3]*meta.Record{} }

// leastVersion returns the head whose key comes first, or nil when all are at their end.
func leastVersion(heads []*versionHead) *versionHead {
	var first *versionHead
	for _, h := range heads {
		if !h.ended() && (first == nil || h.key() < first.key()) {
			first = h
		}
	}
	return first
}

// pass moves behind a key.
func (h *versionHead) pass(key cluster.ObjectKey) error {
	for i, r := range h.heads {
		if r == nil || r.Key != key {
			continue
		}
		h.scans[i].SkipTo(key + "\x00")
		if err := h.next(i); err != nil {
			return err
		}
	}
	return nil
}

// skip moves behind all keys that begin with a prefix; when that was not shown yet, only behind the first of them.
func (h *versionHead) skip(prefix string, shown bool) error {
	for i, r := range h.heads {
		if r == nil || !strings.HasPrefix(string(r.Key), prefix) {
			continue
		}
		if shown {
			h.scans[i].SkipPast(prefix)
		} else {
			h.scans[i].SkipTo(r.Key + "\x00")
		}
		if err := h.next(i); err != nil {
			return err
		}
	}
	return nil
}

// alone returns the current version of a key that has no other, as the index was when the list began; nil when it may have.
func (h *versionHead) alone(key cluster.ObjectKey) *meta.Record {
	for _, r := range h.heads[1:] {
		if r != nil && r.Key == key {
			return nil
		}
	}
	return h.heads[0]
}

// shows reports whether any version of a key is visible.
func (h *versionHead) shows(key cluster.ObjectKey) (bool, error) {
	if h.alone(key) != nil {
		return true, nil
	}
	r, err := h.latest(key)
	return r != nil, err
}

// latest returns the current version, or nil. The key may have moved to another mountpath since the list began.
func (h *versionHead) latest(key cluster.ObjectKey) (*meta.Record, error) {
	defer h.store.still()()
	n := h.name(key)
	current, tombstone, err := h.store.visibleNow(h.store.mountpath(n), n, (*meta.Index).Peek)
	if r := newest(current, tombstone); isVersion(r) {
		return r, err
	}
	return nil, err
}

func (h *versionHead) name(key cluster.ObjectKey) name { return name{bucket: &h.r.Bucket, key: key} }

// versions yields the versions of a key, those behind the one that the list goes on after. What is read is read again when
// another version became current meanwhile: else one could be missed, or be seen twice.
func (h *versionHead) versions(key cluster.ObjectKey, r *ListRequest, yield func(cluster.Entry) bool) (bool, error) {
	resumed := r.AfterVersion != "" && r.After == string(key)
	if only := h.alone(key); only != nil && !resumed {
		return yield(h.entry(only)), nil
	}
	below := ^uint64(0)
	if resumed {
		var err error
		if below, err = h.orderOf(key, r.AfterVersion); err != nil || below == 0 {
			return err == nil, err // below the lowest there is nothing
		}
	}
	for {
		some, last, err := h.some(key, below)
		if err != nil {
			return false, err
		}
		for _, v := range some {
			if !yield(h.entry(v)) {
				return false, nil
			}
			below = v.Order()
		}
		if last {
			return true, nil
		}
	}
}

// orderOf returns the order of a version. Who names a null version by its id, and not as lists do (entry), begins anew with the key when
// it is gone: nobody knows where it was.
func (h *versionHead) orderOf(key cluster.ObjectKey, id cluster.VersionID) (uint64, error) {
	number, ok := keyVersion(id)
	if !ok {
		return 0, cluster.Fail("", string(id), cluster.KindInvalid, "that is no id of a version")
	}
	if id != nullVersion {
		return number, nil
	}
	defer h.store.still()()
	n := h.name(key)
	r, err := h.store.version(h.store.mountpath(n), n, number, (*meta.Index).Peek)
	if err != nil || r == nil {
		return ^uint64(0), err
	}
	return r.Order(), nil
}

// some returns the next versions of a key whose order is below a bound, newest first, and whether they are the last. A key of which
// nothing is current shows none: its versions are being moved from a frozen id.
func (h *versionHead) some(key cluster.ObjectKey, below uint64) (some []*meta.Record, last bool, err error) {
	for {
		before, err := h.latest(key)
		if err != nil {
			return nil, false, err
		}
		if some, last, err = h.others(key, below); err != nil {
			return nil, false, err
		}
		after, err := h.latest(key)
		if err != nil {
			return nil, false, err
		}
		if sameRecord(before, after) {
			if before == nil {
				return nil, true, nil
			}
			if before.Order() < below {
				some = append(some, before)
			}
			slices.SortFunc(some, func(a, b *meta.Record) int { return cmp.Compare(b.Order(), a.Order()) })
			return some, last, nil
		}
	}
}

func sameRecord(a, b *meta.Record) bool {
	return a == nil && b == nil || a != nil && b != nil && a.Ref == b.Ref
}

// others returns the next versions of a key that are not current.
func (h *versionHead) others(key cluster.ObjectKey, below uint64) (some []*meta.Record, last bool, err error) {
	defer h.store.still()()
	n := h.name(key)
	m := h.store.mountpath(n)
	shard, id := h.store.shard(n.bucket.ID, key), n.ident()
	scan := meta.Range{Kind: meta.Noncurrent, Bucket: n.bucket.ID, Key: key, Below: below, NoData: true, Hidden: func(ref meta.Ref) bool {
		return shard.prepared(id, ref.Generation)
	}}
	oldest := uint64(0)
	last = true
	for r, err := range m.index.Scan(context.Background(), scan).All() {
		if err != nil {
			return nil, false, err
		}
		if r.IsNull() {
			break // looked up below
		}
		if len(some) == versionsChunk {
			last, oldest = false, some[len(some)-1].Order()
			break
		}
		shown, err := h.store.noncurrent(m, n, r.Version, (*meta.Index).Peek)
		if err != nil {
			return nil, false, err
		}
		if shown != nil {
			some = append(some, shown)
		}
	}
	r, err := h.store.noncurrent(m, n, meta.NullVersion, (*meta.Index).Peek)
	if err == nil && r != nil && r.Order() < below && r.Order() >= oldest {
		some = append(some, r)
	}
	return some, last, err
}

// entry is what the list shows of a version. A null version is named by what no other one can be: its place among the versions.
func (h *versionHead) entry(r *meta.Record) cluster.Entry {
	e, _ := h.store.entry(&ListRequest{Bucket: h.r.Bucket}, &head{m: h.m, record: r})
	e.VersionID, e.Latest, e.Marker = versionID(r), r.Kind != meta.Noncurrent, r.Marker
	if r.IsNull() {
		e.Behind = cluster.VersionID(fmt.Sprintf("%016x", r.Order()))
	}
	return e
}
