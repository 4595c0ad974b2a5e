package cluster

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Roles is the set of parts that a node plays.
type Roles uint8

// The roles. Most nodes play both.
const (
	Proxy  Roles = 1 << iota // a gateway: takes any client's request
	Target                   // holds objects on its mountpaths
)

// Has reports whether all of want are in r.
func (r Roles) Has(want Roles) bool { return r&want == want }

// String returns "proxy", "target" or "proxy,target".
func (r Roles) String() string {
	var names []string
	if r.Has(Proxy) {
		names = append(names, "proxy")
	}
	if r.Has(Target) {
		names = append(names, "target")
	}
	return strings.Join(names, ",")
}

// ParseRoles reads what Roles.String wrote.
func ParseRoles(s string) (Roles, error) {
	var r Roles
	for name := range strings.SplitSeq(s, ",") {
		switch strings.TrimSpace(name) {
		case "proxy":
			r |= Proxy
		case "target":
			r |= Target
		default:
			return 0, fmt.Errorf("unknown role %q: want proxy, target or proxy,target", name)
		}
	}
	return r, nil
}

// Mountpath is a mountpath as the map registers it.
type Mountpath struct {
	ID     MountpathID    `json:"id"`
	Path   string         `json:"path"`
	Weight uint32         `json:"weight"` // of HRW within the target; fixed when attached
	State  MountpathState `json:"state,omitempty"`
	// Mirror is of one that the node has made by itself on several others, for layouts of that Mirror: on how many it is meant to
	// be; zero: it is a disk of its own. Sides are those it was made on: their ids, ascending, with commas between.
	Mirror int    `json:"mirror,omitempty"`
	Sides  string `json:"sides,omitempty"`
}

// SideIDs returns the mountpaths that a mirror was made on.
func (m Mountpath) SideIDs() []MountpathID {
	var ids []MountpathID
	for id := range strings.SplitSeq(m.Sides, ",") {
		if id != "" {
			ids = append(ids, MountpathID(id))
		}
	}
	return ids
}

// TooFewDisks returns the first target that has fewer mountpaths than a layout keeps each object on.
func (m *Map) TooFewDisks(l Layout) (Node, bool) {
	for _, n := range m.Targets() {
		if n.Weight > 0 && len(Disks(n.Mountpaths)) < l.Mirror {
			return n, true
		}
	}
	return Node{}, false
}

// Disks returns those of some mountpaths that are no mirrors.
func Disks(all []Mountpath) []Mountpath {
	return slices.DeleteFunc(slices.Clone(all), func(m Mountpath) bool { return m.Mirror > 0 })
}

// MountpathState says what a mountpath is used for.
type MountpathState string

// The states of a mountpath. docs/consistency.md, "Mountpaths", has what follows from each.
const (
	MountpathEnabled MountpathState = ""       // keys are placed on it
	MountpathFailed  MountpathState = "failed" // its target cannot use it: no keys are placed on it where others have what it had
	// While a mountpath of a target is in one of these, keys are moved between its mountpaths, and each is looked for on all.
	MountpathFilling   MountpathState = "filling"   // keys are placed on it, and moved onto it
	MountpathDraining  MountpathState = "draining"  // keys are moved away from it, and it stays, disabled
	MountpathDetaching MountpathState = "detaching" // keys are moved away from it, and then it is forgotten
	MountpathDisabled  MountpathState = "disabled"  // it has no keys, and gets none
)

// Node is a member of the cluster as the map registers it.
type Node struct {
	ID          NodeID      `json:"id"`
	Roles       Roles       `json:"roles"`
	Zone        string      `json:"zone"`        // the failure domain; empty means one of its own
	PublicURL   string      `json:"public_url"`  // http(s)://host:port that clients use; may be empty for a redirect-less node
	IntraAddr   string      `json:"intra_addr"`  // host:port of raft, control and data between nodes
	GossipAddr  string      `json:"gossip_addr"` // host:port of memberlist
	Weight      uint32      `json:"weight"`      // of HRW among targets; fixed when attached
	Incarnation Incarnation `json:"incarnation,string"`
	Mountpaths  []Mountpath `json:"mountpaths,omitempty"`
	Remounted   uint64      `json:"remounted,omitempty"` // how often Mountpaths were changed since the node joined
	Mode        NodeMode    `json:"mode,omitempty"`      // what an administrator wants of it; the node itself does not say
}

// NodeMode is what an administrator wants of a node.
type NodeMode string

// The modes of nodes.
const (
	NodeActive       NodeMode = ""             // it takes part
	NodeMaintenance  NodeMode = "maintenance"  // it may go at any time and keeps its data: it owns nothing that another one can own
	NodeShutdown     NodeMode = "shutdown"     // the same, its process ends, and with the next start it is active again
	NodeDrained      NodeMode = "drained"      // it gives all that it holds to others, and stays a member
	NodeDecommission NodeMode = "decommission" // it gives all that it holds to others, and then leaves for ever
	NodeLost         NodeMode = "lost"         // it does not answer and never will: what nobody else has is lost; it leaves for ever
)

// Parked reports whether the node is out for a while with its data: nobody is to take its place meanwhile.
func (m NodeMode) Parked() bool { return m == NodeMaintenance || m == NodeShutdown }

// Leaving reports whether the node is to hold nothing.
func (m NodeMode) Leaving() bool { return m == NodeDrained || m.Going() }

// Going reports whether the node is to leave for ever.
func (m NodeMode) Going() bool { return m == NodeDecommission || m == NodeLost }

// Valid reports whether it is one of the modes.
func (m NodeMode) Valid() bool { return m == NodeActive || m.Parked() || m.Leaving() }

// Holder is a target that keeps a copy of a slot, or shards of what is in it.
type Holder struct {
	Node     NodeID `json:"node"`
	InSync   bool   `json:"in_sync"`         // false while it catches up
	Partial  bool   `json:"partial"`         // in sync, but a mountpath with a part of it has failed
	Admitted Epoch  `json:"admitted"`        // the epoch that admitted it; what it lacks from before, it drops when it reconciles
	Shard    uint8  `json:"shard,omitempty"` // of each object, in a layout of shards: it keeps the one of that number, for as long as it stays
}

// SlotState is what the map says of one slot. The first holder is the owner, which is always in sync; a slot without holders
// has no owner yet.
type SlotState struct {
	Epoch   Epoch    `json:"epoch"`
	Owned   Epoch    `json:"owned"` // in which the owner became it, in its present incarnation; it settles the slot once for that
	Holders []Holder `json:"holders"`
}

// Holder returns what the map says of a node as a holder of the slot.
func (s SlotState) Holder(id NodeID) (Holder, bool) {
	for _, h := range s.Holders {
		if h.Node == id {
			return h, true
		}
	}
	return Holder{}, false
}

// Whole reports whether the holder has every acknowledged write of its slot, and can give it.
func (h Holder) Whole() bool { return h.InSync && !h.Partial }

// Owner returns the target that orders the slot's operations, or "" when there is none.
func (s SlotState) Owner() NodeID {
	if len(s.Holders) == 0 {
		return ""
	}
	return s.Holders[0].Node
}

// Map is one version of the cluster map. It is immutable once published: whoever changes it works on a Clone.
type Map struct {
	Version   MapVersion      `json:"version"`
	ClusterID string          `json:"cluster_id"`
	Created   time.Time       `json:"created"`
	Nodes     []Node          `json:"nodes"`             // ordered by ID
	Layouts   []Layout        `json:"layouts"`           // by LayoutID; only ever appended to
	Slots     SlotTable       `json:"slots"`             // of each layout, by Slot
	Removed   map[NodeID]bool `json:"removed,omitempty"` // ids refused for ever
}

// Clone returns a copy whose nodes and slots can be changed. Holder slices are shared: replace them, never write into them.
func (m *Map) Clone() *Map {
	c := *m
	c.Nodes = slices.Clone(m.Nodes)
	c.Layouts = slices.Clone(m.Layouts)
	c.Slots = slices.Clone(m.Slots)
	c.Removed = make(map[NodeID]bool, len(m.Removed))
	for id := range m.Removed {
		c.Removed[id] = true
	}
	return &c
}

// Node returns the member of that id.
func (m *Map) Node(id NodeID) (Node, bool) {
	i, ok := slices.BinarySearchFunc(m.Nodes, id, func(n Node, id NodeID) int { return cmp.Compare(n.ID, id) })
	if !ok {
		return Node{}, false
	}
	return m.Nodes[i], true
}

// SetNode adds a member or replaces the one of the same id.
func (m *Map) SetNode(n Node) {
	i, ok := slices.BinarySearchFunc(m.Nodes, n.ID, func(n Node, id NodeID) int { return cmp.Compare(n.ID, id) })
	if ok {
		m.Nodes[i] = n
		return
	}
	m.Nodes = slices.Insert(m.Nodes, i, n)
}

// RemoveNode takes a member out and refuses its id from then on.
func (m *Map) RemoveNode(id NodeID) {
	m.Nodes = slices.DeleteFunc(m.Nodes, func(n Node) bool { return n.ID == id })
	m.Removed[id] = true
}

// Targets returns the members that hold objects, ordered by ID.
func (m *Map) Targets() []Node { return m.with(Target) }

// Proxies returns the members that take clients' requests, ordered by ID.
func (m *Map) Proxies() []Node { return m.with(Proxy) }

func (m *Map) with(role Roles) []Node {
	var nodes []Node
	for _, n := range m.Nodes {
		if n.Roles.Has(role) {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// AddLayout appends a layout, whose slots have no holders yet, and returns its number.
func (m *Map) AddLayout(l Layout) LayoutID {
	m.Layouts = append(m.Layouts, l)
	m.Slots = append(m.Slots, make(SlotTable, Slots)...)
	return LayoutID(len(m.Layouts) - 1)
}

// LayoutID returns the number of a layout that the map has.
func (m *Map) LayoutID(l Layout) (LayoutID, bool) {
	i := slices.Index(m.Layouts, l)
	return LayoutID(max(i, 0)), i >= 0
}

// Slot returns the state of a slot: the zero state when it is of a layout that the map does not have.
func (m *Map) Slot(s Slot) SlotState {
	if int(s) >= len(m.Slots) {
		return SlotState{}
	}
	return m.Slots[s]
}

// Owner returns the owner of a slot and the slot's epoch; the owner is "" when the slot has none yet.
func (m *Map) Owner(s Slot) (NodeID, Epoch) {
	if int(s) >= len(m.Slots) {
		return "", 0
	}
	st := &m.Slots[s]
	return st.Owner(), st.Epoch
}

// Promotes reports whether the pending map gives a slot of m to another owner that is in sync with the present one: then
// nothing is lost when it moves, whatever was written.
func (m *Map) Promotes(pending *Map, s Slot) bool {
	owner, _ := pending.Owner(s)
	old := m.Slot(s)
	h, ok := old.Holder(owner)
	return ok && h.InSync && owner != old.Owner()
}

// Holds reports whether a node is a holder of any slot.
func (m *Map) Holds(id NodeID) bool {
	var last *Holder
	for i := range m.Slots {
		s := &m.Slots[i]
		if len(s.Holders) == 0 || &s.Holders[0] == last {
			continue
		}
		last = &s.Holders[0]
		if _, ok := s.Holder(id); ok {
			return true
		}
	}
	return false
}

// OwnedBy returns how many slots each target owns.
func (m *Map) OwnedBy() map[NodeID]int {
	counts := make(map[NodeID]int)
	for i := range m.Slots {
		if owner := m.Slots[i].Owner(); owner != "" {
			counts[owner]++
		}
	}
	return counts
}

// LackedBy returns in how many of its slots a node catches up, and in how many it is partial.
func (m *Map) LackedBy(id NodeID) (behind, partial int) {
	for i := range m.Slots {
		switch h, ok := m.Slots[i].Holder(id); {
		case !ok:
		case !h.InSync:
			behind++
		case h.Partial:
			partial++
		}
	}
	return behind, partial
}

// Owners returns, for each layout, the targets that own slots of it, ordered by id.
func (m *Map) Owners() [][]NodeID {
	all := make([][]NodeID, len(m.Layouts))
	for i := range m.Slots {
		owner, of := m.Slots[i].Owner(), &all[Slot(i).Layout()]
		if at, found := slices.BinarySearch(*of, owner); owner != "" && !found {
			*of = slices.Insert(*of, at, owner)
		}
	}
	return all
}

// Short returns how many slots, of all layouts, have fewer holders in sync than their layout asks for.
func (m *Map) Short() int {
	short := 0
	for i := range m.Slots {
		if layout := m.Layouts[Slot(i).Layout()]; layout.Whole(m.Slots[i].Holders) < layout.Width() {
			short++
		}
	}
	return short
}

// SoleOwners returns how many slots each target owns that no other holder could own: none is in sync.
func (m *Map) SoleOwners() map[NodeID]int {
	counts := make(map[NodeID]int)
	for i := range m.Slots {
		holders := m.Slots[i].Holders
		if len(holders) > 0 && !slices.ContainsFunc(holders[1:], func(h Holder) bool { return h.InSync }) {
			counts[holders[0].Node]++
		}
	}
	return counts
}

// HeldBy returns how many slots each target holds, those that it owns among them.
func (m *Map) HeldBy() map[NodeID]int {
	counts := make(map[NodeID]int)
	for i := range m.Slots {
		for _, h := range m.Slots[i].Holders {
			counts[h.Node]++
		}
	}
	return counts
}

// String returns a line for logs and transcripts.
func (m *Map) String() string {
	counts := m.OwnedBy()
	b, _ := json.Marshal(counts)
	return fmt.Sprintf("map v%d nodes=%d slots=%s", m.Version, len(m.Nodes), b)
}
