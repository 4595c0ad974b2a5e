package front

import (
	"context"
	"slices"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/control"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/cluster/intra"
)

// Object requests wait out changes of the map here, so that clients see latency and no errors. A request may be tried
// again only while its body has not been consumed, and always under the same request id: the owner knows a repetition.
const (
	holdLimit    = 10 * time.Second      // while the map changes, or is about to
	unsureLimit  = 2 * time.Second       // while an owner that nobody could replace, or this gateway, waits for its lease
	retryFirst   = 10 * time.Millisecond // between two tries, unless the map changes sooner
	retryLongest = 250 * time.Millisecond
)

// place is where a key's operations happen, by one version of the map.
type place struct {
	view   *control.View
	bucket cluster.BucketEntry
	slot   cluster.Slot
	owner  cluster.NodeID
	epoch  cluster.Epoch
}

// locate finds the owner of a key. What it says is certain: the view reflects every acknowledged change.
func (f *Front) locate(ctx context.Context, bucket cluster.Bucket, key cluster.ObjectKey) (place, error) {
	const op = "proxy/front.locate"
	view, entry, err := f.bucket(ctx, bucket)
	if err != nil {
		return place{}, err
	}
	p := place{view: view, bucket: entry, slot: cluster.SlotOf(entry.ID, key)}
	p.owner, p.epoch = view.Map().Owner(p.slot)
	if p.owner == "" {
		return p, cluster.Fail(op, bucket.Object(key), cluster.KindUnavailable, "no target has joined yet")
	}
	return p, nil
}

// bucket finds a bucket, or says for certain that it does not exist. A change of the table shows at one node before the
// other, so what is not decided everywhere is not told: a bucket that is missing here is looked up as of now, and one that is
// being deleted is waited for.
func (f *Front) bucket(ctx context.Context, b cluster.Bucket) (*control.View, cluster.BucketEntry, error) {
	const op = "proxy/front.bucket"
	view, err := f.o.Control.Current()
	for err == nil {
		entry, ok := view.Bucket(b)
		if !ok {
			if view, err = f.o.Control.Latest(ctx); err != nil {
				break
			}
			if entry, ok = view.Bucket(b); !ok {
				return view, entry, cluster.Fail(op, b.String(), cluster.KindBucketNotFound, "the bucket does not exist")
			}
		}
		if entry.State == cluster.BucketActive {
			return view, entry, nil
		}
		view, err = f.decided(ctx, entry.ID)
	}
	failed := cluster.E(op, "", cluster.KindOther, err)
	failed.Subject = b.String()
	return nil, cluster.BucketEntry{}, failed
}

// decided waits until a bucket that is being deleted is gone, or stays.
func (f *Front) decided(ctx context.Context, id cluster.BucketID) (*control.View, error) {
	wait, cancel := context.WithTimeout(ctx, holdLimit)
	defer cancel()
	err := f.o.Control.Wait(wait, func(v *control.View) bool {
		e, ok := v.BucketByID(id)
		return !ok || e.State == cluster.BucketActive
	})
	if err != nil {
		return nil, cluster.E("proxy/front.decided", "", cluster.KindUnavailable, err)
	}
	return f.o.Control.Current()
}

// object takes a granted request to the owner of its key. The caller has set what it knows of the grant: identity,
// dialect, operation, bucket, key, payload.
func (f *Front) object(ctx context.Context, g intra.Grant, req *httpd.Request, rep *httpd.Reply) error {
	started, way := time.Now(), passage{}
	if g.Write {
		way.began = f.o.Clocks.Now()
	}
	g.Request, g.Gateway = req.ID, f.o.Self
	for pause := retryFirst; ; pause = min(2*pause, retryLongest) {
		p, err := f.locate(ctx, g.Bucket, g.Key)
		if err == nil {
			g.BucketID, g.Slot, g.Owner, g.Epoch, g.MapVersion = p.bucket.ID, p.slot, p.owner, p.epoch, p.view.Map().Version
			if g.Write {
				g.Remote = toldRemote(p.view, p.bucket.ID, req.Remote)
			}
			err = f.send(ctx, p, &g, &way, req, rep)
		}
		if err == nil || !cluster.Is(err, cluster.KindUnavailable) || !req.Replayable() {
			return err
		}
		if !f.mayHold(p, time.Since(started)) {
			return err
		}
		if f.pause(ctx, p, pause) != nil {
			return err
		}
		rep.Reset()
		req.Rewind()
	}
}

// mayHold reports whether a request that could not be answered is worth holding: while the map changes, has changed since it was
// sent, or will change because others can take over from an owner that does not answer; else only for as long as a lease takes to
// come back. Who is told to come back waits longer than need be, each time more.
func (f *Front) mayHold(p place, waited time.Duration) bool {
	now := f.o.Control.View()
	switch {
	case now.Pending() != nil, p.view != nil && now.Map().Version != p.view.Map().Version:
	case p.view != nil && hasHeirs(p.view.Map(), p) && f.o.Control.CheckLease() == nil:
	default:
		return waited < unsureLimit
	}
	return waited < holdLimit
}

// hasHeirs reports whether another node could own what a request is about: a key, or, without an owner, the whole bucket.
func hasHeirs(m *cluster.Map, p place) bool {
	if p.owner == "" {
		layout := int(p.bucket.ID.Layout())
		return layout < len(m.Layouts) && m.Layouts[layout].Width() > 1
	}
	return slices.ContainsFunc(m.Slot(p.slot).Holders, func(h cluster.Holder) bool { return h.Node != p.owner && h.InSync })
}

// pause waits until the map changes or the time is over. It returns an error when the client is gone.
func (f *Front) pause(ctx context.Context, p place, d time.Duration) error {
	wait, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	seen := f.o.Control.View().Map().Version
	if p.view != nil {
		seen = p.view.Map().Version
	}
	if f.o.Control.Wait(wait, func(v *control.View) bool { return v.Map().Version != seen }) == nil {
		return nil
	}
	return ctx.Err()
}
