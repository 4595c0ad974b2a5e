package target

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"slices"
	"sync"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/config"
	"github.com/aisle-store/aisle/s3"
	"github.com/aisle-store/aisle/s3/lifecycle"
	"github.com/aisle-store/aisle/target/internal/store"
)

// expiry tells the store what expires, by what this node has applied.
type expiry struct {
	control Control

	mu      sync.Mutex
	known   bool             // guarded by mu
	version uint64           // guarded by mu: of the bucket table that was looked at last
	buckets []store.Expiring // guarded by mu: of it
	print   uint64           // guarded by mu
}

// Expiring implements store.Lifecycle. Every mountpath asks all the time: buckets are looked at when their table has changed.
func (e *expiry) Expiring() ([]store.Expiring, uint64) {
	state := e.control.Applied()
	e.mu.Lock()
	defer e.mu.Unlock()
	if version := state.BMDVersion(); !e.known || version != e.version {
		e.known, e.version = true, version
		e.buckets, e.print = expiringIn(state)
	}
	return e.buckets, e.print
}

func expiringIn(state State) (all []store.Expiring, print uint64) {
	for _, entry := range state.Buckets() {
		if rules := rulesOf(state, entry.ID); rules != nil {
			all = append(all, store.Expiring{Bucket: entry, Rules: rules})
		}
	}
	slices.SortFunc(all, func(a, b store.Expiring) int { return cmp.Compare(a.Bucket.ID, b.Bucket.ID) })
	h := fnv.New64a()
	for _, b := range all {
		config, _ := state.BucketConfig(b.Bucket.ID, s3.LifecycleDocument)
		var id [16]byte
		binary.LittleEndian.PutUint64(id[:], uint64(b.Bucket.ID))
		binary.LittleEndian.PutUint64(id[8:], uint64(len(config.Value)))
		h.Write(id[:])
		h.Write(config.Value)
	}
	return all, h.Sum64()
}

// rulesOf returns the rules of a bucket, or nil.
func rulesOf(state State, id cluster.BucketID) *lifecycle.Configuration {
	doc, ok := state.BucketConfig(id, s3.LifecycleDocument)
	if !ok {
		return nil
	}
	parsed, err := doc.Parsed(s3.DecodeLifecycle)
	if err != nil {
		return nil // another version of this program has set it: nothing is removed by rules that are not understood
	}
	return &parsed.(*s3.Lifecycle).Configuration
}

// Rules implements store.Lifecycle.
func (e *expiry) Rules(id cluster.BucketID) (cluster.BucketEntry, *lifecycle.Configuration) {
	state := e.control.Applied()
	entry, ok := state.BucketByID(id)
	if !ok {
		return entry, nil
	}
	return entry, rulesOf(state, id)
}

// Clock implements store.Lifecycle.
func (e *expiry) Clock() lifecycle.Clock {
	return lifecycle.Clock{Day: config.LifecycleDay.Get(e.control.Applied().Setting)}
}

// StartLifecycle looks now for everything that has expired.
func (t *Target) StartLifecycle() { t.store.StartLifecycle() }

// Expired returns how much has expired here since the process started.
func (t *Target) Expired() Expired { return t.store.Expired() }

// Expired is how much has expired.
type Expired = store.Expired
