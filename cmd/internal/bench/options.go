package bench

import (
	"crypto/tls"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Operations are the kinds of load, in the order of the documentation.
var Operations = []string{"put", "get", "head", "list", "delete", "mixed", "range", "multipart"}

// Options describe one run.
type Options struct {
	Endpoints   []string // connections are spread over them
	AccessKey   string
	SecretKey   string
	Region      string
	TLS         *tls.Config
	Bucket      string // made when it does not exist
	Prefix      string // of the keys
	Operation   string
	Size        int64 // of objects
	RangeSize   int64 // range: bytes to read from a random place
	PartSize    int64 // multipart
	PageSize    int   // list
	Objects     int   // how many keys the load is spread over
	Concurrency int   // connections
	Duration    time.Duration
	Ops         int64 // ends the run before Duration when positive
	Timeout     time.Duration
	PIDs        []int // of server processes on this machine, to measure
	Keep        bool  // leave the objects in place
	Prepared    bool  // the objects are in place already: do not write them first
}

func (o *Options) check() error {
	switch {
	case len(o.Endpoints) == 0:
		return fmt.Errorf("no endpoint is given")
	case !slices.Contains(Operations, o.Operation):
		return fmt.Errorf("there is no load %q; there are %s", o.Operation, strings.Join(Operations, ", "))
	case o.Concurrency < 1, o.Size < 0, o.PageSize < 1 || o.PageSize > 1000:
		return fmt.Errorf("concurrency, size or page size is out of range")
	case o.Objects < o.Concurrency:
		return fmt.Errorf("there must be an object for each of the %d connections", o.Concurrency)
	case o.Duration <= 0 && o.Ops <= 0:
		return fmt.Errorf("neither a duration nor a number of operations is given")
	case o.Operation == "multipart" && (o.PartSize < 5<<20 || o.Size < 1):
		return fmt.Errorf("parts of a multipart upload have at least 5 MiB")
	case o.Operation == "range" && (o.RangeSize < 1 || o.RangeSize > o.Size):
		return fmt.Errorf("the range is larger than the object")
	}
	for _, e := range o.Endpoints {
		if u, err := url.Parse(e); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("endpoint %q is not http(s)://HOST:PORT", e)
		}
	}
	return nil
}

// Result is what one run measured.
type Result struct {
	Operation   string           `json:"operation"`
	Size        int64            `json:"size"`
	Concurrency int              `json:"concurrency"`
	Objects     int              `json:"objects"`
	Seconds     float64          `json:"seconds"`
	Ops         int64            `json:"ops"`
	Errors      int64            `json:"errors"`
	FirstError  string           `json:"first_error,omitempty"`
	OpsPerSec   float64          `json:"ops_per_second"`
	MiBPerSec   float64          `json:"mib_per_second"`
	P50         float64          `json:"p50_ms"`
	P99         float64          `json:"p99_ms"`
	P999        float64          `json:"p99.9_ms"`
	Max         float64          `json:"max_ms"`
	ClientCPU   float64          `json:"client_cpu_us_per_op"`
	ServerCPU   float64          `json:"server_cpu_us_per_op,omitempty"`
	PeakRSS     map[string]int64 `json:"peak_rss_bytes,omitempty"` // by pid
}
