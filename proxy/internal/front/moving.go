package front

import (
	"context"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/proxy/internal/list"
)

// movingList lists a bucket whose objects are being moved away from a frozen id. What only that shows counts as long as it is
// not moved; the owners of the keys know.
type movingList struct {
	front  *Front
	caller listCaller
	place  place // with the bucket
}

// aliveKeys is how many keys of a common prefix are looked at together.
const aliveKeys = 100

// page makes one page.
func (l *movingList) page(ctx context.Context, in intra.ListRequest) (list.Page, error) {
	page := list.Page{More: in.Limit > 0}
	settled := make(map[cluster.ObjectKey]bool) // of these, common prefixes too, the frozen id tells nothing
	for page.More && len(page.Entries) <= in.Limit {
		now, frozen, err := l.both(ctx, in)
		if err != nil {
			return list.Page{}, err
		}
		horizon, more := cut(&now, &frozen, settled)
		unmoved, moved, err := l.unmoved(ctx, in, frozen.Entries)
		if err != nil {
			return list.Page{}, err
		}
		for _, key := range moved {
			settled[key] = true
		}
		if len(moved) > 0 {
			continue // what became of them the bucket shows now
		}
		entries := append(now.Entries, unmoved...)
		slices.SortStableFunc(entries, func(a, b cluster.Entry) int { return strings.Compare(string(a.Key), string(b.Key)) })
		page.Entries, page.More = append(page.Entries, entries...), more
		horizon.goOn(&in)
		clear(settled)
		if shows(now.Entries, horizon.key) {
			settled[horizon.key] = true
		}
	}
	if len(page.Entries) > in.Limit {
		page.Entries, page.More = page.Entries[:in.Limit], true
	}
	return page, nil
}

// both returns a page of the bucket and one of the frozen id.
func (l *movingList) both(ctx context.Context, in intra.ListRequest) (now, frozen list.Page, err error) {
	if now, err = l.front.mergedPage(ctx, l.caller, l.place, l.place.bucket.Bucket, in); err != nil {
		return now, frozen, err
	}
	in.BucketID = l.place.bucket.Under
	frozen, err = l.front.mergedPage(ctx, l.caller, l.place, l.place.bucket.Bucket, in)
	return now, frozen, err
}

// position is where a page ends: behind an upload or version of a key, or behind all of a key or common prefix.
type position struct {
	key     cluster.ObjectKey
	upload  cluster.UploadID
	version cluster.VersionID
}

func endOf(p *list.Page) position {
	last := p.Entries[len(p.Entries)-1]
	return position{last.Key, last.UploadID, last.Position()}
}

// within reports whether there may be more of the key.
func (p position) within() bool { return p.upload != "" || p.version != "" }

// isBefore compares two positions, of which one at most is within a key.
func (p position) isBefore(q position) bool {
	return p.key < q.key || p.key == q.key && p.within() && !q.within()
}

// goOn has a list begin behind the position.
func (p position) goOn(in *intra.ListRequest) {
	in.After, in.AfterID, in.AfterVersion = string(p.key), p.upload, p.version
}

// cut leaves of a page of the bucket and one of the frozen id what lies before the end of both: a list goes on behind the entry that
// it returns, if there is more. Of settled keys, and of those of which the bucket shows anything, the frozen id tells nothing.
func cut(now, frozen *list.Page, settled map[cluster.ObjectKey]bool) (horizon position, more bool) {
	if now.More {
		horizon, more = endOf(now), true
	}
	if frozen.More {
		end := endOf(frozen)
		if settled[end.key] || shows(now.Entries, end.key) {
			end = position{key: end.key}
		}
		if !more || end.isBefore(horizon) {
			horizon, more = end, true
		}
	}
	beyond := func(e cluster.Entry) bool { return more && e.Key > horizon.key }
	now.Entries = slices.DeleteFunc(now.Entries, beyond)
	frozen.Entries = slices.DeleteFunc(frozen.Entries, func(e cluster.Entry) bool {
		return beyond(e) || settled[e.Key] || shows(now.Entries, e.Key)
	})
	return horizon, more
}

// shows reports whether entries, which are ordered, have a key.
func shows(entries []cluster.Entry, key cluster.ObjectKey) bool {
	_, found := slices.BinarySearchFunc(entries, key, func(e cluster.Entry, key cluster.ObjectKey) int {
		return strings.Compare(string(e.Key), string(key))
	})
	return found
}

// unmoved returns what is to be shown of entries that only the frozen id has. Where a key may have several, the second result names
// the keys and common prefixes that are moved.
func (l *movingList) unmoved(ctx context.Context, in intra.ListRequest, entries []cluster.Entry) (shown []cluster.Entry, moved []cluster.ObjectKey, err error) {
	objects := slices.DeleteFunc(slices.Clone(entries), func(e cluster.Entry) bool { return e.Prefix })
	if several(in) {
		shown, moved, err = l.still(ctx, objects)
	} else {
		shown, err = l.look(ctx, objects)
	}
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		if !e.Prefix {
			continue
		}
		alive, err := l.alive(ctx, in, string(e.Key))
		switch {
		case err != nil:
			return nil, nil, err
		case alive:
			shown = append(shown, e)
		case several(in):
			moved = append(moved, e.Key)
		}
	}
	return shown, moved, nil
}

// several reports whether a list may have several entries of one key.
func several(in intra.ListRequest) bool { return in.Versions || in.Uploads }

// still returns those of some entries whose keys are not moved, and the keys that are.
func (l *movingList) still(ctx context.Context, entries []cluster.Entry) (unmoved []cluster.Entry, moved []cluster.ObjectKey, err error) {
	firsts := slices.CompactFunc(slices.Clone(entries), func(a, b cluster.Entry) bool { return a.Key == b.Key })
	keys := make(map[cluster.ObjectKey]bool)
	err = l.ask(ctx, firsts, func(e cluster.Entry, k *intra.MovedKey) {
		if k.Moved {
			keys[e.Key] = true
			moved = append(moved, e.Key)
		}
	})
	return slices.DeleteFunc(slices.Clone(entries), func(e cluster.Entry) bool { return keys[e.Key] }), moved, err
}

// alive reports whether there is an object behind in.After with a prefix that only the frozen id shows; where a key may have
// several, whether there is a key that is not moved.
func (l *movingList) alive(ctx context.Context, in intra.ListRequest, prefix string) (bool, error) {
	in.BucketID, in.Prefix, in.Delimiter, in.Limit, in.Details = l.place.bucket.Under, prefix, "", aliveKeys, false
	for {
		page, err := l.front.mergedPage(ctx, l.caller, l.place, l.place.bucket.Bucket, in)
		if err != nil || len(page.Entries) == 0 {
			return false, err
		}
		end := endOf(&page)
		var shown []cluster.Entry
		if several(in) {
			shown, _, err = l.still(ctx, page.Entries)
			end = position{key: end.key}
		} else {
			shown, err = l.look(ctx, page.Entries)
		}
		if err != nil || len(shown) > 0 || !page.More {
			return len(shown) > 0, err
		}
		end.goOn(&in)
	}
}

// look asks the owners of keys that the frozen id has what they are: that, if they are not moved, or what they are since.
func (l *movingList) look(ctx context.Context, entries []cluster.Entry) (shown []cluster.Entry, err error) {
	err = l.ask(ctx, entries, func(e cluster.Entry, k *intra.MovedKey) {
		switch {
		case !k.Moved:
			shown = append(shown, e)
		case k.Exists && k.Entry != nil:
			shown = append(shown, *k.Entry)
		}
	})
	return shown, err
}

// ask asks the owners of keys where they are, and calls tell with each answer, one at a time.
func (l *movingList) ask(ctx context.Context, entries []cluster.Entry, tell func(cluster.Entry, *intra.MovedKey)) error {
	shares := make(map[cluster.NodeID][]cluster.Entry)
	for _, e := range entries {
		owner, _ := l.place.view.Map().Owner(cluster.SlotOf(l.place.bucket.ID, e.Key))
		shares[owner] = append(shares[owner], e)
	}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	for owner, share := range shares {
		g.Go(func() error {
			keys, err := l.askAt(ctx, owner, share)
			mu.Lock()
			defer mu.Unlock()
			for i := range keys {
				tell(share[i], &keys[i])
			}
			return err
		})
	}
	return g.Wait()
}

func (l *movingList) askAt(ctx context.Context, owner cluster.NodeID, entries []cluster.Entry) ([]intra.MovedKey, error) {
	in := &intra.MoveRequest{BucketID: l.place.bucket.ID, Look: true}
	for _, e := range entries {
		in.Keys = append(in.Keys, e.Key)
	}
	reply, err := l.callMove(ctx, owner, in)
	if err == nil && len(reply.Keys) != len(entries) {
		err = cluster.Fail("", "", cluster.KindUnavailable, "an owner told of other keys")
	}
	if err != nil {
		failed := cluster.E("proxy/front.look", "", cluster.KindOther, err)
		failed.Subject = l.place.bucket.Bucket.String()
		return nil, failed
	}
	return reply.Keys, nil
}

func (l *movingList) callMove(ctx context.Context, owner cluster.NodeID, in *intra.MoveRequest) (*intra.MoveReply, error) {
	f := l.front
	g := &intra.Grant{
		Request: l.caller.request, Identity: l.caller.key, Root: l.caller.root, Dialect: intra.Node, Operation: "Move",
		Bucket: l.place.bucket.Bucket, BucketID: in.BucketID, Owner: owner, MapVersion: l.place.view.Map().Version, Gateway: f.o.Self,
	}
	if owner == f.o.Self && f.o.Local != nil {
		return f.o.Local.Move(ctx, g, in)
	}
	call, ok := f.callTo(l.place, g)
	if !ok {
		return nil, cluster.Fail("proxy/front.callMove", string(owner), cluster.KindUnavailable, "an owner is not in the map")
	}
	return f.o.Remote.Move(ctx, call, in)
}
