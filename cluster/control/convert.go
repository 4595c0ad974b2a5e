package control

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/config"
	"github.com/aisle-store/aisle/cluster/internal/state"
)

// How the leader asks targets to move objects.
const (
	moveTimeout = 20 * time.Second // for one call, which moves objects for some seconds, or one that is large
	moveHere    = time.Hour        // for one to this node: its end would end the move, which goes on at another node
	movePause   = 500 * time.Millisecond
)

// driveConversions takes up every conversion that is under way, those that an earlier leader began included.
func (t *term) driveConversions() {
	for t.life.Err() == nil {
		v := t.View()
		for _, c := range v.state.Conversions {
			if t.takeUp(c.Index) {
				t.work.Go(func() { t.driveConversion(c) })
			}
		}
		select {
		case <-v.next:
		case <-t.life.Done():
		}
	}
}

// driveConversion leads one conversion to its end.
func (t *term) driveConversion(c state.Conversion) {
	if !c.Moving {
		refusal := t.freezeEverywhere(c)
		t.insist(state.Command{Convert: &state.Convert{Conversion: c.Index, Refusal: refusal}})
		if _, moving := t.View().state.BucketOver(c.From); !moving {
			return
		}
	}
	began := t.clock.Now()
	t.log.Info("a bucket has another layout; its objects are being moved", "bucket", c.Bucket.String(), "layout", c.Props.Layout().String())
	for !t.moveAll(c) {
		if !sleep(t.life, movePause) {
			return
		}
	}
	// Attempts of requests from before the conversion find their outcome only while the bucket says that there was one. The
	// clocks of two nodes may differ in rate by a tenth.
	window := config.RetryWindow.Get(t.View().Setting)
	if !sleep(t.life, began+window+window/5-t.clock.Now()) {
		return
	}
	t.insist(state.Command{EndConversion: &state.EndConversion{Conversion: c.Index}})
	t.log.Info("all objects of a bucket are moved", "bucket", c.Bucket.String())
}

// insist proposes a command until it is decided, or this node does not lead any more.
func (t *term) insist(cmd state.Command) {
	for t.life.Err() == nil {
		if _, err := t.propose(t.life, cmd); err == nil {
			return
		}
		sleep(t.life, retryPause)
	}
}

// freezeEverywhere returns the zero Result when no write to a bucket that is being frozen is in flight any more, and else why
// it is to stay as it was.
func (t *term) freezeEverywhere(c state.Conversion) state.Result {
	ctx, cancel := context.WithTimeout(t.life, sealTimeout)
	defer cancel()
	if err := t.everywhere(ctx, c.Index); err != nil {
		return state.Refuse(cluster.KindUnavailable, c.Bucket.String(), "the conversion could not be made known everywhere")
	}
	for {
		began := t.View()
		refusal := t.askOwners(c.From, began, func(n cluster.Node) state.Result { return t.freeze(ctx, c, n, began.Index()) })
		if refusal.Refused() {
			return refusal
		}
		// What a target answers holds for the slots that it owned then.
		if err := t.barrier(); err != nil {
			return state.Refuse(cluster.KindUnavailable, c.Bucket.String(), "the leader has lost touch")
		}
		if sameOwners(began.Map(), t.View().Map(), c.From.Layout()) {
			return state.Result{}
		}
	}
}

// freeze asks one target until it answers or the time is over.
func (t *term) freeze(ctx context.Context, c state.Conversion, n cluster.Node, index uint64) state.Result {
	for {
		var answer frozen
		err := t.askTarget(ctx, sealTimeout/4, n, methodFreeze, c.From, index, &answer)
		if err == nil {
			return state.Result{}
		}
		if !sleep(ctx, retryPause) {
			return state.Refuse(cluster.KindUnavailable, c.Bucket.String(), fmt.Sprintf("target %s cannot say whether writes are in flight: %v", n.ID, err))
		}
	}
}

// moveAll has every target that owns slots of the frozen id move objects for some seconds, and reports whether all are moved.
func (t *term) moveAll(c state.Conversion) bool {
	began := t.View()
	if err := t.everywhere(t.life, began.Index()); err != nil {
		return false
	}
	var objects atomic.Uint64
	var unfinished atomic.Bool
	refusal := t.askOwners(c.From, began, func(n cluster.Node) state.Result {
		limit := moveTimeout
		if n.ID == t.options.Node.ID {
			limit = moveHere
		}
		var answer moved
		if err := t.askTarget(t.life, limit, n, methodMove, c.From, began.Index(), &answer); err != nil {
			return state.Refuse(cluster.KindUnavailable, "", err.Error())
		}
		objects.Add(answer.Objects)
		unfinished.Store(unfinished.Load() || !answer.Done)
		return state.Result{}
	})
	t.log.Debug("moving the objects of a bucket", "bucket", c.Bucket.String(), "objects", objects.Load(), "reason", refusal.Message)
	if refusal.Refused() || unfinished.Load() || t.barrier() != nil {
		return false
	}
	return sameOwners(began.Map(), t.View().Map(), c.From.Layout())
}

// askTarget makes one call about a bucket to a target that has applied an index.
func (t *term) askTarget(ctx context.Context, limit time.Duration, n cluster.Node, method string, b cluster.BucketID, index uint64, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	question := sealing{Version: messageVersion, Incarnation: n.Incarnation, Bucket: b, Index: index}
	return t.callNode(ctx, n.ID, method, question, answer)
}

// awaitMoved returns when no objects of a bucket are being moved.
func (t *term) awaitMoved(ctx context.Context, b cluster.Bucket) error {
	for {
		v := t.View()
		e, ok := v.Bucket(b)
		if !ok || e.Under == 0 && e.State != cluster.BucketFreezing {
			return nil
		}
		select {
		case <-v.next:
		case <-ctx.Done():
			return cluster.Fail("control.awaitMoved", b.String(), cluster.KindUnavailable, "the layout of the bucket is being changed")
		case <-t.life.Done():
			return noLeader()
		}
	}
}
