//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/aisle-store/aisle/cmd/internal/testcluster"
)

// bucketKind is what a client does in the race of DeleteBucket with PUT.
type bucketKind int

const (
	makeBucket bucketKind = iota
	dropBucket
	putObject
	getObject
	dropObject
	listBuckets
)

type bucketInput struct {
	op    bucketKind
	key   int
	value string
}

// bucketOutput is the S3 code of the reply: "" is success, "unknown" is an unknown outcome.
type bucketOutput struct {
	code  string
	value string
}

const raceKeys = 3

// bucketState is whether the bucket exists and the values of its objects; it is comparable, as the checker wants.
type bucketState struct {
	exists bool
	values [raceKeys]string
}

func (s bucketState) empty() bool { return s.values == [raceKeys]string{} }

// bucketStep is the model: a bucket goes only when it is empty, and takes nothing with it.
func bucketStep(s bucketState, in bucketInput, out bucketOutput) (bool, bucketState) {
	code, next := s.expect(in)
	if in.op == makeBucket && s.exists && out.code == "BucketAlreadyOwnedByYou" {
		return true, s // what S3 says in other regions
	}
	switch out.code {
	case "unknown":
		return true, next
	case "":
		if in.op == getObject {
			return code == "" && s.values[in.key] == out.value, s
		}
		return code == "", next
	}
	return code == out.code, s
}

// expect returns the code with which an operation must end in a state, and the state after it.
func (s bucketState) expect(in bucketInput) (string, bucketState) {
	next := s
	switch {
	case in.op == makeBucket && s.exists:
		return "", s // us-east-1 answers 200 to the owner
	case in.op == makeBucket:
		return "", bucketState{exists: true}
	case in.op == listBuckets && s.exists:
		return "", s
	case !s.exists:
		return "NoSuchBucket", s
	case in.op == dropBucket && !s.empty():
		return "BucketNotEmpty", s
	case in.op == dropBucket:
		return "", bucketState{}
	case in.op == getObject && s.values[in.key] == "":
		return "NoSuchKey", s
	case in.op == putObject:
		next.values[in.key] = in.value
	case in.op == dropObject:
		next.values[in.key] = ""
	}
	return "", next
}

func bucketModel() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return bucketState{} },
		Step: func(state, input, output any) (bool, any) {
			return bucketStep(state.(bucketState), input.(bucketInput), output.(bucketOutput))
		},
		DescribeOperation: func(input, output any) string {
			in, out := input.(bucketInput), output.(bucketOutput)
			return fmt.Sprintf("%s %d %.6s: %s %.6s", [...]string{"make", "drop", "put", "get", "delete", "list"}[in.op], in.key, in.value, out.code, out.value)
		},
	}
}

// TestFaultBucketRace lets many clients make and delete one bucket while others write into it.
func TestFaultBucketRace(t *testing.T) {
	t.Parallel()
	c := testcluster.Start(t, testcluster.Options{})
	r := &bucketRace{t: t, cluster: c, client: newClient(c), began: time.Now()}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wait sync.WaitGroup
	for i := range historyClients {
		wait.Go(func() { r.run(ctx, i) })
	}
	err := testcluster.Poll(5*time.Minute, func(context.Context) error {
		if n := r.count(); n < raceOperations || time.Since(r.began) < 40*time.Second {
			return fmt.Errorf("%d operations in %v", n, time.Since(r.began))
		}
		return nil
	})
	cancel()
	wait.Wait()
	t.Logf("%d operations: %v", len(r.ops), r.codes)
	if err != nil {
		t.Errorf("too few: %v", err)
	}
	sure := 0
	for code, n := range r.codes {
		if !strings.HasPrefix(code, "unknown") {
			sure += n
		}
	}
	if sure*10 < len(r.ops)*6 {
		t.Errorf("%d of %d operations with a certain outcome: too few", sure, len(r.ops))
	}
	for _, code := range []string{"", "BucketNotEmpty", "NoSuchBucket", "NoSuchKey"} {
		if r.codes[code] == 0 {
			t.Errorf("no operation ended with %q: the race did not take place", code)
		}
	}
	certain, all := r.histories()
	checkModel(t, c.Dir, bucketModel(), certain, all)
}

// bucketRace is the load of TestFaultBucketRace and what it saw.
type bucketRace struct {
	t       *testing.T
	cluster *testcluster.Cluster
	client  *client
	began   time.Time

	mu    sync.Mutex
	ops   []porcupine.Operation
	codes map[string]int
}

// raceOperations is how many operations the race has at least.
const raceOperations = 2000

func (r *bucketRace) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.ops)
}

func (r *bucketRace) run(ctx context.Context, id int) {
	random := rand.New(rand.NewPCG(uint64(id), 11))
	for n := 0; ctx.Err() == nil; n++ {
		in := bucketInput{key: random.IntN(raceKeys), value: fmt.Sprintf("%d-%d", id, n)}
		switch p := random.IntN(100); {
		case id < 2 && p < 60:
			in.op = dropBucket
		case id == 2 && p < 60:
			in.op = makeBucket
		case p < 35:
			in.op = putObject
		case p < 60:
			in.op = getObject
		case p < 70:
			in.op = listBuckets
		default:
			in.op = dropObject
		}
		out := r.send(random, id, n, in)
		pause := time.Duration(random.ExpFloat64() * float64(140*time.Millisecond))
		if out.code == "unknown" {
			pause += 300 * time.Millisecond
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

func (r *bucketRace) send(random *rand.Rand, id, n int, in bucketInput) bucketOutput {
	req := request{endpoint: r.cluster.Nodes[random.IntN(len(r.cluster.Nodes))].Endpoint, bucket: "contested"}
	if in.op >= putObject && in.op <= dropObject {
		req.key = fmt.Sprint("key", in.key)
	}
	switch in.op {
	case listBuckets:
		req.method, req.bucket = http.MethodGet, ""
	case makeBucket:
		req.method = http.MethodPut
	case putObject:
		req.method, req.body = http.MethodPut, []byte(in.value)
	case getObject:
		req.method = http.MethodGet
	default:
		req.method = http.MethodDelete
	}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	call := time.Since(r.began)
	rep, err := r.client.do(ctx, req)
	op := porcupine.Operation{ClientId: id, Input: in, Call: int64(call), Return: int64(time.Since(r.began))}
	out, sent := bucketOutcome(in, rep, err)
	op.Output = out
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.codes == nil {
		r.codes = make(map[string]int)
	}
	if r.codes[out.code]++; out.code == "unknown" {
		r.codes[fmt.Sprintf("unknown %d: %d %s", in.op, rep.status, rep.code())]++
		op.ClientId, op.Return = 1000+id*100_000+n, math.MaxInt64
		sent = sent && in.op != getObject && in.op != listBuckets
	}
	if sent {
		r.ops = append(r.ops, op)
	}
	return out
}

// histories returns the operations with what is known of them, and all. A put of unknown outcome whose value was seen took
// place before that; one that nobody saw is left to the second history.
func (r *bucketRace) histories() (certain, all []porcupine.Operation) {
	seen := make(map[string]int64)
	for _, op := range r.ops {
		in, out := op.Input.(bucketInput), op.Output.(bucketOutput)
		if first, ok := seen[out.value]; in.op == getObject && out.code == "" && (!ok || op.Return < first) {
			seen[out.value] = op.Return
		}
	}
	for _, op := range r.ops {
		in, out := op.Input.(bucketInput), op.Output.(bucketOutput)
		if out.code == "unknown" && in.op == putObject {
			at, ok := seen[in.value]
			if !ok {
				all = append(all, op)
				continue
			}
			op.Return = max(at, op.Call)
		}
		certain, all = append(certain, op), append(all, op)
	}
	return certain, all
}

// bucketOutcome judges a reply; false means that the request was certainly never sent.
func bucketOutcome(in bucketInput, rep reply, err error) (bucketOutput, bool) {
	var dial *net.OpError
	switch {
	case errors.As(err, &dial) && dial.Op == "dial":
		return bucketOutput{code: "unknown"}, false
	case err != nil || rep.status >= 500 || rep.code() == "OperationAborted":
		return bucketOutput{code: "unknown"}, true
	case in.op == listBuckets && !strings.Contains(string(rep.body), "<Name>contested</Name>"):
		return bucketOutput{code: "NoSuchBucket"}, true
	case rep.status < 300:
		return bucketOutput{value: strings.TrimSpace(string(rep.body))}, true
	}
	return bucketOutput{code: rep.code()}, true
}

// TestBucketModel shows that the model finds an object that vanished with its bucket.
func TestBucketModel(t *testing.T) {
	at := func(call int64, in bucketInput, out bucketOutput) porcupine.Operation {
		return porcupine.Operation{ClientId: int(call), Input: in, Output: out, Call: call, Return: call + 1}
	}
	made := at(0, bucketInput{op: makeBucket}, bucketOutput{})
	wrote := at(2, bucketInput{op: putObject, value: "a"}, bucketOutput{})
	gone := at(4, bucketInput{op: dropBucket}, bucketOutput{})
	kept := at(4, bucketInput{op: dropBucket}, bucketOutput{code: "BucketNotEmpty"})
	if porcupine.CheckOperations(bucketModel(), []porcupine.Operation{made, wrote, gone}) {
		t.Error("a bucket was deleted with an object in it, and the model accepts that")
	}
	missed := at(6, bucketInput{op: listBuckets}, bucketOutput{code: "NoSuchBucket"})
	if porcupine.CheckOperations(bucketModel(), []porcupine.Operation{made, wrote, kept, missed}) {
		t.Error("a list misses a bucket, and the model accepts that")
	}
	if !porcupine.CheckOperations(bucketModel(), []porcupine.Operation{made, wrote, kept}) {
		t.Error("the model refuses a good history")
	}
}
