package stats

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// full returns a registry in which every metric has a value.
func full() *Registry {
	reg := New()
	h := reg.HTTP("public")
	h.Begin()
	h.Done("GetObject", 200, 5, 4096, 3*time.Millisecond)
	reg.WatchNode(func() Node { return Node{Lease: true, MapVersion: 7, Owned: 5461, Short: 12} })
	reg.WatchMountpaths(func() []Mountpath {
		return []Mountpath{{ID: "mp1", Serving: true, Capacity: 100}, {ID: "mp2"}}
	})
	reg.WatchJobs(func() []Jobs { return []Jobs{{Kind: "rebalance", Running: 1, Bytes: 4096}} })
	reg.WatchExpired(func() []Expired { return []Expired{{Kind: "current", Count: 3}} })
	reg.WatchLogs(func() Logs { return Logs{Delivered: 5} })
	reg.WatchDenials(func() int64 { return 4 })
	reg.WatchNotices(func() []Notices { return []Notices{{Destination: "hook", Waiting: 3, Dead: 2, Dropped: 1}} })
	return reg
}

func text(t *testing.T, reg *Registry) string {
	t.Helper()
	var b bytes.Buffer
	if err := reg.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestWrite(t *testing.T) {
	got := text(t, full())
	for _, want := range []string{
		`aisle_http_requests_total{listener="public",operation="GetObject",status="200"} 1`,
		`aisle_http_request_seconds_bucket{listener="public",operation="GetObject",le="0.005"} 1`,
		`aisle_http_request_seconds_count{listener="public",operation="GetObject"} 1`,
		`aisle_http_received_bytes_total{listener="public",operation="GetObject"} 5`,
		`aisle_http_sent_bytes_total{listener="public",operation="GetObject"} 4096`,
		`aisle_http_requests_in_flight{listener="public"} 0`,
		`aisle_node_lease 1`,
		`aisle_map_version 7`,
		`aisle_job_bytes_total{kind="rebalance"} 4096`,
		`aisle_node_owned_slots 5461`,
		`aisle_map_short_slots 12`,
		`aisle_notify_waiting{destination="hook"} 3`,
		`aisle_notify_dead{destination="hook"} 2`,
		`aisle_denied_total 4`,
		`aisle_mountpath_serving{mountpath="mp1"} 1`,
		`aisle_mountpath_serving{mountpath="mp2"} 0`,
		`aisle_mountpath_capacity_bytes{mountpath="mp1"} 100`,
		"# TYPE aisle_mountpath_errors_total counter",
		"go_goroutines ",
		"process_cpu_seconds_total ",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s", want)
		}
	}
}

func TestHTTP(t *testing.T) {
	var none *HTTP
	none.Begin()
	none.Done("x", 200, 1, 1, time.Second)

	reg := New()
	h := reg.HTTP("intra")
	var wait sync.WaitGroup
	for i := range 4 {
		wait.Go(func() {
			for j := range 1000 {
				h.Begin()
				h.Done(fmt.Sprintf("made-up-%d", (i*1000+j)%2000), 200+j%2, 0, 0, 0)
			}
		})
	}
	wait.Wait()
	h.Begin()
	h.Done("", 0, 0, 0, 0)
	h.Begin()
	h.Done("odd", 1000, 0, 0, 0)
	got := text(t, reg)
	if n := strings.Count(got, "aisle_http_request_seconds_count{"); n > maxOperations+2 {
		t.Errorf("%d operations became series", n)
	}
	total := 0
	for line := range strings.Lines(got) {
		if strings.HasPrefix(line, "aisle_http_requests_total{") {
			var n int
			_, _ = fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &n)
			total += n
		}
	}
	if total != 4002 {
		t.Errorf("%d requests counted, want 4002", total)
	}
}

var update = flag.Bool("update", false, "write docs/metrics.md anew")

// TestDocumented holds docs/metrics.md to the metrics there are; run with -update to write it.
func TestDocumented(t *testing.T) {
	families, err := full().r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("# Metrics\n\n`GET /-/metrics` on a node's public port gives its metrics in Prometheus's text format, without a key unless the cluster setting `metrics.public` is false. " +
		"Units are in the names: seconds, bytes; `_total` ones only grow. Beside these there are Prometheus's own of the process " +
		"(`process_`) and of the Go runtime (`go_`).\n\n" +
		"This file is written by `go test ./cluster/stats -run TestDocumented -update` and checked by the same test.\n\n" +
		"| metric | type | labels | what it says |\n| --- | --- | --- | --- |\n")
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "aisle_") {
			continue
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), labels(f), f.GetHelp())
	}
	const file = "../../docs/metrics.md"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil || string(got) != b.String() {
		t.Fatalf("%s is not true any more (%v): go test ./cluster/stats -run TestDocumented -update", file, err)
	}
}

func labels(f *dto.MetricFamily) string {
	var names []string
	for _, pair := range f.GetMetric()[0].GetLabel() {
		names = append(names, "`"+pair.GetName()+"`")
	}
	return strings.Join(names, ", ")
}

func BenchmarkRequest(b *testing.B) {
	h := New().HTTP("public")
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			h.Begin()
			h.Done("GetObject", 200, 0, 4096, 30*time.Microsecond)
		}
	})
}
