//go:build e2e

package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cmd/internal/testcluster"
)

// TestMasterKey starts a node with, without, and with another master key: only the right one opens what is encrypted, and what is
// not encrypted does not need it.
func TestMasterKey(t *testing.T) {
	const first, second = "1111111111111111111111111111111111111111111111111111111111111111", "2222222222222222222222222222222222222222222222222222222222222222"
	master := ""
	c := testcluster.Start(t, testcluster.Options{Nodes: 1, NodeEnv: func(int) []string {
		if master == "" {
			return nil
		}
		return []string{"AISLE_MASTER_KEY=" + master}
	}})
	n, s3 := c.Nodes[0], newClient(c)
	restart := func(with string) {
		t.Helper()
		n.Stop()
		master = with
		n.Start()
	}
	do := func(method, key, body string, status int, headers map[string]string) string {
		t.Helper()
		var got reply
		for range 5 { // a node that has just started may have to wait for its lease
			var err error
			got, err = s3.do(t.Context(), request{method: method, endpoint: n.Endpoint, bucket: "sealed", key: key, body: []byte(body), header: headers})
			if err != nil {
				t.Fatal(err)
			}
			if got.status == status {
				break
			}
			time.Sleep(time.Second)
		}
		if got.status != status {
			t.Fatalf("%s %s: %s, want %d", method, key, got, status)
		}
		return string(got.body)
	}
	sse := map[string]string{"x-amz-server-side-encryption": "AES256"}
	kms := map[string]string{"x-amz-server-side-encryption": "aws:kms"}
	do(http.MethodPut, "", "", 200, nil)
	do(http.MethodPut, "cluster-key", "one", 200, sse)

	restart(first)
	do(http.MethodGet, "cluster-key", "", 200, nil)
	do(http.MethodPut, "master-key", "two", 200, kms)
	kmsCommand := func(args ...string) string {
		t.Helper()
		out, err := aisle(t, c, append([]string{"kms"}, args...)...)
		if err != nil {
			t.Fatal(err, out)
		}
		return out
	}
	kmsCommand("reseal", "aisle/s3")

	for _, wrong := range []string{"", second} {
		restart(wrong)
		do(http.MethodGet, "master-key", "", 503, nil)
		do(http.MethodGet, "cluster-key", "", 503, nil)
		do(http.MethodPut, "new", "x", 503, sse)
		do(http.MethodPut, "plain", "x", 200, nil)
		if !strings.Contains(n.LogTail(50), "does not have the master key") {
			t.Error("the node does not say that its master key is not the right one")
		}
	}

	restart(second + "\n" + first)
	if got := do(http.MethodGet, "cluster-key", "", 200, nil) + do(http.MethodGet, "master-key", "", 200, nil); got != "onetwo" {
		t.Fatalf("%q", got)
	}
	kmsCommand("reseal", "aisle/s3", "aws/s3")
	restart(second)
	if got := do(http.MethodGet, "cluster-key", "", 200, nil) + do(http.MethodGet, "master-key", "", 200, nil); got != "onetwo" {
		t.Fatalf("%q", got)
	}
	if shown := kmsCommand("show"); strings.Count(shown, "master key") != 2 {
		t.Errorf("%s", shown)
	}
}
