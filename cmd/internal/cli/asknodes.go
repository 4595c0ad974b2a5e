package cli

import (
	"context"
	"sync"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// answer is what one node said.
type answer[T any] struct {
	node  string
	value T
	err   error
}

// askNodes asks nodes at the same time, and waits no longer than limit. The answers are in the order of ids.
func askNodes[T any](ctx context.Context, limit time.Duration, ids []string, ask func(context.Context, cluster.NodeID) (T, error)) []answer[T] {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	answers := make([]answer[T], len(ids))
	var wg sync.WaitGroup
	for i, id := range ids {
		wg.Go(func() {
			value, err := ask(ctx, cluster.NodeID(id))
			answers[i] = answer[T]{id, value, err}
		})
	}
	wg.Wait()
	return answers
}
