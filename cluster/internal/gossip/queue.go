package gossip

import "sync"

type eventKind uint8

const (
	joined eventKind = iota
	updated
	left
)

type event struct {
	kind eventKind
	peer Peer
}

// queue takes events without waiting and gives them to the callbacks one by one.
type queue struct {
	call map[eventKind]func(Peer)
	done chan struct{}
	mu   struct {
		sync.Mutex
		ready   sync.Cond // something waits, or the queue has stopped
		waiting []event
		stopped bool
	}
}

func newQueue(e Events) *queue {
	q := &queue{
		call: map[eventKind]func(Peer){joined: e.Joined, updated: e.Updated, left: e.Left},
		done: make(chan struct{}),
	}
	q.mu.ready.L = &q.mu
	go q.run()
	return q
}

func (q *queue) put(e event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.waiting = append(q.mu.waiting, e)
	q.mu.ready.Signal()
}

func (q *queue) run() {
	defer close(q.done)
	for {
		e, ok := q.take()
		if !ok {
			return
		}
		if f := q.call[e.kind]; f != nil {
			f(e.peer)
		}
	}
}

func (q *queue) take() (e event, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.mu.waiting) == 0 && !q.mu.stopped {
		q.mu.ready.Wait()
	}
	if q.mu.stopped {
		return event{}, false
	}
	e, q.mu.waiting = q.mu.waiting[0], q.mu.waiting[1:]
	return e, true
}

// stop drops what waits and returns when no callback runs.
func (q *queue) stop() {
	q.mu.Lock()
	q.mu.stopped = true
	q.mu.ready.Signal()
	q.mu.Unlock()
	<-q.done
}
