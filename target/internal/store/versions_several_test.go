package store

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// TestSeveralVersions writes and removes versions of few keys while their owners crash, come back, catch up and move, and
// compares what each owner shows with a model: whoever asks again under the same request id gets the outcome of the first.
// At times nothing is asked for until what is kept for a time is forgotten. AISLE_STORE_SEEDS=N runs more seeds.
func TestSeveralVersions(t *testing.T) {
	seeds, _ := strconv.Atoi(os.Getenv("AISLE_STORE_SEEDS"))
	for seed := range uint64(max(seeds, 3)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			var s *several
			begun, passed := time.Now(), new(atomic.Int64)
			options := func(o *Options) {
				o.Clock, o.Sweep = func() time.Duration { return time.Since(begun) + time.Duration(passed.Load()) }, 2*time.Millisecond
			}
			if seed%3 < 2 {
				s = newSeveral(t, 3, 3, options)
			} else { // while disks drop out of mirrors
				s = newMirrored(t, 3, 3, 2, options)
				s.also = (*several).dropSide
			}
			s.configure(func(p *cluster.BucketProps) { p.Versioning = cluster.VersioningEnabled })
			c := &versionClient{s: s, passed: passed, r: rand.New(rand.NewPCG(seed, 5)), versions: make(map[string][]version)}
			stop := make(chan struct{})
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					select {
					case <-stop:
						return
					default:
						c.step()
					}
				}
			}()
			late := s.disturb(rand.New(rand.NewPCG(seed, 99)), 2*time.Second)
			s.heal()
			close(stop)
			<-done
			late.Wait()
			s.mute.Store(false)
			if t.Failed() {
				return
			}
			for range 3 {
				for _, key := range versionKeys {
					c.verify(key)
				}
				for _, id := range nodeIDs {
					s.promote(id, "")
				}
			}
			t.Logf("%d steps", c.steps)
		})
	}
}

// versionClient does one thing after the other.
type versionClient struct {
	s        *several
	passed   *atomic.Int64 // time that was skipped, by the clocks of all stores
	r        *rand.Rand
	versions map[string][]version
	steps    int
}

func (c *versionClient) step() {
	c.steps++
	key := versionKeys[c.r.IntN(len(versionKeys))]
	k := cluster.ObjectKey(key)
	s := c.s
	switch c.r.IntN(7) {
	case 0, 1:
		data := pattern(c.steps, []int{10, 6000}[c.r.IntN(2)])
		info := again(s, func(r cluster.RequestID) (*Info, error) { return s.tryPut(key, data, r) })
		c.versions[key] = slices.Insert(c.versions[key], 0, version{id: info.VersionID, data: data})
	case 2:
		r := again(s, func(request cluster.RequestID) (DeleteResult, error) {
			return s.tryDeleteVersion(&DeleteRequest{Call: Call{Request: request}, Key: k})
		})
		c.versions[key] = slices.Insert(c.versions[key], 0, version{id: r.Version, marker: true})
	case 3:
		if n := len(c.versions[key]); n > 0 {
			at := c.r.IntN(n)
			if c.versions[key][at].lock.Hold == cluster.HoldOn {
				c.refused(key, c.versions[key][at].id)
				return
			}
			again(s, func(request cluster.RequestID) (DeleteResult, error) {
				return s.tryDeleteVersion(&DeleteRequest{Call: Call{Request: request}, Key: k, Version: c.versions[key][at].id})
			})
			c.versions[key] = slices.Delete(c.versions[key], at, at+1)
		}
	case 4:
		c.verify(key)
	case 5:
		if n := len(c.versions[key]); n > 0 {
			c.hold(key, &c.versions[key][c.r.IntN(n)])
		}
	case 6:
		c.once(key)
	}
}

// once tries to write or to remove a version, and does not repeat what has no certain outcome. The next change that is acknowledged
// settles whether it was done.
func (c *versionClient) once(key string) {
	s, had := c.s, c.versions[key]
	data := pattern(c.steps, 20)
	s.mute.Store(c.r.IntN(2) == 0) // until the next one
	s.refuses.Store(c.r.IntN(3) > 0)
	defer s.refuses.Store(false)
	var err error
	var done func(got []cluster.VersionID) []version // if it was done, when the key has these versions
	if at := c.r.IntN(len(had) + 1); at == len(had) {
		var info *Info
		if info, err = s.tryPut(key, data, ""); err == nil {
			c.versions[key] = slices.Insert(had, 0, version{id: info.VersionID, data: data})
			return
		}
		done = func(got []cluster.VersionID) []version {
			if len(got) < 2 {
				return nil
			}
			return slices.Insert(slices.Clone(had), 0, version{id: got[1], data: data})
		}
	} else {
		if had[at].lock.Hold == cluster.HoldOn {
			return
		}
		rest := slices.Delete(slices.Clone(had), at, at+1)
		if _, err = s.tryDeleteVersion(&DeleteRequest{Key: cluster.ObjectKey(key), Version: had[at].id}); err == nil {
			c.versions[key] = rest
			return
		}
		done = func([]cluster.VersionID) []version { return rest }
	}
	if !cluster.Is(err, cluster.KindUnavailable) {
		s.t.Errorf("%s: %v", key, err)
	}
	s.refuses.Store(false)
	if c.r.IntN(3) == 0 {
		c.rest()
	}
	after := version{data: pattern(c.steps, 30)}
	after.id = again(s, func(r cluster.RequestID) (*Info, error) { return s.tryPut(key, after.data, r) }).VersionID
	got := c.list(key)
	for _, all := range [][]version{had, done(got)} {
		all = slices.Insert(slices.Clone(all), 0, after)
		if slices.EqualFunc(all, got, func(v version, id cluster.VersionID) bool { return v.id == id }) {
			c.versions[key] = all
			return
		}
	}
	s.t.Errorf("%s has versions %v: a change was made in part, or undoes others; there were %v", key, got, had)
}

// rest does nothing until what is kept for a time is forgotten, as far as the owners will. Nobody repeats a request meanwhile.
func (c *versionClient) rest() {
	c.s.reshape(func(cluster.Slot, *cluster.SlotState) bool { return true }) // tombstones go in later epochs than their own
	for range 2 {
		time.Sleep(5 * time.Millisecond)
		c.passed.Add(int64(time.Hour))
	}
	time.Sleep(5 * time.Millisecond)
}

// hold puts a version under legal hold, or takes that away.
func (c *versionClient) hold(key string, v *version) {
	if v.marker {
		return
	}
	v.lock.Hold = []cluster.LegalHold{cluster.HoldOn, cluster.HoldOff}[c.r.IntN(2)]
	again(c.s, func(request cluster.RequestID) (*Info, error) {
		p, call := c.s.at(key, request)
		if p == nil {
			return nil, errDown
		}
		info, err := p.store.Update(context.Background(), &UpdateRequest{
			Call: call, Bucket: c.s.bucket, Key: cluster.ObjectKey(key), Version: v.id, Lock: &LockChange{Hold: v.lock.Hold}, KeepModified: true,
		})
		if err == nil && p.CheckLease() != nil {
			err = errDown
		}
		return info, err
	})
}

// refused demands that a version under legal hold cannot be removed, whoever owns it by now.
func (c *versionClient) refused(key string, id cluster.VersionID) {
	kind := again(c.s, func(request cluster.RequestID) (cluster.Kind, error) {
		_, err := c.s.tryDeleteVersion(&DeleteRequest{Call: Call{Request: request}, Key: cluster.ObjectKey(key), Version: id, Bypass: true})
		if cluster.Is(err, cluster.KindLocked) {
			return cluster.KindLocked, nil
		}
		return cluster.KindOf(err), err
	})
	if kind != cluster.KindLocked {
		c.s.t.Errorf("%s version %s is under legal hold, and its delete is %s", key, id, kind)
	}
}

// verify compares all versions of a key with what its owner has.
func (c *versionClient) verify(key string) {
	for i, v := range c.versions[key] {
		got := again(c.s, func(cluster.RequestID) ([]byte, error) {
			p, call := c.s.at(key, "")
			if p == nil {
				return nil, errDown
			}
			r := &GetRequest{Call: call, Bucket: c.s.bucket, Key: cluster.ObjectKey(key), Version: v.id}
			if i == 0 && !v.marker {
				r.Version = ""
			}
			o, err := p.store.Open(context.Background(), r)
			switch {
			case err != nil && p.CheckLease() != nil:
				return nil, errDown // nobody gets the answer of a process that has crashed
			case MarkerOf(err) != nil:
				return nil, nil
			case err != nil:
				return nil, err
			}
			defer o.Close()
			return io.ReadAll(o.Reader())
		})
		if !bytes.Equal(got, v.data) {
			c.s.t.Errorf("%s version %d of %d, %s: %d bytes, want %d", key, i, len(c.versions[key]), v.id, len(got), len(v.data))
		}
	}
	want := make([]cluster.VersionID, 0, len(c.versions[key]))
	for _, v := range c.versions[key] {
		want = append(want, v.id)
	}
	if got := c.list(key); !slices.Equal(got, want) {
		c.s.t.Errorf("%s has versions %v, want %v", key, got, want)
	}
}

// list returns the versions of a key.
func (c *versionClient) list(key string) []cluster.VersionID {
	return again(c.s, func(cluster.RequestID) ([]cluster.VersionID, error) {
		m := c.s.active()
		owner, _ := m.Owner(c.s.slot(key))
		c.s.mu.Lock()
		p := c.s.nodes[owner].process
		c.s.mu.Unlock()
		if p == nil {
			return nil, errDown
		}
		var ids []cluster.VersionID
		for e, err := range p.store.Versions(context.Background(), &ListRequest{Bucket: c.s.bucket, Map: m.Version, Prefix: key}) {
			if err != nil {
				return nil, err
			}
			if string(e.Key) == key {
				ids = append(ids, e.VersionID)
			}
		}
		return ids, p.CheckLease()
	})
}

func (s *several) tryDeleteVersion(r *DeleteRequest) (DeleteResult, error) {
	p, call := s.at(string(r.Key), r.Request)
	if p == nil {
		return DeleteResult{}, errDown
	}
	r.Call, r.Bucket = call, s.bucket
	got, err := p.store.Delete(context.Background(), r)
	if err == nil && p.CheckLease() != nil {
		err = errDown // nobody gets the answer of a process that has crashed
	}
	return got, err
}
