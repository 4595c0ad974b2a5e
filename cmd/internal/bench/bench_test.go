package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeS3 is an endpoint that keeps objects in memory.
type fakeS3 struct {
	mu      sync.Mutex
	objects map[string][]byte
	parts   map[string][]byte
	count   map[string]int
	chunked bool
	busy    int // how many writes are refused with 503 first
}

func (f *fakeS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count[r.Method]++
	query := r.URL.Query()
	if !strings.Contains(r.Header.Get("Authorization"), "Credential=AKID/") {
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, "<Error><Code>AccessDenied</Code><Message>no key</Message></Error>")
		return
	}
	data, ok := f.objects[r.URL.Path]
	switch {
	case f.busy > 0 && r.Method == http.MethodPut:
		f.busy--
		w.WriteHeader(http.StatusServiceUnavailable)
	case query.Has("list-type"):
		var keys []string
		for path := range f.objects {
			if key := strings.TrimPrefix(path, "/bench/"); key > query.Get("start-after") {
				keys = append(keys, key)
			}
		}
		slices.Sort(keys)
		for _, key := range keys[:min(len(keys), 10)] {
			fmt.Fprintf(w, "<Key>%s</Key>", key)
			if f.chunked {
				w.(http.Flusher).Flush()
			}
		}
	case query.Has("uploads"):
		io.WriteString(w, "<UploadId>u&amp;1</UploadId>")
	case query.Has("partNumber"):
		f.parts[query.Get("partNumber")] = body
		w.Header().Set("ETag", `"e"`)
	case query.Has("uploadId"):
		f.objects[r.URL.Path] = slices.Concat(f.parts["1"], f.parts["2"], f.parts["3"])
		io.WriteString(w, "<CompleteMultipartUploadResult/>")
	case r.Method == http.MethodPut && r.URL.Path == "/bench":
	case r.Method == http.MethodPut:
		f.objects[r.URL.Path] = body
	case !ok:
		w.WriteHeader(http.StatusNotFound)
	case r.Method == http.MethodDelete:
		delete(f.objects, r.URL.Path)
		w.WriteHeader(http.StatusNoContent)
	default:
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(data)))
	}
}

func start(t *testing.T) (*fakeS3, Options) {
	t.Helper()
	f := &fakeS3{objects: make(map[string][]byte), parts: make(map[string][]byte), count: make(map[string]int)}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return f, Options{
		Endpoints: []string{server.URL}, AccessKey: "AKID", SecretKey: "secret", Region: "us-east-1", Bucket: "bench", Prefix: "x/",
		Size: 100, RangeSize: 10, PartSize: 5 << 20, PageSize: 10, Objects: 50, Concurrency: 3, Ops: 40, Timeout: 5 * time.Second,
	}
}

func TestEveryOperation(t *testing.T) {
	for _, operation := range Operations {
		t.Run(operation, func(t *testing.T) {
			f, o := start(t)
			o.Operation, o.PIDs = operation, []int{os.Getpid()}
			if operation == "multipart" {
				o.Size, o.Ops, o.Objects, o.Concurrency = 11<<20, 2, 2, 2
			}
			f.chunked = operation == "list"
			r, err := Run(context.Background(), o)
			if err != nil || r.Errors != 0 || r.Ops != o.Ops {
				t.Fatalf("%+v, %v", r, err)
			}
			if r.OpsPerSec <= 0 || r.P50 > r.P99 || r.P99 > r.P999 || r.P999 > r.Max || len(r.PeakRSS) != 1 {
				t.Errorf("%+v", r)
			}
			if len(f.objects) != 0 {
				t.Errorf("%d objects are left", len(f.objects))
			}
		})
	}
}

func TestDurationEndsTheLoad(t *testing.T) {
	_, o := start(t)
	o.Operation, o.Ops, o.Duration = "get", 0, 200*time.Millisecond
	r, err := Run(context.Background(), o)
	if err != nil || r.Ops == 0 || r.Seconds < 0.2 || r.Seconds > 2 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestDeleteEndsWithoutObjects(t *testing.T) {
	_, o := start(t)
	o.Operation, o.Ops, o.Duration = "delete", 0, time.Minute
	r, err := Run(context.Background(), o)
	if err != nil || r.Ops != int64(o.Objects) {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestPreparesPatiently(t *testing.T) {
	f, o := start(t)
	o.Operation, f.busy = "get", 3
	if r, err := Run(context.Background(), o); err != nil || r.Errors != 0 || r.Ops != o.Ops {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestErrorsAreCounted(t *testing.T) {
	f, o := start(t)
	o.Operation, o.Prepared, o.Keep = "get", true, true
	r, err := Run(context.Background(), o)
	if err != nil || r.Errors != o.Ops || r.Ops != 0 || !strings.Contains(r.FirstError, "404") {
		t.Errorf("%+v, %v", r, err)
	}
	o.AccessKey = "other"
	if _, err := Run(context.Background(), o); err == nil || !strings.Contains(err.Error(), "AccessDenied: no key") {
		t.Errorf("a wrong key gives %v", err)
	}
	o.Endpoints = []string{"http://127.0.0.1:1"}
	if _, err := Run(context.Background(), o); err == nil || !strings.Contains(err.Error(), "cannot reach") {
		t.Errorf("no server gives %v after %v", err, f.count)
	}
}

func TestOptions(t *testing.T) {
	_, good := start(t)
	for _, change := range []func(o *Options){
		func(o *Options) { o.Operation = "fly" },
		func(o *Options) { o.Endpoints = nil },
		func(o *Options) { o.Endpoints = []string{"h:1"} },
		func(o *Options) { o.Concurrency = 0 },
		func(o *Options) { o.Objects = 2 },
		func(o *Options) { o.Ops = 0 },
		func(o *Options) { o.Operation, o.PartSize = "multipart", 1 },
		func(o *Options) { o.Operation, o.RangeSize = "range", 101 },
	} {
		o := good
		o.Operation = "get"
		change(&o)
		if err := o.check(); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}

// TestHeadsAreSigned verifies what the generator sends by the rules of the server.
func TestHeadsAreSigned(t *testing.T) {
	_, o := start(t)
	o.Operation = "put"
	r := newRunner(o)
	head := string(r.signer.head("h:1", "PUT", "a b/ü", nil, 3))
	if !strings.HasPrefix(head, "PUT /bench/a%20b/%C3%BC HTTP/1.1\r\nHost: h:1\r\n") || !strings.HasSuffix(head, "Content-Length: 3\r\n") {
		t.Errorf("head %q", head)
	}
}

func BenchmarkHead(b *testing.B) {
	s := &signer{bucket: "bench"}
	s.AccessKey, s.SecretKey, s.Region = "AKID", "secret", "us-east-1"
	b.ReportAllocs()
	for b.Loop() {
		s.head("127.0.0.1:8080", "PUT", "bench/00000001", nil, 4096)
	}
}
