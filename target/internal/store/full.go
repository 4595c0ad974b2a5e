package store

import (
	"context"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/meta"
)

// A body that is staged comes to a holder before anything is prepared, so one that is full refuses it in time. A small body comes in its
// record, and is refused by the full holder when others have prepared it: then its outcome is unknown. So a holder that had no space is
// asked first from then on, until it has.

// inlineIn is how many bytes of data come in some records themselves. What is only deleted or completed needs no space.
func inlineIn(records []*meta.Record) int64 {
	n := 0
	for _, r := range records {
		if r.Kind == meta.UploadPart || r.Kind == meta.Current && r.PartCount == 0 {
			n += len(r.Inline)
		}
	}
	return int64(n)
}

// askSpace asks the holders in sync that had no space the last time, before anything is prepared. What else keeps them from answering
// shows when they are to prepare it.
func (r *rounds) askSpace(ctx context.Context) error {
	t := r.turn
	if r.begun || inlineIn(r.change.put) == 0 {
		return nil
	}
	for _, h := range r.state.Holders[1:] {
		if _, full := t.store.full.Load(h.Node); !full || !h.InSync {
			continue
		}
		message := r.request
		message.Sender, message.Asks = t.store.sender(r.m, h.Node), true
		_, err := r.prepareOnce(ctx, h.Node, &message)
		if cluster.Is(err, cluster.KindNoSpace) {
			t.shard.unprepare(t.id)
			return t.name.wrap(t.op, cluster.KindNoSpace, err)
		}
		if err == nil {
			t.store.full.Delete(h.Node)
		}
	}
	return nil
}
