package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aisle-store/aisle/proxy/client"
)

// Run prepares the objects that the load needs, runs the load, cleans up and returns what it measured.
func Run(ctx context.Context, o Options) (Result, error) {
	if err := o.check(); err != nil {
		return Result{}, err
	}
	r := newRunner(o)
	defer r.close()
	if err := r.createBucket(ctx); err != nil {
		return Result{}, err
	}
	if err := r.prepare(ctx); err != nil {
		return Result{}, fmt.Errorf("cannot prepare: %w", err)
	}
	result, err := r.measure(ctx)
	if err == nil && !o.Keep {
		err = r.clean(ctx)
	}
	return result, err
}

// runner is one run.
type runner struct {
	o       Options
	signer  *signer
	body    []byte
	workers []*worker
	started atomic.Int64 // operations begun, against Options.Ops
	deleted atomic.Int64 // delete: keys taken
}

// worker is one connection with what it measured. Keys are divided among the workers.
type worker struct {
	run   *runner
	index int
	conn  *conn
	rand  *rand.Rand
	next  int                                 // how many operations it has begun
	heads map[string][]atomic.Pointer[[]byte] // signed heads by method and key; shared by the workers of one endpoint
	gone  map[int]bool                        // mixed: keys that it deleted

	latency []time.Duration
	bytes   int64
	errors  int64
	first   error
}

func newRunner(o Options) *runner {
	r := &runner{o: o, body: make([]byte, o.Size)}
	r.signer = &signer{Signer: client.Signer{AccessKey: o.AccessKey, SecretKey: o.SecretKey, Region: o.Region}, bucket: o.Bucket}
	fill := rand.New(rand.NewPCG(1, 2))
	for i := range r.body {
		r.body[i] = byte(fill.Uint32())
	}
	heads := make([]map[string][]atomic.Pointer[[]byte], len(o.Endpoints))
	for i := range heads {
		heads[i] = make(map[string][]atomic.Pointer[[]byte])
		for _, method := range []string{"PUT", "GET", "HEAD", "DELETE"} {
			heads[i][method] = make([]atomic.Pointer[[]byte], min(o.Objects, keptHeads))
		}
	}
	for i := range o.Concurrency {
		endpoint, _ := url.Parse(o.Endpoints[i%len(o.Endpoints)])
		w := &worker{run: r, index: i, rand: rand.New(rand.NewPCG(uint64(i), 7)), heads: heads[i%len(heads)], gone: make(map[int]bool)}
		w.conn = &conn{endpoint: endpoint, tls: o.TLS, timeout: o.Timeout}
		r.workers = append(r.workers, w)
	}
	return r
}

func (r *runner) close() {
	for _, w := range r.workers {
		w.conn.close()
	}
}

func (r *runner) createBucket(ctx context.Context) error {
	w := r.workers[0]
	return patiently(ctx, func() error {
		head := r.signer.head(w.conn.endpoint.Host, "PUT", "", nil, 0)
		res, err := w.conn.do(ctx, head, nil, true)
		if err != nil {
			return fmt.Errorf("cannot reach %s: %w", w.conn.endpoint, err)
		}
		if res.status != 200 && res.status != 409 {
			return fmt.Errorf("cannot make bucket %s: %w", r.o.Bucket, &failure{res.status, slices.Clone(res.body)})
		}
		return nil
	})
}

// patiently does what is not measured until the server no longer asks to try again (503), for half a minute at most.
func patiently(ctx context.Context, f func() error) error {
	const pause, limit = 500 * time.Millisecond, 30 * time.Second
	for waited := time.Duration(0); ; waited += pause {
		err := f()
		var refused *failure
		if !errors.As(err, &refused) || refused.status != 503 || waited >= limit {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// forAll runs f for every key, from all workers, and returns the first error.
func (r *runner) forAll(ctx context.Context, f func(w *worker, key int) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	failed := make([]error, len(r.workers))
	for i, w := range r.workers {
		wg.Go(func() {
			for key := w.index; key < r.o.Objects && ctx.Err() == nil; key += len(r.workers) {
				if err := patiently(ctx, func() error { return f(w, key) }); err != nil {
					failed[i] = err
					cancel()
					return
				}
			}
		})
	}
	wg.Wait()
	for _, err := range failed {
		if err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
	}
	return ctx.Err()
}

func (r *runner) prepare(ctx context.Context) error {
	if r.o.Operation == "put" || r.o.Operation == "multipart" || r.o.Prepared {
		return nil
	}
	return r.forAll(ctx, func(w *worker, key int) error { return w.put(ctx, key) })
}

func (r *runner) clean(ctx context.Context) error {
	return r.forAll(ctx, func(w *worker, key int) error {
		err := w.delete(ctx, key)
		var f *failure
		if errors.As(err, &f) && f.status == 404 {
			return nil
		}
		return err
	})
}

// measure runs the load.
func (r *runner) measure(ctx context.Context) (Result, error) {
	watch := startWatch(r.o.PIDs)
	began, deadline := time.Now(), ctx
	if r.o.Duration > 0 {
		var cancel context.CancelFunc
		deadline, cancel = context.WithTimeout(ctx, r.o.Duration)
		defer cancel()
	}
	var wg sync.WaitGroup
	for _, w := range r.workers {
		wg.Go(func() { w.load(ctx, deadline) })
	}
	wg.Wait()
	took := time.Since(began)
	usage := watch.stop()
	if ctx.Err() != nil {
		return Result{}, ctx.Err()
	}
	return r.sum(took, usage), nil
}

// load runs operations until time or operations are used up.
func (w *worker) load(ctx, deadline context.Context) {
	operation := w.operation()
	for deadline.Err() == nil {
		if r := w.run; r.o.Ops > 0 && r.started.Add(1) > r.o.Ops {
			return
		}
		began := time.Now()
		n, err := operation(ctx)
		if errors.Is(err, errDone) {
			return
		}
		if err != nil {
			w.errors++
			if w.first == nil {
				w.first = err
			}
			if w.errors > 1000 {
				return
			}
			continue
		}
		w.latency = append(w.latency, time.Since(began))
		w.bytes += n
	}
}

func (r *runner) sum(took time.Duration, u usage) Result {
	o := r.o
	res := Result{Operation: o.Operation, Size: o.Size, Concurrency: o.Concurrency, Objects: o.Objects, Seconds: took.Seconds(), PeakRSS: u.rss}
	var all []time.Duration
	bytes := int64(0)
	for _, w := range r.workers {
		all = append(all, w.latency...)
		bytes += w.bytes
		res.Errors += w.errors
		if w.first != nil && res.FirstError == "" {
			res.FirstError = w.first.Error()
		}
	}
	res.Ops = int64(len(all))
	res.OpsPerSec = float64(len(all)) / took.Seconds()
	res.MiBPerSec = float64(bytes) / (1 << 20) / took.Seconds()
	if len(all) == 0 {
		return res
	}
	slices.Sort(all)
	res.P50, res.P99, res.P999 = percentile(all, 0.5), percentile(all, 0.99), percentile(all, 0.999)
	res.Max = percentile(all, 1)
	res.ClientCPU = float64(u.client.Microseconds()) / float64(len(all))
	res.ServerCPU = float64(u.server.Microseconds()) / float64(len(all))
	return res
}

// percentile returns the latency in milliseconds that the given part of all operations did not exceed.
func percentile(sorted []time.Duration, part float64) float64 {
	i := min(int(part*float64(len(sorted))), len(sorted)-1)
	return float64(sorted[i].Microseconds()) / 1000
}
