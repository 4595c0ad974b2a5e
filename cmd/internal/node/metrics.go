package node

import (
	"github.com/aisle-store/aisle/cluster/stats"
)

// watchState makes the state of the node and of its mountpaths part of its metrics.
func (n *node) watchState() {
	n.stats.WatchNode(n.nodeMetrics)
	n.stats.WatchJobs(n.jobMetrics)
	n.stats.WatchLogs(func() stats.Logs {
		delivered, dropped := n.proxy.LogStats()
		return stats.Logs{Delivered: delivered, Dropped: dropped}
	})
	n.stats.WatchDenials(n.audit.Total)
	if n.target != nil {
		n.stats.WatchMountpaths(n.mountpathMetrics)
		n.stats.WatchExpired(n.expiredMetrics)
		n.stats.WatchNotices(n.noticeMetrics)
	}
}

func (n *node) nodeMetrics() stats.Node {
	view := n.control.View()
	m := view.Map()
	if m == nil { // the node has not joined yet
		return stats.Node{}
	}
	behind, partial := m.LackedBy(n.self.ID)
	var allowed int64
	if n.target != nil {
		if t, err := n.target.get(); err == nil {
			allowed = t.Pace()
		}
	}
	ahead, known := n.control.WallOff()
	if !known {
		ahead = 0
	}
	return stats.Node{
		Pace: allowed, Ahead: ahead,
		Lease: n.control.CheckLease() == nil, MapVersion: uint64(m.Version), MapPending: view.Pending() != nil, Applied: view.Index(),
		Nodes: len(m.Nodes), Targets: len(m.Targets()), Owned: m.OwnedBy()[n.self.ID], Behind: behind, Partial: partial,
		Short: m.Short(), Buckets: len(view.Buckets()),
	}
}

func (n *node) jobMetrics() []stats.Jobs {
	var all []stats.Jobs
	for kind, m := range n.jobs.Moved() {
		all = append(all, stats.Jobs{Kind: string(kind), Running: m.Running, Ended: m.Ended, Failed: m.Failed, Objects: m.Objects, Bytes: m.Bytes})
	}
	return all
}

// expiredMetrics returns nothing until the mountpaths are open.
func (n *node) expiredMetrics() []stats.Expired {
	t, err := n.target.get()
	if err != nil {
		return nil
	}
	e := t.Expired()
	return []stats.Expired{{Kind: "current", Count: e.Current}, {Kind: "noncurrent", Count: e.Noncurrent}, {Kind: "marker", Count: e.Markers}, {Kind: "upload", Count: e.Uploads}}
}

// mountpathMetrics returns nothing until the mountpaths are open.
func (n *node) mountpathMetrics() []stats.Mountpath {
	t, err := n.target.get()
	if err != nil {
		return nil
	}
	var all []stats.Mountpath
	for _, m := range t.Mountpaths() {
		all = append(all, stats.Mountpath{
			ID: string(m.ID), Serving: m.Readable, Writable: m.Err == nil && !m.Disk.Full, Full: m.Disk.Full,
			Capacity: m.Usage.Total, Available: m.Usage.Available,
			Segments: m.Disk.Segments, Extents: m.Disk.Extents, ExtentBytes: m.Disk.ExtentBytes, PendingFrees: int64(m.Disk.PendingFrees),
			Syncs: m.Disk.Syncs, Synced: m.Disk.Synced, Errors: m.Disk.Errors, Corruptions: m.Disk.Corruptions,
			IndexBytes: m.Index.DiskBytes, CacheHits: m.Index.CacheHits, CacheMisses: m.Index.CacheMisses,
			Compactions: m.Index.Compactions, Stalls: m.Index.Stalls,
			Sides: m.Mirror, InStep: m.InStep, Verified: m.Verified, Damaged: m.Damaged, Repaired: m.Repaired,
		})
	}
	return all
}

func (n *node) noticeMetrics() []stats.Notices {
	t, err := n.target.get()
	if err != nil {
		return nil
	}
	var all []stats.Notices
	for _, s := range t.Notices() {
		all = append(all, stats.Notices{Destination: s.Destination, Waiting: s.Waiting, Sent: s.Sent, Failed: s.Failed, Dead: s.Dead, Dropped: s.Dropped})
	}
	return all
}
