//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/aisle-store/aisle/cmd/internal/testcluster"
)

const (
	historyClients = 16
	historyKeys    = 5
	requestLimit   = 5 * time.Second
	thinkTime      = 120 * time.Millisecond // mean pause of a client between two operations
)

// history is a load of many clients on few keys through all gateways, and all that they saw.
type history struct {
	t       *testing.T
	cluster *testcluster.Cluster
	client  *client // is relayed
	follow  *client // may be redirected
	bucket  string
	began   time.Time
	stop    context.CancelFunc
	wait    sync.WaitGroup

	mu struct {
		sync.Mutex
		ops        []operation
		faultBegan time.Duration
		faultEnded time.Duration
		problems   []string
	}
}

// operation is one request and what came of it.
type operation struct {
	client   int
	in       registerInput
	out      registerOutput
	call     time.Duration
	done     time.Duration
	endpoint int
	status   string // for reports
}

// startHistory makes the bucket and lets the clients begin.
func startHistory(t *testing.T, c *testcluster.Cluster, bucket string) *history {
	t.Helper()
	h := &history{t: t, cluster: c, client: newClient(c), follow: newFollower(c), bucket: bucket, began: time.Now()}
	h.client.must(t, request{method: http.MethodPut, endpoint: c.Nodes[0].Endpoint, bucket: bucket}, 200)
	ctx, cancel := context.WithCancel(context.Background())
	h.stop = cancel
	t.Cleanup(func() { cancel(); h.wait.Wait() })
	for i := range historyClients {
		log, err := os.Create(h.logFile(i))
		if err != nil {
			t.Fatal(err)
		}
		h.wait.Go(func() {
			defer log.Close()
			h.run(ctx, i, log)
		})
	}
	return h
}

func (h *history) logFile(client int) string {
	return filepath.Join(h.cluster.Dir, fmt.Sprintf("%s-client%d.acknowledged", h.bucket, client))
}

// run is one client: every fourth operation writes an object of its own and logs the acknowledgement, the others work on
// the shared keys.
func (h *history) run(ctx context.Context, id int, log *os.File) {
	random := rand.New(rand.NewPCG(uint64(id), 7))
	seen := make(map[string]string) // the ETag that this client saw last of each key
	for n := 0; ctx.Err() == nil; n++ {
		var certain bool
		if n%4 == 3 {
			certain = h.writeOwn(random, id, n, log)
		} else {
			certain = h.step(random, id, n, seen)
		}
		pause := time.Duration(random.ExpFloat64() * float64(thinkTime))
		if !certain {
			pause += time.Duration(300+random.IntN(500)) * time.Millisecond
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// body returns bytes that no other operation writes. The sizes cover all three kinds of places.
func body(random *rand.Rand, unique string) []byte {
	size := []int{0, 100, 6000, 90_000, 1_500_000}[random.IntN(5)]
	if random.IntN(4) > 0 {
		size = min(size, 6000) // large ones are for variety, not for load
	}
	text := []byte(unique + "\n")
	return append(text, bytes.Repeat([]byte{byte(random.IntN(256))}, size)...)
}

func etag(body []byte) string {
	sum := md5.Sum(body)
	return hex.EncodeToString(sum[:])
}

// writeOwn writes an object that only this client knows and, when it was acknowledged, logs that durably.
func (h *history) writeOwn(random *rand.Rand, id, n int, log *os.File) bool {
	key := fmt.Sprintf("own/%d/%d", id, n)
	text := body(random, h.bucket+key)
	out, _ := h.send(random, id, registerInput{op: put, key: key, value: etag(text)}, text)
	if out.result != done {
		return false
	}
	if _, err := fmt.Fprintf(log, "%s %s\n", key, etag(text)); err != nil {
		h.problem("log: %v", err)
	}
	if err := log.Sync(); err != nil {
		h.problem("log: %v", err)
	}
	return true
}

// step does one random operation on a shared key.
func (h *history) step(random *rand.Rand, id, n int, seen map[string]string) bool {
	key := fmt.Sprintf("shared/%d", random.IntN(historyKeys))
	text := body(random, fmt.Sprintf("%s %d %d", h.bucket, id, n))
	in := registerInput{key: key, value: etag(text)}
	switch p := random.IntN(100); {
	case p < 45:
		in.op = get
	case p < 65:
		in.op = put
	case p < 80:
		in.op = create
	case p < 90 && seen[key] != "":
		in.op, in.expect = swap, seen[key]
	case p < 97:
		in.op = get
	default:
		in.op = remove
	}
	out, certain := h.send(random, id, in, text)
	switch {
	case out.result == done && in.op == get:
		seen[key] = out.value
	case out.result == done && in.op != remove:
		seen[key] = in.value
	}
	return certain
}

// send does an operation through a random gateway and records it.
func (h *history) send(random *rand.Rand, id int, in registerInput, text []byte) (registerOutput, bool) {
	op := operation{client: id, in: in, endpoint: random.IntN(len(h.cluster.Nodes))}
	r := request{endpoint: h.cluster.Nodes[op.endpoint].Endpoint, bucket: h.bucket, key: in.key}
	switch in.op {
	case get:
		r.method = http.MethodGet
	case remove:
		r.method = http.MethodDelete
	case put:
		r.method, r.body = http.MethodPut, text
	case create:
		r.method, r.body, r.header = http.MethodPut, text, map[string]string{"If-None-Match": "*"}
	case swap:
		r.method, r.body, r.header = http.MethodPut, text, map[string]string{"If-Match": `"` + in.expect + `"`}
	}
	ctx, cancel := context.WithTimeout(context.Background(), requestLimit)
	defer cancel()
	op.call = time.Since(h.began)
	client := h.client
	if id%2 == 1 {
		client = h.follow
	}
	rep, err := client.do(ctx, r)
	op.done = time.Since(h.began)
	op.status = fmt.Sprint(rep.status, " ", rep.code())
	if err != nil {
		op.status = err.Error()
	}
	op.out = h.outcome(in, rep, err)
	h.mu.Lock()
	h.mu.ops = append(h.mu.ops, op)
	h.mu.Unlock()
	return op.out, op.out.result != unknown && op.out.result != never
}

// outcome judges a reply. What is not certainly done or certainly refused is unknown.
func (h *history) outcome(in registerInput, rep reply, err error) registerOutput {
	var dial *net.OpError
	switch {
	case errors.As(err, &dial) && dial.Op == "dial":
		return registerOutput{result: never}
	case err != nil || rep.status >= 500 || rep.status == http.StatusConflict:
		return registerOutput{result: unknown}
	case rep.status == 200 || rep.status == 204:
		tag := strings.Trim(rep.header.Get("ETag"), `"`)
		if in.op == get && etag(rep.body) != tag {
			h.problem("GET %s: the body's MD5 is %s, its ETag %s", in.key, etag(rep.body), tag)
		}
		if in.op != get && in.op != remove && tag != in.value {
			h.problem("PUT %s: ETag %s, want %s", in.key, tag, in.value)
		}
		return registerOutput{result: done, value: tag}
	case rep.status == http.StatusForbidden && rep.code() == "RequestTimeTooSkewed":
		return registerOutput{result: never}
	case rep.status == http.StatusNotFound && rep.code() == "NoSuchKey" && (in.op == get || in.op == swap):
		return registerOutput{result: absent}
	case rep.status == http.StatusPreconditionFailed && (in.op == create || in.op == swap):
		return registerOutput{result: refused}
	}
	h.problem("%v %s: %s", in.op, in.key, rep)
	return registerOutput{result: unknown}
}

func (h *history) problem(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.mu.problems) < 20 {
		h.mu.problems = append(h.mu.problems, fmt.Sprintf("at %s: ", time.Since(h.began).Round(time.Millisecond))+fmt.Sprintf(format, args...))
	}
}

// faultBegins and faultEnds mark the time in which failing is excused.
func (h *history) faultBegins() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.faultBegan = time.Since(h.began)
}

func (h *history) faultEnds() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.faultEnded = time.Since(h.began)
}

// finish stops the clients and checks everything: the number of operations, how many succeeded outside of the fault, that
// the history is linearizable, and that whatever was acknowledged can be read.
func (h *history) finish() {
	h.t.Helper()
	h.stop()
	h.wait.Wait()
	h.mu.Lock()
	ops, problems := h.mu.ops, h.mu.problems
	h.mu.Unlock()
	for _, p := range problems {
		h.t.Error(p)
	}
	h.checkSuccess(ops)
	h.checkAcknowledged()
	h.checkLinearizable(ops)
}

func (h *history) checkSuccess(ops []operation) {
	h.t.Helper()
	var outside, succeeded, shared, during, duringOK int
	statuses := make(map[string]int)
	for _, op := range ops {
		good := op.out.result != unknown && op.out.result != never
		if strings.HasPrefix(op.in.key, "shared/") {
			shared++
		}
		if op.done < h.mu.faultBegan || op.call > h.mu.faultEnded {
			outside++
			if good {
				succeeded++
			} else {
				statuses[op.status]++
			}
			continue
		}
		during++
		if good {
			duringOK++
		}
	}
	h.t.Logf("%d operations, %d on shared keys; outside of the fault %d of %d succeeded, within it %d of %d",
		len(ops), shared, succeeded, outside, duringOK, during)
	if len(ops) < 2000 {
		h.t.Errorf("only %d operations, want 2000", len(ops))
	}
	if succeeded*10 < outside*6 {
		h.t.Errorf("only %d of %d operations outside of the fault succeeded: %v", succeeded, outside, statuses)
	}
}

// checkAcknowledged reads every logged object back, each through another gateway.
func (h *history) checkAcknowledged() {
	h.t.Helper()
	total := 0
	for i := range historyClients {
		log, err := os.Open(h.logFile(i))
		if err != nil {
			h.t.Fatal(err)
		}
		defer log.Close()
		for lines := bufio.NewScanner(log); lines.Scan(); total++ {
			key, want, _ := strings.Cut(lines.Text(), " ")
			node := h.cluster.Nodes[total%len(h.cluster.Nodes)]
			rep := h.readBack(request{method: http.MethodGet, endpoint: node.Endpoint, bucket: h.bucket, key: key})
			if got := etag(rep.body); got != want {
				h.t.Errorf("%s was acknowledged with MD5 %s and reads as %s (%d bytes)", key, want, got, len(rep.body))
			}
		}
	}
	h.t.Logf("%d acknowledged objects read back", total)
}

// readBack reads an acknowledged object. While a node says that it cannot answer it is asked again, for half a minute.
func (h *history) readBack(r request) reply {
	h.t.Helper()
	var rep reply
	err := testcluster.Poll(30*time.Second, func(ctx context.Context) error {
		var err error
		if rep, err = h.client.do(ctx, r); err == nil && rep.status == http.StatusServiceUnavailable {
			err = fmt.Errorf("%s", rep)
		}
		return err
	})
	if err != nil || rep.status != http.StatusOK {
		h.t.Errorf("%s was acknowledged: %s %v", r.key, rep, err)
	}
	return rep
}

func (h *history) checkLinearizable(ops []operation) {
	h.t.Helper()
	seen := make(map[string]time.Duration) // when a value was seen first, by a reply that proves that it was written
	note := func(value string, at time.Duration) {
		if first, ok := seen[value]; !ok || at < first {
			seen[value] = at
		}
	}
	for _, op := range ops {
		if op.out.result == done && op.in.op == get {
			note(op.out.value, op.done)
		}
		if op.out.result == done && op.in.op == swap {
			note(op.in.expect, op.done)
		}
	}
	var certain, all []porcupine.Operation
	for i, op := range ops {
		if !strings.HasPrefix(op.in.key, "shared/") || op.out.result == never || op.in.op == get && op.out.result == unknown {
			continue
		}
		p := porcupine.Operation{ClientId: op.client, Input: op.in, Output: op.out, Call: int64(op.call), Return: int64(op.done)}
		if op.out.result != unknown {
			certain, all = append(certain, p), append(all, p)
			continue
		}
		p.ClientId, p.Return = historyClients+i, math.MaxInt64 // it may still happen, at any time,
		if at, ok := seen[op.in.value]; ok && op.in.op != remove {
			p.Return = int64(max(at, op.call)) // but not after its value was seen
			certain = append(certain, p)
		}
		all = append(all, p)
	}
	checkModel(h.t, h.cluster.Dir, registerModel(), certain, all)
}

// checkModel fails the test, and leaves a picture of the history, unless there is an order that explains all operations.
// Writes of unknown outcome that nobody saw can always be put after everything else, so an order without them will do; the
// search among all of them, which can take very long, is only needed where there is none.
func checkModel(t *testing.T, dir string, model porcupine.Model, certain, all []porcupine.Operation) {
	t.Helper()
	if porcupine.CheckOperationsTimeout(model, certain, 2*time.Minute) == porcupine.Ok {
		return
	}
	ops := all
	result, info := porcupine.CheckOperationsVerbose(model, ops, 3*time.Minute)
	if result == porcupine.Ok {
		return
	}
	picture := filepath.Join(dir, "history.html")
	if err := porcupine.VisualizePath(model, info, picture); err != nil {
		t.Error(err)
	}
	t.Errorf("the history of %d operations is %s; see %s", len(ops), result, picture)
}
