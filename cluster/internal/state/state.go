package state

import (
	"cmp"
	"slices"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// Format is the newest cluster format that this build understands. A cluster has the format of the build that formed it.
const Format = 1

// State is everything that is replicated. It and all that it refers to are immutable.
type State struct {
	Index       uint64                 // of the last command applied
	Time        time.Time              // the latest time that a command carried
	Format      uint32                 // zero until the cluster is formed
	Term        uint64                 // of the leader in office; commands of others are refused
	Active      *cluster.Map           // the map by which slots are served; version zero until the cluster is formed
	Pending     *cluster.Map           // the map that is being changed to, or nil
	LastVersion cluster.MapVersion     // the highest map version ever given out
	Buckets     []*cluster.BucketEntry // ordered by name
	Configs     []BucketConfigs        `json:",omitempty"` // of buckets that have any, ordered by their id
	LastBucket  uint64                 // the sequence number of the last bucket
	BMDVersion  uint64                 // grows with every change of the bucket table
	Deletions   []Deletion             // under way, ordered by index
	Conversions []Conversion           `json:",omitempty"` // under way, ordered by index
	Settings    map[string]string
	Keys        []Key               // ordered by id
	Identities  *cluster.Identities // never nil
	Outcomes    []Outcome           // of recent requests, oldest first

	EncryptionKeys []EncryptionKey `json:",omitempty"` // ordered by name

	byID []*cluster.BucketEntry // Buckets, ordered by id
}

// Key is an access key as the state holds it: the secret is sealed under the cluster key and opaque here.
type Key struct {
	ID     cluster.AccessKeyID `json:"id"`
	Sealed []byte              `json:"sealed"`
	Root   bool                `json:"root"`

	User     cluster.UserName `json:"user,omitempty"` // whose it is, unless it is the root key
	Inactive bool             `json:"inactive,omitempty"`
	Created  time.Time        `json:"created,omitzero"`
	Redirect string           `json:"redirect,omitempty"` // who is sent to the owners of objects: auto, always, never, or "": no matter
}

// Deletion is a bucket deletion under way. Its index, that of the command that began it, names it.
type Deletion struct {
	Index   uint64            `json:"index"`
	Bucket  cluster.BucketID  `json:"bucket"`
	Request cluster.RequestID `json:"request"`
}

// Conversion is a change of a bucket's layout under way. Its index, that of the command that began it, names it.
type Conversion struct {
	Index   uint64              `json:"index"`
	Bucket  cluster.Bucket      `json:"bucket"`
	From    cluster.BucketID    `json:"from"` // the id that is being frozen, or frozen
	Props   cluster.BucketProps `json:"props"`
	Request cluster.RequestID   `json:"request"`
	Moving  bool                `json:"moving,omitempty"` // the bucket has its new id, and its objects are being moved
}

// Outcome is what became of a request, kept so that a copy of it gets the same answer.
type Outcome struct {
	Request cluster.RequestID `json:"request"`
	Time    time.Time         `json:"time"`
	Result  Result            `json:"result"`
}

// New returns the state before the first command.
func New() *State {
	return &State{Active: &cluster.Map{Removed: map[cluster.NodeID]bool{}}, Identities: &cluster.Identities{}}
}

// Formed reports whether the cluster exists.
func (s *State) Formed() bool { return s.Active.Version > 0 }

// Bucket returns the bucket of that name.
func (s *State) Bucket(b cluster.Bucket) (*cluster.BucketEntry, bool) {
	i, ok := s.findBucket(b)
	if !ok {
		return nil, false
	}
	return s.Buckets[i], true
}

// BucketByID returns the bucket of that id.
func (s *State) BucketByID(id cluster.BucketID) (*cluster.BucketEntry, bool) {
	i, ok := slices.BinarySearchFunc(s.byID, id, compareID)
	if !ok {
		return nil, false
	}
	return s.byID[i], true
}

// BucketOver returns the bucket whose objects are being moved away from an id.
func (s *State) BucketOver(id cluster.BucketID) (*cluster.BucketEntry, bool) {
	for _, c := range s.Conversions {
		if e, ok := s.Bucket(c.Bucket); ok && e.Under == id && id != 0 {
			return e, true
		}
	}
	return nil, false
}

// Conversion returns the conversion that the request began, while the bucket is being frozen for it.
func (s *State) Conversion(req cluster.RequestID) (Conversion, bool) {
	i := slices.IndexFunc(s.Conversions, func(c Conversion) bool { return c.Request == req && !c.Moving })
	if i < 0 {
		return Conversion{}, false
	}
	return s.Conversions[i], true
}

// Key returns the access key of that id.
func (s *State) Key(id cluster.AccessKeyID) (Key, bool) {
	i, ok := slices.BinarySearchFunc(s.Keys, id, func(k Key, id cluster.AccessKeyID) int { return cmp.Compare(k.ID, id) })
	if !ok {
		return Key{}, false
	}
	return s.Keys[i], true
}

// Deletion returns the deletion that the request began, while it is under way.
func (s *State) Deletion(req cluster.RequestID) (Deletion, bool) {
	i := slices.IndexFunc(s.Deletions, func(d Deletion) bool { return d.Request == req })
	if i < 0 {
		return Deletion{}, false
	}
	return s.Deletions[i], true
}

// Outcome returns what became of a request, while it is remembered.
func (s *State) Outcome(req cluster.RequestID) (Result, bool) {
	i := slices.IndexFunc(s.Outcomes, func(o Outcome) bool { return o.Request == req })
	if i < 0 {
		return Result{}, false
	}
	return s.Outcomes[i].Result, true
}

// compareBuckets orders buckets as lists show them: by name, then provider and namespace.
func compareBuckets(a, b cluster.Bucket) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Namespace, b.Namespace))
}

func compareID(e *cluster.BucketEntry, id cluster.BucketID) int { return cmp.Compare(e.ID, id) }
