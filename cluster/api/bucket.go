package api

import (
	"strconv"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// BucketName is a bucket in the list of buckets.
type BucketName struct {
	Name      string    `json:"name"`
	Provider  string    `json:"provider"`
	Namespace Namespace `json:"namespace"`
}

// Namespace is AIStore's namespace; both are empty for the global one.
type Namespace struct {
	UUID string `json:"uuid"`
	Name string `json:"name"`
}

// NewBucketName returns b as it stands in lists.
func NewBucketName(b cluster.Bucket) BucketName {
	return BucketName{Name: string(b.Name), Provider: string(b.Provider)}
}

// Bucket returns the name as a cluster.Bucket.
func (n BucketName) Bucket() cluster.Bucket {
	b := cluster.Bucket{Provider: cluster.Provider(n.Provider), Name: cluster.BucketName(n.Name)}
	if n.Namespace != (Namespace{}) {
		b.Namespace = "@" + n.Namespace.UUID + "#" + n.Namespace.Name
	}
	return b
}

// BucketProps are the properties of a bucket in header HeaderBucketProps and in the BMD. 64-bit numbers are strings.
type BucketProps struct {
	Provider   string             `json:"provider"`
	Checksum   ChecksumConf       `json:"checksum"`
	Replicas   int                `json:"replicas"`
	MinCopies  int                `json:"min_copies,omitempty"` // zero: two, or one where there is one copy
	Redirect   string             `json:"redirect,omitempty"`
	Mirror     MirrorConf         `json:"mirror"`
	EC         ECConf             `json:"ec"`
	Versioning VersioningConf     `json:"versioning"`
	Lock       cluster.BucketLock `json:"object_lock,omitzero"`
	LRU        LRUConf            `json:"lru"`
	Access     uint64             `json:"access,string"`
	BID        uint64             `json:"bid,string"`
	Created    int64              `json:"created,string"` // nanoseconds since 1970
	Creator    string             `json:"creator,omitempty"`
	State      string             `json:"state"`
}

// The sections of BucketProps. Those of what is not built say "disabled", for AIStore's clients read them.
type (
	// ChecksumConf is the checksum section.
	ChecksumConf struct {
		Type string `json:"type"`
	}
	// MirrorConf is the mirror section.
	MirrorConf struct {
		Enabled bool  `json:"enabled"`
		Copies  int64 `json:"copies"`
	}
	// ECConf is the erasure coding section.
	ECConf struct {
		Enabled      bool `json:"enabled"`
		DataSlices   int  `json:"data_slices"`
		ParitySlices int  `json:"parity_slices"`
	}
	// VersioningConf is the versioning section: the integer counter of each object, which is always there, and whether what
	// is replaced stays.
	VersioningConf struct {
		Enabled  bool   `json:"enabled"`
		Versions string `json:"versions,omitempty"` // cluster.Versioning
	}
	// LRUConf is the eviction section.
	LRUConf struct {
		Enabled bool `json:"enabled"`
	}
)

// props returns the section as cluster.BucketProps has it.
func (m MirrorConf) props() int {
	if !m.Enabled {
		return 0
	}
	return int(m.Copies)
}

// accessAll has AIStore's access bits GET to ADMIN set: what a key may do is decided by policies.
const accessAll = 1<<18 - 1

// NewBucketProps returns the wire form of a bucket's entry.
func NewBucketProps(e cluster.BucketEntry) BucketProps {
	return BucketProps{
		Provider:   string(e.Bucket.Provider),
		Checksum:   ChecksumConf{Type: string(e.Props.Checksum)},
		Replicas:   e.Props.Replicas,
		MinCopies:  e.Props.MinCopies,
		Redirect:   e.Props.Redirect,
		Mirror:     MirrorConf{Enabled: e.Props.Mirror > 0, Copies: int64(max(e.Props.Mirror, 1))},
		EC:         ECConf{Enabled: e.Props.Data > 0, DataSlices: e.Props.Data, ParitySlices: e.Props.Parity},
		Versioning: VersioningConf{Enabled: true, Versions: string(e.Props.Versioning)},
		Lock:       e.Props.Lock,
		Access:     accessAll,
		BID:        uint64(e.ID),
		Created:    e.Created.UnixNano(),
		Creator:    string(e.Creator),
		State:      stateOf(e),
	}
}

// stateOf tells the state of a bucket: besides those of cluster.BucketState, "converting" while objects are moved to the layout
// that it has been given.
func stateOf(e cluster.BucketEntry) string {
	if e.Under != 0 {
		return "converting"
	}
	return e.State.String()
}

// Entry returns the properties as a bucket's entry.
func (p BucketProps) Entry(b cluster.Bucket) cluster.BucketEntry {
	e := cluster.BucketEntry{
		ID: cluster.BucketID(p.BID), Bucket: b, Created: time.Unix(0, p.Created).UTC(), Creator: cluster.AccessKeyID(p.Creator),
		Props: cluster.BucketProps{
			Checksum: cluster.ChecksumType(p.Checksum.Type), Replicas: p.Replicas, MinCopies: p.MinCopies, Redirect: p.Redirect,
			Data: p.EC.DataSlices, Parity: p.EC.ParitySlices, Mirror: p.Mirror.props(), Versioning: cluster.Versioning(p.Versioning.Versions), Lock: p.Lock,
		},
	}
	if p.State == cluster.BucketDeleting.String() {
		e.State = cluster.BucketDeleting
	}
	return e
}

// BMD is the bucket table: provider, namespace ("@#" is the global one), name.
type BMD struct {
	Providers map[string]map[string]map[string]BucketProps `json:"providers"`
	UUID      string                                       `json:"uuid"`
	Version   string                                       `json:"version"`
}

// NewBMD returns the wire form of the bucket table.
func NewBMD(clusterID string, version uint64, entries []cluster.BucketEntry) BMD {
	bmd := BMD{Providers: make(map[string]map[string]map[string]BucketProps), UUID: clusterID, Version: strconv.FormatUint(version, 10)}
	for _, e := range entries {
		provider, ns := string(e.Bucket.Provider), e.Bucket.Namespace
		if ns == "" {
			ns = "@#"
		}
		if bmd.Providers[provider] == nil {
			bmd.Providers[provider] = make(map[string]map[string]BucketProps)
		}
		if bmd.Providers[provider][ns] == nil {
			bmd.Providers[provider][ns] = make(map[string]BucketProps)
		}
		bmd.Providers[provider][ns][string(e.Bucket.Name)] = NewBucketProps(e)
	}
	return bmd
}
