package store

import (
	"context"
	"crypto/rand"
	"slices"
	"strconv"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// Notices are what somebody outside of the cluster is to be told of a change. Each is a record of its own kind, which the change
// puts into its batch beside its others, under the same generation: so it is durable at every holder, and in doubt, visible or
// dropped, exactly when the change is. It stays until the owner of the slot, whoever that is by then, has said that it was sent
// (Noticed). Nothing else replaces it.

// Notice is one thing to be told.
type Notice struct {
	To     string // the destination
	Rule   string // by which it is told
	Event  string // what happened
	Remote string // the address of whoever asked for the change
}

// Notices says what is to be told of a change; nil: nothing, of no change. about is the version that was made or removed, without
// its generation; marker: a delete marker was made. It is called under the key's lock.
type Notices func(about *Info, marker bool) []Notice

// NoticeRef names a notice.
type NoticeRef = meta.Ref

// Told is a notice that waits to be sent.
type Told struct {
	Notice
	Ref     NoticeRef
	About   Info // key, size, ETag, version, owner of the request, time
	Request cluster.RequestID
	Removed bool // there is no object of that version any more
}

// Names of the custom pairs that hold a notice.
const (
	noticeTo     = "to"
	noticeRule   = "rule"
	noticeEvent  = "event"
	noticeRemote = "remote"
	noticeSize   = "size"
)

// telling is what a turn is to tell of its change.
type telling struct {
	what  Notices
	about *meta.Record
	by    cluster.AccessKeyID
}

// announce adds the notices of a change to its records.
func (t *turn) announce(c *change) {
	if c.telling.what == nil {
		return
	}
	about, request := c.telling.about, string(t.call.Request)
	if request == "" { // it has expired
		request = rand.Text()
	}
	made := about == c.put[0]
	for i, n := range c.telling.what(infoOf(about), made && about.Marker) {
		r := &meta.Record{Ref: t.name.ref(meta.Notice)}
		r.Upload = cluster.UploadID(request + "." + strconv.Itoa(i))
		r.Modified, r.ETag, r.Owner = t.store.o.Now(), about.ETag, c.telling.by
		r.Number, r.Null, r.Marker = about.Number, about.Null, about.Marker
		r.Custom = []meta.Pair{{Name: noticeTo, Value: n.To}, {Name: noticeRule, Value: n.Rule}, {Name: noticeEvent, Value: n.Event}, {Name: noticeRemote, Value: n.Remote}}
		if made && !isGrave(about.Kind) {
			r.Custom = append(r.Custom, meta.Pair{Name: noticeSize, Value: strconv.FormatInt(about.Size, 10)})
		}
		c.add(r, meta.Ref{})
	}
}

// announced has the notices of a change that became visible be sent.
func (s *Store) announced(c *change) {
	for _, r := range slices.Concat(c.put, c.beside) {
		if r.Kind == meta.Notice {
			s.o.Events.noticed(r.Ref, noticeOf(r).To)
		}
	}
}

// noticeOf reads the record of a notice.
func noticeOf(r *meta.Record) *Told {
	n := &Told{Ref: r.Ref, About: *infoOf(r), Request: r.Request, Removed: true}
	n.About.Custom = nil
	for _, p := range r.Custom {
		switch p.Name {
		case noticeTo:
			n.To = p.Value
		case noticeRule:
			n.Rule = p.Value
		case noticeEvent:
			n.Event = p.Value
		case noticeRemote:
			n.Remote = p.Value
		case noticeSize:
			size, err := strconv.ParseInt(p.Value, 10, 64)
			n.About.Size, n.Removed = size, err != nil
		}
	}
	return n
}

// Notices calls each for every notice of the slots that are served here, with its destination and its time, until it returns false. One that is on a mountpath which
// does not answer is passed over: the mountpath's return, or a new map, has them asked for again.
func (s *Store) Notices(ctx context.Context, each func(ref NoticeRef, to string, at time.Time) bool) error {
	const op = "target/store.Notices"
	inside, err := s.enter(s.operations, op, name{bucket: &cluster.BucketEntry{}})
	if err != nil {
		return err
	}
	defer s.operations.leave(inside)
	for _, m := range s.mounted() {
		if m.err() != nil {
			continue
		}
		for r, err := range m.index.Scan(ctx, meta.Range{Kind: meta.Notice, AllBuckets: true}).All() {
			if err != nil {
				return cluster.E(op, string(m.ID), cluster.KindUnavailable, err)
			}
			told, err := s.tells(m, r.Ref)
			if err != nil {
				return cluster.E(op, string(m.ID), cluster.KindUnavailable, err)
			}
			if told != nil && !each(r.Ref, noticeOf(told).To, told.Modified) {
				return nil
			}
		}
	}
	return nil
}

// tells returns the record of a notice, or nil when it is not this node's to send. It reads the record anew, inside the gate of readers: one
// that was given up is in the index for as long only as its mark is there.
func (s *Store) tells(m *mountpath, ref meta.Ref) (*meta.Record, error) {
	inside := s.readers.enter()
	defer s.readers.leave(inside)
	r, err := m.index.Exact(ref)
	if err != nil || r == nil || !s.isTold(ref) {
		return nil, err
	}
	return r, nil
}

// isTold reports whether a notice that is in the index is this node's to send: of a served slot, and visible.
func (s *Store) isTold(ref meta.Ref) bool {
	if s.slots.serving.load(ref.Slot()) == 0 {
		return false
	}
	return !s.shard(ref.Bucket, ref.Key).prepared(ident{bucket: ref.Bucket, key: ref.Key}, ref.Generation)
}

// Notice returns a notice, or nil when it is not this node's to send any more.
func (s *Store) Notice(ref NoticeRef) (*Told, error) {
	const op = "target/store.Notice"
	n := copyName(ref.Bucket, ref.Key)
	inside, err := s.enter(s.operations, op, n)
	if err != nil {
		return nil, err
	}
	defer s.operations.leave(inside)
	m := s.mountpath(n)
	if err := m.err(); err != nil {
		return nil, n.wrap(op, cluster.KindUnavailable, err)
	}
	r, err := s.tells(m, ref)
	if err != nil || r == nil {
		return nil, n.wrapRead(op, err)
	}
	return noticeOf(r), nil
}

// Noticed removes notices that were sent, here and at the other holders. One that a crash, or a holder that does not answer, brings
// back is sent again.
func (s *Store) Noticed(ctx context.Context, refs []NoticeRef) error {
	const op = "target/store.Noticed"
	inside, err := s.enter(s.operations, op, name{bucket: &cluster.BucketEntry{}})
	if err != nil {
		return err
	}
	defer s.operations.leave(inside)
	byMountpath := make(map[*mountpath][]meta.Ref)
	for _, ref := range refs {
		m := s.mountpath(copyName(ref.Bucket, ref.Key))
		byMountpath[m] = append(byMountpath[m], ref)
	}
	for m, of := range byMountpath {
		if err := m.err(); err != nil {
			return cluster.E(op, string(m.ID), cluster.KindUnavailable, err)
		}
		if err := m.removeAll(ctx, of); err != nil {
			return cluster.E(op, string(m.ID), cluster.KindUnavailable, err)
		}
		if err := s.removeOld(ctx, m, of); err != nil { // at the others; those that do not answer are asked again later
			return cluster.E(op, string(m.ID), cluster.KindUnavailable, err)
		}
	}
	return nil
}
