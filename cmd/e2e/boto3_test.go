//go:build e2e

package e2e

import (
	_ "embed"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aisle-store/aisle/cmd/internal/testcluster"
)

//go:embed boto3_session.py
var boto3Session string

//go:embed boto3_config.py
var boto3Config string

//go:embed boto3_versions.py
var boto3Versions string

//go:embed boto3_website.py
var boto3Website string

//go:embed boto3_acl.py
var boto3ACL string

//go:embed boto3_sts.py
var boto3STS string

//go:embed boto3_lifecycle.py
var boto3Lifecycle string

//go:embed boto3_lock.py
var boto3Lock string

//go:embed boto3_conditions.py
var boto3Conditions string

//go:embed boto3_encryption.py
var boto3Encryption string

//go:embed boto3_logging.py
var boto3Logging string

//go:embed boto3_notification.py
var boto3Notification string

//go:embed boto3_restart.py
var boto3Restart string

//go:embed boto3_lists.py
var boto3Lists string

//go:embed boto3_wire.py
var boto3Wire string

//go:embed boto3_access.py
var boto3Access string

// pythons returns every Python that has boto3: Debian's, and a newer one when PATH has it.
func pythons(t *testing.T) map[string]string {
	t.Helper()
	found := make(map[string]string)
	if exec.Command("/usr/bin/python3", "-c", "import boto3").Run() == nil {
		found["boto3"] = "/usr/bin/python3"
	}
	if python, err := exec.LookPath("python3"); err == nil && python != "/usr/bin/python3" && exec.Command(python, "-c", "import boto3").Run() == nil {
		found["boto3-newer"] = python
	}
	if len(found) == 0 {
		t.Error("no Python with boto3: run make clients")
	}
	return found
}

// TestS3Configuration runs boto3 against what buckets and objects have beside their bytes: tags, configurations and versions.
func TestS3Configuration(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{})
	g := &gateways{t: t, cluster: c, client: newClient(c)}
	g.setting(t, "s3.website-domain", "web.test")
	g.setting(t, "lifecycle.day", "1s") // no other bucket has rules
	g.setting(t, "logging.interval", "500ms")
	h := newHook(t)
	t.Setenv("HOOK", h.url)
	g.setting(t, "notify.destinations", "hook="+h.url+" dead=http://127.0.0.1:1/")
	t.Run("space returns", func(t *testing.T) { testSpaceReturns(t, c) }) // while nothing else is done
	for name, python := range pythons(t) {
		t.Run(name, func(t *testing.T) {
			runBoto3(t, c, python, boto3Config, "config-"+name)
			runBoto3(t, c, python, boto3Versions, "versions-"+name)
			runBoto3(t, c, python, boto3Website, "website-"+name)
			runBoto3(t, c, python, boto3Lifecycle, "lifecycle-"+name)
			runBoto3(t, c, python, boto3Lock, "lock-"+name)
			runBoto3(t, c, python, boto3Conditions, "conditions-"+name)
			runBoto3(t, c, python, boto3Lists, "lists-"+name)
			runBoto3(t, c, python, boto3Wire, "wire-"+name)
			runBoto3(t, c, python, boto3Encryption, "encryption-"+name)
			runBoto3(t, c, python, boto3Notification, "notification-"+name)
			runBoto3(t, c, python, boto3ACL, "acl-"+name)
			runBoto3(t, c, python, boto3STS, "sts-"+name, startIssuer(t).url)
			runBoto3(t, c, python, boto3Logging, "logging-"+name)
		})
	}
	expiredByNow(t, c)
	t.Run("killed owner", func(t *testing.T) { testKilledOwner(t, c, h) })
	t.Run("dead letters", func(t *testing.T) { testDeadLetters(t, c, h) })
	t.Run("restart", func(t *testing.T) { testRestart(t, c) })
}

// testRestart kills all nodes at once: what buckets, objects and identities have is there again.
func testRestart(t *testing.T, c *testcluster.Cluster) {
	for name, python := range pythons(t) {
		told := filepath.Join(t.TempDir(), name)
		runBoto3(t, c, python, boto3Restart, "restart-"+name, told, "make")
		c.KillAll()
		c.StartAll()
		runBoto3(t, c, python, boto3Restart, "restart-"+name, told, "check")
	}
}

// expiredByNow asks for what lifecycle rules have removed, after the scripts: by the metrics of all nodes, and by their jobs.
func expiredByNow(t *testing.T, c *testcluster.Cluster) {
	t.Helper()
	var all strings.Builder
	for _, e := range c.Endpoints() {
		rep, err := http.Get(e + "/-/metrics")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(&all, rep.Body); err != nil {
			t.Fatal(err)
		}
		rep.Body.Close()
	}
	for _, kind := range []string{"current", "noncurrent", "marker", "upload"} {
		if !regexp.MustCompile(`aisle_lifecycle_expired_total{kind="` + kind + `"} [1-9]`).MatchString(all.String()) {
			t.Errorf("no node has counted anything of kind %s", kind)
		}
	}
	if out, err := aisle(t, c, "start", "lifecycle"); err != nil || !strings.Contains(out, "3 targets") {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := aisle(t, c, "show", "job", "lifecycle", "--all"); err != nil || !strings.Contains(out, "finished") {
		t.Errorf("%v: %s", err, out)
	}
}

func testBoto3(t *testing.T, c *testcluster.Cluster, name, python string) {
	runBoto3(t, c, python, boto3Session, "with-"+name)
}

// runBoto3 runs a script with a bucket's name, the cluster's endpoints, and more arguments.
func runBoto3(t *testing.T, c *testcluster.Cluster, python, script, bucket string, more ...string) {
	t.Helper()
	env := append(os.Environ(), "AWS_ACCESS_KEY_ID="+testcluster.AccessKey, "AWS_SECRET_ACCESS_KEY="+testcluster.SecretKey,
		"AWS_DEFAULT_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true", "AISLE="+testcluster.Binary(t))
	if c.CAFile != "" {
		env = append(env, "AWS_CA_BUNDLE="+c.CAFile)
	}
	args := append([]string{"-c", script, bucket, strings.Join(c.Endpoints(), ",")}, more...)
	out, err := command(t, env, python, args...)
	if err != nil {
		t.Errorf("%s: %v\n%s", python, err, out)
	}
}
