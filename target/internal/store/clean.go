package store

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
	"github.com/aisle-store/aisle/target/internal/meta"
)

const (
	cleanLinger = 5 * time.Millisecond // how long the cleaner lets work gather
	cleanBatch  = 512                  // of so many changes it makes one batch
)

// cleanup is what is left to do when a change is visible: to settle it, and to take out of the index, and from the disk, what
// it replaced.
type cleanup struct {
	id      ident
	floor   cluster.Generation // of a tombstone; zero for other changes
	settle  []meta.Ref         // in-doubt keys that are decided
	remove  []*meta.Record
	touched bool // the access time goes, too
	free    []disk.Place
}

// cleaner does the cleaning of one mountpath, in the order in which changes became visible. Nothing waits for it: until it
// comes to a change, the shard's marks hide what is replaced, and a crash leaves it to settling.
type cleaner struct {
	index   *meta.Index
	free    func(disk.Place)
	readers *gate
	shard   func(ident) *shard
	failed  func(error)

	mu       sync.Mutex
	queue    []cleanup     // guarded by mu
	busy     []cleanup     // guarded by mu: what is being cleaned
	queued   uint64        // guarded by mu: how many were ever queued
	done     uint64        // guarded by mu: how many of them are cleaned
	progress chan struct{} // guarded by mu: closed and replaced when done changes

	wake    chan struct{} // one token: there is work
	stopped chan struct{} // closed when run has returned
}

func (c *cleaner) add(job cleanup) {
	c.mu.Lock()
	c.queue = append(c.queue, job)
	c.queued++
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run cleans until the context ends or the index dies.
func (c *cleaner) run(ctx context.Context) {
	defer close(c.stopped)
	timer := time.NewTimer(cleanLinger)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.index.Dead():
			return
		case <-c.wake:
		}
		timer.Reset(cleanLinger)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if err := c.pass(ctx); err != nil {
			if ctx.Err() == nil {
				c.failed(err)
			}
			return
		}
	}
}

// pass cleans all that is queued.
func (c *cleaner) pass(ctx context.Context) error {
	for {
		jobs := c.take()
		if len(jobs) == 0 {
			return nil
		}
		if err := c.clean(ctx, jobs); err != nil {
			return err
		}
		c.finished(len(jobs))
	}
}

func (c *cleaner) take() []cleanup {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(len(c.queue), cleanBatch)
	jobs := slices.Clone(c.queue[:n])
	c.queue = slices.Delete(c.queue, 0, n)
	c.busy = jobs
	return jobs
}

// removes reports whether records of a key are still to be removed.
func (c *cleaner) removes(id ident) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := func(job cleanup) bool {
		return job.id.bucket == id.bucket && job.id.key == id.key && len(job.remove) > 0
	}
	return slices.ContainsFunc(c.queue, of) || slices.ContainsFunc(c.busy, of)
}

func (c *cleaner) finished(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done += uint64(n)
	c.busy = nil
	close(c.progress)
	c.progress = make(chan struct{})
}

// clean settles some changes. The batch is synced only where bytes are freed: they go only when no record that a crash could
// bring back names them. Readers who began before may still have the old records in hand, so floors and bytes outlive them.
func (c *cleaner) clean(ctx context.Context, jobs []cleanup) error {
	batch := c.index.NewBatch()
	defer batch.Close()
	sync := false
	for i := range jobs {
		job := &jobs[i]
		for _, ref := range job.settle {
			batch.Settle(ref)
		}
		for _, r := range job.remove {
			batch.Delete(r)
		}
		if job.touched {
			batch.ForgetAccess(job.id.bucket, job.id.key)
		}
		sync = sync || len(job.free) > 0
	}
	if err := batch.Commit(sync); err != nil {
		return err
	}
	if err := c.readers.wait(ctx); err != nil {
		return err
	}
	for i := range jobs {
		job := &jobs[i]
		if !job.floor.IsZero() {
			c.shard(job.id).cleaned(job.id, job.floor)
		}
		for _, place := range job.free {
			c.free(place)
		}
	}
	return nil
}

// drain returns when everything queued so far is cleaned.
func (c *cleaner) drain(ctx context.Context) error {
	c.mu.Lock()
	target := c.queued
	c.mu.Unlock()
	for {
		c.mu.Lock()
		done, progress := c.done, c.progress
		c.mu.Unlock()
		if done >= target {
			return nil
		}
		select {
		case <-progress:
		case <-c.stopped:
			return cluster.Fail("target/store.drain", "", cluster.KindUnavailable, "the cleaner has stopped")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
