package store

import (
	"cmp"
	"context"
	"encoding/hex"
	"iter"
	"strings"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// List yields a bucket's visible objects, ordered by the bytes of their keys. After an error it ends.
func (s *Store) List(ctx context.Context, r *ListRequest) iter.Seq2[cluster.Entry, error] {
	return s.list(ctx, "target/store.List", r, meta.Current, s.objectHidden)
}

// Uploads yields a bucket's uploads in progress, ordered by key and then by upload id, which is the order of their start.
func (s *Store) Uploads(ctx context.Context, r *ListRequest) iter.Seq2[cluster.Entry, error] {
	return s.list(ctx, "target/store.Uploads", r, meta.Upload, s.uploadHidden)
}

// objectHidden reports whether a generation of an object is not visible, or not any more.
func (s *Store) objectHidden(_ *mountpath, ref meta.Ref) bool {
	return s.marks.Load() > 0 && s.shard(ref.Bucket, ref.Key).hidden(ident{bucket: ref.Bucket, key: ref.Key}, ref.Generation)
}

// list walks over all mountpaths at once. Every part of it must answer, or it is an error: a list is never short.
func (s *Store) list(ctx context.Context, op string, r *ListRequest, kind meta.Kind, hidden func(*mountpath, meta.Ref) bool) iter.Seq2[cluster.Entry, error] {
	return func(yield func(cluster.Entry, error) bool) {
		n := name{bucket: &r.Bucket}
		inside, err := s.enter(s.readers, op, n)
		if err == nil {
			defer s.readers.leave(inside)
			err = s.merge(ctx, op, r, kind, hidden, func(e cluster.Entry) bool { return yield(e, nil) })
		}
		if err != nil {
			yield(cluster.Entry{}, n.wrap(op, cluster.KindOther, err))
		}
	}
}

// merge yields the entries of all mountpaths in order, until yield returns false.
func (s *Store) merge(ctx context.Context, op string, r *ListRequest, kind meta.Kind, hidden func(*mountpath, meta.Ref) bool, yield func(cluster.Entry) bool) error {
	begun, err := s.mayList(op, r)
	if err != nil {
		return err
	}
	release := s.still()
	held := true
	defer func() {
		if held {
			release()
		}
	}()
	placing := s.placingBy(begun.m)
	heads := make([]*head, 0, len(s.mounted()))
	defer func() {
		for _, h := range heads {
			h.scan.Close()
		}
	}()
	for _, m := range s.mounted() {
		if placing.skips(m, r.Bucket.ID, begun.partial) {
			continue
		}
		if err := m.err(); err != nil {
			return err
		}
		h := &head{m: m, scan: m.index.Scan(ctx, scanRange(r, kind, func(ref meta.Ref) bool {
			return s.elsewhere(begun, ref) || !s.matters(placing, m, ref.Slot()) || hidden(m, ref)
		}))}
		heads = append(heads, h)
		if err := s.advance(op, r, h); err != nil {
			return err
		}
	}
	release()
	held = false
	// What the scans see is as of now at the latest, so what holds now holds for all that they will give.
	if now, err := s.mayList(op, r); err != nil {
		return err
	} else if now != begun {
		return cluster.Fail(op, r.Bucket.Bucket.String(), cluster.KindUnavailable, "the slots changed while the list began")
	}
	for {
		first := least(heads)
		if first == nil {
			return nil
		}
		entry, rolled := s.entry(r, first)
		if rolled {
			err = s.skipPast(op, r, heads, string(entry.Key))
		} else {
			if r.Details {
				if err := s.addDetails(&entry, first); err != nil {
					return err
				}
			}
			err = s.advance(op, r, first)
		}
		if !yield(entry) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// mayList returns the activation under which every slot that this node has in the layout of the bucket is served, at the map
// that the caller lists at. It asks for the lease first, as checkOwner does.
func (s *Store) mayList(op string, r *ListRequest) (*activation, error) {
	subject := r.Bucket.Bucket.String()
	if err := s.authority.CheckLease(); err != nil {
		return nil, cluster.E(op, subject, cluster.KindUnavailable, err)
	}
	active := s.slots.active.Load()
	switch {
	case active == nil || active.version != r.Map:
		return nil, cluster.Fail(op, subject, cluster.KindUnavailable, "the list is for another version of the map")
	case active.stopped[r.Bucket.ID.Layout()] > 0:
		return nil, cluster.Fail(op, subject, cluster.KindUnavailable, "slots are moving")
	case s.council != nil && s.council.Map().Version != active.version:
		return nil, cluster.Fail(op, subject, cluster.KindUnavailable, "the map has changed")
	}
	return active, nil
}

// elsewhere reports whether a record is a copy that another node shows.
func (s *Store) elsewhere(a *activation, ref meta.Ref) bool {
	return s.slots.foreign.Load() && a.m.Slot(ref.Slot()).Owner() != s.o.Node
}

// scanRange says where a scan begins: behind the key or the common prefix that the caller has already.
func scanRange(r *ListRequest, kind meta.Kind, hidden func(meta.Ref) bool) meta.Range {
	scan := meta.Range{Kind: kind, Bucket: r.Bucket.ID, Prefix: r.Prefix, Hidden: hidden, Listed: true}
	switch p, rolled := rollUp(r, cluster.ObjectKey(r.After)); {
	case r.After == "":
	case rolled && string(p) == r.After:
		scan.From = cluster.ObjectKey(successor(r.After))
	case r.AfterUpload != "":
		scan.From, scan.FromUpload = cluster.ObjectKey(r.After), r.AfterUpload+"\x00"
	default:
		scan.From = cluster.ObjectKey(r.After + "\x00")
	}
	return scan
}

// successor returns the smallest string that is greater than all that begin with prefix.
func successor(prefix string) string {
	b := []byte(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] < 0xff {
			b[i]++
			return string(b[:i+1])
		}
	}
	return prefix + "\xff"
}

// rollUp returns the common prefix into which a key is rolled up, if it is.
func rollUp(r *ListRequest, key cluster.ObjectKey) (cluster.ObjectKey, bool) {
	if r.Delimiter == "" || !strings.HasPrefix(string(key), r.Prefix) {
		return "", false
	}
	i := strings.Index(string(key[len(r.Prefix):]), r.Delimiter)
	if i < 0 {
		return "", false
	}
	return key[:len(r.Prefix)+i+len(r.Delimiter)], true
}

// entry is what the list shows of a record.
func (s *Store) entry(r *ListRequest, h *head) (entry cluster.Entry, rolled bool) {
	record := h.record
	if prefix, rolled := rollUp(r, record.Key); rolled {
		return cluster.Entry{Key: prefix, Prefix: true}, true
	}
	entry = cluster.Entry{
		Key:      record.Key,
		Size:     record.Size,
		ETag:     record.ETag,
		Modified: record.Modified,
		Version:  record.Counter,
		Owner:    record.Owner,
		Class:    record.Class,
		UploadID: record.Upload,
	}
	for _, t := range record.Want {
		entry.Additional = entry.Additional.With(t)
	}
	if record.Composite {
		entry.Additional |= cluster.CompositeChecksums
	}
	for _, sum := range record.Sums {
		entry.Additional = entry.Additional.With(sum.Type)
		if sum.Type == r.Bucket.Props.Checksum {
			entry.ChecksumType = sum.Type
			if r.Details {
				entry.Checksum = hex.EncodeToString(sum.Value)
			}
		}
	}
	return entry, false
}

// addDetails adds what has to be read besides the record.
func (s *Store) addDetails(e *cluster.Entry, h *head) error {
	at, err := h.m.index.Accessed(h.record.Bucket, h.record.Key)
	e.Accessed = at
	if at.Before(e.Modified) {
		e.Accessed = e.Modified
	}
	return err
}

// head is one mountpath in a merge: its next record.
type head struct {
	m      *mountpath
	scan   *meta.Scan
	record *meta.Record // nil when there is no more; valid until the next one is read
}

// advance reads the next record of a head.
func (s *Store) advance(op string, r *ListRequest, h *head) (err error) {
	h.record, err = h.scan.Next()
	return s.readFailed(op, name{bucket: &r.Bucket}, h.m, err)
}

// least returns the head whose record comes first, or nil when all are at their end.
func least(heads []*head) *head {
	var first *head
	for _, h := range heads {
		if h.record != nil && (first == nil || compare(h.record, first.record) < 0) {
			first = h
		}
	}
	return first
}

func compare(a, b *meta.Record) int {
	return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Upload, b.Upload))
}

// skipPast moves every head behind the keys that begin with prefix, without reading them.
func (s *Store) skipPast(op string, r *ListRequest, heads []*head, prefix string) error {
	for _, h := range heads {
		if h.record == nil || !strings.HasPrefix(string(h.record.Key), prefix) {
			continue
		}
		h.scan.SkipPast(prefix)
		if err := s.advance(op, r, h); err != nil {
			return err
		}
	}
	return nil
}
