package node

import (
	"context"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/target"
)

// notifyState returns what this node has sent of events of buckets, and its dead letters.
func (n *node) notifyState(t *target.Target) (api.Notify, error) {
	letters, more, err := t.DeadLetters(n.life)
	state := api.Notify{Node: string(n.self.ID), Destinations: []api.NotifyDestination{}, DeadLetters: []api.DeadLetter{}, More: more}
	for _, l := range letters {
		state.DeadLetters = append(state.DeadLetters, api.DeadLetter{
			Destination: l.Destination, Bucket: string(l.Bucket.Name), Key: string(l.Key), Version: string(l.Version), Event: l.Event, Time: l.Time, Why: l.Why,
		})
	}
	for _, s := range t.Notices() {
		state.Destinations = append(state.Destinations, api.NotifyDestination{
			Name: s.Destination, Waiting: s.Waiting, Dead: s.Dead, Sent: s.Sent, Failed: s.Failed, Dropped: s.Dropped,
		})
	}
	return state, err
}

// changeDeadLetters sends or drops dead letters. That a destination does not take them is told in the answer: some may have been sent.
func changeDeadLetters(ctx context.Context, t *target.Target, action, destination string) (any, error) {
	do := t.SendDeadLetters
	switch action {
	case api.ActionSendDead:
	case api.ActionDropDead:
		do = t.DropDeadLetters
	default:
		return nil, cluster.Fail("node.changeDeadLetters", action, cluster.KindInvalid, "the action is "+api.ActionSendDead+" or "+api.ActionDropDead)
	}
	count, left, err := do(ctx, destination)
	done := api.NotifyDone{Count: count, Left: left}
	if err != nil {
		done.Error = err.Error()
	}
	return done, nil
}
