package xact

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// keptJobs is how many jobs that have ended a registry remembers.
const keptJobs = 64

// Registry keeps the jobs of one node. Its methods may be called at the same time.
type Registry struct {
	node  cluster.NodeID
	boot  string // tells the jobs of this process from those of others of the same node
	now   func() time.Time
	mu    sync.Mutex
	last  int    // guarded by mu: number of the last job
	jobs  []*Run // guarded by mu: in the order of their starts
	moved map[Kind]Moved
}

// Moved is what jobs of one kind have done since the node started, those that run included.
type Moved struct {
	Running int
	Ended   int64
	Failed  int64
	Objects int64
	Bytes   int64
}

// NewRegistry makes the registry of a node. now may be nil for the wall clock.
func NewRegistry(node cluster.NodeID, incarnation cluster.Incarnation, now func() time.Time) *Registry {
	if now == nil {
		now = time.Now
	}
	return &Registry{node: node, boot: fmt.Sprintf("%08x", uint32(incarnation)), now: now, moved: make(map[Kind]Moved)}
}

// Start begins a job. Whoever starts it calls End.
func (r *Registry) Start(kind Kind, subject string) *Run {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	run := &Run{registry: r, job: Job{
		ID: cluster.JobID(fmt.Sprintf("%s-%s-%d", kind, r.boot, r.last)), Kind: kind, Node: r.node, Subject: subject, State: Running, Started: now, Left: -1,
	}}
	run.meter.at = now
	r.jobs = append(r.jobs, run)
	return run
}

// Jobs returns the jobs that run and the last of those that have ended, the newest first.
func (r *Registry) Jobs() []Job {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	jobs := make([]Job, 0, len(r.jobs))
	for _, run := range r.jobs {
		jobs = append(jobs, run.snapshot(now))
	}
	slices.SortStableFunc(jobs, func(a, b Job) int {
		return cmp.Or(-cmp.Compare(boolInt(a.State == Running), boolInt(b.State == Running)), b.Started.Compare(a.Started))
	})
	return jobs
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Moved returns what jobs of each kind have done; every kind is in it.
func (r *Registry) Moved() map[Kind]Moved {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make(map[Kind]Moved)
	for _, k := range Kinds() {
		m := r.moved[k.Kind]
		for _, run := range r.jobs {
			if run.job.Kind == k.Kind && run.job.State == Running {
				m.Running++
			}
		}
		all[k.Kind] = m
	}
	return all
}

// forget drops the oldest jobs that have ended. It is called with r.mu held.
func (r *Registry) forget() {
	ended := 0
	for _, run := range r.jobs {
		ended += boolInt(run.job.State != Running)
	}
	r.jobs = slices.DeleteFunc(r.jobs, func(run *Run) bool {
		if run.job.State == Running || ended <= keptJobs {
			return false
		}
		ended--
		return true
	})
}

// Run is a job that runs. Its methods may be called at the same time.
type Run struct {
	registry *Registry
	job      Job   // guarded by registry.mu
	meter    meter // guarded by registry.mu
}

// ID returns the name of the job.
func (run *Run) ID() cluster.JobID { return run.job.ID }

// Expect sets how much there is to do, of which some may be an estimate; 0 means that it is not known.
func (run *Run) Expect(objects, bytes int64) {
	run.registry.mu.Lock()
	defer run.registry.mu.Unlock()
	run.job.Objects.Total, run.job.Bytes.Total = objects, bytes
}

// Passed tells which part of the work is done, from 0 to 1, when that is all that is known: how much there is to do is estimated
// from it.
func (run *Run) Passed(part float64) {
	run.registry.mu.Lock()
	defer run.registry.mu.Unlock()
	if part <= 0 {
		return
	}
	run.job.Objects.Total = int64(float64(run.job.Objects.Done) / min(part, 1))
	run.job.Bytes.Total = int64(float64(run.job.Bytes.Done) / min(part, 1))
}

// Add tells that so much more is done: objects may be any things that the job counts.
func (run *Run) Add(objects, bytes int64) {
	r := run.registry
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	run.job.Objects.Done += objects
	run.job.Bytes.Done += bytes
	m := r.moved[run.job.Kind]
	m.Objects, m.Bytes = m.Objects+objects, m.Bytes+bytes
	r.moved[run.job.Kind] = m
	run.meter.add(now, float64(bytes), run.job.work(bytes, objects))
}

// Slots tells how many slots are done, of how many.
func (run *Run) Slots(done, total int) {
	run.registry.mu.Lock()
	defer run.registry.mu.Unlock()
	run.job.Slots = Progress{int64(done), int64(total)}
}

// Trouble tells what keeps the job from going on, or that nothing does any more.
func (run *Run) Trouble(err error) {
	run.registry.mu.Lock()
	defer run.registry.mu.Unlock()
	if run.job.State != Running {
		return
	}
	run.job.Err = ""
	if err != nil {
		run.job.Err = err.Error()
	}
}

// ErrStopped is the cause of a job that ends early because there is nothing wrong, but something has changed.
var ErrStopped = errors.New("stopped")

// End ends the job: it has finished when err is nil, was stopped when it is ErrStopped or a context's end, and else has failed.
// Later calls do nothing.
func (run *Run) End(err error) {
	r := run.registry
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if run.job.State != Running {
		return
	}
	run.job.Ended, run.job.State, run.job.Err = now, Finished, ""
	if err != nil {
		run.job.State, run.job.Err = Failed, err.Error()
		if errors.Is(err, ErrStopped) || errors.Is(err, context.Canceled) {
			run.job.State = Stopped
		}
	}
	m := r.moved[run.job.Kind]
	m.Ended++
	m.Failed += int64(boolInt(run.job.State == Failed))
	r.moved[run.job.Kind] = m
	r.forget()
}

// snapshot is called with registry.mu held.
func (run *Run) snapshot(now time.Time) Job {
	j := run.job
	j.Left = -1
	if j.State != Running {
		if d := j.Ended.Sub(j.Started).Seconds(); d > 0 {
			j.Rate = float64(j.Bytes.Done) / d
		}
		j.Left = 0
		return j
	}
	bytes, work := run.meter.rates(now)
	j.Rate = bytes
	if total := j.work(j.Bytes.Total, j.Objects.Total); total > 0 && work > 0 {
		left := max(0, total-j.work(j.Bytes.Done, j.Objects.Done))
		j.Left = time.Duration(min(left/work, float64(math.MaxInt64)/1e10) * float64(time.Second))
	}
	return j
}

// meter measures rates of late.
type meter struct {
	at                time.Time // up to which the rates hold
	known             bool
	bytesNow, workNow float64 // since then
	bytes, work       float64 // per second
}

const (
	meterStep   = time.Second
	meterMemory = 10 * time.Second
)

func (m *meter) add(now time.Time, bytes, work float64) {
	m.roll(now)
	m.bytesNow, m.workNow = m.bytesNow+bytes, m.workNow+work
}

// roll takes what was done into the rates, once a second.
func (m *meter) roll(now time.Time) {
	passed := now.Sub(m.at)
	if passed < meterStep {
		return
	}
	share := 1 - math.Exp(-passed.Seconds()/meterMemory.Seconds())
	if !m.known {
		share = 1
	}
	m.bytes += share * (m.bytesNow/passed.Seconds() - m.bytes)
	m.work += share * (m.workNow/passed.Seconds() - m.work)
	m.known = m.known || m.workNow > 0
	m.at, m.bytesNow, m.workNow = now, 0, 0
}

// rates returns bytes and work per second.
func (m *meter) rates(now time.Time) (bytes, work float64) {
	m.roll(now)
	return m.bytes, m.work
}
