package node

import (
	"bufio"
	"context"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
)

// statusLimit is how long the leader may take to say who votes.
const statusLimit = time.Second

// status returns how this node is, as far as it knows.
func (n *node) status() api.NodeStatus {
	view := n.control.View()
	s := api.NodeStatus{
		Status: "online", Version: n.options.Version, Deployment: "linux", Uptime: time.Since(n.started),
		Lease: n.control.CheckLease() == nil, Applied: view.Index(), System: n.system(),
	}
	smap := api.NewSmap(view.Map(), nil, "")
	if si, ok := smap.Targets[string(n.self.ID)]; ok {
		s.Snode = si
	} else {
		s.Snode = smap.Proxies[string(n.self.ID)]
	}
	ctx, cancel := context.WithTimeout(n.life, statusLimit)
	defer cancel()
	if all, err := n.control.Status(ctx); err == nil {
		s.Leader = all.Leader == n.self.ID
		for _, other := range all.Nodes {
			if other.ID == n.self.ID {
				s.Voter = other.Voter
			}
		}
	}
	if n.target != nil {
		s.Capacity = n.capacity()
	}
	return s
}

// capacity returns the space on the mountpaths. Those on one file system share it; each file system counts once.
func (n *node) capacity() api.Capacity {
	c := api.Capacity{Mountpaths: make(map[string]api.MountpathStatus)}
	t, err := n.target.get()
	if err != nil {
		for _, m := range n.self.Mountpaths {
			c.Mountpaths[m.Path] = api.MountpathStatus{ID: string(m.ID), State: "failed", Failed: "starting"}
		}
		return c
	}
	seen := make(map[uint64]bool)
	self, _ := n.control.View().Map().Node(n.self.ID)
	for _, m := range t.Mountpaths() {
		at := slices.IndexFunc(self.Mountpaths, func(mp cluster.Mountpath) bool { return mp.ID == m.ID })
		if at < 0 {
			continue // it was detached, or is about to be attached
		}
		status := api.MountpathStatus{ID: string(m.ID), State: "available", Used: uint64(max(0, m.Usage.Used)), Avail: uint64(max(0, m.Usage.Available))}
		if m.Err != nil {
			status.State, status.Failed = "failed", cluster.KindOf(m.Err).String()+": "+m.Err.Error()
		}
		switch used := self.Mountpaths[at].State; {
		case m.Err != nil:
		case used == cluster.MountpathFailed:
			status.State, status.Failed = "failed", "the cluster counts it as failed"
		case m.Disk.Full:
			status.State = "full"
		case used != cluster.MountpathEnabled:
			status.State = string(used)
		case m.Mirror > m.InStep:
			status.State = "degraded"
		}
		c.Mountpaths[m.Path] = status
		var info syscall.Stat_t
		if syscall.Stat(m.Path, &info) == nil && !seen[info.Dev] {
			seen[info.Dev] = true
			c.Used, c.Avail = c.Used+status.Used, c.Avail+status.Avail
		}
	}
	if total := c.Used + c.Avail; total > 0 {
		c.Percent = 100 * float64(c.Used) / float64(total)
	}
	return c
}

// system returns what the process uses of its machine.
func (n *node) system() api.SysInfo {
	memory := memoryOf("/proc/meminfo", "MemTotal", "MemAvailable")
	own := memoryOf("/proc/self/status", "VmRSS")
	s := api.SysInfo{MemUsed: own["VmRSS"], MemAvail: memory["MemAvailable"]}
	if total := memory["MemTotal"]; total > 0 {
		s.MemPercent = 100 * float64(s.MemUsed) / float64(total)
	}
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) == nil {
		cpu := time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
		s.CPUPercent = 100 * cpu.Seconds() / time.Since(n.started).Seconds() / float64(runtime.NumCPU())
	}
	return s
}

// memoryOf reads lines "Name:   123 kB" of a file in /proc.
func memoryOf(path string, names ...string) map[string]uint64 {
	found := make(map[string]uint64)
	f, err := os.Open(path)
	if err != nil {
		return found
	}
	defer f.Close()
	for scan := bufio.NewScanner(f); scan.Scan() && len(found) < len(names); {
		name, rest, _ := strings.Cut(scan.Text(), ":")
		for _, wanted := range names {
			if name == wanted {
				kib, _ := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
				found[name] = kib << 10
			}
		}
	}
	return found
}
