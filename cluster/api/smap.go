package api

import (
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/OneOfOne/xxhash"

	"github.com/aisle-store/aisle/cluster"
)

// Smap is the cluster map as AIStore prints it. A node that is both proxy and target stands in both tables.
type Smap struct {
	Proxies map[string]Snode `json:"pmap"`
	Primary *Snode           `json:"proxy_si"` // the proxy on the node that leads the control plane, or the first one
	Targets map[string]Snode `json:"tmap"`
	UUID    string           `json:"uuid"`
	Created string           `json:"creation_time"`
	Version string           `json:"version"`
	Pending string           `json:"pending_version,omitempty"` // of the map that is being changed to
}

// Snode is one node of an Smap.
type Snode struct {
	Public       NetInfo `json:"public_net"`
	IntraControl NetInfo `json:"intra_control_net"`
	IntraData    NetInfo `json:"intra_data_net"`
	Type         string  `json:"daemon_type"` // proxy or target
	ID           string  `json:"daemon_id"`
	Flags        uint64  `json:"flags,string"`
	Digest       uint64  `json:"id_digest"`
	Zone         string  `json:"zone,omitempty"`
	Incarnation  string  `json:"incarnation,omitempty"`
	Mountpaths   int     `json:"mountpaths,omitempty"`
	Slots        int     `json:"slots,omitempty"` // how many the target owns
	Sole         int     `json:"sole,omitempty"`  // of these, how many nobody else has in sync
	Held         int     `json:"held,omitempty"`  // how many it owns or keeps a copy of
	Mode         string  `json:"mode,omitempty"`  // what an administrator wants of it: see cluster.NodeMode
}

// Flags of an Snode.
const (
	SnodeMaintenance     = 4
	SnodeDecommissioning = 8
	SnodeDrained         = 16 // in maintenance, and what it held is with others
)

func snodeFlags(m cluster.NodeMode) uint64 {
	switch m {
	case cluster.NodeMaintenance, cluster.NodeShutdown:
		return SnodeMaintenance
	case cluster.NodeDrained:
		return SnodeMaintenance | SnodeDrained
	case cluster.NodeDecommission:
		return SnodeDecommissioning
	}
	return 0
}

// NodesMsg is the value of the actions that take nodes away or bring them back.
type NodesMsg struct {
	Node          string   `json:"sid,omitempty"`
	Nodes         []string `json:"sids,omitempty"`
	SkipRebalance bool     `json:"skip_rebalance,omitempty"` // of maintenance: what the nodes hold stays with them
	Force         bool     `json:"force,omitempty"`          // do it although it costs something
}

// Change returns the nodes that an action is about, and the mode that it gives them.
func (n NodesMsg) Change(action string) ([]cluster.NodeID, cluster.NodeMode) {
	var ids []cluster.NodeID
	for _, id := range append(n.Nodes, n.Node) {
		if id != "" && !slices.Contains(ids, cluster.NodeID(id)) {
			ids = append(ids, cluster.NodeID(id))
		}
	}
	switch {
	case action == ActionShutdownNode:
		return ids, cluster.NodeShutdown
	case action == ActionDecommissionNode:
		return ids, cluster.NodeDecommission
	case action == ActionStopMaintenance:
		return ids, cluster.NodeActive
	case n.SkipRebalance:
		return ids, cluster.NodeMaintenance
	}
	return ids, cluster.NodeDrained
}

// NetInfo is one address of a node.
type NetInfo struct {
	Host string `json:"node_ip_addr"`
	Port string `json:"daemon_port"`
	URL  string `json:"direct_url"`
}

// digestSeed is AIStore's seed for the digest of a node's id.
const digestSeed = 1103515245

// NewSmap returns the wire form of a map. The leader names the primary; pending is nil when no change is under way.
func NewSmap(m, pending *cluster.Map, leader cluster.NodeID) Smap {
	s := Smap{
		Proxies: make(map[string]Snode), Targets: make(map[string]Snode), UUID: m.ClusterID,
		Created: m.Created.UTC().Format(time.RFC3339), Version: strconv.FormatUint(uint64(m.Version), 10),
	}
	if pending != nil {
		s.Pending = strconv.FormatUint(uint64(pending.Version), 10)
	}
	owned, sole, held := m.OwnedBy(), m.SoleOwners(), m.HeldBy()
	for _, n := range m.Proxies() {
		si := newSnode(n, "proxy")
		s.Proxies[string(n.ID)] = si
		if s.Primary == nil || n.ID == leader {
			s.Primary = &si
		}
	}
	for _, n := range m.Targets() {
		si := newSnode(n, "target")
		si.Mountpaths, si.Slots, si.Sole, si.Held = len(cluster.Disks(n.Mountpaths)), owned[n.ID], sole[n.ID], held[n.ID]
		s.Targets[string(n.ID)] = si
	}
	return s
}

func newSnode(n cluster.Node, kind string) Snode {
	intra := newNetInfo(n.IntraAddr, "http://"+n.IntraAddr)
	return Snode{
		Public: publicNet(n), IntraControl: intra, IntraData: intra, Type: kind, ID: string(n.ID), Zone: n.Zone,
		Digest: xxhash.Checksum64S([]byte(n.ID), digestSeed), Incarnation: n.Incarnation.String(),
		Flags: snodeFlags(n.Mode), Mode: string(n.Mode),
	}
}

func publicNet(n cluster.Node) NetInfo {
	for _, scheme := range []string{"http://", "https://"} {
		if len(n.PublicURL) > len(scheme) && n.PublicURL[:len(scheme)] == scheme {
			return newNetInfo(n.PublicURL[len(scheme):], n.PublicURL)
		}
	}
	return NetInfo{}
}

func newNetInfo(addr, url string) NetInfo {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	return NetInfo{Host: host, Port: port, URL: url}
}

// NodeStatus is the answer of one node to what=node_status.
type NodeStatus struct {
	Status     string        `json:"status"` // "online", or why not
	Version    string        `json:"ais_version"`
	Deployment string        `json:"deployment"`
	Snode      Snode         `json:"snode"`
	Uptime     time.Duration `json:"uptime,string"`
	Leader     bool          `json:"leader"` // of the control plane
	Voter      bool          `json:"voter"`
	Lease      bool          `json:"lease"` // whether it may answer now
	Applied    uint64        `json:"applied_index,string"`
	System     SysInfo       `json:"sys_info"`
	Capacity   Capacity      `json:"capacity"`
}

// SysInfo is the machine of a node, as far as its process sees it.
type SysInfo struct {
	MemUsed    uint64  `json:"mem_used,string"`  // resident memory of the process
	MemAvail   uint64  `json:"mem_avail,string"` // of the machine
	MemPercent float64 `json:"pct_mem_used"`
	CPUPercent float64 `json:"pct_cpu_used"` // of all cores, since the node started
}

// Capacity is the space on a target's mountpaths.
type Capacity struct {
	Mountpaths map[string]MountpathStatus `json:"mountpaths,omitempty"` // by path
	Used       uint64                     `json:"total_used,string"`
	Avail      uint64                     `json:"total_avail,string"`
	Percent    float64                    `json:"pct_avg"`
}

// MountpathStatus is one mountpath of a target.
type MountpathStatus struct {
	ID     string `json:"id"`
	Used   uint64 `json:"used,string"`
	Avail  uint64 `json:"avail,string"`
	State  string `json:"state"`            // "available", "full", "failed", "filling", "draining", "detaching" or "disabled"; of a mirror also "degraded"
	Failed string `json:"failed,omitempty"` // why it does not serve
}

// ClusterConfig returns the body of what=cluster_config: the settings in sections, as AIStore does, and flat under "settings".
func ClusterConfig(clusterID string, version uint64, settings map[string]string) map[string]any {
	body := nest(settings)
	body["uuid"] = clusterID
	body["config_version"] = strconv.FormatUint(version, 10)
	body["settings"] = settings
	return body
}
