package api

import (
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/xact"
)

// Snap is a job of one node, as it was when the node was asked: an element of the answer to what=qryxstats.
type Snap struct {
	ID      string    `json:"id"`
	Kind    string    `json:"kind"`
	Started time.Time `json:"start-time"`
	Ended   time.Time `json:"end-time"` // zero while it runs
	Stats   SnapStats `json:"stats"`
	Aborted bool      `json:"aborted"`
	Err     string    `json:"err"`
	Control string    `json:"ctlmsg"` // what it works on
	Ext     SnapExt   `json:"ext"`
}

// SnapStats is what a job has done.
type SnapStats struct {
	Objects    int64 `json:"loc-objs,string"`
	Bytes      int64 `json:"loc-bytes,string"`
	InObjects  int64 `json:"in-objs,string"` // of them, what came from other nodes
	InBytes    int64 `json:"in-bytes,string"`
	OutObjects int64 `json:"out-objs,string"`
	OutBytes   int64 `json:"out-bytes,string"`
}

// SnapExt is how far a job is: what AIStore's has no place for.
type SnapExt struct {
	Node         string        `json:"node"`
	State        string        `json:"state"`
	SlotsDone    int64         `json:"slots-done,string"`
	SlotsTotal   int64         `json:"slots-total,string"`   // 0: it does not work slot by slot
	ObjectsTotal int64         `json:"objects-total,string"` // 0: not known; it may be an estimate, as the next
	BytesTotal   int64         `json:"bytes-total,string"`
	Percent      float64       `json:"percent"` // negative: not known
	Rate         float64       `json:"rate"`    // bytes per second, of the last seconds
	Left         time.Duration `json:"left,string"`
}

// NewSnaps returns jobs in their wire form.
func NewSnaps(jobs []xact.Job) []Snap {
	snaps := make([]Snap, len(jobs))
	for i := range jobs {
		j := &jobs[i]
		s := Snap{ID: string(j.ID), Kind: string(j.Kind), Started: j.Started, Ended: j.Ended, Err: j.Err, Control: j.Subject,
			Aborted: j.State == xact.Stopped || j.State == xact.Failed}
		s.Stats = SnapStats{Objects: j.Objects.Done, Bytes: j.Bytes.Done}
		if j.Kind == xact.Rebalance {
			s.Stats = SnapStats{InObjects: j.Objects.Done, InBytes: j.Bytes.Done}
		}
		percent, known := j.Percent()
		if !known {
			percent = -1
		}
		s.Ext = SnapExt{Node: string(j.Node), State: string(j.State), SlotsDone: j.Slots.Done, SlotsTotal: j.Slots.Total,
			ObjectsTotal: j.Objects.Total, BytesTotal: j.Bytes.Total, Percent: percent, Rate: j.Rate, Left: j.Left}
		snaps[i] = s
	}
	return snaps
}

// Job reads what NewSnaps wrote.
func (s *Snap) Job() xact.Job {
	return xact.Job{
		ID: cluster.JobID(s.ID), Kind: xact.Kind(s.Kind), Node: cluster.NodeID(s.Ext.Node), Subject: s.Control, State: xact.State(s.Ext.State),
		Slots:   xact.Progress{Done: s.Ext.SlotsDone, Total: s.Ext.SlotsTotal},
		Objects: xact.Progress{Done: s.Stats.Objects + s.Stats.InObjects, Total: s.Ext.ObjectsTotal},
		Bytes:   xact.Progress{Done: s.Stats.Bytes + s.Stats.InBytes, Total: s.Ext.BytesTotal},
		Rate:    s.Ext.Rate, Left: s.Ext.Left, Started: s.Started, Ended: s.Ended, Err: s.Err,
	}
}
