// Package xact has the jobs of a node: what it does in the background by itself or because it was asked to, and how far it is.
// A part that does such work starts a Run at the node's Registry, tells it what is done, and ends it; whoever wants to know
// asks every node for its Jobs (docs/architecture.md, "Jobs").
package xact

import (
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// Kind is what a job does.
type Kind string

// The kinds of jobs.
const (
	Rebalance Kind = "rebalance" // brings what other holders of slots have to a target that lacks it
	Resilver  Kind = "resilver"  // moves keys between the mountpaths of a target
	Scrub     Kind = "scrub"     // verifies what lies on a mountpath
	Convert   Kind = "convert"   // moves a bucket's objects to the layout that it has been given
	Lifecycle Kind = "lifecycle" // carries out the rules by which what lies in buckets expires
)

// KindInfo describes a kind of job.
type KindInfo struct {
	Kind Kind
	Help string
}

// Kinds returns every kind of job, in the order of the documentation.
func Kinds() []KindInfo {
	return []KindInfo{
		{Rebalance, "a target takes over what belongs on it and lacks: after a node joined, left, came back or was lost"},
		{Resilver, "a target moves what it has between its mountpaths: after one was attached, detached, enabled or disabled, or came back"},
		{Scrub, "a target verifies the checksums of everything on a mountpath"},
		{Convert, "a target gives what it has of a bucket whose layout was changed (`replicas`) to the targets that keep it from now on"},
		{Lifecycle, "a target looks on a mountpath for what has expired by the lifecycle rules of buckets, and removes it"},
	}
}

// State is how a job is.
type State string

// The states of a job.
const (
	Running  State = "running"
	Finished State = "finished"
	Stopped  State = "stopped" // it has ended early, and what is left is done by another job if it is still needed
	Failed   State = "failed"
)

// Progress is how much of something is done. Total is 0 as long as it is not known; it may be an estimate.
type Progress struct {
	Done, Total int64
}

// Job is a job as it was at one moment.
type Job struct {
	ID      cluster.JobID
	Kind    Kind
	Node    cluster.NodeID // that runs it
	Subject string         // what it works on, for people: "slots of n2", "/mnt/disk1"
	State   State
	Slots   Progress
	Objects Progress
	Bytes   Progress
	Rate    float64       // bytes per second, of the last seconds
	Left    time.Duration // that it will probably run yet; negative when nobody can tell
	Started time.Time
	Ended   time.Time // zero while it runs
	Err     string    // why it failed or was stopped; while it runs, what keeps it from going on
}

// Percent returns how much of the work is done, if the job can tell.
func (j *Job) Percent() (float64, bool) {
	if j.State == Finished {
		return 100, true
	}
	total := j.work(j.Bytes.Total, j.Objects.Total)
	switch {
	case total > 0:
		return min(100, 100*j.work(j.Bytes.Done, j.Objects.Done)/total), true
	case j.Slots.Total > 0:
		return 100 * float64(j.Slots.Done) / float64(j.Slots.Total), true
	}
	return 0, false
}

// objectWork is what an object costs beside its bytes, counted in bytes.
const objectWork = 16 << 10

// work puts bytes and objects into one measure.
func (j *Job) work(bytes, objects int64) float64 { return float64(bytes) + objectWork*float64(objects) }
