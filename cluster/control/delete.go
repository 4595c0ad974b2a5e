package control

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/internal/state"
)

// sealTimeout is how long a deletion waits for the targets before the bucket is restored.
const sealTimeout = 10 * time.Second

// driveDeletions takes up every deletion that is under way, those that an earlier leader began included.
func (t *term) driveDeletions() {
	for t.life.Err() == nil {
		v := t.View()
		for _, d := range v.state.Deletions {
			if t.takeUp(d.Index) {
				t.work.Go(func() { t.driveDeletion(d) })
			}
		}
		select {
		case <-v.next:
		case <-t.life.Done():
		}
	}
}

// takeUp reports, once, that nobody drives a deletion or a conversion yet.
func (t *term) takeUp(index uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	driven := t.mu.deletions[index]
	t.mu.deletions[index] = true
	return !driven
}

// driveDeletion decides one deletion.
func (t *term) driveDeletion(d state.Deletion) {
	ctx, cancel := context.WithTimeout(t.life, sealTimeout)
	defer cancel()
	refusal := t.sealEverywhere(ctx, d)
	t.insist(state.Command{EndDelete: &state.EndDelete{Deletion: d.Index, Refusal: refusal}})
}

// sealEverywhere returns the zero Result when the owners of all slots have proved the bucket empty, and else why it is to stay.
func (t *term) sealEverywhere(ctx context.Context, d state.Deletion) state.Result {
	if err := t.everywhere(ctx, d.Index); err != nil {
		return state.Refuse(cluster.KindUnavailable, "", "the deletion could not be made known everywhere")
	}
	for {
		began := t.View()
		refusal := t.askOwners(d.Bucket, began, func(n cluster.Node) state.Result { return t.seal(ctx, d, n, began.Index()) })
		if refusal.Refused() {
			return refusal
		}
		// What a target answers holds for the slots that it owned then: it says nothing about those that came to it later.
		if err := t.barrier(); err != nil {
			return state.Refuse(cluster.KindUnavailable, "", "the leader has lost touch")
		}
		if sameOwners(began.Map(), t.View().Map(), d.Bucket.Layout()) {
			return refusal
		}
	}
}

// barrier returns when everything is applied here that anybody can have applied.
func (t *term) barrier() error {
	ctx, cancel := context.WithTimeout(t.life, t.options.Lease)
	defer cancel()
	return t.engine.Barrier(ctx)
}

// sameOwners reports whether no slot of a layout has come to another owner, or its owner to another incarnation, between two
// maps.
func sameOwners(a, b *cluster.Map, layout cluster.LayoutID) bool {
	for i := range cluster.Slots {
		before, now := a.Slot(cluster.SlotIn(layout, i)), b.Slot(cluster.SlotIn(layout, i))
		if before.Owned != now.Owned || before.Owner() != now.Owner() {
			return false
		}
	}
	return true
}

// askOwners asks every target that owns slots of a bucket's layout by a view, and returns one of the refusals, if there are any:
// that the bucket is not empty before others.
func (t *term) askOwners(b cluster.BucketID, v *View, ask func(cluster.Node) state.Result) state.Result {
	owners := make(map[cluster.NodeID]bool)
	for i := range cluster.Slots {
		owner, _ := v.Map().Owner(cluster.SlotIn(b.Layout(), i))
		owners[owner] = true
	}
	var mu sync.Mutex
	var refusal state.Result
	var asking sync.WaitGroup
	for _, n := range v.Map().Targets() {
		if !owners[n.ID] {
			continue
		}
		asking.Go(func() {
			r := ask(n)
			mu.Lock()
			defer mu.Unlock()
			if r.Refused() && refusal.Kind != cluster.KindBucketNotEmpty.String() {
				refusal = r
			}
		})
	}
	asking.Wait()
	return refusal
}

// seal asks one target until it answers or the time is over.
func (t *term) seal(ctx context.Context, d state.Deletion, n cluster.Node, index uint64) state.Result {
	for {
		var answer sealed
		err := t.askTarget(ctx, sealTimeout/4, n, methodSeal, d.Bucket, index, &answer)
		switch {
		case err == nil && answer.Empty:
			return state.Result{}
		case err == nil:
			return state.Refuse(cluster.KindBucketNotEmpty, "", "the bucket is not empty")
		}
		if !sleep(ctx, retryPause) {
			if t.options.bug == bugSkipSilent {
				return state.Result{}
			}
			return state.Refuse(cluster.KindUnavailable, "", fmt.Sprintf("target %s cannot say whether the bucket is empty: %v", n.ID, err))
		}
	}
}
