//go:build e2e

package e2e

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/aisle-store/aisle/cmd/internal/testcluster"
)

// TestTorture puts a mixed load on buckets of copies and of shards while everything that can break in a cluster breaks,
// by a seed. AISLE_TORTURE says for how long; without it the test is short. AISLE_SEED repeats what a run did, as far as
// real processes repeat anything. AISLE_FAULTS names the kinds of faults, separated by commas, when it is not to be all.
func TestTorture(t *testing.T) {
	t.Parallel()
	long, short := 20*time.Second, true
	if text := os.Getenv("AISLE_TORTURE"); text != "" {
		var err error
		if long, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
		short = false
	}
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("AISLE_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	if !isolated(t, 2*long+10*time.Minute, !short) {
		return
	}
	x := newTorture(t, seed, short)
	x.begin()
	x.breakThings(long)
	x.heal()
	x.finish()
}

// torture is a load on a cluster that is being broken, and all that its clients saw.
type torture struct {
	t         *testing.T
	seed      uint64
	short     bool
	cluster   *testcluster.Cluster
	net       *network
	clocks    *wallClocks
	client    *client // is relayed
	follow    *client // may be redirected
	buckets   []string
	began     time.Time
	endpoints atomic.Pointer[[]string] // of the nodes that clients know
	shunned   sync.Map                 // by endpoint: until when it is rather not asked
	stop      context.CancelFunc
	wait      sync.WaitGroup
	workers   []*worker
	faults    *faults
	log       *os.File

	mu struct {
		sync.Mutex
		did      []did
		kinds    map[string]*service
		problems []string
	}
}

// service is how a kind of request fared.
type service struct {
	asked, failed int
	last          time.Duration // when one was answered last
	gap           time.Duration // longest time between two answers
	gapEnd        time.Duration
	slowest       time.Duration // longest that an answered one took
}

func newTorture(t *testing.T, seed uint64, short bool) *torture {
	t.Helper()
	x := &torture{t: t, seed: seed, short: short, net: newNetwork(t, tortureNodes+tortureSpares), clocks: newWallClocks(t)}
	o := x.net.options()
	o.Nodes, o.Mountpaths, o.Binary = tortureNodes, 2, faultyBinary(t)
	o.NodeEnv = func(i int) []string {
		env := x.clocks.environment(i)
		if faulty(i) {
			env = append(env, "AISLE_TEST_DISK_FAULTS="+x.faultsFile())
		}
		return env
	}
	x.cluster = testcluster.New(t, o)
	log, err := os.Create(filepath.Join(x.cluster.Dir, "torture.log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	x.log = log
	x.faults = newFaults(x)
	x.faults.smallDisk(x.cluster.Nodes[2])
	x.mu.kinds = make(map[string]*service)
	x.client, x.follow = newClient(x.cluster), newFollower(x.cluster)
	x.began = time.Now()
	x.say("seed %d; evidence in %s", seed, x.cluster.Dir)
	return x
}

// say writes what happens into the log.
func (x *torture) say(format string, args ...any) {
	line := fmt.Sprintf("%8.2f ", time.Since(x.began).Seconds()) + fmt.Sprintf(format, args...)
	fmt.Fprintln(x.log, line)
	if !x.short {
		fmt.Println(line)
	}
}

func (x *torture) problem(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	x.say("PROBLEM %s", text)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.mu.problems = append(x.mu.problems, fmt.Sprintf("at %.2f: %s", time.Since(x.began).Seconds(), text))
}

func (x *torture) record(d did) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.mu.did = append(x.mu.did, d)
}

// asked counts an answer.
func (x *torture) asked(a answer) {
	x.mu.Lock()
	defer x.mu.Unlock()
	s := x.mu.kinds[a.kind]
	if s == nil {
		s = &service{last: a.call}
		x.mu.kinds[a.kind] = s
	}
	s.asked++
	if a.err != nil || a.status >= 500 {
		s.failed++
		fmt.Fprintf(x.log, "%8.2f failed %s %s through node %d since %.2f: %s\n", a.done.Seconds(), a.kind, a.target, a.node, a.call.Seconds(), a)
		return
	}
	fmt.Fprintf(x.log, "%8.2f answered %s %s through node %d since %.2f: %s\n", a.done.Seconds(), a.kind, a.target, a.node, a.call.Seconds(), a)
	if gap := a.done - s.last; gap > s.gap {
		s.gap, s.gapEnd = gap, a.done
	}
	s.last = max(s.last, a.done)
	s.slowest = max(s.slowest, a.done-a.call)
}

// meet lets the clients know the nodes that there are.
func (x *torture) meet(nodes []*testcluster.Node) {
	var all []string
	for _, n := range nodes {
		all = append(all, n.Endpoint)
	}
	x.endpoints.Store(&all)
}

// begin starts the cluster, makes the buckets and lets the clients begin.
func (x *torture) begin() {
	x.t.Helper()
	x.cluster.StartAll()
	x.meet(x.cluster.Nodes)
	for _, copies := range []int{2, 3} {
		name := fmt.Sprintf("copies-%d", copies)
		newBucket(x.t, x.cluster, name, copies)
		x.buckets = append(x.buckets, name)
	}
	x.makeLayouts()
	x.began = time.Now()
	ctx, cancel := context.WithCancel(context.Background())
	x.stop = cancel
	x.t.Cleanup(func() { cancel(); x.wait.Wait() })
	for i := range tortureClients {
		w := x.newWorker(i)
		x.workers = append(x.workers, w)
		x.wait.Go(func() { w.run(ctx) })
	}
}

// finish stops the clients, asks everything once more through every node and checks all that was seen.
func (x *torture) finish() {
	x.t.Helper()
	x.stop()
	x.wait.Wait()
	x.report()
	x.readAll()
	x.checkLinearizable()
	x.mu.Lock()
	defer x.mu.Unlock()
	for i, p := range x.mu.problems {
		if i == 40 {
			x.t.Errorf("and %d more", len(x.mu.problems)-i)
			break
		}
		x.t.Error(p)
	}
	if x.t.Failed() {
		x.dump()
		x.t.Logf("seed %d", x.seed)
	}
}

func (x *torture) report() {
	x.mu.Lock()
	defer x.mu.Unlock()
	total, failed := 0, 0
	for _, kind := range slices.Sorted(maps.Keys(x.mu.kinds)) {
		s := x.mu.kinds[kind]
		total, failed = total+s.asked, failed+s.failed
		x.say("%-14s %7d requests, %6d without an answer; longest time without one that was answered %6.2f s (until %.2f), slowest answer %6.2f s",
			kind, s.asked, s.failed, s.gap.Seconds(), s.gapEnd.Seconds(), s.slowest.Seconds())
	}
	x.t.Logf("seed %d: %d requests, %d without an answer; %s", x.seed, total, failed, x.faults)
	if least := 200; total < least {
		x.problemLocked("only %d requests, want %d", total, least)
	}
}

func (x *torture) problemLocked(format string, args ...any) {
	x.mu.problems = append(x.mu.problems, fmt.Sprintf(format, args...))
}

// readAll reads every key through every node, and lists everything through every node.
func (x *torture) readAll() {
	x.t.Helper()
	lastEra := eraOf(time.Since(x.began))
	type job func(w *worker) bool
	jobs := make(chan job)
	var readers sync.WaitGroup
	var unanswered atomic.Int64
	for i := range tortureClients {
		readers.Go(func() {
			w := x.newWorker(1000 + i)
			for j := range jobs {
				limit := time.Now().Add(time.Minute)
				for !j(w) {
					if time.Now().After(limit) {
						unanswered.Add(1)
						break
					}
					time.Sleep(200 * time.Millisecond)
				}
			}
		})
	}
	reads, lists := 0, 0
	nodes := *x.endpoints.Load()
	for n := range nodes {
		only := nodes[n : n+1]
		through := func(f job) {
			jobs <- func(w *worker) bool { w.only = only; return f(w) }
		}
		r, l := x.readVersions(func(f func(*worker) bool) { through(f) })
		reads, lists = reads+r, lists+l
		for _, b := range x.buckets {
			for _, w := range x.workers {
				for key, o := range w.own[b] {
					reads++
					through(func(r *worker) bool { return r.readBack(b, key, o) })
				}
				lists++
				through(func(r *worker) bool { return r.listKeys(b, w.ownPrefix(), w.own[b], 37) })
			}
			for era := range lastEra + 1 {
				lists++
				through(func(r *worker) bool { return r.listEra(b, era, 4) })
				for k := range eraKeys {
					reads++
					through(func(r *worker) bool { return r.readShared(b, eraKey(era, k)) })
				}
			}
		}
	}
	close(jobs)
	readers.Wait()
	x.say("read %d times and listed %d times through %d nodes", reads, lists, len(nodes))
	if n := unanswered.Load(); n > 0 {
		x.problem("%d reads and lists had no answer within a minute after all was whole again", n)
	}
}

// readBack reads a key of another worker, which has stopped.
func (w *worker) readBack(bucket, key string, o *owned) bool {
	a, out, _, ok := w.look(bucket, key)
	if ok && !o.may(out.seen) {
		w.problem("at the end, %s %s/%s through %s: %v, want %v or one of %v", a.kind, bucket, key, w.only, out.seen, o.state, o.doubt)
	}
	return ok
}

// checkLinearizable checks the history of every shared key.
func (x *torture) checkLinearizable() {
	x.t.Helper()
	x.mu.Lock()
	all := x.mu.did
	x.mu.Unlock()
	byKey := make(map[string][]did)
	for _, d := range all {
		byKey[d.bucket+"/"+d.in.key] = append(byKey[d.bucket+"/"+d.in.key], d)
	}
	var failed atomic.Int64
	keys := make(chan string)
	var checkers sync.WaitGroup
	for range 2 {
		checkers.Go(func() {
			for key := range keys {
				if failed.Load() < 5 && !x.checkKey(key, byKey[key]) {
					failed.Add(1)
				}
			}
		})
	}
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		keys <- key
	}
	close(keys)
	checkers.Wait()
	x.say("%d operations on %d shared keys checked", len(all), len(byKey))
}

// checkKey checks the history of one key. See checkModel.
func (x *torture) checkKey(key string, ops []did) bool {
	marks := make(map[string]time.Duration) // when the mark of a write was seen first
	tags := make(map[string]time.Duration)
	earliest := func(m map[string]time.Duration, k string, at time.Duration) {
		if first, ok := m[k]; !ok || at < first {
			m[k] = at
		}
	}
	for _, d := range ops {
		switch {
		case d.out.result != done:
		case d.in.deed == read:
			earliest(marks, d.out.seen.mark, d.done)
			earliest(tags, d.out.seen.etag, d.done)
		case d.in.deed == glance:
			earliest(tags, d.out.seen.etag, d.done)
		case d.in.expect != "":
			earliest(tags, d.in.expect, d.done)
		}
	}
	var certain, all []porcupine.Operation
	for i, d := range ops {
		p := porcupine.Operation{ClientId: d.client, Input: d.in, Output: d.out, Call: int64(d.call), Return: int64(d.done)}
		if d.out.result != unknown {
			certain, all = append(certain, p), append(all, p)
			continue
		}
		p.ClientId, p.Return = 100_000+i, math.MaxInt64
		if at, ok := marks[d.in.next.mark]; ok && d.in.deed != erase {
			p.Return = int64(max(at, d.call))
			certain = append(certain, p)
		} else if _, ok := tags[d.in.next.etag]; ok && d.in.deed != erase {
			certain = append(certain, p)
		}
		all = append(all, p)
	}
	model := tortureModel()
	if porcupine.CheckOperationsTimeout(model, certain, time.Minute) == porcupine.Ok {
		return true
	}
	result, info := porcupine.CheckOperationsVerbose(model, all, time.Minute)
	if result == porcupine.Ok {
		return true
	}
	picture := filepath.Join(x.cluster.Dir, "history-"+strings.ReplaceAll(key, "/", "_")+".html")
	if err := porcupine.VisualizePath(model, info, picture); err != nil {
		x.problem("%v", err)
	}
	x.problem("the history of the %d operations on %s is %s; see %s", len(ops), key, result, picture)
	return false
}

// dump leaves all operations on shared keys beside the logs.
func (x *torture) dump() {
	out, err := os.Create(filepath.Join(x.cluster.Dir, "operations.log"))
	if err != nil {
		x.t.Error(err)
		return
	}
	defer out.Close()
	model := tortureModel()
	for _, d := range x.mu.did {
		fmt.Fprintf(out, "%.4f %.4f %s/%s client %d node %d %s: %s | %s\n", d.call.Seconds(), d.done.Seconds(), d.bucket, d.in.key, d.client, d.node, d.kind, model.DescribeOperation(d.in, d.out), d.status)
	}
}

func contentMD5(text []byte) string {
	sum := md5.Sum(text)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// pick returns a random element.
func pick[T any](random *rand.Rand, from []T) T { return from[random.IntN(len(from))] }
