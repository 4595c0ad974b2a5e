package front

import (
	"bytes"
	"net/http"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/config"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/proxy/internal/access"
	"github.com/aisle-store/aisle/s3/policy"
)

// The paths of a node's own state. They need no key: they tell nothing about anybody's data. Metrics do tell how much is
// done and where a node's disks are mounted, so there is a setting that demands a key for them.
const (
	systemBase  = "/-"
	pathLive    = "/-/live"    // 200 while the process runs
	pathReady   = "/-/ready"   // 200 while the node may answer clients, else 503
	pathMetrics = "/-/metrics" // Prometheus' text exposition
)

func (f *Front) serveSystem(req *httpd.Request, rep *httpd.Reply) error {
	const op = "proxy/front.serveSystem"
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		return cluster.Fail(op, req.Path, cluster.KindMethod, "only GET and HEAD are allowed here")
	}
	switch req.Path {
	case pathLive:
		rep.Operation = "Live"
		rep.Bytes("text/plain; charset=utf-8", []byte("live\n"))
		return nil
	case pathReady:
		rep.Operation = "Ready"
		return f.ready(rep)
	case pathMetrics:
		rep.Operation = "Metrics"
		if config.MetricsPublic.Get(f.o.Control.View().Setting) != "true" {
			r := &nativeRequest{req: req, rep: rep}
			if err := f.authenticate(r); err != nil {
				return err
			}
			if err := f.allow(&r.judged, policy.GetCluster, "", "", access.Resource{}); err != nil {
				return err
			}
		}
		var text bytes.Buffer
		if err := f.o.Metrics(&text); err != nil {
			return cluster.E(op, "", cluster.KindOther, err)
		}
		rep.Bytes("text/plain; version=0.0.4; charset=utf-8", text.Bytes())
		return nil
	}
	return cluster.Fail(op, req.Path, cluster.KindNotFound, "there is nothing at this path")
}

func (f *Front) ready(rep *httpd.Reply) error {
	if err := f.o.Control.CheckLease(); err != nil {
		return err
	}
	rep.Bytes("text/plain; charset=utf-8", []byte("ready\n"))
	return nil
}
