package lint

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// layers is the import order: a package may import its own row and the rows above it. The compiler forbids cycles within
// a row, and internal/ hides a part's secrets from the other parts.
var layers = [][]string{
	{"cluster"},
	{"cluster/checksum", "cluster/config", "cluster/stats", "cluster/secret", "xact", "xact/pace"},
	{"notify"},
	{"cluster/httpd", "cluster/api", "cluster/intra"},
	{"cluster/audit"},
	{"cluster/internal/state", "cluster/internal/raftnode", "cluster/internal/gossip"},
	{"cluster/control"},
	{"s3/policy", "s3/lifecycle"},
	{"s3"},
	{"target/internal/disk", "target/internal/sse", "target/internal/meta", "target/internal/ec", "target/internal/mirror"},
	{"target/internal/store"},
	{"target/internal/front", "target/internal/replica", "target/internal/outbox"},
	{"target"},
	{"proxy/internal/list", "proxy/internal/access", "proxy/internal/oidc"},
	{"proxy/internal/front", "proxy/client"},
	{"proxy"},
	{"cmd/internal/node", "cmd/internal/dev", "cmd/internal/bench", "cmd/internal/testcluster", "cmd/internal/cli"},
	{"cmd/aisle", "cmd/compare", "cmd/lint", "cmd/e2e"},
}

// strangers are pairs of parts that the order alone would let meet; each with the reason why they must not.
var strangers = []struct{ from, to, why string }{
	{"proxy", "target", "a gateway must not know how objects are stored: declare the interface it needs, cmd/internal/node hands it the target"},
	{"target", "cluster/internal", "only cluster/control runs the state machine: use control.View"},
	{"s3", "cluster/httpd", "s3 is pure protocol, without a server: take strings or small interfaces"},
	{"s3", "cluster/control", "s3 is pure protocol, without a cluster: take the values it needs"},
	{"cluster/internal/state", "cluster/internal/raftnode", "the state machine is a pure function: it must not know who runs it"},
	{"proxy/client", "cluster/control", "a client speaks HTTP only: use cluster/api"},
}

// importers names, for each heavy dependency, the only packages that may import it, so that replacing it is a change of
// one package.
var importers = map[string][]string{
	"github.com/hashicorp/raft":                 {"cluster/internal/raftnode"},
	"go.etcd.io/bbolt":                          {"cluster/internal/raftnode"},
	"github.com/hashicorp/memberlist":           {"cluster/internal/gossip"},
	"github.com/valyala/fasthttp":               {"cluster/httpd"},
	"github.com/cockroachdb/pebble/v2":          {"target/internal/meta"},
	"github.com/cockroachdb/pebble/v2/vfs":      {"target", "target/internal/disk", "target/internal/meta", "target/internal/mirror", "target/internal/store", "target/internal/front"},
	"github.com/klauspost/reedsolomon":          {"target/internal/ec"},
	"github.com/minio/sio":                      {"target/internal/sse"},
	"github.com/nats-io":                        {"notify"},
	"github.com/twmb/franz-go":                  {"notify"},
	"github.com/prometheus/client_golang":       {"cluster/stats"},
	"github.com/prometheus/common":              {"cluster/stats"},
	"github.com/coreos/go-oidc":                 {"proxy/internal/oidc"},
	"github.com/go-jose/go-jose":                {"proxy/internal/oidc"},
	"github.com/spf13/cobra":                    {"cmd/internal/cli"},
	"github.com/vbauerster/mpb/v8":              {"cmd/internal/cli"},
	"github.com/tinylib/msgp":                   {"cluster", "cluster/intra", "target/internal/disk", "target/internal/meta", "target/internal/replica"},
	"github.com/aws/aws-sdk-go-v2":              {}, // in tests only, until remote buckets exist
	"github.com/anishathalye/porcupine":         {}, // in tests only, as the rest of this list
	"pgregory.net/rapid":                        {},
	"go.uber.org/goleak":                        {},
	"github.com/stretchr/testify":               {},
	"github.com/cockroachdb/pebble/v2/internal": {},
}

func TestLayers(t *testing.T) {
	rank := make(map[string]int)
	for i, row := range layers {
		for _, path := range row {
			rank[path] = i
		}
	}
	for _, p := range packages(t) {
		from, ok := rank[p.path()]
		if !ok {
			t.Errorf("%s: not in the import order: add it to layers in cmd/lint/layers_test.go and to docs/architecture.md", p.path())
			continue
		}
		for _, imported := range p.Imports {
			path, ours := strings.CutPrefix(imported, module+"/")
			if !ours {
				continue
			}
			if to, ok := rank[path]; ok && to > from {
				t.Errorf("%s imports %s, which stands above it: declare a small interface in %[1]s and let the caller pass the value", p.path(), path)
			}
			for _, s := range strangers {
				if within(p.path(), s.from) && within(path, s.to) {
					t.Errorf("%s imports %s: %s", p.path(), path, s.why)
				}
			}
		}
	}
}

func TestOneImporter(t *testing.T) {
	for _, p := range packages(t) {
		for _, imported := range p.Imports {
			dependency := longestPrefix(imported)
			if dependency != "" && !slices.Contains(importers[dependency], p.path()) {
				t.Errorf("%s imports %s, which only %v may: go through that package, or use it in tests only", p.path(), imported, importers[dependency])
			}
		}
	}
}

// longestPrefix returns the entry of importers that governs an import path.
func longestPrefix(path string) string {
	best := ""
	for dependency := range importers {
		if within(path, dependency) && len(dependency) > len(best) {
			best = dependency
		}
	}
	return best
}

func within(path, parent string) bool { return path == parent || strings.HasPrefix(path, parent+"/") }

// TestStateIsPure keeps clock, chance, disk and network out of the replicated state machine: replicas that apply the same
// log must reach the same state.
func TestStateIsPure(t *testing.T) {
	impure := regexp.MustCompile(`^(os|net|syscall|math/rand|crypto/rand|log|golang\.org/x/sys)(/|$)`)
	clock := []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}
	for _, f := range sources(t) {
		if filepath.Dir(f.path) != "cluster/internal/state" || f.test() {
			continue
		}
		for _, spec := range f.ast.Imports {
			if path := strings.Trim(spec.Path.Value, `"`); impure.MatchString(path) {
				t.Errorf("%s: imports %s: the state machine is pure; pass what it needs in the command", f.line(spec), path)
			}
		}
		f.calls("time", func(name string, call ast.Node) {
			if slices.Contains(clock, name) {
				t.Errorf("%s: time.%s: time travels in the command, the state machine reads no clock", f.line(call), name)
			}
		})
	}
}

func TestModulePath(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if first, _, _ := strings.Cut(string(text), "\n"); first != "module "+module {
		t.Errorf("go.mod begins with %q, want %q", first, "module "+module)
	}
	if strings.Contains(string(text), "\nreplace ") {
		t.Error("go.mod has a replace directive: `go install` refuses such a module; release the change upstream or drop it")
	}
}
