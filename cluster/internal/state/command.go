package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// CommandVersion is the version of the commands that this build writes and the newest that it applies.
const CommandVersion = 1

// Command is one entry of the replicated log. Exactly one of its actions is set.
type Command struct {
	Version int               `json:"v"`
	Time    time.Time         `json:"time"`              // of the leader that proposed it
	Term    uint64            `json:"term"`              // of that leader
	Request cluster.RequestID `json:"request,omitempty"` // the request of a user that it carries out

	TakeOffice      *TakeOffice      `json:"take_office,omitempty"`
	Form            *Form            `json:"form,omitempty"`
	Propose         *Propose         `json:"propose,omitempty"`
	Activate        *Activate        `json:"activate,omitempty"`
	Cancel          *Cancel          `json:"cancel,omitempty"`
	AddLayout       *AddLayout       `json:"add_layout,omitempty"`
	Reshape         *Reshape         `json:"reshape,omitempty"`
	InSync          *InSync          `json:"in_sync,omitempty"`
	SetMountpaths   *SetMountpaths   `json:"set_mountpaths,omitempty"`
	CreateBucket    *CreateBucket    `json:"create_bucket,omitempty"`
	SetBucketProps  *SetBucketProps  `json:"set_bucket_props,omitempty"`
	SetBucketConfig *SetBucketConfig `json:"set_bucket_config,omitempty"`
	BeginDelete     *BeginDelete     `json:"begin_delete,omitempty"`
	EndDelete       *EndDelete       `json:"end_delete,omitempty"`
	Convert         *Convert         `json:"convert,omitempty"`
	EndConversion   *EndConversion   `json:"end_conversion,omitempty"`
	SetSettings     *SetSettings     `json:"set_settings,omitempty"`
	SetModes        *SetModes        `json:"set_modes,omitempty"`

	ChangeIdentities *ChangeIdentities `json:"change_identities,omitempty"`
	SetEncryptionKey *SetEncryptionKey `json:"set_encryption_key,omitempty"`
}

type (
	// TakeOffice begins the term of a leader in the state: from here on, no command of an earlier leader is carried out. What
	// a leader decides rests on the leases that it knows of, so it must not take effect after another one has granted some.
	TakeOffice struct{}
	// Form makes the cluster: map 1, in which the first node owns every slot if it is a target.
	Form struct {
		ClusterID string            `json:"cluster_id"`
		Format    uint32            `json:"format"`
		Node      cluster.Node      `json:"node"`
		Keys      []Key             `json:"keys"`
		Settings  map[string]string `json:"settings,omitempty"`
	}
	// Propose makes a pending map out of the active one. Moves gives slots to new owners; it was computed by the proposer,
	// since floating point may differ between machines. A slot goes to a holder that is in sync with its owner, which stays
	// one, too; a slot of one copy that has no such holder goes to any target, and stays where it is if it was ever written. A
	// slot of which only nodes that are lost are in sync goes to any other target, and what is in it is lost.
	Propose struct {
		Base  cluster.MapVersion                  `json:"base"`            // the active map that it was made for
		Nodes []cluster.Node                      `json:"nodes,omitempty"` // that join, or come back with another incarnation
		Leave cluster.NodeID                      `json:"leave,omitempty"` // that leaves for ever
		Moves map[cluster.NodeID]*cluster.SlotSet `json:"moves,omitempty"`
	}
	// Activate makes the pending map active, except that the slots in Kept stay with their owner.
	Activate struct {
		Version cluster.MapVersion `json:"version"`
		Kept    *cluster.SlotSet   `json:"kept"`
	}
	// Cancel drops the pending map.
	Cancel struct {
		Version cluster.MapVersion `json:"version"`
	}
	// AddLayout adds a layout to the active map. Nothing was ever written to its slots, so all of their holders are in sync.
	AddLayout struct {
		Base   cluster.MapVersion `json:"base"`
		Layout cluster.Layout     `json:"layout"`
		Slots  []Placement        `json:"slots"` // every slot of the layout that is added, once
	}
	// Reshape changes the holders of slots in the active map, in one step, and cancels the pending map. The owner stays, nobody
	// becomes in sync by it, and each of the slots gets a new epoch, in which its owner begins outstanding writes again.
	Reshape struct {
		Base    cluster.MapVersion `json:"base"`
		Changes []Placement        `json:"changes"`
	}
	// Placement is who is to hold some slots, the owner first.
	Placement struct {
		Slots   *cluster.SlotSet `json:"slots"`
		Holders []Place          `json:"holders"`
	}
	// Place is one holder of a Placement.
	Place struct {
		Node   cluster.NodeID `json:"node"`
		InSync bool           `json:"in_sync,omitempty"`
		Shard  uint8          `json:"shard,omitempty"` // that it is to keep; a holder that is to keep another one than before catches up anew
	}
	// InSync says that a holder, which was catching up, has all that the owners had in these slots under these epochs and has
	// taken every write since. Slots that have another epoch by now are passed over.
	InSync struct {
		Node        cluster.NodeID                     `json:"node"`
		Incarnation cluster.Incarnation                `json:"incarnation,string"`
		Slots       map[cluster.Epoch]*cluster.SlotSet `json:"slots"`
	}
	// SetMountpaths replaces the mountpaths of a node, and cancels the pending map. After a loss the node is partial in the slots
	// that it owns, and catches up in the others that it holds: a whole owner gives it what was lost. With none failed any more it
	// is partial nowhere.
	SetMountpaths struct {
		Node        cluster.NodeID      `json:"node"`
		Incarnation cluster.Incarnation `json:"incarnation,string"`
		Serial      uint64              `json:"serial"` // one more than cluster.Node.Remounted: a late copy does nothing
		Mountpaths  []cluster.Mountpath `json:"mountpaths"`
		Lost        bool                `json:"lost,omitempty"` // some of them have failed since the last time
		// Kept are the slots of which a mountpath that is back has kept what it had. The node must still be partial in them.
		Kept *cluster.SlotSet `json:"kept,omitempty"`
	}
	// CreateBucket makes a bucket. Its properties tell the layout, which the map must have.
	CreateBucket struct {
		Bucket  cluster.Bucket          `json:"bucket"`
		Props   cluster.BucketProps     `json:"props"`
		Creator cluster.AccessKeyID     `json:"creator"`
		Owner   string                  `json:"owner,omitempty"`   // the id of the user or role that makes it; of earlier versions: none
		Configs []*cluster.BucketConfig `json:"configs,omitempty"` // that it has from the beginning
	}
	// SetBucketProps replaces the properties of a bucket, unless they have changed since the new ones were made of them. With another
	// layout it begins a conversion: see Convert.
	SetBucketProps struct {
		Bucket cluster.Bucket       `json:"bucket"`
		Was    *cluster.BucketProps `json:"was,omitempty"` // nil, of earlier versions: whatever they are
		Props  cluster.BucketProps  `json:"props"`
	}
	// SetBucketConfig replaces one document that configures a bucket; a document without a value is none.
	SetBucketConfig struct {
		Bucket cluster.Bucket        `json:"bucket"`
		Config *cluster.BucketConfig `json:"config"`
	}
	// BeginDelete makes a bucket refuse writes, so that the targets can prove it empty.
	BeginDelete struct {
		Bucket cluster.Bucket `json:"bucket"`
	}
	// EndDelete removes the bucket of a deletion, or makes it active again and says why.
	EndDelete struct {
		Deletion uint64 `json:"deletion"`
		Refusal  Result `json:"refusal"` // zero to remove
	}
	// ChangeIdentities puts and removes identities and their keys in one step, unless they have changed since the version that
	// it was made from. Its proposer has checked that what it refers to exists.
	ChangeIdentities struct {
		Change     cluster.IdentityChange `json:"change"`
		Keys       []Key                  `json:"keys,omitempty"`
		RemoveKeys []cluster.AccessKeyID  `json:"remove_keys,omitempty"`
	}
	// SetEncryptionKey adds a version to an encryption key, which makes the key when there is none; or puts other sealed forms of
	// its versions in the place of those it has; or removes the key. It is refused when the key has changed since Base.
	SetEncryptionKey struct {
		Name     string   `json:"name"`
		Base     uint64   `json:"base"` // the key's revision that the change was made from; zero: there is no key of that name
		Add      []byte   `json:"add,omitempty"`
		Resealed [][]byte `json:"resealed,omitempty"`
		Remove   bool     `json:"remove,omitempty"`
	}
	// Convert gives the bucket of a conversion, which is frozen by now, its new id and properties, with the old id under it; or
	// makes it active again as it was, and says why.
	Convert struct {
		Conversion uint64 `json:"conversion"`
		Refusal    Result `json:"refusal"` // zero to go on
	}
	// EndConversion ends a conversion whose objects are all moved: the old id is gone.
	EndConversion struct {
		Conversion uint64 `json:"conversion"`
	}
	// SetSettings sets cluster-wide settings; an empty value goes back to the default.
	SetSettings struct {
		Values map[string]string `json:"values"`
	}
	// SetModes sets what an administrator wants of nodes, in the active map, in one step. It cancels the pending map.
	SetModes struct {
		Modes map[cluster.NodeID]cluster.NodeMode `json:"modes"`
	}
)

// FatalError says that this build cannot apply a command or read a snapshot. Whoever skipped it would hold another state
// than the rest of the cluster, so the node must stop.
type FatalError struct{ Reason string }

// Error returns the reason and the cure.
func (e *FatalError) Error() string {
	return e.Reason + "; this build would get out of step with the cluster: install the version that the other nodes run"
}

// Encode returns the log form of a command.
func (c Command) Encode() ([]byte, error) {
	c.Version = CommandVersion
	if n := c.actions(); n != 1 {
		return nil, fmt.Errorf("a command has %d actions, want 1", n)
	}
	return json.Marshal(c)
}

// Decode reads what Encode wrote. Every error is a *FatalError.
func Decode(data []byte) (Command, error) {
	var version struct {
		Version int `json:"v"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return Command{}, &FatalError{Reason: "a command cannot be read: " + err.Error()}
	}
	if version.Version != CommandVersion {
		return Command{}, &FatalError{Reason: fmt.Sprintf("a command has version %d, and this build knows version %d", version.Version, CommandVersion)}
	}
	var c Command
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return Command{}, &FatalError{Reason: "a command cannot be read: " + err.Error()}
	}
	if n := c.actions(); n != 1 {
		return Command{}, &FatalError{Reason: fmt.Sprintf("a command has %d actions", n)}
	}
	return c, nil
}

// actions counts the actions that are set.
func (c Command) actions() int {
	n := 0
	for _, set := range []bool{
		c.TakeOffice != nil, c.Form != nil, c.Propose != nil, c.Activate != nil, c.Cancel != nil, c.AddLayout != nil, c.Reshape != nil,
		c.InSync != nil, c.SetMountpaths != nil, c.CreateBucket != nil,
		c.SetBucketProps != nil, c.SetBucketConfig != nil, c.BeginDelete != nil, c.EndDelete != nil, c.SetSettings != nil, c.SetModes != nil,
		c.ChangeIdentities != nil, c.SetEncryptionKey != nil,
		c.Convert != nil, c.EndConversion != nil,
	} {
		if set {
			n++
		}
	}
	return n
}

// Result is the answer to a command. It crosses the wire and is kept as an outcome.
type Result struct {
	Kind    string               `json:"kind,omitempty"`    // of the refusal; empty means that the command was carried out
	Subject string               `json:"subject,omitempty"` // what the refusal is about
	Message string               `json:"message,omitempty"` // of the refusal
	Bucket  *cluster.BucketEntry `json:"bucket,omitempty"`  // the bucket as it is now
	Version cluster.MapVersion   `json:"version,omitempty"` // of the map that was proposed or activated
	Begun   bool                 `json:"begun,omitempty"`   // a deletion or a conversion is under way and has no outcome yet
	Index   uint64               `json:"index,omitempty"`   // at which the outcome of a request was decided
	Term    uint64               `json:"term,omitempty"`    // in which it was decided
	Stale   bool                 `json:"stale,omitempty"`   // refused, and not decided, for another leader has taken office
}

// Refused reports whether the command was refused.
func (r Result) Refused() bool { return r.Kind != "" }

// Err returns the refusal as an error of the given operation, or nil.
func (r Result) Err(op string) error {
	if !r.Refused() {
		return nil
	}
	return cluster.E(op, r.Subject, cluster.ParseKind(r.Kind), errors.New(r.Message))
}

// Refuse returns the result of a command that is refused.
func Refuse(kind cluster.Kind, subject, message string) Result {
	return Result{Kind: kind.String(), Subject: subject, Message: message}
}
