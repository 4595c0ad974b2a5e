package stats

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Node is the state of a node in its cluster.
type Node struct {
	Lease      bool   // it may answer now
	MapVersion uint64 // of the active map
	MapPending bool   // a change of the map is under way
	Applied    uint64 // index of the last applied control change
	Nodes      int    // members of the map
	Targets    int    // those that hold objects
	Owned      int    // slots that this node owns
	Behind     int    // slots in which it catches up
	Partial    int    // slots of which it has lost a part with a mountpath, and nobody has given it back
	Short      int    // slots that have fewer copies in sync than they should
	Buckets    int
	Pace       int64         // bytes per second that may move because somebody catches up
	Ahead      time.Duration // of the cluster's wall clock
}

// Mountpath is the state of one mountpath. Fields named "since start" only grow.
type Mountpath struct {
	ID           string
	Serving      bool  // it serves reads
	Writable     bool  // it takes writes
	Full         bool  // it takes none for lack of space
	Capacity     int64 // bytes of the file system
	Available    int64 // bytes free for us
	Segments     int
	Extents      int64 // live
	ExtentBytes  int64
	IndexBytes   int64 // of the metadata store
	Syncs        int64 // of segments, since start
	Synced       int64 // extents that those syncs made durable, since start
	Errors       int64 // failed file operations, since start
	Corruptions  int64 // extents, blobs and records found corrupt, since start
	PendingFrees int64 // places that wait to be freed
	CacheHits    int64 // of blocks of the metadata store, since start
	CacheMisses  int64 // since start
	Compactions  int64 // of the metadata store, since start
	Stalls       int64 // of writes by the metadata store, since start
	Verified     int64 // bytes that scrubs have read, since start
	Damaged      int64 // places and records that are damaged and not repaired
	Sides        int   // of a mirror: on how many disks it is to be; zero: it is a disk
	InStep       int   // of a mirror: how many disks have all of it
	Repaired     int64 // of them, repaired since start
}

// Jobs is what the jobs of one kind have done on a node since it started.
type Jobs struct {
	Kind    string
	Running int
	Ended   int64
	Failed  int64
	Objects int64
	Bytes   int64
}

// Expired is how much of one kind of things has expired on a node since it started.
type Expired struct {
	Kind  string
	Count int64
}

// WatchExpired makes what has expired part of the registry; read is called when somebody looks.
func (reg *Registry) WatchExpired(read func() []Expired) {
	reg.r.MustRegister(collector[Expired]{metrics: expiredMetrics, read: func() []labelled[Expired] {
		var list []labelled[Expired]
		for _, e := range read() {
			list = append(list, labelled[Expired]{labels: []string{e.Kind}, value: e})
		}
		return list
	}})
}

// WatchJobs makes the jobs of the node part of the registry; read is called when somebody looks.
func (reg *Registry) WatchJobs(read func() []Jobs) {
	reg.r.MustRegister(collector[Jobs]{metrics: jobMetrics, read: func() []labelled[Jobs] {
		var list []labelled[Jobs]
		for _, j := range read() {
			list = append(list, labelled[Jobs]{labels: []string{j.Kind}, value: j})
		}
		return list
	}})
}

// WatchNode makes the node's state part of the registry; read is called when somebody looks, and must be quick.
func (reg *Registry) WatchNode(read func() Node) {
	reg.r.MustRegister(collector[Node]{metrics: nodeMetrics, read: func() []labelled[Node] {
		return []labelled[Node]{{value: read()}}
	}})
}

// WatchMountpaths makes the state of the target's mountpaths part of the registry; read is called when somebody looks.
func (reg *Registry) WatchMountpaths(read func() []Mountpath) {
	reg.r.MustRegister(collector[Mountpath]{metrics: mountpathMetrics, read: func() []labelled[Mountpath] {
		all := read()
		list := make([]labelled[Mountpath], len(all))
		for i := range all {
			list[i] = labelled[Mountpath]{labels: []string{all[i].ID}, value: all[i]}
		}
		return list
	}})
}

// metric says how one metric is read off a state.
type metric[T any] struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(*T) float64
}

func gauge[T any](name, help string, labels []string, of func(*T) float64) metric[T] {
	return metric[T]{prometheus.NewDesc(name, help, labels, nil), prometheus.GaugeValue, of}
}

func counter[T any](name, help string, labels []string, of func(*T) float64) metric[T] {
	return metric[T]{prometheus.NewDesc(name, help, labels, nil), prometheus.CounterValue, of}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

var nodeMetrics = []metric[Node]{
	gauge("aisle_node_lease", "1 while the node holds a lease and may answer.", nil, func(n *Node) float64 { return truth(n.Lease) }),
	gauge("aisle_map_version", "Version of the active cluster map.", nil, func(n *Node) float64 { return float64(n.MapVersion) }),
	gauge("aisle_map_pending", "1 while a change of the cluster map is under way.", nil, func(n *Node) float64 { return truth(n.MapPending) }),
	gauge("aisle_control_applied_index", "Index of the last control change that the node applied.", nil, func(n *Node) float64 { return float64(n.Applied) }),
	gauge("aisle_cluster_nodes", "Nodes in the cluster map.", nil, func(n *Node) float64 { return float64(n.Nodes) }),
	gauge("aisle_cluster_targets", "Nodes in the cluster map that hold objects.", nil, func(n *Node) float64 { return float64(n.Targets) }),
	gauge("aisle_cluster_buckets", "Buckets in the bucket table.", nil, func(n *Node) float64 { return float64(n.Buckets) }),
	gauge("aisle_node_behind_slots", "Slots in which the node catches up.", nil, func(n *Node) float64 { return float64(n.Behind) }),
	gauge("aisle_node_partial_slots", "Slots of which the node has lost a part with a mountpath.", nil, func(n *Node) float64 { return float64(n.Partial) }),
	gauge("aisle_map_short_slots", "Slots, of all layouts, that have fewer copies in sync than their buckets ask for.", nil, func(n *Node) float64 { return float64(n.Short) }),
	gauge("aisle_rebalance_limit_bytes", "Bytes per second that may come and go because a target catches up: what the pacer allows now.", nil, func(n *Node) float64 { return float64(n.Pace) }),
	gauge("aisle_node_clock_ahead_seconds", "How far the wall clock of the node is ahead of the cluster's; 0 while that is not known.", nil, func(n *Node) float64 { return n.Ahead.Seconds() }),
	gauge("aisle_node_owned_slots", "Slots, of 16384, that the node owns.", nil, func(n *Node) float64 { return float64(n.Owned) }),
}

var byKind = []string{"kind"}

var expiredMetrics = []metric[Expired]{
	counter("aisle_lifecycle_expired_total", "What lifecycle rules have ended: current versions (removed, or hidden by a delete marker), noncurrent versions, lone delete markers, uploads.", byKind,
		func(e *Expired) float64 { return float64(e.Count) }),
}

var jobMetrics = []metric[Jobs]{
	gauge("aisle_job_running", "Jobs that run.", byKind, func(j *Jobs) float64 { return float64(j.Running) }),
	counter("aisle_job_ended_total", "Jobs that have ended.", byKind, func(j *Jobs) float64 { return float64(j.Ended) }),
	counter("aisle_job_failed_total", "Jobs that have ended by a failure.", byKind, func(j *Jobs) float64 { return float64(j.Failed) }),
	counter("aisle_job_objects_total", "Objects that jobs have dealt with: of a rebalance, those received.", byKind, func(j *Jobs) float64 { return float64(j.Objects) }),
	counter("aisle_job_bytes_total", "Bytes of them.", byKind, func(j *Jobs) float64 { return float64(j.Bytes) }),
}

var byMountpath = []string{"mountpath"}

var mountpathMetrics = []metric[Mountpath]{
	gauge("aisle_mountpath_serving", "1 while the mountpath serves reads.", byMountpath, func(m *Mountpath) float64 { return truth(m.Serving) }),
	gauge("aisle_mountpath_writable", "1 while the mountpath takes writes.", byMountpath, func(m *Mountpath) float64 { return truth(m.Writable) }),
	gauge("aisle_mountpath_full", "1 while the mountpath refuses writes for lack of space.", byMountpath, func(m *Mountpath) float64 { return truth(m.Full) }),
	gauge("aisle_mountpath_capacity_bytes", "Bytes of the file system.", byMountpath, func(m *Mountpath) float64 { return float64(m.Capacity) }),
	gauge("aisle_mountpath_available_bytes", "Bytes of the file system that are free for use.", byMountpath, func(m *Mountpath) float64 { return float64(m.Available) }),
	gauge("aisle_mountpath_segments", "Segment files.", byMountpath, func(m *Mountpath) float64 { return float64(m.Segments) }),
	gauge("aisle_mountpath_extents", "Live extents in segments.", byMountpath, func(m *Mountpath) float64 { return float64(m.Extents) }),
	gauge("aisle_mountpath_extent_bytes", "Bytes of live extents.", byMountpath, func(m *Mountpath) float64 { return float64(m.ExtentBytes) }),
	gauge("aisle_mountpath_index_bytes", "Bytes of the metadata store.", byMountpath, func(m *Mountpath) float64 { return float64(m.IndexBytes) }),
	gauge("aisle_mountpath_pending_frees", "Places that wait to be freed.", byMountpath, func(m *Mountpath) float64 { return float64(m.PendingFrees) }),
	counter("aisle_mountpath_segment_syncs_total", "Syncs of segment files.", byMountpath, func(m *Mountpath) float64 { return float64(m.Syncs) }),
	counter("aisle_mountpath_synced_extents_total", "Extents that syncs of segment files made durable.", byMountpath, func(m *Mountpath) float64 { return float64(m.Synced) }),
	counter("aisle_mountpath_errors_total", "File operations that failed.", byMountpath, func(m *Mountpath) float64 { return float64(m.Errors) }),
	counter("aisle_mountpath_corruptions_total", "Extents, blobs and records found corrupt.", byMountpath, func(m *Mountpath) float64 { return float64(m.Corruptions) }),
	counter("aisle_mountpath_index_cache_hits_total", "Blocks of the metadata store found in memory.", byMountpath, func(m *Mountpath) float64 { return float64(m.CacheHits) }),
	counter("aisle_mountpath_index_cache_misses_total", "Blocks of the metadata store read from disk.", byMountpath, func(m *Mountpath) float64 { return float64(m.CacheMisses) }),
	counter("aisle_mountpath_index_compactions_total", "Compactions of the metadata store.", byMountpath, func(m *Mountpath) float64 { return float64(m.Compactions) }),
	counter("aisle_mountpath_index_stalls_total", "Times that the metadata store made writes wait.", byMountpath, func(m *Mountpath) float64 { return float64(m.Stalls) }),
	counter("aisle_mountpath_verified_bytes_total", "Bytes that scrubs have verified.", byMountpath, func(m *Mountpath) float64 { return float64(m.Verified) }),
	gauge("aisle_mountpath_damaged", "Places and records that are damaged and not repaired yet; `aisle show scrub` names them.", byMountpath, func(m *Mountpath) float64 { return float64(m.Damaged) }),
	gauge("aisle_mountpath_mirror_missing", "Disks that a mirror lacks until it is made anew; 0 of what is no mirror.", byMountpath, func(m *Mountpath) float64 { return float64(m.Sides - m.InStep) }),
	counter("aisle_mountpath_repairs_total", "Damaged places that were repaired from other holders.", byMountpath, func(m *Mountpath) float64 { return float64(m.Repaired) }),
}

// labelled is a state with the values of its labels.
type labelled[T any] struct {
	labels []string
	value  T
}

// collector reads a state and gives all its metrics.
type collector[T any] struct {
	metrics []metric[T]
	read    func() []labelled[T]
}

// Describe implements prometheus.Collector.
func (c collector[T]) Describe(out chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		out <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c collector[T]) Collect(out chan<- prometheus.Metric) {
	for _, s := range c.read() {
		for _, m := range c.metrics {
			out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.of(&s.value), s.labels...)
		}
	}
}
