package target

import (
	"fmt"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/target/internal/store"
)

// ScrubSettings say how what is stored is verified.
type ScrubSettings = store.ScrubSettings

// Scrub returns how far the verification of the mountpaths is, and what is damaged.
func (t *Target) Scrub() api.Scrub {
	answer := api.Scrub{Mountpaths: []api.ScrubState{}, Damages: []api.Damage{}}
	for _, s := range t.store.Scrubs() {
		state := api.ScrubState{
			ID: string(s.Mountpath.ID), Path: s.Mountpath.Path, Asked: s.Asked, Running: s.Running, Pass: s.Pass, Began: s.Began, Ended: s.Ended,
			Entries: s.Entries, Bytes: s.Bytes, Previous: s.Previous, Found: s.Found, Damaged: s.Damaged, Repaired: s.Repaired,
		}
		if s.Err != nil {
			state.Failed = s.Err.Error()
		}
		answer.Mountpaths = append(answer.Mountpaths, state)
	}
	list, more := t.store.Damages()
	for i := range list {
		d := &list[i]
		answer.Damages = append(answer.Damages, api.Damage{
			Mountpath: string(d.Mountpath), Object: t.objectName(d.Bucket, d.Key), Upload: string(d.Upload), Part: d.Part, Since: d.Since,
			Error: d.Error, Copies: d.Copies, Attempts: d.Attempts, Failed: d.Failed,
		})
	}
	answer.More = more
	return answer
}

// StartScrub verifies everything now, and has repairs tried again.
func (t *Target) StartScrub() { t.store.StartScrub() }

// objectName is how people call an object.
func (t *Target) objectName(bucket cluster.BucketID, key cluster.ObjectKey) string {
	if key == "" {
		return ""
	}
	if entry, ok := t.control.Applied().BucketByID(bucket); ok {
		return entry.Bucket.Object(key)
	}
	return fmt.Sprintf("bucket %d: %s", uint64(bucket), key)
}
