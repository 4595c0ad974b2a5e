package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/aisle-store/aisle/cluster"
)

// snapshotVersion is the version of the snapshots that this build writes and the newest that it reads.
const snapshotVersion = 1

// Snapshot returns the whole state, as Restore takes it.
func (s *State) Snapshot() ([]byte, error) {
	return json.Marshal(snapshot{Version: snapshotVersion, State: s})
}

type snapshot struct {
	Version int    `json:"v"`
	State   *State `json:"state"`
}

// Restore returns the state of a snapshot. An error for a snapshot of a later build is a *FatalError.
func Restore(data []byte) (*State, error) {
	var version struct {
		Version int `json:"v"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	if version.Version != snapshotVersion {
		return nil, &FatalError{Reason: fmt.Sprintf("a snapshot has version %d, and this build knows version %d", version.Version, snapshotVersion)}
	}
	in := snapshot{State: New()}
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	if in.State == nil || !whole(in.State.Active) || in.State.Pending != nil && !whole(in.State.Pending) || slices.Contains(in.State.Buckets, nil) {
		return nil, errors.New("read snapshot: it is not whole")
	}
	for _, c := range in.State.Configs {
		if len(c.List) == 0 || slices.Contains(c.List, nil) {
			return nil, errors.New("read snapshot: a bucket's configuration is not whole")
		}
	}
	if in.State.Format > Format {
		return nil, newerFormat(in.State.Format)
	}
	if in.State.Identities == nil {
		in.State.Identities = &cluster.Identities{}
	}
	in.State.byID = slices.SortedFunc(slices.Values(in.State.Buckets), func(a, b *cluster.BucketEntry) int { return compareID(a, b.ID) })
	return in.State, nil
}

// whole reports whether a map has the slots of its layouts.
func whole(m *cluster.Map) bool {
	return m != nil && len(m.Layouts) <= cluster.MaxLayouts && len(m.Slots) == len(m.Layouts)*cluster.Slots && (m.Version == 0 || len(m.Layouts) > 0)
}
