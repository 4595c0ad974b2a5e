package raftnode

import (
	"errors"

	"github.com/hashicorp/raft"

	"github.com/aisle-store/aisle/cluster"
)

// ErrUncertain says that a command was handed to raft, and that leadership or the context ended before its outcome was
// known. It may be applied later.
var ErrUncertain = errors.New("the outcome is not known")

// ErrStopped says that the engine has stopped or is stopping. The call had no effect.
var ErrStopped = errors.New("the engine has stopped")

// NotLeaderError says that this member does not lead, so the call had no effect.
type NotLeaderError struct {
	Leader cluster.NodeID // who leads as far as this member knows; may be empty
}

// Error names the leader if it is known.
func (e *NotLeaderError) Error() string {
	if e.Leader == "" {
		return "not the leader; nobody leads now"
	}
	return "not the leader, which is " + string(e.Leader)
}

// errNotTaken wraps the end of a context that came before raft took the call.
type errNotTaken struct{ error }

// fail turns an error of raft into one of ours. What has no effect here and may have one elsewhere is unavailable.
func (e *Engine) fail(op string, err error) error {
	var notTaken errNotTaken
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		leader := e.Leader()
		if leader == e.id {
			leader = ""
		}
		return cluster.E(op, "", cluster.KindUnavailable, &NotLeaderError{Leader: leader})
	case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrAbortedByRestore), errors.Is(err, raft.ErrRaftShutdown):
		return cluster.E(op, "", cluster.KindUnavailable, errors.Join(ErrUncertain, err))
	case errors.Is(err, ErrUncertain), errors.Is(err, ErrStopped):
		if cause := e.machine.cause(); cause != nil {
			err = errors.Join(err, cause)
		}
		return cluster.E(op, "", cluster.KindUnavailable, err)
	case errors.As(err, &notTaken):
		return cluster.E(op, "", cluster.KindUnavailable, notTaken.error)
	}
	if e.guard.cause() != nil {
		// A failed append may be on disk all the same.
		return cluster.E(op, "", cluster.KindUnavailable, errors.Join(ErrUncertain, err))
	}
	return cluster.E(op, "", cluster.KindOther, err)
}
