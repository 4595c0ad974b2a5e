package node

import (
	"net/http"
	"strings"
	"testing"

	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/cluster/httpd"
)

// TestAsksState: where the bucket is a host, the path of the status is a key like others.
func TestAsksState(t *testing.T) {
	for target, want := range map[string]bool{
		api.Reverse + "?what=node_status": true,
		api.Reverse + "?what=qryxstats":   true,
		api.Reverse:                       false,
		api.Reverse + "?response-content-disposition=attachment;what=that": false,
		api.Reverse + "?x-amz-meta-what=1":                                 false,
		api.Daemon + "?what=node_status":                                   false,
	} {
		req := httpd.NewRequest(http.MethodGet, target, nil, 0)
		if !strings.HasPrefix(target, req.Path) {
			t.Fatal(req.Path)
		}
		if _, got := asksState(req); got != want {
			t.Errorf("%s: %t", target, got)
		}
	}
}
