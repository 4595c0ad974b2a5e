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
	for page.More && len(page.Entries) <= in.Limit {
		now, frozen, err := l.both(ctx, in)
		if err != nil {
			return list.Page{}, err
		}
		horizon, more := cut(&now, &frozen)
		unmoved, err := l.unmoved(ctx, in, without(frozen.Entries, now.Entries))
		if err != nil {
			return list.Page{}, err
		}
		entries := append(now.Entries, unmoved...)
		slices.SortFunc(entries, func(a, b cluster.Entry) int { return strings.Compare(string(a.Key), string(b.Key)) })
		page.Entries, page.More, in.After = append(page.Entries, entries...), more, horizon
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

// cut leaves of two pages what lies before the end of both: a list goes on behind the key that it returns, if there is more.
func cut(pages ...*list.Page) (horizon string, more bool) {
	for _, p := range pages {
		if !p.More {
			continue
		}
		if last := string(p.Entries[len(p.Entries)-1].Key); !more || last < horizon {
			horizon, more = last, true
		}
	}
	if more {
		for _, p := range pages {
			p.Entries = slices.DeleteFunc(p.Entries, func(e cluster.Entry) bool { return string(e.Key) > horizon })
		}
	}
	return horizon, more
}

// without returns the entries whose keys are not among those of others. Both are ordered.
func without(entries, others []cluster.Entry) []cluster.Entry {
	return slices.DeleteFunc(entries, func(e cluster.Entry) bool {
		_, found := slices.BinarySearchFunc(others, e.Key, func(o cluster.Entry, key cluster.ObjectKey) int {
			return strings.Compare(string(o.Key), string(key))
		})
		return found
	})
}

// unmoved returns what is to be shown of entries that only the frozen id has.
func (l *movingList) unmoved(ctx context.Context, in intra.ListRequest, entries []cluster.Entry) ([]cluster.Entry, error) {
	shown, err := l.look(ctx, slices.DeleteFunc(slices.Clone(entries), func(e cluster.Entry) bool { return e.Prefix }))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !e.Prefix {
			continue
		}
		alive, err := l.alive(ctx, in, string(e.Key))
		if err != nil {
			return nil, err
		}
		if alive {
			shown = append(shown, e)
		}
	}
	return shown, nil
}

// alive reports whether there is an object behind in.After with a prefix that only the frozen id shows.
func (l *movingList) alive(ctx context.Context, in intra.ListRequest, prefix string) (bool, error) {
	in.BucketID, in.Prefix, in.Delimiter, in.Limit, in.Details = l.place.bucket.Under, prefix, "", aliveKeys, false
	for {
		page, err := l.front.mergedPage(ctx, l.caller, l.place, l.place.bucket.Bucket, in)
		if err != nil || len(page.Entries) == 0 {
			return false, err
		}
		in.After = string(page.Entries[len(page.Entries)-1].Key)
		shown, err := l.look(ctx, page.Entries)
		if err != nil || len(shown) > 0 || !page.More {
			return len(shown) > 0, err
		}
	}
}

// look asks the owners of keys that the frozen id has what they are: that, if they are not moved, or what they are since.
func (l *movingList) look(ctx context.Context, entries []cluster.Entry) ([]cluster.Entry, error) {
	shares := make(map[cluster.NodeID][]cluster.Entry)
	for _, e := range entries {
		owner, _ := l.place.view.Map().Owner(cluster.SlotOf(l.place.bucket.ID, e.Key))
		shares[owner] = append(shares[owner], e)
	}
	var mu sync.Mutex
	var shown []cluster.Entry
	g, ctx := errgroup.WithContext(ctx)
	for owner, share := range shares {
		g.Go(func() error {
			some, err := l.lookAt(ctx, owner, share)
			mu.Lock()
			defer mu.Unlock()
			shown = append(shown, some...)
			return err
		})
	}
	return shown, g.Wait()
}

func (l *movingList) lookAt(ctx context.Context, owner cluster.NodeID, entries []cluster.Entry) ([]cluster.Entry, error) {
	in := &intra.MoveRequest{BucketID: l.place.bucket.ID, Look: true}
	for _, e := range entries {
		in.Keys = append(in.Keys, e.Key)
	}
	reply, err := l.callMove(ctx, owner, in)
	if err != nil {
		failed := cluster.E("proxy/front.look", "", cluster.KindOther, err)
		failed.Subject = l.place.bucket.Bucket.String()
		return nil, failed
	}
	shown := make([]cluster.Entry, 0, len(entries))
	for i, k := range reply.Keys {
		switch {
		case !k.Moved:
			shown = append(shown, entries[i])
		case k.Exists && k.Entry != nil:
			shown = append(shown, *k.Entry)
		}
	}
	return shown, nil
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
