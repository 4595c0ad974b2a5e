// Package stats counts what one node does. A Registry is built once per node and passed down; other packages get small
// typed structs and never see the metrics library. What happens often (requests) is counted when it happens, at well
// under a microsecond; what is a state (disks, lease, map) is asked for when somebody looks. docs/metrics.md lists every
// metric.
package stats

import (
	"io"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"
)

//go:generate go test -count=1 -run TestDocumented -update .

// Registry holds every metric of one node.
type Registry struct {
	r    *prometheus.Registry
	http httpVectors
}

// New returns a registry with the metrics of the process and of the Go runtime.
func New() *Registry {
	reg := &Registry{r: prometheus.NewRegistry()}
	reg.r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	reg.http = newHTTPVectors(reg.r)
	return reg
}

// ContentType is the content type of what Write writes.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Write writes all metrics in Prometheus's text format: the body of /-/metrics, of content type ContentType.
func (reg *Registry) Write(w io.Writer) error {
	families, err := reg.r.Gather()
	if err != nil {
		return err
	}
	encoder := expfmt.NewEncoder(w, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, family := range families {
		if err := encoder.Encode(family); err != nil {
			return err
		}
	}
	return nil
}
