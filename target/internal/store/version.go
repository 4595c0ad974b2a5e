package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// Versions of objects. The current one is the record of kind Current; when it is a delete marker, of kind Tombstone. All others
// are of kind Noncurrent, each under its number, and go only by a NoncurrentTombstone of a later generation. A change writes
// what becomes current and what no longer is in one batch under one generation, so whoever sees one of them sees both.

const nullVersion = cluster.NullVersion

// versionID is how clients name the version that a record is.
func versionID(r *meta.Record) cluster.VersionID {
	if r.IsNull() {
		return nullVersion
	}
	return cluster.VersionID(fmt.Sprintf("%016x", r.Number))
}

// keyVersion returns the Ref.Version of a version that is not current.
func keyVersion(id cluster.VersionID) (uint64, bool) {
	if id == nullVersion {
		return meta.NullVersion, true
	}
	n, err := strconv.ParseUint(string(id), 16, 64)
	if n == meta.NullVersion {
		n = 0 // no version has that number either
	}
	return n, err == nil && id.Valid()
}

// DeleteMarker is wrapped by the error of a read that came upon a delete marker: KindObjectNotFound when it is the current
// version, KindMethod when it was asked for by its id.
type DeleteMarker struct{ Info *Info }

// Error says what was found.
func (m *DeleteMarker) Error() string {
	return "version " + string(m.Info.VersionID) + " is a delete marker"
}

// MarkerOf returns what is known of the delete marker that a read came upon, or nil when err says something else.
func MarkerOf(err error) *Info {
	var m *DeleteMarker
	if errors.As(err, &m) {
		return m.Info
	}
	return nil
}

// isVersion reports whether a visible object or tombstone (nil for neither) is a version.
func isVersion(r *meta.Record) bool { return r != nil && (r.Kind == meta.Current || r.Marker) }

// kept is how a turn reads the current version: with its data where it will be kept.
func (t *turn) kept() getter {
	if t.name.bucket.Props.Versioning == cluster.VersioningOff {
		return (*meta.Index).Peek
	}
	return (*meta.Index).Get
}

// supersede completes a change whose first record takes the place of old, the visible object or tombstone (nil for neither):
// it stays as a version that is not current, or its bytes go.
func (t *turn) supersede(c *change, old *meta.Record) error {
	c.replaces = old
	mode := t.name.bucket.Props.Versioning
	if mode == cluster.VersioningOff {
		return t.release(c, old)
	}
	record := c.put[0]
	record.Number, record.Null = t.number(old), mode == cluster.VersioningSuspended
	switch {
	case !record.Null:
		return t.keep(c, old)
	case isVersion(old) && old.IsNull():
		return t.release(c, old)
	}
	if err := t.keep(c, old); err != nil {
		return err
	}
	null, err := t.noncurrent(meta.NullVersion, (*meta.Index).Peek)
	if err != nil || null == nil {
		return err
	}
	return t.remove(c, null)
}

// number returns the number of a new version: the time, and higher than that of the version before it. When the clock is behind
// that one, the next number may have been that of a version which was removed since, and whose removal may be repeated; so it is
// a random one of the next.
func (t *turn) number(old *meta.Record) uint64 {
	now := uint64(t.store.o.Now().UnixNano())
	if isVersion(old) && now <= old.Order() {
		now = old.Order() + 1 + rand.Uint64N(1<<20)
	}
	return now
}

// release frees the bytes of a version that is replaced or removed. Every change that makes one unreachable comes here, so it is
// here that a lock refuses.
func (t *turn) release(c *change, old *meta.Record) error {
	if err := t.unlocked(old); err != nil {
		return err
	}
	places, err := t.places(old)
	c.free = append(c.free, places...)
	return err
}

// keep has a change leave what it replaces as a version that is not current.
func (t *turn) keep(c *change, old *meta.Record) error {
	if !isVersion(old) {
		return nil
	}
	kept, err := t.copied(old)
	if err != nil {
		return err
	}
	kept.Kind, kept.Version = meta.Noncurrent, old.KeyVersion()
	kept.Number, kept.Null = old.Order(), old.IsNull() // also of an object from before the bucket had versions
	c.add(kept, old.Ref)
	return nil
}

// copied is a copy of a record that names the same bytes.
func (t *turn) copied(r *meta.Record) (*meta.Record, error) {
	c := *r
	var err error
	if c.PartCount > 0 {
		c.Parts, err = t.m.index.Parts(r)
		c.HasManifest = false
	}
	return &c, t.readFailed(err)
}

// add adds a record, which names the bytes of another one; of none, when from is zero.
func (c *change) add(r *meta.Record, from meta.Ref) {
	for len(c.from) < len(c.put) {
		c.from = append(c.from, meta.Ref{})
	}
	c.put, c.from = append(c.put, r), append(c.from, from)
}

// remove has a change remove a version that is not current, and free its bytes.
func (t *turn) remove(c *change, r *meta.Record) error {
	t.retire(c, r)
	return t.release(c, r)
}

// retire has a change remove the record of a version that is not current.
func (t *turn) retire(c *change, r *meta.Record) {
	end := t.grave(meta.NoncurrentTombstone)
	end.Version = r.Version
	c.add(end, meta.Ref{})
	c.remove = append(c.remove, r)
}

// mark makes a delete marker the current version.
func (t *turn) mark(r *DeleteRequest) (DeleteResult, error) {
	current, tombstone, err := t.visible(t.kept())
	if err != nil {
		return DeleteResult{}, err
	}
	old := newest(current, tombstone)
	if made, ended, err := t.earlier(old); ended || err != nil {
		return deleted(made), err
	}
	if err := r.If.forDelete(t.op, t.name, stateOf(current)); err != nil {
		return DeleteResult{}, t.refuse(err)
	}
	if err := t.stands(r, current); err != nil {
		return DeleteResult{}, err
	}
	if current == nil && r.If.isSet() {
		t.remember(0, outcome{})
		return DeleteResult{}, nil // what was to be hidden is not there
	}
	marker := t.grave(meta.Tombstone)
	marker.Marker, marker.Owner = true, r.Owner
	c := &change{put: []*meta.Record{marker}, forget: true, telling: telling{r.Notices, marker, r.Owner}}
	if err := t.supersede(c, old); err != nil {
		return DeleteResult{}, err
	}
	if err := t.commit(c); err != nil {
		return DeleteResult{}, err
	}
	return deleted(marker), nil
}

// deleted is the result of a delete that made a marker, or removed a version.
func deleted(r *meta.Record) DeleteResult {
	if r == nil {
		return DeleteResult{}
	}
	return DeleteResult{Existed: true, Version: versionID(r), Marker: r.Marker}
}

// deleteVersion removes one version for good. In the place of the current one comes the newest of the others.
func (t *turn) deleteVersion(r *DeleteRequest) (DeleteResult, error) {
	none := DeleteResult{Version: r.Version}
	number, ok := keyVersion(r.Version)
	if !ok {
		return none, t.fail(cluster.KindInvalid, "that is no id of a version")
	}
	current, tombstone, err := t.visible((*meta.Index).Peek)
	if err != nil {
		return none, err
	}
	old := newest(current, tombstone)
	if was, ended, err := t.earlier(old); ended || err != nil {
		none.Existed = was != nil
		none.Marker = was != nil && was.Kind == meta.Replaced && was.Marker
		return none, err
	}
	t.bypass = r.Bypass
	c, gone := &change{}, old
	if isVersion(old) && old.KeyVersion() == number {
		err = t.removeCurrent(c, old, r.Alone)
	} else if gone, err = t.noncurrent(number, (*meta.Index).Peek); err == nil && gone != nil {
		err = t.remove(c, gone)
	}
	if err == nil {
		err = t.judge(r, gone)
	}
	if err != nil || gone == nil {
		return none, err
	}
	c.note, c.telling = gone, telling{r.Notices, gone, r.Owner} // what is current then does not tell what was removed
	if err := t.commit(c); err != nil {
		return none, err
	}
	return deleted(gone), nil
}

// judge judges the conditions of a delete against the version that it names. That there is none is an outcome, too.
func (t *turn) judge(r *DeleteRequest, gone *meta.Record) error {
	s := state{}
	if gone != nil && !gone.Marker {
		s = stateOf(gone)
	}
	if err := r.If.forDelete(t.op, t.name, s); err != nil {
		return t.refuse(err)
	}
	if err := t.stands(r, gone); err != nil {
		return err
	}
	if gone == nil {
		t.remember(0, outcome{})
	}
	return nil
}

// removeCurrent has a change remove the current version, if it must be, only when there is no other one.
func (t *turn) removeCurrent(c *change, old *meta.Record, alone bool) error {
	next, err := t.newestNoncurrent()
	if err != nil {
		return err
	}
	if alone && next != nil {
		return t.fail(cluster.KindConflict, "there is another version")
	}
	c.replaces, c.forget = old, true
	if next == nil {
		c.put = []*meta.Record{t.grave(meta.Tombstone)}
		return t.release(c, old)
	}
	promoted, err := t.copied(next)
	if err != nil {
		return err
	}
	promoted.Kind, promoted.Version = meta.Current, 0
	if promoted.Marker {
		promoted.Kind = meta.Tombstone
	}
	c.add(promoted, next.Ref)
	t.retire(c, next)
	return t.release(c, old)
}

// newestNoncurrent returns the newest version that is not current, with its data, or nil.
func (t *turn) newestNoncurrent() (*meta.Record, error) {
	null, err := t.noncurrent(meta.NullVersion, (*meta.Index).Get)
	if err != nil {
		return nil, err
	}
	scan := meta.Range{Kind: meta.Noncurrent, Bucket: t.id.bucket, Key: t.id.key, NoData: true, Hidden: func(ref meta.Ref) bool {
		return t.shard.prepared(t.id, ref.Generation)
	}}
	for r, err := range t.m.index.Scan(context.Background(), scan).All() {
		if err != nil {
			return nil, t.readFailed(err)
		}
		if r.IsNull() {
			break // it comes last
		}
		shown, err := t.noncurrent(r.Version, (*meta.Index).Get)
		if err != nil {
			return nil, err
		}
		if shown != nil {
			if null != nil && null.Order() > shown.Order() {
				return null, nil
			}
			return shown, nil
		}
	}
	return null, nil
}

// noncurrent is Store.noncurrent in a turn.
func (t *turn) noncurrent(number uint64, get getter) (*meta.Record, error) {
	r, err := t.store.noncurrent(t.m, t.name, number, get)
	return r, t.readFailed(err)
}

// noncurrent returns a visible version that is not current, or nil.
func (s *Store) noncurrent(m *mountpath, n name, number uint64, get getter) (*meta.Record, error) {
	shard, id := s.shard(n.bucket.ID, n.key), n.ident()
	hidden := func(g cluster.Generation) bool { return shard.prepared(id, g) }
	ref := n.ref(meta.Noncurrent)
	ref.Version = number
	r, err := get(m.index, ref, hidden)
	if err != nil || r == nil {
		return nil, err
	}
	ref.Kind = meta.NoncurrentTombstone
	end, err := m.index.Peek(ref, hidden)
	if err != nil || end != nil && r.Generation.Less(end.Generation) {
		return nil, err
	}
	return r, nil
}

// visibleNow returns the record of kind Current that is visible, and the tombstone when there is none.
func (s *Store) visibleNow(m *mountpath, n name, get getter) (current, tombstone *meta.Record, err error) {
	shard, id := s.shard(n.bucket.ID, n.key), n.ident()
	hidden := func(g cluster.Generation) bool { return shard.hidden(id, g) }
	if current, err = get(m.index, n.ref(meta.Current), hidden); current != nil || err != nil {
		return current, nil, err
	}
	tombstone, err = m.index.Peek(n.ref(meta.Tombstone), hidden)
	return nil, tombstone, err
}

// version returns the visible record of a version, wherever it is, or nil. A version may become current while it is looked for:
// then what was current before is not any more.
func (s *Store) version(m *mountpath, n name, number uint64, get getter) (*meta.Record, error) {
	var last cluster.Generation
	for {
		current, tombstone, err := s.visibleNow(m, n, get)
		if err != nil {
			return nil, err
		}
		now := newest(current, tombstone)
		if isVersion(now) && now.KeyVersion() == number {
			return now, nil
		}
		r, err := s.noncurrent(m, n, number, get)
		if err != nil || r != nil {
			return r, err
		}
		var generation cluster.Generation
		if now != nil {
			generation = now.Generation
		}
		if generation == last {
			return nil, nil // it was the same before and after the look at the others
		}
		last = generation
	}
}

// chosen returns the version that a request names; the visible object or marker is given. A marker has nothing to change.
func (t *turn) chosen(id cluster.VersionID, visible *meta.Record) (*meta.Record, error) {
	number, ok := keyVersion(id)
	if !ok {
		return nil, t.fail(cluster.KindInvalid, "that is no id of a version")
	}
	r, err := visible, error(nil)
	if !isVersion(visible) || visible.KeyVersion() != number {
		r, err = t.noncurrent(number, (*meta.Index).Get)
	}
	switch {
	case err != nil:
		return nil, err
	case r == nil:
		return nil, t.refuse(t.fail(cluster.KindVersionNotFound, "the version does not exist"))
	case r.Marker:
		return nil, t.refuse(t.name.wrap(t.op, cluster.KindMethod, &DeleteMarker{Info: infoOf(r)}))
	}
	return r, nil
}
