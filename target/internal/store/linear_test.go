package store

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/aisle-store/aisle/cluster"
)

// input is one operation on one key; an empty value is absence.
type input struct {
	op    string // get, put, delete, create, swap
	key   string
	value string // what it writes
	old   string // what swap expects
}

type output struct {
	value   string // what get saw
	applied bool   // whether create, swap or delete did something
}

// register is what one key must be, whatever runs at the same time.
func register() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			byKey := make(map[string][]porcupine.Operation)
			for _, op := range history {
				key := op.Input.(input).key
				byKey[key] = append(byKey[key], op)
			}
			var parts [][]porcupine.Operation
			for _, part := range byKey {
				parts = append(parts, part)
			}
			return parts
		},
		Init: func() any { return "" },
		Step: func(state, in, out any) (bool, any) {
			now, i, o := state.(string), in.(input), out.(output)
			writes := i.op == "put" || i.op == "delete" && now != "" || i.op == "create" && now == "" || i.op == "swap" && now != "" && now == i.old
			next := now
			if writes {
				next = i.value
			}
			switch {
			case i.op == "get":
				return o.value == now, now
			case i.op == "put":
				return true, next
			}
			return o.applied == writes, next
		},
		Equal:             func(a, b any) bool { return a == b },
		DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v -> %+v", in, out) },
	}
}

func etagOf(value string) string {
	sum := md5.Sum([]byte(value))
	return hex.EncodeToString(sum[:])
}

// do runs one operation and says what came of it. Like a gateway it sends it again, under the epoch of now and with the same
// request id, until there is an answer.
func (b *bed) do(i input) output {
	call := b.call(i.key)
	for {
		o, err := b.once(i, call)
		if !cluster.Is(err, cluster.KindUnavailable) {
			return o
		}
		call.Epoch = b.call(i.key).Epoch
	}
}

func (b *bed) once(i input, call Call) (o output, err error) {
	ctx := context.Background()
	r := &PutRequest{Call: call, Bucket: b.bucket, Key: cluster.ObjectKey(i.key), Body: strings.NewReader(i.value), Size: -1}
	switch i.op {
	case "get":
		var data []byte
		data, _, err = b.read(&GetRequest{Call: call, Bucket: b.bucket, Key: cluster.ObjectKey(i.key)})
		o.value = string(data)
	case "delete":
		var result DeleteResult
		result, err = b.store.Delete(ctx, &DeleteRequest{Call: call, Bucket: b.bucket, Key: cluster.ObjectKey(i.key)})
		o.applied = result.Existed
	case "create":
		r.If.NoneMatch.Any = true
		_, err = b.store.Put(ctx, r)
		o.applied = err == nil
	case "swap":
		r.If.Match.Tags = []string{etagOf(i.old)}
		_, err = b.store.Put(ctx, r)
		o.applied = err == nil
	default:
		_, err = b.store.Put(ctx, r)
	}
	return o, err
}

// TestLinearizable lets many clients race on few keys, while syncs take their time, leases end and epochs change, and
// checks the history.
func TestLinearizable(t *testing.T) {
	for seed := range uint64(4) {
		history := race(t, seed, seed%2 == 1)
		result, _ := porcupine.CheckOperationsVerbose(register(), history, 30*time.Second)
		if result != porcupine.Ok {
			t.Fatalf("seed %d: %d operations: %s", seed, len(history), result)
		}
	}
}

// race returns the history of some clients. Calm, nothing goes wrong, and they race as fast as they can on one key.
func race(t *testing.T, seed uint64, calm bool) []porcupine.Operation {
	clients, rounds, keys := 8, 80, disturbedKeys
	if calm {
		clients, rounds, keys = 8, 50, 1
	}
	watch := &ops{}
	b := newBed(t, errorfs.Wrap(vfs.NewMem(), watch), 2, nil)
	defer func() { b.close() }()
	if !calm {
		onLogSync(watch, func() { time.Sleep(200 * time.Microsecond) })
	}
	start := time.Now()
	var mu sync.Mutex
	var history []porcupine.Operation
	var group sync.WaitGroup
	for c := range clients {
		group.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(c)))
			last := ""
			for n := range rounds {
				i := input{key: fmt.Sprintf("k%d", r.IntN(keys)), op: []string{"get", "get", "put", "delete", "create", "swap"}[r.IntN(6)], old: last}
				if i.op != "get" && i.op != "delete" {
					i.value = fmt.Sprintf("%d.%d", c, n)
					if r.IntN(4) == 0 {
						i.value += string(pattern(n, 6000)) // in an extent
					}
				}
				op := porcupine.Operation{ClientId: c, Input: i, Call: int64(time.Since(start))}
				o := b.do(i)
				op.Output, op.Return = o, int64(time.Since(start))
				if i.op == "get" && o.value != "" {
					last = o.value
				}
				mu.Lock()
				history = append(history, op)
				mu.Unlock()
			}
		})
	}
	stop := make(chan struct{})
	var disturber sync.WaitGroup
	if !calm {
		disturber.Go(func() { b.disturb(stop) })
	}
	group.Wait()
	close(stop)
	disturber.Wait()
	return history
}

const disturbedKeys = 3

// disturb ends leases and changes epochs until it is stopped.
func (b *bed) disturb(stop chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-time.After(10 * time.Millisecond):
		}
		if n%2 == 0 {
			b.authority.set(func(a *authority) { a.lease = cluster.Fail("", "", cluster.KindUnavailable, "ended") })
			time.Sleep(time.Millisecond)
			b.authority.set(func(a *authority) { a.lease = nil })
			continue
		}
		m := b.current().Clone()
		m.Version++
		for i := range disturbedKeys {
			m.Slots[cluster.SlotOf(b.bucket.ID, cluster.ObjectKey(fmt.Sprintf("k%d", i)))].Epoch++
		}
		if _, err := b.store.Fence(context.Background(), m); err != nil {
			b.t.Error(err)
		}
		b.authority.set(func(a *authority) { a.m = m })
		if err := b.store.Activate(context.Background(), m); err != nil {
			b.t.Error(err)
		}
	}
}
