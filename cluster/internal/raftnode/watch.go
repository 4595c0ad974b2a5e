package raftnode

import (
	"github.com/hashicorp/raft"

	"github.com/aisle-store/aisle/cluster"
)

// Leadership is who leads, as one member sees it.
type Leadership struct {
	Term    uint64
	Leader  cluster.NodeID // "" while nobody is known to lead
	Leading bool           // this member leads
}

// watch turns raft's observations into the latest Leadership.
type watch struct {
	raft     *raft.Raft
	out      chan Leadership
	events   chan raft.Observation
	observer *raft.Observer
	quit     chan struct{}
	done     chan struct{}
}

func newWatch(r *raft.Raft) *watch {
	w := &watch{
		raft: r,
		out:  make(chan Leadership, 1),
		// One place is enough for raft not to wait: an event is only a reason to look again.
		events: make(chan raft.Observation, 1),
		quit:   make(chan struct{}),
		done:   make(chan struct{}),
	}
	w.observer = raft.NewObserver(w.events, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.LeaderObservation, raft.RaftState:
			return true
		}
		return false
	})
	r.RegisterObserver(w.observer)
	go w.run()
	return w
}

func (w *watch) run() {
	defer close(w.done)
	defer close(w.out)
	var told Leadership
	for {
		if now := w.look(); now != told {
			told = now
			select {
			case <-w.out: // replace what nobody has read yet
			default:
			}
			w.out <- now
		}
		select {
		case <-w.events:
		case <-w.quit:
			return
		}
	}
}

// look reads the three facts until they fit together: raft changes them one by one.
func (w *watch) look() Leadership {
	for {
		term := w.raft.CurrentTerm()
		leading := w.raft.State() == raft.Leader
		_, id := w.raft.LeaderWithID()
		if w.raft.CurrentTerm() == term && w.raft.State() == raft.Leader == leading {
			return Leadership{Term: term, Leader: cluster.NodeID(id), Leading: leading}
		}
	}
}

func (w *watch) stop() error {
	w.raft.DeregisterObserver(w.observer)
	close(w.quit)
	<-w.done
	return nil
}
